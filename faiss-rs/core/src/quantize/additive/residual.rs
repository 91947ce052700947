//! The residual quantizer: each codebook is learnt from, and encodes, what the ones before leave. Encoding keeps the best few sums at each step
//! (Liu et al., "Improved residual vector quantization for high-dimensional approximate nearest neighbor search", 2015).

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::*;
use crate::base::memory::filled;
use crate::base::object::receiver;
use crate::base::{Shared, interrupt, progress};
use crate::blas::{Product, sgemm_nt, symmetric_eigen};
use crate::cluster::Clustering;
use crate::cluster::progressive::{
    DimIndexFactory, ProgressiveDimClustering, ProgressiveDimClusteringParameters, ProgressiveDimIndexFactory,
};
use crate::stream::fields::Form;
use crate::stream::{FourCC, Reader, Writer};

/// Flags of `train_type`.
pub const TRAIN_PROGRESSIVE_DIM: i32 = 1;
/// Codebooks are solved for again after all are there.
pub const TRAIN_REFINE_CODEBOOK: i32 = 2;
/// Only the best sum of each vector is looked at in training.
pub const TRAIN_TOP_BEAM: i32 = 1024;
/// Tables of products are not made.
pub const SKIP_CODEBOOK_TABLES: i32 = 2048;

/// Distances of one task of encoding.
const BLOCK: usize = 1 << 18;
/// Sums of a vector that a file may ask for: far more than anyone waits for.
const MAX_BEAM: i32 = 1 << 16;

/// Encodes by the best of `max_beam_size` sums of entries, found codebook by codebook.
///
/// Training finds codebook after codebook by k-means on what the ones before leave over. Liu, Lu and Shao, Improved residual vector quantization,
/// 2015.
#[derive(Object, Clone)]
#[object(methods, implements(Additive), copy)]
pub struct ResidualQuantizer {
    /// The codebooks.
    #[object(parent)]
    pub aq: AdditiveQuantizer,
    /// How training works, a sum: 1 clusters in growing dimensions, 2 refines the codebooks at the end, 1024 takes the best sum of each vector only,
    /// 2048 makes no tables of products.
    #[object(default = TRAIN_PROGRESSIVE_DIM)]
    pub train_type: i32,
    /// Rounds of refinement.
    #[object(default = 5)]
    pub niter_codebook_refine: i32,
    /// Sums that are kept of each vector.
    #[object(default = 5)]
    pub max_beam_size: i32,
    /// Whether sums are compared by tables of products; results are the same.
    pub use_beam_LUT: i32,
    /// How the best of many distances are found: always exactly, whatever this says.
    pub approx_topk_mode: i32,
    /// Parameters of the clustering of each codebook.
    pub cp: ProgressiveDimClusteringParameters,
    /// Gives the indexes that assign points in that clustering, if it is set; they are the CPU's otherwise. Files do not have it.
    pub assign_index_factory: Option<Shared<dyn DimIndexFactory>>,
}

pub(crate) const ROW: Row = Row::of::<ResidualQuantizer>();

/// The best sums of each vector so far: numbers of entries, what is left of the vector, and its squared norm.
struct Beams {
    d: usize,
    /// Codebooks so far, and sums a vector.
    m: usize,
    size: usize,
    numbers: Vec<u32>,
    residuals: Vec<f32>,
    distances: Vec<f32>,
}

impl Beams {
    /// `size` beginnings of each vector.
    fn new(x: Vec<f32>, d: usize, size: usize) -> Self {
        Beams { d, m: 0, size, numbers: Vec::new(), residuals: x, distances: Vec::new() }
    }

