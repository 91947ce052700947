//! Product quantization: codebooks on a device, encoding, and the scan of inverted lists of codes.
//!
//! The distance of a query x to a code is, for the centroid c of its list and the decoded residual r,
//!
//! | | squared L2 | inner product |
//! |---|---|---|
//! | by residual | `||x - c||² + (||r||² + 2 <c - o, r>) - 2 <x - o, r>` | `<x, c> + <x, r>` |
//! | not | `||x - r||²` | `<x, r>` |
//!
//! The first part is the coarse distance. The second depends on no query: it is computed once for each code, its *term*. The
//! third is a sum over a table of the query alone, so that a table serves all lists of a query. The origin o cancels: near the
//! data, it keeps the products small.

use faiss_core::base::MetricType;
use faiss_core::quantize::ProductQuantizer;

use crate::error::{Error, Result};
use crate::launchers;
use crate::memory::{DeviceBuffer, MemorySpace, Ptr, PtrMut};
use crate::ops::select::{self, BLOCK_K, Best};
use crate::ops::{pq_filter, rows};
use crate::resources::Context;

/// The most bits of a number that the kernels know.
pub const MAX_BITS: usize = 16;

/// A product quantizer's centroids on a device.
pub struct Codebooks {
    pub m: usize,
    pub dsub: usize,
    pub nbits: usize,
    centroids: DeviceBuffer<f32>,
    pub(super) transposed: DeviceBuffer<f32>,
    /// Where matrix units may look at codes first.
    pub(super) halves: Option<pq_filter::Halves>,
}

impl Codebooks {
    pub fn new(context: &Context<'_>, pq: &ProductQuantizer) -> Result<Codebooks> {
        let (m, dsub, nbits, size) = (pq.M, pq.dsub, pq.nbits, pq.centroids.len());
        if nbits == 0 || nbits > MAX_BITS || size != (m * dsub) << nbits || size == 0 {
            return Err(Error::invalid(format!("no codebooks for a GPU: M = {m}, dsub = {dsub}, nbits = {nbits}")));
        }
        let device = context.device;
        let mut centroids = DeviceBuffer::new(device, size, MemorySpace::Device)?;
        let mut transposed = DeviceBuffer::new(device, size, MemorySpace::Device)?;
        context.upload_to(&pq.centroids, centroids.ptr_mut())?;
        let part = dsub << nbits;
        for at in (0..size).step_by(part) {
            rows::transpose(context, centroids.ptr().at(at), transposed.ptr_mut().at(at), 1 << nbits, dsub)?;
        }
        context.sync()?;
        let halves = pq_filter::Halves::new(context, pq)?;
        Ok(Codebooks { m, dsub, nbits, centroids, transposed, halves })
    }

    pub fn dim(&self) -> usize {
        self.m * self.dsub
    }

    pub fn code_size(&self) -> usize {
        (self.m * self.nbits).div_ceil(8)
    }

    /// Bytes that may be loaded at once, by the alignment of codes.
    pub(super) fn unit(&self) -> u32 {
        [16, 4].into_iter().find(|unit| self.code_size().is_multiple_of(*unit as usize)).unwrap_or(1)
    }

    /// Numbers of a query's table.
    pub fn table_size(&self) -> usize {
        self.m << self.nbits
    }
}

/// Lists of rows and their centroids, where codes are of residuals.
#[derive(Clone, Copy)]
pub struct Residual {
    /// A list for each row; rows of negative lists get a code that nobody should keep.
    pub lists: Ptr<i32>,
    /// As many rows as there are lists.
    pub centroids: Ptr<f32>,
}

/// Rows of a launch of encoding: their numbers take two bytes each.
const NUMBERS_AT_ONCE: usize = 32 << 20;

