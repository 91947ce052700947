//! What is counted and summed of codes: loops over bits, compiled for each instruction set. All of it is counts and sums in one order, so that every set
//! gives the same numbers.

use crate::simd::{Isa, Kernel, launch};

/// Coordinates that stand in a word of a plane.
const WORD: usize = 64;
/// A bit of each byte of a word, and by what they are multiplied to stand beside each other in its upper byte.
const EACH: u64 = 0x0101_0101_0101_0101;
const TOGETHER: u64 = 0x0102_0408_1020_4080;

/// A query rounded to whole numbers, as planes of bits: bit `i` of plane `j` is bit `j` of coordinate `i`. The sum of the coordinates that a code's
/// signs name is then a few counts of bits.
#[derive(Default)]
pub struct Planes {
    /// A word of each plane, beside each other, and so on.
    words: Vec<u64>,
    /// Planes: 4, or 8 where coordinates have more bits.
    count: usize,
}

impl Planes {
    /// Of coordinates that are rounded to `bits` bits.
    pub fn set(&mut self, rounded: &[f32], bits: u8) {
        self.count = if bits <= 4 { 4 } else { 8 };
        self.words.clear();
        self.words.resize(rounded.len().div_ceil(WORD) * self.count, 0);
        launch(Split { rounded, count: self.count, words: &mut self.words });
    }

    /// For a kernel. For each code, `size` bytes of which the first `signs` are signs: the sum of the coordinates that they name, and how many those are.
    /// Behind its signs a code has at least eight bytes.
    #[inline(always)]
    pub fn sums(&self, codes: &[u8], size: usize, signs: usize, sums: &mut [i32], ones: &mut [i32]) {
        if self.count == 4 {
            sums_of::<4>(&self.words, codes, size, signs, sums, ones);
        } else {
            sums_of::<8>(&self.words, codes, size, signs, sums, ones);
        }
    }
}

struct Split<'a> {
    rounded: &'a [f32],
    count: usize,
    words: &'a mut [u64],
}

impl Kernel for Split<'_> {
    type Out = ();

    #[inline(always)]
    fn run<R: Isa>(self) {
        let mut first = 0;
        while first < self.rounded.len() {
            let eight = &self.rounded[first..(first + 8).min(self.rounded.len())];
            let mut bytes = [0u8; 8];
            for i in 0..eight.len() {
                bytes[i] = eight[i] as u8;
            }
            let (bytes, at) = (u64::from_le_bytes(bytes), first / WORD * self.count);
            let words = &mut self.words[at..at + self.count];
            for (j, word) in words.iter_mut().enumerate() {
                *word |= ((bytes >> j) & EACH).wrapping_mul(TOGETHER) >> 56 << (first % WORD);
            }
            first += 8;
        }
    }
}

#[inline(always)]
fn sums_of<const PLANES: usize>(
    planes: &[u64],
    codes: &[u8],
    size: usize,
    signs: usize,
    sums: &mut [i32],
    ones: &mut [i32],
) {
    let (planes, _) = planes.as_chunks::<PLANES>();
    // A known number of words lets the compiler keep the planes in registers.
    match planes.len() {
        1 => few::<PLANES, 1>(planes, codes, size, signs, sums, ones),
        2 => few::<PLANES, 2>(planes, codes, size, signs, sums, ones),
        3 => few::<PLANES, 3>(planes, codes, size, signs, sums, ones),
        4 => few::<PLANES, 4>(planes, codes, size, signs, sums, ones),
        _ => many(planes, codes, size, signs, sums, ones),
    }
}

#[inline(always)]
fn few<const PLANES: usize, const WORDS: usize>(
    planes: &[[u64; PLANES]],
    codes: &[u8],
    size: usize,
    signs: usize,
    sums: &mut [i32],
    ones: &mut [i32],
) {
    let mut own = [[0; PLANES]; WORDS];
    own.copy_from_slice(&planes[..WORDS]);
    many(&own, codes, size, signs, sums, ones);
}

