//! Inverted file of RaBitQ codes, their signs packed for FastScan and the rest behind each block.

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::fast_scan::{FastScanFile, IndexIVFFastScan, QueryTables};
use super::rabitq::{Estimates, IndexIVFRaBitQ, centroids, rounding};
use super::{InvertedFile, Pairs, Search, Searcher, format};
use crate::base::object::{cast, cast_mut};
use crate::base::{Error, Handle, MetricType, Result, Shared, interrupt, threads};
use crate::distance::collect::{Collector, Heap, Hit, InRange};
use crate::distance::results::{InRadius, TopK};
use crate::grammar::{Grammar, RaBitQPart};
use crate::index::fast_scan::rabitq::{check_rounded, part_behind};
use crate::index::ivf::format::{Header, Lists};
use crate::index::stats::{INDEX_IVF_STATS, IndexIVFStats};
use crate::index::{Index, dim_of, selector};
use crate::quantize::fast_scan::{KSUB, Tables, quantize_tables};
use crate::quantize::rabitq::Sizes;
use crate::quantize::rabitq::{PackedCodes, QueryFactors, RaBitQuantizer, Rounding};
use crate::registry::Row;
use crate::simd::fast_scan::{GROUP, Lane, Packed, scan_packed};
use crate::storage::block_lists::BlockInvertedLists;
use crate::storage::direct_map::lo_build;

/// Groups of 32 vectors that are compared before what was found is looked at.
const PIECE: usize = 64;

/// Stores RaBitQ codes of vectors less the centroids of their lists, packed.
#[derive(Object, Clone)]
#[object(implements(Index, InvertedFile, FastScanFile), methods, copy(fast_scan))]
pub struct IndexIVFRaBitQFastScan {
    /// The packed lists.
    #[object(parent)]
    pub fast_scan: IndexIVFFastScan,
    /// Makes the codes.
    pub rabitq: RaBitQuantizer,
    /// Bits that queries are rounded to, 1 to 8.
    #[object(default = 8)]
    pub qb: u8,
    /// Round to steps around 0, as wide as suits normal variables.
    pub centered: bool,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFRaBitQFastScan>()
    .grammar(Grammar::InvertedFile(|over, part| match RaBitQPart::parse(part) {
        Some(RaBitQPart { nb_bits, bbs: Some(bbs) }) => {
            let quantizer = over.quantizer.clone();
            let index = IndexIVFRaBitQFastScan::new(quantizer, over.d, over.nlist, over.metric, bbs, true, nb_bits)?;
            Ok(Some(Handle::new(index)))
        }
        _ => Ok(None),
    }))
    .format(crate::file_format!(IndexIVFRaBitQFastScan, ["Iwrn", "Iwrf"], |index, code, file| {
        index.ivf => Header(code);
        index.rabitq => Sizes(true);
        index.by_residual;
        index.code_size;
        index.bbs;
        index.qbs2;
        index.M2;
        index.implem;
        index.qb;
        index.centered;
        // Once, what is behind the signs of a code was by itself, by id.
        read {
            let behind = if code.is("Iwrf") { Some(file.codes()?) } else { None };
            let (parts, code_size, d) = (index.rabitq.d.div_ceil(4), index.rabitq.code_size, index.rabitq.d);
            index.code_size = if behind.is_some() { code_size } else { index.code_size };
            index.fast_scan.set_parts(parts, code_size, d)?;
            index.fast_scan.aux = index.rabitq.parts().aux();
        }
        old (behind.is_some()) {
            let lists = format::read_inverted_lists(file)?.and_then(|lists| lists.view::<BlockInvertedLists>().ok());
            let lists = lists.ok_or_else(|| Error::failed("", "lists of packed codes are wanted here"))?;
            let (packer, aux) = (index.packer()?, index.aux);
            let behind = behind.unwrap_or_default();
            let part = |id: i64| part_behind(behind.as_slice(), usize::try_from(id).unwrap_or(usize::MAX), aux);
            lists.write().join(&packer, part)?;
            format::take_lists(&mut index.ivf, lists.view()?)?;
        } else {
            index.ivf => Lists;
        }
        read {
            if let Some(lists) = &index.invlists
                && let Some(lists) = cast_mut::<BlockInvertedLists>(&mut *lists.write())
            {
                lists.set_packer(&index.packer()?)?;
            }
        }
    }));

#[methods(new)]
impl IndexIVFRaBitQFastScan {
    /// Over `nlist` lists of `quantizer`, with codes of `nb_bits` bits a coordinate, in blocks of `bbs` vectors.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 32] bbs: i64,
        #[default = true] own_invlists: bool,
        #[default = 1] nb_bits: usize,
    ) -> Result<Self> {
        let rabitq = RaBitQuantizer::new(dim_of(d), metric, nb_bits)?;
        let m = rabitq.d.div_ceil(4);
        let fast_scan = IndexIVFFastScan::new(quantizer, d, nlist, m, metric, bbs, own_invlists)?;
        let mut fast_scan = fast_scan.with_aux(rabitq.parts().aux())?;
        fast_scan.by_residual = true;
        Ok(IndexIVFRaBitQFastScan { fast_scan, rabitq, ..Default::default() })
    }

