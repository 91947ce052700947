//! Many queries on lists: the best of each query's first lists give it a limit, products of matrix units tell which vectors of its other lists may beat
//! that, and exact values decide among those. Nothing is missed: the products' errors are counted in (`ivf_filter` in ivf_scan.cu).

use crate::error::Result;
use crate::launchers::{self, Metric, available};
use crate::memory::{Ptr, Temp};
use crate::ops::ivf_scan::{Codec, list_splits, scan_by_list};
use crate::ops::probe::{self, Queries, Rows, Scan, Search};
use crate::ops::select::{self, BLOCK_K, Best};
use crate::resources::Context;

/// Queries of a tile, and vectors that a block looks at at once.
const TILE_QUERIES: usize = 64;
const TILE_VECTORS: usize = 128;
/// The lists that give a limit: one in `PART_OF`, within these bounds; more where they would have fewer than `ENTRIES` for each result.
const PART_OF: usize = 16;
const PART: std::ops::RangeInclusive<usize> = 4..=8;
const ENTRIES: usize = 32;
/// The most results for which it is worth it.
const MOST_K: usize = 512;
/// Candidates of a query that there is room for: more of them than that, and the query does not use the filter.
const LEAST_CAPACITY: usize = 1024;
/// What a block has of shared memory beside that of its launch.
const OWN_SHARED: usize = 24 << 10;

fn part(queries: &Queries, search: &Search) -> usize {
    let mean = (search.stored.count / search.stored.nlist.max(1)).max(1);
    (queries.nprobe / PART_OF).clamp(*PART.start(), *PART.end()).max((ENTRIES * search.k).div_ceil(mean))
}

fn shared_bytes(d: usize) -> usize {
    2 * TILE_QUERIES * (d.next_multiple_of(32) + 8)
}

/// Whether the device and the search allow it, and there are lists to leave out.
pub fn possible(context: &Context<'_>, queries: &Queries, search: &Search) -> bool {
    let room = context.properties.shared_bytes.saturating_sub(OWN_SHARED);
    available::ivf_filter(context.properties.capability())
        && queries.nprobe >= 3 * part(queries, search)
        && search.k <= MOST_K.min(BLOCK_K)
        && shared_bytes(queries.d) <= room
}

/// The best of the lists that queries look into.
pub fn best(
    context: &Context<'_>,
    codec: &Codec,
    metric: Metric,
    queries: &Queries,
    search: &Search,
    out: Best,
) -> Result<()> {
    if queries.count == 0 || search.k == 0 {
        return Ok(());
    }
    let (count, k, nprobe) = (queries.count, search.k, queries.nprobe);
    let compute = |scan: &Scan| scan_by_list(context, codec, metric, scan);
    let rows = Rows::new(context, queries, search)?;
    let part = part(queries, search);
    from_first(context, queries, search, part, &compute, out)?;

    let capacity = LEAST_CAPACITY.max(4 * k);
    let scan = rows.scan(0, count, crate::memory::PtrMut::null(), 0);
    let (mut rest, mut counts) = (context.take::<i32>(count * nprobe)?, context.take::<u32>(count)?);
    let mut candidates = context.take::<u32>(count * capacity)?;
    launchers::rest_lists(
        context.stride(count * nprobe, 256),
        scan.lists,
        nprobe as u32,
        part as u32,
        out.ids.read(),
        k as u32,
        capacity as u32,
        rest.ptr_mut(),
        counts.ptr_mut(),
        (count * nprobe) as i64,
    )?;
    let inner = u32::from(metric == Metric::InnerProduct);
    let (codes, _kept) = codec.codes(context, &scan, scan.centroids.is_some())?;
    let tiles = probe::tiles(context, rest.ptr(), count * nprobe, scan.stored.nlist, TILE_QUERIES)?;
    let splits = list_splits(&scan, &tiles, TILE_VECTORS);
    let mut launch = context.launch(tiles.bound * splits);
    launch.shared = shared_bytes(queries.d) as u32;
    launchers::ivf_filter(
        launch,
        codec.code(),
        queries.queries,
        queries.d as u32,
        inner,
        tiles.parameter(),
        scan.probes(),
        codes,
        out.values.read(),
        k as u32,
        search.allowed.unwrap_or(Ptr::null()),
        splits as u32,
        capacity as u32,
        counts.ptr_mut(),
        candidates.ptr_mut(),
    )?;
    let mut found = vec![0u32; count];
    context.download(counts.ptr(), &mut found)?;
    let most = found.iter().map(|n| *n as usize).filter(|n| *n <= capacity).max().unwrap_or(0);
    let size = (k + most).next_power_of_two().max(32);
    // Keys of some queries at a time, so that few with many candidates don't take memory for all.
    let page = (context.room / 4 / (8 * size)).max(1);
    for first in (0..count).step_by(page) {
        let own = page.min(count - first);
        let mut keys = context.take::<u64>(own * size)?;
        let scan = rows.scan(first, own, crate::memory::PtrMut::null(), 0);
        launchers::ivf_keys(
            context.stride(own * size, 256),
            codec.code(),
            scan.queries,
            queries.d as u32,
            inner,
            own as u32,
            k as u32,
            size as u32,
            out.at(first * k).ids.read(),
            counts.ptr().at(first),
            candidates.ptr().at(first * capacity),
            capacity as u32,
            scan.probes(),
            codes,
            keys.ptr_mut(),
        )?;
        select::best_of_keys(context, keys.ptr_mut(), (own, size), k, search.descending, 0, out.at(first * k))?;
    }
    // Queries without a limit, or with more candidates than there is room for.
    let mut first = 0;
    for run in found.chunk_by(|a, b| (*a as usize > capacity) == (*b as usize > capacity)) {
        if run[0] as usize > capacity {
            let own = Queries { count: run.len(), ..queries.from(first) };
            Rows::new(context, &own, search)?.choose(context, &compute, out.at(first * k))?;
        }
        first += run.len();
    }
    rows.label(context, out)
}

/// The best of the first lists of each query, by their places in its row.
fn from_first(
    context: &Context<'_>,
    queries: &Queries,
    search: &Search,
    part: usize,
    compute: &dyn Fn(&Scan) -> Result<()>,
    out: Best,
) -> Result<()> {
    let mut labels: Temp<'_, i64> = context.take(queries.count * part)?;
    let launch = context.stride(queries.count * part, 256);
    let (nprobe, count) = (queries.nprobe as u32, queries.count as i64);
    launchers::first_lists(launch, queries.labels, nprobe, part as u32, labels.ptr_mut(), count)?;
    // Distances to centroids are not asked for by codes of single numbers.
    let own = Queries { nprobe: part, labels: labels.ptr(), coarse: Ptr::null(), ..*queries };
    let longest_row = search.longest_row.min(search.stored.longest.saturating_mul(part));
    let search = Search { longest_row, ..*search };
    Rows::new(context, &own, &search)?.choose(context, compute, out)
}
