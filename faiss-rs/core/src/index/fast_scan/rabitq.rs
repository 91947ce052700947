//! RaBitQ codes, their signs packed for FastScan and the rest behind each block.

use faiss_derive::{Object, methods};

use super::{FastScan, IndexFastScan};
use crate::base::memory::filled;
use crate::base::object::Object;
use crate::base::{Error, Handle, MetricType, Result, interrupt, threads};
use crate::distance::collect::{Collector, Heap};
use crate::distance::results::TopK;
use crate::grammar::{Grammar, RaBitQPart};
use crate::index::rabitq::{IndexRaBitQ, mean, rounding};
use crate::index::{Index, dim_of, selector};
use crate::quantize::codec::CodeDistances;
use crate::quantize::fast_scan::{KSUB, Tables, quantize_tables};
use crate::quantize::rabitq::Sizes;
use crate::quantize::rabitq::{CodeParts, PackedCodes, QueryFactors, RaBitQuantizer, Rounding};
use crate::quantize::{Quantizer, QuantizerBase};
use crate::registry::Row;
use crate::simd::fast_scan::{GROUP, Lane, scan_packed};

/// Groups of 32 vectors that are compared before what was found is looked at.
const PIECE: usize = 64;

/// Stores RaBitQ codes, packed, and searches them exhaustively: by rounded sums of tables for four signs each.
#[derive(Object, Clone)]
#[object(methods, implements(Index, FastScan), copy)]
pub struct IndexRaBitQFastScan {
    /// The packed codes.
    #[object(parent)]
    pub fast_scan: IndexFastScan,
    /// Makes the codes.
    pub rabitq: RaBitQuantizer,
    /// The mean of the training vectors, which is subtracted.
    pub center: Vec<f32>,
    /// Bits that queries are rounded to, 1 to 8.
    #[object(default = 8)]
    pub qb: u8,
    /// Round to steps around 0, as wide as suits normal variables.
    pub centered: bool,
}

pub(crate) const ROW: Row = Row::of::<IndexRaBitQFastScan>()
    .grammar(Grammar::Index(|d, part, metric| match RaBitQPart::parse(part) {
        Some(RaBitQPart { nb_bits, bbs: Some(bbs) }) => {
            Ok(Some(Handle::new(IndexRaBitQFastScan::new(d, metric, bbs, nb_bits)?)))
        }
        _ => Ok(None),
    }))
    .format(crate::file_format!(IndexRaBitQFastScan, ["Irfn", "Irfs"], |index, code, file| {
        index.base;
        index.rabitq => Sizes(true);
        index.center;
        index.qb;
        // Once, what is behind the signs of a code was by itself.
        read { let behind = if code.is("Irfs") { Some(file.codes()?) } else { None }; }
        index.bbs;
        index.ntotal2;
        index.M2;
        index.code_size;
        index.codes;
        read {
            let aux = index.rabitq.parts().aux();
            if behind.is_some() { index.code_size = index.rabitq.code_size; }
            let same = index.code_size == index.rabitq.code_size;
            Error::check(same, "M2 == roundup((d + 3) / 4, 2) && code_size == rabitq.code_size")?;
            let parts = index.rabitq.d.div_ceil(4);
            index.fast_scan.set_parts(parts)?;
            index.fast_scan = std::mem::take(&mut index.fast_scan).with_aux(aux);
            if let Some(behind) = behind {
                let part = |i| part_behind(behind.as_slice(), i, aux);
                let joined = index.layout().joined(index.ntotal as usize, index.fast_scan.codes.as_slice(), part)?;
                index.fast_scan.codes = joined;
            }
        }
    }, index.check_codes()));

#[methods(new)]
impl IndexRaBitQFastScan {
    /// With codes of `nb_bits` bits a coordinate, in blocks of `bbs` vectors.
    #[new]
    pub fn new(
        d: i64,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 32] bbs: i64,
        #[default = 1] nb_bits: usize,
    ) -> Result<Self> {
        let rabitq = RaBitQuantizer::new(dim_of(d), metric, nb_bits)?;
        IndexRaBitQFastScan::over(d, metric, bbs, rabitq)
    }

    /// The codes of another index, packed.
    #[new]
    pub fn from_rabitq(orig: &IndexRaBitQ, #[default = 32] bbs: i64) -> Result<Self> {
        orig.count()?;
        let mut made = IndexRaBitQFastScan::over(i64::from(orig.d), orig.metric_type, bbs, orig.rabitq.clone())?;
        (made.center, made.qb, made.centered) = (orig.center.clone(), orig.qb, orig.centered);
        made.is_trained = orig.is_trained;
        made.fast_scan.append(orig.codes.as_slice())?;
        Ok(made)
    }

    /// Bytes that stand behind the signs of each code.
    fn compute_per_vector_storage_size(&self) -> usize {
        self.rabitq.parts().aux()
    }
}

