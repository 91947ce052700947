//! Inverted file of bits: a transform, of whose coordinates each says whether it lies in an interval of even or odd number (after Weiss, Torralba and
//! Fergus, "Spectral hashing", 2008). Bits are compared by Hamming distance.

use faiss_derive::{Object, methods};

use super::{IndexIVF, InvertedFile, Scanner, Search, Searcher};
use crate::base::object::{Object, cast};
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::{Grammar, number};
use crate::index::Index;
use crate::index::ivf::format::{Header, Lists};
use crate::index::lsh::median;
use crate::quantize::hamming::hamming;
use crate::registry::Row;
use crate::transform::VectorTransform;
use crate::transform::itq::ITQTransform;
use crate::transform::linear::RandomRotationMatrix;
use crate::transform::pca::PCAMatrix;

/// Intervals begin at 0.
const THRESH_GLOBAL: i32 = 0;
/// They begin at the list's centroid.
const THRESH_CENTROID: i32 = 1;
/// They have it in their middle.
const THRESH_CENTROID_HALF: i32 = 2;
/// They begin at the median of the list's training vectors.
const THRESH_MEDIAN: i32 = 3;

/// The seed of the rotation.
const SEED: i64 = 1234;
/// The period where a description names none: so long that a bit is a sign.
const SIGNS: f32 = -1e10;

/// Stores a few bits a vector in the lists of a coarse quantizer. Distances are numbers of bits that differ.
///
/// Weiss, Torralba and Fergus, Spectral hashing, 2008.
#[derive(Object, Clone)]
#[object(methods, implements(Index, InvertedFile), copy(ivf, vt))]
pub struct IndexIVFSpectralHash {
    /// The inverted file.
    #[object(parent, default = IndexIVF { by_residual: false, ..Default::default() })]
    pub ivf: IndexIVF,
    /// Makes the coordinates, one a bit.
    pub vt: Option<Shared<dyn VectorTransform>>,
    /// Whether the transform belongs to this index. Memory is managed by reference counts, whatever this says.
    #[object(default = true)]
    pub own_fields: bool,
    /// Bits of a vector.
    pub nbit: i32,
    /// Length of two intervals, one of each kind.
    pub period: f32,
    /// Where intervals begin: 0 at 0; 1 at the list's centroid; 2 half an interval below it; 3 at the median of the list.
    #[object(default = THRESH_GLOBAL)]
    pub threshold_type: i32,
    /// Where they begin, `nlist * nbit` numbers; none for 0.
    pub trained: Vec<f32>,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFSpectralHash>()
    .grammar(Grammar::InvertedFile(|over, part| {
        let Some((transform, hash)) = part.split_once(",SH") else { return Ok(None) };
        let (period, threshold_type) = match hash.strip_suffix(['g', 'c', 'm']) {
            Some(period) if hash.ends_with('g') => (period, THRESH_GLOBAL),
            Some(period) if hash.ends_with('c') => (period, THRESH_CENTROID),
            Some(period) => (period, THRESH_MEDIAN),
            None => (hash, THRESH_GLOBAL),
        };
        let known = period.bytes().all(|b| b.is_ascii_digit() || b"-.e".contains(&b));
        let period = if period.is_empty() { Some(SIGNS) } else { period.parse::<f32>().ok().filter(|_| known) };
        let (Some(period), Some(vt)) = (period, transform_part(over.d, transform)?) else { return Ok(None) };
        let nbit = vt.read().base().d_out;
        let mut index = IndexIVFSpectralHash::new(over.quantizer.clone(), over.d, over.nlist, nbit, period, true)?;
        (index.vt, index.threshold_type) = (Some(vt), threshold_type);
        Ok(Some(Handle::new(index)))
    }))
    .format(crate::file_format!(IndexIVFSpectralHash, ["IwSh"], |index, code| {
        index.ivf => Header(code);
        index.vt;
        index.nbit;
        index.period;
        index.threshold_type;
        index.trained;
        read {
            (index.own_fields, index.by_residual) = (true, false);
            index.code_size = index.bits()?.div_ceil(8);
            index.check()?;
        }
        index.ivf => Lists;
    }));

/// `ITQ`, `ITQ16`, `PCA16`, `PCAR16`.
fn transform_part(d: i64, part: &str) -> Result<Option<Shared<dyn VectorTransform>>> {
    if let Some(bits) = part.strip_prefix("ITQ") {
        let bits = if bits.is_empty() { Some(d) } else { number(bits) };
        return bits.map(|bits| Ok(Shared::new(ITQTransform::new(d, bits, bits != d)?) as _)).transpose();
    }
    let (bits, rotates) = match part.strip_prefix("PCAR") {
        Some(bits) => (number(bits), true),
        None => (part.strip_prefix("PCA").and_then(number), false),
    };
    bits.map(|bits| Ok(Shared::new(PCAMatrix::new(d, bits, 0.0, rotates)?) as _)).transpose()
}

#[methods(new)]
impl IndexIVFSpectralHash {
    /// Over `nlist` lists of `quantizer`, with codes of `nbit` bits.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        nbit: i32,
        period: f32,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        let bits = usize::try_from(nbit).map_err(|_| Error::failed("nbit >= 0", format!("{nbit} bits")))?;
        let mut ivf = IndexIVF::new(quantizer, d, nlist, bits.div_ceil(8), MetricType::L2, own_invlists)?;
        (ivf.by_residual, ivf.is_trained) = (false, false);
        let mut rotation = RandomRotationMatrix::new(d, i64::from(nbit))?;
        rotation.init(SEED)?;
        Ok(IndexIVFSpectralHash { ivf, vt: Some(Shared::new(rotation)), nbit, period, ..Default::default() })
    }