#[inline(always)]
fn many<const PLANES: usize>(
    planes: &[[u64; PLANES]],
    codes: &[u8],
    size: usize,
    signs: usize,
    sums: &mut [i32],
    ones: &mut [i32],
) {
    // Of the last word, the bits that are signs; no plane has others.
    let last = u64::MAX >> ((64 - 8 * (signs % 8)) % 64);
    for i in 0..sums.len().min(ones.len()) {
        let code = &codes[i * size..i * size + 8 * planes.len()];
        let (mut counts, mut own) = ([0u64; PLANES], 0);
        for w in 0..planes.len() {
            let word = word(&code[8 * w..8 * w + 8]);
            own += (if w + 1 == planes.len() { word & last } else { word }).count_ones();
            for j in 0..PLANES {
                counts[j] += u64::from((word & planes[w][j]).count_ones());
            }
        }
        let mut sum = 0;
        for (j, count) in counts.iter().enumerate() {
            sum += count << j;
        }
        (sums[i], ones[i]) = (sum as i32, own as i32);
    }
}

#[inline(always)]
fn word(x: &[u8]) -> u64 {
    u64::from_le_bytes([x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]])
}

/// Rounds numbers to whole ones from 0 to `most`: to steps `delta` wide from `low`, which are given or, else, reach from the smallest to the largest.
/// Returns low and delta.
pub fn round(x: &[f32], steps: Option<(f32, f32)>, most: f32, out: &mut Vec<f32>) -> (f32, f32) {
    out.clear();
    out.resize(x.len(), 0.0);
    launch(Round { x, steps, most, out })
}

struct Round<'a> {
    x: &'a [f32],
    steps: Option<(f32, f32)>,
    most: f32,
    out: &'a mut [f32],
}

impl Kernel for Round<'_> {
    type Out = (f32, f32);

    #[inline(always)]
    fn run<R: Isa>(self) -> (f32, f32) {
        let Round { x, steps, most, out } = self;
        let (low, delta) = match steps {
            Some(steps) => steps,
            None => {
                let (low, high) = extremes(x);
                (low, (high - low) / most)
            }
        };
        let inverse = if delta > 0.0 { 1.0 / delta } else { 0.0 };
        let out = &mut out[..x.len()];
        for i in 0..x.len() {
            out[i] = ((x[i] - low) * inverse).round().clamp(0.0, most);
        }
        (low, delta)
    }
}

/// The smallest and the largest number; a NaN is neither.
#[inline(always)]
fn extremes(x: &[f32]) -> (f32, f32) {
    let (mut low, mut high) = ([f32::INFINITY; 8], [f32::NEG_INFINITY; 8]);
    for i in 0..x.len().div_ceil(8) {
        let eight = &x[8 * i..(8 * i + 8).min(x.len())];
        for l in 0..eight.len() {
            low[l] = if eight[l] < low[l] { eight[l] } else { low[l] };
            high[l] = if eight[l] > high[l] { eight[l] } else { high[l] };
        }
    }
    for l in 1..8 {
        low[0] = low[0].min(low[l]);
        high[0] = high[0].max(high[l]);
    }
    (low[0], high[0])
}

/// The product of numbers with those of a code, of which each is made of `bits` bits of `numbers` and, above them, one of `signs`, less `middle`. Behind
/// its numbers, `numbers` has at least eight bytes.
pub fn product(x: &[f32], signs: &[u8], numbers: &[u8], bits: usize, middle: f32) -> f32 {
    launch(Product { x, signs, numbers, bits, middle })
}

struct Product<'a> {
    x: &'a [f32],
    signs: &'a [u8],
    numbers: &'a [u8],
    bits: usize,
    middle: f32,
}

impl Kernel for Product<'_> {
    type Out = f32;

    #[inline(always)]
    fn run<R: Isa>(self) -> f32 {
        let (eights, rest) = self.x.as_chunks::<8>();
        let mut sums = [0f32; 8];
        for (i, eight) in eights.iter().enumerate() {
            self.add(i, eight, &mut sums);
        }
        if !rest.is_empty() {
            let mut last = [0f32; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.add(eights.len(), &last, &mut sums);
        }
        ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
    }
}

