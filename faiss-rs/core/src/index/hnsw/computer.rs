//! The distances of an index that others may hold too.

use crate::base::{Result, Shared};
use crate::distance::DistanceComputer;
use crate::index::Index;

/// Asks the index anew for each distance, since it may change between two. Searches do not use it: they hold the index while they last.
pub struct OfShared<'a> {
    index: &'a Shared<dyn Index>,
    query: Vec<f32>,
}

impl<'a> OfShared<'a> {
    pub fn new(index: &'a Shared<dyn Index>) -> Result<Self> {
        index.read().get_distance_computer()?;
        Ok(OfShared { index, query: vec![0.0; index.read().base().dim()] })
    }

    /// NaN where the index can no longer say.
    fn ask(&self, n: usize, distance: impl FnOnce(&mut dyn DistanceComputer) -> Result<f32>) -> f32 {
        let index = self.index.read();
        let known = n as i64 <= index.base().ntotal;
        let asked = index.get_distance_computer().and_then(
            |mut computer| {
                if known { distance(&mut *computer) } else { Ok(f32::NAN) }
            },
        );
        asked.unwrap_or(f32::NAN)
    }
}

impl DistanceComputer for OfShared<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.index.read().get_distance_computer()?.set_query(x)?;
        self.query = x.to_vec();
        Ok(())
    }
    fn distance(&self, i: usize) -> f32 {
        self.ask(i + 1, |computer| {
            computer.set_query(&self.query)?;
            Ok(computer.distance(i))
        })
    }
    fn symmetric_distance(&self, i: usize, j: usize) -> f32 {
        self.ask(i.max(j) + 1, |computer| Ok(computer.symmetric_distance(i, j)))
    }
}
