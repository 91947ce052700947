//! Several queries against a block of vectors whose coordinates are laid beside each other, so that each lane of a register is a vector of its
//! own: no sum is added up across lanes, no dimension leaves a rest, and keys are compared with what a query still wants before they are ever
//! written. Low dimensions and batches of queries go this way.

use std::marker::PhantomData;

use crate::simd::{Isa, Kernel, L1, L2, Lanes, Product, Step, launch};

/// Takes what is found.
pub trait Sink {
    /// A key of a query that is below its threshold, and the row it belongs to; rows of a query come in ascending order. Returns the threshold
    /// from now on.
    fn take(&mut self, query: usize, key: f32, row: usize) -> f32;
}

/// Queries, and vectors `y`, both rows of `d` numbers. `thresholds` has one for each query.
pub struct Block<'a> {
    pub x: &'a [f32],
    pub y: &'a [f32],
    pub d: usize,
    pub thresholds: &'a mut [f32],
    pub sink: &'a mut dyn Sink,
    /// Memory for the laid out vectors.
    pub panels: &'a mut Vec<f32>,
}

impl Block<'_> {
    /// By squared L2 distance.
    pub fn scan_l2(self) {
        launch(Panels { block: self, sign: 1.0, step: PhantomData::<L2> });
    }
    /// By inner product, negated.
    pub fn scan_products(self) {
        launch(Panels { block: self, sign: -1.0, step: PhantomData::<Product> });
    }
    /// By L1 distance.
    pub fn scan_l1(self) {
        launch(Panels { block: self, sign: 1.0, step: PhantomData::<L1> });
    }
}

struct Panels<'a, S> {
    block: Block<'a>,
    /// What sums are multiplied by to become keys.
    sign: f32,
    step: PhantomData<S>,
}

/// Sums of one query: two registers, as wide as a panel.
type Sums<R> = [<R as Isa>::F32; 2];

#[inline(always)]
fn step<R: Isa, S: Step>(x: f32, y: Sums<R>, sums: Sums<R>) -> Sums<R> {
    let x = R::F32::splat(x);
    [S::step(x, y[0], sums[0]), S::step(x, y[1], sums[1])]
}

/// Four queries, `d` numbers each, and a panel.
#[inline(always)]
fn four<R: Isa, S: Step>(x: &[f32], panel: &[f32], d: usize) -> [Sums<R>; 4] {
    let w = R::F32::WIDTH;
    let (x0, x1, x2, x3) = (&x[..d], &x[d..2 * d], &x[2 * d..3 * d], &x[3 * d..4 * d]);
    let zero = [R::F32::zero(); 2];
    let (mut s0, mut s1, mut s2, mut s3) = (zero, zero, zero, zero);
    for c in 0..d {
        let y = &panel[c * 2 * w..(c + 1) * 2 * w];
        let y = [R::F32::load(y), R::F32::load(&y[w..])];
        s0 = step::<R, S>(x0[c], y, s0);
        s1 = step::<R, S>(x1[c], y, s1);
        s2 = step::<R, S>(x2[c], y, s2);
        s3 = step::<R, S>(x3[c], y, s3);
    }
    [s0, s1, s2, s3]
}

/// One query and a panel.
#[inline(always)]
fn one<R: Isa, S: Step>(x: &[f32], panel: &[f32]) -> Sums<R> {
    let w = R::F32::WIDTH;
    let mut sums = [R::F32::zero(); 2];
    for c in 0..x.len() {
        let y = &panel[c * 2 * w..(c + 1) * 2 * w];
        sums = step::<R, S>(x[c], [R::F32::load(y), R::F32::load(&y[w..])], sums);
    }
    sums
}

