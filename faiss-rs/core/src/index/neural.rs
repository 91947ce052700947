//! Codes of neural networks. The networks are not here: whoever has one encodes, and decodes to search; here is what is stored.

use faiss_derive::{Object, methods};

use super::flat_codes::IndexFlatCodes;
use super::{Index, IndexBase};
use crate::base::{Error, MetricType, Result};
use crate::registry::Row;

/// Stores codes that a neural network made, and searches what it decodes them to exhaustively.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexNeuralNetCodec {
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// Numbers of a code.
    #[object(readonly)]
    pub M: i32,
    /// Bits of a number.
    #[object(readonly)]
    pub nbits: i32,
}

pub const ROW: Row = Row::of::<IndexNeuralNetCodec>();

/// As IndexNeuralNetCodec, of a residual quantizer whose codebooks networks make.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexQINCo {
    #[object(parent)]
    pub neural: IndexNeuralNetCodec,
}

pub const QINCO: Row = Row::of::<IndexQINCo>();

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
        let flat_codes = IndexFlatCodes::new(base, (M as usize * nbits as usize).div_ceil(8));
        Ok(IndexNeuralNetCodec { flat_codes, M, nbits })
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
        Error::check(L >= 0 && h >= 0, "L >= 0 && h >= 0")?;
        Ok(IndexQINCo { neural: IndexNeuralNetCodec::new(d, M, nbits, metric)? })
    }
}

impl Index for IndexNeuralNetCodec {
    crate::inherit_index!(flat_codes);
}

impl Index for IndexQINCo {
    crate::inherit_index!(neural);
}
