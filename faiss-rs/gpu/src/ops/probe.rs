//! The part of a search in inverted lists that is the same for all families: where the distances go, in which order lists are
//! visited, which of them are the best.
//!
//! Each query has a row of distances, one for every entry of the lists that it looks into: first those of its nearest list, then
//! those of the next. A family computes them ([`Scan`]), [`best`] selects from them and finds the ids. A family that keeps the best while it scans needs neither.

use crate::error::{Error, Result, check_interrupt};
use crate::launchers;
use crate::lists::ListsView;
use crate::memory::{Ptr, PtrMut, Temp};
use crate::ops::group::{self, Grouped};
use crate::ops::knn::Vectors;
use crate::ops::range;
use crate::ops::select::{self, BLOCK_K, Best, Values};
use crate::resources::Context;

/// Queries and the lists that they look into.
#[derive(Clone, Copy)]
pub struct Queries {
    pub queries: Ptr<f32>,
    pub count: usize,
    pub d: usize,
    pub nprobe: usize,
    /// `count * nprobe` labels of the quantizer: numbers of lists, or negative for none.
    pub labels: Ptr<i64>,
    /// As many distances (inner products) to those lists' centroids.
    pub coarse: Ptr<f32>,
    /// Entries of a query's lists that count, at most.
    pub max_codes: usize,
}

impl Queries {
    /// Those from number `first` on.
    pub fn from(&self, first: usize) -> Queries {
        Queries {
            queries: self.queries.at(first * self.d),
            labels: self.labels.at(first * self.nprobe),
            coarse: self.coarse.at(first * self.nprobe),
            count: self.count - first,
            ..*self
        }
    }
}

/// What a family is asked to compute: for query q and its list number p, the distances to the entries of `lists[q * nprobe + p]` go
/// to `distances[q * stride + places[q * (nprobe + 1) + p]]` and behind, as many as there are up to the next place.
#[derive(Clone, Copy)]
pub struct Scan {
    pub queries: Ptr<f32>,
    pub count: usize,
    pub d: usize,
    pub nprobe: usize,
    /// -1 is no list, which has no entries.
    pub lists: Ptr<i32>,
    pub coarse: Ptr<f32>,
    pub places: Ptr<u32>,
    /// Entries of each query's row: the last of its places.
    pub lengths: Ptr<u32>,
    pub stored: ListsView,
    /// The lists' centroids, for families that ask for them.
    pub centroids: Option<Vectors>,
    pub distances: PtrMut<f32>,
    pub stride: usize,
}

/// Pairs of query and list, ordered by list and cut into tiles of one list each.
pub struct Tiles<'a> {
    /// `order[i]` is the pair `query * nprobe + p`; those of list l are places `offsets[l]..offsets[l + 1]`.
    pub pairs: Grouped<'a>,
    /// Tile t is of list `lists[t]`, from place `firsts[t]` of the order on, up to `width` pairs or the end of the list's.
    pub lists: Temp<'a, u32>,
    pub firsts: Temp<'a, u32>,
    /// How many tiles there are, one number on the device; and no more than this.
    pub count: Temp<'a, u32>,
    pub bound: usize,
}

impl Tiles<'_> {
    /// The kernels' parameter of this name.
    pub fn parameter(&self) -> launchers::Tiles {
        launchers::Tiles {
            order: self.pairs.order.ptr(),
            groups: self.pairs.offsets.ptr(),
            lists: self.lists.ptr(),
            firsts: self.firsts.ptr(),
            count: self.count.ptr(),
        }
    }
}

impl Scan {
    /// The kernels' parameter of this name.
    pub fn probes(&self) -> launchers::Probes {
        launchers::Probes { lists: self.lists, places: self.places, nprobe: self.nprobe as u32 }
    }

    /// The pairs by list, in tiles of at most `width` queries.
    pub fn tiles<'a>(&self, context: &'a Context<'_>, width: usize) -> Result<Tiles<'a>> {
        tiles(context, self.lists, self.count * self.nprobe, self.stored.nlist, width)
    }
}

/// Pairs by the list of each, -1 for none, in tiles of at most `width`.
pub fn tiles<'a>(
    context: &'a Context<'_>,
    list_of: Ptr<i32>,
    pairs: usize,
    nlist: usize,
    width: usize,
) -> Result<Tiles<'a>> {
    let grouped = group::group(context, list_of, pairs, nlist)?;
    let bound = pairs / width + nlist.min(pairs);
    let (mut lists, mut firsts, mut count) = (context.take(bound)?, context.take(bound)?, context.take(1)?);
    launchers::list_tiles(
        context.launch(1),
        grouped.offsets.ptr(),
        nlist as u32,
        width as u32,
        lists.ptr_mut(),
        firsts.ptr_mut(),
        count.ptr_mut(),
    )?;
    Ok(Tiles { pairs: grouped, lists, firsts, count, bound })
}

