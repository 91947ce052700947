//! The best results of several queries in memory of the caller's, to which results are added as they come (Faiss's `HeapArray`). A row is sorted,
//! worst first, which is a heap too, until [`HeapArray::reorder`] puts the best first.

use std::cmp::Ordering;

use faiss_derive::functions;

use crate::base::{Error, Result};

pub use declared::*;

/// What results are compared by.
pub trait Score: Copy + PartialEq {
    /// The smallest value.
    const LEAST: Self;
    /// The largest value.
    const LARGEST: Self;
    /// How two compare.
    fn order(&self, other: &Self) -> Ordering;
}

impl Score for f32 {
    const LEAST: f32 = f32::MIN;
    const LARGEST: f32 = f32::MAX;
    fn order(&self, other: &f32) -> Ordering {
        self.total_cmp(other)
    }
}

impl Score for i32 {
    const LEAST: i32 = i32::MIN;
    const LARGEST: i32 = i32::MAX;
    fn order(&self, other: &i32) -> Ordering {
        self.cmp(other)
    }
}

/// Rows of `k` values and ids; an id of -1 is no result.
pub struct HeapArray<'a, T> {
    /// Entries of a heap.
    pub k: usize,
    /// The values of all heaps, one heap after the other.
    pub val: &'a mut [T],
    /// The ids beside them.
    pub ids: &'a mut [i64],
    /// Whether the largest values are kept.
    pub keep_max: bool,
}

/// Ids of results: of row `i` those at `i * stride`, or without any 0, 1, ... plus `first`.
#[derive(Clone, Copy)]
pub struct Ids<'a> {
    /// The ids; without them, numbers from `first` on.
    pub given: Option<&'a [i64]>,
    /// Ids of a row.
    pub stride: usize,
    /// The first id, where none are given.
    pub first: i64,
}

impl<T: Score> HeapArray<'_, T> {
    fn worst(&self) -> T {
        if self.keep_max { T::LEAST } else { T::LARGEST }
    }

    /// Makes all rows empty.
    pub fn heapify(&mut self) {
        self.val.fill(self.worst());
        self.ids.fill(-1);
    }

    fn set_row(&mut self, row: usize, all: impl Iterator<Item = (T, i64)>) {
        for (at, (value, id)) in (row * self.k..(row + 1) * self.k).zip(all) {
            (self.val[at], self.ids[at]) = (value, id);
        }
    }

    fn row(&self, row: usize) -> Vec<(T, i64)> {
        let own = row * self.k..(row + 1) * self.k;
        self.val[own.clone()].iter().copied().zip(self.ids[own].iter().copied()).collect()
    }

    fn better(&self, a: T, b: T) -> Ordering {
        if self.keep_max { b.order(&a) } else { a.order(&b) }
    }

    fn first(&self, a: i64, b: i64) -> Ordering {
        if self.keep_max { b.cmp(&a) } else { a.cmp(&b) }
    }

    /// Adds results, `nj` for each of these rows. Of equal values those that came first stay.
    pub fn add(&mut self, rows: impl Iterator<Item = usize>, nj: usize, values: &[T], ids: Ids<'_>) -> Result<()> {
        let nh = self.ids.len().checked_div(self.k).unwrap_or(0);
        for (i, row) in rows.enumerate() {
            if self.k == 0 {
                continue;
            }
            Error::check(row < nh, "subset[i] < nh")?;
            let given = ids.given.map(|given| &given[i * ids.stride..i * ids.stride + nj]);
            let id = |j: usize| given.map_or(ids.first + j as i64, |given| given[j]);
            let added = values[i * nj..(i + 1) * nj].iter().enumerate();
            let mut all = self.row(row);
            all.extend(added.map(|(j, value)| (if id(j) < 0 { self.worst() } else { *value }, id(j))));
            all.sort_by(|a, b| self.better(a.0, b.0));
            all.truncate(self.k);
            self.set_row(row, all.into_iter().rev());
        }
        Ok(())
    }

    /// Sorts the rows, best first; what has no id comes last. Of equal values the one with the smaller id comes first, of the largest the one with
    /// the larger.
    pub fn reorder(&mut self) {
        for row in 0..self.ids.len().checked_div(self.k).unwrap_or(0) {
            let (mut all, worst) = (self.row(row), self.worst());
            all.iter_mut().filter(|(_, id)| *id < 0).for_each(|(value, _)| *value = worst);
            all.sort_by(|a, b| (a.1 < 0).cmp(&(b.1 < 0)).then(self.better(a.0, b.0)).then(self.first(a.1, b.1)));
            self.set_row(row, all.into_iter());
        }
    }
}

