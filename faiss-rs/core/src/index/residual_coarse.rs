//! The sums of a residual quantizer as centroids, all combinations of them: a coarse quantizer that is not stored.

use faiss_derive::{Object, methods};

use super::{Index, IndexBase, SearchParameters, header};
use crate::base::object::{Object, cast, receiver};
use crate::base::{Error, Handle, MetricType, Result, threads};
use crate::grammar::Grammar;
use crate::quantize::Quantizer;
use crate::quantize::additive::RqPart;
use crate::quantize::additive::residual::ResidualQuantizer;
use crate::registry::{Format, Row};
use crate::simd;

/// Queries whose distances to all centroids are computed at a time.
const BLOCK: usize = 64;
/// The most bits of a centroid's number.
const MAX_BITS: usize = 40;

/// Base of the coarse quantizers whose centroids are sums.
#[derive(Object, Default, Clone)]
#[object(abstract)]
pub struct AdditiveCoarseQuantizer {
    #[object(parent)]
    pub base: IndexBase,
    /// Squared norms of all centroids, where they are compared exhaustively by L2.
    pub centroid_norms: Vec<f32>,
}

pub const BASE: Row = Row::of::<AdditiveCoarseQuantizer>();

/// Finds the nearest of all sums of a residual quantizer.
#[derive(Object, Clone)]
#[object(methods, implements(Index), copy)]
pub struct ResidualCoarseQuantizer {
    #[object(parent)]
    pub coarse: AdditiveCoarseQuantizer,
    /// Has the centroids.
    pub rq: ResidualQuantizer,
    /// A search keeps so many times `k` sums at each step; negative: all centroids are compared.
    pub beam_factor: f32,
}

impl Default for ResidualCoarseQuantizer {
    fn default() -> Self {
        ResidualCoarseQuantizer { coarse: Default::default(), rq: Default::default(), beam_factor: 4.0 }
    }
}

/// Parameters of one search of a [`ResidualCoarseQuantizer`].
#[derive(Object, Clone)]
#[object(fields)]
pub struct SearchParametersResidualCoarseQuantizer {
    #[object(parent)]
    pub base: SearchParameters,
    /// As the index's.
    pub beam_factor: f32,
}

impl Default for SearchParametersResidualCoarseQuantizer {
    fn default() -> Self {
        SearchParametersResidualCoarseQuantizer { base: Default::default(), beam_factor: 4.0 }
    }
}

pub const PARAMETERS: Row = Row::of::<SearchParametersResidualCoarseQuantizer>();

pub const ROW: Row = Row::of::<ResidualCoarseQuantizer>()
    .grammar(Grammar::Index(|d, part, metric| {
        let Some(part) = RqPart::parse(part, "RCQ") else { return Ok(None) };
        Ok(Some(Handle::new(ResidualCoarseQuantizer::of_bits(d, part.nbits, metric)?)))
    }))
    .format(Format {
        fourccs: &["ImRQ"],
        read: |input, _| {
            let base = header::read(input)?;
            let rq = ResidualQuantizer::read(input)?;
            let beam_factor = input.f32()?;
            let combinations = rq.tot_bits <= MAX_BITS && (!base.is_trained || base.ntotal == 1 << rq.tot_bits);
            Error::check(rq.d == base.dim() && combinations, "ntotal == 1 << rq.tot_bits")?;
            let coarse = AdditiveCoarseQuantizer { base, centroid_norms: Vec::new() };
            let mut index = ResidualCoarseQuantizer { coarse, rq, beam_factor };
            if index.is_trained {
                index.set_beam_factor(beam_factor)?;
            }
            Ok(Handle::new(index))
        },
        write: |object, out| {
            let index = receiver::<ResidualCoarseQuantizer>(object)?;
            out.fourcc("ImRQ")?;
            header::write(index, out)?;
            index.rq.write(out)?;
            out.f32(index.beam_factor)
        },
    });

#[methods(new)]
impl ResidualCoarseQuantizer {
    /// With `M` codebooks of `2^nbits` centroids.
    #[new]
    pub fn new(d: i64, M: usize, nbits: usize, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        Error::check(M <= MAX_BITS, "M * nbits is small enough for a number of lists")?;
        ResidualCoarseQuantizer::of_bits(d, vec![nbits; M], metric)
    }

    /// With codebooks of these numbers of bits.
    #[new]
    fn of_numbers(d: i64, nbits: &[i64], #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        let nbits = nbits.iter().map(|v| usize::try_from(*v).map_err(|_| Error::overflow("nbits")));
        ResidualCoarseQuantizer::of_bits(d, nbits.collect::<Result<_>>()?, metric)
    }

