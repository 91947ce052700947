//! Tables of floats rounded to small numbers by one scale for all, with Faiss's argument lists.

use faiss_derive::functions;

use super::fast_scan::round;
use crate::base::{Error, Result};

pub use declared::*;

/// The smallest number, and how far the largest is from it.
fn extent<'a>(numbers: impl Iterator<Item = &'a f32>) -> (f32, f32) {
    let (low, high) = numbers.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
    (low, high - low)
}

/// Writes a number to where it is wanted.
fn tell(out: Option<&mut [f32]>, number: f32) {
    if let Some([place]) = out {
        *place = number;
    }
}

fn histogram(data: &[u16], min: u16, shift: i32, hist: &mut [i32]) -> Result<()> {
    Error::check((-1..16).contains(&shift), "shift >= -1 && shift < 16")?;
    hist.fill(0);
    for number in data {
        let place = if shift < 0 { Some(*number) } else { number.checked_sub(min).map(|past| past >> shift) };
        if let Some(count) = place.and_then(|place| hist.get_mut(usize::from(place))) {
            *count += 1;
        }
    }
    Ok(())
}

#[functions]
mod declared {
    use super::*;

    /// Rounds n rows of d numbers to whole ones from 0 to 255, each row from its smallest on, all by one scale: `tab / a + b`.
    pub fn round_uint8_per_column(
        #[len = n * d] tab: &mut [f32],
        n: usize,
        d: usize,
        #[len = 1]
        #[default = None]
        a_out: Option<&mut [f32]>,
        #[len = 1]
        #[default = None]
        b_out: Option<&mut [f32]>,
    ) -> Result<()> {
        round_uint8_per_column_multi(tab, 1, n, d, a_out, b_out)
    }

    /// As round_uint8_per_column, for m tables whose rows have their smallest number in common.
    pub fn round_uint8_per_column_multi(
        #[len = m * n * d] tab: &mut [f32],
        m: usize,
        n: usize,
        d: usize,
        #[len = 1]
        #[default = None]
        a_out: Option<&mut [f32]>,
        #[len = 1]
        #[default = None]
        b_out: Option<&mut [f32]>,
    ) -> Result<()> {
        let row = |i: usize, table: usize| (table * n + i) * d..(table * n + i + 1) * d;
        let extents: Vec<(f32, f32)> = (0..n).map(|i| extent((0..m).flat_map(|table| &tab[row(i, table)]))).collect();
        let scale = 255.0 / extents.iter().fold(0f32, |widest, (_, span)| widest.max(*span));
        for (i, (least, _)) in extents.iter().enumerate() {
            for table in 0..m {
                tab[row(i, table)].iter_mut().for_each(|v| *v = round(*v - least, scale));
            }
        }
        tell(a_out, scale);
        tell(b_out, extents.iter().map(|(least, _)| least).sum());
        Ok(())
    }

