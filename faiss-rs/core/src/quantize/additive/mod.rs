//! Additive quantizers: a vector is the sum of one entry of each of `M` codebooks. What all of them have: codebooks, the bits of codes and of
//! norms, tables of products. How codes are found is each kind's own.
//!
//! | file | what lives there |
//! |---|---|
//! | `mod.rs` | codebooks, codes, decoding, tables |
//! | `norms.rs` | the norms that are stored beside codes |
//! | `distances.rs` | queries against codes |
//! | `packed.rs` | tables for FastScan |
//! | `residual.rs`, `local_search.rs`, `product.rs` | one kind each |
//! | `icm.rs` | the passes of a local search, on the CPU or where a factory says |
//! | `beam.rs` | single steps of the search of residual quantizers |
//! | `methods.rs` | what all kinds offer to Python |

pub mod beam;
mod distances;
pub mod icm;
pub mod local_search;
pub mod methods;
mod norms;
mod packed;
pub mod product;
pub mod residual;

use faiss_derive::Object;

use super::codec::check_sizes;
use super::{MAX_TABLE, Quantizer, QuantizerBase};
use crate::base::memory::filled;
use crate::base::{Error, Object, Result, threads};
use crate::blas::Product;
use crate::index::flat_1d::IndexFlat1D;
use crate::registry::Row;
use crate::simd;
use crate::stream::fields::Stored;
use crate::stream::{Reader, Writer};

pub use distances::AdditiveDistances;
pub use local_search::LocalSearchQuantizer;
pub use product::{ProductLocalSearchQuantizer, ProductResidualQuantizer};
pub use residual::ResidualQuantizer;

/// Codes are decoded and compared.
pub const ST_DECOMPRESS: i32 = 0;
/// By tables, without norms: for inner products.
pub const ST_LUT_NONORM: i32 = 1;
/// By tables, from which norms are computed too.
pub const ST_NORM_FROM_LUT: i32 = 2;
/// By tables, and norms stored as they are.
pub const ST_NORM_FLOAT: i32 = 3;
/// Norms of 8 or 4 bits, evenly spread.
pub const ST_NORM_QINT8: i32 = 4;
/// Norms of 4 bits, evenly spread.
pub const ST_NORM_QINT4: i32 = 5;
/// Norms of 8 or 4 bits, spread by k-means.
pub const ST_NORM_CQINT8: i32 = 6;
/// Norms of 4 bits, spread by k-means.
pub const ST_NORM_CQINT4: i32 = 7;
/// Norms as sums of two numbers of 4 bits, found by local search or one after the other.
pub const ST_NORM_LSQ2X4: i32 = 8;
/// Norms as sums of two numbers of 4 bits, found one after the other.
pub const ST_NORM_RQ2X4: i32 = 9;

/// The most bits of a codebook's number.
const MAX_NBITS: usize = 24;
/// Products between codebooks that reading makes unasked: 1 GiB.
const MAX_RESTORED_PRODUCTS: usize = 1 << 28;
/// Vectors of one task of encoding and decoding.
const MIN_ROWS: usize = 64;

/// A vector is the sum of one entry of each of `M` codebooks.
#[derive(Object, Clone)]
#[object(abstract, methods(methods::AdditiveMethods))]
pub struct AdditiveQuantizer {
    /// What every quantizer has.
    #[object(parent)]
    pub base: QuantizerBase,
    /// Number of codebooks.
    pub M: usize,
    /// Bits of an entry's number, for each codebook.
    pub nbits: Vec<usize>,
    /// The codebooks one after the other, `total_codebook_size * d` numbers (of a product quantizer: the parts of `d`).
    pub codebooks: Vec<f32>,
    /// The first entry of each codebook among all, and behind them `total_codebook_size`.
    pub codebook_offsets: Vec<usize>,
    /// Bits of a code, with those of the norm.
    pub tot_bits: usize,
    /// Bits of the norm.
    pub norm_bits: usize,
    /// Number of all entries.
    pub total_codebook_size: usize,
    /// Not what its name says: as in Faiss, true only where no number has a bit.
    pub only_8bit: bool,
    /// Print what training does.
    pub verbose: bool,
    /// Whether the codebooks are there.
    pub is_trained: bool,
    /// The numbers whose sums norms are, for the search types lsq2x4 and rq2x4.
    pub norm_tabs: Vec<f32>,
    /// The values that norms are rounded to, for the search types cqint, lsq2x4 and rq2x4.
    pub qnorm: IndexFlat1D,
    /// Squared norms of the entries.
    pub centroid_norms: Vec<f32>,
    /// Products of the entries of each codebook with those of all before it.
    pub codebook_cross_products: Vec<f32>,
    /// Bytes of distances that encoding may hold at a time. Blocks are small here whatever this says.
    #[object(default = 5 << 30)]
    pub max_mem_distances: usize,
    /// How codes are compared and what is stored of norms: one of the `ST_` constants.
    #[object(default = ST_DECOMPRESS)]
    pub search_type: i32,
    /// The range of norms.
    #[object(default = f32::NAN)]
    pub norm_min: f32,
    /// The largest norm.
    #[object(default = f32::NAN)]
    pub norm_max: f32,
    /// Parts that vectors are cut into, each with codebooks of its own.
    #[object(skip, default = 1)]
    pub parts: usize,
}

