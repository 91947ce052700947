//! Coarse quantizers whose centroids are all sums that an additive quantizer can make.

use faiss_derive::{Object, methods};

use super::{Index, IndexBase, SearchParameters, dim_of};
use crate::base::memory::filled;
use crate::base::object::{Object, cast, receiver};
use crate::base::{Error, Handle, MetricType, Result, threads};
use crate::distance::collect::{Collector, Reservoir};
use crate::distance::results::TopK;
use crate::grammar::{AdditivePart, Grammar};
use crate::quantize::additive::equal_bits;
use crate::quantize::additive::residual::bits_of;
use crate::quantize::additive::{Additive, LocalSearchQuantizer, ResidualQuantizer};
use crate::registry::Row;
use crate::simd;

/// Base of the coarse quantizers over an additive quantizer.
#[derive(Object, Default, Clone)]
#[object(abstract, implements(Index))]
pub struct AdditiveCoarseQuantizer {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// Squared norms of all centroids.
    pub centroid_norms: Vec<f32>,
}

pub(crate) const ROW: Row = Row::of::<AdditiveCoarseQuantizer>();

impl AdditiveCoarseQuantizer {
    fn new(d: i64, metric: MetricType) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        Ok(AdditiveCoarseQuantizer { base, centroid_norms: Vec::new() })
    }

    /// After training: as many vectors as there are codes, and their norms where distances need them.
    fn fill(&mut self, aq: &dyn Additive) -> Result<()> {
        self.base.ntotal = count(aq)?;
        self.base.is_trained = true;
        if self.base.metric_type == MetricType::L2 {
            self.centroid_norms = aq.aq().compute_centroid_norms()?;
        }
        Ok(())
    }

    /// The `k` nearest of all centroids.
    fn search_all(
        &self,
        aq: &dyn Additive,
        x: &[f32],
        k: usize,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        let (total, aq) = (count(aq)? as usize, aq.aq());
        aq.check_trained()?;
        Error::check(self.base.ntotal as usize == total, "ntotal == 1 << tot_bits")?;
        let (d, similarity) = (self.base.dim(), self.base.metric_type == MetricType::InnerProduct);
        Error::check(similarity || self.centroid_norms.len() == total, "centroid_norms.size() == ntotal")?;
        let n = self.base.queries(x, k, distances, labels)?;
        let out = TopK::new(self.base.metric_type, k, distances, labels);
        threads::parallel_for(n, |q| {
            let x = &x[q * d..(q + 1) * d];
            let mut table = vec![0.0; aq.total_codebook_size];
            aq.compute_LUT(x, if similarity { -1.0 } else { -2.0 }, &mut table)?;
            // Sums of the tables of the first codebooks, by the numbers of their codes.
            let mut sums = filled(&[total], 0f32)?;
            sums[0] = if similarity { 0.0 } else { simd::fvec_norm_L2sqr(x) };
            let mut known = 1;
            for m in 0..aq.M {
                let entries = &table[aq.codebook_offsets[m]..aq.codebook_offsets[m + 1]];
                let (before, after) = sums[..known * entries.len()].split_at_mut(known);
                for (sums, entry) in after.chunks_exact_mut(known).zip(&entries[1..]) {
                    sums.iter_mut().zip(&*before).for_each(|(sum, before)| *sum = before + entry);
                }
                before.iter_mut().for_each(|sum| *sum += entries[0]);
                known *= entries.len();
            }
            if !similarity {
                sums.iter_mut().zip(&self.centroid_norms).for_each(|(sum, norm)| *sum += norm);
            }
            let mut best = Reservoir::new(k);
            for (i, key) in sums.into_iter().enumerate() {
                if key < best.threshold() {
                    best.push(key, i as i64);
                }
            }
            out.write(q, &best.finish());
            Ok(())
        })
    }
}

/// The number of codes.
fn count(aq: &dyn Additive) -> Result<i64> {
    aq.aq().check()?;
    let bits = aq.aq().tot_bits - aq.aq().norm_bits;
    Error::check(bits < 32, "tot_bits < 32")?;
    Ok(1 << bits)
}

impl Index for AdditiveCoarseQuantizer {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }
}

