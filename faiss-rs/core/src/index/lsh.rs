//! Signs of projections, compared by the number of bits that differ: locality-sensitive hashing.

use faiss_derive::{Object, methods};

use super::flat_codes::{FlatCodes, IndexFlatCodes};
use super::flat_scan::Scan;
use super::{Index, IndexBase};
use crate::base::declare::Rows;
use crate::base::object::Object;
use crate::base::{Error, Handle, MetricType, Result};
use crate::distance::results::TopK;
use crate::grammar::{Grammar, number};
use crate::quantize::codec::{CodeDistances, check_sizes};
use crate::quantize::decoded::Decoded;
use crate::quantize::hamming::hamming;
use crate::quantize::{Quantizer, QuantizerBase};
use crate::registry::Row;
use crate::stream::fields::{Form, Nested};
use crate::stream::{Reader, Writer};
use crate::transform::VectorTransform;
use crate::transform::linear::{LinearTransform, RandomRotationMatrix};

/// The seed of the rotation.
const SEED: i64 = 5;
/// The distance of a result that does not exist: the largest whole number of 32 bits.
const WORST: f32 = i32::MAX as f32;

/// Stores one bit a projection, its sign, and compares codes by the number of bits that differ.
///
/// `nbits / 8` bytes a vector. Distances are numbers of bits, as float32. Charikar, Similarity estimation techniques from rounding algorithms, 2002.
#[derive(Object, Default, Clone)]
#[object(implements(Index), copy, methods)]
pub struct IndexLSH {
    /// The codes.
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// Bits of a code.
    pub nbits: i32,
    /// Whether vectors are rotated at random before; else the first `nbits` coordinates count.
    pub rotate_data: bool,
    /// Whether training finds the median of each projection, which is subtracted before the sign is taken.
    pub train_thresholds: bool,
    /// The rotation.
    pub rrot: RandomRotationMatrix,
    /// The medians, `nbits` numbers.
    pub thresholds: Vec<f32>,
    sizes: QuantizerBase,
}

pub(crate) const ROW: Row = Row::of::<IndexLSH>()
    .grammar(Grammar::Index(|d, part, metric| {
        let Some(rest) = part.strip_prefix("LSH") else { return Ok(None) };
        let (bits, options) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (rotate, thresholds) = match options {
            "" => (false, false),
            "r" => (true, false),
            "t" => (false, true),
            "rt" => (true, true),
            _ => return Ok(None),
        };
        Error::check(metric == MetricType::L2, "metric == METRIC_L2")?;
        let nbits = if bits.is_empty() { d } else { number(bits).unwrap_or(i64::MAX) };
        Ok(Some(Handle::new(IndexLSH::new(d, nbits, rotate, thresholds)?)))
    }))
    .format(crate::file_format!(IndexLSH, ["IxHe", "IxHE"], |index, code| {
        index.base;
        index.nbits;
        index.rotate_data;
        index.train_thresholds;
        index.thresholds;
        index.code_size => Narrow;
        index.rrot => Nested;
        index.codes;
        read {
            // The older code counts words of 64 bits.
            let words = code.is("IxHE");
            Error::check(!words || index.nbits % 64 == 0, "nbits % 64 == 0")?;
            index.code_size *= if words { 8 } else { 1 };
            index.sizes = QuantizerBase { d: index.dim(), code_size: index.code_size };
        }
    }, index.check_codes()));

/// A size in 32 bits.
struct Narrow;

impl Form<usize> for Narrow {
    fn read(&self, size: &mut usize, input: &mut Reader<'_>) -> Result<()> {
        *size = usize::try_from(input.i32()?).map_err(|_| Error::failed("code_size >= 0", ""))?;
        Ok(())
    }
    fn write(&self, size: &usize, out: &mut Writer<'_>) -> Result<()> {
        out.i32(i32::try_from(*size).map_err(|_| Error::overflow("code_size"))?)
    }
}

#[methods(new)]
impl IndexLSH {
    /// With codes of `nbits` bits; without a rotation no more than dimensions.
    #[new]
    pub fn new(
        d: i64,
        nbits: i64,
        #[default = true] rotate_data: bool,
        #[default = false] train_thresholds: bool,
    ) -> Result<Self> {
        let base = IndexBase { is_trained: !train_thresholds, ..IndexBase::new(d, MetricType::L2)? };
        let bits = i32::try_from(nbits).ok().filter(|bits| (0..1 << 24).contains(bits));
        let bits = bits.ok_or_else(|| Error::overflow(format!("{nbits} bits are out of range")))?;
        Error::check(rotate_data || d >= nbits, "d_in >= nbits_in")?;
        let mut rrot = RandomRotationMatrix::new(d, nbits)?;
        if rotate_data {
            rrot.init(SEED)?;
        } else {
            rrot.is_trained = false;
        }
        let sizes = QuantizerBase { d: base.dim(), code_size: (bits as usize).div_ceil(8) };
        let flat_codes = IndexFlatCodes::new(base, sizes.code_size);
        Ok(IndexLSH { flat_codes, nbits: bits, rotate_data, train_thresholds, rrot, thresholds: Vec::new(), sizes })
    }

    /// The projections of vectors (n, d), less the thresholds: (n, nbits). Their signs are the codes.
    fn preprocessed(&self, x: &[f32]) -> Result<Rows<f32>> {
        Ok(Rows(self.apply_preprocess(x)?, self.bits()))
    }

