//! Hamming distances of binary codes, and exhaustive search by them.

use parking_lot::Mutex;

use crate::base::{Error, MetricType, Result, interrupt, threads};
use crate::distance::RangeSearchResult;
use crate::distance::collect::{Best1, Collector, Hit, InRange, Reservoir};
use crate::distance::results::{InRadius, TopK};
use crate::quantize::hamming::{hamming as ones, word};
use crate::selector::IDSelector;
use crate::simd::{self, Isa, Kernel, launch};

/// Codes whose distances are computed at a time; with their distances they stay in the first cache.
const BLOCK: usize = 512;
/// Queries that go through the codes together.
const QUERIES: usize = 32;

/// Hamming distances of one code to consecutive ones, as floats, which hold them exactly: collectors take floats.
struct Distances<'a> {
    query: &'a [u8],
    codes: &'a [u8],
    out: &'a mut [f32],
}

impl Kernel for Distances<'_> {
    type Out = ();
    const INTEGER: bool = true;

    #[inline(always)]
    fn run<R: Isa>(self) {
        // A known number of words lets the compiler keep the query in registers.
        match self.query.len() {
            4 => self.halves::<1>(),
            8 => self.words::<1>(),
            16 => self.words::<2>(),
            20 => self.halves::<5>(),
            32 => self.words::<4>(),
            64 => self.words::<8>(),
            128 => self.words::<16>(),
            256 => self.words::<32>(),
            _ => self.any(),
        }
    }
}

#[inline(always)]
fn half(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

impl Distances<'_> {
    #[inline(always)]
    fn words<const N: usize>(self) {
        let mut query = [0u64; N];
        for (i, part) in query.iter_mut().enumerate() {
            *part = word(&self.query[8 * i..]);
        }
        for (out, code) in self.out.iter_mut().zip(self.codes.chunks_exact(8 * N)) {
            let mut ones = 0;
            for (i, part) in query.iter().enumerate() {
                ones += (part ^ word(&code[8 * i..])).count_ones();
            }
            *out = ones as f32;
        }
    }

    #[inline(always)]
    fn halves<const N: usize>(self) {
        let mut query = [0u32; N];
        for (i, part) in query.iter_mut().enumerate() {
            *part = half(&self.query[4 * i..]);
        }
        for (out, code) in self.out.iter_mut().zip(self.codes.chunks_exact(4 * N)) {
            let mut ones = 0;
            for (i, part) in query.iter().enumerate() {
                ones += (part ^ half(&code[4 * i..])).count_ones();
            }
            *out = ones as f32;
        }
    }

    #[inline(always)]
    fn any(self) {
        for (out, code) in self.out.iter_mut().zip(self.codes.chunks_exact(self.query.len())) {
            *out = ones(self.query, code) as f32;
        }
    }
}

struct One<'a>(&'a [u8], &'a [u8]);

impl Kernel for One<'_> {
    type Out = u32;
    const INTEGER: bool = true;

    #[inline(always)]
    fn run<R: Isa>(self) -> u32 {
        ones(self.0, self.1)
    }
}

/// Bits in which two codes differ: for single pairs, by the best instructions there are.
pub fn hamming(a: &[u8], b: &[u8]) -> i32 {
    launch(One(a, b)) as i32
}

/// Hamming distances of a code to as many consecutive ones as `out` has room for, as floats.
pub fn hamming_ny(query: &[u8], codes: &[u8], out: &mut [f32]) {
    assert!(codes.len() >= out.len() * query.len(), "fewer codes than distances");
    if query.is_empty() {
        out.fill(0.0);
        return;
    }
    launch(Distances { query, codes, out });
}

/// All Hamming distances between `na` codes `a` and `nb` codes `b` of `size` bytes: `out[i * nb + j]`.
pub fn hammings(a: &[u8], b: &[u8], size: usize, out: &mut [i32]) -> Result<()> {
    let (na, nb) = (count(a, size)?, count(b, size)?);
    Error::check(na.checked_mul(nb) == Some(out.len()), "dis.size() == na * nb")?;
    if out.is_empty() {
        return Ok(());
    }
    let rows: Vec<Mutex<&mut [i32]>> = out.chunks_exact_mut(nb).map(Mutex::new).collect();
    threads::parallel_for(na, |i| {
        let (query, mut row, mut keys) = (&a[i * size..(i + 1) * size], rows[i].lock(), [0f32; BLOCK]);
        for (block, out) in row.chunks_mut(BLOCK).enumerate() {
            let keys = &mut keys[..out.len()];
            hamming_ny(query, &b[block * BLOCK * size..], keys);
            out.iter_mut().zip(keys).for_each(|(out, key)| *out = *key as i32);
        }
        Ok(())
    })
}

/// The number of codes in `bytes`.
pub fn count(bytes: &[u8], size: usize) -> Result<usize> {
    let n = bytes.len().checked_div(size).unwrap_or(0);
    Error::check(n * size == bytes.len(), "codes.size() % code_size == 0")?;
    Ok(n)
}

