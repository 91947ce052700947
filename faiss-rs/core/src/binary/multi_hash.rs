//! Binary vectors in several hash tables, by several groups of their bits.

use faiss_derive::{Object, methods};
use rustc_hash::{FxHashMap, FxHashSet};

use super::flat::IndexBinaryFlat;
use super::hash::{INDEX_BINARY_HASH_STATS, IndexBinaryHashStats, bits_of, check_bits, neighbours};
use super::scan::Scan;
use super::{IndexBinary, IndexBinaryBase, binary_base, hamming, header, no_params};
use crate::base::object::{cast, receiver};
use crate::base::{Error, Handle, Object, Result, Shared, threads};
use crate::distance::RangeSearchResult;
use crate::distance::collect::{Collector, Hit};
use crate::quantize::bits::{BitstringReader, BitstringWriter};
use crate::registry::{Format, Row};
use crate::stream::fields::Stored;
use crate::stream::{Reader, Writer};

/// Stores vectors once, and their numbers in `nhash` tables: the first by the first `b` bits, the second by the next `b`, and so on. A search
/// compares all vectors that are near to the query in one of the tables.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IndexBinary), copy(storage, own_fields = true))]
pub struct IndexBinaryMultiHash {
    /// What every binary index has.
    #[object(parent)]
    pub base: IndexBinaryBase,
    /// The vectors.
    pub storage: Option<Shared<dyn IndexBinary>>,
    /// Whether the storage belongs to this index. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    maps: Vec<FxHashMap<u64, Vec<i64>>>,
    /// Number of hash tables.
    #[object(readonly)]
    pub nhash: i32,
    /// Number of bits of a hash.
    #[object(readonly)]
    pub b: i32,
    /// Number of bits that are flipped in a search.
    pub nflip: i32,
}

pub(crate) const ROW: Row = Row::of::<IndexBinaryMultiHash>().format(Format {
    fourccs: &["IBHm"],
    read: |input, _| Ok(Handle::new(IndexBinaryMultiHash::read(input)?)),
    write: |object, out| receiver::<IndexBinaryMultiHash>(object)?.write(out),
});

#[methods(new)]
impl IndexBinaryMultiHash {
    /// An empty index over vectors of `d` bits with `nhash` tables by `b` bits each.
    #[new]
    pub fn new(d: i64, nhash: i64, b: i64) -> Result<Self> {
        let (base, b) = (IndexBinaryBase::new(d)?, check_bits(b)?);
        let nhash =
            i32::try_from(nhash).ok().filter(|n| *n >= 0 && n.checked_mul(b).is_some_and(|bits| bits <= base.d));
        let nhash =
            nhash.ok_or_else(|| Error::failed("nhash_ * b_ <= d_", "more bits are hashed than vectors have"))?;
        let storage = Shared::new(IndexBinaryFlat::new(d)?);
        let maps = vec![FxHashMap::default(); nhash as usize];
        Ok(IndexBinaryMultiHash { base, storage: Some(storage), own_fields: true, maps, nhash, b, nflip: 0 })
    }

    /// The number of hashes that have vectors, over all tables.
    pub fn hashtable_size(&self) -> usize {
        self.maps.iter().map(FxHashMap::len).sum()
    }
}

impl IndexBinaryMultiHash {
    fn storage(&self) -> Result<&Shared<dyn IndexBinary>> {
        self.storage.as_ref().ok_or_else(|| Error::failed("storage", "the index has no storage"))
    }

