//! Inverted files of a quantizer's codes: what follows from the quantizer and from whether codes are of residuals.

use super::edit::{add_centroids, to_encode};
use super::{IndexIVF, InvertedFile, Scanner, Searcher};
use crate::base::{Error, MetricType, Result};
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
    if ivf.by_residual { add_centroids(ivf, list_nos, x) } else { Ok(()) }
}

/// Compares queries, or their residuals, with codes as the quantizer does.
pub struct CodecSearcher<'a> {
    ivf: &'a IndexIVF,
    codec: &'a dyn Quantizer,
    quantizer: &'a dyn Index,
}

impl<'a> CodecSearcher<'a> {
    /// `quantizer` is the inverted file's coarse one, locked.
    pub fn new(index: &'a dyn InvertedFile, quantizer: &'a dyn Index) -> Result<Self> {
        let (ivf, codec) = (index.ivf(), index.codec()?);
        check(ivf, codec)?;
        Ok(CodecSearcher { ivf, codec, quantizer })
    }
}

impl Searcher for CodecSearcher<'_> {
    fn scanner(&self) -> Result<Box<dyn Scanner + '_>> {
        let (metric, residual) = (self.ivf.metric_type, self.ivf.by_residual);
        let similarity = metric == MetricType::InnerProduct;
        Ok(Box::new(CodecScanner {
            distances: self.codec.code_distances(metric)?,
            quantizer: self.quantizer,
            of_residuals: residual && !similarity,
            with_offset: residual && similarity,
            coarse_is_ours: self.quantizer.base().metric_type == metric,
            query: vec![0.0; self.ivf.dim()],
            residual: vec![0.0; self.ivf.dim()],
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
    /// Products with the centroid and with the residual are added.
    with_offset: bool,
    /// Whether the quantizer's distances are those of the index's metric.
    coarse_is_ours: bool,
    query: Vec<f32>,
    residual: Vec<f32>,
    offset: f32,
}

impl Scanner for CodecScanner<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.query.copy_from_slice(x);
        if self.of_residuals { Ok(()) } else { self.distances.set_query(x) }
    }
    fn set_list(&mut self, list: usize, coarse: f32) -> Result<()> {
        if self.of_residuals {
            self.quantizer.compute_residual(&self.query, &mut self.residual, list as i64)?;
            return self.distances.set_query(&self.residual);
        }
        if self.with_offset {
            self.offset = if self.coarse_is_ours {
                -coarse
            } else {
                self.quantizer.reconstruct(list as i64, &mut self.residual)?;
                -simd::fvec_inner_product(&self.query, &self.residual)
            };
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
}
