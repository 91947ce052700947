//! A graph over product-quantized codes.

use faiss_derive::Object;

use super::{IndexHNSW, int};
use crate::base::object::{cast_mut, receiver};
use crate::base::{Error, Handle, MetricType, Result, Shared, Value};
use crate::grammar::{Grammar, PqPart};
use crate::index::Index;
use crate::index::pq::IndexPQ;
use crate::registry::{Format, Row, no_overload};

/// Stores product-quantized codes and searches them along the links of a hierarchical graph.
#[derive(Object, Default)]
#[object(implements(Index), copy = deep_copy)]
pub struct IndexHNSWPQ {
    #[object(parent)]
    pub hnsw_index: IndexHNSW,
}

const SIGNATURES: &[&str] = &["()", "(d: int, pq_m: int, M: int, pq_nbits: int = 8, metric: int = METRIC_L2)"];

pub const ROW: Row = Row::of::<IndexHNSWPQ>()
    // As in Faiss, by L2 whatever the metric.
    .grammar(Grammar::Graph(|d, m, storage, _| {
        let Some(part) = PqPart::parse(storage) else { return Ok(None) };
        let index = IndexHNSWPQ::new(d, part.m, m, part.nbits, MetricType::L2)?;
        if let Some(pq) = cast_mut::<IndexPQ>(&mut *index.hnsw_index.storage()?.write()) {
            pq.do_polysemous_training = part.polysemous;
        }
        Ok(Some(Handle::new(index)))
    }))
    .construct(
        |args| {
            let (d, pq_m, m, nbits, metric) = match args {
                [] => return Ok(Handle::new(IndexHNSWPQ::default())),
                [Value::Int(d), Value::Int(pq_m), Value::Int(m)] => (*d, *pq_m, *m, 8, 1),
                [Value::Int(d), Value::Int(pq_m), Value::Int(m), Value::Int(nbits)] => (*d, *pq_m, *m, *nbits, 1),
                [Value::Int(d), Value::Int(pq_m), Value::Int(m), Value::Int(nbits), Value::Int(metric)] => {
                    (*d, *pq_m, *m, *nbits, *metric)
                }
                _ => return Err(no_overload("IndexHNSWPQ", SIGNATURES)),
            };
            let size =
                |v: i64| usize::try_from(v).map_err(|_| Error::overflow("the number is out of range for size_t"));
            let metric = MetricType::try_from(metric)?;
            Ok(Handle::new(IndexHNSWPQ::new(d, size(pq_m)?, int(m)?, size(nbits)?, metric)?))
        },
        SIGNATURES,
    )
    .format(Format {
        fourccs: &["IHNp"],
        read: |input, _| {
            let skip_table = input.has_flag(crate::stream::IO_FLAG_PQ_SKIP_SDC_TABLE);
            let index = IndexHNSWPQ { hnsw_index: IndexHNSW::read(input)? };
            if !skip_table {
                index.compute_sdc_table()?;
            }
            Ok(Handle::new(index))
        },
        write: |object, out| receiver::<IndexHNSW>(object)?.write("IHNp", out),
    });

impl IndexHNSWPQ {
    fn deep_copy(&self) -> Result<Self> {
        Ok(IndexHNSWPQ { hnsw_index: self.hnsw_index.deep_copy()? })
    }

    /// With `m` links a vector, twice as many at the lowest level; codes of `pq_m` numbers of `nbits` bits.
    pub fn new(d: i64, pq_m: usize, m: i32, nbits: usize, metric: MetricType) -> Result<Self> {
        let storage = IndexPQ { do_polysemous_training: false, ..IndexPQ::new(d, pq_m, nbits, metric)? };
        let mut hnsw_index = IndexHNSW { own_fields: true, ..IndexHNSW::over(Shared::new(storage), m)? };
        hnsw_index.is_trained = false;
        Ok(IndexHNSWPQ { hnsw_index })
    }

    /// Distances between centroids, as Faiss keeps them for graphs.
    fn compute_sdc_table(&self) -> Result<()> {
        if let Some(storage) = &self.hnsw_index.storage
            && let Some(pq) = cast_mut::<IndexPQ>(&mut *storage.write())
            && pq.pq.nbits <= 8
        {
            pq.pq.compute_sdc_table()?;
        }
        Ok(())
    }
}

impl Index for IndexHNSWPQ {
    crate::inherit_index!(hnsw_index);

    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.hnsw_index.train(x)?;
        self.compute_sdc_table()
    }
}