pub(crate) const ROW: Row = Row::of::<AdditiveQuantizer>();

/// The bits of `m` codebooks that are all of one size.
pub fn equal_bits(m: usize, nbits: usize) -> Result<Vec<usize>> {
    const MOST: usize = 1 << 16;
    Error::check(m <= MOST, "M <= 65536")?;
    Ok(vec![nbits; m])
}

/// A quantizer whose codes name entries of codebooks.
pub trait Additive: Object + Quantizer {
    /// The codebooks.
    fn aq(&self) -> &AdditiveQuantizer;
    /// The same, to be changed.
    fn aq_mut(&mut self) -> &mut AdditiveQuantizer;
    /// The numbers of the entries for `n * d` numbers, `M` a vector.
    fn compute_unpacked_codes(&self, x: &[f32]) -> Result<Vec<u32>>;

    /// Encodes vectors; norms, where they are stored, are those of the decoded vectors plus `centroids`.
    fn compute_codes_add_centroids(&self, x: &[f32], codes: &mut [u8], centroids: Option<&[f32]>) -> Result<()> {
        let aq = self.aq();
        aq.check_trained()?;
        check_sizes(aq, x, codes)?;
        aq.pack_codes(&self.compute_unpacked_codes(x)?, codes, None, centroids)
    }
}

crate::view!(Additive, "AdditiveQuantizer");

impl AdditiveQuantizer {
    /// `nbits` has an entry for each codebook; vectors are cut into `parts`.
    pub fn new(d: usize, nbits: Vec<usize>, search_type: i32, parts: usize) -> Result<Self> {
        let base = QuantizerBase { d, code_size: 0 };
        let mut aq = AdditiveQuantizer { base, M: nbits.len(), nbits, search_type, parts, ..Default::default() };
        aq.set_derived_values()?;
        Ok(aq)
    }

    /// Sets what follows from `d`, `M`, `nbits` and `search_type`.
    pub fn set_derived_values(&mut self) -> Result<()> {
        Error::check(self.nbits.len() == self.M, "nbits.size() == M")?;
        Error::check(self.nbits.iter().all(|b| *b <= MAX_NBITS), "nbits[m] <= 24")?;
        self.norm_bits = norms::bits(self.search_type)?;
        self.codebook_offsets = vec![0];
        let mut total = 0usize;
        for bits in &self.nbits {
            total += 1 << bits;
            self.codebook_offsets.push(total);
        }
        self.total_codebook_size = total;
        self.tot_bits = self.nbits.iter().sum::<usize>() + self.norm_bits;
        self.only_8bit = self.nbits.iter().all(|b| *b == 0);
        self.base.code_size = self.tot_bits.div_ceil(8);
        Ok(())
    }

    /// Dimension of a codebook's entries.
    pub fn book_d(&self) -> usize {
        self.base.d / self.parts.max(1)
    }

    /// The part of the vector that codebook `m` is of.
    fn part(&self, m: usize) -> usize {
        m * self.parts / self.M.max(1)
    }

    /// Number of entries of codebook `m`.
    pub fn book_size(&self, m: usize) -> usize {
        1 << self.nbits[m]
    }

    /// The entries of codebook `m`.
    pub fn book(&self, m: usize) -> &[f32] {
        let d = self.book_d();
        &self.codebooks[self.codebook_offsets[m] * d..self.codebook_offsets[m + 1] * d]
    }