/// Lays rows of `y` out in panels of twice a register's width; what is missing in the last is what was there before.
#[inline(always)]
fn lay_out<R: Isa>(y: &[f32], d: usize, panels: &mut [f32]) {
    let (wide, n) = (2 * R::F32::WIDTH, y.len() / d);
    let mut row = 0;
    while row + 8 <= n {
        let panel = &mut panels[row / wide * wide * d..];
        let lane = row % wide;
        let mut c = 0;
        while c < d {
            let width = (d - c).min(8);
            R::F32::transpose_8(
                &y[row * d + c..(row + 7) * d + c + width],
                d,
                width,
                &mut panel[c * wide + lane..],
                wide,
            );
            c += 8;
        }
        row += 8;
    }
    while row < n {
        let panel = &mut panels[row / wide * wide * d..];
        for c in 0..d {
            panel[c * wide + row % wide] = y[row * d + c];
        }
        row += 1;
    }
}

/// Which lanes of a panel from row `first` on hold vectors.
#[inline(always)]
fn lanes_of(first: usize, n: usize, wide: usize) -> u32 {
    if n - first >= wide { u32::MAX } else { (1 << (n - first)) - 1 }
}

impl<S: Step> Panels<'_, S> {
    /// Hands the keys below the query's threshold on.
    #[inline(always)]
    fn offer<R: Isa>(&mut self, query: usize, sums: Sums<R>, first: usize, lanes: u32) {
        let w = R::F32::WIDTH;
        let keys = if self.sign < 0.0 {
            let sign = R::F32::splat(-1.0);
            [sums[0].mul(sign), sums[1].mul(sign)]
        } else {
            sums
        };
        let limit = R::F32::splat(self.block.thresholds[query]);
        let mask = (keys[0].less(limit) | keys[1].less(limit) << w) & lanes;
        if mask != 0 {
            let mut stored = [0f32; 32];
            keys[0].store(&mut stored);
            keys[1].store(&mut stored[w..]);
            hits(&stored, mask, first, &mut self.block.thresholds[query], &mut |key, row| {
                self.block.sink.take(query, key, row)
            });
        }
    }
}

/// Few keys come here: not worth a copy for each instruction set.
fn hits(keys: &[f32; 32], mut mask: u32, first: usize, threshold: &mut f32, take: &mut dyn FnMut(f32, usize) -> f32) {
    while mask != 0 {
        let lane = mask.trailing_zeros() as usize;
        if keys[lane] < *threshold {
            *threshold = take(keys[lane], first + lane);
        }
        mask &= mask - 1;
    }
}

impl<S: Step> Kernel for Panels<'_, S> {
    type Out = ();

    #[inline(always)]
    fn run<R: Isa>(mut self) {
        let (x, d, nq) = (self.block.x, self.block.d, self.block.thresholds.len());
        let (wide, n) = (2 * R::F32::WIDTH, self.block.y.len() / d);
        let mut panels = std::mem::take(self.block.panels);
        panels.resize(n.next_multiple_of(wide) * d, 0.0);
        lay_out::<R>(self.block.y, d, &mut panels);
        let size = wide * d;
        let fours = nq / 4 * 4;
        let mut q = 0;
        while q < fours {
            let mut first = 0;
            while first < n {
                let panel = &panels[first * d..first * d + size];
                let [s0, s1, s2, s3] = four::<R, S>(&x[q * d..], panel, d);
                let lanes = lanes_of(first, n, wide);
                self.offer::<R>(q, s0, first, lanes);
                self.offer::<R>(q + 1, s1, first, lanes);
                self.offer::<R>(q + 2, s2, first, lanes);
                self.offer::<R>(q + 3, s3, first, lanes);
                first += wide;
            }
            q += 4;
        }
        while q < nq {
            let mut first = 0;
            while first < n {
                let sums = one::<R, S>(&x[q * d..(q + 1) * d], &panels[first * d..first * d + size]);
                self.offer::<R>(q, sums, first, lanes_of(first, n, wide));
                first += wide;
            }
            q += 1;
        }
        *self.block.panels = panels;
    }
}