    /// A search keeps `new_beam_factor` times `k` sums at each step; negative: all centroids are compared.
    pub fn set_beam_factor(&mut self, new_beam_factor: f32) -> Result<()> {
        self.beam_factor = new_beam_factor;
        if new_beam_factor >= 0.0 {
            Error::check(new_beam_factor >= 1.0, "new_beam_factor >= 1.0")?;
            self.centroid_norms = Vec::new();
        } else if self.metric_type == MetricType::L2 && self.centroid_norms.is_empty() {
            let n = usize::try_from(self.ntotal).unwrap_or(0);
            let mut norms = vec![0f32; n];
            threads::parallel_rows(&mut norms, 1, 256, |first, rows| {
                let mut x = vec![0f32; self.rq.d];
                for (i, norm) in rows.iter_mut().enumerate() {
                    self.rq.aq.decode_64bit((first + i) as i64, &mut x);
                    *norm = simd::fvec_norm_L2sqr(&x);
                }
                Ok(())
            })?;
            self.centroid_norms = norms;
        }
        Ok(())
    }
}

impl ResidualCoarseQuantizer {
    pub fn of_bits(d: i64, nbits: Vec<usize>, metric: MetricType) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        Error::check(nbits.iter().sum::<usize>() <= MAX_BITS, "tot_bits <= 40")?;
        let rq = ResidualQuantizer::of_bits(base.dim(), nbits, 0)?;
        let coarse = AdditiveCoarseQuantizer { base, centroid_norms: Vec::new() };
        Ok(ResidualCoarseQuantizer { coarse, rq, beam_factor: 4.0 })
    }

    /// By the distances to all centroids.
    fn search_all(&self, x: &[f32], k: usize, distances: &mut [f32], labels: &mut [i64]) -> Result<()> {
        let (d, similarity) = (self.dim(), self.metric_type.is_similarity());
        let n = usize::try_from(self.ntotal).unwrap_or(0);
        let mut table = vec![0f32; self.rq.total_codebook_size];
        let mut products = vec![0f32; n];
        for ((row, distances), labels) in
            x.chunks_exact(d).zip(distances.chunks_exact_mut(k)).zip(labels.chunks_exact_mut(k))
        {
            crate::base::interrupt::check()?;
            self.rq.aq.tables(row, &mut table);
            // Sums of the tables' entries: those of the first codebook, then each of these with each of the next, ...
            products.fill(0.0);
            let (mut have, mut at) = (1usize, 0usize);
            for bits in &self.rq.nbits {
                let size = 1usize << bits;
                for number in (0..size).rev() {
                    for i in 0..have {
                        products[number * have + i] = products[i] + table[at + number];
                    }
                }
                (have, at) = (have * size, at + size);
            }
            let norm = simd::fvec_norm_L2sqr(row);
            let keys: Vec<f32> = if similarity {
                products.iter().map(|p| -p).collect()
            } else {
                products.iter().zip(&self.centroid_norms).map(|(p, c)| norm + c - 2.0 * p).collect()
            };
            let mut order: Vec<u32> = (0..n as u32).collect();
            let by_key = |a: &u32, b: &u32| keys[*a as usize].total_cmp(&keys[*b as usize]).then(a.cmp(b));
            if k < n {
                order.select_nth_unstable_by(k - 1, by_key);
                order.truncate(k);
            }
            order.sort_unstable_by(by_key);
            for i in 0..k {
                let found = order.get(i).map(|at| (keys[*at as usize], i64::from(*at)));
                let (key, label) = found.unwrap_or((f32::MAX, -1));
                (distances[i], labels[i]) = (if similarity { -key } else { key }, label);
            }
        }
        Ok(())
    }
}

impl Index for ResidualCoarseQuantizer {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }

    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.rows(x)?;
        self.rq.train(x)?;
        self.is_trained = true;
        self.ntotal = 1 << self.rq.tot_bits;
        self.set_beam_factor(self.beam_factor)
    }
    fn add(&mut self, _x: &[f32]) -> Result<()> {
        Err(Error::failed("", "not applicable"))
    }
    fn reset(&mut self) -> Result<()> {
        Err(Error::failed("", "not applicable"))
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.position(key)?;
        Error::check(out.len() == self.dim(), "recons.size() == d")?;
        self.rq.aq.check()?;
        self.rq.aq.decode_64bit(key, out);
        Ok(())
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        let n = self.queries(x, k, distances, labels)?;
        self.rq.aq.check()?;
        let own = params.and_then(cast::<SearchParametersResidualCoarseQuantizer>);
        if params.is_some() && own.is_none() {
            return Err(Error::failed("params", "the parameters are no SearchParametersResidualCoarseQuantizer"));
        }
        let factor = own.map_or(self.beam_factor, |own| own.beam_factor);
        if factor < 0.0 || self.metric_type.is_similarity() {
            let known = self.metric_type.is_similarity() || self.centroid_norms.len() as i64 == self.ntotal;
            Error::check(known, "centroid_norms.size() == ntotal: set_beam_factor(-1) makes them")?;
            return self.search_all(x, k, distances, labels);
        }
        let beam = ((k as f64 * f64::from(factor)) as usize).clamp(k.min(1 << 24), 1 << 24);
        let d = self.dim();
        for first in (0..n).step_by(BLOCK) {
            let end = (first + BLOCK).min(n);
            let (distances, labels) = (&mut distances[first * k..end * k], &mut labels[first * k..end * k]);
            self.rq.nearest_combinations(&x[first * d..end * d], k, beam, labels, distances)?;
        }
        Ok(())
    }
}
