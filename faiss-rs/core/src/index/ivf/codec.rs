//! Inverted files of a quantizer's codes: what follows from the quantizer and from whether codes are of residuals.

use super::edit::{add_centroids, to_encode};
use super::{IndexIVF, InvertedFile, Scanner, Searcher};
use crate::base::{Error, MetricType, Result};
use crate::distance::extra;
use crate::index::Index;
use crate::quantize::{CodeDistances, Quantizer};
use crate::simd;

/// An error where the quantizer's codes are not the inverted file's.
pub fn check(ivf: &IndexIVF, codec: &dyn Quantizer) -> Result<()> {
    codec.check()?;
    let base = codec.quantizer_base();
    let same = base.d == ivf.dim() && base.code_size == ivf.code_size;
    Error::check(same, "the quantizer's d and code_size are the index's")
}

/// See [`InvertedFile::encode_vectors`].
pub fn encode_vectors(
    ivf: &IndexIVF,
    codec: &dyn Quantizer,
    x: &[f32],
    list_nos: &[i64],
    codes: &mut [u8],
) -> Result<()> {
    check(ivf, codec)?;
    codec.compute_codes(&to_encode(ivf, x, list_nos)?, codes)
}

/// See [`InvertedFile::decode_vectors`].
pub fn decode_vectors(
    ivf: &IndexIVF,
    codec: &dyn Quantizer,
    codes: &[u8],
    list_nos: &[i64],
    x: &mut [f32],
) -> Result<()> {
    check(ivf, codec)?;
    codec.decode(codes, x)?;
    // Of a code of no bytes, the centroid is all there is.
    if ivf.by_residual || ivf.code_size == 0 { add_centroids(ivf, list_nos, x) } else { Ok(()) }
}

/// Makes what compares queries with codes by a metric.
type MakeDistances<'a> = Box<dyn Fn(MetricType) -> Result<Box<dyn CodeDistances + 'a>> + Send + Sync + 'a>;

/// Compares queries, or their residuals, with codes as the quantizer does.
pub struct CodecSearcher<'a> {
    ivf: &'a IndexIVF,
    codec: &'a dyn Quantizer,
    quantizer: &'a dyn Index,
    distances: MakeDistances<'a>,
}

impl<'a> CodecSearcher<'a> {
    /// `quantizer` is the inverted file's coarse one, locked.
    pub fn new(index: &'a dyn InvertedFile, quantizer: &'a dyn Index) -> Result<Self> {
        let (ivf, codec) = (index.ivf(), index.codec()?);
        check(ivf, codec)?;
        Ok(CodecSearcher { ivf, codec, quantizer, distances: Box::new(|metric| codec.code_distances(metric)) })
    }

    /// By other distances than the quantizer's own.
    pub fn by(self, distances: impl Fn(MetricType) -> Result<Box<dyn CodeDistances + 'a>> + Send + Sync + 'a) -> Self {
        CodecSearcher { distances: Box::new(distances), ..self }
    }
}

impl Searcher for CodecSearcher<'_> {
    fn scanner(&self) -> Result<Box<dyn Scanner + '_>> {
        let (metric, residual, d) = (self.ivf.metric_type, self.ivf.by_residual, self.ivf.dim());
        let similarity = metric == MetricType::InnerProduct;
        Ok(Box::new(CodecScanner {
            distances: (self.distances)(metric)?,
            quantizer: self.quantizer,
            of_residuals: residual && !similarity,
            with_offset: self.ivf.code_size == 0 || (residual && similarity),
            similarity,
            coarse_is_ours: self.quantizer.base().metric_type == metric,
            query: vec![0.0; d],
            residual: vec![0.0; d],
            centroid: vec![0.0; d],
            list: usize::MAX,
            offset: 0.0,
        }))
    }
    fn list_by_list(&self) -> bool {
        self.codec.query_is_cheap()
    }
}

struct CodecScanner<'a> {
    distances: Box<dyn CodeDistances + 'a>,
    quantizer: &'a dyn Index,
    /// Codes are compared with the query's residual.
    of_residuals: bool,
    /// What the query and the centroid have in common is added to each key: products with centroid and residual, or all where codes have no bytes.
    with_offset: bool,
    similarity: bool,
    /// Whether the quantizer's distances are those of the index's metric.
    coarse_is_ours: bool,
    query: Vec<f32>,
    residual: Vec<f32>,
    centroid: Vec<f32>,
    /// The list whose centroid is there.
    list: usize,
    offset: f32,
}

impl CodecScanner<'_> {
    fn find_centroid(&mut self, list: usize) -> Result<()> {
        if self.list != list {
            self.quantizer.reconstruct(list as i64, &mut self.centroid)?;
            self.list = list;
        }
        Ok(())
    }

    /// The key of a query and a list's centroid.
    fn offset(&mut self, x: &[f32], list: usize, coarse: f32) -> Result<f32> {
        let distance = if self.coarse_is_ours {
            coarse
        } else {
            self.find_centroid(list)?;
            extra::distance(self.metric(), 0.0, x, &self.centroid)
        };
        Ok(if self.similarity { -distance } else { distance })
    }

    fn metric(&self) -> MetricType {
        if self.similarity { MetricType::InnerProduct } else { MetricType::L2 }
    }
}

impl Scanner for CodecScanner<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.query.copy_from_slice(x);
        if self.of_residuals { Ok(()) } else { self.distances.set_query(x) }
    }
    fn set_list(&mut self, list: usize, coarse: f32) -> Result<()> {
        if self.of_residuals {
            self.find_centroid(list)?;
            simd::fvec_sub(&mut self.residual, &self.query, &self.centroid);
            self.distances.set_query(&self.residual)?;
        }
        if self.with_offset {
            let query = std::mem::take(&mut self.query);
            self.offset = self.offset(&query, list, coarse)?;
            self.query = query;
        }
        Ok(())
    }
    fn keys(&mut self, _first: usize, codes: &[u8], keys: &mut [f32]) -> Result<()> {
        self.distances.keys(codes, keys);
        if self.with_offset {
            keys.iter_mut().for_each(|key| *key += self.offset);
        }
        Ok(())
    }
    fn tile(&mut self, x: &[f32], list: usize, coarse: &[f32], codes: &[u8], keys: &mut [f32]) -> Result<bool> {
        if self.of_residuals {
            self.find_centroid(list)?;
        }
        let origin = self.of_residuals.then_some(&self.centroid[..]);
        if !self.distances.tile(x, origin, codes, keys) {
            return Ok(false);
        }
        if self.with_offset {
            let rows = keys.len() / coarse.len();
            for ((x, keys), coarse) in x.chunks_exact(self.query.len()).zip(keys.chunks_exact_mut(rows)).zip(coarse) {
                let offset = self.offset(x, list, *coarse)?;
                keys.iter_mut().for_each(|key| *key += offset);
            }
        }
        Ok(true)
    }
}
