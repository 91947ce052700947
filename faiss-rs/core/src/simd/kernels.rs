//! The kernels on slices of numbers, generic over the register type.

#![expect(clippy::extra_unused_type_parameters, reason = "all are called in one way, by a macro")]

use super::lanes::Lanes;
use super::nearest::fused;
pub use super::nearest::{
    fvec_norms_by_coordinate, nearest_L2sqr_transposed, nearest_by_products_transposed, nearest_of_products,
};
use super::step::{L1, L2, Product, Step};

/// Adds the rest of two rows, fewer numbers than lanes, to the lanes' sums. Of sixteen lanes, eight numbers are added to the halves' sums and what
/// is left to the total, one by one: so Faiss's results are rounded there, and they are equal to the bit.
#[inline(always)]
fn rest<R: Lanes, S: Step>(x: &[f32], y: &[f32], sums: R) -> R {
    if R::WIDTH == 16 || x.is_empty() { sums } else { S::step(R::load_part(x), R::load_part(y), sums) }
}

/// Of sixteen lanes, the first eight numbers of the rest.
#[inline(always)]
fn eight<R: Lanes, S: Step>(x: &[f32], y: &[f32], sums: R) -> R::Half {
    if R::WIDTH == 16 && x.len() >= 8 { S::step(R::Half::load(x), R::Half::load(y), sums.half()) } else { sums.half() }
}

/// What is left then.
#[inline(always)]
fn single<R: Lanes, S: Step>(x: &[f32], y: &[f32], mut sum: f32) -> f32 {
    if R::WIDTH < 16 {
        return sum;
    }
    let (mut at, n) = (x.len() / 8 * 8, x.len().min(y.len()));
    while at < n {
        sum = S::scalar::<R>(x[at], y[at], sum);
        at += 1;
    }
    sum
}

#[inline(always)]
fn sum<R: Lanes, S: Step>(x: &[f32], y: &[f32]) -> f32 {
    let n = x.len().min(y.len());
    let (w, x, y) = (R::WIDTH, &x[..n], &y[..n]);
    let (mut at, mut sums) = (0, R::zero());
    if R::WIDTH < 16 && n >= 4 * w {
        // Four sums, as an addition waits for the last; with sixteen lanes the order of Faiss's sums is one.
        let (mut b, mut c, mut d) = (R::zero(), R::zero(), R::zero());
        while at + 4 * w <= n {
            let (p, q) = (&x[at..at + 4 * w], &y[at..at + 4 * w]);
            sums = S::step(R::load(p), R::load(q), sums);
            b = S::step(R::load(&p[w..]), R::load(&q[w..]), b);
            c = S::step(R::load(&p[2 * w..]), R::load(&q[2 * w..]), c);
            d = S::step(R::load(&p[3 * w..]), R::load(&q[3 * w..]), d);
            at += 4 * w;
        }
        sums = sums.add(b).add(c).add(d);
    }
    while at + w <= n {
        sums = S::step(R::load(&x[at..]), R::load(&y[at..]), sums);
        at += w;
    }
    let (x, y) = (&x[at..], &y[at..]);
    let sums = eight::<R, S>(x, y, rest::<R, S>(x, y, sums));
    single::<R, S>(x, y, sums.total())
}

/// One register of `x` with one of each of four rows of `y`.
#[inline(always)]
fn four<R: Lanes, S: Step>(p: R, q: [R; 4], sums: [R; 4]) -> [R; 4] {
    [S::step(p, q[0], sums[0]), S::step(p, q[1], sums[1]), S::step(p, q[2], sums[2]), S::step(p, q[3], sums[3])]
}

