//! The residual quantizer: each codebook quantizes what those before it leave. Encoding keeps the best few sums at each step (beam search; Liu et al.,
//! "Improved residual vector quantization", 2015).

use faiss_derive::{Object, methods};

use super::{Additive, AdditiveQuantizer, code_distances, compute_codes, train_norms};
use crate::base::declare::Rows;
use crate::base::{Error, MetricType, Result, interrupt, threads};
use crate::cluster::Clustering;
use crate::cluster::progressive::ProgressiveDimClusteringParameters;
use crate::index::flat_l2::IndexFlatL2;
use crate::quantize::codec::CodeDistances;
use crate::quantize::{Quantizer, QuantizerBase};
use crate::registry::Row;
use crate::simd;
use crate::stream::{Reader, Writer};

/// K-means in steps of growing dimension.
pub const TRAIN_PROGRESSIVE_DIM: i32 = 1;
/// Codebooks are improved by least squares afterwards.
pub const TRAIN_REFINE_CODEBOOK: i32 = 2;
/// Only the best sum of each vector is trained on.
pub const TRAIN_TOP_BEAM: i32 = 1024;
/// No tables of products between codebooks, which are not kept here anyway.
pub const SKIP_CODEBOOK_TABLES: i32 = 2048;

/// Quantizes vectors by sums of centroids, each of which is near to what those before it leave.
#[derive(Object, Clone)]
#[object(methods, copy)]
pub struct ResidualQuantizer {
    #[object(parent)]
    pub aq: AdditiveQuantizer,
    /// Flags: 1 k-means in growing dimensions, 2 codebooks improved afterwards, 1024 training on the best sums only.
    pub train_type: i32,
    /// Rounds of that improvement.
    pub niter_codebook_refine: i32,
    /// Sums that encoding keeps at each step.
    pub max_beam_size: i32,
    /// Accepted for compatibility: distances are computed from residuals.
    pub use_beam_LUT: i32,
    /// Accepted for compatibility: the best sums are chosen exactly.
    pub approx_topk_mode: i32,
    /// Parameters of the k-means.
    pub cp: ProgressiveDimClusteringParameters,
    /// Accepted for compatibility.
    pub max_mem_distances: usize,
}

pub const ROW: Row = Row::of::<ResidualQuantizer>();

impl Default for ResidualQuantizer {
    fn default() -> Self {
        ResidualQuantizer {
            aq: AdditiveQuantizer::default(),
            train_type: TRAIN_PROGRESSIVE_DIM,
            niter_codebook_refine: 5,
            max_beam_size: 5,
            use_beam_LUT: 0,
            approx_topk_mode: 0,
            cp: ProgressiveDimClusteringParameters::default(),
            max_mem_distances: 5 << 30,
        }
    }
}

#[methods(new)]
impl ResidualQuantizer {
    /// With `M` codebooks of `2^nbits` centroids.
    #[new]
    pub fn new(d: usize, M: usize, nbits: usize, #[default = 0] search_type: i32) -> Result<Self> {
        Error::check(M <= 1 << 16, "M <= 65536")?;
        ResidualQuantizer::of_bits(d, vec![nbits; M], search_type)
    }

    /// With codebooks of these numbers of bits.
    #[new]
    fn of_numbers(d: usize, nbits: &[i64], #[default = 0] search_type: i32) -> Result<Self> {
        let nbits = nbits.iter().map(|v| usize::try_from(*v).map_err(|_| Error::overflow("nbits")));
        ResidualQuantizer::of_bits(d, nbits.collect::<Result<_>>()?, search_type)
    }

    /// Sets what follows from `d`, `nbits` and `search_type`.
    #[name = "set_derived_values"]
    fn derive(&mut self) -> Result<()> {
        self.aq.set_derived_values()
    }

    /// Trains on vectors (n, d).
    #[name = "train"]
    fn train_on(&mut self, x: &[f32]) -> Result<()> {
        Quantizer::train(self, x)
    }

    /// The codes of vectors (n, d): (n, code_size).
    #[name = "compute_codes"]
    fn codes_of(&self, x: &[f32]) -> Result<Rows<u8>> {
        let mut codes = vec![0; x.len() / self.d.max(1) * self.code_size];
        compute_codes(self, x, &mut codes, None)?;
        Ok(Rows(codes, self.code_size))
    }

