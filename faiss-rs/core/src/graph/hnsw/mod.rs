//! The hierarchical navigable small world graph of Malkov and Yashunin, arXiv 1603.09320: its tables. Building is in `build`, searches in
//! `search`, files in `format`, what Python calls in `methods`.

mod build;
mod format;
mod methods;
mod search;
mod stats;

use std::ops::Range;

use faiss_derive::Object;

use super::search::Links;
use super::visited::{Scratch, Shelf};
use crate::base::{Error, Result};
use crate::random::RandomGenerator;

pub use build::AddOptions;
pub(crate) use methods::ROW;
pub use search::SearchOptions;

/// The generator of levels begins with this seed.
const SEED: i64 = 12345;
/// Values of `search_method`.
pub const SM_DEFAULT: i32 = 0;
/// Vectors that Panorama gives up early: found as with `SM_DEFAULT` here.
pub const SM_PANORAMA: i32 = 1;
/// RaBitQ codes of several bits: by their signs, and by all that they say only where that may be good enough.
pub const SM_RABITQ: i32 = 2;

/// More links a vertex than this are a mistake.
const MAX_M: i32 = 1 << 20;

/// A hierarchical graph of vertices with numbers. Vertex i has a list of links at each of its levels, all in `neighbors`.
#[derive(Object, Clone)]
#[object(copy, methods(methods::HNSWMethods))]
pub struct HNSW {
    /// Probability that a vertex has this as its highest level.
    pub assign_probas: Vec<f64>,
    /// Slots for links below each level, added up; not to be changed once there are vertices.
    pub cum_nneighbor_per_level: Vec<i32>,
    /// Number of levels of each vertex, at least 1.
    pub levels: Vec<i32>,
    /// Where the slots of each vertex begin in `neighbors`; one more entry than vertices.
    pub offsets: Vec<usize>,
    /// The linked vertices; -1 for a slot that is free, and so are those after it.
    pub neighbors: Vec<i32>,
    /// Where searches begin: a vertex of the highest level, -1 where there is none.
    pub entry_point: i32,
    /// The highest level.
    pub max_level: i32,
    /// Candidates kept while links are looked for.
    pub efConstruction: i32,
    /// Candidates kept in searches.
    pub efSearch: i32,
    /// A search ends at a candidate to which `efSearch` seen vertices are nearer; without it, after `efSearch` candidates.
    pub check_relative_distance: bool,
    /// Searches keep their candidates in one bounded queue, and not in two heaps.
    pub search_bounded_queue: bool,
    /// The part of its slots that a vertex is left free when its links become too many, at most a half.
    pub prune_headroom: f32,
    /// Larger distances are better. Set by the index.
    pub is_similarity: bool,
    /// How vertices of the lowest level are compared: `SM_RABITQ` by their signs first, where the index says so. `SM_PANORAMA` searches as `SM_DEFAULT`.
    pub search_method: i32,
    rng: RandomGenerator,
    scratch: Shelf<Scratch>,
}

impl Default for HNSW {
    fn default() -> Self {
        let mut hnsw = HNSW::bare();
        hnsw.set_default_probas(32, (1.0 / 32f64.ln()) as f32);
        hnsw
    }
}

impl HNSW {
    /// With `m` links a vertex at each level, twice as many at the lowest.
    pub fn new(m: i32) -> Result<Self> {
        let mut hnsw = HNSW::bare();
        if !(1..=MAX_M).contains(&m) {
            return Err(Error::failed("M >= 1 && M <= 2^20", format!("{m} links a vertex")));
        }
        hnsw.set_default_probas(m, (1.0 / f64::from(m).ln()) as f32);
        Ok(hnsw)
    }

    fn bare() -> Self {
        HNSW {
            assign_probas: Vec::new(),
            cum_nneighbor_per_level: vec![0],
            levels: Vec::new(),
            offsets: vec![0],
            neighbors: Vec::new(),
            entry_point: -1,
            max_level: -1,
            efConstruction: 40,
            efSearch: 16,
            check_relative_distance: true,
            search_bounded_queue: true,
            prune_headroom: 0.2,
            is_similarity: false,
            search_method: SM_DEFAULT,
            rng: RandomGenerator::new(SEED),
            scratch: Shelf::default(),
        }
    }

