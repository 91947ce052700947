//! Searches in the graph: down the levels to a near vertex, then among the links of the lowest.

use super::super::queue::Node;
use super::super::search::{Limits, Stats, descend, nearest};
use super::super::visited::Scratch;
use super::super::{Keys, Links};
use super::HNSW;
use crate::base::Result;
use crate::distance::DistanceComputer;

/// How a search goes, by the graph's fields or by parameters.
#[derive(Clone, Copy)]
pub struct SearchOptions {
    pub ef_search: i32,
    pub relative: bool,
    pub bounded: bool,
}

impl HNSW {
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
        scratch.pool.start(1);
        if self.entry_point < 0 {
            return Ok(());
        }
        let vertex = self.entry_point as u32;
        let mut node = Node { key: keys.key(vertex), vertex };
        for level in (1..=self.max_level.max(0) as usize).rev() {
            descend(&self.level(level)?, keys, &mut node, &mut scratch.fresh, stats)?;
        }
        let links = self.level(0)?;
        scratch.visited.start(links.len());
        nearest(&links, keys, &[node], options.limits(k), scratch, stats, seen)
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
