//! Inverted files of packed codes of four bits, searched by sums of sixteen bits.
//!
//! All tables of a query are rounded by one scale, so that sums of all its lists can be compared.

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::{IndexIVF, InvertedFile, Pairs, Scanner, Searcher};
use crate::base::object::cast_mut;
use crate::base::{Error, MetricType, Result, Shared, interrupt, threads};
use crate::distance::collect::{Collector, Hit, InRange, Reservoir};
use crate::distance::results::{InRadius, TopK};
use crate::index::fast_scan::check_block;
use crate::index::fast_scan::search::{below, to_keys};
use crate::index::stats::{INDEX_IVF_STATS, IndexIVFStats};
use crate::index::{Index, selector};
use crate::quantize::fast_scan::{KSUB, NORM_PARTS, Tables, quantize_tables};
use crate::registry::Row;
use crate::simd;
use crate::simd::fast_scan::{GROUP, Lane, Packed, scan_packed};
use crate::storage::block_lists::BlockInvertedLists;
use crate::storage::direct_map::lo_build;
use crate::storage::lists::{ArrayInvertedLists, InvertedLists};
use crate::storage::packer::{CodePacker, CodePackerPQ4};

/// Groups of 32 vectors that are compared before what was found is looked at: at first few, as there is no threshold yet, and twice as many each time.
const FIRST_PIECE: usize = 1;
const PIECE: usize = 64;
/// Bytes of the next list that are hinted at.
const PREFETCH: usize = 2048;

/// Base of the inverted files of packed codes of four bits.
#[derive(Object, Clone, Default)]
#[object(abstract, methods, copy(ivf))]
pub struct IndexIVFFastScan {
    /// The inverted file.
    #[object(parent)]
    pub ivf: IndexIVF,
    /// Vectors of a block, a multiple of 32.
    #[object(readonly)]
    pub bbs: i32,
    /// Parts of a code.
    #[object(readonly)]
    pub M: usize,
    /// Bits of a part.
    #[object(readonly)]
    pub nbits: usize,
    /// Entries of a table.
    #[object(readonly)]
    pub ksub: usize,
    /// `M`, rounded up to an even number.
    #[object(readonly)]
    pub M2: usize,
    /// How a search goes: 0 by itself, 1 by floats, 2 by rounded tables one code at a time, 10 to 15 by packed codes. All but 1 find the same; 1 and 2 need
    /// `orig_invlists`.
    pub implem: i32,
    /// Accepted for compatibility.
    pub skip: i32,
    /// Accepted for compatibility.
    pub qbs: i32,
    /// Accepted for compatibility.
    pub qbs2: usize,
    /// Lists of the codes as they are when they are not packed.
    pub orig_invlists: Option<Shared<dyn InvertedLists>>,
    /// Bytes behind the numbers of four bits of each code.
    #[object(skip)]
    pub aux: usize,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFFastScan>();

#[methods]
impl IndexIVFFastScan {
    /// What packs the codes.
    #[name = "get_CodePacker"]
    fn code_packer(&self) -> Result<Shared<dyn CodePacker>> {
        Ok(Shared::new(self.packer()?))
    }

    /// Bytes from one block to the next.
    fn get_block_stride(&self) -> Result<usize> {
        Ok(self.packer()?.block_size)
    }

    /// Bytes of the part of a code that is interleaved with those of other vectors.
    fn fast_scan_code_size(&self) -> usize {
        self.M2 / 2
    }

    /// Says to the lists how codes are packed.
    fn init_code_packer(&mut self) -> Result<()> {
        let packer = self.packer()?;
        match cast_mut::<BlockInvertedLists>(&mut *self.lists_handle()?.write()) {
            Some(lists) => lists.set_packer(&packer),
            None => Ok(()),
        }
    }

