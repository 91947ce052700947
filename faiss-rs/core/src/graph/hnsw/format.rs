//! The graph in files. What is read is checked, so that a search can follow every link.

use super::HNSW;
use crate::base::{Error, Result, interrupt};

crate::stored!(HNSW, |hnsw| {
    hnsw.assign_probas;
    hnsw.cum_nneighbor_per_level;
    hnsw.levels;
    hnsw.offsets;
    hnsw.neighbors;
    hnsw.entry_point;
    hnsw.max_level;
    hnsw.efConstruction;
    hnsw.efSearch;
    // A field that Faiss no longer has.
    1i32;
});

impl HNSW {
    /// An error where what was read is no graph of `ntotal` vertices.
    pub fn check_read(&self, ntotal: i64) -> Result<()> {
        let sums = &self.cum_nneighbor_per_level;
        Error::check(self.levels.len() as i64 == ntotal, "hnsw.levels.size() == ntotal")?;
        let ascending = sums.first() == Some(&0) && sums.is_sorted();
        Error::check(ascending, "cum_nneighbor_per_level[0] == 0 && it is ascending")?;
        Error::check(
            self.assign_probas.len() + 1 == sums.len(),
            "cum_nneighbor_per_level.size() == assign_probas.size() + 1",
        )?;
        let n = self.vertices()?;
        Error::check(self.offsets.first() == Some(&0), "offsets[0] == 0")?;
        Error::check(self.offsets.last() == Some(&self.neighbors.len()), "offsets[ntotal] == neighbors.size()")?;
        if self.entry_point >= 0 {
            let levels = self.levels[self.entry_point as usize];
            Error::check(self.max_level >= 0 && self.max_level < levels, "max_level < levels[entry_point]")?;
        } else {
            Error::check(self.max_level < 0, "max_level == -1")?;
        }
        for (vertex, levels) in self.levels.iter().enumerate() {
            if vertex % (1 << 16) == 0 {
                interrupt::check()?;
            }
            let slots = usize::try_from(*levels).ok().filter(|levels| (1..sums.len()).contains(levels));
            let slots = slots.map(|levels| sums[levels] as usize);
            let (begin, end) = (self.offsets[vertex], self.offsets[vertex + 1]);
            if slots.is_none() || end.checked_sub(begin) != slots {
                let message = format!("vertex {vertex} has {levels} levels and its links lie from {begin} to {end}");
                return Err(Error::failed(
                    "offsets[i + 1] - offsets[i] == cum_nneighbor_per_level[levels[i]]",
                    message,
                ));
            }
        }
        self.check_links(n)
    }

    /// Every link leads to a vertex that has the level.
    fn check_links(&self, n: usize) -> Result<()> {
        // Most slots are of level 0, which every vertex has: one pass without a look at levels.
        if let Some(bad) = self.neighbors.iter().find(|slot| **slot < -1 || **slot >= n as i32) {
            return Err(Error::failed(
                "neighbors[i] >= -1 && neighbors[i] < ntotal",
                format!("a link leads to {bad} of {n}"),
            ));
        }
        for (vertex, levels) in self.levels.iter().enumerate().filter(|(_, levels)| **levels > 1) {
            for level in 1..*levels {
                for slot in &self.neighbors[self.neighbor_range(vertex, level as usize)?] {
                    if *slot >= 0 && self.levels[*slot as usize] <= level {
                        let message = format!("vertex {vertex} is linked at level {level} with {slot}, which is lower");
                        return Err(Error::failed("levels[neighbors[i]] > level", message));
                    }
                }
            }
        }
        Ok(())
    }
}