/// Encodes `count` rows to `count * code_size` bytes. Of equally near centroids the first one wins.
pub fn encode(
    context: &Context<'_>,
    codebooks: &Codebooks,
    rows: Ptr<f32>,
    count: usize,
    residual: Option<Residual>,
    codes: PtrMut<u8>,
) -> Result<()> {
    let (m, d, dsub, code_size) = (codebooks.m, codebooks.dim(), codebooks.dsub, codebooks.code_size());
    let page = (NUMBERS_AT_ONCE / m).max(1).min(count);
    let mut numbers = context.take::<u16>(page * m)?;
    let (lists, centroids) = residual.map_or((Ptr::null(), Ptr::null()), |r| (r.lists, r.centroids));
    for first in (0..count).step_by(page.max(1)) {
        let n = page.min(count - first);
        let x = rows.at(first * d);
        let lists = if lists.is_null() { lists } else { lists.at(first) };
        let (centres, out, ksub) = (codebooks.centroids.ptr(), numbers.ptr_mut(), 1 << codebooks.nbits);
        let (d, m_count, width) = (d as u32, m as u32, dsub as u32);
        // Parts up to this wide, and rows of a block.
        let narrow = [(1, 2048), (4, 1024), (8, 1024), (16, 512)].into_iter().find(|(most, _)| dsub <= *most);
        match narrow {
            Some((most, together)) => {
                let launch = context.launch(n.div_ceil(together) * m);
                let most = most as u32;
                let count = n as i64;
                launchers::pq_encode(launch, most, x, lists, centroids, centres, d, m_count, width, ksub, out, count)?;
            }
            None => {
                let launch = context.launch(n.div_ceil(64) * m);
                let count = n as i64;
                launchers::pq_encode_wide(launch, x, lists, centroids, centres, d, m_count, width, ksub, out, count)?;
            }
        }
        let (nbits, size) = (codebooks.nbits as u32, code_size as u32);
        let target = codes.at(first * code_size);
        launchers::pq_pack(context.stride(n, 256), numbers.ptr(), n as i64, m_count, nbits, size, target)?;
    }
    Ok(())
}

/// Inverted lists of codes: the codes of a list are at `offsets[list]` and behind.
#[derive(Clone, Copy)]
pub struct CodeLists {
    pub codes: Ptr<u8>,
    pub offsets: Ptr<i64>,
    pub lengths: Ptr<u32>,
    pub nlist: usize,
}

fn kernel_bits(codebooks: &Codebooks) -> u32 {
    if codebooks.nbits == 8 { 8 } else { 0 }
}

/// The terms of all codes, at their places.
pub fn terms(
    context: &Context<'_>,
    codebooks: &Codebooks,
    lists: &CodeLists,
    centroids: Ptr<f32>,
    origin: Ptr<f32>,
    terms: PtrMut<f32>,
) -> Result<()> {
    let splits = (16 * context.properties.multiprocessors as usize).div_ceil(lists.nlist.max(1));
    launchers::pq_terms(
        context.launch(lists.nlist * splits),
        kernel_bits(codebooks),
        centroids,
        origin,
        codebooks.centroids.ptr(),
        codebooks.dim() as u32,
        codebooks.m as u32,
        codebooks.dsub as u32,
        codebooks.nbits as u32,
        lists.offsets,
        lists.lengths,
        lists.codes,
        codebooks.code_size() as u32,
        splits as u32,
        terms,
    )
}

/// Distances of `nq` queries to the centroids of their lists, `nprobe` a query: for quantizers that compare otherwise than the
/// index, whose own distances do not serve.
pub fn coarse_distances(
    context: &Context<'_>,
    metric: MetricType,
    queries: Ptr<f32>,
    (nq, nprobe, d): (usize, usize, usize),
    centroids: Ptr<f32>,
    lists: Ptr<i32>,
    out: PtrMut<f32>,
) -> Result<()> {
    let (pairs, inner) = (nq * nprobe, u32::from(metric.is_similarity()));
    let launch = context.stride(pairs, 8);
    launchers::pair_distances(launch, queries, centroids, lists, nprobe as u32, d as u32, inner, out, pairs as i64)
}

/// The lists that queries look into, nearest first.
#[derive(Clone, Copy)]
pub struct PqProbes {
    /// `nprobe` lists a query, negative for none.
    pub lists: Ptr<i32>,
    /// `nprobe` distances of the query to their centroids.
    pub coarse: Ptr<f32>,
    /// Where the codes of each list begin in the query's row of positions, and the row's length: `nprobe + 1` numbers a query.
    pub places: Ptr<u32>,
    pub nprobe: usize,
    /// About how many codes a query visits: what the strategy and the number of blocks depend on, and the result does not.
    pub visits: usize,
}

/// What the codes are of, and how they are compared.
#[derive(Clone, Copy)]
pub struct PqScan<'a> {
    pub codebooks: &'a Codebooks,
    pub lists: CodeLists,
    pub metric: MetricType,
    pub by_residual: bool,
    /// What distances by residual are computed relative to: `d` numbers, with terms of the same. Not used otherwise.
    pub origin: Ptr<f32>,
    pub terms: Ptr<f32>,
    /// A byte for each place: only codes where it is not 0 count.
    pub allowed: Option<Ptr<u8>>,
}

