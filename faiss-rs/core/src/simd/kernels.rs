//! The kernels on slices of numbers, generic over the register type.

use super::lanes::Lanes;
pub use super::nearest::{
    fvec_norms_by_coordinate, nearest_L2sqr_transposed, nearest_by_products_transposed, nearest_of_products,
    nearest_rows_by_products,
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

/// The rest of a row, fewer numbers than lanes, with zeros behind it.
type Tail = [f32; 16];

#[inline(always)]
fn tail<R: Lanes>(x: &[f32]) -> Tail {
    let mut out = [0.0; 16];
    let (mut at, from) = (0, x.len() / R::WIDTH * R::WIDTH);
    while from + at < x.len() {
        out[at] = x[from + at];
        at += 1;
    }
    out
}

/// The sums of four rows, with the rest of each. `OVER`: `end` is the rest of `x`, and of `y` there is a register's width from where the rest begins,
/// whatever the numbers behind it are.
#[inline(always)]
fn finish<R: Lanes, S: Step, const OVER: bool>(x: &[f32], end: &Tail, y: [&[f32]; 4], s: [R; 4]) -> [f32; 4] {
    let n = x.len();
    if n == 0 {
        return R::totals(s);
    }
    let mut s = s;
    if R::WIDTH < 16 {
        let q = if OVER {
            [R::load_first(y[0], n), R::load_first(y[1], n), R::load_first(y[2], n), R::load_first(y[3], n)]
        } else {
            [R::load_part(y[0]), R::load_part(y[1]), R::load_part(y[2]), R::load_part(y[3])]
        };
        s = four::<R, S>(if OVER { R::load(end) } else { R::load_part(x) }, q, s);
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

/// How many numbers of four rows of `y` are looked at: where there are `OVER` their ends, whole registers of them.
#[inline(always)]
fn seen<R: Lanes>(d: usize, over: bool) -> usize {
    if over { d.next_multiple_of(R::WIDTH) } else { d }
}

/// Steps over `Q` (1, 2 or 4) rows of `x`, all `d` wide, and four rows of `y`: a number that was loaded is used `Q` or four times. See [`finish`] for
/// `OVER`, with which `tails` are wanted.
///
/// Written out row by row: of a loop over the rows the compiler would keep the sums in memory.
#[inline(always)]
fn block<R: Lanes, S: Step, const Q: usize, const OVER: bool>(
    x: &[f32],
    tails: &[Tail; Q],
    y: [&[f32]; 4],
    d: usize,
) -> [[f32; 4]; Q] {
    let row = |i: usize| if i < Q { &x[i * d..(i + 1) * d] } else { &[] };
    let (x0, x1, x2, x3) = (&x[..d], row(1), row(2), row(3));
    let seen = seen::<R>(d, OVER);
    let (y0, y1, y2, y3) = (&y[0][..seen], &y[1][..seen], &y[2][..seen], &y[3][..seen]);
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
    out[0] = finish::<R, S, OVER>(&x0[at..], &tails[0], y, s0);
    if Q > 1 {
        out[1] = finish::<R, S, OVER>(&x1[at..], &tails[1], y, s1);
    }
    if Q > 2 {
        out[2] = finish::<R, S, OVER>(&x2[at..], &tails[2], y, s2);
        out[3] = finish::<R, S, OVER>(&x3[at..], &tails[3], y, s3);
    }
    out
}

/// Hints at numbers that come soon: of rows that are read side by side, the processor does not see that they follow each other.
#[inline(always)]
fn ahead(y: &[f32], from: usize, count: usize) {
    // A line of the cache.
    const LINE: usize = 16;
    let end = (from + count).min(y.len());
    let mut at = from;
    while at < end {
        super::prefetch_line(&y[at]);
        at += LINE;
    }
}

/// How far ahead, in numbers: what is hinted at has come by then, and is still in the cache.
const AHEAD: usize = 1024;

/// `Q` rows of `x` and all rows of `y`; the sums of row `i` go to row `i` of `dis`. `FAR`: the rows of `y` come from memory.
#[inline(always)]
fn rows<R: Lanes, S: Step, const Q: usize, const FAR: bool>(dis: &mut [f32], x: &[f32], y: &[f32], d: usize) {
    let ny = dis.len() / Q;
    // Fours of rows, of whose last there is a register's width beyond the end, but for sixteen lanes, which need none.
    let over = if R::WIDTH < 16 { d.next_multiple_of(R::WIDTH) - d } else { 0 };
    let fours = (y.len().saturating_sub(over) / d.max(1)).min(ny) / 4 * 4;
    let distance = AHEAD.max(8 * d);
    let mut tails = [[0.0; 16]; Q];
    for i in 0..Q {
        tails[i] = tail::<R>(&x[i * d..(i + 1) * d]);
    }
    let mut j = 0;
    while j < fours {
        let (y0, y1, y2, y3) = (&y[j * d..], &y[(j + 1) * d..], &y[(j + 2) * d..], &y[(j + 3) * d..]);
        if FAR {
            ahead(y, j * d + distance, 4 * d);
        }
        let sums = if R::WIDTH < 16 {
            block::<R, S, Q, true>(x, &tails, [y0, y1, y2, y3], d)
        } else {
            block::<R, S, Q, false>(x, &tails, [y0, y1, y2, y3], d)
        };
        for i in 0..Q {
            let out = &mut dis[i * ny + j..i * ny + j + 4];
            (out[0], out[1], out[2], out[3]) = (sums[i][0], sums[i][1], sums[i][2], sums[i][3]);
        }
        j += 4;
    }
    while j < ny {
        for i in 0..Q {
            dis[i * ny + j] = sum::<R, S>(&x[i * d..(i + 1) * d], &y[j * d..(j + 1) * d]);
        }
        j += 1;
    }
}

#[inline(always)]
fn ny<R: Lanes, S: Step>(dis: &mut [f32], x: &[f32], y: &[f32]) {
    let d = x.len();
    assert!(y.len() >= dis.len() * d, "fewer rows than distances");
    rows::<R, S, 1, true>(dis, x, y, d);
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
            rows::<R, S, 4, false>(out, &x[i * d..], y, d);
        } else {
            rows::<R, S, 2, false>(out, &x[i * d..], y, d);
        }
        i += R::TILE_ROWS;
    }
    while i < nx {
        rows::<R, S, 1, false>(&mut dis[i * ny..(i + 1) * ny], &x[i * d..], y, d);
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
    let (mut at, mut largest) = (0, R::zero());
    while at + R::WIDTH <= n {
        largest = R::load(&x[at..]).sub(R::load(&y[at..])).abs().max(largest);
        at += R::WIDTH;
    }
    R::load_part(&x[at..n]).sub(R::load_part(&y[at..n])).abs().max(largest).largest()
}

#[inline(always)]
pub fn fvec_L2sqr_batch_4<R: Lanes>(x: &[f32], y: [&[f32]; 4]) -> [f32; 4] {
    block::<R, L2, 1, false>(x, &[[0.0; 16]], y, x.len())[0]
}

#[inline(always)]
pub fn fvec_inner_product_batch_4<R: Lanes>(x: &[f32], y: [&[f32]; 4]) -> [f32; 4] {
    block::<R, Product, 1, false>(x, &[[0.0; 16]], y, x.len())[0]
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
    for j in 0..dis.len() {
        dis[j] = fvec_Linf::<R>(x, &y[j * d..(j + 1) * d]);
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
    for j in 0..norms.len() {
        norms[j] = fvec_norm_L2sqr::<R>(&x[j * d..(j + 1) * d]);
    }
}

#[inline(always)]
pub fn fvec_sub<R: Lanes>(out: &mut [f32], x: &[f32], y: &[f32]) {
    let (w, n) = (R::WIDTH, out.len().min(x.len()).min(y.len()));
    let mut at = 0;
    while at + w <= n {
        R::load(&x[at..]).sub(R::load(&y[at..])).store(&mut out[at..]);
        at += w;
    }
    while at < n {
        out[at] = x[at] - y[at];
        at += 1;
    }
}

#[inline(always)]
pub fn fvec_madd<R: Lanes>(out: &mut [f32], a: &[f32], factor: f32, b: &[f32]) {
    let (w, n, f) = (R::WIDTH, out.len().min(a.len()).min(b.len()), R::splat(factor));
    let mut at = 0;
    while at + w <= n {
        R::load(&a[at..]).add(f.mul(R::load(&b[at..]))).store(&mut out[at..]);
        at += w;
    }
    while at < n {
        out[at] = a[at] + factor * b[at];
        at += 1;
    }
}

#[inline(always)]
pub fn fvec_add_scaled<R: Lanes>(sum: &mut [f32], factor: f32, x: &[f32]) {
    let (w, n, f) = (R::WIDTH, sum.len().min(x.len()), R::splat(factor));
    let mut at = 0;
    while at + w <= n {
        R::load(&sum[at..]).add(f.mul(R::load(&x[at..]))).store(&mut sum[at..]);
        at += w;
    }
    while at < n {
        sum[at] += factor * x[at];
        at += 1;
    }
}

#[inline(always)]
pub fn fvec_scale<R: Lanes>(x: &mut [f32], factor: f32) {
    let (w, f) = (R::WIDTH, R::splat(factor));
    let mut at = 0;
    while at + w <= x.len() {
        R::load(&x[at..]).mul(f).store(&mut x[at..]);
        at += w;
    }
    while at < x.len() {
        x[at] *= factor;
        at += 1;
    }
}

#[inline(always)]
pub fn products_to_L2sqr<R: Lanes>(row: &mut [f32], x_norm: f32, y_norms: &[f32]) {
    let (w, n, norm) = (R::WIDTH, row.len().min(y_norms.len()), R::splat(x_norm));
    let mut at = 0;
    // Rounding may lead below 0; a NaN stays one.
    while at + w <= n {
        let distance = norm.add(R::load(&y_norms[at..])).add(R::load(&row[at..]));
        R::zero().max(distance).store(&mut row[at..]);
        at += w;
    }
    while at < n {
        let distance = (x_norm + y_norms[at]) + row[at];
        row[at] = if distance < 0.0 { 0.0 } else { distance };
        at += 1;
    }
}

/// Sums over the coordinates of `x` for the columns of `yt`, which has the coordinate outermost: four registers of columns at a time.
#[inline(always)]
fn by_columns<R: Lanes, S: Step>(dis: &mut [f32], x: &[f32], yt: &[f32]) {
    let (w, n) = (R::WIDTH, dis.len());
    assert!(yt.len() >= n * x.len(), "fewer columns than results");
    let mut at = 0;
    while at + 4 * w <= n {
        let [mut a, mut b, mut c, mut d] = [R::zero(); 4];
        for i in 0..x.len() {
            let (v, row) = (R::splat(x[i]), &yt[i * n + at..i * n + at + 4 * w]);
            a = S::step(v, R::load(row), a);
            b = S::step(v, R::load(&row[w..]), b);
            c = S::step(v, R::load(&row[2 * w..]), c);
            d = S::step(v, R::load(&row[3 * w..]), d);
        }
        a.store(&mut dis[at..]);
        b.store(&mut dis[at + w..]);
        c.store(&mut dis[at + 2 * w..]);
        d.store(&mut dis[at + 3 * w..]);
        at += 4 * w;
    }
    while at + w <= n {
        let mut sum = R::zero();
        for i in 0..x.len() {
            sum = S::step(R::splat(x[i]), R::load(&yt[i * n + at..i * n + at + w]), sum);
        }
        sum.store(&mut dis[at..]);
        at += w;
    }
    while at < n {
        let mut sum = 0.0;
        for i in 0..x.len() {
            sum = S::scalar::<R>(x[i], yt[i * n + at], sum);
        }
        dis[at] = sum;
        at += 1;
    }
}

#[inline(always)]
pub fn fvec_transpose<R: Lanes>(xt: &mut [f32], x: &[f32], d: usize) {
    let n = x.len().checked_div(d).unwrap_or(0);
    let mut row = 0;
    while row + 8 <= n {
        let mut c = 0;
        while c < d {
            let width = (d - c).min(8);
            R::transpose_8(&x[row * d + c..(row + 7) * d + c + width], d, width, &mut xt[c * n + row..], n);
            c += 8;
        }
        row += 8;
    }
    while row < n {
        let mut c = 0;
        while c < d {
            xt[c * n + row] = x[row * d + c];
            c += 1;
        }
        row += 1;
    }
}

#[inline(always)]
pub fn fvec_L2sqr_ny_transposed<R: Lanes>(dis: &mut [f32], x: &[f32], yt: &[f32]) {
    by_columns::<R, L2>(dis, x, yt);
}

#[inline(always)]
pub fn fvec_inner_products_ny_transposed<R: Lanes>(dis: &mut [f32], x: &[f32], yt: &[f32]) {
    by_columns::<R, Product>(dis, x, yt);
}

/// [`by_columns`] for each part of `x`.
#[inline(always)]
fn by_parts<R: Lanes, S: Step>(tables: &mut [f32], x: &[f32], yt: &[f32], dsub: usize) {
    let parts = x.len().checked_div(dsub).unwrap_or(0);
    let ksub = tables.len().checked_div(parts).unwrap_or(0);
    for m in 0..parts {
        let (part, columns) = (&x[m * dsub..(m + 1) * dsub], &yt[m * ksub * dsub..(m + 1) * ksub * dsub]);
        by_columns::<R, S>(&mut tables[m * ksub..(m + 1) * ksub], part, columns);
    }
}

#[inline(always)]
pub fn fvec_L2sqr_tables<R: Lanes>(tables: &mut [f32], x: &[f32], yt: &[f32], dsub: usize) {
    by_parts::<R, L2>(tables, x, yt, dsub);
}

#[inline(always)]
pub fn fvec_inner_products_tables<R: Lanes>(tables: &mut [f32], x: &[f32], yt: &[f32], dsub: usize) {
    by_parts::<R, Product>(tables, x, yt, dsub);
}
