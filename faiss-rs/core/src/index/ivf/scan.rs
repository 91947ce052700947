//! What happens within a list: keys of its codes, and what is kept of them.

use std::borrow::Cow;

use crate::base::Result;
use crate::distance::collect::Collector;
use crate::selector::IDSelector;
use crate::simd;
use crate::storage::direct_map::lo_build;
use crate::storage::lists::{InvertedLists, ListView};

/// Codes whose keys are computed at a time.
const BLOCK: usize = 512;
/// Codes that are compared with several queries at a time: decoded, they stay in the cache.
const TILE: usize = 128;
/// Bytes of a list that are fetched ahead: from there on the processor sees where the scan is going.
const PREFETCH: usize = 4096;

/// What all queries of a search share.
pub trait Searcher: Send + Sync {
    /// One for each thread.
    fn scanner(&self) -> Result<Box<dyn Scanner + '_>>;
    /// True where going through lists and, for each, through queries is better than the other way round: a list then stays in the cache, but
    /// `set_query` is called for every pair.
    fn list_by_list(&self) -> bool;
    /// True where scanners have [`Scanner::bounds`], and keys only of codes whose bounds are below the threshold. What a query finds may then depend on
    /// the order of its lists, so that they are not shared among threads.
    fn refines(&self) -> bool {
        false
    }
}

/// Computes keys of codes for one query and one list at a time. The smaller key is the better: a similarity is negated.
pub trait Scanner {
    /// `x` has as many numbers as a vector.
    fn set_query(&mut self, x: &[f32]) -> Result<()>;
    /// The list that comes next, and the distance of the query to its centroid as the quantizer gave it.
    fn set_list(&mut self, list: usize, coarse: f32) -> Result<()>;
    /// Keys of entries of the list, from entry `first` on, as many as `keys` has room for.
    fn keys(&mut self, first: usize, codes: &[u8], keys: &mut [f32]) -> Result<()>;
    /// As [`Scanner::keys`], where only keys below a threshold matter: of the others, any number that is not below it will do.
    fn keys_below(&mut self, first: usize, codes: &[u8], _threshold: f32, keys: &mut [f32]) -> Result<()> {
        self.keys(first, codes, keys)
    }
    /// Of scanners that refine: numbers that the keys of codes are taken not to be below, as many as `bounds` has room for.
    fn bounds(&mut self, _codes: &[u8], _bounds: &mut [f32]) {}
    /// Of scanners that refine: the key of one code.
    fn refine(&mut self, _code: &[u8]) -> f32 {
        f32::INFINITY
    }
    /// Keys of several queries `x`, `coarse` from the list's centroid, and the same entries, a row a query, where a list that several queries look
    /// into is better read once. False, with nothing written, where it is not.
    fn tile(&mut self, _x: &[f32], _list: usize, _coarse: &[f32], _codes: &[u8], _keys: &mut [f32]) -> Result<bool> {
        Ok(false)
    }
}

/// The lists, and which entries of them count as what.
pub struct Lists<'a> {
    /// The lists.
    pub lists: &'a dyn InvertedLists,
    /// Which ids count; without it, all do.
    pub sel: Option<&'a dyn IDSelector>,
    /// Results are places in lists instead of ids.
    pub store_pairs: bool,
    /// See [`Searcher::refines`].
    pub refines: bool,
}

impl Lists<'_> {
    /// Offers the entries of a list, at most `most`, to a collector. Returns how many were looked at.
    pub fn scan<C: Collector>(
        &self,
        list: usize,
        scanner: &mut dyn Scanner,
        most: usize,
        collector: &mut C,
        buffers: &mut Buffers,
    ) -> Result<usize> {
        let n = self.lists.list_size(list).min(most);
        if n == 0 {
            return Ok(0);
        }
        let size = self.lists.base().code_size;
        let ListView { ids, codes, .. } = self.lists.view(list);
        // Of ids in ascending order, the selector may know where its own begin and end.
        let within = self.sel.and_then(|sel| sel.sorted_bounds(&ids[..n])).unwrap_or(0..n);
        let (mut first, n) = (within.start, within.end);
        while first < n {
            let end = (first + BLOCK).min(n);
            let (codes, keys) = (&codes[first * size..end * size], &mut buffers.keys[..end - first]);
            if self.refines {
                scanner.bounds(codes, keys);
                let refine = |at: usize, _| scanner.refine(&codes[(at - first) * size..(at - first + 1) * size]);
                self.offer(list, first, &ids, keys, collector, &mut buffers.hits, refine);
            } else {
                scanner.keys_below(first, codes, collector.threshold(), keys)?;
                self.offer(list, first, &ids, keys, collector, &mut buffers.hits, |_, key| key);
            }
            first = end;
        }
        Ok(within.len())
    }

    /// As [`Lists::scan`] for several queries `x`, of which query `i` is `coarse[i]` from the list's centroid and has collector `own[i]`. False,
    /// with nothing done, where the scanner has no way of its own for several.
    pub fn scan_tile<C: Collector>(
        &self,
        list: usize,
        scanner: &mut dyn Scanner,
        x: &[f32],
        coarse: &[f32],
        own: &[usize],
        collectors: &mut [C],
        buffers: &mut Buffers,
    ) -> Result<bool> {
        let (n, size) = (self.lists.list_size(list), self.lists.base().code_size);
        let (codes, ids) = (self.lists.codes(list), self.lists.ids(list));
        for first in (0..n).step_by(TILE) {
            let end = (first + TILE).min(n);
            let rows = end - first;
            buffers.tile.resize(own.len() * rows, 0.0);
            if !scanner.tile(x, list, coarse, &codes[first * size..end * size], &mut buffers.tile)? {
                return Ok(false);
            }
            for (keys, q) in buffers.tile.chunks_exact(rows).zip(own) {
                self.offer(list, first, &ids, keys, &mut collectors[*q], &mut buffers.hits, |_, key| key);
            }
        }
        Ok(true)
    }

    /// Hints that a list comes next: its first codes are fetched while another is scanned.
    pub fn prefetch(&self, list: usize) {
        if let Cow::Borrowed(codes) = self.lists.view(list).codes {
            simd::prefetch(&codes[..codes.len().min(PREFETCH)]);
        }
    }

    /// Offers those entries from `first` on whose `keys` are below the threshold. `refine` makes of an entry's number and such a key the one that counts.
    #[inline]
    fn offer<C: Collector>(
        &self,
        list: usize,
        first: usize,
        ids: &[i64],
        keys: &[f32],
        collector: &mut C,
        hits: &mut [u32],
        mut refine: impl FnMut(usize, f32) -> f32,
    ) {
        // Short pieces, so that the threshold is not long behind what has been seen.
        const PIECE: usize = 128;
        for (p, piece) in keys.chunks(PIECE).enumerate() {
            let count = simd::below(piece, collector.threshold(), hits);
            for hit in &hits[..count] {
                let (key, at) = (piece[*hit as usize], first + p * PIECE + *hit as usize);
                let id = ids[at];
                let limit = collector.threshold();
                if key < limit && self.sel.is_none_or(|sel| sel.is_member(id)) {
                    let key = refine(at, key);
                    if key < limit {
                        collector.push(key, if self.store_pairs { lo_build(list, at) } else { id });
                    }
                }
            }
        }
    }
}

/// Memory that a thread uses again and again.
pub struct Buffers {
    keys: Vec<f32>,
    hits: Vec<u32>,
    tile: Vec<f32>,
}

impl Default for Buffers {
    fn default() -> Self {
        Buffers { keys: vec![0.0; BLOCK], hits: vec![0; BLOCK], tile: Vec::new() }
    }
}
