//! The kernels, generic over the number of lanes `W` and over whether a fused multiply-add is one instruction.
//!
//! Sums are kept in `W` lanes, as a vector register holds them: this is what lets the compiler vectorise a floating-point sum.
#![allow(non_snake_case)]

#[inline(always)]
fn madd<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    // Without the instruction mul_add is a call into libm.
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The lanes added up to four: additions of whole registers, which the compiler sees as such.
#[inline(always)]
fn quarter<const W: usize>(lanes: [f32; W]) -> [f32; 4] {
    let mut sums = [0f32; 4];
    for part in lanes.chunks_exact(4) {
        for i in 0..4 {
            sums[i] += part[i];
        }
    }
    sums
}

/// The sum of the lanes.
#[inline(always)]
fn total<const W: usize>(lanes: [f32; W]) -> f32 {
    let [a, b, c, d] = quarter(lanes);
    (a + c) + (b + d)
}

/// The sums of four sets of lanes at once. `W` lanes of a register imply its instruction set: 16 are only used with AVX-512, 8 with AVX2.
#[inline(always)]
fn totals<const W: usize>(a: [f32; W], b: [f32; W], c: [f32; W], d: [f32; W]) -> [f32; 4] {
    #[cfg(target_arch = "x86_64")]
    if W >= 8 {
        // Left alone, the compiler transposes the registers element by element.
        use std::arch::x86_64::*;
        // SAFETY: the instruction set is that of the caller's entry point; loads and stores are of whole arrays and need no alignment.
        unsafe {
            let half = |lanes: &[f32; W]| {
                if W == 16 {
                    let all = _mm512_loadu_ps(lanes.as_ptr());
                    _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps::<1>(all))
                } else {
                    _mm256_loadu_ps(lanes.as_ptr())
                }
            };
            let pairs = _mm256_hadd_ps(_mm256_hadd_ps(half(&a), half(&b)), _mm256_hadd_ps(half(&c), half(&d)));
            let sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
            let mut out = [0f32; 4];
            _mm_storeu_ps(out.as_mut_ptr(), sums);
            return out;
        }
    }
    [total(a), total(b), total(c), total(d)]
}

/// Fewer than `W` numbers as a register, completed by zeros, which leave every sum as it is.
#[inline(always)]
fn padded<const W: usize>(x: &[f32]) -> [f32; W] {
    debug_assert!(x.len() < W);
    let mut out = [0f32; W];
    #[cfg(target_arch = "x86_64")]
    if W >= 8 {
        use std::arch::x86_64::*;
        // SAFETY: the instruction set is that of the caller's entry point; the masks cover `x.len()` numbers, which is less than `W`.
        unsafe {
            if W == 16 {
                let all = _mm512_maskz_loadu_ps((1u32 << x.len()) as u16 - 1, x.as_ptr());
                _mm512_storeu_ps(out.as_mut_ptr(), all);
            } else {
                let count = _mm256_set1_epi32(x.len() as i32);
                let mask = _mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
                _mm256_storeu_ps(out.as_mut_ptr(), _mm256_maskload_ps(x.as_ptr(), mask));
            }
        }
        return out;
    }
    out[..x.len()].copy_from_slice(x);
    out
}

/// Folds `step`, which leaves the sum as it is for a pair of zeros, over pairs of elements.
#[inline(always)]
fn fold<const W: usize>(x: &[f32], y: &[f32], step: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let n = x.len().min(y.len());
    let (x, y) = (&x[..n], &y[..n]);
    // Two registers, so that one addition need not wait for the last.
    let (mut a, mut b) = ([0f32; W], [0f32; W]);
    let (mut xs, mut ys) = (x.chunks_exact(2 * W), y.chunks_exact(2 * W));
    for (p, q) in (&mut xs).zip(&mut ys) {
        for i in 0..W {
            a[i] = step(p[i], q[i], a[i]);
            b[i] = step(p[W + i], q[W + i], b[i]);
        }
    }
    let (mut xs, mut ys) = (xs.remainder().chunks_exact(W), ys.remainder().chunks_exact(W));
    for (p, q) in (&mut xs).zip(&mut ys) {
        for i in 0..W {
            a[i] = step(p[i], q[i], a[i]);
        }
    }
    if !xs.remainder().is_empty() {
        let (p, q) = (padded::<W>(xs.remainder()), padded::<W>(ys.remainder()));
        for i in 0..W {
            b[i] = step(p[i], q[i], b[i]);
        }
    }
    for i in 0..W {
        a[i] += b[i];
    }
    total(a)
}

/// Folds `step` over `x` and each row of `y`, four rows at a time, so that `x` is loaded once for four.
#[inline(always)]
fn fold_ny<const W: usize>(dis: &mut [f32], x: &[f32], y: &[f32], step: impl Fn(f32, f32, f32) -> f32 + Copy) {
    let d = x.len();
    if d == 0 {
        dis.fill(0.0);
        return;
    }
    let rows = dis.len();
    assert!(y.len() >= rows * d, "fewer rows than distances");
    let whole = d / W * W;
    let fours = rows / 4 * 4;
    for (out, y) in dis[..fours].chunks_exact_mut(4).zip(y.chunks_exact(4 * d)) {
        let (y0, y1, y2, y3) = (&y[..d], &y[d..2 * d], &y[2 * d..3 * d], &y[3 * d..4 * d]);
        let (mut a0, mut a1, mut a2, mut a3) = ([0f32; W], [0f32; W], [0f32; W], [0f32; W]);
        let chunks = x
            .chunks_exact(W)
            .zip(y0.chunks_exact(W))
            .zip(y1.chunks_exact(W))
            .zip(y2.chunks_exact(W))
            .zip(y3.chunks_exact(W));
        for ((((p, q0), q1), q2), q3) in chunks {
            for i in 0..W {
                a0[i] = step(p[i], q0[i], a0[i]);
                a1[i] = step(p[i], q1[i], a1[i]);
                a2[i] = step(p[i], q2[i], a2[i]);
                a3[i] = step(p[i], q3[i], a3[i]);
            }
        }
        if whole < d {
            let p = padded::<W>(&x[whole..]);
            let [q0, q1, q2, q3]: [[f32; W]; 4] = [y0, y1, y2, y3].map(|y| padded(&y[whole..]));
            for i in 0..W {
                a0[i] = step(p[i], q0[i], a0[i]);
                a1[i] = step(p[i], q1[i], a1[i]);
                a2[i] = step(p[i], q2[i], a2[i]);
                a3[i] = step(p[i], q3[i], a3[i]);
            }
        }
        out.copy_from_slice(&totals(a0, a1, a2, a3));
    }
    for (j, out) in dis.iter_mut().enumerate().skip(fours) {
        *out = fold::<W>(x, &y[j * d..(j + 1) * d], step);
    }
}

