//! Searches that go, for each query, through codes of their own choice.

use crate::base::{MetricType, Result};
use crate::distance::RangeSearchResult;
use crate::distance::collect::{Best1, Collector, Hit, InRange, Reservoir};
use crate::distance::results::{InRadius, TopK};

/// Compares each of `n` queries with the codes chosen for it.
pub(super) trait Scan {
    /// `done` gets a query's number and what its collector kept.
    fn scan<C: Collector>(
        &self,
        x: &[u8],
        n: usize,
        collector: impl Fn() -> C + Sync,
        done: impl Fn(usize, Vec<Hit>) + Sync,
    ) -> Result<()>;

    /// The `k` nearest.
    fn nearest(&self, x: &[u8], n: usize, k: usize, distances: &mut [i32], labels: &mut [i64]) -> Result<()> {
        let results = TopK::whole(k, distances, labels);
        if k == 1 {
            self.scan(x, n, Best1::default, |q, hits| results.write(q, &hits))
        } else {
            self.scan(x, n, || Reservoir::new(k), |q, hits| results.write(q, &hits))
        }
    }

    /// Those at a distance below `radius`.
    fn within(&self, x: &[u8], n: usize, radius: i32) -> Result<RangeSearchResult> {
        let found = InRadius::new(MetricType::L2, n);
        self.scan(x, n, || InRange::new(radius as f32), |q, hits| found.put(q, hits))?;
        Ok(found.finish())
    }
}