    fn insert(&mut self, x: &[u8]) {
        let (size, b, first) = (self.bytes(), self.b, self.ntotal);
        for (code, id) in x.chunks_exact(size.max(1)).zip(first..) {
            for (h, map) in self.maps.iter_mut().enumerate() {
                map.entry(bits_of(code, h * b as usize, b)).or_default().push(id);
            }
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let mut base = IndexBinaryBase::default();
        base.read_from(input, "base")?;
        let mut storage: Option<Shared<dyn IndexBinary>> = None;
        storage.read_from(input, "storage")?;
        header::check_d(storage.as_ref(), &base)?;
        let (b, nhash, nflip) = (input.i32()?, input.i32()?, input.i32()?);
        check_bits(i64::from(b))?;
        let fits = (0..=base.d).contains(&nhash) && nhash.checked_mul(b).is_some_and(|bits| bits <= base.d);
        Error::check(fits && nflip >= 0, "nhash * b <= d && nflip >= 0")?;
        let stored = storage.as_ref().map_or(0, |storage| storage.read().base().ntotal);
        Error::check(stored == base.ntotal, "storage->ntotal == ntotal")?;
        let mut maps = Vec::new();
        for _ in 0..nhash {
            let (id_bits, entries) = (input.i32()?, input.usize()?);
            let id_bits = u32::try_from(id_bits).ok().filter(|bits| *bits < u64::BITS);
            let id_bits = id_bits.ok_or_else(|| Error::failed("id_bits >= 0 && id_bits < 64", ""))?;
            let code: Vec<u8> = input.vec()?;
            let short = || Error::failed("buf.size() * 8 >= nbit", "a hash table of the file is cut short");
            // Each entry has at least one vector.
            Error::check(entries as u64 <= base.ntotal as u64, "sz <= ntotal")?;
            let (mut bits, mut map, mut total) = (BitstringReader::new(&code), FxHashMap::default(), 0u64);
            for _ in 0..entries {
                let hash = bits.read(b as u32).ok_or_else(short)?;
                let n = bits.read(id_bits).ok_or_else(short)?;
                total += n;
                Error::check(total <= base.ntotal as u64, "the ids of a hash table are at most ntotal")?;
                let list: Option<Vec<i64>> = (0..n).map(|_| bits.read(id_bits).map(|id| id as i64)).collect();
                let list = list.ok_or_else(short)?;
                Error::check(list.iter().all(|id| (0..base.ntotal).contains(id)), "id < ntotal")?;
                Error::check(map.insert(hash, list).is_none(), "a hash has one list in a table")?;
            }
            maps.push(map);
        }
        Ok(IndexBinaryMultiHash { base, storage, own_fields: true, maps, nhash, b, nflip })
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<()> {
        out.fourcc("IBHm")?;
        self.base.write_to(out)?;
        self.storage.write_to(out)?;
        out.i32(self.b)?;
        out.i32(self.nhash)?;
        out.i32(self.nflip)?;
        for map in &self.maps {
            // As many bits as ids have, as in Faiss. A list of all vectors whose length does not fit is not lost here: it gets one bit more.
            let longest = map.values().map(Vec::len).max().unwrap_or(0) as u64;
            let mut id_bits = u64::BITS - (self.ntotal.max(1) as u64 - 1).leading_zeros();
            if longest >> id_bits > 0 {
                id_bits += 1;
            }
            out.i32(id_bits as i32)?;
            out.usize(map.len())?;
            let mut bits = BitstringWriter::default();
            let mut hashes: Vec<_> = map.iter().collect();
            hashes.sort_unstable_by_key(|(hash, _)| **hash);
            for (hash, ids) in hashes {
                bits.write(*hash, self.b as u32);
                bits.write(ids.len() as u64, id_bits);
                ids.iter().for_each(|id| bits.write(*id as u64, id_bits));
            }
            out.vec(&bits.finish())?;
        }
        Ok(())
    }
}

impl Scan for IndexBinaryMultiHash {
    /// Compares each query with the vectors near to it in one of the tables; `done` gets the query's results.
    fn scan<C: Collector>(
        &self,
        x: &[u8],
        n: usize,
        collector: impl Fn() -> C + Sync,
        done: impl Fn(usize, Vec<Hit>) + Sync,
    ) -> Result<()> {
        let (size, b) = (self.bytes(), self.b);
        let storage = self.storage()?.read();
        let not_flat = || Error::failed("storage", "the storage of an IndexBinaryMultiHash is an IndexBinaryFlat");
        let codes = cast::<IndexBinaryFlat>(&*storage).ok_or_else(not_flat)?.vectors()?;
        Error::check(codes.len() == self.ntotal.max(0) as usize * size, "storage->ntotal == ntotal")?;
        threads::parallel_for(n, |q| {
            let query = &x[q * size..(q + 1) * size];
            let (mut own, mut seen) = (collector(), FxHashSet::default());
            let mut stats = IndexBinaryHashStats { nq: 1, ..Default::default() };
            for (h, map) in self.maps.iter().enumerate() {
                neighbours(bits_of(query, h * b as usize, b), b, self.nflip, &mut |hash| {
                    let Some(ids) = map.get(&hash) else {
                        stats.n0 += 1;
                        return Ok(());
                    };
                    stats.nlist += 1;
                    for id in ids.iter().filter(|id| seen.insert(**id)) {
                        let at = *id as usize * size;
                        let key = hamming::hamming(query, &codes[at..at + size]) as f32;
                        stats.ndis += 1;
                        if key < own.threshold() {
                            own.push(key, *id);
                        }
                    }
                    Ok(())
                })?;
            }
            INDEX_BINARY_HASH_STATS.write().add(&stats);
            done(q, own.finish());
            Ok(())
        })
    }
}

impl IndexBinary for IndexBinaryMultiHash {
    binary_base!();

    fn add(&mut self, x: &[u8]) -> Result<()> {
        let n = self.rows(x)?;
        Error::check(self.maps.len() as i32 == self.nhash, "maps.size() == nhash")?;
        let storage = self.storage()?.clone();
        storage.write().add(x)?;
        self.insert(x);
        self.ntotal += n as i64;
        Ok(())
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
        let storage = self.storage()?.clone();
        storage.write().reset()?;
        self.maps.iter_mut().for_each(FxHashMap::clear);
        self.ntotal = 0;
        Ok(())
    }
    fn reconstruct(&self, key: i64, out: &mut [u8]) -> Result<()> {
        self.storage()?.read().reconstruct(key, out)
    }
}