/// Numbers from the first of `n` rows of `width` to the end of the last, where rows are `step` apart.
fn reach(n: usize, step: usize, width: usize) -> usize {
    n.checked_sub(1).map_or(0, |last| last.saturating_mul(step).saturating_add(width))
}

fn add<T: Score>(
    mut heaps: HeapArray<'_, T>,
    i0: usize,
    ni: usize,
    nj: usize,
    values: &[T],
    ids: Ids<'_>,
    subset: Option<&[i64]>,
) -> Result<()> {
    let nh = heaps.ids.len().checked_div(heaps.k).unwrap_or(usize::MAX);
    match subset {
        Some(subset) => {
            let known = subset.iter().all(|row| usize::try_from(*row).is_ok_and(|row| row < nh));
            Error::check(known, "subset[i] < nh")?;
            heaps.add(subset.iter().map(|row| *row as usize), nj, values, ids)
        }
        None => {
            Error::check(i0.checked_add(ni).is_some_and(|end| end <= nh), "i0 + ni <= nh")?;
            heaps.add(i0..i0 + ni, nj, values, ids)
        }
    }
}

#[functions]
mod declared {
    use super::*;

    /// Makes nh rows of k floats empty.
    #[name = "_float_heapify"]
    pub fn float_heapify(
        nh: usize,
        k: usize,
        #[len = nh * k] val: &mut [f32],
        #[len = nh * k] ids: &mut [i64],
        keep_max: bool,
    ) -> Result<()> {
        HeapArray { k, val, ids, keep_max }.heapify();
        Ok(())
    }

    /// Makes nh rows of k integers empty.
    #[name = "_int_heapify"]
    pub fn int_heapify(
        nh: usize,
        k: usize,
        #[len = nh * k] val: &mut [i32],
        #[len = nh * k] ids: &mut [i64],
        keep_max: bool,
    ) -> Result<()> {
        HeapArray { k, val, ids, keep_max }.heapify();
        Ok(())
    }

    /// Sorts nh rows of k floats.
    #[name = "_float_reorder"]
    pub fn float_reorder(
        nh: usize,
        k: usize,
        #[len = nh * k] val: &mut [f32],
        #[len = nh * k] ids: &mut [i64],
        keep_max: bool,
    ) -> Result<()> {
        HeapArray { k, val, ids, keep_max }.reorder();
        Ok(())
    }

    /// Sorts nh rows of k integers.
    #[name = "_int_reorder"]
    pub fn int_reorder(
        nh: usize,
        k: usize,
        #[len = nh * k] val: &mut [i32],
        #[len = nh * k] ids: &mut [i64],
        keep_max: bool,
    ) -> Result<()> {
        HeapArray { k, val, ids, keep_max }.reorder();
        Ok(())
    }

