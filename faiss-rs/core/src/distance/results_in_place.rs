//! Results in memory of the caller's: merged, ordered, compared.

use std::collections::HashSet;

use faiss_derive::functions;

use super::collect::{Hit, order};
use crate::base::Result;

pub use declared::*;

#[functions]
mod declared {
    use super::*;

    /// Sorts the ids of equal distances.
    pub fn ranklist_handle_ties(k: usize, #[len = k] idx: &mut [i64], #[len = k] dis: &[f32]) -> Result<()> {
        let mut first = 0;
        for equal in dis.chunk_by(|a, b| a == b) {
            idx[first..first + equal.len()].sort_unstable();
            first += equal.len();
        }
        Ok(())
    }

    /// Number of different ids that two lists have in common.
    pub fn ranklist_intersection_size(
        k1: usize,
        #[len = k1] v1: &[i64],
        k2: usize,
        #[len = k2] v2: &[i64],
    ) -> Result<usize> {
        let first: HashSet<i64> = v1.iter().copied().collect();
        let both: HashSet<i64> = v2.iter().copied().filter(|id| first.contains(id)).collect();
        Ok(both.len())
    }

    /// Merges results of n queries, k each and sorted, into the first ones; `translation` is added to the second ones' ids. Returns how many of
    /// those came in.
    pub fn merge_result_table_with(
        n: usize,
        k: usize,
        #[len = n * k] I0: &mut [i64],
        #[len = n * k] D0: &mut [f32],
        #[len = n * k] I1: &[i64],
        #[len = n * k] D1: &[f32],
        #[default = true] keep_min: bool,
        #[default = 0] translation: i64,
    ) -> Result<usize> {
        let (size, sign, mut came) = (k.max(1), if keep_min { 1.0 } else { -1.0 }, 0);
        let rows = I0.chunks_exact_mut(size).zip(D0.chunks_exact_mut(size));
        for ((ids, distances), (other_ids, others)) in rows.zip(I1.chunks_exact(size).zip(D1.chunks_exact(size))) {
            // Of equal distances, those that were there come first; no result comes last.
            let own = distances.iter().zip(&*ids).map(|(d, id)| (*d, *id, false));
            let second = others
                .iter()
                .zip(other_ids)
                .map(|(d, id)| (*d, if *id < 0 { *id } else { id.saturating_add(translation) }, true));
            let mut all: Vec<(f32, i64, bool)> = own.chain(second).collect();
            let key = |(d, id, _): &(f32, i64, bool)| if *id < 0 { f32::INFINITY } else { sign * d };
            all.sort_by(|a, b| key(a).total_cmp(&key(b)));
            for (i, (distance, id, second)) in all.into_iter().take(k).enumerate() {
                (distances[i], ids[i]) = (distance, id);
                came += usize::from(second);
            }
        }
        Ok(came)
    }

    /// Puts the smallest of beam_size * n_per_beam distances, with their positions, into a heap of k; exactly, whatever the mode.
    pub fn approx_topk_by_mode(
        mode: i32,
        beam_size: usize,
        n_per_beam: usize,
        #[len = beam_size * n_per_beam] distances: &[f32],
        k: usize,
        #[len = k] bh_val: &mut [f32],
        #[len = k] bh_ids: &mut [i32],
    ) -> Result<()> {
        let _ = mode;
        let known = bh_val.iter().zip(&*bh_ids).map(|(d, id)| (*d, i64::from(*id)));
        let mut hits: Vec<Hit> = known.chain(distances.iter().enumerate().map(|(i, d)| (*d, i as i64))).collect();
        hits.sort_by(|a, b| a.0.total_cmp(&b.0));
        // The largest first, which is a heap.
        for (i, (distance, id)) in hits.into_iter().take(k).rev().enumerate() {
            (bh_val[i], bh_ids[i]) = (distance, id as i32);
        }
        Ok(())
    }

    /// The positions of n numbers in ascending order.
    pub fn fvec_argsort(n: usize, #[len = n] vals: &[f32], #[len = n] perm: &mut [usize]) -> Result<()> {
        perm.iter_mut().enumerate().for_each(|(i, at)| *at = i);
        perm.sort_by(|a, b| order(&(vals[*a], *a as i64), &(vals[*b], *b as i64)));
        Ok(())
    }

    /// As fvec_argsort.
    pub fn fvec_argsort_parallel(n: usize, #[len = n] vals: &[f32], #[len = n] perm: &mut [usize]) -> Result<()> {
        fvec_argsort(n, vals, perm)
    }

    /// Counts n integers below vmax; returns how many lie outside.
    pub fn ivec_hist(n: usize, #[len = n] v: &[i32], vmax: usize, #[len = vmax] hist: &mut [i32]) -> Result<usize> {
        hist.fill(0);
        let mut outside = 0;
        for value in v {
            match usize::try_from(*value).ok().and_then(|value| hist.get_mut(value)) {
                Some(count) => *count += 1,
                None => outside += 1,
            }
        }
        Ok(outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_merged() {
        let (mut ids, mut distances) = ([1, 2, -1], [1.0, 3.0, f32::MAX]);
        let came = merge_result_table_with(1, 3, &mut ids, &mut distances, &[5, 6, -1], &[1.0, 2.0, 0.0], true, 10);
        assert_eq!((came.unwrap(), ids, distances), (2, [1, 15, 16], [1.0, 1.0, 2.0]));
        let came = merge_result_table_with(1, 3, &mut ids, &mut distances, &[7, -1, -1], &[9.0, 0.0, 0.0], false, 0);
        assert_eq!((came.unwrap(), ids), (1, [7, 16, 1]));
        assert_eq!(merge_result_table_with(2, 0, &mut [], &mut [], &[], &[], true, 0).unwrap(), 0);
    }

    #[test]
    fn orders_and_counts() {
        let mut ids = [9, 3, 5, 4, 1];
        ranklist_handle_ties(5, &mut ids, &[1.0, 1.0, 2.0, 2.0, 3.0]).unwrap();
        assert_eq!(ids, [3, 9, 4, 5, 1]);
        assert_eq!(ranklist_intersection_size(4, &[1, 1, 2, 3], 3, &[1, 3, 3]).unwrap(), 2);
        let mut perm = [0usize; 4];
        fvec_argsort(4, &[2.0, -1.0, 2.0, 0.0], &mut perm).unwrap();
        assert_eq!(perm, [1, 3, 0, 2]);
        let mut hist = [7; 3];
        assert_eq!(ivec_hist(6, &[0, 2, 2, -1, 3, i32::MIN], 3, &mut hist).unwrap(), 3);
        assert_eq!(hist, [1, 0, 2]);
        let (mut values, mut places) = ([f32::MAX; 3], [-1; 3]);
        approx_topk_by_mode(0, 2, 2, &[4.0, 1.0, 3.0, 2.0], 3, &mut values, &mut places).unwrap();
        assert_eq!((values, places), ([3.0, 2.0, 1.0], [2, 3, 1]));
    }
}