    /// The vectors that codes (n, code_size) stand for: (n, d).
    #[name = "decode"]
    fn decoded(&self, codes: &[u8]) -> Result<Rows<f32>> {
        let mut x = vec![0f32; codes.len() / self.code_size.max(1) * self.d];
        self.aq.decode_codes(codes, &mut x)?;
        Ok(Rows(x, self.d))
    }

    /// Makes one round of least squares: the codebooks that are best for the codes of `x`. Returns the mean squared error.
    pub fn retrain_AQ_codebook(&mut self, n: usize, x: &[f32]) -> Result<f32> {
        Error::check(n.checked_mul(self.d) == Some(x.len()), "x.size() == n * d")?;
        let mut numbers = vec![0; n * self.M];
        self.encode(x, &mut numbers)?;
        self.refine(x, &numbers)
    }
}

/// What encoding keeps of each vector at a step.
struct Beams {
    size: usize,
    /// `n * size * steps` numbers.
    numbers: Vec<i32>,
    /// `n * size * d` numbers.
    residuals: Vec<f32>,
    distances: Vec<f32>,
}

impl ResidualQuantizer {
    pub fn of_bits(d: usize, nbits: Vec<usize>, search_type: i32) -> Result<Self> {
        Ok(ResidualQuantizer { aq: AdditiveQuantizer::new(d, nbits, search_type)?, ..Default::default() })
    }

    /// One more codebook: of each vector, the best sums of those kept and a centroid.
    fn step(&self, d: usize, codebook: &[f32], beams: &Beams, steps: usize, size: usize) -> Result<Beams> {
        let k = codebook.len() / d;
        let n = beams.residuals.len() / (beams.size * d);
        let mut made = Beams {
            size,
            numbers: vec![0; n * size * (steps + 1)],
            residuals: vec![0.0; n * size * d],
            distances: vec![0.0; n * size],
        };
        let norms: Vec<f32> = codebook.chunks_exact(d).map(simd::fvec_norm_L2sqr).collect();
        let rows: Vec<_> = made
            .numbers
            .chunks_exact_mut(size * (steps + 1))
            .zip(made.residuals.chunks_exact_mut(size * d))
            .zip(made.distances.chunks_exact_mut(size))
            .map(parking_lot::Mutex::new)
            .collect();
        let share = 64;
        threads::parallel_for(n.div_ceil(share), |task| {
            interrupt::check()?;
            let mut keys = vec![0f32; beams.size * k];
            let mut order: Vec<u32> = Vec::new();
            for (i, row) in rows.iter().enumerate().take(((task + 1) * share).min(n)).skip(task * share) {
                for b in 0..beams.size {
                    let residual = &beams.residuals[(i * beams.size + b) * d..(i * beams.size + b + 1) * d];
                    let keys = &mut keys[b * k..(b + 1) * k];
                    if k <= 16 {
                        simd::fvec_L2sqr_ny(keys, residual, codebook);
                    } else {
                        simd::fvec_inner_products_ny(keys, residual, codebook);
                        keys.iter_mut().for_each(|key| *key *= -2.0);
                        simd::products_to_L2sqr(keys, simd::fvec_norm_L2sqr(residual), &norms);
                    }
                }
                order.clear();
                order.extend(0..keys.len() as u32);
                let by_key = |a: &u32, b: &u32| keys[*a as usize].total_cmp(&keys[*b as usize]).then(a.cmp(b));
                if order.len() > size {
                    order.select_nth_unstable_by(size - 1, by_key);
                    order.truncate(size);
                }
                order.sort_unstable_by(by_key);
                let ((numbers, residuals), distances) = &mut *row.lock();
                for (to, from) in order.iter().enumerate() {
                    let (b, number) = (*from as usize / k, *from as usize % k);
                    let old = (i * beams.size + b) * steps;
                    let own = &mut numbers[to * (steps + 1)..(to + 1) * (steps + 1)];
                    own[..steps].copy_from_slice(&beams.numbers[old..old + steps]);
                    own[steps] = number as i32;
                    let residual = &beams.residuals[(i * beams.size + b) * d..(i * beams.size + b + 1) * d];
                    let centroid = &codebook[number * d..(number + 1) * d];
                    simd::fvec_sub(&mut residuals[to * d..(to + 1) * d], residual, centroid);
                    distances[to] = keys[*from as usize];
                }
            }
            Ok(())
        })?;
        drop(rows);
        Ok(made)
    }