    /// Sets what follows from the parts of a code, the number of lists, the metric and the vectors of a block. There must be no vectors.
    fn init_fastscan(
        &mut self,
        M: usize,
        nbits: usize,
        nlist: usize,
        metric: MetricType,
        bbs: i64,
        own_invlists: bool,
    ) -> Result<()> {
        Error::check(nbits == 4, "nbits_init == 4")?;
        Error::check(self.ntotal == 0, "ntotal == 0")?;
        let (quantizer, d) = (self.quantizer()?.clone(), i64::from(self.d));
        let made = IndexIVFFastScan::new(quantizer, d, nlist, M, metric, bbs, own_invlists)?.with_aux(self.aux)?;
        let IndexIVFFastScan { bbs, M, nbits, ksub, M2, .. } = made;
        (self.bbs, self.M, self.nbits, self.ksub, self.M2) = (bbs, M, nbits, ksub, M2);
        let ivf = &mut self.ivf;
        (ivf.nlist, ivf.code_size, ivf.metric_type) = (made.ivf.nlist, made.ivf.code_size, metric);
        (ivf.is_trained, ivf.own_invlists, ivf.invlists) = (false, own_invlists, made.ivf.invlists);
        Ok(())
    }

    /// Makes `orig_invlists` of the packed lists.
    #[name = "reconstruct_orig_invlists"]
    fn unpack_lists(&mut self) -> Result<()> {
        self.reconstruct_orig_invlists()
    }
}

impl IndexIVFFastScan {
    /// Over `nlist` lists of `quantizer`, with codes of `m` parts.
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        m: usize,
        metric: MetricType,
        bbs: i64,
        own_invlists: bool,
    ) -> Result<Self> {
        let bbs = check_block(bbs)?;
        Error::check(m > 0 && m <= 1 << 24, "M > 0")?;
        let mut ivf = IndexIVF::new(quantizer, d, nlist, m.div_ceil(2), metric, false)?;
        (ivf.is_trained, ivf.by_residual, ivf.own_invlists) = (false, false, own_invlists);
        let parts = m.next_multiple_of(2);
        if own_invlists {
            ivf.invlists = Some(Shared::new(BlockInvertedLists::of_parts(nlist, parts, bbs as usize)?));
        }
        Ok(IndexIVFFastScan { ivf, bbs, M: m, nbits: 4, ksub: KSUB, M2: parts, ..Default::default() })
    }

    /// With codes that have `aux` bytes behind their numbers of four bits.
    pub fn with_aux(mut self, aux: usize) -> Result<Self> {
        self.aux = aux;
        self.ivf.code_size = self.M.div_ceil(2) + aux;
        if self.own_invlists {
            self.ivf.invlists = Some(Shared::new(BlockInvertedLists::of_packer(self.nlist, &self.packer()?)?));
        }
        Ok(self)
    }

    /// Takes the parts of codes that a file's quantizer has, `code_size` bytes for `d` numbers, where what the file says of them is the same.
    pub fn set_parts(&mut self, m: usize, code_size: usize, d: usize) -> Result<()> {
        let same = self.M2 == m.next_multiple_of(2) && self.code_size == code_size && self.dim() == d;
        Error::check(same, "M2 == roundup(M, 2), and code_size and d are the quantizer's")?;
        self.bbs = check_block(i64::from(self.bbs))?;
        (self.M, self.nbits, self.ksub) = (m, 4, KSUB);
        Ok(())
    }

    /// How blocks of codes are laid out.
    pub fn packer(&self) -> Result<CodePackerPQ4> {
        CodePackerPQ4::with_aux(self.M, usize::try_from(self.bbs).unwrap_or(0), self.aux)
    }

    /// Makes `orig_invlists` of the packed lists.
    pub fn reconstruct_orig_invlists(&mut self) -> Result<()> {
        let mut made = ArrayInvertedLists::new(self.nlist, self.code_size)?;
        {
            let lists = self.lists()?;
            for list in 0..self.nlist {
                made.add_entries(list, &lists.ids(list), &lists.codes(list))?;
            }
        }
        self.orig_invlists = Some(Shared::new(made));
        Ok(())
    }

