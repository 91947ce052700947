//! How product-quantized codes are compared with queries: by tables of the distances of the query's parts to the centroids.

use super::codec::{CodeDistances, Quantizer, check_metric};
use super::product::Transposed;
use super::{ProductQuantizer, QuantizerBase};
use crate::base::{Error, MetricType, Result};
use crate::simd;

impl Quantizer for ProductQuantizer {
    fn quantizer_base(&self) -> &QuantizerBase {
        self
    }
    fn check(&self) -> Result<()> {
        ProductQuantizer::check(self)
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        ProductQuantizer::train(self, x)
    }
    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        ProductQuantizer::compute_codes(self, x, codes)
    }
    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        ProductQuantizer::decode(self, codes, x)
    }
    fn code_distances(&self, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        Ok(Box::new(ProductDistances::new(self, metric)?))
    }
}

/// A query's table of `M * ksub` keys, of which a code's key is the sum of those that it names.
pub(super) struct ProductDistances<'a> {
    pub(super) pq: &'a ProductQuantizer,
    pub(super) transposed: Transposed,
    pub(super) table: Vec<f32>,
    similarity: bool,
}

impl<'a> ProductDistances<'a> {
    pub(super) fn new(pq: &'a ProductQuantizer, metric: MetricType) -> Result<Self> {
        check_metric(metric)?;
        let table = vec![0.0; pq.M * pq.ksub];
        Ok(ProductDistances { pq, transposed: pq.transposed(), table, similarity: metric.is_similarity() })
    }
}

impl CodeDistances for ProductDistances<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.pq.d, "x.size() == d")?;
        if self.similarity {
            self.pq.inner_prod_table_with(&self.transposed, x, &mut self.table);
            simd::fvec_scale(&mut self.table, -1.0);
        } else {
            self.pq.distance_table_with(&self.transposed, x, &mut self.table);
        }
        Ok(())
    }
    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        self.pq.lookup(&self.table, codes, keys);
    }
    fn keys_4(&self, codes: [&[u8]; 4]) -> [f32; 4] {
        if self.pq.nbits != 8 {
            return codes.map(|code| self.key(code));
        }
        // Four sums that do not wait for each other.
        let mut sums = [0f32; 4];
        for (m, row) in self.table.chunks_exact(self.pq.ksub).enumerate() {
            sums.iter_mut().zip(codes).for_each(|(sum, code)| *sum += row[code[m] as usize]);
        }
        sums
    }
    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        let size = self.pq.dsub;
        let parts = self.pq.numbers(a).zip(self.pq.numbers(b)).enumerate();
        parts
            .map(|(m, (a, b))| {
                let centroids = self.pq.get_centroids(m);
                let (a, b) = (&centroids[a * size..(a + 1) * size], &centroids[b * size..(b + 1) * size]);
                if self.similarity { -simd::fvec_inner_product(a, b) } else { simd::fvec_L2sqr(a, b) }
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::DistanceComputer;
    use crate::quantize::codec::CodeComputer;
    use crate::random::float_randn;

    /// A code's key is the distance of the query to the vector that it decodes to, computed here in f64.
    #[test]
    fn keys_are_distances_to_what_codes_decode_to() {
        for (d, m, nbits) in [(8, 4, 8), (6, 2, 5), (3, 3, 3), (1, 1, 4)] {
            let (n, mut x) = (300, vec![0f32; 300 * d]);
            float_randn(&mut x, 7).unwrap();
            let mut pq = ProductQuantizer::new(d, m, nbits).unwrap();
            pq.train(&x).unwrap();
            let (mut codes, mut decoded) = (vec![0; n * pq.code_size], vec![0f32; x.len()]);
            pq.compute_codes(&x, &mut codes).unwrap();
            pq.decode(&codes, &mut decoded).unwrap();
            for metric in [MetricType::L2, MetricType::InnerProduct] {
                let distance = |a: &[f32], b: &[f32]| -> f64 {
                    let pairs = a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
                    if metric == MetricType::L2 {
                        pairs.map(|(a, b)| (a - b) * (a - b)).sum()
                    } else {
                        pairs.map(|(a, b)| a * b).sum()
                    }
                };
                let close = |a: f32, b: f64| (f64::from(a) - b).abs() < 1e-4 * (1.0 + b.abs());
                let row = |i: usize| &decoded[i * d..(i + 1) * d];
                let mut computer = CodeComputer::new(&pq, metric, &codes).unwrap();
                computer.set_query(&x[..d]).unwrap();
                for i in 0..n {
                    assert!(close(computer.distance(i), distance(&x[..d], row(i))));
                    assert!(close(computer.symmetric_distance(i, 5), distance(row(i), row(5))));
                }
                let four = [3, 299, 0, 3];
                assert_eq!(computer.batch_4(four), four.map(|i| computer.distance(i)));
            }
            assert!(CodeComputer::new(&pq, MetricType::L1, &codes).is_err());
            assert!(CodeComputer::new(&pq, MetricType::L2, &codes).unwrap().set_query(&x[..d + 1]).is_err());
        }
    }
}