impl Product<'_> {
    /// Eight numbers, which are as many bytes as one has bits.
    #[inline(always)]
    fn add(&self, at: usize, x: &[f32; 8], sums: &mut [f32; 8]) {
        let word = word(&self.numbers[at * self.bits..at * self.bits + 8]);
        let (sign, mask) = (u32::from(self.signs[at]), (1u32 << self.bits) - 1);
        for l in 0..8 {
            let number = (word >> (l * self.bits)) as u32 & mask | (sign >> l & 1) << self.bits;
            sums[l] += x[l] * (number as i32 as f32 - self.middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::bits;
    use crate::random::{byte_rand, float_randn};
    use crate::simd::{LEVELS, detect, set_level};

    struct Counted<'a>(&'a Planes, &'a [u8], usize, usize, [i32; 5], [i32; 5]);

    impl Kernel for Counted<'_> {
        type Out = ([i32; 5], [i32; 5]);
        const INTEGER: bool = true;

        fn run<R: Isa>(mut self) -> Self::Out {
            self.0.sums(self.1, self.2, self.3, &mut self.4, &mut self.5);
            (self.4, self.5)
        }
    }

    /// At every level: the sums by their definition, and the same products to the bit.
    #[test]
    fn every_level_counts_the_same() {
        for d in (1..70).chain([127, 128, 129, 768]) {
            let (signs, n) = (usize::div_ceil(d, 8), 5);
            let mut rounded = vec![0f32; d];
            let mut raw = vec![0u8; d];
            byte_rand(&mut raw, 1).unwrap();
            let size = signs + 11;
            let mut codes = vec![0u8; n * size];
            byte_rand(&mut codes, 2).unwrap();
            // A code of all signs, those that are no coordinate's too.
            codes[..signs].fill(255);
            for qb in 1..=8u8 {
                for (to, from) in rounded.iter_mut().zip(&raw) {
                    *to = f32::from(from >> (8 - qb));
                }
                let code = |i: usize| &codes[i * size..(i + 1) * size];
                let named = |i: usize| (0..d).filter(move |j| code(i)[j / 8] >> (j % 8) & 1 == 1);
                let sums = std::array::from_fn(|i| named(i).map(|j| rounded[j] as i32).sum());
                let ones = |i: usize| code(i)[..signs].iter().map(|byte| byte.count_ones() as i32).sum();
                let wanted = (sums, std::array::from_fn(ones));
                for level in LEVELS.into_iter().filter(|level| set_level(*level)) {
                    let mut planes = Planes::default();
                    planes.set(&rounded, qb);
                    let found = launch(Counted(&planes, &codes, size, signs, [0; 5], [0; 5]));
                    assert_eq!(found, wanted, "{level:?} d {d} qb {qb}");
                }
            }
            let mut x = vec![0f32; d];
            float_randn(&mut x, 3).unwrap();
            for width in 1..=8usize {
                let most = (1u32 << width) - 1;
                let numbers: Vec<u32> = raw.iter().map(|v| u32::from(*v) & most).collect();
                let mut packed = vec![0u8; (d * width).div_ceil(8) + 8];
                bits::pack(numbers.iter().copied(), width, &mut packed);
                let middle = (1u32 << width) as f32 - 0.5;
                let of = |i: usize| numbers[i] + (u32::from(codes[size + i / 8] >> (i % 8) & 1) << width);
                let wanted: f64 = (0..d).map(|i| f64::from(x[i]) * f64::from(of(i) as f32 - middle)).sum();
                let mut found = Vec::new();
                for _ in LEVELS.into_iter().filter(|level| set_level(*level)) {
                    found.push(product(&x, &codes[size..size + signs], &packed, width, middle));
                }
                let scale = f64::from(2.0 * middle) * (d as f64).sqrt() * 3.0;
                assert!((f64::from(found[0]) - wanted).abs() < 1e-6 * scale, "d {d} {width}: {} {wanted}", found[0]);
                assert!(found.iter().all(|v| v.to_bits() == found[0].to_bits()), "d {d} {width}: {found:?}");
            }
        }
        set_level(detect());
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest_step() {
        for level in LEVELS.into_iter().filter(|level| set_level(*level)) {
            let mut out = Vec::new();
            let x = [-1.0, 0.0, 0.9, f32::NAN, 2.0, 0.26, -0.25, 1.0, 0.5, 1.75];
            assert_eq!(round(&x, None, 3.0, &mut out), (-1.0, 1.0), "{level:?}");
            assert!(out[3].is_nan());
            out.remove(3);
            assert_eq!(out, [0.0, 1.0, 2.0, 3.0, 1.0, 1.0, 2.0, 2.0, 3.0]);
            round(&[-5.0, 5.0, 0.0], Some((-1.0, 0.5)), 3.0, &mut out);
            assert_eq!(out, [0.0, 3.0, 2.0]);
            round(&[1.0; 3], None, 15.0, &mut out);
            assert_eq!(out, [0.0; 3]);
            assert_eq!(round(&[], None, 15.0, &mut out).0, f32::INFINITY);
        }
        set_level(detect());
    }
}