    /// Takes the codes of another inverted file.
    pub fn take(&mut self, other: &IndexIVF) -> Result<()> {
        let handle = self.lists_handle()?.clone();
        let mut own = handle.write();
        let lists = other.lists()?;
        for list in 0..self.nlist {
            own.add_entries(list, &lists.ids(list), &lists.codes(list))?;
        }
        drop(lists);
        self.orig_invlists = other.invlists.clone();
        self.ntotal = other.ntotal;
        Ok(())
    }
}

/// Tables of one query, before they are rounded.
#[derive(Default)]
pub struct QueryTables {
    /// `M * 16` numbers, for all lists or for each.
    pub tables: Vec<f32>,
    /// A number for each list, or none.
    pub bias: Vec<f32>,
}

/// What a kind of inverted file of packed codes defines.
pub trait FastScanFile: InvertedFile {
    /// The packed lists.
    fn fast_scan(&self) -> &IndexIVFFastScan;
    /// The same, to be changed.
    fn fast_scan_mut(&mut self) -> &mut IndexIVFFastScan;
    /// What the sums of the last two parts are multiplied by, where they are norms whose tables were divided by it.
    fn norm_factor(&self) -> u16 {
        1
    }
    /// Makes what fills a query's tables, one for each thread. `quantizer` is the coarse one. A kind that searches by itself has none.
    fn tables_maker<'a>(&'a self, _quantizer: &'a dyn Index) -> Result<Box<dyn TablesMaker + Send + Sync + 'a>> {
        Err(Error::unsupported("tables_maker", self.info().name))
    }
}

crate::view!(FastScanFile, "IndexIVFFastScan");

/// Fills the tables of queries.
pub trait TablesMaker {
    /// Of the query `x` and its lists, at distances `coarse` from it; a negative list is none, whose tables may be anything.
    fn fill(&self, x: &[f32], lists: &[i64], coarse: &[f32], out: &mut QueryTables) -> Result<()>;
}

/// See [`InvertedFile::searcher`]: compares codes that are not packed, one by one, by the tables of packed ones.
pub fn searcher<'a>(index: &'a dyn FastScanFile, quantizer: &'a dyn Index) -> Result<Option<Box<dyn Searcher + 'a>>> {
    Ok(Some(Box::new(OneByOne { index, maker: index.tables_maker(quantizer)? })))
}

struct OneByOne<'a> {
    index: &'a dyn FastScanFile,
    maker: Box<dyn TablesMaker + Send + Sync + 'a>,
}

impl Searcher for OneByOne<'_> {
    fn scanner(&self) -> Result<Box<dyn Scanner + '_>> {
        Ok(Box::new(Sums {
            shared: self,
            query: Vec::new(),
            floats: QueryTables::default(),
            tables: Tables::default(),
        }))
    }
    fn list_by_list(&self) -> bool {
        false
    }
}

struct Sums<'a> {
    shared: &'a OneByOne<'a>,
    query: Vec<f32>,
    floats: QueryTables,
    tables: Tables,
}

impl Scanner for Sums<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.query = x.to_vec();
        Ok(())
    }
    fn set_list(&mut self, list: usize, coarse: f32) -> Result<()> {
        self.shared.maker.fill(&self.query, &[list as i64], &[coarse], &mut self.floats)?;
        let own = self.shared.index.fast_scan();
        quantize_tables(&self.floats.tables, &self.floats.bias, own.M, own.M2, &mut self.tables)
    }
    fn keys(&mut self, _first: usize, codes: &[u8], keys: &mut [f32]) -> Result<()> {
        let (own, factor) = (self.shared.index.fast_scan(), self.shared.index.norm_factor());
        let similarity = own.metric_type.is_similarity();
        let first = self.tables.first.first().copied().unwrap_or(0);
        for (code, key) in codes.chunks_exact(own.code_size.max(1)).zip(keys) {
            let entry =
                |m: usize| u16::from(self.tables.bytes[m * KSUB + usize::from(code[m / 2] >> (4 * (m % 2)) & 15)]);
            let weight = |m: usize| if m + NORM_PARTS < own.M2 { 1 } else { factor };
            let sum = (0..own.M).fold(first, |sum, m| sum.saturating_add(entry(m).saturating_mul(weight(m))));
            let distance = self.tables.offset + f32::from(sum) / self.tables.scale;
            *key = if similarity { -distance } else { distance };
        }
        Ok(())
    }
}