/// The sums of four rows, with the rest of each.
#[inline(always)]
fn finish<R: Lanes, S: Step>(x: &[f32], y: [&[f32]; 4], s: [R; 4]) -> [f32; 4] {
    if x.is_empty() {
        return R::totals(s);
    }
    let mut s = s;
    if R::WIDTH < 16 {
        let p = R::load_part(x);
        s = four::<R, S>(p, [R::load_part(y[0]), R::load_part(y[1]), R::load_part(y[2]), R::load_part(y[3])], s);
    }
    let halves = [
        eight::<R, S>(x, y[0], s[0]),
        eight::<R, S>(x, y[1], s[1]),
        eight::<R, S>(x, y[2], s[2]),
        eight::<R, S>(x, y[3], s[3]),
    ];
    let t = R::Half::totals(halves);
    [
        single::<R, S>(x, y[0], t[0]),
        single::<R, S>(x, y[1], t[1]),
        single::<R, S>(x, y[2], t[2]),
        single::<R, S>(x, y[3], t[3]),
    ]
}

/// Steps over `Q` (1, 2 or 4) rows of `x` and four rows of `y`, all `d` wide: a number that was loaded is used `Q` or four times.
///
/// Written out row by row: of a loop over the rows the compiler would keep the sums in memory.
#[inline(always)]
fn block<R: Lanes, S: Step, const Q: usize>(x: &[f32], y: [&[f32]; 4], d: usize) -> [[f32; 4]; Q] {
    let row = |i: usize| if i < Q { &x[i * d..(i + 1) * d] } else { &[] };
    let (x0, x1, x2, x3) = (&x[..d], row(1), row(2), row(3));
    let (y0, y1, y2, y3) = (&y[0][..d], &y[1][..d], &y[2][..d], &y[3][..d]);
    let zero = [R::zero(); 4];
    let (mut s0, mut s1, mut s2, mut s3) = (zero, zero, zero, zero);
    let mut at = 0;
    while at + R::WIDTH <= d {
        let end = at + R::WIDTH;
        let q = [R::load(&y0[at..end]), R::load(&y1[at..end]), R::load(&y2[at..end]), R::load(&y3[at..end])];
        s0 = four::<R, S>(R::load(&x0[at..end]), q, s0);
        if Q > 1 {
            s1 = four::<R, S>(R::load(&x1[at..end]), q, s1);
        }
        if Q > 2 {
            s2 = four::<R, S>(R::load(&x2[at..end]), q, s2);
            s3 = four::<R, S>(R::load(&x3[at..end]), q, s3);
        }
        at = end;
    }
    let mut out = [[0.0; 4]; Q];
    let y = [&y0[at..], &y1[at..], &y2[at..], &y3[at..]];
    out[0] = finish::<R, S>(&x0[at..], y, s0);
    if Q > 1 {
        out[1] = finish::<R, S>(&x1[at..], y, s1);
    }
    if Q > 2 {
        out[2] = finish::<R, S>(&x2[at..], y, s2);
        out[3] = finish::<R, S>(&x3[at..], y, s3);
    }
    out
}

/// `Q` rows of `x` and all rows of `y`; the sums of row `i` go to row `i` of `dis`.
#[inline(always)]
fn rows<R: Lanes, S: Step, const Q: usize>(dis: &mut [f32], x: &[f32], y: &[f32], d: usize) {
    let ny = dis.len() / Q;
    let fours = ny / 4 * 4;
    for j in (0..fours).step_by(4) {
        let (y0, rest) = y[j * d..(j + 4) * d].split_at(d);
        let ((y1, rest), y3) = (rest.split_at(d), &y[(j + 3) * d..(j + 4) * d]);
        let sums = block::<R, S, Q>(x, [y0, y1, &rest[..d], y3], d);
        for i in 0..Q {
            dis[i * ny + j..i * ny + j + 4].copy_from_slice(&sums[i]);
        }
    }
    for j in fours..ny {
        for i in 0..Q {
            dis[i * ny + j] = sum::<R, S>(&x[i * d..(i + 1) * d], &y[j * d..(j + 1) * d]);
        }
    }
}