    /// Takes another transform, of as many coordinates as there are bits.
    pub fn replace_vt(&mut self, vt: Shared<dyn VectorTransform>, #[default = false] own: bool) -> Result<()> {
        let ((d_in, d_out), bits) = (vt.read().base().dims(), self.bits()?);
        Error::check(d_in == self.dim() && d_out == bits, "vt_in->d_in == d && vt_in->d_out == nbit")?;
        (self.vt, self.own_fields) = (Some(vt), own);
        Ok(())
    }
}

impl IndexIVFSpectralHash {
    fn bits(&self) -> Result<usize> {
        usize::try_from(self.nbit).map_err(|_| Error::failed("nbit >= 0", format!("{} bits", self.nbit)))
    }

    fn vt(&self) -> Result<&Shared<dyn VectorTransform>> {
        self.vt.as_ref().ok_or_else(|| Error::failed("vt", "the index has no transform"))
    }

    /// An error where the public fields do not fit together.
    fn check(&self) -> Result<()> {
        let bits = self.bits()?;
        Error::check(self.code_size == bits.div_ceil(8), "code_size == (nbit + 7) / 8")?;
        let (d_in, d_out) = self.vt()?.read().base().dims();
        Error::check(d_in == self.dim() && d_out == bits, "vt->d_in == d && vt->d_out == nbit")?;
        let known = (THRESH_GLOBAL..=THRESH_MEDIAN).contains(&self.threshold_type);
        Error::check(known, "threshold_type >= 0 && threshold_type <= 3")?;
        let wanted = self.nlist.checked_mul(bits).filter(|_| self.is_trained && self.threshold_type != THRESH_GLOBAL);
        Error::check(wanted.is_none_or(|n| self.trained.len() >= n), "trained.size() >= nlist * nbit")
    }

    /// Where the intervals of a list begin; nothing for 0.
    fn starts(&self, list: usize) -> &[f32] {
        let bits = self.nbit.max(0) as usize;
        let own = list.checked_mul(bits).and_then(|at| self.trained.get(at..at.checked_add(bits)?));
        own.filter(|_| self.threshold_type != THRESH_GLOBAL).unwrap_or_default()
    }

    /// The bits of transformed coordinates.
    fn encode(&self, x: &[f32], starts: &[f32], code: &mut [u8]) {
        code.fill(0);
        let frequency = 2.0 / self.period;
        for (i, v) in x.iter().enumerate() {
            let start = starts.get(i).copied().unwrap_or(0.0);
            // The number's lowest bit, whatever its size: what no integer holds is even.
            let odd = ((v - start) * frequency).floor() as i64 & 1 == 1;
            code[i / 8] |= u8::from(odd) << (i % 8);
        }
    }
}