/// See [`InvertedFile::search_pairs`].
pub fn search_pairs(index: &dyn FastScanFile, pairs: &Pairs<'_>, k: usize, out: &TopK<'_>) -> Result<()> {
    if index.fast_scan().implem == 1 {
        return by_floats(index, pairs, k, out);
    }
    visit(index, pairs, |_| Reservoir::new(k), |q, hits| out.write(q, &hits))
}

/// By tables that are not rounded, one code of `orig_invlists` after the other.
fn by_floats(index: &dyn FastScanFile, pairs: &Pairs<'_>, k: usize, out: &TopK<'_>) -> Result<()> {
    let own = index.fast_scan();
    let (ivf, nprobe) = (index.ivf(), pairs.plan.nprobe);
    let lists = own.orig_invlists.as_ref().ok_or_else(|| Error::failed("orig_invlists", ""))?.read();
    Error::check(lists.base().nlist == ivf.nlist && lists.base().code_size == ivf.code_size, "orig_invlists")?;
    let sel = selector(pairs.params);
    let sel = sel.as_ref().map(|sel| sel.read());
    let quantizer = ivf.quantizer()?.read();
    let maker = index.tables_maker(&*quantizer)?;
    let similarity = ivf.metric_type.is_similarity();
    let size = own.M * KSUB;
    let factor = |m: usize| if m + NORM_PARTS < own.M2 { 1.0 } else { f32::from(index.norm_factor()) };
    threads::parallel_for_with(
        pairs.n,
        || Ok(QueryTables::default()),
        |floats, q| {
            interrupt::check()?;
            let probes = q * nprobe..(q + 1) * nprobe;
            let (list_nos, coarse) = (&pairs.list_nos[probes.clone()], &pairs.coarse[probes]);
            maker.fill(pairs.query(ivf.dim(), q), list_nos, coarse, floats)?;
            let mut best = Reservoir::new(k);
            for (probe, list) in list_nos.iter().enumerate() {
                let Ok(list) = usize::try_from(*list) else { continue };
                let each = if floats.tables.len() > size { probe * size } else { 0 };
                let table = &floats.tables[each..each + size];
                let bias = floats.bias.get(probe).copied().unwrap_or(0.0);
                let (ids, codes) = (lists.ids(list), lists.codes(list));
                for (at, (id, code)) in ids.iter().zip(codes.chunks_exact(ivf.code_size)).enumerate() {
                    let number = |m: usize| usize::from(code[m / 2] >> (4 * (m % 2)) & 15);
                    let sum: f32 = (0..own.M).map(|m| factor(m) * table[m * KSUB + number(m)]).sum();
                    let key = if similarity { -(bias + sum) } else { bias + sum };
                    if key < best.threshold() && sel.as_ref().is_none_or(|sel| sel.is_member(*id)) {
                        best.push(key, if pairs.store_pairs { lo_build(list, at) } else { *id });
                    }
                }
            }
            out.write(q, &best.finish());
            Ok(())
        },
    )
}

/// See [`InvertedFile::range_search_pairs`].
pub fn range_search_pairs(index: &dyn FastScanFile, pairs: &Pairs<'_>, radius: f32, out: &InRadius) -> Result<()> {
    let similarity = index.ivf().metric_type.is_similarity();
    let limit = |tables: &Tables| {
        // The radius as a sum, in whole numbers as Faiss has it.
        let sum = ((radius - tables.offset) * tables.scale).clamp(0.0, f32::from(u16::MAX)).floor();
        InRange::new(if similarity { f32::from(u16::MAX) - sum } else { sum })
    };
    visit(index, pairs, limit, |q, hits| out.put(q, hits))
}

