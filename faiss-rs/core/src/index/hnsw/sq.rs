//! A graph over scalar-quantized codes.

use faiss_derive::Object;

use super::{IndexHNSW, int};
use crate::base::object::receiver;
use crate::base::{Handle, MetricType, Result, Shared, Value};
use crate::grammar::{Grammar, sq_part};
use crate::index::Index;
use crate::index::scalar::IndexScalarQuantizer;
use crate::quantize::scalar::methods::qtype_of;
use crate::registry::{Format, Row, no_overload};

/// Stores scalar-quantized codes and searches them along the links of a hierarchical graph.
#[derive(Object, Default)]
#[object(implements(Index), copy = deep_copy)]
pub struct IndexHNSWSQ {
    #[object(parent)]
    pub hnsw_index: IndexHNSW,
}

const SIGNATURES: &[&str] = &["()", "(d: int, qtype: int, M: int, metric: int = METRIC_L2)"];

pub const ROW: Row = Row::of::<IndexHNSWSQ>()
    .grammar(Grammar::Graph(|d, m, storage, metric| match sq_part(storage) {
        Some(qtype) => Ok(Some(Handle::new(IndexHNSWSQ::new(d, qtype, m, metric)?))),
        None => Ok(None),
    }))
    .construct(
        |args| {
            let (d, qtype, m, metric) = match args {
                [] => return Ok(Handle::new(IndexHNSWSQ::default())),
                [Value::Int(d), Value::Int(qtype), Value::Int(m)] => (*d, *qtype, *m, MetricType::L2),
                [Value::Int(d), Value::Int(qtype), Value::Int(m), Value::Int(metric)] => {
                    (*d, *qtype, *m, MetricType::try_from(*metric)?)
                }
                _ => return Err(no_overload("IndexHNSWSQ", SIGNATURES)),
            };
            Ok(Handle::new(IndexHNSWSQ::new(d, qtype_of(qtype), int(m)?, metric)?))
        },
        SIGNATURES,
    )
    .format(Format {
        fourccs: &["IHNs"],
        read: |input, _| Ok(Handle::new(IndexHNSWSQ { hnsw_index: IndexHNSW::read(input)? })),
        write: |object, out| receiver::<IndexHNSW>(object)?.write("IHNs", out),
    });

impl IndexHNSWSQ {
    /// With `m` links a vector, twice as many at the lowest level; `qtype` is one of the scalar quantizers' `QT_` constants.
    pub fn new(d: i64, qtype: i32, m: i32, metric: MetricType) -> Result<Self> {
        let storage = IndexScalarQuantizer::new(d, qtype, metric)?;
        let is_trained = storage.is_trained;
        let mut hnsw_index = IndexHNSW { own_fields: true, ..IndexHNSW::over(Shared::new(storage), m)? };
        hnsw_index.is_trained = is_trained;
        Ok(IndexHNSWSQ { hnsw_index })
    }

    fn deep_copy(&self) -> Result<Self> {
        Ok(IndexHNSWSQ { hnsw_index: self.hnsw_index.deep_copy()? })
    }
}

impl Index for IndexHNSWSQ {
    crate::inherit_index!(hnsw_index);
}
