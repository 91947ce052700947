//! Searches among packed codes: groups of queries against pieces of the codes.

use parking_lot::Mutex;

use super::FastScan;
use crate::base::object::Object;
use crate::base::{Error, Result, interrupt, threads};
use crate::distance::collect::{Collector, Hit, Reservoir, merge_parts};
use crate::distance::results::TopK;
use crate::quantize::fast_scan::{KSUB, NORM_PARTS, Tables, quantize_tables};
use crate::simd::fast_scan::{GROUP, Lane, Packed, QUERIES, scan_packed};

/// Groups of 32 vectors that are compared before what was found is looked at: at first few, as there is no threshold yet, and twice as many each time.
const FIRST_PIECE: usize = 1;
const PIECE: usize = 64;
/// Fewer groups than this are not worth a task of their own.
const MIN_PART: usize = 1 << 10;

/// The limit below which sums are of interest: a sum that is the largest number is none, as in Faiss.
pub fn below(threshold: f32) -> u16 {
    if threshold >= f32::from(u16::MAX) { u16::MAX } else { threshold.max(0.0).ceil() as u16 }
}

/// From sums, as keys, to distances, as keys: a similarity is negated.
pub fn to_keys(hits: &mut [Hit], tables: &Tables, similarity: bool, normalized: bool) {
    let one_a = 1.0 / tables.scale;
    for (key, _) in hits {
        let sum = if similarity { f32::from(u16::MAX) - *key } else { *key };
        let distance = if normalized { tables.offset + sum * one_a } else { sum };
        *key = if similarity { -distance } else { distance };
    }
}

/// See [`Index::search`](crate::index::Index::search).
pub fn search(
    index: &dyn FastScan,
    x: &[f32],
    k: usize,
    params: Option<&dyn Object>,
    distances: &mut [f32],
    labels: &mut [i64],
) -> Result<()> {
    if params.is_some() {
        return Err(Error::failed("!params", "search params not supported for this index"));
    }
    let own = index.fast_scan();
    Error::check(own.is_trained, "is_trained")?;
    own.queries(x, k, distances, labels)?;
    let ntotal = index.check_codes()?;
    let out = TopK::new(own.metric_type, k, distances, labels);
    let n = out.len();
    let size = own.M * KSUB;
    let mut tables = vec![0f32; n * size];
    index.tables(x, &mut tables)?;
    match own.implem {
        0 | 12..=15 => {}
        2..=4 => {
            Error::check(own.original.len() == ntotal * own.code_size && ntotal > 0, "orig_codes")?;
            if own.implem == 2 {
                return by_floats(index, &tables, k, &out);
            }
        }
        1 => return Err(Error::failed("", "not implemented")),
        other => return Err(Error::failed("", format!("invalid implem {other} impl={other}"))),
    }
    let similarity = own.metric_type.is_similarity();
    let packed = Packed { last_pair: index.norm_factor(), ..own.packed() };
    let groups = ntotal.div_ceil(GROUP);
    let (pieces, threads) = (n.div_ceil(QUERIES), threads::available());
    let parts = if pieces < threads { threads.div_ceil(pieces.max(1)).min(groups / MIN_PART).max(1) } else { 1 };
    let length = groups.div_ceil(parts);
    let mut rounded: Vec<Tables> = (0..n).map(|_| Tables::default()).collect();
    threads::parallel_rows(&mut rounded, 1, 16, |first, rounded| {
        let own_tables = tables[first * size..].chunks_exact(size);
        own_tables.zip(rounded).try_for_each(|(tables, to)| quantize_tables(tables, &[], own.M, own.M2, to))
    })?;
    let partial: Vec<Mutex<Vec<Hit>>> = (0..n * parts).map(|_| Mutex::default()).collect();
    threads::parallel_for(pieces * parts, |task| {
        let (piece, part) = (task / parts, task % parts);
        let queries = piece * QUERIES..((piece + 1) * QUERIES).min(n);
        let end = ((part + 1) * length).min(groups);
        let mut collectors: Vec<Reservoir> = queries.clone().map(|_| Reservoir::new(k)).collect();
        let mut hits = vec![Vec::new(); queries.len()];
        let (mut from, mut step) = ((part * length).min(end), FIRST_PIECE);
        while from < end {
            interrupt::check()?;
            let mut lanes: Vec<Lane<'_>> = queries
                .clone()
                .zip(&mut hits)
                .zip(&collectors)
                .map(|((q, hits), own)| Lane {
                    tables: &rounded[q].bytes,
                    first: 0,
                    below: below(own.threshold()),
                    flip: similarity,
                    hits,
                })
                .collect();
            scan_packed(packed, from, (from + step).min(end), &mut lanes);
            drop(lanes);
            (from, step) = (from + step, (2 * step).min(PIECE));
            for (hits, own) in hits.iter_mut().zip(&mut collectors) {
                for (sum, at) in hits.drain(..) {
                    if (at as usize) < ntotal && f32::from(sum) < own.threshold() {
                        own.push(f32::from(sum), i64::from(at));
                    }
                }
            }
        }
        for (q, own) in queries.zip(collectors) {
            *partial[q * parts + part].lock() = own.finish();
        }
        Ok(())
    })?;
    for q in 0..n {
        let mut best =
            merge_parts(&mut (0..parts).map(|p| std::mem::take(&mut *partial[q * parts + p].lock())), Some(k));
        to_keys(&mut best, &rounded[q], similarity, own.implem != 3);
        out.write(q, &best);
    }
    Ok(())
}

/// By tables that are not rounded, one code after the other.
fn by_floats(index: &dyn FastScan, tables: &[f32], k: usize, out: &TopK<'_>) -> Result<()> {
    let own = index.fast_scan();
    let similarity = own.metric_type.is_similarity();
    let weight = |m: usize| if m + NORM_PARTS < own.M2 { 1.0 } else { f32::from(index.norm_factor()) };
    threads::parallel_for(out.len(), |q| {
        let rows = &tables[q * own.M * KSUB..(q + 1) * own.M * KSUB];
        let mut best = Reservoir::new(k);
        for (i, code) in own.original.chunks_exact(own.code_size).enumerate() {
            let number = |m: usize| usize::from(code[m / 2] >> (4 * (m % 2)) & 15);
            let sum: f32 = (0..own.M).map(|m| weight(m) * rows[m * KSUB + number(m)]).sum();
            let key = if similarity { -sum } else { sum };
            if key < best.threshold() {
                best.push(key, i as i64);
            }
        }
        out.write(q, &best.finish());
        Ok(())
    })
}
