//! Norms beside codes: how many bits they have, how they are rounded, and what that is learnt from.

use super::*;
use crate::cluster::{Clustering, kmeans1d};
use crate::index::Index;

/// Bits of a norm by the search type.
pub fn bits(search_type: i32) -> Result<usize> {
    Ok(match search_type {
        ST_DECOMPRESS | ST_LUT_NONORM | ST_NORM_FROM_LUT => 0,
        ST_NORM_FLOAT => 32,
        ST_NORM_QINT8 | ST_NORM_CQINT8 | ST_NORM_LSQ2X4 | ST_NORM_RQ2X4 => 8,
        ST_NORM_QINT4 | ST_NORM_CQINT4 => 4,
        other => return Err(Error::value(format!("search_type {other} is not known; known: 0 to 9"))),
    })
}

/// The `k` values that norms are nearest to. Of more norms than k-means takes, a sample is used.
fn nearest_values(norms: &[f32], k: usize) -> Result<Vec<f32>> {
    Error::check(norms.iter().all(|v| v.is_finite()), "std::isfinite(x[i])")?;
    let sample = Clustering::new(1, k).subsample(norms.len());
    let sample = sample.map(|chosen| chosen.iter().map(|i| norms[*i as usize]).collect::<Vec<_>>());
    Ok(kmeans1d(sample.as_deref().unwrap_or(norms), k)?.0)
}

impl AdditiveQuantizer {
    /// Whether norms are rounded to the values in `qnorm`.
    fn has_values(&self) -> bool {
        (ST_NORM_CQINT8..=ST_NORM_RQ2X4).contains(&self.search_type)
    }

    /// Learns how norms are stored.
    pub fn train_norm(&mut self, norms: &[f32]) -> Result<()> {
        self.norm_min = norms.iter().copied().fold(f32::INFINITY, f32::min);
        self.norm_max = norms.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let values = match self.search_type {
            ST_NORM_CQINT8 => nearest_values(norms, 256)?,
            ST_NORM_CQINT4 => nearest_values(norms, 16)?,
            ST_NORM_LSQ2X4 | ST_NORM_RQ2X4 => {
                self.norm_tabs = if self.search_type == ST_NORM_LSQ2X4 {
                    let mut pair = LocalSearchQuantizer::new(1, 2, 4, ST_DECOMPRESS)?;
                    pair.train(norms)?;
                    pair.aq.codebooks
                } else {
                    let mut pair = ResidualQuantizer::new(1, vec![4, 4], ST_DECOMPRESS)?;
                    pair.train(norms)?;
                    pair.aq.codebooks
                };
                let (low, high) = self.norm_tabs.split_at(16);
                high.iter().flat_map(|h| low.iter().map(move |l| l + h)).collect()
            }
            _ => return Ok(()),
        };
        self.qnorm = IndexFlat1D::default();
        self.qnorm.add(&values)
    }

    /// The bits that are stored for norms.
    pub(super) fn encode_norms(&self, norms: &[f32]) -> Result<Vec<u64>> {
        if self.has_values() {
            let (mut distances, mut labels) = (vec![0.0; norms.len()], vec![0; norms.len()]);
            self.qnorm.search(norms, 1, None, &mut distances, &mut labels)?;
            // A NaN is nearest to none.
            return Ok(labels.into_iter().map(|l| l.max(0) as u64).collect());
        }
        Ok(norms.iter().map(|norm| self.round(*norm)).collect())
    }

    /// The bits of one norm, where its values are evenly spread.
    fn round(&self, norm: f32) -> u64 {
        let steps = match self.search_type {
            ST_NORM_FLOAT => return u64::from(norm.to_bits()),
            ST_NORM_QINT8 => 256.0,
            _ => 16.0,
        };
        let at = ((norm - self.norm_min) / (self.norm_max - self.norm_min) * steps).floor();
        // The cast takes a NaN to 0.
        at.clamp(0.0, steps - 1.0) as u64
    }

    /// The norm that these bits stand for.
    #[inline]
    pub(super) fn decode_norm(&self, bits: u64) -> f32 {
        let steps = match self.search_type {
            ST_NORM_FLOAT => return f32::from_bits(bits as u32),
            ST_NORM_QINT8 => 256.0,
            ST_NORM_QINT4 => 16.0,
            _ => return self.qnorm.get_xb().get(bits as usize).copied().unwrap_or(0.0),
        };
        (bits as f32 + 0.5) / steps * (self.norm_max - self.norm_min) + self.norm_min
    }

    /// The number of the value that a norm is rounded to.
    pub(super) fn encode_qcint(&self, norm: f32) -> Result<u64> {
        Error::check(self.has_values(), "the norms of this search_type are not rounded to qnorm's values")?;
        Ok(self.encode_norms(&[norm])?[0])
    }

    pub(super) fn write_norm_values(&self, out: &mut Writer<'_>) -> Result<()> {
        if self.has_values() {
            out.codes_of_words(self.qnorm.codes.as_slice())?;
        }
        if self.search_type == ST_NORM_LSQ2X4 || self.search_type == ST_NORM_RQ2X4 {
            out.vec(&self.norm_tabs)?;
        }
        Ok(())
    }

    pub(super) fn read_norm_values(&mut self, input: &mut Reader<'_>) -> Result<()> {
        if self.has_values() {
            let values: Vec<f32> = input.vec()?;
            let most = 1 << self.norm_bits;
            Error::check(values.len() == most || values.is_empty(), "qnorm has a value for each norm")?;
            self.qnorm = IndexFlat1D::default();
            self.qnorm.add(&values)?;
        }
        if self.search_type == ST_NORM_LSQ2X4 || self.search_type == ST_NORM_RQ2X4 {
            self.norm_tabs = input.vec()?;
        }
        Ok(())
    }
}