fn visit<C: Collector>(
    index: &dyn FastScanFile,
    pairs: &Pairs<'_>,
    collector: impl Fn(&Tables) -> C + Sync,
    done: impl Fn(usize, Vec<Hit>) + Sync,
) -> Result<()> {
    let own = index.fast_scan();
    let (ivf, nprobe) = (index.ivf(), pairs.plan.nprobe);
    match own.implem {
        0 | 10..=15 => {}
        2 => Error::check(own.orig_invlists.is_some(), "orig_invlists")?,
        other => return Err(Error::failed("", format!("implem {other} does not exist"))),
    }
    let lists = ivf.lists()?;
    let sel = selector(pairs.params);
    let sel = sel.as_ref().map(|sel| sel.read());
    let quantizer = ivf.quantizer()?.read();
    let maker = index.tables_maker(&*quantizer)?;
    let similarity = ivf.metric_type.is_similarity();
    let counts = Mutex::new(IndexIVFStats { nq: pairs.n, ..Default::default() });
    let state = || Ok((QueryTables::default(), Tables::default(), Vec::new()));
    threads::parallel_for_with(pairs.n, state, |(floats, tables, hits), q| {
        interrupt::check()?;
        let probes = q * nprobe..(q + 1) * nprobe;
        let (list_nos, coarse) = (&pairs.list_nos[probes.clone()], &pairs.coarse[probes]);
        maker.fill(pairs.query(ivf.dim(), q), list_nos, coarse, floats)?;
        quantize_tables(&floats.tables, &floats.bias, own.M, own.M2, tables)?;
        let mut best = collector(tables);
        let size = own.M2 * KSUB;
        let (mut visited, mut codes, mut piece) = (0, 0, FIRST_PIECE);
        for (probe, list) in list_nos.iter().enumerate() {
            let Ok(list) = usize::try_from(*list) else { continue };
            let n = lists.list_size(list);
            if n == 0 {
                continue;
            }
            (visited, codes) = (visited + 1, codes + n);
            let (packed, block) = lists
                .packed(list)
                .ok_or_else(|| Error::failed("", "the lists are to be BlockInvertedLists of codes of four bits"))?;
            let next = list_nos.get(probe + 1).and_then(|next| lists.packed(usize::try_from(*next).ok()?));
            if let Some((next, _)) = next {
                simd::prefetch(&next[..next.len().min(PREFETCH)]);
            }
            let stride = block * own.M2 / 2;
            let packed = Packed { codes: packed, block, parts: own.M2, stride, last_pair: index.norm_factor() };
            let ids = lists.ids(list);
            let each = if tables.bytes.len() > size { probe * size } else { 0 };
            let (mut from, groups) = (0, n.div_ceil(GROUP));
            while from < groups {
                let lane = Lane {
                    tables: &tables.bytes[each..each + size],
                    first: tables.first.get(probe).copied().unwrap_or(0),
                    below: below(best.threshold()),
                    flip: similarity,
                    hits,
                };
                scan_packed(packed, from, (from + piece).min(groups), &mut [lane]);
                (from, piece) = (from + piece, (2 * piece).min(PIECE));
                for (sum, at) in hits.drain(..) {
                    let at = at as usize;
                    if at < n
                        && f32::from(sum) < best.threshold()
                        && sel.as_ref().is_none_or(|sel| sel.is_member(ids[at]))
                    {
                        best.push(f32::from(sum), if pairs.store_pairs { lo_build(list, at) } else { ids[at] });
                    }
                }
            }
        }
        counts.lock().add(&IndexIVFStats {
            nlist: visited,
            ndis: codes,
            nheap_updates: best.updates(),
            ..Default::default()
        });
        let mut found = best.finish();
        to_keys(&mut found, tables, similarity, true);
        done(q, found);
        Ok(())
    })?;
    INDEX_IVF_STATS.write().add(&counts.into_inner());
    Ok(())
}
