//! What vectors are like, and what of it may trouble an index, in words.

use std::collections::HashMap;

use faiss_derive::{Object, functions, methods};

use crate::base::declare::Array;
use crate::base::{Error, Result, Shared};
use crate::registry::Row;

pub use declared::*;

/// A vector with a norm beyond this is as bad as one that is not finite.
const TOO_LARGE: f64 = 1e38;

/// What one dimension of vectors is like. Means and deviations are of what is finite.
#[derive(Object, Clone, Default)]
#[object(new, copy)]
pub struct PerDimStats {
    /// Number of vectors.
    pub n: usize,
    /// Number of NaNs.
    pub n_nan: usize,
    /// Number of infinities.
    pub n_inf: usize,
    /// Number of zeros.
    pub n0: usize,
    /// The smallest finite value.
    pub min: f32,
    /// The largest finite value.
    pub max: f32,
    /// Their sum.
    pub sum: f64,
    /// Sum of squares.
    pub sum2: f64,
    /// Number of finite values.
    pub n_valid: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub stddev: f64,
}

pub(crate) const PER_DIM: Row = Row::of::<PerDimStats>();

impl PerDimStats {
    fn of(column: impl Iterator<Item = f32> + Clone) -> Self {
        let count = |wanted: fn(f32) -> bool| column.clone().filter(|v| wanted(*v)).count();
        let valid = column.clone().filter(|v| v.is_finite());
        let n_valid = valid.clone().count();
        let sum: f64 = valid.clone().map(f64::from).sum();
        let mean = sum / n_valid as f64;
        let squares: f64 = valid.clone().map(|v| (f64::from(v) - mean).powi(2)).sum();
        PerDimStats {
            n: column.clone().count(),
            n_nan: count(f32::is_nan),
            n_inf: count(f32::is_infinite),
            n0: count(|v| v == 0.0),
            min: valid.clone().fold(f32::INFINITY, f32::min),
            max: valid.clone().fold(f32::NEG_INFINITY, f32::max),
            sum,
            sum2: valid.map(|v| f64::from(v).powi(2)).sum(),
            n_valid,
            mean,
            stddev: (squares / n_valid as f64).sqrt(),
        }
    }

    /// Whether numbers so far from 0 lose what tells them apart when they are squared.
    fn is_far(&self) -> bool {
        let (min, max) = (f64::from(self.min), f64::from(self.max));
        // As in Faiss one without a number counts as well.
        self.n_valid == 0 || (min.abs().min(max.abs()) > 1000.0 * (max - min) && max > min)
    }
}

/// What vectors of shape (n, d) are like, and what of it may trouble an index: in words in `comments`.
#[derive(Object, Clone, Default)]
#[object(methods)]
pub struct MatrixStats {
    /// In words, a line each.
    pub comments: String,
    /// Number of vectors.
    pub n: usize,
    /// Their dimension.
    pub d: usize,
    /// Equal hashes of different vectors: 0, as vectors are compared as they are.
    pub n_collision: usize,
    /// Vectors that are finite and not too large.
    pub n_valid: usize,
    /// Vectors of zeros.
    pub n0: usize,
    /// The smallest norm of a vector that is not 0.
    pub min_norm2: f64,
    /// The largest norm.
    pub max_norm2: f64,
    /// A hash of all numbers.
    pub hash_value: usize,
    /// What each dimension is like.
    pub per_dim_stats: Vec<Shared<PerDimStats>>,
}

pub(crate) const ROW: Row = Row::of::<MatrixStats>();

#[methods]
impl MatrixStats {
    #[new]
    fn of_rows(m: Array<'_, f32>) -> Result<Self> {
        let [_, d] = m.shape else { return Err(Error::value("vectors are rows of an array of two dimensions")) };
        MatrixStats::new(m.items, *d)
    }
}

impl MatrixStats {
    /// Of vectors of `d` numbers.
    pub fn new(x: &[f32], d: usize) -> Result<Self> {
        Error::check(d > 0 && x.len().is_multiple_of(d), "d > 0 && x.size() % d == 0")?;
        let rows = || x.chunks_exact(d);
        let norms: Vec<f64> = rows().map(|row| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()).collect();
        let valid = || norms.iter().copied().filter(|norm| *norm < TOO_LARGE);
        let dimensions: Vec<PerDimStats> =
            (0..d).map(|j| PerDimStats::of(x.iter().skip(j).step_by(d).copied())).collect();
        let mut stats = MatrixStats {
            n: norms.len(),
            d,
            n_valid: valid().count(),
            n0: norms.iter().filter(|norm| **norm == 0.0).count(),
            min_norm2: valid().filter(|norm| *norm > 0.0).fold(f64::INFINITY, f64::min),
            max_norm2: valid().fold(0.0, f64::max),
            hash_value: hash(bytemuck::cast_slice(x)) as usize,
            ..Default::default()
        };
        let mut lines = vec![
            format!("analyzing {} vectors of size {d}", stats.n),
            format!("hash value 0x{:016x}", stats.hash_value),
        ];
        stats.tell_of_rows(x, &mut lines);
        stats.tell_of_norms(&mut lines);
        let negligible = tell_of_dimensions(&dimensions, x.len(), &mut lines);
        // As Faiss does, without an end of line after the last of all remarks.
        stats.comments = lines.join("\n") + if negligible { "" } else { "\n" };
        stats.per_dim_stats = dimensions.into_iter().map(Shared::new).collect();
        Ok(stats)
    }

