//! The loops over codes whose coordinates are numbers of 4, 6, 8 or 16 bits, each at the instruction set in use: reading a code and comparing it
//! are one step, so that no vector is written.

use std::marker::PhantomData;

use crate::quantize::bits::Unpacker;
use crate::simd::{Isa, Kernel, Lanes, launch};

/// How the numbers of a code are read.
pub trait Numbers {
    const BITS: usize;
    /// As many as a register has room for, from the start of `bytes`.
    fn load<R: Lanes>(bytes: &[u8]) -> R;
    /// Fewer.
    fn load_part<R: Lanes>(bytes: &[u8]) -> R;
}

macro_rules! numbers {
    ($($name:ident: $bits:literal, $load:ident, $load_part:ident;)*) => {$(
        pub struct $name;
        impl Numbers for $name {
            const BITS: usize = $bits;
            #[inline(always)]
            fn load<R: Lanes>(bytes: &[u8]) -> R {
                R::$load(bytes)
            }
            #[inline(always)]
            fn load_part<R: Lanes>(bytes: &[u8]) -> R {
                R::$load_part(bytes)
            }
        }
    )*};
}
numbers! {
    U8: 8, load_u8, load_u8_part;
    U6: 6, load_u6, load_u6_part;
    U4: 4, load_u4, load_u4_part;
    F16: 16, load_f16, load_f16_part;
    Bf16: 16, load_bf16, load_bf16_part;
}

/// What is summed up over the coordinates: of a code's number, the query's and a factor.
pub trait Step {
    /// Whether there are factors.
    const SCALED: bool;
    /// Whether a larger sum is the better.
    const SIMILARITY: bool;
    fn step<R: Lanes>(number: R, query: R, factor: R, sum: R) -> R;
}

/// `(query + number * factor)^2`.
pub struct ScaledL2;
impl Step for ScaledL2 {
    const SCALED: bool = true;
    const SIMILARITY: bool = false;
    #[inline(always)]
    fn step<R: Lanes>(number: R, query: R, factor: R, sum: R) -> R {
        let t = number.madd(factor, query);
        t.madd(t, sum)
    }
}

/// `(query - number)^2`.
pub struct PlainL2;
impl Step for PlainL2 {
    const SCALED: bool = false;
    const SIMILARITY: bool = false;
    #[inline(always)]
    fn step<R: Lanes>(number: R, query: R, _factor: R, sum: R) -> R {
        let t = query.sub(number);
        t.madd(t, sum)
    }
}

/// `query * number`.
pub struct Product;
impl Step for Product {
    const SCALED: bool = false;
    const SIMILARITY: bool = true;
    #[inline(always)]
    fn step<R: Lanes>(number: R, query: R, _factor: R, sum: R) -> R {
        number.madd(query, sum)
    }
}

/// A query as the steps want it, of `d` numbers each.
#[derive(Clone, Copy)]
pub struct Operands<'a> {
    pub query: &'a [f32],
    /// Empty where the step has none.
    pub factors: &'a [f32],
}

/// The sums of four codes.
struct Four<'a, N, S> {
    operands: Operands<'a>,
    codes: [&'a [u8]; 4],
    kind: PhantomData<(N, S)>,
}