#[inline(always)]
fn l2_step<const FMA: bool>(a: f32, b: f32, sum: f32) -> f32 {
    let t = a - b;
    madd::<FMA>(t, t, sum)
}

#[inline(always)]
fn l1_step(a: f32, b: f32, sum: f32) -> f32 {
    sum + (a - b).abs()
}

#[inline(always)]
fn linf_step(a: f32, b: f32, max: f32) -> f32 {
    let t = (a - b).abs();
    if t > max { t } else { max }
}

#[inline(always)]
pub fn fvec_L2sqr<const W: usize, const FMA: bool>(x: &[f32], y: &[f32]) -> f32 {
    fold::<W>(x, y, l2_step::<FMA>)
}

#[inline(always)]
pub fn fvec_inner_product<const W: usize, const FMA: bool>(x: &[f32], y: &[f32]) -> f32 {
    fold::<W>(x, y, madd::<FMA>)
}

#[inline(always)]
pub fn fvec_L1<const W: usize, const FMA: bool>(x: &[f32], y: &[f32]) -> f32 {
    fold::<W>(x, y, l1_step)
}

/// The lanes hold maxima, so they are not summed.
#[inline(always)]
pub fn fvec_Linf<const W: usize, const FMA: bool>(x: &[f32], y: &[f32]) -> f32 {
    let n = x.len().min(y.len());
    let mut lanes = [0f32; W];
    let (mut xs, mut ys) = (x[..n].chunks_exact(W), y[..n].chunks_exact(W));
    for (p, q) in (&mut xs).zip(&mut ys) {
        for i in 0..W {
            lanes[i] = linf_step(p[i], q[i], lanes[i]);
        }
    }
    let tail = xs.remainder().iter().zip(ys.remainder()).fold(0.0, |max, (p, q)| linf_step(*p, *q, max));
    lanes.iter().fold(tail, |max, v| if *v > max { *v } else { max })
}

#[inline(always)]
pub fn fvec_norm_L2sqr<const W: usize, const FMA: bool>(x: &[f32]) -> f32 {
    fold::<W>(x, x, madd::<FMA>)
}

#[inline(always)]
pub fn fvec_L2sqr_ny<const W: usize, const FMA: bool>(dis: &mut [f32], x: &[f32], y: &[f32]) {
    fold_ny::<W>(dis, x, y, l2_step::<FMA>);
}

#[inline(always)]
pub fn fvec_inner_products_ny<const W: usize, const FMA: bool>(dis: &mut [f32], x: &[f32], y: &[f32]) {
    fold_ny::<W>(dis, x, y, madd::<FMA>);
}

#[inline(always)]
pub fn fvec_L1_ny<const W: usize, const FMA: bool>(dis: &mut [f32], x: &[f32], y: &[f32]) {
    fold_ny::<W>(dis, x, y, l1_step);
}

#[inline(always)]
pub fn fvec_Linf_ny<const W: usize, const FMA: bool>(dis: &mut [f32], x: &[f32], y: &[f32]) {
    let d = x.len();
    for (j, out) in dis.iter_mut().enumerate() {
        *out = fvec_Linf::<W, FMA>(x, &y[j * d..(j + 1) * d]);
    }
}

#[inline(always)]
pub fn fvec_norms_L2sqr<const W: usize, const FMA: bool>(norms: &mut [f32], x: &[f32], d: usize) {
    for (j, norm) in norms.iter_mut().enumerate() {
        *norm = fvec_norm_L2sqr::<W, FMA>(&x[j * d..(j + 1) * d]);
    }
}

#[inline(always)]
pub fn fvec_sub<const W: usize, const FMA: bool>(out: &mut [f32], x: &[f32], y: &[f32]) {
    for ((o, a), b) in out.iter_mut().zip(x).zip(y) {
        *o = a - b;
    }
}

#[inline(always)]
pub fn fvec_madd<const W: usize, const FMA: bool>(out: &mut [f32], a: &[f32], factor: f32, b: &[f32]) {
    for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
        *o = madd::<FMA>(factor, *b, *a);
    }
}

#[inline(always)]
pub fn fvec_scale<const W: usize, const FMA: bool>(x: &mut [f32], factor: f32) {
    for v in x {
        *v *= factor;
    }
}

#[inline(always)]
pub fn products_to_L2sqr<const W: usize, const FMA: bool>(row: &mut [f32], x_norm: f32, y_norms: &[f32]) {
    for (v, norm) in row.iter_mut().zip(y_norms) {
        let distance = (x_norm + norm) + *v;
        // Rounding may lead below 0; a NaN stays one.
        *v = if distance < 0.0 { 0.0 } else { distance };
    }
}