    /// An error where the public fields do not fit together.
    pub fn check(&self) -> Result<()> {
        let sized = self.nbits.len() == self.M
            && self.nbits.iter().all(|b| *b <= MAX_NBITS)
            && self.codebook_offsets.len() == self.M + 1
            && self.nbits.iter().zip(self.codebook_offsets.windows(2)).all(|(b, o)| o[1] == o[0] + (1 << b))
            && self.codebook_offsets.last() == Some(&self.total_codebook_size)
            && self.base.code_size == self.tot_bits.div_ceil(8)
            && self.norm_bits == norms::bits(self.search_type)?
            && self.tot_bits == self.nbits.iter().sum::<usize>() + self.norm_bits;
        Error::check(sized, "set_derived_values() was called after M, nbits or search_type changed")
    }

    /// As [`AdditiveQuantizer::check`], and the codebooks are there.
    pub fn check_trained(&self) -> Result<()> {
        self.check()?;
        if !self.is_trained {
            return Err(Error::failed("is_trained", "The additive quantizer is not trained yet."));
        }
        let (total, there) = (self.total_codebook_size, self.codebooks.len());
        Error::check(total.checked_mul(self.book_d()) == Some(there), "codebooks.size() == total_codebook_size * d")?;
        Error::check(total <= there.max(MAX_TABLE), "total_codebook_size <= 1 << 24")
    }

    /// The numbers of the entries that a code names, and the bits of its norm.
    fn unpack(&self, code: &[u8], numbers: &mut [u32]) -> u64 {
        if self.nbits.iter().all(|b| *b == 8) {
            numbers.iter_mut().zip(code).for_each(|(n, c)| *n = u32::from(*c));
            return read_bits(code, 8 * self.M, self.norm_bits);
        }
        let mut at = 0;
        for (number, bits) in numbers.iter_mut().zip(&self.nbits) {
            *number = read_bits(code, at, *bits) as u32;
            at += bits;
        }
        read_bits(code, at, self.norm_bits)
    }

    /// Packs the numbers of entries, `M` a vector, with their `norms`, or else those of what they decode to plus `centroids`.
    pub fn pack_codes(
        &self,
        numbers: &[u32],
        codes: &mut [u8],
        known: Option<&[f32]>,
        centroids: Option<&[f32]>,
    ) -> Result<()> {
        let (d, size) = (self.base.d, self.base.code_size);
        if size == 0 || self.M == 0 {
            return Ok(());
        }
        let valid = numbers.chunks_exact(self.M).all(|row| row.iter().zip(&self.nbits).all(|(n, b)| n >> b == 0));
        Error::check(valid, "codes[i * M + m] < 1 << nbits[m]")?;
        threads::parallel_rows(codes, size, MIN_ROWS, |first, codes| {
            let n = codes.len() / size;
            let numbers = &numbers[first * self.M..(first + n) * self.M];
            let mut norms = vec![0; n];
            if let Some(known) = known {
                norms = self.encode_norms(&known[first..first + n])?;
            } else if self.norm_bits > 0 {
                let mut x = vec![0.0; n * d];
                self.decode_unpacked(numbers, &mut x);
                if let Some(centroids) = centroids {
                    x.iter_mut().zip(&centroids[first * d..]).for_each(|(v, c)| *v += c);
                }
                norms = self.encode_norms(&x.chunks_exact(d).map(simd::fvec_norm_L2sqr).collect::<Vec<_>>())?;
            }
            codes.fill(0);
            for ((code, numbers), norm) in codes.chunks_exact_mut(size).zip(numbers.chunks_exact(self.M)).zip(norms) {
                let mut at = 0;
                for (number, bits) in numbers.iter().zip(&self.nbits) {
                    write_bits(code, at, u64::from(*number), *bits);
                    at += bits;
                }
                write_bits(code, at, norm, self.norm_bits);
            }
            Ok(())
        })
    }

    /// The sums of the entries that numbers name, `M` a vector.
    pub fn decode_unpacked(&self, numbers: &[u32], x: &mut [f32]) {
        let d = self.book_d();
        for (numbers, x) in numbers.chunks_exact(self.M.max(1)).zip(x.chunks_exact_mut(self.base.d.max(1))) {
            x.fill(0.0);
            for (m, number) in numbers.iter().enumerate() {
                let entry = &self.book(m)[*number as usize * d..][..d];
                let part = self.part(m) * d;
                x[part..part + d].iter_mut().zip(entry).for_each(|(v, e)| *v += e);
            }
        }
    }

    /// See [`Quantizer::decode`].
    pub fn decode_codes(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.check_trained()?;
        check_sizes(self, x, codes)?;
        let (d, size) = (self.base.d, self.base.code_size);
        threads::parallel_rows(x, d, MIN_ROWS, |first, rows| {
            let mut numbers = vec![0; self.M];
            for (i, row) in rows.chunks_exact_mut(d).enumerate() {
                self.unpack(&codes[(first + i) * size..(first + i + 1) * size], &mut numbers);
                self.decode_unpacked(&numbers, row);
            }
            Ok(())
        })
    }

