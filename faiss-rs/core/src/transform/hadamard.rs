//! A random rotation without a matrix: three times random signs and a Walsh-Hadamard transform, in `d log d` steps (Andoni et al., "Practical
//! and optimal LSH for angular distance", 2015).

use faiss_derive::{Object, methods};

use super::{VectorTransform, VectorTransformBase};
use crate::base::{Error, Handle, Result, threads};
use crate::grammar::{Grammar, number_after};
use crate::random::SplitMix64RandomGenerator;
use crate::registry::Row;
use crate::simd::walsh_hadamard;

const SEED: u32 = 12345;
const MIN_ROWS: usize = 64;

/// Rotates at random: `H D3 H D2 H D1 x`, with random signs `D` and the normalized Walsh-Hadamard matrix `H`. The dimension that goes out is the next
/// power of two.
#[derive(Object, Default, Clone)]
#[object(methods, implements(VectorTransform), copy)]
pub struct HadamardRotation {
    /// What every transform has.
    #[object(parent)]
    pub base: VectorTransformBase,
    /// Gives the signs.
    pub seed: u32,
    /// The signs before the first transform, `d_out` numbers.
    pub signs1: Vec<f32>,
    /// The signs before the second.
    pub signs2: Vec<f32>,
    /// The signs before the third.
    pub signs3: Vec<f32>,
}

pub(crate) const ROW: Row = Row::of::<HadamardRotation>()
    // `HR`, or with a seed, `HR123`.
    .grammar(Grammar::Transform(|d, part| {
        let seed = match part {
            "HR" => Some(SEED),
            _ => number_after(part, "HR").and_then(|seed| u32::try_from(seed).ok()),
        };
        seed.map(|seed| Ok(Handle::new(HadamardRotation::new(d, seed)?))).transpose()
    }))
    .format(crate::file_format!(HadamardRotation, ["HRot"], |vt| {
        vt.seed;
        vt.base;
        read {
            let base = vt.base.clone();
            *vt = HadamardRotation::new(i64::from(base.d_in), vt.seed)?;
            Error::check(vt.d_out == base.d_out, "d_out is the next power of two of d_in")?;
            vt.base = base;
        }
    }));

#[methods(new)]
impl HadamardRotation {
    /// A rotation of `d` dimensions, by signs that are drawn from the seed.
    #[new]
    pub fn new(d: i64, #[default = 12345] seed: u32) -> Result<Self> {
        let size = usize::try_from(d).ok().filter(|d| *d <= 1 << 24);
        let size = size.ok_or_else(|| Error::value(format!("the dimension {d} is out of range")))?;
        let d_out = size.max(1).next_power_of_two();
        let base = VectorTransformBase::new(d, d_out as i64, true)?;
        let mut made = HadamardRotation { base, ..Default::default() };
        made.init(seed)?;
        Ok(made)
    }

    /// Draws other signs.
    pub fn init(&mut self, seed: u32) -> Result<()> {
        let (_, d_out) = self.dims();
        Error::check(d_out <= 1 << 24, "d_out <= 2^24")?;
        let mut random = SplitMix64RandomGenerator::new(i64::from(seed));
        let mut signs = || (0..d_out).map(|_| if random.rand_int() & 1 == 1 { 1.0 } else { -1.0 }).collect();
        (self.seed, self.signs1, self.signs2, self.signs3) = (seed, signs(), signs(), signs());
        Ok(())
    }
}

impl HadamardRotation {
    fn check(&self) -> Result<(usize, usize)> {
        let (d_in, d_out) = self.dims();
        let sized = [&self.signs1, &self.signs2, &self.signs3].iter().all(|signs| signs.len() == d_out);
        Error::check(sized && d_out.is_power_of_two() && d_in <= d_out, "signs.size() == d_out")?;
        Ok((d_in, d_out))
    }
}

fn apply_signs(row: &mut [f32], signs: &[f32]) {
    row.iter_mut().zip(signs).for_each(|(v, s)| *v *= s);
}

impl VectorTransform for HadamardRotation {
    vector_transform_base!();

    fn apply_noalloc(&self, x: &[f32], xt: &mut [f32]) -> Result<()> {
        let (d_in, d_out) = self.check()?;
        self.pair(x, d_in, xt, d_out)?;
        let scale = 1.0 / (d_out as f32 * (d_out as f32).sqrt());
        threads::parallel_rows(xt, d_out, MIN_ROWS, |first, rows| {
            for (i, row) in rows.chunks_exact_mut(d_out).enumerate() {
                row[..d_in].copy_from_slice(&x[(first + i) * d_in..(first + i + 1) * d_in]);
                row[d_in..].fill(0.0);
                for signs in [&self.signs1, &self.signs2, &self.signs3] {
                    apply_signs(row, signs);
                    walsh_hadamard(row);
                }
                row.iter_mut().for_each(|v| *v *= scale);
            }
            Ok(())
        })
    }
    fn reverse_transform(&self, xt: &[f32], x: &mut [f32]) -> Result<()> {
        let (d_in, d_out) = self.check()?;
        if d_in != d_out {
            let message = "HadamardRotation inverse requires equal input/output dimensions";
            return Err(Error::failed("!(d_in == d_out)", message));
        }
        self.pair(x, d_in, xt, d_out)?;
        let scale = 1.0 / (d_out as f32 * (d_out as f32).sqrt());
        threads::parallel_rows(x, d_in, MIN_ROWS, |first, rows| {
            for (i, row) in rows.chunks_exact_mut(d_in).enumerate() {
                row.copy_from_slice(&xt[(first + i) * d_out..(first + i + 1) * d_out]);
                for signs in [&self.signs3, &self.signs2, &self.signs1] {
                    walsh_hadamard(row);
                    apply_signs(row, signs);
                }
                row.iter_mut().for_each(|v| *v *= scale);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first signs are those of faiss-cpu 1.15.1; lengths are kept and the reverse is one.
    #[test]
    fn rotates_as_faiss_does() {
        let vt = HadamardRotation::new(8, SEED).unwrap();
        assert_eq!(vt.signs1, [-1.0, 1.0, 1.0, -1.0, 1.0, -1.0, -1.0, -1.0]);
        assert_eq!(vt.signs2, [1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0]);
        for d in [1, 2, 3, 8, 37, 64] {
            let vt = HadamardRotation::new(d, 7).unwrap();
            let (d, d_out) = vt.dims();
            let mut x = vec![0.0; 5 * d];
            crate::random::float_randn(&mut x, 3).unwrap();
            let y = vt.apply(&x).unwrap();
            for (a, b) in x.chunks(d).zip(y.chunks(d_out)) {
                let (a, b): (f32, f32) = (a.iter().map(|v| v * v).sum(), b.iter().map(|v| v * v).sum());
                assert!((a - b).abs() < 1e-4 * a);
            }
            let mut back = vec![0.0; 5 * d];
            match vt.reverse_transform(&y, &mut back) {
                Ok(()) => assert!(back.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-5)),
                Err(_) => assert_ne!(d, d_out),
            }
        }
    }
}
