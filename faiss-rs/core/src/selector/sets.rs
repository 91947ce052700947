//! Selectors that hold a set of ids.

use std::ops::Range;

use faiss_derive::{Object, methods};
use rustc_hash::FxHashSet;

use super::{IDSelector, IDSelectorBase};
use crate::base::{Error, Result};
use crate::registry::Row;

/// The ids of an array, looked up one after the other: for small sets.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IDSelector))]
pub struct IDSelectorArray {
    #[object(parent)]
    base: IDSelectorBase,
    /// Number of ids.
    #[object(readonly)]
    pub n: usize,
    /// The ids, in any order.
    #[object(readonly)]
    pub ids: Vec<i64>,
}

#[methods]
impl IDSelectorArray {
    #[new]
    fn of(ids: &[i64]) -> Self {
        IDSelectorArray::new(ids.to_vec())
    }
    #[new]
    fn of_first(n: usize, ids: &[i64]) -> Result<Self> {
        first(n, ids).map(IDSelectorArray::new)
    }
}

impl IDSelectorArray {
    /// These ids.
    pub fn new(ids: Vec<i64>) -> Self {
        IDSelectorArray { n: ids.len(), ids, ..Default::default() }
    }
}

impl IDSelector for IDSelectorArray {
    fn is_member(&self, id: i64) -> bool {
        self.ids.contains(&id)
    }

    fn mark(&self, ids: Range<i64>, out: &mut [bool]) {
        out.fill(false);
        for id in self.ids.iter().filter(|id| ids.contains(id)) {
            out[(id - ids.start) as usize] = true;
        }
    }
}

/// The ids of a set, found by hash behind a Bloom filter: for large sets.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IDSelector))]
pub struct IDSelectorBatch {
    #[object(parent)]
    base: IDSelectorBase,
    /// The Bloom filter has `2^nbits` bits.
    #[object(readonly)]
    pub nbits: i32,
    /// `2^nbits - 1`.
    #[object(readonly)]
    pub mask: i64,
    bloom: Vec<u8>,
    set: FxHashSet<i64>,
}

#[methods]
impl IDSelectorBatch {
    #[new]
    fn of(ids: &[i64]) -> Self {
        IDSelectorBatch::new(ids)
    }
    #[new]
    fn of_first(n: usize, ids: &[i64]) -> Result<Self> {
        Ok(IDSelectorBatch::new(&first(n, ids)?))
    }
}

impl IDSelectorBatch {
    /// These ids.
    pub fn new(ids: &[i64]) -> Self {
        // 32 bits of filter an id: a non-member passes at most once in 32 times.
        let nbits = ids.len().max(1).next_power_of_two().trailing_zeros() as i32 + 5;
        let mask = (1i64 << nbits) - 1;
        let mut bloom = vec![0u8; 1 << (nbits - 3)];
        for id in ids {
            let bit = (id & mask) as usize;
            bloom[bit >> 3] |= 1 << (bit & 7);
        }
        IDSelectorBatch { base: IDSelectorBase {}, nbits, mask, bloom, set: ids.iter().copied().collect() }
    }
}

impl IDSelector for IDSelectorBatch {
    fn is_member(&self, id: i64) -> bool {
        let bit = (id & self.mask) as usize;
        self.bloom.get(bit >> 3).is_some_and(|byte| byte >> (bit & 7) & 1 == 1) && self.set.contains(&id)
    }
}

/// The ids whose bit is set: bit `i % 8` of byte `i / 8`.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IDSelector))]
pub struct IDSelectorBitmap {
    #[object(parent)]
    base: IDSelectorBase,
    /// Number of bytes that count.
    #[object(readonly)]
    pub n: usize,
    /// The bits.
    #[object(readonly)]
    pub bitmap: Vec<u8>,
}

#[methods]
impl IDSelectorBitmap {
    #[new]
    fn of(bitmap: &[u8]) -> Self {
        IDSelectorBitmap::new(bitmap.len(), bitmap.to_vec())
    }
    #[new]
    fn of_first(n: usize, bitmap: &[u8]) -> Self {
        IDSelectorBitmap::new(n, bitmap.to_vec())
    }
}

impl IDSelectorBitmap {
    /// The ids below `8 * n` whose bits are set, the lowest of each byte first.
    pub fn new(n: usize, bitmap: Vec<u8>) -> Self {
        // A caller who counts bits has 8 times the bytes: both readings of `n` are safe, because no byte beyond the vector is looked at.
        IDSelectorBitmap { base: IDSelectorBase {}, n, bitmap }
    }
}

impl IDSelector for IDSelectorBitmap {
    fn is_member(&self, id: i64) -> bool {
        let Ok(i) = usize::try_from(id) else { return false };
        i >> 3 < self.n && self.bitmap.get(i >> 3).is_some_and(|byte| byte >> (i & 7) & 1 == 1)
    }
}

/// The first `n` of the elements that are given.
fn first<T: Copy>(n: usize, given: &[T]) -> Result<Vec<T>> {
    let stated = given.get(..n).map(<[T]>::to_vec);
    stated.ok_or_else(|| Error::value(format!("{n} elements are stated, {} given", given.len())))
}

pub(crate) const ARRAY: Row = Row::of::<IDSelectorArray>();
pub(crate) const BATCH: Row = Row::of::<IDSelectorBatch>();
pub(crate) const BITMAP: Row = Row::of::<IDSelectorBitmap>();