    /// What the code of this number, without a norm, decodes to.
    pub fn decode_64bit(&self, number: u64, x: &mut [f32]) -> Result<()> {
        self.check_trained()?;
        Error::check(x.len() == self.base.d, "x.size() == d")?;
        let (mut rest, mut numbers) = (number, vec![0; self.M]);
        for (n, bits) in numbers.iter_mut().zip(&self.nbits) {
            *n = (rest & ((1 << bits) - 1)) as u32;
            rest >>= bits;
        }
        Error::check(rest == 0, "the number of a code has no more than tot_bits bits")?;
        self.decode_unpacked(&numbers, x);
        Ok(())
    }

    /// `alpha` times the products of vectors with all entries: `n * total_codebook_size` numbers.
    pub fn compute_LUT(&self, x: &[f32], alpha: f32, table: &mut [f32]) -> Result<()> {
        let (d, dim, total) = (self.book_d(), self.base.d, self.total_codebook_size);
        for (x, row) in x.chunks_exact(dim.max(1)).zip(table.chunks_exact_mut(total.max(1))) {
            for m in 0..self.M {
                let part = self.part(m) * d;
                let row = &mut row[self.codebook_offsets[m]..self.codebook_offsets[m + 1]];
                simd::fvec_inner_products_ny(row, &x[part..part + d], self.book(m));
            }
            if alpha != 1.0 {
                simd::fvec_scale(row, alpha);
            }
        }
        Ok(())
    }

    /// Numbers of `codebook_cross_products`.
    fn cross_products(&self) -> Option<usize> {
        let mut sizes = (0..self.M).map(|m| self.book_size(m).checked_mul(self.codebook_offsets[m]));
        sizes.try_fold(0usize, |sum, size| sum.checked_add(size?))
    }

    /// [`AdditiveQuantizer::compute_codebook_tables`] of a quantizer that was read. Tables so large that no small file should bring them about are
    /// left out; a search that needs them says so.
    pub fn restore_codebook_tables(&mut self) -> Result<()> {
        let restored = self.is_trained && self.cross_products().is_some_and(|n| n <= MAX_RESTORED_PRODUCTS);
        if restored { self.compute_codebook_tables() } else { Ok(()) }
    }

    /// Fills `centroid_norms` and `codebook_cross_products`.
    pub fn compute_codebook_tables(&mut self) -> Result<()> {
        let d = self.book_d();
        self.centroid_norms = self.codebooks.chunks_exact(d.max(1)).map(simd::fvec_norm_L2sqr).collect();
        let total = self.cross_products();
        let total = total.ok_or_else(|| Error::Memory("the tables of products are too large".into()))?;
        let mut products = Vec::new();
        products.try_reserve_exact(total).map_err(|e| Error::Memory(format!("{total} products: {e}")))?;
        products.resize(total, 0.0);
        let mut at = 0;
        for m in 0..self.M {
            let (before, own) = (self.codebook_offsets[m], self.book_size(m));
            let block = &mut products[at..at + before * own];
            let product = Product { transpose_b: true, ..Product::of(&self.codebooks[..before * d], self.book(m)) };
            product.write(before, own, d, block)?;
            at += before * own;
        }
        self.codebook_cross_products = products;
        Ok(())
    }

    /// Whether distances are computed from the tables of products.
    pub fn needs_tables(&self) -> bool {
        self.search_type == ST_NORM_FROM_LUT
    }

    /// As [`Self::compute_codebook_tables`], where distances are computed from them.
    pub fn compute_needed_tables(&mut self) -> Result<()> {
        if self.needs_tables() { self.compute_codebook_tables() } else { Ok(()) }
    }

    /// Squared norms of all vectors that codes of `tot_bits` bits decode to, by the codes' numbers.
    pub fn compute_centroid_norms(&self) -> Result<Vec<f32>> {
        self.check_trained()?;
        let bits = self.tot_bits - self.norm_bits;
        Error::check(bits < 32, "tot_bits < 32")?;
        let mut norms = filled(&[1 << bits], 0f32)?;
        threads::parallel_rows(&mut norms, 1, 256, |first, norms| {
            let mut x = vec![0.0; self.base.d];
            for (i, norm) in norms.iter_mut().enumerate() {
                self.decode_64bit((first + i) as u64, &mut x)?;
                *norm = simd::fvec_norm_L2sqr(&x);
            }
            Ok(())
        })?;
        Ok(norms)
    }