    /// The codes of another inverted file, packed.
    #[new]
    pub fn from_ivf_rabitq(orig: &IndexIVFRaBitQ, #[default = 32] bbs: i64) -> Result<Self> {
        let (quantizer, d, bits) = (orig.quantizer()?.clone(), i64::from(orig.d), orig.rabitq.nb_bits);
        let mut made = IndexIVFRaBitQFastScan::new(quantizer, d, orig.nlist, orig.metric_type, bbs, true, bits)?;
        (made.is_trained, made.by_residual, made.nprobe) = (orig.is_trained, orig.by_residual, orig.nprobe);
        made.qb = orig.qb;
        made.fast_scan.take(orig)?;
        Ok(made)
    }

    /// The tables of a query for a list, before they are rounded: M * ksub numbers.
    #[name = "_residual_tables"]
    fn residual_tables(&self, x: &[f32], list_no: i64, qb: u8, centered: bool) -> Result<Vec<f32>> {
        self.check()?;
        let rounding = check_rounded(Rounding::new(qb, centered)?)?;
        Error::check(x.len() == self.dim(), "x.size() == d")?;
        let (mut centroid, mut query) = (vec![0f32; self.dim()], QueryFactors::default());
        self.quantizer()?.read().reconstruct(list_no, &mut centroid)?;
        query.set(x, &centroid, rounding);
        let mut tables = vec![0f32; self.M * KSUB];
        query.tables(rounding, &mut tables);
        Ok(tables)
    }

    /// Bytes that stand behind the signs of each code.
    fn compute_per_vector_storage_size(&self) -> usize {
        self.rabitq.parts().aux()
    }
}

impl IndexIVFRaBitQFastScan {
    fn check(&self) -> Result<()> {
        self.rabitq.check()?;
        Error::check(self.by_residual, "by_residual")?;
        let fits = self.rabitq.d == self.dim() && self.rabitq.code_size == self.code_size;
        Error::check(fits && self.fast_scan.aux == self.rabitq.parts().aux(), "code_size == rabitq.code_size")
    }

