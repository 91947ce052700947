//! An index that finds vectors at random, to measure others against.

use std::collections::HashSet;

use faiss_derive::{Object, methods};

use super::{Index, IndexBase};
use crate::base::object::Object;
use crate::base::{Error, MetricType, Result, threads};
use crate::random::RandomGenerator;
use crate::registry::Row;

/// Where the seeds of vectors begin.
const FIRST_VECTOR: i64 = 123_332;

/// Finds random ids at random distances; the same query finds the same ones. It stores nothing.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexRandom {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// Gives the results, with the query.
    pub seed: i64,
}

pub(crate) const ROW: Row = Row::of::<IndexRandom>();

#[methods]
impl IndexRandom {
    /// As if `ntotal` vectors had been added.
    #[new]
    pub fn new(
        d: i64,
        #[default = 0] ntotal: i64,
        #[default = 1234] seed: i64,
        #[default = MetricType::L2] metric: MetricType,
    ) -> Result<Self> {
        Error::check(ntotal >= 0, "ntotal >= 0")?;
        Ok(IndexRandom { base: IndexBase { ntotal, ..IndexBase::new(d, metric)? }, seed })
    }
}

/// A number made of a vector's bits: Faiss's `ivec_checksum`.
fn checksum(x: &[f32]) -> i64 {
    let sum = x
        .iter()
        .rev()
        .fold(112_909u32, |sum, v| sum.wrapping_mul(65_713).wrapping_add(v.to_bits().wrapping_mul(1_686_049)));
    i64::from(sum)
}

impl Index for IndexRandom {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        self.ntotal += self.rows(x)? as i64;
        Ok(())
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        if params.is_some() {
            return Err(Error::failed("!params", "search params not supported for this index"));
        }
        let n = self.queries(x, k, distances, labels)?;
        Error::check(i64::try_from(k).is_ok_and(|k| k <= self.ntotal), "k <= ntotal")?;
        let (d, similarity) = (self.dim(), self.metric_type.is_similarity());
        let rows: Vec<_> = distances.chunks_exact_mut(k).zip(labels.chunks_exact_mut(k)).collect();
        let rows: Vec<_> = rows.into_iter().map(parking_lot::Mutex::new).collect();
        threads::parallel_for(n, |q| {
            let (distances, labels) = &mut *rows[q].lock();
            let mut random = RandomGenerator::new(self.seed.wrapping_add(checksum(&x[q * d..(q + 1) * d])));
            let mut seen = HashSet::with_capacity(k);
            for label in labels.iter_mut() {
                *label = loop {
                    let id = random.rand_int64() % self.ntotal;
                    if seen.insert(id) {
                        break id;
                    }
                };
            }
            let mut at = 0.0f32;
            for distance in distances.iter_mut() {
                let step = random.rand_float();
                at += if similarity { -step } else { step };
                *distance = at;
            }
            Ok(())
        })
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        Error::check(out.len() == self.dim(), "recons.size() == d")?;
        let mut random = RandomGenerator::new(self.seed.wrapping_add(FIRST_VECTOR).wrapping_add(key));
        out.iter_mut().for_each(|v| *v = random.rand_float());
        Ok(())
    }
    fn reset(&mut self) -> Result<()> {
        self.ntotal = 0;
        Ok(())
    }
}
