//! The local search quantizer: codebooks are solved for by least squares, codes by changing one number at a time from perturbed beginnings
//! (Martinez et al., "Revisiting additive quantization", ECCV 2016, and "LSQ++: lower running time and higher recall in multi-codebook
//! quantization", ECCV 2018).

use faiss_derive::{Object, methods};

use super::icm::{Icm, IcmFactory, IcmTables, OnCpu, settle};
use super::residual::normal_equations;
use super::*;
use crate::base::declare::Rows;
use crate::base::memory::filled;
use crate::base::{Shared, interrupt, progress};
use crate::blas::{Product, sgemm_nt, solve_positive_definite};
use crate::random::StandardTwister;

/// Rounds of encoding that a file may ask for: far more than anyone waits for.
const MAX_ROUNDS: usize = 1 << 20;

/// Finds codes by iterated local search.
///
/// Training alternates between codes and codebooks. Martinez, Zakhmi, Hoos and Little, LSQ++, 2018.
#[derive(Object, Clone)]
#[object(methods, implements(Additive), copy)]
pub struct LocalSearchQuantizer {
    /// The codebooks.
    #[object(parent)]
    pub aq: AdditiveQuantizer,
    /// Entries of a codebook.
    pub K: usize,
    /// Rounds of training.
    #[object(default = 25)]
    pub train_iters: usize,
    /// Beginnings of a search: in encoding and in training.
    #[object(default = 16)]
    pub encode_ils_iters: usize,
    /// The same in training.
    #[object(default = 8)]
    pub train_ils_iters: usize,
    /// Passes over the codebooks from each beginning.
    #[object(default = 4)]
    pub icm_iters: usize,
    /// How fast the perturbation of codebooks falls.
    #[object(default = 0.5)]
    pub p: f32,
    /// Weight of the codebooks' norms when they are solved for.
    #[object(default = 1e-2)]
    pub lambd: f32,
    /// Vectors that are encoded at a time.
    #[object(default = 10_000)]
    pub chunk_size: usize,
    /// Seed of the random numbers.
    #[object(default = 0x12345)]
    pub random_seed: i32,
    /// Numbers of a code that are changed for a new beginning.
    #[object(default = 4)]
    pub nperts: usize,
    /// Kept for programs that set it: codebooks are always solved for in double precision.
    #[object(default = true)]
    pub update_codebooks_with_double: bool,
    /// Makes the passes over codes, if it is set; the CPU does otherwise. Files do not have it.
    pub icm_encoder_factory: Option<Shared<dyn IcmFactory>>,
}

pub(crate) const ROW: Row = Row::of::<LocalSearchQuantizer>();

#[methods(new)]
impl LocalSearchQuantizer {
    /// `M` codebooks of `nbits` bits.
    #[new]
    pub fn new(d: usize, M: usize, nbits: usize, #[default = 0] search_type: i32) -> Result<Self> {
        let aq = AdditiveQuantizer::new(d, equal_bits(M, nbits)?, search_type, 1)?;
        // Without codebooks nothing else has looked at the number of bits.
        let entries = u32::try_from(nbits).ok().and_then(|nbits| 1usize.checked_shl(nbits));
        let entries = entries.ok_or_else(|| Error::failed("nbits < 64", format!("there are no {nbits} bits")))?;
        Ok(LocalSearchQuantizer { aq, K: entries, ..Default::default() })
    }

    /// Solves for the codebooks that decode codes (n, M) to vectors (n, d) with the least error.
    #[name = "update_codebooks"]
    fn solve(&mut self, x: &[f32], codes: &[i32]) -> Result<()> {
        let numbers = self.entries(x, codes)?;
        self.update_codebooks(x, &numbers)
    }

