//! Searches in the graph: down the levels to a near vertex, then among the links of the lowest.

use super::super::Keys;
use super::super::queue::Node;
use super::super::search::{Limits, Stats, descend, nearest, nearest_staged};
use super::super::visited::Scratch;
use super::HNSW;
use crate::base::Result;
use crate::distance::DistanceComputer;
use crate::distance::collect::Collector;
use crate::distance::computer::StagedComputer;

/// How a search goes, by the graph's fields or by parameters.
#[derive(Clone, Copy)]
pub struct SearchOptions {
    /// Candidates kept.
    pub ef_search: i32,
    /// See `HNSW::check_relative_distance`.
    pub relative: bool,
    /// See `HNSW::search_bounded_queue`.
    pub bounded: bool,
}

impl HNSW {
    /// As the graph's fields say.
    pub fn options(&self) -> SearchOptions {
        SearchOptions {
            ef_search: self.efSearch,
            relative: self.check_relative_distance,
            bounded: self.search_bounded_queue,
        }
    }

    /// Memory for a search, from an earlier one where there was one.
    pub fn scratch(&self) -> Scratch {
        self.scratch.take().unwrap_or_default()
    }

    /// Gives it back.
    pub fn keep(&self, scratch: Scratch) {
        self.scratch.put(scratch);
    }

    /// Leaves in `scratch.pool` the nearest vertices to the query of `keys`, at least `k` where as many are found; `seen` is told of every vertex of
    /// the lowest level that was compared, and its key.
    pub fn search<C: DistanceComputer>(
        &self,
        keys: &Keys<C>,
        k: usize,
        options: SearchOptions,
        scratch: &mut Scratch,
        stats: &mut Stats,
        seen: impl FnMut(u32, f32),
    ) -> Result<()> {
        let Some(node) = self.descend(keys, scratch, stats)? else { return Ok(()) };
        self.search_level_0(keys, &[node], k, options, scratch, stats, seen)
    }

    /// The same by two looks at each vertex of the lowest level, and what is `wanted` of what both were at, in `found`.
    pub fn search_staged<C: StagedComputer>(
        &self,
        keys: &Keys<C>,
        k: usize,
        options: SearchOptions,
        scratch: &mut Scratch,
        stats: &mut Stats,
        found: &mut impl Collector,
        wanted: impl Fn(i64) -> bool,
    ) -> Result<()> {
        let Some(node) = self.descend(keys, scratch, stats)? else { return Ok(()) };
        self.search_level_0_staged(keys, &[node], k, options, scratch, stats, found, wanted)
    }

    /// Where a search of the lowest level begins, for which `scratch` is made ready; `None` without vertices.
    fn descend<C: DistanceComputer>(
        &self,
        keys: &Keys<C>,
        scratch: &mut Scratch,
        stats: &mut Stats,
    ) -> Result<Option<Node>> {
        scratch.pool.start(1);
        if self.entry_point < 0 {
            return Ok(None);
        }
        let vertex = self.entry_point as u32;
        let mut node = Node { key: keys.key(vertex), vertex };
        for level in (1..=self.max_level.max(0) as usize).rev() {
            descend(&self.level(level)?, keys, &mut node, &mut scratch.fresh, stats)?;
        }
        scratch.visited.start(self.vertices()?);
        Ok(Some(node))
    }

    /// The same at the lowest level alone, from given vertices.
    pub fn search_level_0<C: DistanceComputer>(
        &self,
        keys: &Keys<C>,
        starts: &[Node],
        k: usize,
        options: SearchOptions,
        scratch: &mut Scratch,
        stats: &mut Stats,
        seen: impl FnMut(u32, f32),
    ) -> Result<()> {
        nearest(&self.level(0)?, keys, starts, options.limits(k), scratch, stats, seen)
    }

    /// The same by two looks at each vertex.
    pub fn search_level_0_staged<C: StagedComputer>(
        &self,
        keys: &Keys<C>,
        starts: &[Node],
        k: usize,
        options: SearchOptions,
        scratch: &mut Scratch,
        stats: &mut Stats,
        found: &mut impl Collector,
        wanted: impl Fn(i64) -> bool,
    ) -> Result<()> {
        nearest_staged(&self.level(0)?, keys, starts, options.limits(k), scratch, stats, found, wanted)
    }
}

impl SearchOptions {
    fn limits(self, k: usize) -> Limits {
        let capacity = k.max(self.ef_search.max(1) as usize);
        if self.bounded {
            Limits { ef: i64::from(self.ef_search), relative: self.relative, capacity, counted: true }
        } else {
            // Heaps without a bound look at every candidate that is among the nearest.
            Limits { ef: capacity as i64, relative: true, capacity, counted: false }
        }
    }
}
