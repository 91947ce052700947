//! FastScan's tables: distances rounded to bytes, so that sums of sixteen bits order the vectors (André et al., 2015; Faiss's wiki, "Fast
//! accumulation of PQ and AQ codes").

use crate::base::{Error, Result};
use crate::simd::{Isa, Kernel, Lanes, launch};

/// Entries of a table.
pub const KSUB: usize = 16;
/// Numbers of a code that are its norm's, where it has one: its last.
pub const NORM_PARTS: usize = 2;

/// Tables of a query as bytes: a distance is `offset + sum / scale`, for the sum of a list's first number and of the entries that a code names.
#[derive(Default)]
pub struct Tables {
    /// `parts * 16` bytes, as often as there are lists with tables of their own.
    pub bytes: Vec<u8>,
    /// What each list's sums begin with.
    pub first: Vec<u16>,
    /// By what sums are multiplied.
    pub scale: f32,
    /// What is added then.
    pub offset: f32,
}

#[inline(always)]
/// To the nearest whole number, a half up, in steps of `1 / scale`.
pub(super) fn round(v: f32, scale: f32) -> f32 {
    (v * scale + 0.5).floor()
}

/// Rounds tables of `m` parts to tables of `parts`, of which those behind are zero. `tables` are for all lists, `m * 16` numbers, or for each
/// of them; `bias` has a number for each list, or none.
pub fn quantize_tables(tables: &[f32], bias: &[f32], m: usize, parts: usize, out: &mut Tables) -> Result<()> {
    let size = m * KSUB;
    let sets = tables.len().checked_div(size).unwrap_or(1).max(1);
    Error::check(tables.len() == sets * size && parts >= m, "LUT.size() == n * M * ksub")?;
    let each = sets > 1;
    Error::check(!each || bias.len() == sets, "bias.size() == nprobe")?;
    let least = bias.iter().copied().fold(f32::INFINITY, f32::min);
    let (base, largest_bias) = if bias.is_empty() {
        (0.0, 0.0)
    } else {
        (least, bias.iter().copied().fold(f32::NEG_INFINITY, f32::max) - least)
    };
    let (mut minima, mut spans) = (vec![0f32; sets * m], vec![0f32; sets * m]);
    launch(Spans { tables, minima: &mut minima, spans: &mut spans });
    let (mut widest, mut longest) = (0f32, 0f32);
    // What each list's distances begin with, its tables' smallest entries included.
    let mut starts = Vec::with_capacity(sets.max(bias.len()));
    for (i, own) in tables.chunks_exact(size.max(1)).enumerate() {
        let mut length = if each { bias[i] - base } else { largest_bias };
        let mut start = if each { bias[i] } else { 0.0 };
        for (smallest, span) in minima.iter().zip(&spans).skip(i * m).take(own.len() / KSUB) {
            (widest, length, start) = (widest.max(*span), length + span, start + smallest);
        }
        longest = longest.max(length);
        starts.push(start);
    }
    let scale = (255.0 / widest).min(65535.0 / longest);
    // Where all distances are the same, any scale will do; of NaNs, nothing is near.
    out.scale = if scale.is_finite() && scale > 0.0 { scale } else { 1.0 };
    out.bytes.clear();
    out.bytes.resize(sets * parts * KSUB, 0);
    for (i, own) in tables.chunks_exact(size.max(1)).enumerate() {
        let (minima, to) = (&minima[i * m..(i + 1) * m], &mut out.bytes[i * parts * KSUB..]);
        launch(Round { tables: own, minima, scale: out.scale, out: to });
    }
    out.first.clear();
    if each {
        out.offset = starts.iter().copied().fold(f32::INFINITY, f32::min);
        out.first.extend(starts.iter().map(|start| round(start - out.offset, out.scale) as u16));
    } else {
        out.offset = starts.first().copied().unwrap_or(0.0) + base;
        out.first.extend(bias.iter().map(|bias| round(bias - base, out.scale) as u16));
    }
    Ok(())
}

/// The smallest entry of each table, and how far the largest is from it; NaNs count for nothing.
struct Spans<'a> {
    tables: &'a [f32],
    minima: &'a mut [f32],
    spans: &'a mut [f32],
}

impl Kernel for Spans<'_> {
    type Out = ();

    #[inline(always)]
    fn run<R: Isa>(self) {
        let (w, none) = (R::F32::WIDTH, R::F32::splat(f32::INFINITY));
        for i in 0..self.minima.len() {
            let table = &self.tables[i * KSUB..(i + 1) * KSUB];
            let (mut low, mut high) = (none, none.mul(R::F32::splat(-1.0)));
            let mut at = 0;
            while at < KSUB {
                let v = R::F32::load(&table[at..]);
                (low, high) = (v.min(low), v.max(high));
                at += w;
            }
            let smallest = R::F32::smallest([low; 4]);
            (self.minima[i], self.spans[i]) = (smallest, high.largest() - smallest);
        }
    }
}

/// Entries as bytes: how far each is from its table's smallest, in steps of `1 / scale`.
struct Round<'a> {
    tables: &'a [f32],
    minima: &'a [f32],
    scale: f32,
    out: &'a mut [u8],
}

impl Kernel for Round<'_> {
    type Out = ();

    #[inline(always)]
    fn run<R: Isa>(self) {
        for i in 0..self.minima.len() {
            let (table, out) = (&self.tables[i * KSUB..(i + 1) * KSUB], &mut self.out[i * KSUB..(i + 1) * KSUB]);
            for j in 0..KSUB {
                out[j] = (round(table[j] - self.minima[i], self.scale) as i32).clamp(0, 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounded sums are as near as the number of roundings allows.
    #[test]
    fn rounded_tables_are_near() {
        let (m, lists) = (7, 3);
        let mut tables = vec![0f32; lists * m * KSUB];
        crate::random::float_rand(&mut tables, 5).unwrap();
        let bias = [3.0, 1.0, 2.5];
        for (tables, bias) in [(&tables[..], &bias[..]), (&tables[..m * KSUB], &bias), (&tables[..m * KSUB], &[])] {
            let mut out = Tables::default();
            quantize_tables(tables, bias, m, 8, &mut out).unwrap();
            for list in 0..bias.len().max(1) {
                let own = if tables.len() > m * KSUB { list } else { 0 };
                for code in 0..KSUB {
                    let exact: f32 = (0..m).map(|p| tables[(own * m + p) * KSUB + code]).sum::<f32>();
                    let exact = exact + bias.get(list).copied().unwrap_or(0.0);
                    let sum: f32 = (0..8).map(|p| f32::from(out.bytes[(own * 8 + p) * KSUB + code])).sum();
                    let sum = sum + out.first.get(list).copied().map_or(0.0, f32::from);
                    assert!((out.offset + sum / out.scale - exact).abs() < 0.5 * (m as f32 + 1.5) / out.scale);
                }
            }
        }
    }
}