    /// Rounds a query's tables to bytes and its biases to 16 bits, by one scale: a distance is `b + sum / a`. M2: rows of a table that is written.
    pub fn quantize_LUT_and_bias(
        nprobe: usize,
        M: usize,
        ksub: usize,
        lut_is_3d: bool,
        #[len = if lut_is_3d { nprobe } else { 1 } * (M * ksub)] LUT: &[f32],
        #[len = nprobe] bias: Option<&[f32]>,
        #[len = if lut_is_3d { nprobe } else { 1 } * (M2 * ksub)] LUTq: &mut [u8],
        M2: usize,
        #[len = nprobe] biasq: Option<&mut [u16]>,
        #[len = 1]
        #[default = None]
        a_out: Option<&mut [f32]>,
        #[len = 1]
        #[default = None]
        b_out: Option<&mut [f32]>,
    ) -> Result<()> {
        Error::check(M2 >= M, "M2 >= M")?;
        Error::check(bias.is_none() || biasq.is_some(), "bias == nullptr || biasq != nullptr")?;
        let sets = if lut_is_3d { nprobe } else { 1 };
        let extents: Vec<(f32, f32)> = LUT.chunks_exact(ksub.max(1)).map(|table| extent(table.iter())).collect();
        let of_set = |i: usize| &extents[i * M..(i + 1) * M];
        let widest = extents.iter().fold(0f32, |widest, (_, span)| widest.max(*span));
        let (base, range) = extent(bias.unwrap_or(&[0.0]).iter());
        // How far a set's sums may reach, and what they begin with.
        let reach = |i: usize| -> f32 {
            let own = bias.map_or(0.0, |bias| if lut_is_3d { bias[i] - base } else { range });
            own + of_set(i).iter().map(|(_, span)| span).sum::<f32>()
        };
        let start = |i: usize| -> f32 { of_set(i).iter().map(|(least, _)| least).sum() };
        let longest = (0..sets).map(reach).fold(0f32, f32::max);
        let scale = (255.0 / widest).min(65535.0 / longest);
        LUTq.fill(0);
        for set in 0..sets {
            let tables = LUT[set * M * ksub..].chunks_exact(ksub.max(1)).zip(of_set(set));
            for ((table, (least, _)), out) in tables.zip(LUTq[set * M2 * ksub..].chunks_exact_mut(ksub.max(1))) {
                table.iter().zip(out).for_each(|(v, out)| *out = round(v - least, scale) as u8);
            }
        }
        let starts: Vec<f32> = match bias {
            Some(bias) => (0..nprobe).map(|i| bias[i] + start(if lut_is_3d { i } else { 0 })).collect(),
            None => (0..sets).map(start).collect(),
        };
        let (least, _) = extent(starts.iter());
        if let (Some(_), Some(biasq)) = (bias, biasq) {
            biasq.iter_mut().zip(&starts).for_each(|(out, start)| *out = round(start - least, scale) as u16);
        }
        tell(a_out, scale);
        tell(b_out, least);
        Ok(())
    }

    /// The widest of the last M_norm of M tables, which are of norms, over the widest of the others.
    pub fn aq_estimate_norm_scale(M: usize, ksub: usize, M_norm: usize, #[len = M * ksub] LUT: &[f32]) -> Result<f32> {
        Error::check(M_norm <= M, "M_norm <= M")?;
        let widest = |tables: &[f32]| {
            tables.chunks_exact(ksub.max(1)).fold(0f32, |widest, table| widest.max(extent(table.iter()).1))
        };
        let (others, norms) = LUT.split_at((M - M_norm) * ksub);
        Ok(widest(norms) / widest(others))
    }

    /// As quantize_LUT_and_bias, for one set of M tables of which the last M_norm count norm_scale times in sums of 16 bits.
    pub fn aq_quantize_LUT_and_bias(
        nprobe: usize,
        M: usize,
        ksub: usize,
        #[len = M * ksub] LUT: &[f32],
        #[len = nprobe] bias: Option<&[f32]>,
        M_norm: usize,
        norm_scale: i32,
        #[len = M2 * ksub] LUTq: &mut [u8],
        M2: usize,
        #[len = nprobe] biasq: Option<&mut [u16]>,
        #[len = 1] a_out: Option<&mut [f32]>,
        #[len = 1] b_out: Option<&mut [f32]>,
    ) -> Result<()> {
        Error::check(M2 >= M && M_norm <= M, "M2 >= M && M_norm <= M")?;
        Error::check(bias.is_none() || biasq.is_some(), "bias == nullptr || biasq != nullptr")?;
        let extents: Vec<(f32, f32)> = LUT.chunks_exact(ksub.max(1)).map(|table| extent(table.iter())).collect();
        let widest = extents.iter().fold(0f32, |widest, (_, span)| widest.max(*span));
        let spans = |of: &[(f32, f32)]| of.iter().map(|(_, span)| span).sum::<f32>();
        let (base, range) = extent(bias.unwrap_or(&[0.0]).iter());
        let norms = &extents[extents.len() - M_norm.min(extents.len())..];
        let longest = spans(&extents) + spans(norms) * (norm_scale - 1) as f32 + range;
        let scale = (255.0 / widest).min(65535.0 / longest);
        LUTq.fill(0);
        let tables = LUT.chunks_exact(ksub.max(1)).zip(&extents);
        for ((table, (least, _)), out) in tables.zip(LUTq.chunks_exact_mut(ksub.max(1))) {
            table.iter().zip(out).for_each(|(v, out)| *out = round(v - least, scale) as u8);
        }
        if let (Some(bias), Some(biasq)) = (bias, biasq) {
            biasq.iter_mut().zip(bias).for_each(|(out, bias)| *out = round(bias - base, scale) as u16);
        }
        tell(a_out, scale);
        tell(b_out, extents.iter().map(|(least, _)| least).sum::<f32>() + base);
        Ok(())
    }