    /// Of a quantizer that cuts vectors into `parts`.
    pub(crate) fn read(input: &mut Reader<'_>, parts: impl FnOnce(&mut Reader<'_>) -> Result<usize>) -> Result<Self> {
        let sizes = AdditiveQuantizer::read_sizes(input)?;
        AdditiveQuantizer::read_books(input, sizes, parts)
    }

    /// The dimension, the bits of each number, and whether there are codebooks.
    pub(super) fn read_sizes(input: &mut Reader<'_>) -> Result<(usize, Vec<usize>, bool)> {
        let (d, m) = (input.usize()?, input.usize()?);
        input.check_loop(m, "M")?;
        Error::check(d <= 1 << 20, "d <= 1 << 20")?;
        let nbits: Vec<usize> = input.vec()?;
        Error::check(nbits.len() == m, "aq.nbits.size() == aq.M")?;
        Ok((d, nbits, input.bool("is_trained")?))
    }

    pub(super) fn read_books(
        input: &mut Reader<'_>,
        (d, nbits, is_trained): (usize, Vec<usize>, bool),
        parts: impl FnOnce(&mut Reader<'_>) -> Result<usize>,
    ) -> Result<Self> {
        let (m, codebooks) = (nbits.len(), input.vec()?);
        let search_type = input.i32()?;
        let (norm_min, norm_max) = (input.f32()?, input.f32()?);
        let mut aq = AdditiveQuantizer::new(d, nbits, search_type, 1)?;
        aq = AdditiveQuantizer { is_trained, codebooks, norm_min, norm_max, ..aq };
        aq.read_norm_values(input)?;
        aq.parts = parts(input)?;
        let cut = aq.parts > 0 && d.is_multiple_of(aq.parts) && m.is_multiple_of(aq.parts);
        Error::check(cut, "d % nsplits == 0 && M % nsplits == 0")?;
        if is_trained {
            aq.check_trained()?;
        }
        Ok(aq)
    }
}

/// One that does not cut vectors into parts.
impl Stored for AdditiveQuantizer {
    fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
        *self = AdditiveQuantizer::read(input, |_| Ok(1))?;
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        out.usize(self.base.d)?;
        out.usize(self.M)?;
        out.vec(&self.nbits)?;
        out.bool(self.is_trained)?;
        out.vec(&self.codebooks)?;
        out.i32(self.search_type)?;
        out.f32(self.norm_min)?;
        out.f32(self.norm_max)?;
        self.write_norm_values(out)
    }
}

/// Reads `nbits` bits, at most 57, from bit `at` on.
#[inline]
fn read_bits(code: &[u8], at: usize, nbits: usize) -> u64 {
    let bytes = &code[at / 8..(at + nbits).div_ceil(8)];
    let word = bytes.iter().enumerate().fold(0, |word, (i, byte)| word | u64::from(*byte) << (8 * i));
    (word >> (at % 8)) & ((1 << nbits) - 1)
}

/// Writes `nbits` bits, at most 57, from bit `at` on, over zeros.
#[inline]
fn write_bits(code: &mut [u8], at: usize, value: u64, nbits: usize) {
    let word = (value << (at % 8)).to_le_bytes();
    code[at / 8..(at + nbits).div_ceil(8)].iter_mut().zip(word).for_each(|(byte, new)| *byte |= new);
}

/// The methods of a [`Quantizer`](super::Quantizer) that every [`Additive`] has, inside its `impl`.
macro_rules! additive_quantizer {
    () => {
        fn quantizer_base(&self) -> &$crate::quantize::QuantizerBase {
            &$crate::quantize::additive::Additive::aq(self).base
        }
        fn check(&self) -> $crate::base::Result<()> {
            $crate::quantize::additive::Additive::aq(self).check()
        }
        fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> $crate::base::Result<()> {
            $crate::quantize::additive::Additive::compute_codes_add_centroids(self, x, codes, None)
        }
        fn decode(&self, codes: &[u8], x: &mut [f32]) -> $crate::base::Result<()> {
            $crate::quantize::additive::Additive::aq(self).decode_codes(codes, x)
        }
        fn code_distances(
            &self,
            metric: $crate::base::MetricType,
        ) -> $crate::base::Result<Box<dyn $crate::quantize::CodeDistances + '_>> {
            let aq = $crate::quantize::additive::Additive::aq(self);
            Ok(Box::new($crate::quantize::additive::AdditiveDistances::new(aq, metric)?))
        }
    };
}
pub(crate) use additive_quantizer;