    /// Moves the thresholds into the bias of a linear transform that comes before the index.
    pub fn transfer_thresholds(&mut self, vt: &mut LinearTransform) -> Result<()> {
        if !self.train_thresholds {
            return Ok(());
        }
        Error::check(self.nbits == vt.d_out && self.thresholds.len() == self.bits(), "nbits == vt->d_out")?;
        if !vt.have_bias {
            vt.b = vec![0.0; self.bits()];
            vt.have_bias = true;
        }
        Error::check(vt.b.len() == self.bits(), "vt->b.size() == nbits")?;
        vt.b.iter_mut().zip(&self.thresholds).for_each(|(b, t)| *b -= t);
        self.train_thresholds = false;
        self.thresholds.clear();
        Ok(())
    }
}

impl IndexLSH {
    fn bits(&self) -> usize {
        self.nbits.max(0) as usize
    }

    /// Vectors projected, before thresholds.
    fn project(&self, x: &[f32]) -> Result<Vec<f32>> {
        self.rows(x)?;
        if self.rotate_data {
            return self.rrot.apply(x);
        }
        Ok(x.chunks_exact(self.dim().max(1)).flat_map(|row| &row[..self.bits()]).copied().collect())
    }

    /// The projections of vectors, less the thresholds.
    pub fn apply_preprocess(&self, x: &[f32]) -> Result<Vec<f32>> {
        let mut projected = self.project(x)?;
        if self.train_thresholds {
            let nbits = self.bits();
            Error::check(self.thresholds.len() == nbits, "thresholds.size() == nbits")?;
            for row in projected.chunks_exact_mut(nbits.max(1)) {
                row.iter_mut().zip(&self.thresholds).for_each(|(v, t)| *v -= t);
            }
        }
        Ok(projected)
    }
}

/// The middle one of numbers, or the mean of both; of NaNs, a NaN.
pub(super) fn median(values: &mut [f32]) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    let n = values.len();
    match (n, n % 2) {
        (0, _) => 0.0,
        (_, 1) => values[n / 2],
        _ => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

impl Quantizer for IndexLSH {
    fn quantizer_base(&self) -> &QuantizerBase {
        &self.sizes
    }
    fn check(&self) -> Result<()> {
        let fits = self.bits().div_ceil(8) == self.sizes.code_size
            && if self.rotate_data { self.rrot.dims() == (self.dim(), self.bits()) } else { self.bits() <= self.dim() };
        Error::check(fits, "code_size == (nbits + 7) / 8")?;
        let known = !self.train_thresholds || !self.is_trained || self.thresholds.len() == self.bits();
        Error::check(known, "thresholds.size() == nbits")
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        if self.train_thresholds {
            let (projected, nbits) = (self.project(x)?, self.bits());
            let column = |j: usize| projected.iter().skip(j).step_by(nbits).copied().collect::<Vec<f32>>();
            self.thresholds = (0..nbits).map(|j| median(&mut column(j))).collect();
        }
        Ok(())
    }
    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        check_sizes(&self.sizes, x, codes)?;
        let projected = self.apply_preprocess(x)?;
        codes.fill(0);
        let rows = projected.chunks_exact(self.bits().max(1));
        for (row, code) in rows.zip(codes.chunks_exact_mut(self.sizes.code_size.max(1))) {
            for (j, v) in row.iter().enumerate() {
                code[j / 8] |= u8::from(*v >= 0.0) << (j % 8);
            }
        }
        Ok(())
    }
    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        let n = check_sizes(&self.sizes, x, codes)?;
        let (nbits, d) = (self.bits(), self.sizes.d);
        let mut projected = vec![0f32; n * nbits];
        let rows = projected.chunks_exact_mut(nbits.max(1));
        for (row, code) in rows.zip(codes.chunks_exact(self.sizes.code_size.max(1))) {
            for (j, v) in row.iter_mut().enumerate() {
                *v = if code[j / 8] >> (j % 8) & 1 == 1 { 1.0 } else { -1.0 };
                *v += if self.train_thresholds { self.thresholds.get(j).copied().unwrap_or(0.0) } else { 0.0 };
            }
        }
        if self.rotate_data {
            return self.rrot.reverse_transform(&projected, x);
        }
        for (row, from) in x.chunks_exact_mut(d.max(1)).zip(projected.chunks_exact(nbits.max(1))) {
            row[..nbits].copy_from_slice(from);
            row[nbits..].fill(0.0);
        }
        Ok(())
    }
    fn code_distances(&self, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        Ok(Box::new(Decoded::new(self, metric)))
    }
}

/// Compares the codes of queries with codes, bit by bit.
struct Bits<'a> {
    index: &'a IndexLSH,
    code: Vec<u8>,
}

impl CodeDistances for Bits<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.index.compute_codes(x, &mut self.code)
    }
    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        for (code, key) in codes.chunks_exact(self.code.len()).zip(keys) {
            *key = hamming(&self.code, code) as f32;
        }
    }
    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        hamming(a, b) as f32
    }
}

impl FlatCodes for IndexLSH {
    crate::codes_and_codec!(flat_codes);
    fn search_codes(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        if params.is_some() {
            return Err(Error::failed("!params", "search params not supported for this index"));
        }
        self.queries(x, k, distances, labels)?;
        self.check_codes()?;
        Error::check(self.sizes.code_size > 0, "code_size > 0")?;
        let out = TopK::new(MetricType::L2, k, distances, labels);
        let make = || Ok(Box::new(Bits { index: self, code: vec![0; self.sizes.code_size] }) as Box<dyn CodeDistances>);
        Scan::new(self, x, None, make)?.search(k, &out)?;
        drop(out);
        for (distance, _) in distances.iter_mut().zip(labels.iter()).filter(|(_, label)| **label < 0) {
            *distance = WORST;
        }
        Ok(())
    }
}

impl Index for IndexLSH {
    crate::flat_codes_index!();
}