    /// Adds nj floats to each of ni rows from i0 on, or to the rows that `subset` names, with ids of rows id_stride apart, or j0, j0 + 1, ...
    #[name = "_float_addn"]
    pub fn float_addn(
        nh: usize,
        k: usize,
        #[len = nh * k] val: &mut [f32],
        #[len = nh * k] ids: &mut [i64],
        keep_max: bool,
        nj: usize,
        #[len = ni * nj] vin: &[f32],
        j0: i64,
        #[len = reach(ni, id_stride, nj)] id_in: Option<&[i64]>,
        id_stride: usize,
        i0: usize,
        ni: usize,
        #[len = ni] subset: Option<&[i64]>,
    ) -> Result<()> {
        let given = Ids { given: id_in, stride: id_stride, first: j0 };
        add(HeapArray { k, val, ids, keep_max }, i0, ni, nj, vin, given, subset)
    }

    /// As `_float_addn`, for integers.
    #[name = "_int_addn"]
    pub fn int_addn(
        nh: usize,
        k: usize,
        #[len = nh * k] val: &mut [i32],
        #[len = nh * k] ids: &mut [i64],
        keep_max: bool,
        nj: usize,
        #[len = ni * nj] vin: &[i32],
        j0: i64,
        #[len = reach(ni, id_stride, nj)] id_in: Option<&[i64]>,
        id_stride: usize,
        i0: usize,
        ni: usize,
        #[len = ni] subset: Option<&[i64]>,
    ) -> Result<()> {
        let given = Ids { given: id_in, stride: id_stride, first: j0 };
        add(HeapArray { k, val, ids, keep_max }, i0, ni, nj, vin, given, subset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_stay() {
        for keep_max in [false, true] {
            let (mut val, mut ids) = (vec![0i32; 6], vec![0i64; 6]);
            int_heapify(2, 3, &mut val, &mut ids, keep_max).unwrap();
            let values = [5, 1, 4, 2, 3, 9, 8, 7, 6, 5];
            int_addn(2, 3, &mut val, &mut ids, keep_max, 5, &values, 0, None, 0, 0, 2, None).unwrap();
            // The worst is on top.
            assert_eq!([val[0], val[3]], [3, 7]);
            int_reorder(2, 3, &mut val, &mut ids, keep_max).unwrap();
            let wanted = if keep_max {
                ([5, 4, 3, 9, 8, 7], [0, 2, 4, 0, 1, 2])
            } else {
                ([1, 2, 3, 5, 6, 7], [1, 3, 4, 4, 3, 2])
            };
            assert_eq!((&val[..], &ids[..]), (&wanted.0[..], &wanted.1[..]));
        }
    }

    #[test]
    fn equal_values_are_sorted_by_id() {
        for (keep_max, wanted) in [(false, [1, 3, 5]), (true, [5, 3, 1])] {
            let (mut val, mut ids) = ([7.0; 3], [3, 5, 1]);
            float_reorder(1, 3, &mut val, &mut ids, keep_max).unwrap();
            assert_eq!(ids, wanted);
        }
    }

    #[test]
    fn rows_are_named_and_ids_given() {
        let (mut val, mut ids) = (vec![0f32; 6], vec![0i64; 6]);
        float_heapify(3, 2, &mut val, &mut ids, false).unwrap();
        let given = [7, -1, 9, 9, 9, 8, 6, 5];
        let mut put = |subset: &[i64]| {
            let vin = [2.0, 0.0, 3.0, 1.0, 2.0, 3.0];
            float_addn(3, 2, &mut val, &mut ids, false, 3, &vin, 0, Some(&given), 5, 0, 2, Some(subset))
        };
        assert!(put(&[0, 3]).is_err() && put(&[-1, 0]).is_err());
        put(&[2, 0]).unwrap();
        float_reorder(3, 2, &mut val, &mut ids, false).unwrap();
        assert_eq!(ids, [8, 6, -1, -1, 7, 9]);
        assert_eq!(val, [1.0, 2.0, f32::MAX, f32::MAX, 2.0, 3.0]);
        assert!(float_addn(3, 2, &mut val, &mut ids, false, 1, &[1.0], 0, None, 0, 3, 1, None).is_err());
        float_addn(3, 0, &mut [], &mut [], false, 1, &[1.0], 0, None, 0, 0, 1, None).unwrap();
    }
}
