//! Product-quantized codes of four bits, packed.

use faiss_derive::Object;

use super::{FastScan, IndexFastScan, check_block};
use crate::base::object::receiver;
use crate::base::{Error, Handle, MetricType, Result, Value};
use crate::grammar::{FastScanPart, Grammar};
use crate::index::pq::IndexPQ;
use crate::index::{Index, header};
use crate::quantize::{ProductQuantizer, Quantizer};
use crate::registry::{Format, Row, no_overload};

/// Stores product-quantized codes of four bits, packed, and searches them exhaustively.
#[derive(Object, Default, Clone)]
#[object(implements(Index, FastScan), copy)]
pub struct IndexPQFastScan {
    #[object(parent)]
    pub fast_scan: IndexFastScan,
    /// Makes the codes.
    pub pq: ProductQuantizer,
}

const SIGNATURES: &[&str] =
    &["()", "(d: int, M: int, nbits: int, metric: int = METRIC_L2, bbs: int = 32)", "(orig: IndexPQ, bbs: int = 32)"];

pub const ROW: Row = Row::of::<IndexPQFastScan>()
    .grammar(Grammar::Index(|d, part, metric| {
        let Some(part) = FastScanPart::parse(part, "PQ").filter(|part| !part.by_residual) else { return Ok(None) };
        Ok(Some(Handle::new(IndexPQFastScan::new(d, part.m, 4, metric, part.bbs)?)))
    }))
    .construct(
        |args| {
            let (numbers, bbs) = match args {
                [] => return Ok(Handle::new(IndexPQFastScan::default())),
                [Value::Handle(orig)] => return from_pq(orig, 32),
                [Value::Handle(orig), Value::Int(bbs)] => return from_pq(orig, *bbs),
                [numbers @ .., Value::Int(bbs)] if numbers.len() == 4 => (numbers, *bbs),
                numbers => (numbers, 32),
            };
            let (d, m, nbits, metric) = match numbers {
                [Value::Int(d), Value::Int(m), Value::Int(nbits)] => (*d, *m, *nbits, 1),
                [Value::Int(d), Value::Int(m), Value::Int(nbits), Value::Int(metric)] => (*d, *m, *nbits, *metric),
                _ => return Err(no_overload("IndexPQFastScan", SIGNATURES)),
            };
            let m = usize::try_from(m).map_err(|_| Error::overflow("M is out of range for size_t"))?;
            Ok(Handle::new(IndexPQFastScan::new(d, m, nbits, MetricType::try_from(metric)?, bbs)?))
        },
        SIGNATURES,
    )
    .format(Format {
        fourccs: &["IPfs"],
        read: |input, _| {
            let base = header::read(input)?;
            let pq = ProductQuantizer::read(input)?;
            let (implem, bbs, qbs) = (input.i32()?, input.i32()?, input.i32()?);
            let (ntotal2, m2) = (input.usize()?, input.usize()?);
            Error::check(pq.nbits == 4, "ksub == 16")?;
            let mut fast_scan = IndexFastScan::new(i64::from(base.d), pq.M, base.metric_type, i64::from(bbs))?;
            fast_scan.base = base;
            (fast_scan.implem, fast_scan.qbs, fast_scan.ntotal2) = (implem, qbs, ntotal2);
            Error::check(m2 == fast_scan.M2, "M2 == roundup(M, 2)")?;
            fast_scan.codes = input.codes()?;
            let index = IndexPQFastScan { fast_scan, pq };
            index.check_codes()?;
            Ok(Handle::new(index))
        },
        write: |object, out| {
            let index = receiver::<IndexPQFastScan>(object)?;
            index.check_codes()?;
            out.fourcc("IPfs")?;
            header::write(index, out)?;
            index.pq.write(out)?;
            out.i32(index.implem)?;
            out.i32(index.bbs)?;
            out.i32(index.qbs)?;
            out.usize(index.ntotal2)?;
            out.usize(index.M2)?;
            out.codes(index.codes.as_slice())
        },
    });

fn from_pq(orig: &Handle, bbs: i64) -> Result<Handle> {
    let orig = orig.view::<IndexPQ>()?;
    Ok(Handle::new(IndexPQFastScan::from_pq(&orig.read(), bbs)?))
}

impl IndexPQFastScan {
    /// With codes of `m` numbers of four bits, in blocks of `bbs` vectors.
    pub fn new(d: i64, m: usize, nbits: i64, metric: MetricType, bbs: i64) -> Result<Self> {
        Error::check(nbits == 4, "nbits_init == 4")?;
        check_block(bbs)?;
        let pq = ProductQuantizer::new(usize::try_from(d).unwrap_or(0), m, 4)?;
        Ok(IndexPQFastScan { fast_scan: IndexFastScan::new(d, m, metric, bbs)?, pq })
    }

    /// The codes of another index, packed.
    pub fn from_pq(orig: &IndexPQ, bbs: i64) -> Result<Self> {
        let nbits = i64::try_from(orig.pq.nbits).unwrap_or(i64::MAX);
        let mut made = IndexPQFastScan::new(i64::from(orig.d), orig.pq.M, nbits, orig.metric_type, bbs)?;
        orig.count()?;
        made.pq = orig.pq.clone();
        made.is_trained = orig.is_trained;
        made.fast_scan.take(orig.codes.as_slice())?;
        Ok(made)
    }
}

impl Index for IndexPQFastScan {
    crate::fast_scan_index!();
}

impl FastScan for IndexPQFastScan {
    fn fast_scan(&self) -> &IndexFastScan {
        &self.fast_scan
    }
    fn fast_scan_mut(&mut self) -> &mut IndexFastScan {
        &mut self.fast_scan
    }
    fn codec(&self) -> &dyn Quantizer {
        &self.pq
    }
    fn codec_mut(&mut self) -> &mut dyn Quantizer {
        &mut self.pq
    }
    fn tables(&self, x: &[f32], tables: &mut [f32]) -> Result<()> {
        self.pq.tables(x, self.metric_type.is_similarity(), tables)
    }
}