/// What is searched and how.
#[derive(Clone, Copy)]
pub struct Search {
    pub stored: ListsView,
    pub centroids: Option<Vectors>,
    /// Entries of any `nprobe` lists together, at most.
    pub longest_row: usize,
    /// A byte for each entry of the arena: only those that are not 0 are found.
    pub allowed: Option<Ptr<u8>>,
    pub k: usize,
    /// The larger value is the better one.
    pub descending: bool,
    /// Labels are `list << 32 | offset` instead of ids.
    pub store_pairs: bool,
}

/// The `k` best of the lists that each query looks into, best first; of equal ones, that which stands first in the row. Where there
/// are fewer, the id is -1 and the distance the worst of the metric. `out` holds `count * k` of each. `compute` are the family's kernels.
pub fn best(
    context: &Context<'_>,
    probes: &Queries,
    search: &Search,
    compute: &dyn Fn(&Scan) -> Result<()>,
    out: Best,
) -> Result<()> {
    if probes.count == 0 || search.k == 0 {
        return Ok(());
    }
    let rows = Rows::new(context, probes, search)?;
    rows.choose(context, compute, out)?;
    rows.label(context, out)
}

/// All entries of the lists of each query that are within a radius. `take` gets, for the queries of one page after the other, where the results
/// of each begin and the last ends, and their distances and labels on the device.
pub fn within(
    context: &Context<'_>,
    queries: &Queries,
    search: &Search,
    radius: f32,
    compute: &dyn Fn(&Scan) -> Result<()>,
    mut take: impl FnMut(&[usize], Ptr<f32>, Ptr<i64>) -> Result<()>,
) -> Result<()> {
    if queries.count == 0 {
        return Ok(());
    }
    let rows = Rows::new(context, queries, search)?;
    for page in pages(context, rows.lengths.ptr(), queries.count, rows.longest, 1)? {
        context.sync()?;
        check_interrupt()?;
        let mut distances = context.take::<f32>(page.rows * page.stride)?;
        let scan = rows.scan(page.first, page.rows, distances.ptr_mut(), page.stride);
        compute(&scan)?;
        mask(context, search, &scan)?;
        let values = Values {
            values: distances.ptr(),
            stride: page.stride,
            rows: page.rows,
            columns: page.stride,
            allowed: None,
            row_columns: Some(scan.lengths),
            first_id: 0,
            descending: search.descending,
        };
        let mut found = range::within(context, &values, radius)?;
        let (count, stored) = (found.count(), search.stored);
        let (labels, rows) = (found.positions.ptr_mut(), found.rows.ptr());
        launchers::range_labels(
            context.stride(count, 256),
            labels,
            rows,
            count as i64,
            scan.lists,
            scan.places,
            scan.nprobe as u32,
            stored.starts,
            stored.ids,
            stored.narrow_ids,
        )?;
        take(&found.offsets, found.values.ptr(), found.positions.ptr())?;
    }
    Ok(())
}

/// NaN for the distances of entries that the search does not allow.
fn mask(context: &Context<'_>, search: &Search, scan: &Scan) -> Result<()> {
    let Some(allowed) = search.allowed else { return Ok(()) };
    let launch = context.launch(scan.count * scan.nprobe);
    let (nprobe, stride, starts) = (scan.nprobe as u32, scan.stride as i64, search.stored.starts);
    launchers::mask_distances(launch, scan.lists, scan.places, nprobe, starts, allowed, scan.distances, stride)
}

/// As [`best`], for a family that chooses while it computes: `choose` gives the best of all queries, with places in their rows for
/// ids. There are no rows in memory.
pub fn best_chosen(
    context: &Context<'_>,
    probes: &Queries,
    search: &Search,
    choose: &dyn Fn(&Scan) -> Result<()>,
    out: Best,
) -> Result<()> {
    if probes.count == 0 || search.k == 0 {
        return Ok(());
    }
    let rows = Rows::new(context, probes, search)?;
    choose(&rows.scan(0, probes.count, PtrMut::null(), 0))?;
    rows.label(context, out)
}

/// The rows of distances of queries: which lists they are of, and where those begin.
pub(super) struct Rows<'a> {
    probes: &'a Queries,
    search: &'a Search,
    lists: Temp<'a, i32>,
    places: Temp<'a, u32>,
    lengths: Temp<'a, u32>,
    /// No row has more entries.
    longest: usize,
}