#[inline(always)]
fn ny<R: Lanes, S: Step>(dis: &mut [f32], x: &[f32], y: &[f32]) {
    let d = x.len();
    assert!(y.len() >= dis.len() * d, "fewer rows than distances");
    rows::<R, S, 1>(dis, x, y, d);
}

#[inline(always)]
fn tile<R: Lanes, S: Step>(dis: &mut [f32], x: &[f32], y: &[f32], d: usize) {
    if d == 0 {
        dis.fill(0.0);
        return;
    }
    let (nx, ny) = (x.len() / d, y.len() / d);
    assert!(dis.len() == nx * ny, "a distance for each pair");
    let mut i = 0;
    while i + R::TILE_ROWS <= nx {
        let out = &mut dis[i * ny..(i + R::TILE_ROWS) * ny];
        if R::TILE_ROWS == 4 {
            rows::<R, S, 4>(out, &x[i * d..], y, d);
        } else {
            rows::<R, S, 2>(out, &x[i * d..], y, d);
        }
        i += R::TILE_ROWS;
    }
    while i < nx {
        rows::<R, S, 1>(&mut dis[i * ny..(i + 1) * ny], &x[i * d..], y, d);
        i += 1;
    }
}

#[inline(always)]
pub fn fvec_L2sqr<R: Lanes>(x: &[f32], y: &[f32]) -> f32 {
    sum::<R, L2>(x, y)
}

#[inline(always)]
pub fn fvec_inner_product<R: Lanes>(x: &[f32], y: &[f32]) -> f32 {
    sum::<R, Product>(x, y)
}

#[inline(always)]
pub fn fvec_L1<R: Lanes>(x: &[f32], y: &[f32]) -> f32 {
    sum::<R, L1>(x, y)
}

#[inline(always)]
pub fn fvec_Linf<R: Lanes>(x: &[f32], y: &[f32]) -> f32 {
    let n = x.len().min(y.len());
    let (xs, ys) = (x[..n].chunks_exact(R::WIDTH), y[..n].chunks_exact(R::WIDTH));
    let (x_rest, y_rest) = (R::load_part(xs.remainder()), R::load_part(ys.remainder()));
    let mut largest = x_rest.sub(y_rest).abs().max(R::zero());
    for (p, q) in xs.zip(ys) {
        largest = R::load(p).sub(R::load(q)).abs().max(largest);
    }
    largest.largest()
}

#[inline(always)]
pub fn fvec_L2sqr_batch_4<R: Lanes>(x: &[f32], y: [&[f32]; 4]) -> [f32; 4] {
    block::<R, L2, 1>(x, y, x.len())[0]
}

#[inline(always)]
pub fn fvec_inner_product_batch_4<R: Lanes>(x: &[f32], y: [&[f32]; 4]) -> [f32; 4] {
    block::<R, Product, 1>(x, y, x.len())[0]
}

#[inline(always)]
pub fn fvec_norm_L2sqr<R: Lanes>(x: &[f32]) -> f32 {
    sum::<R, Product>(x, x)
}

#[inline(always)]
pub fn fvec_L2sqr_ny<R: Lanes>(dis: &mut [f32], x: &[f32], y: &[f32]) {
    ny::<R, L2>(dis, x, y);
}

#[inline(always)]
pub fn fvec_inner_products_ny<R: Lanes>(dis: &mut [f32], x: &[f32], y: &[f32]) {
    ny::<R, Product>(dis, x, y);
}

#[inline(always)]
pub fn fvec_L1_ny<R: Lanes>(dis: &mut [f32], x: &[f32], y: &[f32]) {
    ny::<R, L1>(dis, x, y);
}

#[inline(always)]
pub fn fvec_Linf_ny<R: Lanes>(dis: &mut [f32], x: &[f32], y: &[f32]) {
    let d = x.len();
    for (j, out) in dis.iter_mut().enumerate() {
        *out = fvec_Linf::<R>(x, &y[j * d..(j + 1) * d]);
    }
}

