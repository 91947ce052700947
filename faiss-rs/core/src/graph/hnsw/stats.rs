//! What the links of a graph are like, and links at random to compare with.

use super::super::search::Links;
use super::HNSW;
use crate::base::{Error, Result, interrupt};
use crate::random::RandomGenerator;

/// Random links are drawn by a generator with this seed.
const LINK_SEED: i64 = 456;

/// Counts of the links of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NeighborStats {
    /// Slots of a vertex.
    pub slots: usize,
    /// Vertices that have the level.
    pub vertices: usize,
    /// Their links.
    pub links: usize,
    /// Links whose other end is linked back.
    pub reciprocal: usize,
    /// Links whose other end is also reached in two steps.
    pub in_two_steps: usize,
}

impl HNSW {
    /// Counts the links of a level.
    pub fn neighbor_stats(&self, level: usize) -> Result<NeighborStats> {
        let (n, links) = (self.vertices()?, self.level(level)?);
        let mut stats = NeighborStats { slots: self.nb_neighbors(level)?, ..Default::default() };
        let linked = |vertex: u32| -> Result<Vec<u32>> {
            let slots = links.slots(vertex)?.iter().take_while(|slot| **slot >= 0).map(|slot| *slot as u32);
            let linked: Vec<u32> = slots.collect();
            Error::check(linked.iter().all(|other| (*other as usize) < n), "neighbors[i] < ntotal")?;
            Ok(linked)
        };
        for vertex in (0..n as u32).filter(|vertex| self.levels[*vertex as usize] > level as i32) {
            interrupt::check()?;
            let own = linked(vertex)?;
            let mut reached = Vec::new();
            stats.vertices += 1;
            stats.links += own.len();
            for other in &own {
                let theirs = linked(*other)?;
                stats.reciprocal += usize::from(theirs.contains(&vertex));
                reached.extend(theirs);
            }
            reached.sort_unstable();
            stats.in_two_steps += own.iter().filter(|other| reached.binary_search(other).is_ok()).count();
        }
        Ok(stats)
    }

    /// Adds `n` vertices whose links lead anywhere, below the highest level: what a graph is to be better than.
    pub fn fill_with_random_links(&mut self, n: usize) -> Result<()> {
        let highest = self.prepare_level_tab(n, false)?;
        let mut rng = RandomGenerator::new(LINK_SEED);
        for level in (0..highest).rev() {
            let vertices: Vec<usize> = (0..self.levels.len()).filter(|vertex| self.levels[*vertex] > level).collect();
            for vertex in vertices.iter().filter(|_| vertices.len() > 1) {
                let range = self.neighbor_range(*vertex, level as usize)?;
                for slot in &mut self.neighbors[range] {
                    *slot = loop {
                        let other = vertices[rng.rand_int_max(vertices.len() as i32) as usize];
                        if other != *vertex {
                            break other as i32;
                        }
                    };
                }
            }
        }
        let top = self.levels.iter().position(|levels| *levels == highest + 1);
        if let Some(top) = top {
            (self.entry_point, self.max_level) = (top as i32, highest);
        }
        Ok(())
    }
}