    /// For each codebook and vector (n, d), what each entry alone adds to the error: (M * n, K).
    fn compute_unary_terms(&self, x: &[f32]) -> Result<Rows<f32>> {
        self.entries(&[], &[])?;
        Error::check(self.aq.base.d > 0 && x.len().is_multiple_of(self.aq.base.d), "x.size() % d == 0")?;
        let (d, k) = (self.aq.base.d.max(1), self.K);
        let mut terms = Vec::with_capacity(x.len() / d * self.aq.total_codebook_size);
        for book in self.aq.codebooks.chunks_exact(k * d) {
            let norms: Vec<f32> = book.chunks_exact(d).map(simd::fvec_norm_L2sqr).collect();
            for row in x.chunks_exact(d) {
                let products = book.chunks_exact(d).map(|entry| simd::fvec_inner_product(row, entry));
                terms.extend(products.zip(&norms).map(|(product, norm)| norm - 2.0 * product));
            }
        }
        Ok(Rows(terms, k))
    }

    /// For each two codebooks, what each entry of one adds to the error beside each of the other: (M * M * K, K).
    fn compute_binary_terms(&self) -> Result<Rows<f32>> {
        self.entries(&[], &[])?;
        let (d, k) = (self.aq.base.d.max(1), self.K);
        let mut terms = filled(&[self.aq.total_codebook_size, self.aq.total_codebook_size], 0.0)?;
        let mut blocks = terms.chunks_exact_mut(k * k);
        for one in self.aq.codebooks.chunks_exact(k * d) {
            for other in self.aq.codebooks.chunks_exact(k * d) {
                if let Some(block) = blocks.next() {
                    sgemm_nt(k, k, d, 2.0, one, other, block);
                }
            }
        }
        Ok(Rows(terms, k))
    }

    /// Codes (n, M) after some passes, in each of which each number in turn gets the value that is best for the others as they are. The terms are
    /// those of `compute_unary_terms` and `compute_binary_terms`.
    fn icm_encode_step(&self, codes: &[i32], unaries: &[f32], binaries: &[f32], n_iters: usize) -> Result<Vec<i32>> {
        self.check()?;
        let (m, k) = (self.aq.M, self.K);
        Error::check(m > 0, "M > 0")?;
        let n = codes.len() / m;
        let sizes = n * m == codes.len() && unaries.len() == codes.len() * k && binaries.len() == (m * k) * (m * k);
        Error::check(sizes, "unaries.size() == M * n * K && binaries.size() == M * M * K * K")?;
        let mut numbers = self.known(codes)?;
        let mut values = vec![0f32; k];
        for (i, code) in numbers.chunks_exact_mut(m.max(1)).enumerate() {
            interrupt::check()?;
            for _ in 0..n_iters {
                settle(
                    code,
                    &mut values,
                    |part| &unaries[(part * n + i) * k..][..k],
                    |other, entry, part| &binaries[((other * m + part) * k + entry) * k..][..k],
                );
            }
        }
        Ok(numbers.into_iter().map(|number| number as i32).collect())
    }

    /// Codes (n, M) of vectors (n, d) after a local search from `ils_iters` perturbed beginnings, and the generator of random numbers after it, whose
    /// state is given: 624 numbers, and how many of them were used.
    fn icm_encode(&self, codes: &[i32], x: &[f32], ils_iters: usize, state: &[i64]) -> Result<(Vec<i32>, Vec<i64>)> {
        let (mut numbers, mut random) = (self.entries(x, codes)?, StandardTwister::from_state(state)?);
        self.search(&mut numbers, x, ils_iters, &mut random)?;
        Ok((numbers.into_iter().map(|number| number as i32).collect(), random.state()))
    }

    /// Codes (n, M) with `nperts` numbers of each changed at random, and the generator after it.
    fn perturb_codes(&self, codes: &[i32], state: &[i64]) -> Result<(Vec<i32>, Vec<i64>)> {
        self.check()?;
        Error::check(self.aq.M > 0 && codes.len().is_multiple_of(self.aq.M), "codes.size() == n * M")?;
        let (mut numbers, mut random) = (self.known(codes)?, StandardTwister::from_state(state)?);
        self.perturb(&mut numbers, &mut random);
        Ok((numbers.into_iter().map(|number| number as i32).collect(), random.state()))
    }

