//! Additive quantizers: a vector is the sum of a centroid of each of several codebooks (Babenko and Lempitsky, "Additive quantization", 2014).
//!
//! | file | what lives there |
//! |---|---|
//! | `mod.rs` | the fields of all, codes, tables and distances; the trait [`Additive`]: what one kind must define |
//! | `norms.rs` | norms of vectors, stored beside the codes in few bits |
//! | `residual.rs` | codebooks that quantize what those before them leave |

mod norms;
pub mod residual;

use faiss_derive::Object;

use super::QuantizerBase;
use super::bits::BitstringWriter;
use super::codec::{CodeDistances, Quantizer};
use super::decoded::Decoded;
use crate::base::{Error, MetricType, Result, threads};
use crate::grammar::number;
use crate::registry::Row;
use crate::simd;
use crate::stream::{Reader, Writer};

pub use norms::train_norms;

/// Codes are decoded.
pub const ST_DECOMPRESS: i32 = 0;
/// Only products are compared, as if all vectors had one norm.
pub const ST_LUT_NONORM: i32 = 1;
/// The norm comes from products of centroids.
pub const ST_NORM_FROM_LUT: i32 = 2;
/// The norm is stored as a float.
pub const ST_NORM_FLOAT: i32 = 3;
/// The norm is stored in 8 bits, at equal steps.
pub const ST_NORM_QINT8: i32 = 4;
/// In 4 bits.
pub const ST_NORM_QINT4: i32 = 5;
/// In 8 bits, by the nearest of 256 values that suit best.
pub const ST_NORM_CQINT8: i32 = 6;
/// In 4 bits, of 16 values.
pub const ST_NORM_CQINT4: i32 = 7;
/// In 8 bits, by a sum of two values of 16 each.
pub const ST_NORM_LSQ2X4: i32 = 8;
/// The same, where the second value quantizes what the first leaves.
pub const ST_NORM_RQ2X4: i32 = 9;

/// What all additive quantizers have.
#[derive(Object, Default, Clone)]
#[object(abstract)]
pub struct AdditiveQuantizer {
    #[object(parent)]
    pub base: QuantizerBase,
    /// Number of codebooks.
    pub M: usize,
    /// Bits of the number of a centroid, for each codebook.
    pub nbits: Vec<usize>,
    /// The centroids, `total_codebook_size * d` numbers.
    pub codebooks: Vec<f32>,
    /// Where the codebooks begin, in centroids; `M + 1` numbers.
    pub codebook_offsets: Vec<usize>,
    /// Bits of a code, the norm's included.
    pub tot_bits: usize,
    /// Bits of the norm.
    pub norm_bits: usize,
    /// Centroids of all codebooks.
    pub total_codebook_size: usize,
    /// Whether all numbers have 8 bits.
    pub only_8bit: bool,
    /// Print what training does.
    pub verbose: bool,
    /// Whether the quantizer has been trained.
    pub is_trained: bool,
    /// How codes are compared, and whether they hold a norm: one of the `ST_` constants.
    pub search_type: i32,
    /// The smallest norm of the training vectors.
    pub norm_min: f32,
    /// The largest.
    pub norm_max: f32,
    /// The values that norms are stored by, where they are.
    pub norm_values: Vec<f32>,
    /// The two halves that those are sums of, where they are.
    pub norm_tabs: Vec<f32>,
}

pub const ROW: Row = Row::of::<AdditiveQuantizer>();

impl AdditiveQuantizer {
    pub fn new(d: usize, nbits: Vec<usize>, search_type: i32) -> Result<Self> {
        let base = QuantizerBase { d, code_size: 0 };
        let (M, nan) = (nbits.len(), f32::NAN);
        let mut aq =
            AdditiveQuantizer { base, M, nbits, search_type, norm_min: nan, norm_max: nan, ..Default::default() };
        aq.set_derived_values()?;
        Ok(aq)
    }

    /// Sets what follows from `d`, `nbits` and `search_type`; codebooks of another size are lost.
    pub fn set_derived_values(&mut self) -> Result<()> {
        self.norm_bits = norms::bits(self.search_type)?;
        Error::check(self.nbits.len() == self.M, "nbits.size() == M")?;
        Error::check(self.nbits.iter().all(|bits| *bits <= 24), "nbits <= 24")?;
        self.codebook_offsets = vec![0];
        let mut total = 0usize;
        for bits in &self.nbits {
            total += 1 << bits;
            self.codebook_offsets.push(total);
        }
        self.only_8bit = self.nbits.iter().all(|bits| *bits == 8);
        self.total_codebook_size = total;
        self.tot_bits = self.nbits.iter().sum::<usize>() + self.norm_bits;
        self.base.code_size = self.tot_bits.div_ceil(8);
        Ok(())
    }