impl<N: Numbers, S: Step> Four<'_, N, S> {
    #[inline(always)]
    fn sums<R: Isa>(&self) -> [f32; 4] {
        let (w, x, f) = (R::F32::WIDTH, self.operands.query, self.operands.factors);
        let (d, [c0, c1, c2, c3]) = (x.len(), self.codes);
        let zero = R::F32::zero();
        let (mut s0, mut s1, mut s2, mut s3) = (zero, zero, zero, zero);
        let mut at = 0;
        while at + w <= d {
            let (query, factor) = (R::F32::load(&x[at..]), if S::SCALED { R::F32::load(&f[at..]) } else { zero });
            let from = at * N::BITS / 8;
            s0 = S::step(N::load(&c0[from..]), query, factor, s0);
            s1 = S::step(N::load(&c1[from..]), query, factor, s1);
            s2 = S::step(N::load(&c2[from..]), query, factor, s2);
            s3 = S::step(N::load(&c3[from..]), query, factor, s3);
            at += w;
        }
        if at < d {
            let (query, factor) =
                (R::F32::load_part(&x[at..]), if S::SCALED { R::F32::load_part(&f[at..]) } else { zero });
            let (from, to) = (at * N::BITS / 8, (d * N::BITS).div_ceil(8));
            s0 = S::step(N::load_part(&c0[from..to]), query, factor, s0);
            s1 = S::step(N::load_part(&c1[from..to]), query, factor, s1);
            s2 = S::step(N::load_part(&c2[from..to]), query, factor, s2);
            s3 = S::step(N::load_part(&c3[from..to]), query, factor, s3);
        }
        R::F32::totals([s0, s1, s2, s3])
    }
}

impl<N: Numbers, S: Step> Kernel for Four<'_, N, S> {
    type Out = [f32; 4];
    #[inline(always)]
    fn run<R: Isa>(self) -> [f32; 4] {
        self.sums::<R>()
    }
}

/// The sums of four codes that lie apart.
pub fn four<N: Numbers, S: Step>(operands: Operands<'_>, codes: [&[u8]; 4]) -> [f32; 4] {
    launch(Four::<N, S> { operands, codes, kind: PhantomData })
}

/// The sums of consecutive codes.
struct Rows<'a, N, S> {
    operands: Operands<'a>,
    codes: &'a [u8],
    size: usize,
    out: &'a mut [f32],
    kind: PhantomData<(N, S)>,
}

impl<N: Numbers, S: Step> Kernel for Rows<'_, N, S> {
    type Out = ();
    #[inline(always)]
    fn run<R: Isa>(self) {
        let (n, size, operands, codes) = (self.out.len(), self.size, self.operands, self.codes);
        let mut i = 0;
        while i < n {
            // Beyond the end, the last code is taken again.
            let j = [i, (i + 1).min(n - 1), (i + 2).min(n - 1), (i + 3).min(n - 1)];
            let codes = [
                &codes[j[0] * size..][..size],
                &codes[j[1] * size..][..size],
                &codes[j[2] * size..][..size],
                &codes[j[3] * size..][..size],
            ];
            let sums = Four::<N, S> { operands, codes, kind: PhantomData }.sums::<R>();
            let end = (i + 4).min(n);
            self.out[i..end].copy_from_slice(&sums[..end - i]);
            i = end;
        }
    }
}

/// The sums of as many consecutive codes of `size` bytes as `out` has room for.
pub fn rows<N: Numbers, S: Step>(operands: Operands<'_>, codes: &[u8], size: usize, out: &mut [f32]) {
    launch(Rows::<N, S> { operands, codes, size, out, kind: PhantomData });
}

/// Vectors of consecutive codes: `number * scale + offset`.
struct Vectors<'a, N> {
    scales: &'a [f32],
    offsets: &'a [f32],
    codes: &'a [u8],
    size: usize,
    out: &'a mut [f32],
    kind: PhantomData<N>,
}

impl<N: Numbers> Kernel for Vectors<'_, N> {
    type Out = ();
    #[inline(always)]
    fn run<R: Isa>(self) {
        let (w, d) = (R::F32::WIDTH, self.scales.len());
        let mut buffer = [0f32; 16];
        let mut first = 0;
        let mut row = 0;
        while first + d <= self.out.len() {
            let (out, code) = (&mut self.out[first..first + d], &self.codes[row..row + self.size]);
            let mut at = 0;
            while at + w <= d {
                let numbers = N::load::<R::F32>(&code[at * N::BITS / 8..]);
                let offsets = R::F32::load(&self.offsets[at..]);
                numbers.madd(R::F32::load(&self.scales[at..]), offsets).store(&mut out[at..]);
                at += w;
            }
            if at < d {
                let numbers = N::load_part::<R::F32>(&code[at * N::BITS / 8..]);
                let offsets = R::F32::load_part(&self.offsets[at..]);
                numbers.madd(R::F32::load_part(&self.scales[at..]), offsets).store(&mut buffer);
                out[at..].copy_from_slice(&buffer[..d - at]);
            }
            first += d;
            row += self.size;
        }
    }
}