/// The parts of `impl Index` that all kinds share; `$field` is the quantizer.
macro_rules! coarse {
    ($field:ident) => {
        fn base(&self) -> &IndexBase {
            self
        }
        fn base_mut(&mut self) -> &mut IndexBase {
            self
        }
        fn train(&mut self, x: &[f32]) -> Result<()> {
            self.rows(x)?;
            count(&self.$field)?;
            self.$field.aq.verbose |= self.coarse.base.verbose;
            self.$field.train(x)?;
            self.coarse.fill(&self.$field)
        }
        fn add(&mut self, _x: &[f32]) -> Result<()> {
            Err(Error::failed("", "not applicable"))
        }
        fn reset(&mut self) -> Result<()> {
            Err(Error::failed("", "not applicable"))
        }
        fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
            self.position(key)?;
            self.$field.aq.decode_64bit(key as u64, out)
        }
    };
}

/// A coarse quantizer over a residual quantizer: centroids are found by keeping the best few sums.
#[derive(Object, Clone)]
#[object(methods, implements(Index), copy)]
pub struct ResidualCoarseQuantizer {
    /// What coarse quantizers over sums have.
    #[object(parent)]
    pub coarse: AdditiveCoarseQuantizer,
    /// The quantizer.
    pub rq: ResidualQuantizer,
    /// Sums that are kept for each result that is wanted; negative to look at all centroids.
    #[object(default = 4.0)]
    pub beam_factor: f32,
}

/// Parameters of one search among the centroids of a [`ResidualCoarseQuantizer`].
#[derive(Object, Clone)]
#[object(fields)]
pub struct SearchParametersResidualCoarseQuantizer {
    /// What all searches take.
    #[object(parent)]
    pub base: SearchParameters,
    /// As the index's.
    #[object(default = 4.0)]
    pub beam_factor: f32,
}

pub(crate) const PARAMETERS: Row = Row::of::<SearchParametersResidualCoarseQuantizer>();

pub(crate) const RESIDUAL: Row = Row::of::<ResidualCoarseQuantizer>()
    .grammar(Grammar::Index(|d, part, metric| {
        let part =
            part.strip_prefix("RCQ").and_then(|sizes| AdditivePart::parse(&format!("RQ{sizes}"), MetricType::L2));
        let Some(AdditivePart::Residual { nbits, norm: 0 }) = part else { return Ok(None) };
        let rq = ResidualQuantizer::new(dim_of(d), nbits, 0)?;
        Ok(Some(Handle::new(ResidualCoarseQuantizer::over(d, rq, metric)?)))
    }))
    .format(crate::file_format!(ResidualCoarseQuantizer, ["ImRQ"], |index| {
        index.base;
        index.rq;
        index.beam_factor;
        read {
            Error::check(index.rq.aq.base.d == index.dim(), "rq.d == d")?;
            if index.is_trained {
                Error::check(index.ntotal == count(&index.rq)?, "ntotal == 1 << rq.tot_bits")?;
                check_beam_factor(index.beam_factor)?;
                if index.restores_norms() {
                    index.set_beam_factor(index.beam_factor)?;
                }
            }
        }
    }));

/// Centroids whose norms reading makes unasked, and numbers to add up for them where searches can do without.
const MAX_RESTORED_NORMS: usize = 1 << 24;
const MAX_UNASKED_SUMS: usize = 1 << 28;

fn check_beam_factor(beam_factor: f32) -> Result<()> {
    let fits = !beam_factor.is_nan() && !(0.0..1.0).contains(&beam_factor);
    Error::check(fits, "new_beam_factor >= 1.0")
}

impl ResidualCoarseQuantizer {
    /// Whether an index that was read gets its centroids' norms at once. So many that no small file should bring them about are left to
    /// `set_beam_factor`; a search that needs them says so.
    fn restores_norms(&self) -> bool {
        let (total, sums) = (self.ntotal as usize, self.dim() * self.rq.aq.M);
        let few = total.checked_mul(sums).is_some_and(|n| n <= MAX_UNASKED_SUMS);
        total <= MAX_RESTORED_NORMS && (self.beam_factor < 0.0 || few)
    }

    fn over(d: i64, rq: ResidualQuantizer, metric: MetricType) -> Result<Self> {
        Ok(ResidualCoarseQuantizer { coarse: AdditiveCoarseQuantizer::new(d, metric)?, rq, beam_factor: 4.0 })
    }
}