    fn tell_of_rows(&self, x: &[f32], lines: &mut Vec<String>) {
        let bad = self.n - self.n_valid;
        lines.push(if bad == 0 {
            "no NaN or Infs in data".to_owned()
        } else {
            format!(
                "{bad} vectors contain NaN or Inf (or have too large components), expect bad results with indexing!"
            )
        });
        // How often each vector is there, and where the first one is.
        let mut occurrences: HashMap<&[u8], (usize, usize)> = HashMap::new();
        for (i, row) in x.chunks_exact(self.d).enumerate() {
            occurrences.entry(bytemuck::cast_slice(row)).or_insert((0, i)).0 += 1;
        }
        if occurrences.len() == self.n {
            lines.push("all vectors are distinct".to_owned());
        } else if let Some((count, first)) =
            occurrences.values().max_by_key(|(count, first)| (*count, usize::MAX - first))
        {
            let share = 100.0 * occurrences.len() as f64 / self.n as f64;
            lines.push(format!("{} vectors are distinct ({share:.2}%)", occurrences.len()));
            lines.push(format!("vector {first} has {count} copies"));
        }
    }

    fn tell_of_norms(&self, lines: &mut Vec<String>) {
        let (low, high) = (self.min_norm2, self.max_norm2);
        lines.push(format!("range of L2 norms=[{}, {}] ({} null vectors)", short(low), short(high), self.n0));
        if high < low * 1.0001 {
            lines.push("vectors are normalized, inner product and L2 search are equivalent".to_owned());
        }
        if high > low * 100.0 {
            lines.push("vectors have very large differences in norms, is this normal?".to_owned());
        }
    }
}

/// What is told of the dimensions of so many numbers; true where some could be ignored.
fn tell_of_dimensions(dimensions: &[PerDimStats], size: usize, lines: &mut Vec<String>) -> bool {
    let count = |wanted: &dyn Fn(&PerDimStats) -> bool| dimensions.iter().filter(|one| wanted(one)).count();
    let zeros: usize = dimensions.iter().map(|one| one.n0).sum();
    lines.push(match zeros {
        0 => "matrix contains no 0s".to_owned(),
        _ => format!("matrix contains {:.2} % 0 entries", 100.0 * zeros as f64 / size as f64),
    });
    lines.push(match count(&|one| one.min == one.max) {
        0 => "no constant dimensions".to_owned(),
        constant => format!("{constant} dimensions are constant: they can be removed"),
    });
    lines.push(match count(&PerDimStats::is_far) {
        0 => "no dimension has a too large mean".to_owned(),
        far => format!(
            "{far} dimensions are too large wrt. their variance, may lose precision in IndexFlatL2 (use CenteringTransform)"
        ),
    });
    let spread = || dimensions.iter().map(|one| one.stddev).filter(|stddev| !stddev.is_nan());
    let (low, high) = (spread().fold(f64::INFINITY, f64::min), spread().fold(0.0, f64::max));
    lines.push(format!("stddevs per dimension are in [{} {}]", short(low), short(high)));
    let negligible = count(&|one| one.stddev < high * 1e-4);
    if negligible > 0 {
        lines.push(format!(
            "{negligible} dimensions have negligible stddev wrt. the largest dimension, they could be ignored"
        ));
    }
    negligible > 0
}

/// A number with six digits, as C's `%g` has it.
fn short(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return if v.is_nan() { "nan".to_owned() } else { format!("{v}") };
    }
    let trimmed = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    };
    let rounded = format!("{v:.5e}");
    let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return trimmed(&format!("{v:.*}", (5 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
}

/// As Python's hash of bytes once was.
fn hash(bytes: &[u8]) -> u64 {
    let first = bytes.first().map_or(0, |byte| u64::from(*byte) << 7);
    let mixed = bytes.iter().fold(first, |sum, byte| sum.wrapping_mul(1_000_003) ^ u64::from(*byte));
    mixed ^ bytes.len() as u64
}

#[functions]
mod declared {
    use super::*;

    /// A hash of n bytes.
    pub fn hash_bytes(#[len = n] bytes: &[u8], n: usize) -> Result<u64> {
        Ok(hash(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_c_writes_them() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (123456.7, "123457"),
            (1234567.0, "1.23457e+06"),
            (999999.6, "1e+06"),
            (0.0001, "0.0001"),
            (0.00001234567, "1.23457e-05"),
            (-2.5, "-2.5"),
            (1e38, "1e+38"),
            (1e-100, "1e-100"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "nan"),
        ];
        for (v, text) in cases {
            assert_eq!(short(v), text);
        }
    }

    #[test]
    fn what_vectors_are_like() {
        let x = [3.0, 4.0, 0.0, 0.0, 3.0, 4.0, f32::NAN, 1.0];
        let stats = MatrixStats::new(&x, 2).unwrap();
        assert_eq!((stats.n, stats.n_valid, stats.n0, stats.min_norm2, stats.max_norm2), (4, 3, 1, 5.0, 5.0));
        assert!(stats.comments.contains("3 vectors are distinct (75.00%)\nvector 0 has 2 copies\n"));
        let first = stats.per_dim_stats[0].read();
        assert_eq!((first.n, first.n_nan, first.n0, first.n_valid, first.sum, first.mean), (4, 1, 1, 3, 6.0, 2.0));
        assert!((first.stddev - 2f64.sqrt()).abs() < 1e-12);
        assert!(MatrixStats::new(&x, 3).is_err());
        assert_eq!(MatrixStats::new(&[], 2).unwrap().n, 0);
    }
}
