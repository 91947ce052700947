//! What every quantizer is to the indexes that use it: indexes of flat codes, inverted files, graphs and refinement take from here how vectors
//! are encoded, decoded and compared with codes, so that a quantizer is written once for all of them.

use super::QuantizerBase;
use crate::base::{Error, MetricType, Result, interrupt, threads};
use crate::distance::DistanceComputer;
use crate::distance::collect::{Collector, Reservoir};
use crate::distance::results::TopK;
use crate::simd;

/// Vectors of `d` numbers to codes of `code_size` bytes and back.
pub trait Quantizer: Send + Sync {
    /// Its dimension and the size of its codes.
    fn quantizer_base(&self) -> &QuantizerBase;

    /// An error where the public fields do not fit together.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Learns from `n * d` numbers.
    fn train(&mut self, x: &[f32]) -> Result<()>;

    /// Encodes `n * d` numbers to `n * code_size` bytes.
    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()>;

    /// Decodes `n * code_size` bytes to `n * d` numbers.
    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()>;

    /// Whether [`CodeDistances::set_query`] costs no more than comparing a few codes, so that it may be called often.
    fn query_is_cheap(&self) -> bool {
        false
    }

    /// What compares queries with codes; an error for a metric that codes can't be compared by. One for each thread; making one may cost as much
    /// as a query does, so it serves several.
    fn code_distances(&self, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>>;
}

/// Compares a query with codes. A key is what the smaller is the better: a distance, or a similarity negated.
pub trait CodeDistances: Send {
    /// `x` has `d` numbers.
    fn set_query(&mut self, x: &[f32]) -> Result<()>;

    /// Keys of as many consecutive codes as `keys` has room for.
    fn keys(&self, codes: &[u8], keys: &mut [f32]);

    /// The key of one code.
    fn key(&self, code: &[u8]) -> f32 {
        let mut keys = [0.0];
        self.keys(code, &mut keys);
        keys[0]
    }

    /// The keys of four codes that lie apart, as graphs visit them.
    fn keys_4(&self, codes: [&[u8]; 4]) -> [f32; 4] {
        codes.map(|code| self.key(code))
    }

    /// Keys of several queries, `x`, and the same consecutive codes, a row a query, where the codes are decoded once for all. False, with nothing
    /// written, where one query after the other is as good; a call with nothing to compare tells. Vectors are what codes decode to plus `origin`, where there is one.
    fn tile(&self, _x: &[f32], _origin: Option<&[f32]>, _codes: &[u8], _keys: &mut [f32]) -> bool {
        false
    }

    /// The key of two codes, whatever the query.
    fn between(&self, a: &[u8], b: &[u8]) -> f32;
}

/// Distances of a query to stored codes by their numbers: what graphs and refinement search by.
pub struct CodeComputer<'a> {
    distances: Box<dyn CodeDistances + 'a>,
    codes: &'a [u8],
    code_size: usize,
    /// From keys to what the metric says.
    sign: f32,
}

impl<'a> CodeComputer<'a> {
    /// Over the codes that `quantizer` made.
    pub fn new(quantizer: &'a dyn Quantizer, metric: MetricType, codes: &'a [u8]) -> Result<Self> {
        quantizer.check()?;
        let code_size = quantizer.quantizer_base().code_size;
        let sign = if metric.is_similarity() { -1.0 } else { 1.0 };
        Ok(CodeComputer { distances: quantizer.code_distances(metric)?, codes, code_size, sign })
    }

    fn code(&self, i: usize) -> &[u8] {
        &self.codes[i * self.code_size..(i + 1) * self.code_size]
    }
}

impl DistanceComputer for CodeComputer<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.distances.set_query(x)
    }
    fn distance(&self, i: usize) -> f32 {
        self.sign * self.distances.key(self.code(i))
    }
    fn batch_4(&self, ids: [usize; 4]) -> [f32; 4] {
        self.distances.keys_4(ids.map(|i| self.code(i))).map(|key| self.sign * key)
    }
    fn symmetric_distance(&self, i: usize, j: usize) -> f32 {
        self.sign * self.distances.between(self.code(i), self.code(j))
    }
    fn prefetch(&self, i: usize) {
        simd::prefetch(self.code(i));
    }
}

/// Codes that a query is compared with in one go.
const BLOCK: usize = 1024;

/// The `k` best of codes for each query, best first: what a search of an index of these codes finds. `x` holds `n * d` numbers, `distances` and
/// `labels` `n * k`.
pub fn knn(
    quantizer: &dyn Quantizer,
    metric: MetricType,
    x: &[f32],
    codes: &[u8],
    k: usize,
    distances: &mut [f32],
    labels: &mut [i64],
) -> Result<()> {
    let base = quantizer.quantizer_base();
    let (d, size) = (base.d, base.code_size);
    quantizer.check()?;
    let n = x.len().checked_div(d).unwrap_or(0);
    Error::check(n * d == x.len(), "x.size() % d == 0")?;
    Error::check(size > 0 && codes.len().is_multiple_of(size), "codes.size() % code_size == 0")?;
    let fits = n.checked_mul(k) == Some(labels.len()) && labels.len() == distances.len();
    Error::check(fits, "labels.size() == n * k")?;
    if labels.is_empty() {
        return Ok(());
    }
    let out = TopK::new(metric, k, distances, labels);
    let share = n.div_ceil(threads::available()).max(1);
    threads::parallel_for(n.div_ceil(share), |task| {
        let (mut compare, mut keys) = (quantizer.code_distances(metric)?, [0f32; BLOCK]);
        for q in task * share..((task + 1) * share).min(n) {
            compare.set_query(&x[q * d..(q + 1) * d])?;
            let mut best = Reservoir::new(k);
            for (block, codes) in codes.chunks(BLOCK * size).enumerate() {
                let keys = &mut keys[..codes.len() / size];
                compare.keys(codes, keys);
                for (i, key) in keys.iter().enumerate().filter(|(_, key)| **key < f32::MAX) {
                    best.push(*key, (block * BLOCK + i) as i64);
                }
            }
            out.write(q, &best.finish());
            interrupt::check()?;
        }
        Ok(())
    })
}

/// An error for a metric other than L2 and inner product, which most quantizers are limited to.
pub fn check_metric(metric: MetricType) -> Result<()> {
    let known = matches!(metric, MetricType::L2 | MetricType::InnerProduct);
    Error::check(known, "metric_type == METRIC_L2 || metric_type == METRIC_INNER_PRODUCT")
}

/// An error where `codes` and `x` are not as many codes as vectors; else their number.
pub fn check_sizes(base: &QuantizerBase, x: &[f32], codes: &[u8]) -> Result<usize> {
    let n = x.len().checked_div(base.d).unwrap_or(0);
    Error::check(n * base.d == x.len(), "x.size() % d == 0")?;
    Error::check(n.checked_mul(base.code_size) == Some(codes.len()), "codes.size() == n * code_size")?;
    Ok(n)
}
