//! The ranges of coordinates: how `rangestat` and `rangestat_arg` choose them from training vectors.

use crate::base::{Error, Result, interrupt, threads};

/// From the smallest to the largest number, and beyond both by `rangestat_arg` times their distance.
pub const RS_minmax: i32 = 0;
/// The mean, and `rangestat_arg` standard deviations to each side.
pub const RS_meanstd: i32 = 1;
/// Without the `rangestat_arg` part of the smallest numbers and of the largest.
pub const RS_quantiles: i32 = 2;
/// The range of least squared error.
pub const RS_optim: i32 = 3;

/// Rounds of the search for the range of least error, and rounds without a change after which it ends.
const MAX_ROUNDS: usize = 2000;
const SAME_ROUNDS: usize = 16;
/// Rows of a task.
const MIN_ROWS: usize = 1024;

fn check_stat(stat: i32) -> Result<()> {
    if !(RS_minmax..=RS_optim).contains(&stat) {
        return Err(Error::failed("", format!("Invalid qtype: rangestat {stat} is not known; known: 0 to 3")));
    }
    Ok(())
}

/// One range for all numbers: its start and its width.
pub fn uniform(stat: i32, arg: f32, bits: usize, x: &[f32]) -> Result<[f32; 2]> {
    check_stat(stat)?;
    range(stat, arg, bits, x)
}

/// A range for each of `d` coordinates: `d` starts, then `d` widths.
pub fn by_coordinate(stat: i32, arg: f32, bits: usize, x: &[f32], d: usize) -> Result<Vec<f32>> {
    check_stat(stat)?;
    let mut ranges = vec![0f32; 2 * d];
    if stat == RS_minmax {
        let (starts, widths) = ranges.split_at_mut(d);
        let (least, largest) = extremes(x, d)?;
        for j in 0..d {
            [starts[j], widths[j]] = expanded(least[j], largest[j], arg);
        }
        return Ok(ranges);
    }
    let mut pairs = vec![0f32; 2 * d];
    threads::parallel_rows(&mut pairs, 2, 1, |first, pairs| {
        for (i, pair) in pairs.chunks_exact_mut(2).enumerate() {
            let mut column: Vec<f32> = x.iter().skip(first + i).step_by(d).copied().collect();
            // Faiss 1.15 leaves the first vector out here, and zeros in its place; ranges are to be the same.
            column[0] = 0.0;
            pair.copy_from_slice(&range(stat, arg, bits, &column)?);
        }
        Ok(())
    })?;
    for (j, pair) in pairs.chunks_exact(2).enumerate() {
        (ranges[j], ranges[d + j]) = (pair[0], pair[1]);
    }
    Ok(ranges)
}

/// The smallest and the largest number of each coordinate. A NaN counts only where it comes first.
fn extremes(x: &[f32], d: usize) -> Result<(Vec<f32>, Vec<f32>)> {
    let n = x.len() / d;
    let blocks = n.div_ceil(MIN_ROWS);
    let mut both = vec![0f32; blocks * 2 * d];
    threads::parallel_rows(&mut both, 2 * d, 1, |first, blocks| {
        for (b, both) in blocks.chunks_exact_mut(2 * d).enumerate() {
            let from = (first + b) * MIN_ROWS * d;
            let rows = &x[from..x.len().min(from + MIN_ROWS * d)];
            let (least, largest) = both.split_at_mut(d);
            least.copy_from_slice(&rows[..d]);
            largest.copy_from_slice(&rows[..d]);
            for row in rows.chunks_exact(d).skip(1) {
                widen(least, largest, row, row);
            }
        }
        Ok(())
    })?;
    let mut blocks = both.chunks_exact(2 * d);
    let first = blocks.next().unwrap_or_default();
    let (mut least, mut largest) = (first[..d].to_vec(), first[d..].to_vec());
    for block in blocks {
        widen(&mut least, &mut largest, &block[..d], &block[d..]);
    }
    Ok((least, largest))
}

fn widen(least: &mut [f32], largest: &mut [f32], low: &[f32], high: &[f32]) {
    for (m, v) in least.iter_mut().zip(low) {
        *m = if *v < *m { *v } else { *m };
    }
    for (m, v) in largest.iter_mut().zip(high) {
        *m = if *v > *m { *v } else { *m };
    }
}

fn expanded(least: f32, largest: f32, arg: f32) -> [f32; 2] {
    let more = (largest - least) * arg;
    let (start, end) = (least - more, largest + more);
    [start, end - start]
}

fn range(stat: i32, arg: f32, bits: usize, x: &[f32]) -> Result<[f32; 2]> {
    let n = x.len();
    match stat {
        RS_minmax => {
            let (least, largest) = extremes(x, 1)?;
            Ok(expanded(least[0], largest[0], arg))
        }
        RS_meanstd => {
            let (sum, squares) = x.iter().fold((0.0, 0.0), |(s, q), v| {
                let v = f64::from(*v);
                (s + v, q + v * v)
            });
            let mean = sum / n as f64;
            let variance = squares / n as f64 - mean * mean;
            let spread = if variance <= 0.0 { 1.0 } else { variance.sqrt() } * f64::from(arg);
            let (start, end) = ((mean - spread) as f32, (mean + spread) as f32);
            Ok([start, end - start])
        }
        RS_quantiles => {
            let mut sorted = x.to_vec();
            sorted.sort_unstable_by(f32::total_cmp);
            let mut out = (arg * n as f32).max(0.0) as usize;
            if out > n - out.min(n) {
                out = n / 2;
            }
            let (start, end) = (sorted[out.min(n - 1)], sorted[n - 1 - out.min(n - 1)]);
            Ok([start, end - start])
        }
        _ => least_squares(bits, x),
    }
}

/// The range whose `2^bits` even levels have the least squared error: numbers are given to their nearest level, then start and step become those
/// of the straight line that fits best through (level, number), and again. In single precision, one number after the other: where it ends depends
/// on roundings, which are to be Faiss's.
fn least_squares(bits: usize, x: &[f32]) -> Result<[f32; 2]> {
    let (top, n) = (((1usize << bits) - 1) as f32, x.len() as f32);
    let (least, largest) = extremes(x, 1)?;
    let (mut start, mut step) = (least[0], (largest[0] - least[0]) / top);
    let sum: f32 = x.iter().sum();
    let (mut last, mut same) = (-1f32, 0);
    for _ in 0..MAX_ROUNDS {
        interrupt::check()?;
        let (mut levels, mut squares, mut products, mut error) = (0f32, 0f32, 0f32, 0f32);
        for v in x {
            let level = ((v - start) / step + 0.5).floor().clamp(0.0, top);
            let off = v - (level * step + start);
            error += off * off;
            levels += level;
            squares += level * level;
            products += level * v;
        }
        if error == last {
            same += 1;
            if same == SAME_ROUNDS {
                break;
            }
        } else {
            (last, same) = (error, 0);
        }
        let determinant = levels * levels - squares * n;
        start = (levels * products - squares * sum) / determinant;
        step = (levels * sum - n * products) / determinant;
    }
    Ok([start, start + step * top - start])
}
