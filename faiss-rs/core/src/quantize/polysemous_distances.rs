//! Other ways to compare product-quantized codes: with encoded queries, by the codes themselves, or only those that are near by that.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::ProductQuantizer;
use super::codec::{CodeDistances, Quantizer};
use super::product::Scratch;
use super::product_distances::ProductDistances;
use crate::base::{Error, MetricType, Result};

/// A distance of two codes.
pub type Measure = fn(&[u8], &[u8]) -> u32;

/// How a search compares.
#[derive(Clone, Copy)]
pub enum CodeSearch {
    /// Codes with queries as they are.
    Asymmetric,
    /// Codes with queries that were encoded and decoded.
    Symmetric,
    /// Codes with the codes of queries.
    Codes(Measure),
    /// As the first, among the codes whose measure to the query's is below this.
    Near(Measure, u32),
}

impl CodeSearch {
    /// Whether keys are measures of codes, of which a smaller one is better whatever the metric.
    pub fn compares_codes(self) -> bool {
        matches!(self, CodeSearch::Codes(_))
    }

    /// What compares this way. `passed` counts the codes that are near; with `encode_signs`, queries are encoded by the signs of their numbers.
    pub fn code_distances<'a>(
        self,
        pq: &'a ProductQuantizer,
        metric: MetricType,
        encode_signs: bool,
        passed: &'a AtomicUsize,
    ) -> Result<Box<dyn CodeDistances + 'a>> {
        if let CodeSearch::Asymmetric = self {
            return pq.code_distances(metric);
        }
        if encode_signs {
            Error::check(pq.d == pq.nbits * pq.M, "d == pq.nbits * pq.M")?;
        }
        let inner = ProductDistances::new(pq, metric)?;
        let (scratch, code) = (Scratch::default(), vec![0; pq.code_size]);
        Ok(Box::new(EncodedQuery { search: self, inner, encode_signs, scratch, code, passed }))
    }
}

/// A query and its code.
struct EncodedQuery<'a> {
    search: CodeSearch,
    inner: ProductDistances<'a>,
    encode_signs: bool,
    scratch: Scratch,
    code: Vec<u8>,
    passed: &'a AtomicUsize,
}

impl CodeDistances for EncodedQuery<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        let pq = self.inner.pq;
        Error::check(x.len() == pq.d, "x.size() == d")?;
        if self.encode_signs {
            self.code.fill(0);
            x.iter().enumerate().for_each(|(i, v)| self.code[i / 8] |= u8::from(*v >= 0.0) << (i % 8));
        } else if pq.nbits > 0 {
            pq.compute_code_with(&self.inner.transposed, x, &mut self.scratch, &mut self.code);
        }
        match self.search {
            CodeSearch::Codes(_) => Ok(()),
            CodeSearch::Symmetric => {
                // A code compared with codes is the vector it decodes to compared with them.
                let mut decoded = vec![0.0; pq.d];
                pq.decode_one(&self.code, &mut decoded);
                self.inner.set_query(&decoded)
            }
            _ => self.inner.set_query(x),
        }
    }
    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        match self.search {
            CodeSearch::Codes(measure) => {
                let each = codes.chunks_exact(self.code.len().max(1));
                keys.iter_mut().zip(each).for_each(|(key, code)| *key = measure(&self.code, code) as f32);
            }
            CodeSearch::Near(measure, below) => {
                let (pq, table) = (self.inner.pq, &self.inner.table);
                let passed = pq.lookup_near(table, codes, &self.code, measure, below, keys);
                self.passed.fetch_add(passed, Ordering::Relaxed);
            }
            _ => self.inner.keys(codes, keys),
        }
    }
    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        match self.search {
            CodeSearch::Codes(measure) => measure(a, b) as f32,
            _ => self.inner.between(a, b),
        }
    }
}