    fn beam_size(&self) -> Result<usize> {
        let size = usize::try_from(self.max_beam_size).ok().filter(|size| *size > 0);
        size.ok_or_else(|| Error::failed("max_beam_size > 0", "encoding keeps at least one sum"))
    }

    fn start(x: &[f32]) -> Beams {
        Beams { size: 1, numbers: Vec::new(), residuals: x.to_vec(), distances: Vec::new() }
    }

    /// Encodes by the first codebooks, all of them in the end: the numbers and squared errors of the best `keep` sums.
    fn search(&self, x: &[f32], beam: usize) -> Result<Beams> {
        let d = self.d;
        let mut beams = Self::start(x);
        for m in 0..self.M {
            let k = 1usize << self.nbits[m];
            let size = beams.size.saturating_mul(k).min(beam);
            let from = self.codebook_offsets[m] * d;
            beams = self.step(d, &self.codebooks[from..from + k * d], &beams, m, size)?;
        }
        Ok(beams)
    }

    /// The best `k` combinations of centroids of each vector, as numbers that count over all combinations, and their squared distances.
    pub fn nearest_combinations(
        &self,
        x: &[f32],
        k: usize,
        beam: usize,
        labels: &mut [i64],
        distances: &mut [f32],
    ) -> Result<()> {
        self.aq.check()?;
        let beams = self.search(x, beam)?;
        for (i, (labels, distances)) in labels.chunks_exact_mut(k).zip(distances.chunks_exact_mut(k)).enumerate() {
            for j in 0..k {
                if j >= beams.size {
                    (labels[j], distances[j]) = (-1, f32::MAX);
                    continue;
                }
                let own = &beams.numbers[(i * beams.size + j) * self.M..(i * beams.size + j + 1) * self.M];
                let (mut label, mut shift) = (0i64, 0);
                for (number, bits) in own.iter().zip(&self.nbits) {
                    label |= i64::from(*number) << shift;
                    shift += bits;
                }
                (labels[j], distances[j]) = (label, beams.distances[i * beams.size + j]);
            }
        }
        Ok(())
    }

    /// Trains on single numbers, without norms.
    pub(super) fn train_numbers(&mut self, x: &[f32]) -> Result<()> {
        self.train(x)
    }

    /// The codebooks of least squared error for given codes: normal equations of the matrix that says which centroids each vector has.
    fn refine(&mut self, x: &[f32], numbers: &[i32]) -> Result<f32> {
        let (d, size) = (self.d, self.total_codebook_size);
        let (mut counts, mut sums) = (vec![0f64; size * size], vec![0f64; size * d]);
        for (row, own) in x.chunks_exact(d).zip(numbers.chunks_exact(self.M)) {
            let places: Vec<usize> =
                own.iter().zip(&self.codebook_offsets).map(|(number, at)| *at + *number as usize).collect();
            for a in &places {
                places.iter().for_each(|b| counts[a * size + b] += 1.0);
                sums[a * d..(a + 1) * d].iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v));
            }
        }
        // Combinations that never occur leave the equations short of rank: a little weight on what is there keeps them solvable.
        (0..size).for_each(|i| counts[i * size + i] += 1e-6 * x.len() as f64 / d as f64);
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += 1e-6 * (x.len() / d) as f64 * f64::from(self.codebooks[i]);
        }
        solve(&mut counts, &mut sums, size, d)?;
        self.codebooks = sums.iter().map(|v| *v as f32).collect();
        let mut error = 0f64;
        let mut decoded = vec![0f32; d];
        for (row, own) in x.chunks_exact(d).zip(numbers.chunks_exact(self.M)) {
            self.aq.sum(own, &mut decoded);
            error += f64::from(simd::fvec_L2sqr(row, &decoded));
        }
        Ok((error / (x.len() / d).max(1) as f64) as f32)
    }

    pub fn write(&self, out: &mut Writer<'_>) -> Result<()> {
        self.aq.write(out)?;
        out.i32(self.train_type)?;
        out.i32(self.max_beam_size)
    }

    pub fn read(input: &mut Reader<'_>) -> Result<Self> {
        let aq = AdditiveQuantizer::read(input)?;
        let (train_type, max_beam_size) = (input.i32()?, input.i32()?);
        Ok(ResidualQuantizer { aq, train_type, max_beam_size, ..Default::default() })
    }
}

