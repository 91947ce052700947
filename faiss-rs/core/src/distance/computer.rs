//! Distances of a query to stored vectors, one by one: what graph searches and re-ranking need.

use super::extra;
use crate::base::{Error, MetricType, Result};
use crate::simd;

/// Holds a query and computes its distance to vectors by number.
pub trait DistanceComputer: Send {
    /// `x` has as many numbers as a stored vector.
    fn set_query(&mut self, x: &[f32]) -> Result<()>;
    /// The distance of the query to vector `i`, which must exist.
    fn distance(&self, i: usize) -> f32;
    /// The distances of the query to four vectors, which must exist.
    fn batch_4(&self, ids: [usize; 4]) -> [f32; 4] {
        ids.map(|i| self.distance(i))
    }
    /// The distance between two stored vectors, which must exist.
    fn symmetric_distance(&self, i: usize, j: usize) -> f32;
    /// Hints that vector `i`, which must exist, is compared soon.
    fn prefetch(&self, _i: usize) {}
}

/// Over vectors that are stored as they are.
pub struct FlatDistanceComputer<'a> {
    y: &'a [f32],
    d: usize,
    metric: MetricType,
    arg: f32,
    query: Vec<f32>,
}

impl<'a> FlatDistanceComputer<'a> {
    pub fn new(y: &'a [f32], d: usize, metric: MetricType, arg: f32) -> Self {
        FlatDistanceComputer { y, d, metric, arg, query: vec![0.0; d] }
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.y[i * self.d..(i + 1) * self.d]
    }
}

impl DistanceComputer for FlatDistanceComputer<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.d, "x.size() == d")?;
        self.query.copy_from_slice(x);
        Ok(())
    }
    fn distance(&self, i: usize) -> f32 {
        extra::distance(self.metric, self.arg, &self.query, self.row(i))
    }
    fn symmetric_distance(&self, i: usize, j: usize) -> f32 {
        extra::distance(self.metric, self.arg, self.row(i), self.row(j))
    }
    fn prefetch(&self, i: usize) {
        simd::prefetch(bytemuck::cast_slice(self.row(i)));
    }
}
