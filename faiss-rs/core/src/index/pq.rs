//! Product-quantized codes, searched exhaustively.

use std::sync::atomic::AtomicUsize;

use faiss_derive::{Object, methods};

use super::flat_codes::{FlatCodes, IndexFlatCodes, encode};
use super::flat_scan::Scan;
use super::stats::{INDEX_PQ_STATS, IndexPQStats};
use super::{Index, IndexBase, RangeSearchResult, SearchParameters};
use crate::base::declare::Rows;
use crate::base::object::{Object, cast};
use crate::base::{Error, Handle, MetricType, Result};
use crate::distance::results::{InRadius, TopK};
use crate::grammar::{Grammar, PqPart};
use crate::index::tuning::Tuned;
use crate::quantize::codec::check_metric;
use crate::quantize::hamming::{generalized_hamming, hamming};
use crate::quantize::polysemous_distances::CodeSearch;
use crate::quantize::{PolysemousTraining, ProductQuantizer, Quantizer};
use crate::registry::Row;

/// Queries are compared with the codes as they are.
pub const ST_PQ: i32 = 0;
/// Hamming distances of codes.
pub const ST_HE: i32 = 1;
/// Numbers of bytes in which codes differ.
pub const ST_GENERALIZED_HE: i32 = 2;
/// Queries are encoded too, and codes compared with codes.
pub const ST_SDC: i32 = 3;
/// As [`ST_PQ`], among the codes whose Hamming distance to the query's is below `polysemous_ht`.
pub const ST_POLYSEMOUS: i32 = 4;
/// The same with numbers of bytes.
pub const ST_POLYSEMOUS_GENERALIZE: i32 = 5;

/// Stores product-quantized codes and searches them exhaustively.
///
/// `M * nbits / 8` bytes a vector. `M`: parts of a vector, which must divide `d`; `nbits`: bits of each part's code, as a rule 8. Distances are
/// estimates: of the whole query to decoded vectors. Jégou, Douze and Schmid, Product quantization for nearest neighbor search, 2011.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index, Tuned), copy)]
pub struct IndexPQ {
    /// The codes.
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// Makes the codes.
    pub pq: ProductQuantizer,
    /// Whether training ends with polysemous training.
    pub do_polysemous_training: bool,
    /// Parameters of the polysemous training.
    pub polysemous_training: PolysemousTraining,
    /// How codes are compared with queries: 0 as they are, 1 by Hamming distance, 2 by differing bytes, 3 with queries encoded too, 4 and 5
    /// as 0 among the codes that are near by 1 or 2.
    pub search_type: i32,
    /// In searches by Hamming distance, queries are encoded by the signs of their coordinates.
    pub encode_signs: bool,
    /// Polysemous searches pass over codes whose Hamming distance is not below this.
    pub polysemous_ht: i32,
}

/// Parameters of one search among product-quantized codes.
#[derive(Object, Default, Clone)]
#[object(fields)]
pub struct SearchParametersPQ {
    /// What all searches take.
    #[object(parent)]
    pub base: SearchParameters,
    /// As the index's.
    pub search_type: i32,
    /// As the index's.
    pub polysemous_ht: i32,
}

pub(crate) const PARAMETERS: Row = Row::of::<SearchParametersPQ>();

pub(crate) const ROW: Row = Row::of::<IndexPQ>()
    .grammar(Grammar::Index(|d, part, metric| {
        let Some(part) = PqPart::parse(part) else { return Ok(None) };
        let mut index = IndexPQ::new(d, part.m, part.nbits, metric)?;
        index.do_polysemous_training = part.polysemous;
        Ok(Some(Handle::new(index)))
    }))
    .format(crate::file_format!(IndexPQ, ["IxPq", "IxPQ", "IxPo"], |index, code| {
        index.base;
        index.pq;
        index.codes;
        // As in an index of no parts.
        old (code.is("IxPQ")) { index.polysemous_ht = 1; } else {
            index.search_type;
            index.encode_signs;
            index.polysemous_ht;
        }
        read {
            index.code_size = index.pq.code_size;
            index.metric_type = if code.is("IxPq") { index.metric_type } else { MetricType::L2 };
            Error::check(index.pq.d == index.dim(), "pq.d == d")?;
        }
    }, index.count()));