    /// Adds an entry of a codebook, with the entries' squared norms, to every sum and keeps the best `most` of each vector.
    fn advance(&mut self, book: &[f32], norms: &[f32], most: usize) -> Result<()> {
        let (d, k, size, m) = (self.d, norms.len(), self.size, self.m);
        // Places of sums are numbers of 32 bits.
        let sums = size.checked_mul(k).filter(|sums| u32::try_from(*sums).is_ok());
        let sums = sums.ok_or_else(|| Error::Memory(format!("{size} sums of each vector by {k} entries")))?;
        let (n, new) = (self.residuals.len() / (size * d).max(1), most.min(sums));
        let mut next = Beams {
            d,
            m: m + 1,
            size: new,
            numbers: filled(&[n, new, m + 1], 0)?,
            residuals: filled(&[n, new, d], 0.0)?,
            distances: filled(&[n, new], 0.0)?,
        };
        let rows = (BLOCK / sums).max(1);
        let outs: Vec<_> = next
            .numbers
            .chunks_mut(rows * new * (m + 1))
            .zip(next.residuals.chunks_mut(rows * new * d))
            .zip(next.distances.chunks_mut(rows * new))
            .map(|((numbers, residuals), distances)| Mutex::new((numbers, residuals, distances)))
            .collect();
        threads::parallel_for(outs.len(), |task| {
            interrupt::check()?;
            let mut out = outs[task].lock();
            let (numbers, residuals, distances) = &mut *out;
            let first = task * rows;
            let count = distances.len() / new;
            let own = &self.residuals[first * size * d..(first + count) * size * d];
            let mut keys = filled(&[count, size, k], 0.0)?;
            sgemm_nt(count * size, k, d, -2.0, own, book, &mut keys);
            for (row, residual) in keys.chunks_exact_mut(k).zip(own.chunks_exact(d)) {
                let norm = simd::fvec_norm_L2sqr(residual);
                row.iter_mut().zip(norms).for_each(|(key, c)| *key = (norm + *key + c).max(0.0));
            }
            let mut order: Vec<u32> = Vec::with_capacity(sums);
            for (i, keys) in keys.chunks_exact(sums).enumerate() {
                best(keys, new, &mut order);
                for (j, at) in order[..new].iter().map(|at| *at as usize).enumerate() {
                    let (from, entry, to) = (at / k, at % k, i * new + j);
                    let sum = &mut numbers[to * (m + 1)..(to + 1) * (m + 1)];
                    sum[..m].copy_from_slice(&self.numbers[((first + i) * size + from) * m..][..m]);
                    sum[m] = entry as u32;
                    let before = &own[(i * size + from) * d..][..d];
                    simd::fvec_sub(&mut residuals[to * d..(to + 1) * d], before, &book[entry * d..(entry + 1) * d]);
                    distances[to] = keys[at];
                }
            }
            Ok(())
        })?;
        drop(outs);
        *self = next;
        Ok(())
    }

    /// The numbers of the best sum of each vector.
    fn best_numbers(&self) -> Vec<u32> {
        if self.m == 0 {
            return Vec::new();
        }
        self.numbers.chunks_exact(self.m).step_by(self.size).flatten().copied().collect()
    }

    /// What is left of each vector after its best sum.
    fn best_residuals(&self) -> impl Iterator<Item = &[f32]> {
        self.residuals.chunks_exact(self.d).step_by(self.size)
    }
}

/// The places of the `count` smallest keys, ascending.
pub(super) fn best(keys: &[f32], count: usize, order: &mut Vec<u32>) {
    order.clear();
    order.extend(0..keys.len() as u32);
    let compare = |a: &u32, b: &u32| keys[*a as usize].total_cmp(&keys[*b as usize]).then(a.cmp(b));
    if count < order.len() {
        order.select_nth_unstable_by(count, compare);
    }
    order[..count].sort_unstable_by(compare);
}

impl ResidualQuantizer {
    /// `nbits` has an entry for each codebook.
    pub fn new(d: usize, nbits: Vec<usize>, search_type: i32) -> Result<Self> {
        Ok(ResidualQuantizer { aq: AdditiveQuantizer::new(d, nbits, search_type, 1)?, ..Default::default() })
    }

    /// The best `most` sums for each vector: the numbers of their entries and squared distances, and how many there are.
    pub fn nearest_sums(&self, x: &[f32], most: usize) -> Result<(Vec<u32>, Vec<f32>, usize)> {
        let beams = self.beams(x, 1, most)?;
        Ok((beams.numbers, beams.distances, beams.size))
    }

    fn has(&self, flag: i32) -> bool {
        self.train_type & flag != 0
    }

    fn beam(&self) -> Result<usize> {
        let size = usize::try_from(self.max_beam_size).ok().filter(|size| *size > 0);
        size.ok_or_else(|| Error::failed("max_beam_size > 0", "at least one sum is to be kept"))
    }

