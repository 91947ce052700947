//! Queries against the codes of additive quantizers: decoded, or by tables of the query's products with all entries.

use std::cell::RefCell;

use super::*;
use crate::base::MetricType;
use crate::quantize::codec::{CodeDistances, check_metric};

/// Compares by what the search type says.
pub struct AdditiveDistances<'a> {
    aq: &'a AdditiveQuantizer,
    similarity: bool,
    query: Vec<f32>,
    /// The query's products with all entries, for L2 times -2.
    table: Vec<f32>,
    /// What every key has: the query's norm.
    bias: f32,
    /// A decoded vector and the numbers of a code.
    scratch: RefCell<(Vec<f32>, Vec<u32>)>,
}

impl<'a> AdditiveDistances<'a> {
    /// By the quantizer's `search_type`; an error where it does not suit the metric.
    pub fn new(aq: &'a AdditiveQuantizer, metric: MetricType) -> Result<Self> {
        check_metric(metric)?;
        aq.check_trained()?;
        let similarity = metric == MetricType::InnerProduct;
        if aq.search_type == ST_NORM_FROM_LUT && !similarity {
            let tables = aq.centroid_norms.len() == aq.total_codebook_size
                && (aq.M < 2 || !aq.codebook_cross_products.is_empty());
            Error::check(tables, "compute_codebook_tables() was called")?;
        }
        Ok(AdditiveDistances {
            aq,
            similarity,
            query: Vec::new(),
            table: vec![0.0; aq.total_codebook_size],
            bias: 0.0,
            scratch: RefCell::new((vec![0.0; aq.base.d], vec![0; aq.M])),
        })
    }

    fn by_table(&self) -> bool {
        self.aq.search_type != ST_DECOMPRESS
    }

    /// What the table says of a code: products, and for L2 the norm.
    fn look_up(&self, code: &[u8], numbers: &mut [u32]) -> f32 {
        let aq = self.aq;
        let norm = aq.unpack(code, numbers);
        let places = numbers.iter().zip(&aq.codebook_offsets).map(|(n, first)| first + *n as usize);
        let sum: f32 = places.map(|at| self.table[at]).sum();
        if self.similarity {
            return -sum;
        }
        self.bias
            + sum
            + match aq.search_type {
                ST_LUT_NONORM => 0.0,
                ST_NORM_FROM_LUT => norm_from_tables(aq, numbers),
                _ => aq.decode_norm(norm),
            }
    }
}

/// The squared norm of a sum of entries, from theirs and their products.
fn norm_from_tables(aq: &AdditiveQuantizer, numbers: &[u32]) -> f32 {
    let (mut norm, mut block) = (0.0, 0);
    for (m, number) in numbers.iter().enumerate() {
        let (own, first, number) = (aq.book_size(m), aq.codebook_offsets[m], *number as usize);
        let before = numbers[..m].iter().zip(&aq.codebook_offsets).map(|(n, offset)| offset + *n as usize);
        // Entries of different parts of a vector have nothing in common.
        let before = before.zip(0..m).filter(|(_, l)| aq.part(*l) == aq.part(m));
        let products: f32 = before.map(|(at, _)| aq.codebook_cross_products[block + at * own + number]).sum();
        norm += aq.centroid_norms[first + number] + 2.0 * products;
        block += first * own;
    }
    norm
}

impl CodeDistances for AdditiveDistances<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.query.clear();
        self.query.extend_from_slice(x);
        if self.by_table() {
            // Faiss's distances without norms are |q|^2 - <q, x>.
            let alpha = match (self.similarity, self.aq.search_type) {
                (true, _) => 1.0,
                (_, ST_LUT_NONORM) => -1.0,
                _ => -2.0,
            };
            self.aq.compute_LUT(x, alpha, &mut self.table)?;
            self.bias = if self.similarity { 0.0 } else { simd::fvec_norm_L2sqr(x) };
        }
        Ok(())
    }

    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        let mut scratch = self.scratch.borrow_mut();
        let (x, numbers) = &mut *scratch;
        for (code, key) in codes.chunks_exact(self.aq.base.code_size.max(1)).zip(keys) {
            *key = if self.by_table() {
                self.look_up(code, numbers)
            } else {
                self.aq.unpack(code, numbers);
                self.aq.decode_unpacked(numbers, x);
                self.compare(&self.query, x)
            };
        }
    }

    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        let decoded = |code: &[u8]| {
            let (mut x, mut numbers) = (vec![0.0; self.aq.base.d], vec![0; self.aq.M]);
            self.aq.unpack(code, &mut numbers);
            self.aq.decode_unpacked(&numbers, &mut x);
            x
        };
        self.compare(&decoded(a), &decoded(b))
    }
}

impl AdditiveDistances<'_> {
    fn compare(&self, x: &[f32], y: &[f32]) -> f32 {
        if self.similarity { -simd::fvec_inner_product(x, y) } else { simd::fvec_L2sqr(x, y) }
    }
}
