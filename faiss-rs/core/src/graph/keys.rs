//! Distances as keys, of which the smaller is the better whatever the metric.

use crate::base::{Error, MetricType, Result};
use crate::distance::DistanceComputer;
use crate::distance::computer::StagedComputer;
use crate::index::Index;

/// A query, compared with stored vectors: similarities are negated. One for each thread.
pub struct Keys<C> {
    computer: C,
    sign: f32,
}

impl<C: DistanceComputer> Keys<C> {
    /// The keys are the computer's distances by this metric.
    pub fn new(computer: C, metric: MetricType) -> Self {
        Keys { computer, sign: if metric.is_similarity() { -1.0 } else { 1.0 } }
    }

    /// `x` has as many numbers as a stored vector.
    pub fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.computer.set_query(x)
    }

    /// What compares the vectors, to set a query that is no vector of floats.
    pub fn computer_mut(&mut self) -> &mut C {
        &mut self.computer
    }

    /// The key of a vertex, which must exist.
    #[inline]
    pub fn key(&self, i: u32) -> f32 {
        self.sign * self.computer.distance(i as usize)
    }

    /// See [`StagedComputer::estimate`].
    #[inline]
    pub fn estimate(&self, i: u32) -> (f32, f32)
    where
        C: StagedComputer,
    {
        self.computer.estimate(i as usize)
    }

    /// The keys of four.
    #[inline]
    pub fn key_4(&self, ids: [u32; 4]) -> [f32; 4] {
        self.computer.batch_4(ids.map(|i| i as usize)).map(|distance| self.sign * distance)
    }

    /// The key of two stored vectors.
    #[inline]
    pub fn between(&self, i: u32, j: u32) -> f32 {
        self.sign * self.computer.symmetric_distance(i as usize, j as usize)
    }

    /// Hints that a vertex is compared soon.
    #[inline]
    pub fn prefetch(&self, i: u32) {
        self.computer.prefetch(i as usize);
    }

    /// The keys of a stored vector and four others.
    #[inline]
    pub fn between_4(&self, i: u32, others: [u32; 4]) -> [f32; 4] {
        let distances = self.computer.symmetric_batch_4(i as usize, others.map(|j| j as usize));
        distances.map(|distance| self.sign * distance)
    }

    /// Calls `each` with every vertex of `ids` and its key, in their order; vectors are fetched ahead.
    #[inline]
    pub fn for_each(&self, ids: &[u32], each: impl FnMut(u32, f32)) {
        self.by_fours(ids, |four| self.key_4(four), |id| self.key(id), each);
    }

    /// The same with the keys of a stored vector and each of `ids`.
    pub fn for_each_between(&self, vertex: u32, ids: &[u32], each: impl FnMut(u32, f32)) {
        self.by_fours(ids, |four| self.between_4(vertex, four), |id| self.between(vertex, id), each);
    }

    #[inline]
    fn by_fours(
        &self,
        ids: &[u32],
        key_4: impl Fn([u32; 4]) -> [f32; 4],
        key: impl Fn(u32) -> f32,
        mut each: impl FnMut(u32, f32),
    ) {
        /// How many vectors are on their way while others are compared.
        const AHEAD: usize = 8;
        ids.iter().take(AHEAD).for_each(|id| self.prefetch(*id));
        let (fours, rest) = ids.as_chunks::<4>();
        for (i, four) in fours.iter().enumerate() {
            let next = (i * 4 + AHEAD).min(ids.len());
            ids[next..(next + 4).min(ids.len())].iter().for_each(|id| self.prefetch(*id));
            let keys = key_4(*four);
            (0..4).for_each(|j| each(four[j], keys[j]));
        }
        rest.iter().for_each(|id| each(*id, key(*id)));
    }
}

/// Stored vectors as a caller's own distance computer compares them: the first `n`, by distances as they are or negated.
pub struct Given<'a> {
    storage: &'a dyn Index,
    metric: MetricType,
    /// How many there are.
    pub n: usize,
}

impl<'a> Given<'a> {
    /// The first `n` vectors of an index; an error where there are not so many.
    pub fn new(storage: &'a dyn Index, negated: bool, n: i32) -> Result<Self> {
        let stored = storage.base().ntotal;
        let count = usize::try_from(n).ok().filter(|_| i64::from(n) <= stored);
        let count = count.ok_or_else(|| Error::failed("n <= ntotal", format!("{n} of {stored} vectors are wanted")))?;
        let metric = if negated { MetricType::InnerProduct } else { MetricType::L2 };
        Ok(Given { storage, metric, n: count })
    }

    /// What compares them, for one thread.
    pub fn keys(&self) -> Result<Keys<Box<dyn DistanceComputer + 'a>>> {
        Ok(Keys::new(self.storage.get_distance_computer()?, self.metric))
    }

    /// The same, with a query.
    pub fn query(&self, x: &[f32]) -> Result<Keys<Box<dyn DistanceComputer + 'a>>> {
        Error::check(x.len() == self.storage.base().dim(), "x.size() == d")?;
        let mut keys = self.keys()?;
        keys.set_query(x)?;
        Ok(keys)
    }

    /// A vertex by its number, after a check.
    pub fn vertex(&self, number: i32) -> Result<u32> {
        let vertex = u32::try_from(number).ok().filter(|vertex| (*vertex as usize) < self.n);
        vertex.ok_or_else(|| Error::failed("id < ntotal", format!("there is no vertex {number} among {}", self.n)))
    }
}
