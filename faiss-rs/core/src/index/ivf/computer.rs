//! Distances of a query to the entries of an inverted file by id, as a graph over one wants them.

use std::cell::RefCell;

use super::InvertedFile;
use crate::base::{Error, MetricType, Result};
use crate::distance::DistanceComputer;
use crate::simd;

/// Compares with what entries decode to. There must be a map from ids to entries.
pub fn by_decoding(index: &dyn InvertedFile) -> Result<Box<dyn DistanceComputer + '_>> {
    let (ivf, d) = (index.ivf(), index.ivf().dim());
    if ivf.direct_map.no() {
        return Err(Error::unsupported("get_distance_computer", index.info().name));
    }
    let compare = match ivf.metric_type {
        MetricType::InnerProduct => simd::fvec_inner_product,
        _ => simd::fvec_L2sqr,
    };
    Ok(Box::new(Decoded { index, compare, query: vec![0.0; d], rows: RefCell::new((vec![0.0; d], vec![0.0; d])) }))
}

struct Decoded<'a> {
    index: &'a dyn InvertedFile,
    compare: fn(&[f32], &[f32]) -> f32,
    query: Vec<f32>,
    rows: RefCell<(Vec<f32>, Vec<f32>)>,
}

impl DistanceComputer for Decoded<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.query.len(), "x.size() == d")?;
        self.query.copy_from_slice(x);
        Ok(())
    }
    /// An id that is nowhere is as far as can be.
    fn distance(&self, i: usize) -> f32 {
        let row = &mut self.rows.borrow_mut().0;
        let found = self.index.reconstruct(i as i64, row);
        if found.is_ok() { (self.compare)(&self.query, row) } else { f32::NAN }
    }
    fn symmetric_distance(&self, i: usize, j: usize) -> f32 {
        let (x, y) = &mut *self.rows.borrow_mut();
        let found = self.index.reconstruct(i as i64, x).and_then(|()| self.index.reconstruct(j as i64, y));
        if found.is_ok() { (self.compare)(x, y) } else { f32::NAN }
    }
}