#[inline(always)]
pub fn fvec_L2sqr_tile<R: Lanes>(dis: &mut [f32], x: &[f32], y: &[f32], d: usize) {
    tile::<R, L2>(dis, x, y, d);
}

#[inline(always)]
pub fn fvec_inner_products_tile<R: Lanes>(dis: &mut [f32], x: &[f32], y: &[f32], d: usize) {
    tile::<R, Product>(dis, x, y, d);
}

#[inline(always)]
pub fn fvec_L1_tile<R: Lanes>(dis: &mut [f32], x: &[f32], y: &[f32], d: usize) {
    tile::<R, L1>(dis, x, y, d);
}

#[inline(always)]
pub fn fvec_norms_L2sqr<R: Lanes>(norms: &mut [f32], x: &[f32], d: usize) {
    for (j, norm) in norms.iter_mut().enumerate() {
        *norm = fvec_norm_L2sqr::<R>(&x[j * d..(j + 1) * d]);
    }
}

// What follows is one operation a number: the compiler vectorises it for the entry point's instruction set.

#[inline(always)]
pub fn fvec_sub<R: Lanes>(out: &mut [f32], x: &[f32], y: &[f32]) {
    for ((o, a), b) in out.iter_mut().zip(x).zip(y) {
        *o = a - b;
    }
}

#[inline(always)]
pub fn fvec_madd<R: Lanes>(out: &mut [f32], a: &[f32], factor: f32, b: &[f32]) {
    for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
        *o = a + factor * b;
    }
}

#[inline(always)]
pub fn fvec_add_scaled<R: Lanes>(sum: &mut [f32], factor: f32, x: &[f32]) {
    for (s, v) in sum.iter_mut().zip(x) {
        *s += factor * v;
    }
}

#[inline(always)]
pub fn fvec_scale<R: Lanes>(x: &mut [f32], factor: f32) {
    for v in x {
        *v *= factor;
    }
}

#[inline(always)]
pub fn products_to_L2sqr<R: Lanes>(row: &mut [f32], x_norm: f32, y_norms: &[f32]) {
    for (v, norm) in row.iter_mut().zip(y_norms) {
        let distance = (x_norm + norm) + *v;
        // Rounding may lead below 0; a NaN stays one.
        *v = if distance < 0.0 { 0.0 } else { distance };
    }
}

/// Sums over the coordinates of `x` for the columns of `yt`, which has the coordinate outermost. The sums of a block stay in registers.
#[inline(always)]
fn by_columns(dis: &mut [f32], x: &[f32], yt: &[f32], step: impl Fn(f32, f32, f32) -> f32) {
    const BLOCK: usize = 64;
    let n = dis.len();
    assert!(yt.len() >= n * x.len(), "fewer columns than results");
    if n == 0 {
        return;
    }
    let mut at = 0;
    for block in dis.chunks_exact_mut(BLOCK) {
        let mut sums = [0f32; BLOCK];
        for (v, row) in x.iter().zip(yt.chunks_exact(n)) {
            for (sum, w) in sums.iter_mut().zip(&row[at..at + BLOCK]) {
                *sum = step(*v, *w, *sum);
            }
        }
        block.copy_from_slice(&sums);
        at += BLOCK;
    }
    for (j, out) in dis.iter_mut().enumerate().skip(at) {
        *out = x.iter().zip(yt.chunks_exact(n)).fold(0.0, |sum, (v, row)| step(*v, row[j], sum));
    }
}

#[inline(always)]
pub fn fvec_L2sqr_ny_transposed<R: Lanes>(dis: &mut [f32], x: &[f32], yt: &[f32]) {
    by_columns(dis, x, yt, |a, b, sum| fused::<R>(a - b, a - b, sum));
}

#[inline(always)]
pub fn fvec_inner_products_ny_transposed<R: Lanes>(dis: &mut [f32], x: &[f32], yt: &[f32]) {
    by_columns(dis, x, yt, fused::<R>);
}