    /// The best `out` sums of each vector, of which there are `size` beginnings.
    fn beams(&self, x: &[f32], size: usize, out: usize) -> Result<Beams> {
        self.aq.check_trained()?;
        let d = self.aq.base.d;
        Error::check(d > 0 && x.len().is_multiple_of(d * size), "x.size() % d == 0")?;
        let mut beams = Beams::new(x.to_vec(), d, size);
        for m in 0..self.aq.M {
            let book = self.aq.book(m);
            let norms: Vec<f32> = book.chunks_exact(d).map(simd::fvec_norm_L2sqr).collect();
            beams.advance(book, &norms, out)?;
        }
        Ok(beams)
    }

    /// Solves for the codebooks that decode the vectors' codes with the least error, which it returns.
    pub fn retrain_AQ_codebook(&mut self, x: &[f32]) -> Result<f32> {
        let (d, total) = (self.aq.base.d, self.aq.total_codebook_size);
        let n = x.len() / d.max(1);
        if n < total {
            return Err(Error::failed("n >= total_codebook_size", "too few training points"));
        }
        let numbers = self.compute_unpacked_codes(x)?;
        let books = least_squares(&self.aq, &numbers, x)?;
        self.aq.codebooks = books;
        let mut decoded = vec![0.0; x.len()];
        self.aq.decode_unpacked(&numbers, &mut decoded);
        Ok(simd::fvec_L2sqr(&decoded, x))
    }

    /// Learns from `n * d` numbers.
    pub fn train(&mut self, x: &[f32]) -> Result<()> {
        let trained = self.trained(x)?;
        *self = trained;
        Ok(())
    }

    fn trained(&self, x: &[f32]) -> Result<Self> {
        self.aq.check()?;
        let d = self.aq.base.d;
        Error::check(d > 0 && x.len().is_multiple_of(d), "x.size() % d == 0")?;
        let mut made = self.clone();
        made.aq.codebooks = filled(&[self.aq.total_codebook_size, d], 0.0)?;
        let mut beams = Beams::new(x.to_vec(), d, 1);
        for m in 0..self.aq.M {
            progress::report("residual quantizer", m, self.aq.M);
            let top: Vec<f32>;
            let points = if self.has(TRAIN_TOP_BEAM) {
                top = beams.best_residuals().flatten().copied().collect();
                &top
            } else {
                &beams.residuals
            };
            let book = self.cluster(points, self.aq.book_size(m))?;
            let norms: Vec<f32> = book.chunks_exact(d).map(simd::fvec_norm_L2sqr).collect();
            made.aq.codebooks[self.aq.codebook_offsets[m] * d..self.aq.codebook_offsets[m + 1] * d]
                .copy_from_slice(&book);
            beams.advance(&book, &norms, self.beam()?)?;
            if self.aq.verbose {
                let sum: f32 = beams.distances.iter().sum();
                eprintln!("[{m}] quantization error: {sum}");
            }
        }
        progress::report("residual quantizer", self.aq.M, self.aq.M);
        made.aq.is_trained = true;
        if self.has(TRAIN_REFINE_CODEBOOK) {
            for _ in 0..self.niter_codebook_refine {
                made.retrain_AQ_codebook(x)?;
            }
        }
        // The norms of what the vectors decode to.
        let decoded = x.chunks_exact(d).zip(beams.best_residuals());
        let norms: Vec<f32> = decoded.map(|(x, residual)| simd::fvec_L2sqr(x, residual)).collect();
        made.aq.train_norm(&norms)?;
        if !self.has(SKIP_CODEBOOK_TABLES) {
            made.aq.compute_codebook_tables()?;
        }
        Ok(made)
    }

    fn cluster(&self, points: &[f32], k: usize) -> Result<Vec<f32>> {
        let d = self.aq.base.d;
        let given = self.assign_index_factory.as_ref().map(Shared::read);
        let factory: &dyn DimIndexFactory = given.as_deref().unwrap_or(&ProgressiveDimIndexFactory {});
        if self.has(TRAIN_PROGRESSIVE_DIM) {
            let mut clustering = ProgressiveDimClustering { parameters: self.cp.clone(), d, k, ..Default::default() };
            clustering.train(points, factory)?;
            return Ok(clustering.centroids);
        }
        let mut clustering = Clustering { cp: self.cp.cp.clone(), ..Clustering::new(d, k) };
        clustering.train(points, &mut *factory.index(d)?.write(), None)?;
        Ok(clustering.centroids)
    }
}

