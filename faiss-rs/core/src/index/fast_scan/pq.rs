//! Product-quantized codes of four bits, packed.

use faiss_derive::{Object, methods};

use super::{FastScan, IndexFastScan, check_block};
use crate::base::{Error, Handle, MetricType, Result};
use crate::grammar::{FastScanPart, Grammar};
use crate::index::pq::IndexPQ;
use crate::index::{Index, dim_of};
use crate::quantize::{ProductQuantizer, Quantizer};
use crate::registry::Row;

/// Stores product-quantized codes of four bits, packed, and searches them exhaustively.
///
/// As `IndexPQ` with `nbits = 4`: `M / 2` bytes a vector, looked up in registers many at a time; distances are rounded. André, Kermarrec and
/// Le Scouarnec, Cache locality is not enough, 2015.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index, FastScan), copy)]
pub struct IndexPQFastScan {
    /// The packed codes.
    #[object(parent)]
    pub fast_scan: IndexFastScan,
    /// Makes the codes.
    pub pq: ProductQuantizer,
}

pub(crate) const ROW: Row = Row::of::<IndexPQFastScan>()
    .grammar(Grammar::Index(|d, part, metric| {
        let Some(part) = FastScanPart::parse(part, "PQ").filter(|part| !part.by_residual) else { return Ok(None) };
        Ok(Some(Handle::new(IndexPQFastScan::new(d, part.m, 4, metric, part.bbs)?)))
    }))
    .format(crate::file_format!(IndexPQFastScan, ["IPfs"], |index| {
        index.base;
        index.pq;
        index.implem;
        index.bbs;
        index.qbs;
        index.ntotal2;
        index.M2;
        index.codes;
        read {
            Error::check(index.pq.nbits == 4, "ksub == 16")?;
            index.fast_scan.set_parts(index.pq.M)?;
        }
    }, index.check_codes()));

#[methods(new)]
impl IndexPQFastScan {
    /// With codes of `M` numbers of four bits, in blocks of `bbs` vectors.
    #[new]
    pub fn new(
        d: i64,
        M: usize,
        nbits: i64,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 32] bbs: i64,
    ) -> Result<Self> {
        Error::check(nbits == 4, "nbits_init == 4")?;
        check_block(bbs)?;
        let pq = ProductQuantizer::new(dim_of(d), M, 4)?;
        Ok(IndexPQFastScan { fast_scan: IndexFastScan::new(d, M, metric, bbs)?, pq })
    }

    /// The codes of another index, packed.
    #[new]
    pub fn from_pq(orig: &IndexPQ, #[default = 32] bbs: i64) -> Result<Self> {
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
