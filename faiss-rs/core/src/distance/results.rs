//! Where the results of searches go: arrays of the `k` best of each query, or all in range. Queries may come in any order and from several
//! threads. Of equal similarities the larger id comes first, as in Faiss, whose heaps have it so.

use parking_lot::Mutex;

use super::collect::{Hit, order};
use super::{RangeSearchResult, worst};
use crate::base::MetricType;

/// The caller's arrays, a row of `k` a query. Distances are floats, or whole numbers for binary vectors.
pub struct TopK<'a, D = f32> {
    rows: Vec<Mutex<(&'a mut [D], &'a mut [i64])>>,
    distance: fn(f32) -> D,
    worst: D,
    /// Whether of equal distances the larger id comes first.
    turned: bool,
    /// The key of a distance, where those that the rows hold already count.
    held: Option<fn(D) -> f32>,
}

impl<'a> TopK<'a> {
    /// `k` is not 0. Keys of a similarity are its negative.
    pub fn new(metric: MetricType, k: usize, distances: &'a mut [f32], labels: &'a mut [i64]) -> Self {
        let distance = if metric.is_similarity() { |key: f32| -key } else { |key: f32| key };
        let turned = metric.is_similarity();
        TopK { rows: rows(k, distances, labels), distance, worst: worst(metric), turned, held: None }
    }

    /// What the rows hold already counts among the results: distances of labels that are not negative.
    pub fn merging(self, merges: bool) -> Self {
        // A similarity is its key's negative, and the other way round.
        TopK { held: merges.then_some(self.distance), ..self }
    }

    /// Keys are written as they are, whatever the metric.
    pub fn keep_sign(self) -> Self {
        TopK { distance: |key| key, ..self }
    }
}

impl<'a> TopK<'a, i32> {
    /// For distances that are whole numbers, small enough for a float to hold them.
    pub fn whole(k: usize, distances: &'a mut [i32], labels: &'a mut [i64]) -> Self {
        TopK {
            rows: rows(k, distances, labels),
            distance: |key| key as i32,
            worst: i32::MAX,
            turned: false,
            held: None,
        }
    }
}

fn rows<'a, D>(k: usize, distances: &'a mut [D], labels: &'a mut [i64]) -> Vec<Mutex<(&'a mut [D], &'a mut [i64])>> {
    distances.chunks_exact_mut(k).zip(labels.chunks_exact_mut(k)).map(Mutex::new).collect()
}

impl<D: Copy> TopK<'_, D> {
    /// The number of queries.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Writes a query's results, in their order; what is left of its row becomes "no result".
    pub fn write(&self, q: usize, hits: &[Hit]) {
        let (distances, labels) = &mut *self.rows[q].lock();
        let (mut merged, mut turned) = (Vec::new(), Vec::new());
        if let Some(key) = self.held {
            let held = labels.iter().zip(distances.iter()).filter(|(id, _)| **id >= 0);
            merged.extend(held.map(|(id, distance)| (key(*distance), *id)).chain(hits.iter().copied()));
            merged.sort_unstable_by(order);
            merged.truncate(labels.len());
        }
        let mut hits = if self.held.is_some() { &merged } else { hits };
        if self.turned && hits.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            turned.extend_from_slice(hits);
            turned.chunk_by_mut(|a, b| a.0 == b.0).for_each(<[Hit]>::reverse);
            hits = &turned;
        }
        for (i, (key, id)) in hits.iter().enumerate() {
            distances[i] = (self.distance)(*key);
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