    /// An error where the public fields do not fit together.
    pub fn check(&self) -> Result<()> {
        let sizes = self.nbits.len() == self.M
            && self.codebook_offsets.len() == self.M + 1
            && self.codebook_offsets.last() == Some(&self.total_codebook_size)
            && (0..self.M).all(|m| {
                let size = self.codebook_offsets[m + 1].checked_sub(self.codebook_offsets[m]);
                self.nbits[m] <= 24 && size == Some(1 << self.nbits[m])
            })
            && self.tot_bits == self.nbits.iter().sum::<usize>() + self.norm_bits
            && norms::bits(self.search_type)? == self.norm_bits
            && self.code_size == self.tot_bits.div_ceil(8);
        Error::check(sizes, "code_size == (tot_bits + 7) / 8")?;
        let values = 1usize << self.norm_bits.min(8);
        let has_values = !self.is_trained || !norms::by_values(self.search_type) || self.norm_values.len() == values;
        Error::check(has_values, "qnorm.ntotal == 1 << norm_bits")?;
        let trained = self.is_trained && self.d.checked_mul(self.total_codebook_size) == Some(self.codebooks.len());
        Error::check(
            trained,
            "is_trained && codebooks.size() == total_codebook_size * d: the additive quantizer is not trained yet",
        )
    }

    /// Centroid `number` of codebook `m`.
    pub fn centroid(&self, m: usize, number: usize) -> &[f32] {
        let at = (self.codebook_offsets[m] + number) * self.d;
        &self.codebooks[at..at + self.d]
    }

    /// The numbers of a code.
    fn numbers(&self, code: &[u8], numbers: &mut [i32]) -> u64 {
        if self.only_8bit {
            numbers.iter_mut().zip(code).for_each(|(number, byte)| *number = i32::from(*byte));
            return if self.norm_bits == 0 { 0 } else { read_bits(code, 8 * self.M, self.norm_bits) };
        }
        let mut at = 0;
        for (number, bits) in numbers.iter_mut().zip(&self.nbits) {
            *number = read_bits(code, at, *bits) as i32;
            at += *bits;
        }
        if self.norm_bits == 0 { 0 } else { read_bits(code, at, self.norm_bits) }
    }

    /// The sum of the centroids that numbers name.
    fn sum(&self, numbers: &[i32], x: &mut [f32]) {
        x.fill(0.0);
        for (m, number) in numbers.iter().enumerate() {
            simd::fvec_add_scaled(x, 1.0, self.centroid(m, *number as usize));
        }
    }

    /// Writes numbers as codes, with the norms of what they decode to, plus `centroids` where those are given.
    pub fn pack_codes(&self, numbers: &[i32], codes: &mut [u8], centroids: Option<&[f32]>) -> Result<()> {
        let (d, size) = (self.d, self.code_size);
        threads::parallel_rows(codes, size.max(1), 64, |first, rows| {
            let mut x = vec![0f32; d];
            for (i, code) in rows.chunks_exact_mut(size.max(1)).enumerate() {
                let at = first + i;
                let own = &numbers[at * self.M..(at + 1) * self.M];
                let mut bits = BitstringWriter::default();
                own.iter().zip(&self.nbits).for_each(|(number, nbits)| bits.write(*number as u64, *nbits as u32));
                if self.norm_bits > 0 {
                    self.sum(own, &mut x);
                    if let Some(centroids) = centroids {
                        simd::fvec_add_scaled(&mut x, 1.0, &centroids[at * d..(at + 1) * d]);
                    }
                    bits.write(self.encode_norm(simd::fvec_norm_L2sqr(&x)), self.norm_bits as u32);
                }
                code.copy_from_slice(&bits.finish());
            }
            Ok(())
        })
    }

    /// Decodes `n * code_size` bytes.
    pub fn decode_codes(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.check()?;
        super::codec::check_sizes(&self.base, x, codes)?;
        threads::parallel_rows(x, self.d.max(1), 64, |first, rows| {
            let mut numbers = vec![0; self.M];
            for (i, row) in rows.chunks_exact_mut(self.d.max(1)).enumerate() {
                self.numbers(&codes[(first + i) * self.code_size..(first + i + 1) * self.code_size], &mut numbers);
                self.sum(&numbers, row);
            }
            Ok(())
        })
    }