/// Solves `a x = b` for a symmetric positive matrix of `n` rows and `d` columns of `b`, in place, by Cholesky's decomposition.
fn solve(a: &mut [f64], b: &mut [f64], n: usize, d: usize) -> Result<()> {
    for i in 0..n {
        interrupt::check()?;
        for j in 0..=i {
            let mut sum = a[i * n + j];
            for k in 0..j {
                sum -= a[i * n + k] * a[j * n + k];
            }
            if i == j {
                Error::check(sum > 0.0, "the codebooks' equations have a solution")?;
                a[i * n + i] = sum.sqrt();
            } else {
                a[i * n + j] = sum / a[j * n + j];
            }
        }
    }
    for c in 0..d {
        for i in 0..n {
            let mut sum = b[i * d + c];
            for k in 0..i {
                sum -= a[i * n + k] * b[k * d + c];
            }
            b[i * d + c] = sum / a[i * n + i];
        }
        for i in (0..n).rev() {
            let mut sum = b[i * d + c];
            for k in i + 1..n {
                sum -= a[k * n + i] * b[k * d + c];
            }
            b[i * d + c] = sum / a[i * n + i];
        }
    }
    Ok(())
}

impl Additive for ResidualQuantizer {
    fn aq(&self) -> &AdditiveQuantizer {
        &self.aq
    }
    fn aq_mut(&mut self) -> &mut AdditiveQuantizer {
        &mut self.aq
    }
    fn encode(&self, x: &[f32], numbers: &mut [i32]) -> Result<()> {
        let (d, m) = (self.d.max(1), self.M);
        let beam = self.beam_size()?;
        // Blocks bound what is kept of all sums.
        for (x, numbers) in x.chunks(4096 * d).zip(numbers.chunks_mut(4096 * m.max(1))) {
            let beams = self.search(x, beam)?;
            for (i, own) in numbers.chunks_exact_mut(m.max(1)).enumerate() {
                own.copy_from_slice(&beams.numbers[i * beams.size * m..i * beams.size * m + m]);
            }
        }
        Ok(())
    }
}

impl Quantizer for ResidualQuantizer {
    fn quantizer_base(&self) -> &QuantizerBase {
        &self.aq
    }
    fn check(&self) -> Result<()> {
        self.aq.check()
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.aq.set_derived_values()?;
        let (d, beam) = (self.d, self.beam_size()?);
        Error::check(d > 0 && x.len().is_multiple_of(d) && !x.is_empty(), "x.size() % d == 0")?;
        let n = x.len() / d;
        self.codebooks = vec![0.0; d * self.total_codebook_size];
        let mut beams = Self::start(x);
        for m in 0..self.M {
            let k = 1usize << self.nbits[m];
            let best: Vec<f32>;
            let residuals = if self.train_type & TRAIN_TOP_BEAM != 0 {
                best = beams.residuals.chunks_exact(beams.size * d).flat_map(|own| &own[..d]).copied().collect();
                &best
            } else {
                &beams.residuals
            };
            let codebook = if self.train_type & TRAIN_PROGRESSIVE_DIM != 0 {
                self.cp.train(d, k, residuals)?
            } else {
                let mut clustering = Clustering { cp: self.cp.cp.clone(), ..Clustering::new(d, k) };
                clustering.train(residuals, &mut IndexFlatL2::new(d as i64)?, None)?;
                clustering.centroids
            };
            let from = self.codebook_offsets[m] * d;
            let size = beams.size.saturating_mul(k).min(beam);
            beams = self.step(d, &codebook, &beams, m, size)?;
            self.codebooks[from..from + codebook.len()].copy_from_slice(&codebook);
        }
        self.is_trained = true;
        let mut best: Vec<f32> =
            beams.residuals.chunks_exact(beams.size * d).flat_map(|own| &own[..d]).copied().collect();
        if self.train_type & TRAIN_REFINE_CODEBOOK != 0 {
            for _ in 0..self.niter_codebook_refine {
                self.retrain_AQ_codebook(n, x)?;
            }
            let again = self.search(x, beam)?;
            best = again.residuals.chunks_exact(again.size * d).flat_map(|own| &own[..d]).copied().collect();
        }
        let norms: Vec<f32> =
            x.chunks_exact(d).zip(best.chunks_exact(d)).map(|(x, r)| simd::fvec_L2sqr(x, r)).collect();
        train_norms(&mut self.aq, &norms)
    }
    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        compute_codes(self, x, codes, None)
    }
    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.aq.decode_codes(codes, x)
    }
    fn code_distances(&self, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        code_distances(self, &self.aq, metric)
    }
}