    /// Moves every entry at random by T times a share of the data's deviation, a number for each coordinate. Returns the generator after it.
    #[name = "perturb_codebooks"]
    fn perturbed(&mut self, T: f32, stddev: &[f32], state: &[i64]) -> Result<Vec<i64>> {
        self.entries(&[], &[])?;
        Error::check(stddev.len() == self.aq.base.d, "stddev.size() == d")?;
        let mut random = StandardTwister::from_state(state)?;
        self.perturb_codebooks(T, stddev, &mut random);
        Ok(random.state())
    }

    /// The mean of the squared errors of codes (n, M) of vectors (n, d), and the errors.
    #[name = "evaluate"]
    fn evaluated(&self, codes: &[i32], x: &[f32]) -> Result<(f32, Vec<f32>)> {
        let numbers = self.entries(x, codes)?;
        self.aq.check_trained()?;
        let errors = self.errors(&numbers, x);
        Ok((errors.iter().sum::<f32>() / errors.len().max(1) as f32, errors))
    }
}

impl LocalSearchQuantizer {
    fn check(&self) -> Result<()> {
        self.aq.check()?;
        let equal = self.aq.nbits.iter().all(|b| 1 << b == self.K);
        Error::check(equal, "all codebooks have K entries")
    }

    /// Learns from `n * d` numbers.
    pub fn train(&mut self, x: &[f32]) -> Result<()> {
        let trained = self.trained(x)?;
        *self = trained;
        Ok(())
    }

    fn trained(&self, x: &[f32]) -> Result<Self> {
        self.check()?;
        let (d, m) = (self.aq.base.d, self.aq.M);
        Error::check(d > 0 && x.len().is_multiple_of(d), "x.size() % d == 0")?;
        let n = x.len() / d;
        if n < self.K {
            let message = format!("{n} training vectors for {} entries of a codebook", self.K);
            return Err(Error::failed("n >= K", message));
        }
        let mut made = self.clone();
        made.aq.codebooks = filled(&[self.aq.total_codebook_size, d], 0.0)?;
        made.aq.is_trained = true;
        let mut random = StandardTwister::new(self.random_seed as u32);
        let mut numbers = self.random_numbers(n, &mut random);
        let stddev = deviations(x, n, d);
        for round in 0..self.train_iters {
            progress::report("local search quantizer", round, self.train_iters);
            made.update_codebooks(x, &numbers)?;
            let heat = (1.0 - (round as f32 + 1.0) / self.train_iters as f32).powf(self.p);
            made.perturb_codebooks(heat, &stddev, &mut random);
            made.search(&mut numbers, x, self.train_ils_iters, &mut random)?;
            if self.aq.verbose {
                eprintln!(
                    "iteration {round}: objective {}",
                    made.errors(&numbers, x).iter().sum::<f32>() / n.max(1) as f32
                );
            }
        }
        progress::report("local search quantizer", self.train_iters, self.train_iters);
        let mut decoded = vec![0.0; x.len()];
        made.aq.decode_unpacked(&numbers, &mut decoded);
        let norms: Vec<f32> = decoded.chunks_exact(d).map(simd::fvec_norm_L2sqr).collect();
        debug_assert_eq!(numbers.len(), n * m);
        made.aq.train_norm(&norms)?;
        made.aq.compute_needed_tables()?;
        Ok(made)
    }

    fn random_numbers(&self, n: usize, random: &mut StandardTwister) -> Vec<u32> {
        (0..n * self.aq.M).map(|_| random.below(self.K as u32)).collect()
    }