    /// Inner products of queries with all centroids: `n * total_codebook_size` numbers.
    pub fn tables(&self, x: &[f32], tables: &mut [f32]) {
        let size = self.total_codebook_size;
        for (row, table) in x.chunks_exact(self.d.max(1)).zip(tables.chunks_exact_mut(size.max(1))) {
            simd::fvec_inner_products_ny(table, row, &self.codebooks);
        }
    }

    /// Decodes the vector of a number that counts over all combinations.
    pub fn decode_64bit(&self, combination: i64, x: &mut [f32]) {
        let (mut rest, mut numbers) = (combination as u64, vec![0; self.M]);
        for (number, bits) in numbers.iter_mut().zip(&self.nbits) {
            *number = (rest & ((1 << bits) - 1)) as i32;
            rest >>= bits;
        }
        self.sum(&numbers, x);
    }

    pub fn write(&self, out: &mut Writer<'_>) -> Result<()> {
        out.usize(self.d)?;
        out.usize(self.M)?;
        out.vec(&self.nbits)?;
        out.bool(self.is_trained)?;
        out.vec(&self.codebooks)?;
        out.i32(self.search_type)?;
        out.f32(self.norm_min)?;
        out.f32(self.norm_max)?;
        if norms::by_values(self.search_type) {
            out.codes_of_words(bytemuck::cast_slice(&self.norm_values))?;
        }
        if matches!(self.search_type, ST_NORM_LSQ2X4 | ST_NORM_RQ2X4) {
            out.vec(&self.norm_tabs)?;
        }
        Ok(())
    }

    pub fn read(input: &mut Reader<'_>) -> Result<Self> {
        let (d, m) = (input.usize()?, input.usize()?);
        let nbits: Vec<usize> = input.vec()?;
        let is_trained = input.bool("is_trained")?;
        let codebooks: Vec<f32> = input.vec()?;
        let search_type = input.i32()?;
        Error::check(nbits.len() == m && d <= 1 << 20, "nbits.size() == M")?;
        let mut aq = AdditiveQuantizer::new(d, nbits, search_type)?;
        (aq.is_trained, aq.codebooks) = (is_trained, codebooks);
        (aq.norm_min, aq.norm_max) = (input.f32()?, input.f32()?);
        if norms::by_values(search_type) {
            aq.norm_values = input.codes_of_words()?.as_f32().to_vec();
        }
        if matches!(search_type, ST_NORM_LSQ2X4 | ST_NORM_RQ2X4) {
            aq.norm_tabs = input.vec()?;
        }
        if is_trained {
            aq.check()?;
        }
        Ok(aq)
    }
}

/// `n` bits from bit `at` on, lowest first.
fn read_bits(code: &[u8], at: usize, n: usize) -> u64 {
    let (first, shift) = (at / 8, at % 8);
    let bytes = &code[first.min(code.len())..code.len().min(first + (n + shift).div_ceil(8))];
    let word = bytes.iter().rev().fold(0u128, |word, byte| word << 8 | u128::from(*byte));
    ((word >> shift) & ((1u128 << n) - 1)) as u64
}

/// What a kind of additive quantizer defines.
pub trait Additive: Quantizer {
    fn aq(&self) -> &AdditiveQuantizer;
    fn aq_mut(&mut self) -> &mut AdditiveQuantizer;
    /// The numbers of the centroids whose sum is near to each vector: `n * M`.
    fn encode(&self, x: &[f32], numbers: &mut [i32]) -> Result<()>;
}

/// Encodes vectors; the norms are of what they decode to plus `centroids`.
pub fn compute_codes(codec: &dyn Additive, x: &[f32], codes: &mut [u8], centroids: Option<&[f32]>) -> Result<()> {
    let aq = codec.aq();
    aq.check()?;
    let n = super::codec::check_sizes(&aq.base, x, codes)?;
    let mut numbers = vec![0; n * aq.M];
    codec.encode(x, &mut numbers)?;
    aq.pack_codes(&numbers, codes, centroids)
}

/// See [`Quantizer::code_distances`].
pub fn code_distances<'a>(
    codec: &'a dyn Quantizer,
    aq: &'a AdditiveQuantizer,
    metric: MetricType,
) -> Result<Box<dyn CodeDistances + 'a>> {
    aq.check()?;
    if aq.search_type == ST_DECOMPRESS {
        return Ok(Box::new(Decoded::new(codec, metric)));
    }
    super::codec::check_metric(metric)?;
    let similarity = metric.is_similarity();
    Ok(Box::new(Tables::new(aq, similarity)))
}