    /// Levels become rarer by a factor of `exp(1 / level_mult)`, down to one in a thousand million; `m` links each, twice as many at level 0.
    pub fn set_default_probas(&mut self, m: i32, level_mult: f32) {
        (self.assign_probas, self.cum_nneighbor_per_level) = (Vec::new(), vec![0]);
        let mut slots = 0i32;
        for level in 0..1 << 10 {
            // As Faiss rounds: quotients and the result to f32, what is between them in f64.
            let falls = |level: f32| f64::from(-level / level_mult).exp();
            let probability = f64::from((falls(level as f32) * (1.0 - falls(1.0))) as f32);
            let more = if level == 0 { m.saturating_mul(2) } else { m };
            // A NaN ends it as well.
            let likely = probability >= 1e-9;
            let Some(sum) = slots.checked_add(more).filter(|_| likely) else { return };
            self.assign_probas.push(probability);
            slots = sum;
            self.cum_nneighbor_per_level.push(slots);
        }
    }

    /// The number of vertices, after a check that the public tables fit together as far as that takes no time.
    pub fn vertices(&self) -> Result<usize> {
        let n = self.levels.len();
        Error::check(self.offsets.len() == n + 1, "offsets.size() == levels.size() + 1")?;
        Error::check(n <= i32::MAX as usize, "levels.size() <= INT_MAX")?;
        let within = |vertex: i32| vertex >= 0 && (vertex as usize) < n;
        let entered = if n == 0 || self.entry_point == -1 { self.entry_point == -1 } else { within(self.entry_point) };
        Error::check(entered, "entry_point >= 0 && entry_point < ntotal")?;
        Error::check(self.max_level < self.assign_probas.len().max(1) as i32, "max_level < assign_probas.size()")?;
        Ok(n)
    }

    /// Slots for links at this level.
    pub fn nb_neighbors(&self, level: usize) -> Result<usize> {
        let sums = level.checked_add(2).and_then(|end| self.cum_nneighbor_per_level.get(level..end));
        let Some([before, after]) = sums else {
            return Err(Error::failed("static_cast<size_t>(layer_no + 1) < cum_nneighbor_per_level.size()", ""));
        };
        usize::try_from(i64::from(*after) - i64::from(*before))
            .map_err(|_| Error::failed("cum_nneighbor_per_level grows", ""))
    }

    /// Slots for links below this level.
    pub fn cum_nb_neighbors(&self, level: usize) -> Result<usize> {
        let sum = self.cum_nneighbor_per_level.get(level).and_then(|sum| usize::try_from(*sum).ok());
        sum.ok_or_else(|| Error::failed("static_cast<size_t>(layer_no) < cum_nneighbor_per_level.size()", ""))
    }

    /// Makes room for `n` links at this level, before there are vertices.
    pub fn set_nb_neighbors(&mut self, level: usize, n: i32) -> Result<()> {
        Error::check(self.levels.is_empty(), "levels.size() == 0")?;
        Error::check((0..=2 * MAX_M).contains(&n), "n >= 0 && n <= 2^21")?;
        let change = i64::from(n) - self.nb_neighbors(level)? as i64;
        let last = self.cum_nneighbor_per_level.last().map_or(0, |sum| i64::from(*sum));
        i32::try_from(last + change).map_err(|_| Error::overflow("more links a vertex than an int can count"))?;
        for sum in &mut self.cum_nneighbor_per_level[level + 1..] {
            *sum = (i64::from(*sum) + change) as i32;
        }
        Ok(())
    }

    /// Where in `neighbors` the slots of a vertex at a level are.
    pub fn neighbor_range(&self, vertex: usize, level: usize) -> Result<Range<usize>> {
        let no_vertex = || Error::failed("no < levels.size()", format!("no vertex {vertex}"));
        let offset = *self.offsets.get(vertex).ok_or_else(no_vertex)?;
        let (begin, width) = (self.cum_nb_neighbors(level)?, self.nb_neighbors(level)?);
        let range = offset.checked_add(begin).and_then(|begin| Some(begin..begin.checked_add(width)?));
        range.filter(|range| range.end <= self.neighbors.len()).ok_or_else(unfit)
    }