#[methods(new)]
impl IndexPQ {
    /// `M` parts of a vector, each as a number of `nbits` bits.
    #[new]
    pub fn new(d: i64, M: usize, nbits: usize, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        let pq = ProductQuantizer::new(base.dim(), M, nbits)?;
        let flat_codes = IndexFlatCodes::new(base, pq.code_size);
        let polysemous_ht = i32::try_from(M * nbits + 1).unwrap_or(i32::MAX);
        Ok(IndexPQ { flat_codes, pq, polysemous_ht, ..Default::default() })
    }

    /// The Hamming distances of the codes of vectors (n, d) to the stored ones: (n, ntotal).
    #[name = "_hamming_distance_table"]
    fn distance_table(&self, x: &[f32]) -> Result<Rows<i32>> {
        Ok(Rows(self.hamming_distance_table(x)?, self.count()?))
    }

    /// How often each Hamming distance is between the codes of vectors (n, d) and those of others, or of the stored ones.
    #[name = "_hamming_distance_histogram"]
    fn distance_histogram(&self, x: &[f32], others: Option<&[f32]>) -> Result<Vec<i64>> {
        self.hamming_distance_histogram(x, others)
    }
}

impl IndexPQ {
    /// The Hamming distances of the codes of vectors to those of others, or to the stored ones: `each` gets those of one vector after the other.
    fn hamming_distances(&self, x: &[f32], others: Option<&[f32]>, mut each: impl FnMut(&[u8], &[u8])) -> Result<()> {
        self.check_codes()?;
        let encoded;
        let codes = match others {
            Some(others) => {
                encoded = encode(self, others)?;
                &encoded[..]
            }
            None => self.codes.as_slice(),
        };
        encode(self, x)?.chunks_exact(self.code_size.max(1)).for_each(|query| each(query, codes));
        Ok(())
    }

    /// The Hamming distances of the codes of `n` vectors to the stored ones, `n * ntotal`.
    pub fn hamming_distance_table(&self, x: &[f32]) -> Result<Vec<i32>> {
        let mut table = Vec::new();
        self.hamming_distances(x, None, |query, codes| {
            table.extend(codes.chunks_exact(query.len()).map(|code| hamming(query, code) as i32));
        })?;
        Ok(table)
    }

    /// How often each Hamming distance, from 0 to the number of bits of a code, is between the codes of vectors and those of others, or of the
    /// stored ones.
    pub fn hamming_distance_histogram(&self, x: &[f32], others: Option<&[f32]>) -> Result<Vec<i64>> {
        Error::check(self.code_size.is_multiple_of(8), "pq.code_size % 8 == 0")?;
        let mut counts = vec![0i64; self.pq.M * self.pq.nbits + 1];
        self.hamming_distances(x, others, |query, codes| {
            for code in codes.chunks_exact(query.len()) {
                counts[hamming(query, code) as usize] += 1;
            }
        })?;
        Ok(counts)
    }

    fn count_search(&self, nq: usize, n_hamming_pass: usize) {
        let ncode = nq * self.ntotal.max(0) as usize;
        INDEX_PQ_STATS.write().add(&IndexPQStats { nq, ncode, n_hamming_pass });
    }
}

impl Index for IndexPQ {
    crate::flat_codes_index!();
}