    /// Solves for the codebooks that decode the numbers to `x` with the least error, plus `lambd` times their squared norm.
    fn update_codebooks(&mut self, x: &[f32], numbers: &[u32]) -> Result<()> {
        let (d, total) = (self.aq.base.d, self.aq.total_codebook_size);
        let (mut normal, mut right) = normal_equations(&self.aq, numbers, x)?;
        normal.iter_mut().step_by(total + 1).for_each(|v| *v += f64::from(self.lambd));
        solve_positive_definite(total, d, &mut normal, &mut right)?;
        self.aq.codebooks = right.into_iter().map(|v| v as f32).collect();
        Ok(())
    }

    /// Moves every entry at random by a share of the data's deviation.
    fn perturb_codebooks(&mut self, heat: f32, stddev: &[f32], random: &mut StandardTwister) {
        let m = self.aq.M as f32;
        // The numbers come in pairs, of which each coordinate keeps the second for itself.
        let mut kept = vec![None; stddev.len()];
        for entry in self.aq.codebooks.chunks_exact_mut(stddev.len()) {
            for ((v, deviation), kept) in entry.iter_mut().zip(stddev).zip(&mut kept) {
                *v += heat * (random.normal(kept) * deviation) / m;
            }
        }
    }

    /// Changes some numbers of each code at random.
    fn perturb(&self, numbers: &mut [u32], random: &mut StandardTwister) {
        let (m, k) = (self.aq.M, self.K as u32);
        for code in numbers.chunks_exact_mut(m.max(1)) {
            for _ in 0..self.nperts {
                let at = random.below(m as u32) as usize;
                code[at] = random.below(k);
            }
        }
    }

    /// Improves the codes of vectors from `beginnings` perturbed ones.
    fn search(&self, numbers: &mut [u32], x: &[f32], beginnings: usize, random: &mut StandardTwister) -> Result<()> {
        let (d, m, k) = (self.aq.base.d, self.aq.M, self.K);
        if m == 0 {
            return Ok(());
        }
        let total = self.aq.total_codebook_size;
        // Twice the products of entries of two codebooks.
        let mut pairs = filled(&[total, total], 0.0)?;
        let product = Product { transpose_b: true, alpha: 2.0, ..Product::of(&self.aq.codebooks, &self.aq.codebooks) };
        product.write(total, total, d, &mut pairs)?;
        let norms: Vec<f32> = self.aq.codebooks.chunks_exact(d).map(simd::fvec_norm_L2sqr).collect();
        let (codebooks, icm_iters) = (&self.aq.codebooks[..], self.icm_iters);
        let tables = IcmTables { d, M: m, K: k, icm_iters, codebooks, pairs: &pairs, norms: &norms };
        let mut encoder: Box<dyn Icm + '_> = match &self.icm_encoder_factory {
            Some(factory) => factory.read().encoder(tables)?,
            None => Box::new(OnCpu(tables)),
        };
        let chunk = self.chunk_size.clamp(1, numbers.len().max(m) / m);
        for (numbers, x) in numbers.chunks_mut(chunk * m).zip(x.chunks(chunk * d)) {
            let mut best = numbers.to_vec();
            let mut errors = self.errors(&best, x);
            for _ in 0..beginnings {
                interrupt::check()?;
                self.perturb(numbers, random);
                encoder.descend(numbers, x)?;
                let now = self.errors(numbers, x);
                for (i, (error, now)) in errors.iter_mut().zip(now).enumerate() {
                    let own = i * m..(i + 1) * m;
                    if now < *error {
                        *error = now;
                        best[own.clone()].copy_from_slice(&numbers[own.clone()]);
                    }
                    numbers[own.clone()].copy_from_slice(&best[own]);
                }
            }
        }
        Ok(())
    }

    /// Numbers of entries, after a check that there are such.
    fn known(&self, codes: &[i32]) -> Result<Vec<u32>> {
        let known = codes.iter().all(|code| usize::try_from(*code).is_ok_and(|code| code < self.K));
        Error::check(known, "codes[i] >= 0 && codes[i] < K")?;
        Ok(codes.iter().map(|code| *code as u32).collect())
    }

    /// The same for codes of vectors, as many.
    fn entries(&self, x: &[f32], codes: &[i32]) -> Result<Vec<u32>> {
        self.check()?;
        self.aq.check_trained()?;
        Error::check(self.aq.M > 0, "M > 0")?;
        let d = self.aq.base.d.max(1);
        let fit = x.len().is_multiple_of(d) && codes.len() == x.len() / d * self.aq.M;
        Error::check(fit, "x.size() == n * d && codes.size() == n * M")?;
        self.known(codes)
    }

    /// Squared distances of vectors to what their codes decode to.
    fn errors(&self, numbers: &[u32], x: &[f32]) -> Vec<f32> {
        let d = self.aq.base.d;
        let mut decoded = vec![0.0; d];
        let pairs = numbers.chunks_exact(self.aq.M.max(1)).zip(x.chunks_exact(d));
        pairs
            .map(|(code, x)| {
                self.aq.decode_unpacked(code, &mut decoded);
                simd::fvec_L2sqr(&decoded, x)
            })
            .collect()
    }
}

