//! Codes of neural networks, searched exhaustively.

use faiss_derive::{Object, methods};

use super::flat::IndexFlat;
use super::flat_codes::{FlatCodes, IndexFlatCodes, check_same_type, reconstruct_n};
use super::{Index, IndexBase, RangeSearchResult};
use crate::base::memory::filled;
use crate::base::object::{DeepCopy, Object};
use crate::base::{Error, MetricType, Result, Shared};
use crate::quantize::bits::{Unpacker, pack};
use crate::quantize::codec::{CodeDistances, check_sizes};
use crate::quantize::decoded::Decoded;
use crate::quantize::neural::{NeuralNetCodec, QINCo};
use crate::quantize::{Quantizer, QuantizerBase};
use crate::registry::Row;

/// Vectors that are decoded at a time.
const BLOCK: usize = 4096;

/// Stores codes that a neural network makes, and searches what it decodes them to exhaustively.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy(net))]
pub struct IndexNeuralNetCodec {
    /// The codes.
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// Makes the codes.
    pub net: Option<Shared<dyn NeuralNetCodec>>,
    /// Numbers of a code.
    #[object(readonly)]
    pub M: i32,
    /// Bits of a number.
    #[object(readonly)]
    pub nbits: i32,
    sizes: QuantizerBase,
}

pub(crate) const ROW: Row = Row::of::<IndexNeuralNetCodec>();

/// As IndexNeuralNetCodec, of a residual quantizer whose codebooks networks make.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy = deep_copy)]
pub struct IndexQINCo {
    /// The codes.
    #[object(parent)]
    pub neural: IndexNeuralNetCodec,
    /// The network, which `net` is too.
    #[object(readonly)]
    pub qinco: Option<Shared<QINCo>>,
}

pub(crate) const QINCO: Row = Row::of::<IndexQINCo>();

#[methods(new)]
impl IndexNeuralNetCodec {
    /// Of codes of `M` numbers of `nbits` bits.
    #[new]
    pub fn new(
        d: i64,
        #[default = 0] M: i32,
        #[default = 0] nbits: i32,
        #[default = MetricType::L2] metric: MetricType,
    ) -> Result<Self> {
        Error::check(M >= 0 && (0..=24).contains(&nbits), "M >= 0 && nbits >= 0 && nbits <= 24")?;
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        let sizes = QuantizerBase { d: base.dim(), code_size: (M as usize * nbits as usize).div_ceil(8) };
        let flat_codes = IndexFlatCodes::new(base, sizes.code_size);
        Ok(IndexNeuralNetCodec { flat_codes, net: None, M, nbits, sizes })
    }
}

#[methods(new)]
impl IndexQINCo {
    /// Of codes of `M` numbers of `nbits` bits; `L` and `h` are the network's.
    #[new]
    pub fn new(
        d: i64,
        M: i32,
        nbits: i32,
        L: i32,
        h: i32,
        #[default = MetricType::L2] metric: MetricType,
    ) -> Result<Self> {
        let neural = IndexNeuralNetCodec::new(d, M, nbits, metric)?;
        let qinco = Shared::<QINCo>::new(QINCo::new(neural.d, 1 << nbits, L, M, h)?);
        Ok(IndexQINCo { neural: IndexNeuralNetCodec { net: Some(qinco.view()?), ..neural }, qinco: Some(qinco) })
    }
}

impl IndexNeuralNetCodec {
    fn net(&self) -> Result<&Shared<dyn NeuralNetCodec>> {
        self.net.as_ref().ok_or_else(|| Error::failed("net", "the index has no network; set its `net`"))
    }

    /// The stored vectors, in an index that compares them: decoding costs more than comparing.
    fn decoded(&self) -> Result<IndexFlat> {
        let ntotal = self.check_codes()?;
        let mut whole = IndexFlat::new(i64::from(self.d), self.metric_type)?;
        for first in (0..ntotal).step_by(BLOCK) {
            let n = BLOCK.min(ntotal - first);
            let mut rows = filled(&[n, self.dim()], 0f32)?;
            reconstruct_n(self, first as i64, n, &mut rows)?;
            whole.add(&rows)?;
        }
        Ok(whole)
    }
}

impl IndexQINCo {
    fn deep_copy(&self) -> Result<Self> {
        let neural = self.neural.deep_copy()?;
        let qinco = neural.net.as_ref().map(|net| net.view()).transpose()?;
        Ok(IndexQINCo { neural, qinco })
    }
}

impl Quantizer for IndexNeuralNetCodec {
    fn quantizer_base(&self) -> &QuantizerBase {
        &self.sizes
    }
    fn check(&self) -> Result<()> {
        let net = self.net()?.read();
        let (base, numbers) = (net.codec_base(), self.M);
        Error::check(base.d == self.d && base.M == numbers, "net->d == d && net->M == M")
    }
    fn train(&mut self, _x: &[f32]) -> Result<()> {
        Err(Error::failed("", "Training not implemented in C++, use Pytorch"))
    }
    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        check_sizes(&self.sizes, x, codes)?;
        self.check()?;
        let numbers = self.net()?.read().encode(x)?;
        let (nbits, size) = (self.nbits as usize, self.sizes.code_size);
        Error::check(numbers.iter().all(|number| *number >> nbits == 0), "number < 2^nbits")?;
        let rows = numbers.chunks_exact(self.M.max(1) as usize);
        for (row, code) in rows.zip(codes.chunks_exact_mut(size.max(1))) {
            pack(row.iter().map(|number| *number as u32), nbits, code);
        }
        Ok(())
    }
    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        check_sizes(&self.sizes, x, codes)?;
        self.check()?;
        let (nbits, numbers) = (self.nbits as usize, self.M as usize);
        let rows = codes.chunks_exact(self.sizes.code_size.max(1));
        let numbers = rows.flat_map(|code| Unpacker::new(code, nbits).take(numbers)).map(|number| number as i32);
        let decoded = self.net()?.read().decode(&numbers.collect::<Vec<i32>>())?;
        Error::check(decoded.len() == x.len(), "net->decode gives d numbers a code")?;
        x.copy_from_slice(&decoded);
        Ok(())
    }
    fn code_distances(&self, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        Ok(Box::new(Decoded::new(self, metric)))
    }
}

impl FlatCodes for IndexNeuralNetCodec {
    crate::codes_and_codec!(flat_codes);
    fn search_codes(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.decoded()?.search(x, k, params, distances, labels)
    }
    fn range_search_codes(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        self.decoded()?.range_search(x, radius, params)
    }
}

impl Index for IndexNeuralNetCodec {
    crate::flat_codes_index!();
}

impl Index for IndexQINCo {
    crate::inherit_index!(neural);

    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        check_same_type(self, other)?;
        self.neural.flat_codes.check_compatible_for_merge(other)
    }
    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        self.neural.flat_codes.merge_from(other, add_id)
    }
}