/// The codebooks that decode `numbers` to `x` with the least error; of several, those of least norm.
fn least_squares(aq: &AdditiveQuantizer, numbers: &[u32], x: &[f32]) -> Result<Vec<f32>> {
    let (d, total) = (aq.base.d, aq.total_codebook_size);
    let (mut normal, right) = normal_equations(aq, numbers, x)?;
    let values = symmetric_eigen(total, &mut normal)?;
    // Singular values of less than 1e-4 of the largest count as 0; these are their squares.
    let least = values.first().copied().unwrap_or(0.0) * 1e-8;
    let vectors: Vec<f32> = normal.iter().map(|v| *v as f32).collect();
    let right: Vec<f32> = right.iter().map(|v| *v as f32).collect();
    let mut along = vec![0.0; total * d];
    Product::of(&vectors, &right).write(total, d, total, &mut along)?;
    for (row, value) in along.chunks_exact_mut(d).zip(&values) {
        let factor = if *value > least { (1.0 / value) as f32 } else { 0.0 };
        row.iter_mut().for_each(|v| *v *= factor);
    }
    let mut books = vec![0.0; total * d];
    Product { transpose_a: true, ..Product::of(&vectors, &along) }.write(total, d, total, &mut books)?;
    Ok(books)
}

/// How often two entries are named by one code, `total * total` numbers, and the sums of the vectors whose codes name an entry, `total * d`.
pub(super) fn normal_equations(aq: &AdditiveQuantizer, numbers: &[u32], x: &[f32]) -> Result<(Vec<f64>, Vec<f64>)> {
    let (d, total) = (aq.base.d, aq.total_codebook_size);
    let (mut normal, mut right) = (filled(&[total, total], 0f64)?, filled(&[total, d], 0f64)?);
    let mut places = vec![0; aq.M];
    for (numbers, x) in numbers.chunks_exact(aq.M).zip(x.chunks_exact(d)) {
        for (place, (number, offset)) in places.iter_mut().zip(numbers.iter().zip(&aq.codebook_offsets)) {
            *place = offset + *number as usize;
        }
        for a in &places {
            places.iter().for_each(|b| normal[a * total + b] += 1.0);
            right[a * d..(a + 1) * d].iter_mut().zip(x).for_each(|(sum, v)| *sum += f64::from(*v));
        }
    }
    Ok((normal, right))
}

crate::stored!(ResidualQuantizer, |rq| {
    rq.aq;
    rq.train_type;
    rq.max_beam_size;
    read { rq.restore_tables()?; }
});

/// A quantizer in files of an index; in those with the code `IxRQ`, what concerns training stands before the codebooks.
pub(crate) struct InOrder(pub FourCC);

impl Form<ResidualQuantizer> for InOrder {
    fn read(&self, rq: &mut ResidualQuantizer, input: &mut Reader<'_>) -> Result<()> {
        if !self.0.is("IxRQ") {
            return rq.read_from(input, "rq");
        }
        let sizes = AdditiveQuantizer::read_sizes(input)?;
        crate::read_fields!(input; rq { rq.train_type; rq.max_beam_size; });
        rq.aq = AdditiveQuantizer::read_books(input, sizes, |_| Ok(1))?;
        rq.restore_tables()
    }
    fn write(&self, rq: &ResidualQuantizer, out: &mut Writer<'_>) -> Result<()> {
        rq.write_to(out)
    }
}

impl ResidualQuantizer {
    fn restore_tables(&mut self) -> Result<()> {
        Error::check(self.max_beam_size <= MAX_BEAM, "max_beam_size <= 1 << 16")?;
        if self.has(SKIP_CODEBOOK_TABLES) { Ok(()) } else { self.aq.restore_codebook_tables() }
    }
}

impl Additive for ResidualQuantizer {
    fn aq(&self) -> &AdditiveQuantizer {
        &self.aq
    }
    fn aq_mut(&mut self) -> &mut AdditiveQuantizer {
        &mut self.aq
    }
    fn compute_unpacked_codes(&self, x: &[f32]) -> Result<Vec<u32>> {
        Ok(self.beams(x, 1, self.beam()?)?.best_numbers())
    }
    fn compute_codes_add_centroids(&self, x: &[f32], codes: &mut [u8], centroids: Option<&[f32]>) -> Result<()> {
        let aq = &self.aq;
        check_sizes(aq, x, codes)?;
        let beams = self.beams(x, 1, self.beam()?)?;
        // As Faiss rounds them: norms are distances of vectors to what is left of them.
        let norms = || beams.best_residuals().zip(x.chunks_exact(aq.base.d)).map(|(r, x)| simd::fvec_L2sqr(x, r));
        let norms = (aq.norm_bits > 0 && centroids.is_none()).then(|| norms().collect::<Vec<_>>());
        aq.pack_codes(&beams.best_numbers(), codes, norms.as_deref(), centroids)
    }
}