impl Index for IndexIVFSpectralHash {
    crate::inverted_file_index!();
}

impl InvertedFile for IndexIVFSpectralHash {
    crate::lists_and_codec!(ivf);
    fn encode_vectors(&self, x: &[f32], list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
        self.check()?;
        let (bits, size) = (self.bits()?, self.code_size);
        Error::check(codes.len() == list_nos.len() * size, "codes.size() == n * code_size")?;
        let xt = self.vt()?.read().apply(x)?;
        for (i, list) in list_nos.iter().enumerate().filter(|(_, list)| **list >= 0) {
            let code = &mut codes[i * size..(i + 1) * size];
            self.encode(&xt[i * bits..(i + 1) * bits], self.starts(*list as usize), code);
        }
        Ok(())
    }
    fn decode_vectors(&self, _codes: &[u8], _list_nos: &[i64], _x: &mut [f32]) -> Result<()> {
        Err(Error::unsupported("reconstruct", self.info().name))
    }
    fn train_encoder(&mut self, x: &[f32], _assign: Option<&[i64]>) -> Result<()> {
        let (bits, nlist) = (self.bits()?, self.nlist);
        if !self.vt()?.read().base().is_trained {
            self.vt()?.write().train(x)?;
        }
        self.check()?;
        let mut trained = Vec::new();
        let quantizer = self.quantizer()?.read();
        if self.threshold_type == THRESH_MEDIAN {
            let mut assign = vec![-1i64; self.rows(x)?];
            quantizer.assign(x, 1, &mut assign)?;
            let xt = self.vt()?.read().apply(x)?;
            let mut columns: Vec<Vec<f32>> = vec![Vec::new(); nlist * bits];
            for (row, list) in xt.chunks_exact(bits.max(1)).zip(&assign).filter(|(_, list)| **list >= 0) {
                row.iter().enumerate().for_each(|(i, v)| columns[*list as usize * bits + i].push(*v));
            }
            trained = columns.iter_mut().map(|column| median(column)).collect();
        } else if self.threshold_type != THRESH_GLOBAL {
            let mut centroids = vec![0f32; nlist * self.dim()];
            quantizer.reconstruct_n(0, nlist, &mut centroids)?;
            trained = self.vt()?.read().apply(&centroids)?;
            if self.threshold_type == THRESH_CENTROID_HALF {
                trained.iter_mut().for_each(|v| *v -= 0.25 * self.period);
            }
        }
        drop(quantizer);
        self.trained = trained;
        Ok(())
    }
    fn searcher<'a>(&'a self, _search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        self.check()?;
        Ok(Some(Box::new(HashSearcher(self))))
    }
    fn check_same_codes(&self, other: &dyn InvertedFile) -> Result<()> {
        let other = cast::<IndexIVFSpectralHash>(other);
        let same = other.is_some_and(|other| {
            let settings = |i: &IndexIVFSpectralHash| (i.nbit, i.period.to_bits(), i.threshold_type);
            settings(other) == settings(self) && other.trained == self.trained
        });
        Error::check(same, "other has the same bits")
    }
}

struct HashSearcher<'a>(&'a IndexIVFSpectralHash);

impl Searcher for HashSearcher<'_> {
    fn scanner(&self) -> Result<Box<dyn Scanner + '_>> {
        Ok(Box::new(HashScanner { index: self.0, query: Vec::new(), code: vec![0; self.0.code_size] }))
    }
    fn list_by_list(&self) -> bool {
        false
    }
}

struct HashScanner<'a> {
    index: &'a IndexIVFSpectralHash,
    /// The query, transformed.
    query: Vec<f32>,
    /// Its bits in the list.
    code: Vec<u8>,
}

impl Scanner for HashScanner<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.query = self.index.vt()?.read().apply(x)?;
        Ok(())
    }
    fn set_list(&mut self, list: usize, _coarse: f32) -> Result<()> {
        self.index.encode(&self.query, self.index.starts(list), &mut self.code);
        Ok(())
    }
    fn keys(&mut self, _first: usize, codes: &[u8], keys: &mut [f32]) -> Result<()> {
        for (code, key) in codes.chunks_exact(self.code.len().max(1)).zip(keys) {
            *key = hamming(code, &self.code) as f32;
        }
        Ok(())
    }
}