/// Goes through all codes for each of the queries; `done` gets the query's number and its results.
fn scan<C: Collector>(
    queries: &[u8],
    codes: &[u8],
    size: usize,
    sel: Option<&dyn IDSelector>,
    collector: impl Fn() -> C + Sync,
    done: impl Fn(usize, Vec<Hit>) + Sync,
) -> Result<()> {
    let (nq, n) = (count(queries, size)?, count(codes, size)?);
    // A filter is asked once a vector, whatever the number of queries.
    let selected = sel.map(|sel| {
        let mut selected = vec![false; n];
        sel.mark(0..n as i64, &mut selected);
        selected
    });
    let share = nq.div_ceil(threads::available()).clamp(1, QUERIES);
    threads::parallel_for(nq.div_ceil(share), |task| {
        let own = task * share..((task + 1) * share).min(nq);
        let mut collectors: Vec<C> = own.clone().map(|_| collector()).collect();
        let (mut keys, mut hits) = ([0f32; BLOCK], [0u32; BLOCK]);
        for first in (0..n).step_by(BLOCK) {
            if first % (BLOCK * 64) == 0 {
                interrupt::check()?;
            }
            let end = (first + BLOCK).min(n);
            let keys = &mut keys[..end - first];
            for (q, collector) in own.clone().zip(&mut collectors) {
                hamming_ny(&queries[q * size..(q + 1) * size], &codes[first * size..end * size], keys);
                offer(
                    keys,
                    |at| {
                        let id = first + at;
                        selected.as_ref().is_none_or(|s| s[id]).then_some(id as i64)
                    },
                    collector,
                    &mut hits,
                );
            }
        }
        own.zip(collectors).for_each(|(q, collector)| done(q, collector.finish()));
        Ok(())
    })
}

/// Offers what is near enough of a block of distances; `id` says which vector is at a place, if it counts.
pub(super) fn offer<C: Collector>(
    keys: &[f32],
    id: impl Fn(usize) -> Option<i64>,
    collector: &mut C,
    hits: &mut [u32],
) {
    // Short pieces, so that the threshold is not long behind what has been seen.
    const PIECE: usize = 128;
    for (p, piece) in keys.chunks(PIECE).enumerate() {
        let count = simd::below(piece, collector.threshold(), hits);
        for hit in &hits[..count] {
            let key = piece[*hit as usize];
            if key < collector.threshold()
                && let Some(id) = id(p * PIECE + *hit as usize)
            {
                collector.push(key, id);
            }
        }
    }
}

/// The `k` codes nearest to each query, equal distances by ascending id. `distances` and `labels` hold `nq * k`.
pub fn knn(
    queries: &[u8],
    codes: &[u8],
    size: usize,
    k: usize,
    sel: Option<&dyn IDSelector>,
    distances: &mut [i32],
    labels: &mut [i64],
) -> Result<()> {
    let results = TopK::whole(k, distances, labels);
    if k == 1 {
        scan(queries, codes, size, sel, Best1::default, |q, hits| results.write(q, &hits))
    } else {
        scan(queries, codes, size, sel, || Reservoir::new(k), |q, hits| results.write(q, &hits))
    }
}

/// The codes at a distance below `radius` of each query, in ascending order of ids.
pub fn range_search(
    queries: &[u8],
    codes: &[u8],
    size: usize,
    radius: i32,
    sel: Option<&dyn IDSelector>,
) -> Result<RangeSearchResult> {
    let found = InRadius::new(MetricType::L2, count(queries, size)?);
    scan(queries, codes, size, sel, || InRange::new(radius as f32), |q, hits| found.put(q, hits))?;
    Ok(found.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::byte_rand;

    fn naive(a: &[u8], b: &[u8]) -> i32 {
        a.iter().zip(b).map(|(a, b)| (0..8).filter(|i| (a ^ b) >> i & 1 == 1).count() as i32).sum()
    }

    #[test]
    fn distances_of_every_size_are_those_of_single_bits() {
        for size in (1..=40).chain([64, 65, 128, 256, 300]) {
            let (mut a, mut b) = (vec![0u8; size * 3], vec![0u8; size * 7]);
            byte_rand(&mut a, 1).unwrap();
            byte_rand(&mut b, 2).unwrap();
            let mut out = vec![-1; 21];
            hammings(&a, &b, size, &mut out).unwrap();
            for (i, a) in a.chunks_exact(size).enumerate() {
                for (j, b) in b.chunks_exact(size).enumerate() {
                    assert_eq!((out[i * 7 + j], hamming(a, b)), (naive(a, b), naive(a, b)), "{size} bytes");
                }
            }
        }
    }

    #[test]
    fn neighbours_are_those_of_a_full_sort() {
        let (size, n, nq) = (5, 1300, 3);
        let (mut x, mut q) = (vec![0u8; size * n], vec![0u8; size * nq]);
        byte_rand(&mut x, 3).unwrap();
        byte_rand(&mut q, 4).unwrap();
        for k in [1, 2, 50, 1500] {
            let (mut distances, mut labels) = (vec![0; nq * k], vec![0; nq * k]);
            knn(&q, &x, size, k, None, &mut distances, &mut labels).unwrap();
            for (i, q) in q.chunks_exact(size).enumerate() {
                let mut all: Vec<(i32, i64)> = x.chunks_exact(size).zip(0..).map(|(x, id)| (naive(q, x), id)).collect();
                all.sort_unstable();
                all.resize(k.max(n), (i32::MAX, -1));
                let found =
                    distances[i * k..(i + 1) * k].iter().copied().zip(labels[i * k..(i + 1) * k].iter().copied());
                assert!(found.eq(all[..k].iter().copied()), "k = {k}");
            }
        }
        let found = range_search(&q, &x, size, 12, None).unwrap();
        for (i, q) in q.chunks_exact(size).enumerate() {
            let want: Vec<i64> =
                x.chunks_exact(size).zip(0..).filter(|(x, _)| naive(q, x) < 12).map(|(_, id)| id).collect();
            assert_eq!(found.labels[found.lims[i]..found.lims[i + 1]], want);
        }
    }
}
