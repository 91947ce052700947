//! Searches among RaBitQ codes of several bits that look at their signs first.

use super::IndexHNSW;
use crate::base::object::{Object, cast};
use crate::base::{Error, MetricType, Result};
use crate::distance::collect::{Collector, Heap, InRange};
use crate::distance::computer::StagedComputer;
use crate::distance::results::{InRadius, TopK};
use crate::distance::{DistanceComputer, RangeSearchResult};
use crate::graph::Keys;
use crate::graph::hnsw::SM_RABITQ;
use crate::graph::queue::Node;
use crate::index::flat_codes::FlatCodes;
use crate::index::rabitq::IndexRaBitQ;
use crate::index::{Index, selector};
use crate::quantize::rabitq::{Estimate, Rounding};

/// The vertices at which the searches of a query begin, some for each; without them, the entry point.
pub(super) type Starts<'a> = Option<&'a (dyn Fn(usize) -> Vec<Vec<Node>> + Sync)>;

/// Compares a query with the codes of an index, as keys.
struct SignsFirst<'a> {
    index: &'a IndexRaBitQ,
    codes: &'a [u8],
    rounding: Rounding,
    estimate: Estimate,
}

impl<'a> SignsFirst<'a> {
    fn new(index: &'a IndexRaBitQ) -> Result<Self> {
        index.check_codes()?;
        let rounding = Rounding::new(index.qb, index.centered)?;
        Ok(SignsFirst { index, codes: index.codes.as_slice(), rounding, estimate: Estimate::new(&index.rabitq)? })
    }

    fn code(&self, i: usize) -> &[u8] {
        let size = self.index.code_size;
        &self.codes[i * size..(i + 1) * size]
    }
}

impl DistanceComputer for SignsFirst<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.index.dim(), "x.size() == d")?;
        self.estimate.set(x, &self.index.center, self.rounding);
        Ok(())
    }
    fn distance(&self, i: usize) -> f32 {
        self.estimate.key(self.code(i))
    }
    fn symmetric_distance(&self, i: usize, j: usize) -> f32 {
        self.index.rabitq.key_between(self.code(i), self.code(j), &self.index.center)
    }
    fn prefetch(&self, i: usize) {
        crate::simd::prefetch(self.code(i));
    }
}

impl StagedComputer for SignsFirst<'_> {
    fn estimate(&self, i: usize) -> (f32, f32) {
        self.estimate.key_of_signs(self.code(i))
    }
}

impl IndexHNSW {
    /// Whether searches look at signs first; an error where they can't.
    pub(super) fn is_staged(&self, storage: &dyn Index, bounded: bool) -> Result<bool> {
        if self.hnsw.search_method != SM_RABITQ {
            return Ok(false);
        }
        let refused =
            |condition: &str, what: &str| Err(Error::failed(condition, format!("staged RaBitQ search {what}")));
        match cast::<IndexRaBitQ>(storage) {
            _ if !bounded => refused("!(hnsw.search_method != HNSW::SM_RABITQ)", "requires bounded_queue=true"),
            None => refused("!(rq)", "requires an IndexRaBitQ storage"),
            Some(codes) if codes.rabitq.nb_bits < 2 => refused("!(rq->nb_bits >= 2)", "requires nb_bits >= 2"),
            Some(_) => Ok(true),
        }
    }

    /// The best of each query.
    pub(super) fn search_signs_first(
        &self,
        storage: &dyn Index,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        starts: Starts<'_>,
        out: &TopK<'_>,
    ) -> Result<()> {
        let found = || Heap::new(k.max(1));
        self.each_signs_first(storage, x, k, params, starts, found, |q, found| out.write(q, &found.finish()))
    }

    /// All in range that a search sees.
    pub(super) fn range_search_signs_first(
        &self,
        storage: &dyn Index,
        x: &[f32],
        radius: f32,
        params: Option<&dyn Object>,
    ) -> Result<RangeSearchResult> {
        let out = InRadius::new(self.metric_type, self.rows(x)?);
        let limit = out.limit(radius);
        self.each_signs_first(
            storage,
            x,
            1,
            params,
            None,
            || InRange::new(limit),
            |q, found| {
                out.put(q, found.finish());
            },
        )?;
        Ok(out.finish())
    }

    fn each_signs_first<F: Collector>(
        &self,
        storage: &dyn Index,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        starts: Starts<'_>,
        collector: impl Fn() -> F + Sync,
        done: impl Fn(usize, F) + Sync,
    ) -> Result<()> {
        let (n, vertices) = (self.rows(x)?, self.vertices(storage)?);
        let codes = cast::<IndexRaBitQ>(storage).ok_or_else(|| Error::failed("!(rq)", "RaBitQ codes are wanted"))?;
        let (options, sel) = (self.options(params), selector(params));
        let sel = sel.as_ref().map(|sel| sel.read());
        let wanted = |id: i64| sel.as_ref().is_none_or(|sel| sel.is_member(id));
        // What is compared is keys already, as of distances.
        let make = || Ok(Keys::new(SignsFirst::new(codes)?, MetricType::L2));
        self.each_query(x, n, make, |q, keys, stats| {
            let (mut scratch, mut found) = (self.hnsw.scratch(), collector());
            match starts {
                None => self.hnsw.search_staged(keys, k, options, &mut scratch, stats, &mut found, wanted)?,
                Some(starts) => {
                    scratch.visited.start(vertices);
                    for nodes in starts(q) {
                        if nodes.len() == 1 && scratch.visited.get(nodes[0].vertex) {
                            continue;
                        }
                        let (scratch, found) = (&mut scratch, &mut found);
                        self.hnsw.search_level_0_staged(keys, &nodes, k, options, scratch, stats, found, wanted)?;
                    }
                }
            }
            self.hnsw.keep(scratch);
            done(q, found);
            Ok(())
        })
    }
}