    /// How many of n numbers of 16 bits fall into each of 8 bins of 2^shift, from min on; shift -1: numbers are bins.
    pub fn simd_histogram_8(
        #[len = n] data: &[u16],
        n: usize,
        min: u16,
        shift: i32,
        #[len = 8] hist: &mut [i32],
    ) -> Result<()> {
        histogram(data, min, shift, hist)
    }

    /// As simd_histogram_8, for 16 bins.
    pub fn simd_histogram_16(
        #[len = n] data: &[u16],
        n: usize,
        min: u16,
        shift: i32,
        #[len = 16] hist: &mut [i32],
    ) -> Result<()> {
        histogram(data, min, shift, hist)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_numbers_are_near() {
        let (m, n, d) = (2, 3, 8);
        let mut tab = vec![0f32; m * n * d];
        crate::random::float_rand(&mut tab, 4).unwrap();
        let (mut rounded, mut a, mut b) = (tab.clone(), [0f32], [0f32]);
        round_uint8_per_column_multi(&mut rounded, m, n, d, Some(&mut a), Some(&mut b)).unwrap();
        let mut sum = 0.0;
        for i in 0..n {
            let row = |table: usize| (table * n + i) * d..(table * n + i + 1) * d;
            let least = (0..m).flat_map(|t| &tab[row(t)]).fold(f32::INFINITY, |low, v| low.min(*v));
            sum += least;
            for table in 0..m {
                for (got, exact) in rounded[row(table)].iter().zip(&tab[row(table)]) {
                    assert!(got.fract() == 0.0 && (0.0..=255.0).contains(got));
                    assert!((got / a[0] + least - exact).abs() <= 0.51 / a[0]);
                }
            }
        }
        assert!((sum - b[0]).abs() < 1e-6);
        round_uint8_per_column(&mut rounded[..n * d], n, d, None, None).unwrap();
    }

    #[test]
    fn rounded_sums_are_near() {
        let (nprobe, m, m2, ksub) = (3, 5, 6, 16);
        let mut tables = vec![0f32; nprobe * m * ksub];
        crate::random::float_rand(&mut tables, 5).unwrap();
        let biases = [3.0f32, 1.0, 2.5];
        for three in [true, false] {
            let sets = if three { nprobe } else { 1 };
            let (mut bytes, mut first, mut a, mut b) = (vec![9; sets * m2 * ksub], [0u16; 3], [0f32], [0f32]);
            let lut = &tables[..sets * m * ksub];
            let (bias, biasq) = (Some(&biases[..]), Some(&mut first[..]));
            quantize_LUT_and_bias(nprobe, m, ksub, three, lut, bias, &mut bytes, m2, biasq, Some(&mut a), Some(&mut b))
                .unwrap();
            for list in 0..nprobe {
                let set = if three { list } else { 0 };
                for code in 0..ksub {
                    let exact: f32 = (0..m).map(|p| lut[(set * m + p) * ksub + code]).sum::<f32>() + biases[list];
                    let sum: u32 = (0..m2).map(|p| u32::from(bytes[(set * m2 + p) * ksub + code])).sum();
                    let told = b[0] + (sum + u32::from(first[list])) as f32 / a[0];
                    assert!((told - exact).abs() < 0.5 * (m as f32 + 1.5) / a[0], "{told} {exact}");
                }
            }
        }
        assert!(
            quantize_LUT_and_bias(1, 2, 16, false, &tables[..32], None, &mut [0; 16], 1, None, None, None).is_err()
        );
    }

    #[test]
    fn numbers_are_counted_by_bins() {
        let (mut eight, mut sixteen) = ([7; 8], [7; 16]);
        simd_histogram_8(&[10, 11, 12, 40, 41, 42, 9], 7, 10, 2, &mut eight).unwrap();
        assert_eq!(eight, [3, 0, 0, 0, 0, 0, 0, 2]);
        simd_histogram_16(&[0, 15, 15, 16], 4, 0, -1, &mut sixteen).unwrap();
        assert_eq!((sixteen[0], sixteen[15], sixteen.iter().sum::<i32>()), (1, 2, 3));
        assert!(simd_histogram_8(&[], 0, 0, 16, &mut eight).is_err());
    }
}
