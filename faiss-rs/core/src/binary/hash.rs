//! Binary vectors in a hash table by their first bits.

use std::sync::LazyLock;

use faiss_derive::{Object, methods};
use rustc_hash::FxHashMap;

use super::scan::Scan;
use super::{IndexBinary, IndexBinaryBase, binary_base, hamming, no_params};
use crate::base::object::receiver;
use crate::base::{Error, Handle, Object, Result, Shared, interrupt, threads};
use crate::distance::RangeSearchResult;
use crate::distance::collect::{Collector, Hit};
use crate::quantize::bits::{BitstringReader, BitstringWriter};
use crate::registry::{Format, Row};
use crate::stream::fields::Stored;
use crate::stream::{Reader, Writer};

/// The most bits of a hash.
pub(super) const MAX_BITS: i32 = 64;

/// What searches in hash tables went through, over all since the last reset.
#[derive(Object, Default, Clone, Debug)]
#[object(methods, copy)]
pub struct IndexBinaryHashStats {
    /// Number of queries.
    pub nq: usize,
    /// Number of lookups in several tables that found nothing. As in Faiss, those in a single table are not counted.
    pub n0: usize,
    /// Number of lists that were looked into.
    pub nlist: usize,
    /// Number of distances that were computed.
    pub ndis: usize,
}

/// The statistics of the process.
pub static INDEX_BINARY_HASH_STATS: LazyLock<Shared<IndexBinaryHashStats>> =
    LazyLock::new(|| Shared::new(IndexBinaryHashStats::default()));

#[methods(new)]
impl IndexBinaryHashStats {
    /// Sets all to 0.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

impl IndexBinaryHashStats {
    pub(super) fn add(&mut self, other: &Self) {
        self.nq += other.nq;
        self.n0 += other.n0;
        self.nlist += other.nlist;
        self.ndis += other.ndis;
    }
}

/// The vectors of one hash.
#[derive(Default, Clone)]
struct List {
    ids: Vec<i64>,
    codes: Vec<u8>,
}

/// Stores vectors by their first `b` bits; a search looks at all hashes that differ from the query's in at most `nflip` bits.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IndexBinary), copy)]
pub struct IndexBinaryHash {
    /// What every binary index has.
    #[object(parent)]
    pub base: IndexBinaryBase,
    lists: FxHashMap<u64, List>,
    /// Number of bits of a hash.
    pub b: i32,
    /// Number of bits that are flipped in a search.
    pub nflip: i32,
}

/// The `b` bits of `code` from bit `first` on; bits beyond its end are 0.
pub(super) fn bits_of(code: &[u8], first: usize, b: i32) -> u64 {
    let mut value = 0u64;
    for i in 0..b.clamp(0, MAX_BITS) as usize {
        let at = first + i;
        let byte = code.get(at / 8).copied().unwrap_or(0);
        value |= u64::from(byte >> (at % 8) & 1) << i;
    }
    value
}

/// Calls `visit` with all numbers that differ from `hash` in at most `flips` of its lower `b` bits, those with fewer flips first.
pub(super) fn neighbours(hash: u64, b: i32, flips: i32, visit: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
    fn flip(hash: u64, from: i32, b: i32, left: i32, visit: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        if left == 0 {
            return visit(hash);
        }
        for bit in from..=b - left {
            flip(hash ^ 1 << bit, bit + 1, b, left - 1, visit)?;
        }
        Ok(())
    }
    for flips in 0..=flips.clamp(0, b) {
        interrupt::check()?;
        flip(hash, 0, b, flips, visit)?;
    }
    Ok(())
}

/// An error for a number of bits that no hash can have.
pub(super) fn check_bits(b: i64) -> Result<i32> {
    match i32::try_from(b) {
        Ok(b) if (0..=MAX_BITS).contains(&b) => Ok(b),
        _ => Err(Error::failed("b >= 0 && b <= 64", format!("a hash of {b} bits is not possible"))),
    }
}

pub(crate) const ROW: Row = Row::of::<IndexBinaryHash>().format(Format {
    fourccs: &["IBHh"],
    read: |input, _| Ok(Handle::new(IndexBinaryHash::read(input)?)),
    write: |object, out| receiver::<IndexBinaryHash>(object)?.write(out),
});

pub(crate) const STATS: Row = Row::of::<IndexBinaryHashStats>();

#[methods(new)]
impl IndexBinaryHash {
    /// An empty index over vectors of `d` bits with hashes of `b` bits.
    #[new]
    pub fn new(d: i64, b: i64) -> Result<Self> {
        Ok(IndexBinaryHash { base: IndexBinaryBase::new(d)?, b: check_bits(b)?, ..Default::default() })
    }

    /// The number of hashes that have vectors.
    pub fn hashtable_size(&self) -> usize {
        self.lists.len()
    }

