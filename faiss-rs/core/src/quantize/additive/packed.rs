//! Additive quantizers of four bits a codebook as FastScan takes them: every number of a code has a table of 16 entries, and of L2 the last two
//! numbers are the norm's (Faiss's wiki, "Fast accumulation of PQ and AQ codes").

use super::*;
use crate::base::MetricType;
use crate::quantize::codec::check_metric;
use crate::quantize::fast_scan::{KSUB, NORM_PARTS};

/// Vectors whose tables are in memory at a time, when the scale of norms is learnt.
const SCALE_ROWS: usize = 1024;

fn span(table: &[f32]) -> f32 {
    let largest = table.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    largest - table.iter().copied().fold(f32::INFINITY, f32::min)
}

/// The widest of the tables that are of norms over the widest of the others.
fn norm_scale(tables: &[f32]) -> f32 {
    let widest = |tables: &[f32]| tables.chunks_exact(KSUB).map(span).fold(0.0, f32::max);
    let (products, norms) = tables.split_at(tables.len() - NORM_PARTS * KSUB);
    widest(norms) / widest(products)
}

impl AdditiveQuantizer {
    /// Numbers of four bits in a code, those of the norm included.
    pub fn packed_parts(&self) -> usize {
        self.M + self.norm_bits / 4
    }

    /// An error where the codes are not such that FastScan finds the nearest by `metric`.
    pub fn check_packed(&self, metric: MetricType) -> Result<()> {
        self.check()?;
        Error::check(self.M > 0 && self.nbits.iter().all(|bits| *bits == 4), "aq_init->nbits[m] == 4")?;
        match (metric, self.search_type) {
            (MetricType::InnerProduct, ST_LUT_NONORM) | (MetricType::L2, ST_NORM_LSQ2X4 | ST_NORM_RQ2X4) => Ok(()),
            (MetricType::InnerProduct, _) => Err(Error::failed(
                "aq_init->search_type == AdditiveQuantizer::ST_LUT_nonorm",
                "Search type must be ST_LUT_nonorm for IP metric",
            )),
            (MetricType::L2, _) => Err(Error::failed(
                "aq_init->search_type == AdditiveQuantizer::ST_norm_lsq2x4 || aq_init->search_type == AdditiveQuantizer::ST_norm_rq2x4",
                "Search type must be lsq2x4 or rq2x4 for L2 metric",
            )),
            _ => check_metric(metric),
        }
    }

    /// Tables of queries, `n * packed_parts() * 16` numbers: products, or for L2 -2 times these and then the norms, divided by `norm_scale`. A
    /// query's own norm is left out.
    pub fn packed_tables(&self, x: &[f32], metric: MetricType, norm_scale: u16, tables: &mut [f32]) -> Result<()> {
        self.check_packed(metric)?;
        self.check_trained()?;
        let similarity = metric.is_similarity();
        let norms = if similarity { &[][..] } else { &self.norm_tabs };
        let (d, products, size) = (self.base.d, self.M * KSUB, self.packed_parts() * KSUB);
        Error::check(norms.len() == size - products, "norm_tabs.size() == 32")?;
        Error::check(d > 0 && tables.len() == x.len() / d * size, "lut.size() == n * M * ksub")?;
        threads::parallel_rows(tables, size, MIN_ROWS, |first, rows| {
            for (i, row) in rows.chunks_exact_mut(size).enumerate() {
                let (own, last) = row.split_at_mut(products);
                let alpha = if similarity { 1.0 } else { -2.0 };
                self.compute_LUT(&x[(first + i) * d..(first + i + 1) * d], alpha, own)?;
                last.iter_mut().zip(norms).for_each(|(to, norm)| *to = norm / f32::from(norm_scale));
            }
            Ok(())
        })
    }

    /// By how much norms spread more than the products of vectors `(n, d)`, on average, as a whole number: what their tables are divided by so that
    /// the rounding of products loses less.
    pub fn estimate_norm_scale(&self, x: &[f32]) -> Result<i32> {
        let (d, size) = (self.base.d.max(1), self.packed_parts() * KSUB);
        let mut sum = 0.0;
        for x in x.chunks(SCALE_ROWS * d) {
            let mut tables = vec![0.0; x.len() / d * size];
            self.packed_tables(x, MetricType::L2, 1, &mut tables)?;
            sum += tables.chunks_exact(size).map(norm_scale).map(f64::from).sum::<f64>();
        }
        let n = (x.len() / d).max(1) as f64;
        // The cast takes a NaN to 0.
        Ok(((sum / n).round() as i32).max(1))
    }
}