/// How the best codes are found. One chooser, [`PqScan::choose`]; the tests run both against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// A table for each query, in which every code is looked up.
    Table,
    /// The same for a query's first codes; of the others only for those that pass a filter by matrix units.
    Filter,
}

/// How a table is made: as `TableKind` in the kernels.
pub(super) struct Table {
    norm: f32,
    pub scale: f32,
    difference: u32,
}

/// Tables in memory at once, where they do not fit into shared memory.
const TABLE_BYTES: usize = 64 << 20;
/// All positions of a query.
const ALL: usize = u32::MAX as usize;
/// Blocks that one multiprocessor holds at a time, about.
const BLOCKS_TOGETHER: usize = 4;
/// Codes that are worth a block of their own, beside the query's table, which it makes again.
const VISITS_PER_SPLIT: usize = 256;

impl PqScan<'_> {
    pub(super) fn table(&self) -> Table {
        match (self.metric, self.by_residual) {
            (MetricType::InnerProduct, _) => Table { norm: 0.0, scale: -1.0, difference: 0 },
            (_, true) => Table { norm: 0.0, scale: -2.0, difference: 0 },
            (_, false) => Table { norm: 0.0, scale: 0.0, difference: 1 },
        }
    }

    pub(super) fn residual_l2(&self) -> bool {
        self.by_residual && !self.metric.is_similarity()
    }

    /// Keys in shared memory for `k` results, and how many the kernel collects before it sorts.
    pub(super) fn key_sizes(k: usize) -> (usize, usize) {
        let size = k.next_power_of_two().max(32);
        (size, size.max(1024))
    }

    /// The best `k <= 2048` codes of each query, best first; ids are their positions. Where there are fewer, the id is -1.
    pub fn best(
        &self,
        context: &Context<'_>,
        queries: Ptr<f32>,
        nq: usize,
        probes: &PqProbes,
        k: usize,
        out: Best,
    ) -> Result<()> {
        self.best_by(self.choose(context, nq, probes, k), context, queries, nq, probes, k, out)
    }

    /// [`PqScan::best`] by a given strategy; all give the same bits.
    #[allow(clippy::too_many_arguments)]
    pub fn best_by(
        &self,
        strategy: Strategy,
        context: &Context<'_>,
        queries: Ptr<f32>,
        nq: usize,
        probes: &PqProbes,
        k: usize,
        out: Best,
    ) -> Result<()> {
        if nq == 0 || k == 0 {
            return Ok(());
        }
        if k > BLOCK_K {
            return Err(Error::invalid(format!("a scan keeps at most {BLOCK_K} results, not {k}")));
        }
        if let (Strategy::Filter, Some(halves)) = (strategy, self.filter(context, k)) {
            return self.best_filtered(context, halves, queries, nq, probes, k, out);
        }
        let wanted = (BLOCKS_TOGETHER * context.properties.multiprocessors as usize).div_ceil(nq);
        let splits = wanted.min(probes.visits / VISITS_PER_SPLIT).min(MERGED_AT_ONCE / k).max(1);
        if splits == 1 {
            return self.launch(context, queries, nq, probes, Found::Best(k, 1, out), ALL);
        }
        let count = nq * splits * k;
        let (mut values, mut ids) = (context.take(count)?, context.take(count)?);
        let parts = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
        self.launch(context, queries, nq, probes, Found::Best(k, splits, parts), ALL)?;
        select::merge(context, parts, nq, splits * k, k, self.metric.is_similarity(), out)
    }

    /// The distances to all codes of each query, in the order of their positions; those of the next query are `stride` further.
    /// NaN where the filter allows no code.
    pub fn distances(
        &self,
        context: &Context<'_>,
        queries: Ptr<f32>,
        nq: usize,
        probes: &PqProbes,
        out: PtrMut<f32>,
        stride: usize,
    ) -> Result<()> {
        if nq == 0 { Ok(()) } else { self.launch(context, queries, nq, probes, Found::All(out, stride), ALL) }
    }

    /// Looks at the first `seen` positions of each query.
    pub(super) fn launch(
        &self,
        context: &Context<'_>,
        queries: Ptr<f32>,
        nq: usize,
        probes: &PqProbes,
        found: Found,
        seen: usize,
    ) -> Result<()> {
        let (k, splits) = match found {
            Found::Best(k, splits, _) => (k, splits),
            Found::All(..) => (1, 1),
        };
        let (k_size, buffer) = Self::key_sizes(k);
        let table_bytes = 4 * self.codebooks.table_size();
        let shared = 8 * (k_size + buffer) + table_bytes;
        // The kernel has a few numbers of its own in shared memory.
        if shared + 1024 <= context.properties.shared_bytes {
            return self.launch_with(context, queries, nq, probes, found, seen, None, splits, shared);
        }
        let page = (TABLE_BYTES / table_bytes).clamp(1, nq);
        let mut tables = context.take::<f32>(page * self.codebooks.table_size())?;
        for first in (0..nq).step_by(page) {
            let count = page.min(nq - first);
            let queries = queries.at(first * self.codebooks.dim());
            let (table, origin) = (self.table(), self.origin());
            let (d, m) = (self.codebooks.dim() as u32, self.codebooks.m as u32);
            launchers::pq_tables(
                context.launch(count),
                queries,
                origin,
                self.codebooks.transposed.ptr(),
                d,
                m,
                self.codebooks.dsub as u32,
                self.codebooks.nbits as u32,
                table.norm,
                table.scale,
                table.difference,
                tables.ptr_mut(),
            )?;
            let part = probes.skip(first);
            let found = found.skip(first);
            let shared = 8 * (k_size + buffer);
            self.launch_with(context, queries, count, &part, found, seen, Some(tables.ptr()), splits, shared)?;
        }
        Ok(())
    }

    pub(super) fn origin(&self) -> Ptr<f32> {
        if self.residual_l2() { self.origin } else { Ptr::null() }
    }

    #[allow(clippy::too_many_arguments)]
    fn launch_with(
        &self,
        context: &Context<'_>,
        queries: Ptr<f32>,
        nq: usize,
        probes: &PqProbes,
        found: Found,
        seen: usize,
        tables: Option<Ptr<f32>>,
        splits: usize,
        shared: usize,
    ) -> Result<()> {
        let (k, out, distances, stride) = match found {
            Found::Best(k, _, out) => (k, out, PtrMut::null(), 0),
            Found::All(distances, stride) => {
                (1, Best { values: PtrMut::null(), ids: PtrMut::null() }, distances, stride)
            }
        };
        let (k_size, buffer) = Self::key_sizes(k);
        let similarity = self.metric.is_similarity();
        let coarse = if self.by_residual { probes.coarse } else { Ptr::null() };
        let code_size = self.codebooks.code_size();
        let unit = self.codebooks.unit();
        let table = self.table();
        let mut launch = context.launch(nq * splits);
        launch.shared = shared as u32;
        launchers::pq_scan(
            launch,
            kernel_bits(self.codebooks),
            u32::from(tables.is_none()),
            queries,
            self.origin(),
            self.codebooks.transposed.ptr(),
            tables.unwrap_or(Ptr::null()),
            table.norm,
            table.scale,
            table.difference,
            self.codebooks.dim() as u32,
            self.codebooks.m as u32,
            self.codebooks.dsub as u32,
            self.codebooks.nbits as u32,
            probes.lists,
            coarse,
            if similarity { -1.0 } else { 1.0 },
            probes.places,
            probes.nprobe as u32,
            seen as u32,
            self.lists.offsets,
            self.lists.codes,
            code_size as u32,
            unit,
            if self.residual_l2() { self.terms } else { Ptr::null() },
            self.allowed.unwrap_or(Ptr::null()),
            splits as u32,
            k as u32,
            k_size as u32,
            buffer as u32,
            u32::from(similarity),
            out.values,
            out.ids,
            distances,
            stride as i64,
        )
    }
}

/// What one block merges in a moment.
const MERGED_AT_ONCE: usize = 65_536;

/// What a launch writes: the best so many of each of so many parts of a query, or all distances, so far apart.
#[derive(Clone, Copy)]
pub(super) enum Found {
    Best(usize, usize, Best),
    All(PtrMut<f32>, usize),
}

impl Found {
    fn skip(self, queries: usize) -> Found {
        match self {
            Found::Best(k, splits, out) => Found::Best(k, splits, out.at(queries * splits * k)),
            Found::All(distances, stride) => Found::All(distances.at(queries * stride), stride),
        }
    }
}

impl PqProbes {
    pub(super) fn skip(&self, queries: usize) -> PqProbes {
        PqProbes {
            lists: self.lists.at(queries * self.nprobe),
            coarse: self.coarse.at(queries * self.nprobe),
            places: self.places.at(queries * (self.nprobe + 1)),
            ..*self
        }
    }
}
