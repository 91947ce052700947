//! Norms beside codes, in few bits.

use super::{
    AdditiveQuantizer, ST_DECOMPRESS, ST_LUT_NONORM, ST_NORM_CQINT4, ST_NORM_CQINT8, ST_NORM_FLOAT, ST_NORM_FROM_LUT,
    ST_NORM_LSQ2X4, ST_NORM_QINT4, ST_NORM_QINT8, ST_NORM_RQ2X4,
};
use crate::base::{Error, Result};

/// Bits of a norm.
pub fn bits(search_type: i32) -> Result<usize> {
    Ok(match search_type {
        ST_DECOMPRESS | ST_LUT_NONORM | ST_NORM_FROM_LUT => 0,
        ST_NORM_FLOAT => 32,
        ST_NORM_QINT8 | ST_NORM_CQINT8 | ST_NORM_LSQ2X4 | ST_NORM_RQ2X4 => 8,
        ST_NORM_QINT4 | ST_NORM_CQINT4 => 4,
        other => return Err(Error::value(format!("search_type {other} is not known; known: 0 to 9"))),
    })
}

/// Whether norms are stored by the nearest of some values.
pub fn by_values(search_type: i32) -> bool {
    matches!(search_type, ST_NORM_CQINT8 | ST_NORM_CQINT4 | ST_NORM_LSQ2X4 | ST_NORM_RQ2X4)
}

impl AdditiveQuantizer {
    pub fn encode_norm(&self, norm: f32) -> u64 {
        if self.search_type == ST_NORM_FLOAT {
            return u64::from(norm.to_bits());
        }
        if by_values(self.search_type) {
            let mut best = (f32::INFINITY, 0);
            for (i, value) in self.norm_values.iter().enumerate() {
                let distance = (value - norm).abs();
                if distance < best.0 {
                    best = (distance, i as u64);
                }
            }
            return best.1;
        }
        let steps = (1u64 << self.norm_bits) as f32;
        let place = (norm - self.norm_min) / (self.norm_max - self.norm_min) * steps;
        (place.floor() as i64).clamp(0, steps as i64 - 1) as u64
    }

    pub fn decode_norm(&self, stored: u64) -> f32 {
        if self.search_type == ST_NORM_FLOAT {
            return f32::from_bits(stored as u32);
        }
        if by_values(self.search_type) {
            return self.norm_values.get(stored as usize).copied().unwrap_or(0.0);
        }
        let steps = (1u64 << self.norm_bits) as f32;
        (stored as f32 + 0.5) / steps * (self.norm_max - self.norm_min) + self.norm_min
    }
}

/// Learns how norms are stored from the norms of training vectors.
pub fn train_norms(aq: &mut AdditiveQuantizer, norms: &[f32]) -> Result<()> {
    aq.norm_min = norms.iter().copied().fold(f32::INFINITY, f32::min);
    aq.norm_max = norms.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    match aq.search_type {
        ST_NORM_CQINT8 | ST_NORM_CQINT4 => {
            aq.norm_values = best_values(norms, 1 << aq.norm_bits);
        }
        ST_NORM_LSQ2X4 | ST_NORM_RQ2X4 => {
            let mut halves = super::residual::ResidualQuantizer::new(1, 2, 4, ST_DECOMPRESS)?;
            halves.train_numbers(norms)?;
            aq.norm_tabs = halves.codebooks.clone();
            let (first, second) = aq.norm_tabs.split_at(16);
            aq.norm_values = second.iter().flat_map(|b| first.iter().map(move |a| a + b)).collect();
        }
        _ => {}
    }
    Ok(())
}

/// The `k` values that numbers are nearest to on the whole: k-means in one dimension, exactly, by dynamic programming over the sorted numbers.
fn best_values(numbers: &[f32], k: usize) -> Vec<f32> {
    let mut sorted: Vec<f64> = numbers.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v)).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len();
    if n == 0 {
        return vec![0.0; k];
    }
    let (mut sums, mut squares) = (vec![0f64; n + 1], vec![0f64; n + 1]);
    for (i, v) in sorted.iter().enumerate() {
        (sums[i + 1], squares[i + 1]) = (sums[i] + v, squares[i] + v * v);
    }
    let cost = |from: usize, to: usize| {
        let (count, sum) = ((to - from) as f64, sums[to] - sums[from]);
        (squares[to] - squares[from] - sum * sum / count).max(0.0)
    };
    let mut best: Vec<f64> = (0..=n).map(|to| if to == 0 { 0.0 } else { cost(0, to) }).collect();
    let mut cuts: Vec<Vec<u32>> = vec![vec![0; n + 1]];
    for _ in 1..k {
        let mut next = vec![0f64; n + 1];
        let mut cut = vec![0u32; n + 1];
        // Cuts grow with the end, so that the middle one bounds those on both sides.
        let mut open = vec![(1usize, n, 0usize, n - 1)];
        while let Some((low, high, least, most)) = open.pop() {
            if low > high {
                continue;
            }
            let middle = (low + high) / 2;
            let mut found = (f64::INFINITY, least);
            for (from, before) in best.iter().enumerate().take(most.min(middle - 1) + 1).skip(least) {
                let total = before + cost(from, middle);
                if total < found.0 {
                    found = (total, from);
                }
            }
            (next[middle], cut[middle]) = (found.0, found.1 as u32);
            open.push((low, middle - 1, least, found.1));
            open.push((middle + 1, high, found.1, most));
        }
        best = next;
        cuts.push(cut);
    }
    let mut values = vec![0f32; k];
    let mut end = n;
    for i in (0..k).rev() {
        let from = cuts[i][end] as usize;
        values[i] = if end > from {
            ((sums[end] - sums[from]) / (end - from) as f64) as f32
        } else {
            values.get(i + 1).copied().unwrap_or(0.0)
        };
        end = from;
    }
    values
}