#[methods(new)]
impl ResidualCoarseQuantizer {
    /// `M` codebooks of `nbits` bits: `2^(M * nbits)` centroids.
    #[new]
    pub fn new(d: i64, M: usize, nbits: usize, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        Self::over(d, ResidualQuantizer::new(dim_of(d), equal_bits(M, nbits)?, 0)?, metric)
    }

    /// Codebooks of so many bits each.
    #[new]
    pub fn of_bits(d: i64, nbits: &[i64], #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        Self::over(d, ResidualQuantizer::new(dim_of(d), bits_of(nbits)?, 0)?, metric)
    }

    /// Sets `beam_factor`: at least 1, or negative to look at all centroids.
    pub fn set_beam_factor(&mut self, new_beam_factor: f32) -> Result<()> {
        check_beam_factor(new_beam_factor)?;
        self.beam_factor = new_beam_factor;
        if self.metric_type == MetricType::L2 && self.coarse.centroid_norms.len() as i64 != self.ntotal {
            self.coarse.centroid_norms = self.rq.aq.compute_centroid_norms()?;
        }
        Ok(())
    }

    /// Takes the first codebooks of another quantizer.
    pub fn initialize_from(&mut self, other: &dyn Index) -> Result<()> {
        let other = receiver::<ResidualCoarseQuantizer>(other)?;
        self.rq.initialize_from(&other.rq, 0)?;
        self.coarse.fill(&self.rq)
    }
}

impl Index for ResidualCoarseQuantizer {
    coarse!(rq);

    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let n = self.queries(x, k, distances, labels)?;
        let params = params.and_then(cast::<SearchParametersResidualCoarseQuantizer>);
        let factor = params.map_or(self.beam_factor, |p| p.beam_factor);
        if factor < 0.0 || self.metric_type != MetricType::L2 {
            return self.coarse.search_all(&self.rq, x, k, distances, labels);
        }
        if n == 0 || k == 0 {
            return Ok(());
        }
        let most = ((k as f64 * f64::from(factor)) as usize).clamp(1, self.ntotal.max(1) as usize);
        let (sums, keys, found) = self.rq.nearest_sums(x, most)?;
        let m = self.rq.aq.M;
        for q in 0..n {
            for j in 0..k {
                let at = q * k + j;
                (distances[at], labels[at]) = (f32::MAX, -1);
                if j < found {
                    let numbers = &sums[(q * found + j) * m..][..m];
                    let places = self.rq.aq.nbits.iter().zip(numbers);
                    let (label, _) = places.fold((0i64, 0), |(sum, shift), (bits, number)| {
                        (sum | i64::from(*number) << shift, shift + bits)
                    });
                    (distances[at], labels[at]) = (keys[q * found + j], label);
                }
            }
        }
        Ok(())
    }
}

/// A coarse quantizer over a local search quantizer: all centroids are looked at.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy)]
pub struct LocalSearchCoarseQuantizer {
    /// What coarse quantizers over sums have.
    #[object(parent)]
    pub coarse: AdditiveCoarseQuantizer,
    /// The quantizer.
    pub lsq: LocalSearchQuantizer,
}

pub(crate) const LOCAL_SEARCH: Row =
    Row::of::<LocalSearchCoarseQuantizer>().grammar(Grammar::Index(|d, part, metric| {
        let part =
            part.strip_prefix("LSCQ").and_then(|sizes| AdditivePart::parse(&format!("LSQ{sizes}"), MetricType::L2));
        let Some(AdditivePart::LocalSearch { m, nbits, norm: 0 }) = part else { return Ok(None) };
        Ok(Some(Handle::new(LocalSearchCoarseQuantizer::new(d, m, nbits, metric)?)))
    }));

#[methods(new)]
impl LocalSearchCoarseQuantizer {
    /// `M` codebooks of `nbits` bits: `2^(M * nbits)` centroids.
    #[new]
    pub fn new(d: i64, M: usize, nbits: usize, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        let lsq = LocalSearchQuantizer::new(dim_of(d), M, nbits, 0)?;
        Ok(LocalSearchCoarseQuantizer { coarse: AdditiveCoarseQuantizer::new(d, metric)?, lsq })
    }
}

impl Index for LocalSearchCoarseQuantizer {
    coarse!(lsq);

    fn search(
        &self,
        x: &[f32],
        k: usize,
        _params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        self.coarse.search_all(&self.lsq, x, k, distances, labels)
    }
}