/// The standard deviation of each coordinate.
fn deviations(x: &[f32], n: usize, d: usize) -> Vec<f32> {
    let column = |j: usize| x.iter().skip(j).step_by(d);
    let deviation = |j| {
        let mean = column(j).sum::<f32>() / n as f32;
        (column(j).map(|v| (v - mean) * (v - mean)).sum::<f32>() / n as f32).sqrt()
    };
    (0..d).map(deviation).collect()
}

crate::stored!(LocalSearchQuantizer, |lsq, file| {
    lsq.aq;
    lsq.K;
    lsq.train_iters;
    lsq.encode_ils_iters;
    lsq.train_ils_iters;
    lsq.icm_iters;
    lsq.p;
    lsq.lambd;
    lsq.chunk_size;
    lsq.random_seed;
    lsq.nperts;
    lsq.update_codebooks_with_double;
    read {
        lsq.check()?;
        file.check_loop(lsq.train_iters, "train_iters")?;
        file.check_loop(lsq.encode_ils_iters, "encode_ils_iters")?;
        file.check_loop(lsq.train_ils_iters, "train_ils_iters")?;
        file.check_loop(lsq.icm_iters, "icm_iters")?;
        file.check_loop(lsq.nperts, "nperts")?;
        // What encoding takes must not be what a file likes.
        let rounds = lsq.encode_ils_iters.checked_mul(lsq.icm_iters.saturating_add(lsq.nperts));
        let few = rounds.is_some_and(|rounds| rounds <= MAX_ROUNDS);
        Error::check(few, "encode_ils_iters * (icm_iters + nperts) <= 2^20")?;
        if lsq.aq.needs_tables() {
            lsq.aq.restore_codebook_tables()?;
        }
    }
});

impl Additive for LocalSearchQuantizer {
    fn aq(&self) -> &AdditiveQuantizer {
        &self.aq
    }
    fn aq_mut(&mut self) -> &mut AdditiveQuantizer {
        &mut self.aq
    }
    fn compute_unpacked_codes(&self, x: &[f32]) -> Result<Vec<u32>> {
        self.check()?;
        self.aq.check_trained()?;
        let n = x.len() / self.aq.base.d.max(1);
        let mut random = StandardTwister::new(self.random_seed as u32);
        let mut numbers = self.random_numbers(n, &mut random);
        self.search(&mut numbers, x, self.encode_ils_iters, &mut random)?;
        Ok(numbers)
    }
}

impl Quantizer for LocalSearchQuantizer {
    additive_quantizer!();
    fn train(&mut self, x: &[f32]) -> Result<()> {
        LocalSearchQuantizer::train(self, x)
    }
}
