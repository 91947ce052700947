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

/// `Q` rows of `x` and all rows of `y`; the sums of row `i` go to row `i` of `dis`.
#[inline(always)]
fn rows<R: Lanes, S: Step, const Q: usize>(dis: &mut [f32], x: &[f32], y: &[f32], d: usize) {
    let ny = dis.len() / Q;
    let fours = ny / 4 * 4;
    let mut j = 0;
    while j < fours {
        let (y0, rest) = y[j * d..(j + 4) * d].split_at(d);
        let ((y1, rest), y3) = (rest.split_at(d), &y[(j + 3) * d..(j + 4) * d]);
        if Q == 1 {
            ahead(y, (j + 8) * d, 4 * d);
        }
        let sums = block::<R, S, Q>(x, [y0, y1, &rest[..d], y3], d);
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
    let (mut at, mut largest) = (0, R::zero());
    while at + R::WIDTH <= n {
        largest = R::load(&x[at..]).sub(R::load(&y[at..])).abs().max(largest);
        at += R::WIDTH;
    }
    R::load_part(&x[at..n]).sub(R::load_part(&y[at..n])).abs().max(largest).largest()
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
