//! Which numbers of a row are below a threshold: the inner loop of every top-k search.

use super::{Level, level};

/// Writes the positions of the numbers of `row` that are below `threshold` to `hits`, in ascending order, and returns how many there are.
/// A NaN is not below anything. `hits` must have room for the whole row.
#[inline]
pub fn below(row: &[f32], threshold: f32, hits: &mut [u32]) -> usize {
    assert!(hits.len() >= row.len(), "no room for all positions");
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: the features were detected, and there is room for every position.
        Level::Avx512 => return unsafe { below_avx512(row, threshold, hits) },
        // SAFETY: as above.
        Level::Avx2 => return unsafe { below_avx2(row, threshold, hits) },
        _ => {}
    }
    let _ = level;
    below_portable(row, 0, threshold, hits, 0)
}

/// From position `start` on, with `n` hits so far. Tests groups before numbers, as most groups have no hit.
fn below_portable(row: &[f32], start: usize, threshold: f32, hits: &mut [u32], mut n: usize) -> usize {
    for (g, group) in row[start..].chunks(16).enumerate() {
        if group.iter().fold(false, |any, v| any | (*v < threshold)) {
            for (i, v) in group.iter().enumerate() {
                if *v < threshold {
                    hits[n] = (start + g * 16 + i) as u32;
                    n += 1;
                }
            }
        }
    }
    n
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn below_avx512(row: &[f32], threshold: f32, hits: &mut [u32]) -> usize {
    use std::arch::x86_64::*;
    let limit = _mm512_set1_ps(threshold);
    let mut n = 0;
    let mut emit = |mut mask: u64, base: usize| {
        while mask != 0 {
            hits[n] = (base + mask.trailing_zeros() as usize) as u32;
            n += 1;
            mask &= mask - 1;
        }
    };
    let mut groups = row.chunks_exact(64);
    let mut base = 0;
    for group in &mut groups {
        let mut mask = 0u64;
        for (i, part) in group.chunks_exact(16).enumerate() {
            // SAFETY: the part has 16 numbers; the load needs no alignment.
            let v = unsafe { _mm512_loadu_ps(part.as_ptr()) };
            mask |= u64::from(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(v, limit)) << (16 * i);
        }
        emit(mask, base);
        base += 64;
    }
    below_portable(row, base, threshold, hits, n)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn below_avx2(row: &[f32], threshold: f32, hits: &mut [u32]) -> usize {
    use std::arch::x86_64::*;
    let limit = _mm256_set1_ps(threshold);
    let mut n = 0;
    let mut groups = row.chunks_exact(32);
    let mut base = 0;
    for group in &mut groups {
        let mut mask = 0u32;
        for (i, part) in group.chunks_exact(8).enumerate() {
            // SAFETY: the part has 8 numbers; the load needs no alignment.
            let v = unsafe { _mm256_loadu_ps(part.as_ptr()) };
            mask |= (_mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(v, limit)) as u32) << (8 * i);
        }
        while mask != 0 {
            hits[n] = (base + mask.trailing_zeros() as usize) as u32;
            n += 1;
            mask &= mask - 1;
        }
        base += 32;
    }
    below_portable(row, base, threshold, hits, n)
}
