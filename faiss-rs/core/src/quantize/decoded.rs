//! Codes that are compared by what they decode to, for quantizers that know no shorter way.

use std::cell::RefCell;

use super::Quantizer;
use super::codec::CodeDistances;
use crate::base::{Error, MetricType, Result};
use crate::distance::extra;

/// Codes that are decoded at a time.
const BLOCK: usize = 64;

/// Compares queries with decoded vectors.
pub struct Decoded<'a> {
    codec: &'a dyn Quantizer,
    metric: MetricType,
    query: Vec<f32>,
    rows: RefCell<Vec<f32>>,
}

impl<'a> Decoded<'a> {
    /// By any metric without an argument.
    pub fn new(codec: &'a dyn Quantizer, metric: MetricType) -> Self {
        let d = codec.quantizer_base().d;
        Decoded { codec, metric, query: vec![0.0; d], rows: RefCell::new(vec![0.0; BLOCK * d]) }
    }

    fn compare(&self, x: &[f32], rows: &[f32], keys: &mut [f32]) {
        extra::distances_ny(self.metric, 0.0, keys, x, rows);
        if self.metric.is_similarity() {
            keys.iter_mut().for_each(|key| *key = -*key);
        }
    }
}

impl CodeDistances for Decoded<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.query.len(), "x.size() == d")?;
        self.query.copy_from_slice(x);
        Ok(())
    }
    /// Codes that can't be decoded are as far as can be.
    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        let (size, d) = (self.codec.quantizer_base().code_size, self.query.len());
        let mut rows = self.rows.borrow_mut();
        for (i, keys) in keys.chunks_mut(BLOCK).enumerate() {
            let codes = &codes[i * BLOCK * size..(i * BLOCK + keys.len()) * size];
            let rows = &mut rows[..keys.len() * d];
            match self.codec.decode(codes, rows) {
                Ok(()) => self.compare(&self.query, rows, keys),
                Err(_) => keys.fill(f32::INFINITY),
            }
        }
    }
    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        let d = self.query.len();
        let mut rows = self.rows.borrow_mut();
        let (x, y) = rows[..2 * d].split_at_mut(d);
        let mut key = [f32::INFINITY];
        if self.codec.decode(a, x).and_then(|()| self.codec.decode(b, y)).is_ok() {
            self.compare(x, y, &mut key);
        }
        key[0]
    }
}