    /// Prints each hash with the ids of its vectors.
    pub fn display(&self) {
        for (hash, list) in &self.lists {
            let ids = list.ids.iter().map(|id| format!("{id} ")).collect::<String>();
            println!("{hash}: [{ids}]");
        }
    }
}

impl IndexBinaryHash {
    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let mut base = IndexBinaryBase::default();
        base.read_from(input, "base")?;
        let (b, nflip, entries, list_bits) =
            (check_bits(i64::from(input.i32()?))?, input.i32()?, input.usize()?, input.i32()?);
        Error::check(nflip >= 0, "nflip >= 0")?;
        let list_bits = u32::try_from(list_bits).ok().filter(|bits| *bits < u64::BITS);
        let list_bits = list_bits.ok_or_else(|| Error::failed("il_nbit >= 0 && il_nbit < 64", ""))?;
        Error::check(entries as u64 <= base.ntotal as u64, "sz <= ntotal")?;
        let code: Vec<u8> = input.vec()?;
        let short = || Error::failed("buf.size() * 8 >= nbit", "the hash table of the file is cut short");
        let (mut bits, mut lists, mut total) = (BitstringReader::new(&code), FxHashMap::default(), 0u64);
        for _ in 0..entries {
            let hash = bits.read(b as u32).ok_or_else(short)?;
            let n = bits.read(list_bits).ok_or_else(short)?;
            let list = List { ids: input.vec()?, codes: input.vec()? };
            let agree = list.ids.len() as u64 == n && list.codes.len() == list.ids.len() * base.bytes();
            Error::check(agree, "il.ids.size() == ilsz && il.vecs.size() == ilsz * code_size")?;
            total += n;
            Error::check(lists.insert(hash, list).is_none(), "a hash has one list")?;
        }
        Error::check(total == base.ntotal as u64, "the lists of the hash table hold ntotal vectors")?;
        Ok(IndexBinaryHash { base, lists, b, nflip })
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<()> {
        out.fourcc("IBHh")?;
        self.base.write_to(out)?;
        out.i32(self.b)?;
        out.i32(self.nflip)?;
        out.usize(self.lists.len())?;
        let longest = self.lists.values().map(|list| list.ids.len()).max().unwrap_or(0) as u64;
        let list_bits = u64::BITS - longest.leading_zeros();
        out.i32(list_bits as i32)?;
        // In order of hashes, so that equal indexes make equal files.
        let mut lists: Vec<_> = self.lists.iter().collect();
        lists.sort_unstable_by_key(|(hash, _)| **hash);
        let mut bits = BitstringWriter::default();
        for (hash, list) in &lists {
            bits.write(**hash, self.b as u32);
            bits.write(list.ids.len() as u64, list_bits);
        }
        out.vec(&bits.finish())?;
        for (_, list) in lists {
            out.vec(&list.ids)?;
            out.vec(&list.codes)?;
        }
        Ok(())
    }

    fn insert(&mut self, x: &[u8], ids: impl Iterator<Item = i64>) -> Result<()> {
        check_bits(i64::from(self.b))?;
        let (n, size, b) = (self.rows(x)?, self.bytes(), self.b);
        for (code, id) in x.chunks_exact(size.max(1)).zip(ids) {
            let list = self.lists.entry(bits_of(code, 0, b)).or_default();
            list.ids.push(id);
            list.codes.extend_from_slice(code);
        }
        self.ntotal += n as i64;
        Ok(())
    }
}

impl Scan for IndexBinaryHash {
    /// Looks into the lists near to each query; `done` gets the query's results.
    fn scan<C: Collector>(
        &self,
        x: &[u8],
        n: usize,
        collector: impl Fn() -> C + Sync,
        done: impl Fn(usize, Vec<Hit>) + Sync,
    ) -> Result<()> {
        let (size, b) = (self.bytes(), check_bits(i64::from(self.b))?);
        threads::parallel_for(n, |q| {
            let query = &x[q * size..(q + 1) * size];
            let (mut own, mut keys, mut hits) = (collector(), Vec::new(), Vec::new());
            let mut stats = IndexBinaryHashStats { nq: 1, ..Default::default() };
            neighbours(bits_of(query, 0, b), b, self.nflip, &mut |hash| {
                let Some(list) = self.lists.get(&hash) else { return Ok(()) };
                stats.nlist += 1;
                stats.ndis += list.ids.len();
                keys.resize(list.ids.len(), 0f32);
                hits.resize(list.ids.len(), 0u32);
                hamming::hamming_ny(query, &list.codes, &mut keys);
                hamming::offer(&keys, |at| Some(list.ids[at]), &mut own, &mut hits);
                Ok(())
            })?;
            INDEX_BINARY_HASH_STATS.write().add(&stats);
            done(q, own.finish());
            Ok(())
        })
    }
}

impl IndexBinary for IndexBinaryHash {
    binary_base!();

    fn add(&mut self, x: &[u8]) -> Result<()> {
        let first = self.ntotal;
        self.insert(x, first..)
    }
    fn add_with_ids(&mut self, x: &[u8], ids: &[i64]) -> Result<()> {
        Error::check(self.rows(x)? == ids.len(), "xids.size() == n")?;
        self.insert(x, ids.iter().copied())
    }
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        no_params(params)?;
        let n = self.queries(x, k, distances, labels)?;
        self.nearest(x, n, k, distances, labels)
    }
    fn range_search(&self, x: &[u8], radius: i32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        no_params(params)?;
        self.within(x, self.rows(x)?, radius)
    }
    fn reset(&mut self) -> Result<()> {
        self.lists.clear();
        self.ntotal = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_all_numbers_within_the_flips_once() {
        let (b, hash) = (7, 0b101_1001);
        for flips in 0..=8 {
            let mut seen = Vec::new();
            neighbours(hash, b, flips, &mut |h| {
                seen.push(h);
                Ok(())
            })
            .unwrap();
            let mut want: Vec<u64> = (0..1 << b).filter(|h| (h ^ hash).count_ones() as i32 <= flips).collect();
            seen.sort_unstable();
            want.sort_unstable();
            assert_eq!(seen, want);
        }
    }

    #[test]
    fn bits_may_lie_across_bytes_and_end_with_the_code() {
        let code = [0b1010_0110, 0b0000_0001];
        assert_eq!(bits_of(&code, 0, 8), 0b1010_0110);
        assert_eq!(bits_of(&code, 5, 4), 0b1101);
        assert_eq!(bits_of(&code, 12, 16), 0);
    }
}
