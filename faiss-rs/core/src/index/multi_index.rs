//! Coarse quantizers whose centroids are all combinations of the centroids of parts of the vectors (Babenko and Lempitsky, "The inverted
//! multi-index", CVPR 2012).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use faiss_derive::{Object, methods};
use rustc_hash::FxHashSet;

use super::tuning::Tuned;
use super::{Index, IndexBase};
use crate::base::object::Object;
use crate::base::{Error, MetricType, Result, threads};
use crate::distance::results::TopK;
use crate::quantize::ProductQuantizer;
use crate::registry::Row;

/// A quantizer of `2^(M * nbits)` centroids: each is one of the centroids of each of `M` parts. It has no vectors but these.
///
/// Babenko and Lempitsky, The inverted multi-index, 2012.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index, Tuned), copy)]
pub struct MultiIndexQuantizer {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// The parts and their centroids.
    pub pq: ProductQuantizer,
}

pub(crate) const ROW: Row =
    Row::of::<MultiIndexQuantizer>().format(crate::file_format!(MultiIndexQuantizer, ["Imiq"], |index| {
        index.base;
        index.pq;
        read {
            let counted = index.ntotal == centroids(&index.pq)? || index.ntotal == 0;
            Error::check(counted, "ntotal == 1 << (M * nbits)")?;
            index.check()?;
        }
    }));

/// The number of combinations.
pub(super) fn centroids(pq: &ProductQuantizer) -> Result<i64> {
    let bits = pq.M.checked_mul(pq.nbits).filter(|bits| *bits < 63);
    Ok(1 << bits.ok_or_else(|| Error::failed("M * nbits < 63", "a number of a centroid has too many bits"))?)
}

#[methods(new)]
impl MultiIndexQuantizer {
    /// `M` parts of a vector, with `2^nbits` centroids each.
    #[new]
    pub fn new(d: i64, M: usize, nbits: usize) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, MetricType::L2)? };
        let pq = ProductQuantizer::new(base.dim(), M, nbits)?;
        centroids(&pq)?;
        Ok(MultiIndexQuantizer { base, pq })
    }
}

impl MultiIndexQuantizer {
    fn check(&self) -> Result<()> {
        self.pq.check()?;
        Error::check(self.pq.d == self.dim(), "pq.d == d")?;
        centroids(&self.pq).map(drop)
    }
}

impl Tuned for MultiIndexQuantizer {
    /// Its many lists are short and uneven: what bounds a search is the codes that it looks at.
    fn ranges_as_quantizer(&self) -> Vec<(&'static str, Vec<f64>)> {
        let codes = (8..20).map(|i| f64::from(1 << i)).chain([f64::INFINITY]);
        vec![("max_codes", codes.collect())]
    }
}

impl Index for MultiIndexQuantizer {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.check()?;
        self.pq.verbose = self.base.verbose;
        self.pq.train(x)?;
        self.is_trained = true;
        self.ntotal = centroids(&self.pq)?;
        Ok(())
    }
    fn add(&mut self, _x: &[f32]) -> Result<()> {
        let message = "This index has virtual elements, it does not support add";
        Err(Error::failed("", message))
    }
    fn reset(&mut self) -> Result<()> {
        let message = "This index has virtual elements, it does not support reset";
        Err(Error::failed("", message))
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
        self.queries(x, k, distances, labels)?;
        self.check()?;
        let (d, size) = (self.dim(), self.pq.M * self.pq.ksub);
        let transposed = self.pq.transposed();
        let out = TopK::new(MetricType::L2, k, distances, labels);
        let share = out.len().div_ceil(threads::available() * 4).max(1);
        threads::parallel_for(out.len().div_ceil(share), |piece| {
            let mut table = vec![0f32; size];
            for q in piece * share..((piece + 1) * share).min(out.len()) {
                self.pq.distance_table_with(&transposed, &x[q * d..(q + 1) * d], &mut table);
                out.write(q, &smallest_sums(&table, self.pq.ksub, self.pq.nbits, k));
            }
            Ok(())
        })
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.check()?;
        self.position(key)?;
        Error::check(out.len() == self.dim(), "recons.size() == d")?;
        let (size, mask) = (self.pq.dsub, self.pq.ksub as i64 - 1);
        for (m, part) in out.chunks_exact_mut(size.max(1)).enumerate() {
            let number = (key >> (m * self.pq.nbits) & mask) as usize;
            part.copy_from_slice(&self.pq.get_centroids(m)[number * size..(number + 1) * size]);
        }
        Ok(())
    }
}

/// A key that is a number, so that it can be ordered.
#[derive(PartialEq)]
struct Key(f32);
impl Eq for Key {}
impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The `k` smallest sums of one number of each row of a table, smallest first, and which they are: the number of row `m` in bits `m * nbits` on.
pub(super) fn smallest_sums(table: &[f32], ksub: usize, nbits: usize, k: usize) -> Vec<(f32, i64)> {
    let rows: Vec<Vec<u32>> = table
        .chunks_exact(ksub)
        .map(|row| {
            let mut order: Vec<u32> = (0..ksub as u32).collect();
            order.sort_by(|a, b| row[*a as usize].total_cmp(&row[*b as usize]));
            order
        })
        .collect();
    let sum = |ranks: &[u32]| -> f32 {
        ranks.iter().enumerate().map(|(m, rank)| table[m * ksub + rows[m][*rank as usize] as usize]).sum()
    };
    let mut found = Vec::with_capacity(k.min(1024));
    // From a combination that was found, those with one rank more: each is met when all smaller ones are known.
    let (mut next, mut met) = (BinaryHeap::new(), FxHashSet::default());
    let first = vec![0u32; rows.len()];
    next.push(Reverse((Key(sum(&first)), first)));
    while let Some(Reverse((Key(key), ranks))) = next.pop() {
        let label = |(m, rank): (usize, &u32)| i64::from(rows[m][*rank as usize]) << (m * nbits);
        found.push((key, ranks.iter().enumerate().map(label).sum()));
        if found.len() == k {
            break;
        }
        for m in 0..ranks.len() {
            let mut more = ranks.clone();
            more[m] += 1;
            if (more[m] as usize) < ksub && met.insert(more.clone()) {
                next.push(Reverse((Key(sum(&more)), more)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::float_rand;

    /// As by trying all combinations.
    #[test]
    fn smallest_sums_of_all_combinations() {
        for (m, nbits) in [(1, 3), (2, 3), (3, 2)] {
            let ksub = 1usize << nbits;
            let mut table = vec![0f32; m * ksub];
            float_rand(&mut table, 5).unwrap();
            let mut all: Vec<(f32, i64)> = (0..1i64 << (m * nbits))
                .map(|label| {
                    let number = |part: usize| (label >> (part * nbits)) as usize & (ksub - 1);
                    ((0..m).map(|part| table[part * ksub + number(part)]).sum(), label)
                })
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            for k in [1, 5, 1000] {
                assert_eq!(smallest_sums(&table, ksub, nbits, k), all[..k.min(all.len())]);
            }
        }
    }
}