    /// A level, drawn by the probabilities.
    pub fn random_level(&mut self) -> i32 {
        let mut f = f64::from(self.rng.rand_float());
        for (level, probability) in self.assign_probas.iter().enumerate() {
            if f < *probability {
                return level as i32;
            }
            f -= probability;
        }
        (self.assign_probas.len() as i32 - 1).max(0)
    }

    /// Forgets all vertices. Levels are drawn from the beginning again.
    pub fn reset(&mut self) {
        (self.max_level, self.entry_point) = (-1, -1);
        (self.offsets, self.levels, self.neighbors) = (vec![0], Vec::new(), Vec::new());
        self.scratch.clear();
    }

    /// Empties the lists of links of level 0 up to `level`.
    pub fn clear_neighbor_tables(&mut self, level: usize) -> Result<()> {
        for vertex in 0..self.levels.len() {
            let range = self.neighbor_range(vertex, level)?;
            self.neighbors[range].fill(-1);
        }
        Ok(())
    }

    /// The links of one level.
    pub fn level(&self, level: usize) -> Result<LevelLinks<'_>> {
        let (begin, width) = (self.cum_nb_neighbors(level)?, self.nb_neighbors(level)?);
        let (offsets, n) = (self.offsets.as_slice(), self.vertices()?);
        Ok(LevelLinks { offsets, neighbors: &self.neighbors, begin, width, n })
    }

    /// Vertex i becomes what vertex `perm[i]` was. `perm` is a permutation.
    pub fn permute_entries(&mut self, perm: &[i64]) -> Result<()> {
        let n = self.vertices()?;
        let mut inverse = vec![-1i32; n];
        let mut valid = perm.len() == n;
        for (to, from) in perm.iter().enumerate() {
            let slot = usize::try_from(*from).ok().and_then(|from| inverse.get_mut(from)).filter(|slot| **slot < 0);
            match slot {
                Some(slot) => *slot = to as i32,
                None => valid = false,
            }
        }
        Error::check(valid, "perm is a permutation of 0..ntotal")?;
        let mut neighbors = Vec::with_capacity(self.neighbors.len());
        let (mut offsets, mut levels) = (Vec::with_capacity(n + 1), Vec::with_capacity(n));
        offsets.push(0);
        for from in perm.iter().map(|from| *from as usize) {
            let slots = self.neighbors.get(self.offsets[from]..self.offsets[from + 1]).ok_or_else(unfit)?;
            for slot in slots {
                let known = if *slot < 0 { Some(-1) } else { inverse.get(*slot as usize).copied() };
                neighbors.push(known.ok_or_else(unfit)?);
            }
            offsets.push(neighbors.len());
            levels.push(self.levels[from]);
        }
        if self.entry_point >= 0 {
            self.entry_point = inverse[self.entry_point as usize];
        }
        (self.neighbors, self.offsets, self.levels) = (neighbors, offsets, levels);
        Ok(())
    }
}

/// The error for public tables that contradict each other.
pub(crate) fn unfit() -> Error {
    Error::failed("offsets[i + 1] <= neighbors.size()", "the tables of the graph do not fit together")
}

/// The links of one level of a graph.
pub struct LevelLinks<'a> {
    offsets: &'a [usize],
    neighbors: &'a [i32],
    begin: usize,
    width: usize,
    n: usize,
}

impl Links for LevelLinks<'_> {
    fn len(&self) -> usize {
        self.n
    }
    #[inline]
    fn slots(&self, vertex: u32) -> Result<&[i32]> {
        // A vertex that lies below the level shows the slots of others, which are vertices all the same.
        let begin = self.offsets.get(vertex as usize).and_then(|offset| offset.checked_add(self.begin));
        begin.and_then(|begin| self.neighbors.get(begin..begin.checked_add(self.width)?)).ok_or_else(unfit)
    }
    #[inline]
    fn prefetch(&self, vertex: u32) {
        if let Ok(slots) = self.slots(vertex) {
            crate::simd::prefetch(bytemuck::cast_slice(slots));
        }
    }
}