/// The vectors of consecutive codes of `size` bytes, as many as `out` has room for: each number times its coordinate's scale, plus its offset.
pub fn vectors<N: Numbers>(scales: &[f32], offsets: &[f32], codes: &[u8], size: usize, out: &mut [f32]) {
    launch(Vectors::<N> { scales, offsets, codes, size, out, kind: PhantomData });
}

/// A number's place in its range, from 0 to 255, as `super::place` has it, without a branch or a conversion that compilers do one by one: adding
/// `WHOLE` leaves the nearest whole number in the lowest bits.
#[inline(always)]
fn byte_place(v: f32, start: f32, width: f32) -> u8 {
    const WHOLE: f32 = 8_388_608.0;
    let part = (v - start) / width;
    // A NaN, and any number in a range of no width, become 0.
    let part = if width != 0.0 && part > 0.0 { part } else { 0.0 };
    let place = if part < 1.0 { part } else { 1.0 } * 255.0;
    let nearest = place + WHOLE;
    (nearest.to_bits() - u32::from(nearest - WHOLE > place)) as u8
}

/// Places in ranges, as bytes.
struct Encode8<'a> {
    x: &'a [f32],
    starts: &'a [f32],
    widths: &'a [f32],
    code: &'a mut [u8],
}

impl Kernel for Encode8<'_> {
    type Out = ();
    #[inline(always)]
    fn run<R: Isa>(self) {
        let d = self.x.len();
        if self.starts.len() == 1 && d > 1 {
            let (start, width) = (self.starts[0], self.widths[0]);
            for (c, v) in self.code.iter_mut().zip(self.x) {
                *c = byte_place(*v, start, width);
            }
            return;
        }
        let (starts, widths, code) = (&self.starts[..d], &self.widths[..d], &mut self.code[..d]);
        for i in 0..d {
            code[i] = byte_place(self.x[i], starts[i], widths[i]);
        }
    }
}

/// Encodes a vector to a byte a coordinate; `starts` and `widths` have one number, or one a coordinate.
pub fn encode_8bit(x: &[f32], starts: &[f32], widths: &[f32], code: &mut [u8]) {
    launch(Encode8 { x, starts, widths, code });
}

/// The middles of places in ranges, rounded as Faiss rounds them: with fused operations where the dimension is a multiple of eight.
struct DecodeRange<'a> {
    code: &'a [u8],
    bits: usize,
    starts: &'a [f32],
    widths: &'a [f32],
    x: &'a mut [f32],
}

impl Kernel for DecodeRange<'_> {
    type Out = ();
    #[inline(always)]
    fn run<R: Isa>(self) {
        let top = ((1u32 << self.bits) - 1) as f32;
        let fused = R::F32::FUSED && self.x.len().is_multiple_of(8);
        let one = self.starts.len() == 1;
        let mut numbers = Unpacker::new(self.code, self.bits);
        for (i, v) in self.x.iter_mut().enumerate() {
            let j = if one { 0 } else { i };
            let part = (numbers.next().unwrap_or(0) as f32 + 0.5) / top;
            *v = if fused {
                part.mul_add(self.widths[j], self.starts[j])
            } else {
                part * self.widths[j] + self.starts[j]
            };
        }
    }
}

/// Decodes a code of places in ranges, `bits` each.
pub fn decode_range(code: &[u8], bits: usize, starts: &[f32], widths: &[f32], x: &mut [f32]) {
    launch(DecodeRange { code, bits, starts, widths, x });
}
