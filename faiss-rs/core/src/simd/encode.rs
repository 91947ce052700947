//! The nearest centroid of each part of vectors: the inner loop of product quantizers' encoding. A lane of a register is a vector, so that a
//! centroid is loaded once for all of them and the number of centroids may be small.

use super::kernels::fvec_transpose;
use super::lanes::Lanes;
use super::launch::{Isa, Kernel, launch};

/// For each part of each row of `x`, `d` wide, the number of its nearest centroid by squared differences, the first of equals; 0 where a NaN is
/// nearest to none. `centroids` has `ksub` rows of `dsub` numbers for each of the `d / dsub` parts; `numbers` has a row of as many for each row of
/// `x`.
pub fn nearest_parts(x: &[f32], d: usize, centroids: &[f32], ksub: usize, dsub: usize, numbers: &mut [u32]) {
    assert!(dsub > 0 && d > 0 && d.is_multiple_of(dsub) && x.len().is_multiple_of(d), "whole parts of whole rows");
    assert!(
        centroids.len() >= d * ksub && numbers.len() == x.len() / dsub,
        "centroids of each part, numbers of each row"
    );
    launch(Nearest { x, d, centroids, ksub, dsub, numbers });
}

struct Nearest<'a> {
    x: &'a [f32],
    d: usize,
    centroids: &'a [f32],
    ksub: usize,
    dsub: usize,
    numbers: &'a mut [u32],
}

impl Kernel for Nearest<'_> {
    type Out = ();

    #[inline(always)]
    fn run<R: Isa>(self) {
        let Nearest { x, d, centroids, ksub, dsub, numbers } = self;
        let (wide, parts, n) = (2 * R::F32::WIDTH, d / dsub, x.len() / d);
        let (mut columns, mut padded) = (vec![0f32; wide * d], Vec::new());
        let mut first = 0;
        while first < n {
            let rows = (n - first).min(wide);
            let mut own = &x[first * d..(first + rows) * d];
            if rows < wide {
                padded.resize(wide * d, 0.0);
                padded[..rows * d].copy_from_slice(own);
                own = &padded;
            }
            fvec_transpose::<R::F32>(&mut columns, own, d);
            let mut m = 0;
            while m < parts {
                let columns = &columns[m * dsub * wide..(m + 1) * dsub * wide];
                let centroids = &centroids[m * ksub * dsub..(m + 1) * ksub * dsub];
                let found = match dsub {
                    1 => nearest::<R::F32, 1>(columns, centroids, dsub, ksub),
                    2 => nearest::<R::F32, 2>(columns, centroids, dsub, ksub),
                    4 => nearest::<R::F32, 4>(columns, centroids, dsub, ksub),
                    _ => nearest::<R::F32, 0>(columns, centroids, dsub, ksub),
                };
                let mut lane = 0;
                while lane < rows {
                    numbers[(first + lane) * parts + m] = found[lane] as u32;
                    lane += 1;
                }
                m += 1;
            }
            first += wide;
        }
    }
}

/// The numbers of two registers of vectors, whose coordinates are columns. `D` is `dsub` where the compiler is to know it, else 0.
#[inline(always)]
fn nearest<R: Lanes, const D: usize>(columns: &[f32], centroids: &[f32], dsub: usize, ksub: usize) -> [f32; 32] {
    let (w, dsub) = (R::WIDTH, if D > 0 { D } else { dsub });
    let columns = &columns[..dsub * 2 * w];
    let none = R::splat(f32::INFINITY);
    let (mut least, mut numbers) = ([none; 2], [R::zero(); 2]);
    // Numbers are whole and small enough for an f32.
    let (mut number, mut k) = (R::zero(), 0);
    while k < ksub {
        let y = &centroids[k * dsub..(k + 1) * dsub];
        let (mut a, mut b) = (R::zero(), R::zero());
        let mut c = 0;
        while c < dsub {
            let (v, column) = (R::splat(y[c]), &columns[c * 2 * w..(c + 1) * 2 * w]);
            let t = R::load(column).sub(v);
            a = t.madd(t, a);
            let t = R::load(&column[w..]).sub(v);
            b = t.madd(t, b);
            c += 1;
        }
        a.keep_less(number, &mut least[0], &mut numbers[0]);
        b.keep_less(number, &mut least[1], &mut numbers[1]);
        number = number.add(R::splat(1.0));
        k += 1;
    }
    let mut out = [0f32; 32];
    numbers[0].store(&mut out);
    numbers[1].store(&mut out[w..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::float_randn;
    use crate::simd::{LEVELS, fvec_transpose, level, nearest_L2sqr_transposed, set_level};

    /// Every level finds what a search part by part finds.
    #[test]
    fn parts_go_to_the_nearest_centroid() {
        let before = level();
        for (n, parts, dsub, ksub) in
            [(1, 1, 1, 1), (33, 3, 1, 16), (70, 5, 2, 16), (64, 2, 4, 256), (9, 2, 3, 7), (40, 1, 9, 20)]
        {
            let d = parts * dsub;
            let (mut x, mut centroids) = (vec![0f32; n * d], vec![0f32; ksub * d]);
            float_randn(&mut x, 5).unwrap();
            float_randn(&mut centroids, 6).unwrap();
            if ksub > 4 {
                // Equal centroids, of which the first counts; centroids and vectors that are near to nothing.
                centroids.copy_within(dsub..2 * dsub, 3 * dsub);
                centroids[4 * dsub] = f32::NAN;
                x[2 * d] = f32::NAN;
                x[3 * d] = f32::INFINITY;
            }
            for level in LEVELS.into_iter().filter(|level| set_level(*level)) {
                let mut numbers = vec![9; n * parts];
                nearest_parts(&x, d, &centroids, ksub, dsub, &mut numbers);
                let mut yt = vec![0f32; ksub * dsub];
                for m in 0..parts {
                    fvec_transpose(&mut yt, &centroids[m * ksub * dsub..(m + 1) * ksub * dsub], dsub);
                    for i in 0..n {
                        let part = &x[i * d + m * dsub..i * d + (m + 1) * dsub];
                        let (at, _) = nearest_L2sqr_transposed(part, &yt, ksub);
                        let wanted = if at == usize::MAX { 0 } else { at as u32 };
                        assert_eq!(numbers[i * parts + m], wanted, "{level:?} {ksub} x {dsub}, row {i}, part {m}");
                    }
                }
            }
        }
        set_level(before);
    }
}