impl<'a> Rows<'a> {
    pub fn new(context: &'a Context<'_>, probes: &'a Queries, search: &'a Search) -> Result<Rows<'a>> {
        let (count, nprobe, k) = (probes.count, probes.nprobe, search.k);
        let longest = search.longest_row.min(probes.max_codes);
        if longest + k.next_power_of_two() > (u32::MAX - (1 << 16)) as usize {
            return Err(Error::invalid(format!("{longest} entries and k = {k} are more than can be searched at once")));
        }
        let (mut lists, mut places) =
            (context.take::<i32>(count * nprobe)?, context.take::<u32>(count * (nprobe + 1))?);
        let mut lengths = context.take::<u32>(count)?;
        launchers::probe_places(
            context.stride(count, 8),
            probes.labels,
            search.stored.lengths,
            count as u32,
            nprobe as u32,
            search.stored.nlist as u32,
            probes.max_codes.min(u32::MAX as usize) as u32,
            lists.ptr_mut(),
            places.ptr_mut(),
            lengths.ptr_mut(),
        )?;
        Ok(Rows { probes, search, lists, places, lengths, longest })
    }

    /// The `k` best of each row, which `compute` fills, by their places in it.
    pub fn choose(&self, context: &Context<'_>, compute: &dyn Fn(&Scan) -> Result<()>, out: Best) -> Result<()> {
        let (search, k) = (self.search, self.search.k);
        for page in pages(context, self.lengths.ptr(), self.probes.count, self.longest, k)? {
            if page.first > 0 {
                // Launches only queue work: without waiting here, nothing could be interrupted.
                context.sync()?;
                check_interrupt()?;
            }
            let mut distances = context.take::<f32>(page.rows * page.stride)?;
            let scan = self.scan(page.first, page.rows, distances.ptr_mut(), page.stride);
            compute(&scan)?;
            mask(context, search, &scan)?;
            let values = Values {
                values: distances.ptr(),
                stride: page.stride,
                rows: page.rows,
                columns: page.stride,
                allowed: None,
                row_columns: Some(self.lengths.ptr().at(page.first)),
                first_id: 0,
                descending: search.descending,
            };
            let out = out.at(page.first * k);
            match k {
                0..=BLOCK_K => select::select(context, &values, None, k, out)?,
                _ => select::select_any(context, &values, k, out)?,
            }
        }
        Ok(())
    }

    /// The scan of `count` queries from `first` on.
    pub fn scan(&self, first: usize, count: usize, distances: PtrMut<f32>, stride: usize) -> Scan {
        let (probes, search, nprobe) = (self.probes, self.search, self.probes.nprobe);
        Scan {
            queries: probes.queries.at(first * probes.d),
            count,
            d: probes.d,
            nprobe,
            lists: self.lists.ptr().at(first * nprobe),
            coarse: probes.coarse.at(first * nprobe),
            places: self.places.ptr().at(first * (nprobe + 1)),
            lengths: self.lengths.ptr().at(first),
            stored: search.stored,
            centroids: search.centroids,
            distances,
            stride,
        }
    }

    /// Places in rows become ids.
    pub fn label(&self, context: &Context<'_>, out: Best) -> Result<()> {
        let (count, k, stored, pairs) = (self.probes.count, self.search.k, self.search.stored, self.search.store_pairs);
        launchers::place_labels(
            context.stride(count * k, 256),
            out.ids,
            count as u32,
            k as u32,
            self.lists.ptr(),
            self.places.ptr(),
            self.probes.nprobe as u32,
            stored.starts,
            if pairs { Ptr::null() } else { stored.ids },
            if pairs { Ptr::null() } else { stored.narrow_ids },
        )
    }
}

/// Queries whose rows of distances are in memory at a time.
struct Page {
    first: usize,
    rows: usize,
    stride: usize,
}

/// Cuts queries into pages that fit into about a third of the temporary memory. No row is longer than `longest`.
fn pages(context: &Context<'_>, row_lengths: Ptr<u32>, count: usize, longest: usize, k: usize) -> Result<Vec<Page>> {
    // Beyond the block kernel a row's keys are in memory, too.
    let keys = if k > BLOCK_K { 2 * k.next_power_of_two() } else { 0 };
    let room = (context.room / 3 / size_of::<f32>()).max(1 << 20);
    if count.saturating_mul(longest + keys) <= room {
        return Ok(vec![Page { first: 0, rows: count, stride: longest }]);
    }
    // The longest lists together are often far more than what a query looks into.
    let mut lengths = vec![0u32; count];
    context.download(row_lengths, &mut lengths)?;
    let mut pages: Vec<Page> = Vec::new();
    for (query, length) in lengths.into_iter().enumerate() {
        let length = length as usize;
        match pages.last_mut() {
            Some(page) if (page.rows + 1) * (page.stride.max(length) + keys) <= room => {
                page.rows += 1;
                page.stride = page.stride.max(length);
            }
            _ => pages.push(Page { first: query, rows: 1, stride: length }),
        }
    }
    Ok(pages)
}