impl FlatCodes for IndexPQ {
    crate::codes_and_codec!(flat_codes, pq);
    fn train_codec(&mut self, x: &[f32]) -> Result<()> {
        if !self.do_polysemous_training {
            return self.pq.train(x);
        }
        let training = self.polysemous_training.clone();
        let n = training.points_for_centroids(self.rows(x)?);
        let (own, kept) = x.split_at(n * self.dim());
        self.pq.train(own)?;
        training.optimize_pq_for_hamming(&mut self.pq, kept)
    }
    fn search_codes(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.queries(x, k, distances, labels)?;
        self.check_codes()?;
        check_metric(self.metric_type)?;
        let search = self.search_type(params)?;
        let passed = AtomicUsize::new(0);
        let out = TopK::new(self.metric_type, k, distances, labels);
        let out = if search.compares_codes() { out.keep_sign() } else { out };
        let make = || search.code_distances(&self.pq, self.metric_type, self.encode_signs, &passed);
        Scan::new(self, x, params, make)?.search(k, &out)?;
        self.count_search(out.len(), passed.into_inner());
        Ok(())
    }
    /// As in Faiss, whatever the type of search.
    fn range_search_codes(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        self.check_codes()?;
        let out = InRadius::new(self.metric_type, self.rows(x)?);
        let make = || self.pq.code_distances(self.metric_type);
        Scan::new(self, x, params, make)?.range_search(self.rows(x)?, radius, &out)?;
        self.count_search(self.rows(x)?, 0);
        Ok(out.finish())
    }
}

impl IndexPQ {
    /// How a search compares, by parameters or by the index itself.
    fn search_type(&self, params: Option<&dyn Object>) -> Result<CodeSearch> {
        let params = params.and_then(cast::<SearchParametersPQ>);
        let search_type = params.map_or(self.search_type, |p| p.search_type);
        let threshold = params.map_or(self.polysemous_ht, |p| p.polysemous_ht);
        let generalized = search_type == ST_GENERALIZED_HE || search_type == ST_POLYSEMOUS_GENERALIZE;
        let measure = if generalized { generalized_hamming } else { hamming };
        match search_type {
            ST_PQ => Ok(CodeSearch::Asymmetric),
            ST_SDC => Ok(CodeSearch::Symmetric),
            ST_HE | ST_GENERALIZED_HE => Ok(CodeSearch::Codes(measure)),
            ST_POLYSEMOUS | ST_POLYSEMOUS_GENERALIZE => {
                Error::check(self.metric_type == MetricType::L2, "metric_type == METRIC_L2")?;
                Error::check(self.pq.nbits == 8, "pq.nbits == 8")?;
                Ok(CodeSearch::Near(measure, u32::try_from(threshold).unwrap_or(0)))
            }
            other => Err(Error::value(format!("search_type {other} of IndexPQ is not known; known: 0 to 5"))),
        }
    }
}

impl Tuned for IndexPQ {
    /// Below a threshold of all bits, codes are compared bit by bit first.
    fn set_parameter(&mut self, name: &str, value: f64) -> Option<Result<()>> {
        if name != "ht" {
            return None;
        }
        if value >= (self.pq.code_size * 8) as f64 {
            self.search_type = ST_PQ;
        } else {
            (self.search_type, self.polysemous_ht) = (ST_POLYSEMOUS, value as i32);
        }
        Some(Ok(()))
    }
    fn parameter_ranges(&self) -> Vec<(&'static str, Vec<f64>)> {
        vec![("ht", self.pq.hamming_thresholds())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_compared_by_bits() {
        let (n, d) = (300, 16);
        let mut x = vec![0f32; n * d];
        crate::random::float_rand(&mut x, 1).unwrap();
        let mut index = IndexPQ::new(d as i64, 8, 8, MetricType::L2).unwrap();
        index.train(&x).unwrap();
        index.add(&x[..50 * d]).unwrap();
        let table = index.hamming_distance_table(&x[..3 * d]).unwrap();
        assert_eq!(table.len(), 150);
        // A vector is stored too, and its code is the same.
        assert!((0..3).all(|i| table[i * 50 + i] == 0));
        let ones: u32 = index.codes.as_slice()[..8]
            .iter()
            .zip(&index.codes.as_slice()[8..])
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        assert_eq!(table[1], ones as i32);
        let counts = index.hamming_distance_histogram(&x[..3 * d], None).unwrap();
        assert_eq!((counts.len(), counts.iter().sum::<i64>()), (65, 150));
        assert_eq!(counts[0], table.iter().filter(|distance| **distance == 0).count() as i64);
        assert_eq!(index.hamming_distance_histogram(&x[..3 * d], Some(&x[..50 * d])).unwrap(), counts);
        assert!(index.hamming_distance_table(&x[..3]).is_err());
    }
}
