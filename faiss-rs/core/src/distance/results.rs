//! Where the results of searches go: arrays of the `k` best of each query, or all in range. Queries may come in any order and from several
//! threads.

use parking_lot::Mutex;

use super::collect::Hit;
use super::{RangeSearchResult, worst};
use crate::base::MetricType;

/// The caller's arrays, a row of `k` a query.
pub struct TopK<'a> {
    rows: Vec<Mutex<(&'a mut [f32], &'a mut [i64])>>,
    negated: bool,
    worst: f32,
}

impl<'a> TopK<'a> {
    /// `k` is not 0. Keys of a similarity are its negative.
    pub fn new(metric: MetricType, k: usize, distances: &'a mut [f32], labels: &'a mut [i64]) -> Self {
        let rows = distances.chunks_exact_mut(k).zip(labels.chunks_exact_mut(k)).map(Mutex::new).collect();
        TopK { rows, negated: metric.is_similarity(), worst: worst(metric) }
    }

    /// The number of queries.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Writes a query's results, best first; what is left of its row becomes "no result".
    pub fn write(&self, q: usize, hits: &[Hit]) {
        let (distances, labels) = &mut *self.rows[q].lock();
        for (i, (key, id)) in hits.iter().enumerate() {
            distances[i] = if self.negated { -key } else { *key };
            labels[i] = *id;
        }
        distances[hits.len()..].fill(self.worst);
        labels[hits.len()..].fill(-1);
    }
}

/// What a range search finds.
pub struct InRadius {
    found: Vec<Mutex<Vec<Hit>>>,
    negated: bool,
}

impl InRadius {
    /// For `n` queries. Keys of a similarity are its negative.
    pub fn new(metric: MetricType, n: usize) -> Self {
        InRadius { found: (0..n).map(|_| Mutex::default()).collect(), negated: metric.is_similarity() }
    }

    /// The key below which a result is in range.
    pub fn limit(&self, radius: f32) -> f32 {
        if self.negated { -radius } else { radius }
    }

    pub fn put(&self, q: usize, hits: Vec<Hit>) {
        *self.found[q].lock() = hits;
    }

    pub fn finish(self) -> RangeSearchResult {
        let mut result = RangeSearchResult { lims: vec![0], ..Default::default() };
        for hits in self.found {
            for (key, id) in hits.into_inner() {
                result.distances.push(if self.negated { -key } else { key });
                result.labels.push(id);
            }
            result.lims.push(result.labels.len());
        }
        result
    }
}