/// Compares queries with codes by tables of products.
pub struct Tables<'a> {
    aq: &'a AdditiveQuantizer,
    similarity: bool,
    table: Vec<f32>,
    /// What is added to each key.
    pub bias: f32,
    /// Products of the centroids of two codebooks, where norms come from them.
    crossed: Vec<f32>,
    numbers: std::cell::RefCell<Vec<i32>>,
}

impl<'a> Tables<'a> {
    pub fn new(aq: &'a AdditiveQuantizer, similarity: bool) -> Self {
        let size = aq.total_codebook_size;
        let mut crossed = Vec::new();
        if aq.search_type == ST_NORM_FROM_LUT && !similarity {
            crossed = vec![0f32; size * size];
            aq.tables(&aq.codebooks, &mut crossed);
        }
        Tables { aq, similarity, table: vec![0.0; size], bias: 0.0, crossed, numbers: vec![0; aq.M].into() }
    }

    fn norm(&self, numbers: &[i32], stored: u64) -> f32 {
        let aq = self.aq;
        if aq.search_type != ST_NORM_FROM_LUT {
            return aq.decode_norm(stored);
        }
        let size = aq.total_codebook_size;
        let place = |m: usize| aq.codebook_offsets[m] + numbers[m] as usize;
        let mut norm = 0.0;
        for m in 0..aq.M {
            norm += self.crossed[place(m) * size + place(m)];
            for other in 0..m {
                norm += 2.0 * self.crossed[place(m) * size + place(other)];
            }
        }
        norm
    }
}

impl CodeDistances for Tables<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.aq.d, "x.size() == d")?;
        self.aq.tables(x, &mut self.table);
        self.bias = if self.similarity { 0.0 } else { simd::fvec_norm_L2sqr(x) };
        Ok(())
    }
    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        let aq = self.aq;
        let numbers = &mut *self.numbers.borrow_mut();
        for (code, key) in codes.chunks_exact(aq.code_size.max(1)).zip(keys) {
            let stored = aq.numbers(code, numbers);
            let places = numbers.iter().zip(&aq.codebook_offsets).map(|(number, at)| *at + *number as usize);
            let product: f32 = places.map(|place| self.table[place]).sum();
            *key = self.bias
                + match (self.similarity, aq.search_type) {
                    (true, _) | (_, ST_LUT_NONORM) => -product,
                    _ => self.norm(numbers, stored) - 2.0 * product,
                };
        }
    }
    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        let aq = self.aq;
        let (mut x, mut y) = (vec![0f32; aq.d], vec![0f32; aq.d]);
        let numbers = &mut *self.numbers.borrow_mut();
        aq.numbers(a, numbers);
        aq.sum(numbers, &mut x);
        aq.numbers(b, numbers);
        aq.sum(numbers, &mut y);
        if self.similarity { -simd::fvec_inner_product(&x, &y) } else { simd::fvec_L2sqr(&x, &y) }
    }
}

/// A residual quantizer: `RQ2x8_3x4`, two numbers of eight bits and three of four, and how norms are stored (`_Nfloat`).
pub struct RqPart {
    pub nbits: Vec<usize>,
    pub search_type: i32,
}

impl RqPart {
    /// `name` is what stands before the first number.
    pub fn parse(part: &str, name: &str) -> Option<RqPart> {
        let rest = part.strip_prefix(name)?;
        let (sizes, norm) = rest.split_once("_N").map_or((rest, None), |(sizes, norm)| (sizes, Some(norm)));
        let search_type = match norm {
            None => ST_DECOMPRESS,
            Some("float") => ST_NORM_FLOAT,
            Some("none") => ST_LUT_NONORM,
            Some("qint8") => ST_NORM_QINT8,
            Some("qint4") => ST_NORM_QINT4,
            Some("cqint8") => ST_NORM_CQINT8,
            Some("cqint4") => ST_NORM_CQINT4,
            Some("lsq2x4") => ST_NORM_LSQ2X4,
            Some("rq2x4") => ST_NORM_RQ2X4,
            Some(_) => return None,
        };
        let mut nbits = Vec::new();
        for size in sizes.split('_') {
            let (m, bits) = size.split_once('x')?;
            let (m, bits) = (number(m)?, number(bits)?);
            if m > 1 << 16 || bits > 24 {
                return None;
            }
            nbits.extend((0..m).map(|_| bits as usize));
        }
        Some(RqPart { nbits, search_type })
    }
}
