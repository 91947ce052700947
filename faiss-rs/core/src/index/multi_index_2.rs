//! A [`MultiIndexQuantizer`] that finds the centroids of its parts by an index each, so that there may be many.

use faiss_derive::{Object, methods};

use super::multi_index::{MultiIndexQuantizer, smallest_sums};
use super::{Index, IndexBase};
use crate::base::object::Object;
use crate::base::{Error, MetricType, Result, Shared, interrupt};
use crate::distance::results::TopK;
use crate::registry::Row;

/// A quantizer whose centroids are all combinations of the centroids of parts, which are in indexes.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy(assign_indexes, own_fields = true))]
pub struct MultiIndexQuantizer2 {
    /// The parts of vectors.
    #[object(parent)]
    pub multi: MultiIndexQuantizer,
    /// An index over each part, which gets the part's centroids in training.
    #[object(readonly)]
    pub assign_indexes: Vec<Shared<dyn Index>>,
    /// Whether the indexes belong to this one. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
}

pub(crate) const ROW: Row = Row::of::<MultiIndexQuantizer2>();

#[methods]
impl MultiIndexQuantizer2 {
    /// Over `M` empty indexes of `d / M` dimensions each.
    #[new]
    pub fn new(
        d: i64,
        M: usize,
        nbits: usize,
        #[class = "list[Index]"] indexes: Vec<Shared<dyn Index>>,
    ) -> Result<Self> {
        Error::check(indexes.len() == M, "indexes.size() == M")?;
        let multi = MultiIndexQuantizer::new(d, M, nbits)?;
        for index in &indexes {
            let dim = index.read().base().dim();
            Error::check(dim == multi.pq.dsub, "index->d == pq.dsub")?;
        }
        Ok(MultiIndexQuantizer2 { multi, assign_indexes: indexes, own_fields: false })
    }

    /// Over two of them.
    #[new]
    fn of_two(
        d: i64,
        nbits: usize,
        assign_index_0: Shared<dyn Index>,
        assign_index_1: Shared<dyn Index>,
    ) -> Result<Self> {
        Self::new(d, 2, nbits, vec![assign_index_0, assign_index_1])
    }
}

impl Index for MultiIndexQuantizer2 {
    fn base(&self) -> &IndexBase {
        self.multi.base()
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self.multi.base_mut()
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.multi.train(x)?;
        for (m, index) in self.assign_indexes.iter().enumerate() {
            let centroids = self.multi.pq.get_centroids(m);
            let mut index = index.write();
            if !index.base().is_trained {
                index.train(centroids)?;
            }
            index.add(centroids)?;
        }
        Ok(())
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        self.multi.add(x)
    }
    fn reset(&mut self) -> Result<()> {
        self.multi.reset()
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.multi.reconstruct(key, out)
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
            return Err(Error::failed("!(params)", "search params not supported for this index"));
        }
        let n = self.queries(x, k, distances, labels)?;
        let pq = &self.multi.pq;
        let (ksub, dsub, d) = (pq.ksub, pq.dsub, pq.d);
        Error::check(self.assign_indexes.len() == pq.M, "assign_indexes.size() == M")?;
        // No more of each part can be among the k best.
        let most = k.min(ksub);
        let mut tables = vec![f32::INFINITY; n * pq.M * ksub];
        for (m, index) in self.assign_indexes.iter().enumerate() {
            interrupt::check()?;
            let part: Vec<f32> = x.chunks_exact(d.max(1)).flat_map(|x| &x[m * dsub..(m + 1) * dsub]).copied().collect();
            let (mut near, mut numbers) = (vec![0f32; n * most], vec![-1i64; n * most]);
            index.read().search(&part, most, None, &mut near, &mut numbers)?;
            for (i, (distance, number)) in near.iter().zip(&numbers).enumerate() {
                if let Some(number) = usize::try_from(*number).ok().filter(|number| *number < ksub) {
                    tables[(i / most * pq.M + m) * ksub + number] = *distance;
                }
            }
        }
        let out = TopK::new(MetricType::L2, k, distances, labels);
        for (q, table) in tables.chunks_exact(pq.M * ksub).enumerate() {
            let mut sums = smallest_sums(table, ksub, pq.nbits, k);
            sums.retain(|(sum, _)| sum.is_finite());
            out.write(q, &sums);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::flat_l2::IndexFlatL2;
    use crate::random::float_rand;

    /// With exact indexes, as the quantizer that has none.
    #[test]
    fn finds_what_the_simple_one_finds() {
        let (d, n) = (6, 300);
        let mut x = vec![0f32; n * d];
        float_rand(&mut x, 3).unwrap();
        let flat = || -> Shared<dyn Index> { Shared::new(IndexFlatL2::new(3).unwrap()) };
        let mut simple = MultiIndexQuantizer::new(6, 2, 3).unwrap();
        let mut other = MultiIndexQuantizer2::new(6, 2, 3, vec![flat(), flat()]).unwrap();
        simple.train(&x).unwrap();
        other.train(&x).unwrap();
        assert_eq!(other.base().ntotal, 64);
        for k in [1, 4, 64, 100] {
            let q = 10;
            let search = |index: &dyn Index| {
                let (mut distances, mut labels) = (vec![0f32; q * k], vec![0i64; q * k]);
                index.search(&x[..q * d], k, None, &mut distances, &mut labels).unwrap();
                (distances, labels)
            };
            let (a, b) = (search(&simple), search(&other));
            assert!(a.0.iter().zip(&b.0).all(|(a, b)| (a - b).abs() <= 1e-5 || a == b), "{k}");
            let same = a.1.iter().zip(&b.1).filter(|(a, b)| a == b).count();
            assert!(same * 100 >= 98 * a.1.len(), "{k}");
        }
        assert!(MultiIndexQuantizer2::new(6, 2, 3, vec![flat()]).is_err());
        assert!(MultiIndexQuantizer2::new(8, 2, 3, vec![flat(), flat()]).is_err());
    }
}