impl IndexRaBitQFastScan {
    fn over(d: i64, metric: MetricType, bbs: i64, rabitq: RaBitQuantizer) -> Result<Self> {
        let aux = rabitq.parts().aux();
        let fast_scan = IndexFastScan::new(d, rabitq.d.div_ceil(4), metric, bbs)?.with_aux(aux);
        // Of zeros until training; so files have it too.
        let center = filled(&[rabitq.d], 0f32)?;
        Ok(IndexRaBitQFastScan { fast_scan, rabitq, center, ..Default::default() })
    }
}

/// What is behind the signs of vector `i`, in older files.
pub fn part_behind(all: &[u8], i: usize, aux: usize) -> Result<&[u8]> {
    let start = i.checked_mul(aux);
    let part = start.and_then(|start| all.get(start..start.checked_add(aux)?));
    part.ok_or_else(|| Error::failed("flat_storage.size() == ntotal * storage_size", ""))
}

/// An error where queries are not rounded: tables are of rounded ones.
pub fn check_rounded(rounding: Rounding) -> Result<Rounding> {
    Error::check(rounding.qb > 0, "qb > 0").map(|()| rounding)
}

impl Quantizer for IndexRaBitQFastScan {
    fn quantizer_base(&self) -> &QuantizerBase {
        &self.rabitq
    }
    fn check(&self) -> Result<()> {
        self.rabitq.check()?;
        let fits = self.rabitq.metric_type == self.metric_type && self.fast_scan.aux == self.rabitq.parts().aux();
        Error::check(fits && (!self.is_trained || self.center.len() == self.dim()), "center.size() == d")
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.rows(x)?;
        self.center = mean(x, self.dim());
        Ok(())
    }
    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        self.rabitq.encode(x, &self.center, codes)
    }
    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.rabitq.decode_all(codes, &self.center, x)
    }
    fn code_distances(&self, _metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        Err(Error::unsupported("code_distances", "IndexRaBitQFastScan"))
    }
}

impl FastScan for IndexRaBitQFastScan {
    fn fast_scan(&self) -> &IndexFastScan {
        &self.fast_scan
    }
    fn fast_scan_mut(&mut self) -> &mut IndexFastScan {
        &mut self.fast_scan
    }
    fn codec(&self) -> &dyn Quantizer {
        self
    }
    fn codec_mut(&mut self) -> &mut dyn Quantizer {
        self
    }
    fn tables(&self, x: &[f32], tables: &mut [f32]) -> Result<()> {
        let rounding = check_rounded(rounding(None, self.qb, self.centered)?)?;
        let mut query = QueryFactors::default();
        for (x, row) in x.chunks_exact(self.dim().max(1)).zip(tables.chunks_exact_mut((self.M * KSUB).max(1))) {
            query.set(x, &self.center, rounding);
            query.tables(rounding, row);
        }
        Ok(())
    }
}

impl Index for IndexRaBitQFastScan {
    crate::fast_scan_index!(but search);

    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        self.queries(x, k, distances, labels)?;
        let ntotal = self.check_codes()?;
        let rounding = check_rounded(rounding(params, self.qb, self.centered)?)?;
        let out = TopK::new(self.metric_type, k, distances, labels);
        let d = self.dim();
        let sel = selector(params);
        let sel = sel.as_ref().map(|sel| sel.read());
        let codes = PackedCodes {
            parts: CodeParts::new(d, self.rabitq.nb_bits),
            layout: self.layout(),
            packed: self.codes.as_slice(),
            similarity: self.metric_type.is_similarity(),
        };
        let (packed, groups) = (self.packed(), ntotal.div_ceil(GROUP));
        threads::parallel_for_with(
            out.len(),
            || Ok((QueryFactors::default(), vec![0f32; self.M * KSUB], Tables::default(), Vec::new())),
            |(query, tables, rounded, hits), q| {
                query.set(&x[q * d..(q + 1) * d], &self.center, rounding);
                query.tables(rounding, tables);
                quantize_tables(tables, &[], self.M, self.M2, rounded)?;
                let mut own = Heap::new(k);
                for from in (0..groups).step_by(PIECE) {
                    interrupt::check()?;
                    let lane = Lane { tables: &rounded.bytes, first: 0, below: u16::MAX, flip: false, hits };
                    scan_packed(packed, from, (from + PIECE).min(groups), &mut [lane]);
                    codes.offer(query, rounding, (rounded.offset, rounded.scale), hits, &mut own, |at| {
                        let wanted = at < ntotal && sel.as_ref().is_none_or(|sel| sel.is_member(at as i64));
                        wanted.then_some(at as i64)
                    });
                }
                out.write(q, &own.finish());
                Ok(())
            },
        )
    }
}