impl Quantizer for ResidualQuantizer {
    additive_quantizer!();
    fn train(&mut self, x: &[f32]) -> Result<()> {
        ResidualQuantizer::train(self, x)
    }
}

/// The numbers of Python's lists and arrays of bits.
pub fn bits_of(nbits: &[i64]) -> Result<Vec<usize>> {
    let bits = nbits.iter().map(|b| usize::try_from(*b));
    bits.collect::<std::result::Result<_, _>>().map_err(|_| Error::overflow("nbits is out of range for size_t"))
}

#[methods(new)]
impl ResidualQuantizer {
    /// `M` codebooks of `nbits` bits.
    #[new]
    pub fn of(d: usize, M: usize, nbits: usize, #[default = 0] search_type: i32) -> Result<Self> {
        ResidualQuantizer::new(d, equal_bits(M, nbits)?, search_type)
    }

    #[new]
    fn of_bits(d: usize, nbits: &[i64], #[default = 0] search_type: i32) -> Result<Self> {
        ResidualQuantizer::new(d, bits_of(nbits)?, search_type)
    }

    /// Takes the first codebooks of another quantizer.
    pub fn initialize_from(&mut self, other: &dyn Additive, #[default = 0] skip_M: usize) -> Result<()> {
        let other = receiver::<ResidualQuantizer>(other)?;
        let (d, m) = (self.aq.base.d, self.aq.M);
        Error::check(other.aq.M >= m + skip_M && d == other.aq.base.d, "M + skip_M <= other.M && d == other.d")?;
        other.aq.check_trained()?;
        let same = self.aq.nbits[..] == other.aq.nbits[skip_M..skip_M + m];
        Error::check(same, "nbits[m] == other.nbits[m + skip_M]")?;
        let first = other.aq.codebook_offsets[skip_M] * d;
        self.aq.codebooks = other.aq.codebooks[first..first + self.aq.total_codebook_size * d].to_vec();
        self.aq.is_trained = true;
        Ok(())
    }

    /// Solves for the codebooks that decode the codes of vectors (n, d) with the least error; returns the error.
    #[name = "retrain_AQ_codebook"]
    fn retrain(&mut self, x: &[f32]) -> Result<f32> {
        self.retrain_AQ_codebook(x)
    }

    /// Bytes that encoding a vector takes.
    fn memory_per_point(&self, #[default = -1] beam_size: i32) -> usize {
        let beam = if beam_size < 0 { self.max_beam_size } else { beam_size }.max(1) as usize;
        // Residuals before and after a step; for each of them the distances and numbers of as many entries.
        (2 * self.aq.base.d * 4).saturating_add(beam.saturating_mul(4 + 8)).saturating_mul(beam)
    }

    /// The best sums for vectors by their squared norms (n,) and their products with all entries (n, total_codebook_size): numbers of entries
    /// (n, out_beam_size, M) and squared distances (n, out_beam_size).
    #[name = "refine_beam_LUT"]
    fn refine_by_tables(&self, norms: &[f32], products: &[f32], out_beam_size: usize) -> Result<(Vec<i32>, Vec<f32>)> {
        self.refine_beam_LUT(norms, products, out_beam_size)
    }

    /// The best sums of vectors (n, beam_size, d): numbers of entries (n, out_beam_size, M), what is left (n, out_beam_size, d) and its squared
    /// norm (n, out_beam_size).
    fn refine_beam(&self, x: &[f32], beam_size: usize, out_beam_size: usize) -> Result<(Vec<i32>, Vec<f32>, Vec<f32>)> {
        Error::check(beam_size > 0 && out_beam_size > 0, "beam_size > 0 && out_beam_size > 0")?;
        let beams = self.beams(x, beam_size, out_beam_size)?;
        Ok((beams.numbers.iter().map(|n| *n as i32).collect(), beams.residuals, beams.distances))
    }
}
