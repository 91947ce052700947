//! The kernels, generic over the register type.

use super::lanes::Lanes;

/// What a kernel does with a pair of numbers and what it has so far; a pair of zeros must leave that as it is.
trait Step {
    fn step<R: Lanes>(x: R, y: R, sum: R) -> R;
}

struct L2;
impl Step for L2 {
    #[inline(always)]
    fn step<R: Lanes>(x: R, y: R, sum: R) -> R {
        let t = x.sub(y);
        t.madd(t, sum)
    }
}

struct Product;
impl Step for Product {
    #[inline(always)]
    fn step<R: Lanes>(x: R, y: R, sum: R) -> R {
        x.madd(y, sum)
    }
}

struct L1;
impl Step for L1 {
    #[inline(always)]
    fn step<R: Lanes>(x: R, y: R, sum: R) -> R {
        sum.add(x.sub(y).abs())
    }
}

/// Not a sum but the largest so far.
struct Linf;
impl Step for Linf {
    #[inline(always)]
    fn step<R: Lanes>(x: R, y: R, largest: R) -> R {
        x.sub(y).abs().max(largest)
    }
}

/// Steps over two vectors, in two registers, so that one step need not wait for the last.
#[inline(always)]
fn fold<R: Lanes, S: Step>(x: &[f32], y: &[f32]) -> (R, R) {
    let n = x.len().min(y.len());
    let (x, y) = (&x[..n], &y[..n]);
    let (mut a, mut b) = (R::zero(), R::zero());
    let (mut xs, mut ys) = (x.chunks_exact(2 * R::WIDTH), y.chunks_exact(2 * R::WIDTH));
    for (p, q) in (&mut xs).zip(&mut ys) {
        a = S::step(R::load(p), R::load(q), a);
        b = S::step(R::load(&p[R::WIDTH..]), R::load(&q[R::WIDTH..]), b);
    }
    let (mut xs, mut ys) = (xs.remainder().chunks_exact(R::WIDTH), ys.remainder().chunks_exact(R::WIDTH));
    for (p, q) in (&mut xs).zip(&mut ys) {
        a = S::step(R::load(p), R::load(q), a);
    }
    if !xs.remainder().is_empty() {
        b = S::step(R::load_part(xs.remainder()), R::load_part(ys.remainder()), b);
    }
    (a, b)
}

#[inline(always)]
fn sum<R: Lanes, S: Step>(x: &[f32], y: &[f32]) -> f32 {
    let (a, b) = fold::<R, S>(x, y);
    a.add(b).total()
}

/// One register of `x` with one of each of four rows of `y`.
#[inline(always)]
fn four<R: Lanes, S: Step>(p: R, q: [R; 4], sums: [R; 4]) -> [R; 4] {
    [S::step(p, q[0], sums[0]), S::step(p, q[1], sums[1]), S::step(p, q[2], sums[2]), S::step(p, q[3], sums[3])]
}

/// Steps over `Q` (1, 2 or 4) rows of `x` and four rows of `y`, all `d` wide: a number that was loaded is used `Q` or four times.
///
/// Written out row by row: of a loop over the rows the compiler would keep the sums in memory.
#[inline(always)]
fn block<R: Lanes, S: Step, const Q: usize>(x: &[f32], y: &[f32], d: usize) -> [[f32; 4]; Q] {
    let row = |i: usize| if i < Q { &x[i * d..(i + 1) * d] } else { &[] };
    let (x0, x1, x2, x3) = (&x[..d], row(1), row(2), row(3));
    let (y0, y1, y2, y3) = (&y[..d], &y[d..2 * d], &y[2 * d..3 * d], &y[3 * d..4 * d]);
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
    if at < d {
        let q = [R::load_part(&y0[at..]), R::load_part(&y1[at..]), R::load_part(&y2[at..]), R::load_part(&y3[at..])];
        s0 = four::<R, S>(R::load_part(&x0[at..]), q, s0);
        if Q > 1 {
            s1 = four::<R, S>(R::load_part(&x1[at..]), q, s1);
        }
        if Q > 2 {
            s2 = four::<R, S>(R::load_part(&x2[at..]), q, s2);
            s3 = four::<R, S>(R::load_part(&x3[at..]), q, s3);
        }
    }
    let mut out = [[0.0; 4]; Q];
    for (out, sums) in out.iter_mut().zip([s0, s1, s2, s3]) {
        *out = R::totals(sums);
    }
    out
}

/// `Q` rows of `x` and all rows of `y`; the sums of row `i` go to row `i` of `dis`.
#[inline(always)]
fn rows<R: Lanes, S: Step, const Q: usize>(dis: &mut [f32], x: &[f32], y: &[f32], d: usize) {
    let ny = dis.len() / Q;
    let fours = ny / 4 * 4;
    for j in (0..fours).step_by(4) {
        let sums = block::<R, S, Q>(x, &y[j * d..], d);
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
    let (a, b) = fold::<R, Linf>(x, y);
    a.max(b).largest()
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

/// Few dimensions and many rows: registers run along the rows.
#[inline(always)]
pub fn fvec_L2sqr_columns<R: Lanes>(dis: &mut [f32], x: &[f32], y: &[f32]) {
    let n = dis.len();
    dis.fill(0.0);
    for (v, column) in x.iter().zip(y.chunks_exact(n.max(1))) {
        for (sum, w) in dis.iter_mut().zip(column) {
            let t = v - w;
            *sum += t * t;
        }
    }
}

#[inline(always)]
pub fn fvec_min<R: Lanes>(x: &[f32]) -> f32 {
    // Sixteen candidates, so that the comparisons do not wait for each other.
    let mut smallest = [f32::INFINITY; 16];
    let chunks = x.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (s, v) in smallest.iter_mut().zip(chunk) {
            *s = if *v < *s { *v } else { *s };
        }
    }
    smallest.iter().chain(rest).fold(f32::INFINITY, |s, v| if *v < s { *v } else { s })
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

/// `sum + step`, fused where that is one instruction.
#[inline(always)]
fn fused<R: Lanes>(a: f32, b: f32, sum: f32) -> f32 {
    if R::WIDTH > 4 || cfg!(target_arch = "aarch64") { a.mul_add(b, sum) } else { a * b + sum }
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

#[inline(always)]
pub fn nearest_L2sqr_transposed<R: Lanes>(x: &[f32], yt: &[f32], dis: &mut [f32]) -> usize {
    fvec_L2sqr_ny_transposed::<R>(dis, x, yt);
    let smallest = fvec_min::<R>(dis);
    dis.iter().position(|v| *v == smallest).unwrap_or(0)
}