    /// Looks into the lists of each query, in their order.
    fn visit<C: Collector>(
        &self,
        pairs: &Pairs<'_>,
        collector: impl Fn() -> C + Sync,
        done: impl Fn(usize, Vec<Hit>) + Sync,
    ) -> Result<()> {
        self.check()?;
        let rounding = check_rounded(rounding(pairs.params, self.qb, self.centered)?)?;
        let (nprobe, lists) = (pairs.plan.nprobe, self.lists()?);
        let sel = selector(pairs.params);
        let sel = sel.as_ref().map(|sel| sel.read());
        let quantizer = self.quantizer()?.read();
        let (d, size, packer) = (self.dim(), self.M2 * KSUB, self.fast_scan.packer()?);
        let counts = Mutex::new(IndexIVFStats { nq: pairs.n, ..Default::default() });
        let state = || {
            let queries = vec![QueryFactors::default(); nprobe];
            Ok((queries, QueryTables::default(), Tables::default(), vec![0f32; d], Vec::new()))
        };
        threads::parallel_for_with(pairs.n, state, |(queries, floats, tables, centroid, hits), q| {
            interrupt::check()?;
            let list_nos = &pairs.list_nos[q * nprobe..(q + 1) * nprobe];
            let visited: Vec<(usize, usize)> = list_nos
                .iter()
                .filter_map(|list| usize::try_from(*list).ok())
                .map(|list| (list, lists.list_size(list)))
                .collect();
            floats.tables.clear();
            floats.tables.resize(visited.len() * self.M * KSUB, 0.0);
            floats.bias.clear();
            floats.bias.resize(visited.len(), 0.0);
            let rows = floats.tables.chunks_exact_mut((self.M * KSUB).max(1));
            for (((list, _), query), row) in visited.iter().zip(&mut *queries).zip(rows) {
                quantizer.reconstruct(*list as i64, centroid)?;
                query.set(pairs.query(d, q), centroid, rounding);
                query.tables(rounding, row);
            }
            let mut own = collector();
            if !visited.is_empty() {
                quantize_tables(&floats.tables, &floats.bias, self.M, self.M2, tables)?;
            }
            for (probe, ((list, n), query)) in visited.iter().zip(&*queries).enumerate().filter(|(_, v)| v.0.1 > 0) {
                let (packed, block) = lists
                    .packed(*list)
                    .filter(|(_, block)| *block == packer.nvec)
                    .ok_or_else(|| Error::failed("", "the lists are to be BlockInvertedLists of RaBitQ codes"))?;
                let codes = PackedCodes {
                    parts: self.rabitq.parts(),
                    layout: packer.layout,
                    packed,
                    similarity: self.metric_type.is_similarity(),
                };
                let packed =
                    Packed { codes: packed, block, parts: self.M2, stride: packer.layout.stride(), last_pair: 1 };
                let ids = lists.ids(*list);
                let each = if tables.bytes.len() > size { probe * size } else { 0 };
                let groups = n.div_ceil(GROUP);
                for from in (0..groups).step_by(PIECE) {
                    let lane = Lane {
                        tables: &tables.bytes[each..each + size],
                        first: tables.first.get(probe).copied().unwrap_or(0),
                        below: u16::MAX,
                        flip: false,
                        hits,
                    };
                    scan_packed(packed, from, (from + PIECE).min(groups), &mut [lane]);
                    codes.offer(query, rounding, (tables.offset, tables.scale), hits, &mut own, |at| {
                        let wanted = at < *n && sel.as_ref().is_none_or(|sel| sel.is_member(ids[at]));
                        wanted.then(|| if pairs.store_pairs { lo_build(*list, at) } else { ids[at] })
                    });
                }
            }
            counts.lock().add(&IndexIVFStats {
                nlist: visited.iter().filter(|(_, n)| *n > 0).count(),
                ndis: visited.iter().map(|(_, n)| n).sum(),
                nheap_updates: own.updates(),
                ..Default::default()
            });
            done(q, own.finish());
            Ok(())
        })?;
        INDEX_IVF_STATS.write().add(&counts.into_inner());
        Ok(())
    }
}

impl Index for IndexIVFRaBitQFastScan {
    crate::inverted_file_index!();
}

impl InvertedFile for IndexIVFRaBitQFastScan {
    crate::lists_and_codec!(fast_scan.ivf);
    fn train_encoder(&mut self, _x: &[f32], _assign: Option<&[i64]>) -> Result<()> {
        self.check()
    }
    fn encode_vectors(&self, x: &[f32], list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
        self.check()?;
        if list_nos.is_empty() { Ok(()) } else { self.rabitq.encode(x, &centroids(self, list_nos)?, codes) }
    }
    fn decode_vectors(&self, codes: &[u8], list_nos: &[i64], x: &mut [f32]) -> Result<()> {
        self.check()?;
        if list_nos.is_empty() { Ok(()) } else { self.rabitq.decode_all(codes, &centroids(self, list_nos)?, x) }
    }
    fn check_same_codes(&self, other: &dyn InvertedFile) -> Result<()> {
        let other = cast::<IndexIVFRaBitQFastScan>(other);
        let same = other.is_some_and(|o| o.rabitq.nb_bits == self.rabitq.nb_bits && o.bbs == self.bbs);
        Error::check(same, "other->rabitq.nb_bits == rabitq.nb_bits && other->bbs == bbs")
    }
    fn searcher<'a>(&'a self, search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        self.check()?;
        let rounding = check_rounded(rounding(search.params, self.qb, self.centered)?)?;
        Ok(Some(Box::new(Estimates { ivf: self, rabitq: &self.rabitq, quantizer: search.quantizer, rounding })))
    }
    fn search_pairs(&self, pairs: &Pairs<'_>, k: usize, out: &TopK<'_>) -> Result<bool> {
        self.visit(pairs, || Heap::new(k), |q, hits| out.write(q, &hits)).map(|()| true)
    }
    fn range_search_pairs(&self, pairs: &Pairs<'_>, radius: f32, out: &InRadius) -> Result<bool> {
        let limit = out.limit(radius);
        self.visit(pairs, || InRange::new(limit), |q, hits| out.put(q, hits)).map(|()| true)
    }
}

impl FastScanFile for IndexIVFRaBitQFastScan {
    fn fast_scan(&self) -> &IndexIVFFastScan {
        &self.fast_scan
    }
    fn fast_scan_mut(&mut self) -> &mut IndexIVFFastScan {
        &mut self.fast_scan
    }
}
