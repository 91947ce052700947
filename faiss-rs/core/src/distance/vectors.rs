//! Faiss's functions on vectors, with its argument lists: numbers of vectors, their dimension, and memory.

use faiss_derive::functions;

use super::{extra, pairwise_distances};
use crate::base::{Error, MetricType, Result};
use crate::{blas, simd};

pub use declared::*;

/// Numbers from the first of `n` rows of `width` to the end of the last, where rows are `stride` apart; -1 for no gaps.
fn span(n: usize, width: usize, stride: i64) -> Result<usize> {
    let step = self::stride(width, stride)?;
    Ok(n.checked_sub(1).map_or(0, |last| last.saturating_mul(step).saturating_add(width)))
}

fn stride(width: usize, stride: i64) -> Result<usize> {
    let given = if stride == -1 { Some(width) } else { usize::try_from(stride).ok() };
    given
        .filter(|step| *step >= width)
        .ok_or_else(|| Error::value(format!("rows of {width} numbers can't be {stride} numbers apart")))
}

/// The rows without gaps.
fn dense(x: &[f32], n: usize, width: usize, stride: i64) -> Result<Vec<f32>> {
    let step = self::stride(width, stride)?;
    Ok((0..n).flat_map(|i| &x[i * step..i * step + width]).copied().collect())
}

/// The position of the smallest number, the first of equals; `None` where there is none.
pub(crate) fn argmin(numbers: &[f32]) -> Option<usize> {
    let smaller = |best: usize, i: usize| if numbers[i] < numbers[best] { i } else { best };
    (0..numbers.len()).reduce(smaller)
}

#[functions]
mod declared {
    use super::*;

    /// Squared L2 distance of two vectors.
    pub fn fvec_L2sqr(#[len = d] x: &[f32], #[len = d] y: &[f32], d: usize) -> Result<f32> {
        Ok(extra::distance(MetricType::L2, 0.0, x, y))
    }

    /// Inner product of two vectors.
    pub fn fvec_inner_product(#[len = d] x: &[f32], #[len = d] y: &[f32], d: usize) -> Result<f32> {
        Ok(extra::distance(MetricType::InnerProduct, 0.0, x, y))
    }

    /// L1 distance of two vectors.
    pub fn fvec_L1(#[len = d] x: &[f32], #[len = d] y: &[f32], d: usize) -> Result<f32> {
        Ok(extra::distance(MetricType::L1, 0.0, x, y))
    }

    /// Largest difference of two vectors.
    pub fn fvec_Linf(#[len = d] x: &[f32], #[len = d] y: &[f32], d: usize) -> Result<f32> {
        Ok(extra::distance(MetricType::Linf, 0.0, x, y))
    }

    /// Squared L2 norm of a vector.
    pub fn fvec_norm_L2sqr(#[len = d] x: &[f32], d: usize) -> Result<f32> {
        Ok(simd::fvec_norm_L2sqr(x))
    }

    /// Squared L2 norms of nx vectors.
    pub fn fvec_norms_L2sqr(
        #[len = nx] norms: &mut [f32],
        #[len = nx * d] x: &[f32],
        d: usize,
        nx: usize,
    ) -> Result<()> {
        crate::distance::fvec_norms_L2sqr(norms, x, d)
    }

    /// L2 norms of nx vectors.
    pub fn fvec_norms_L2(#[len = nx] norms: &mut [f32], #[len = nx * d] x: &[f32], d: usize, nx: usize) -> Result<()> {
        crate::distance::fvec_norms_L2(norms, x, d)
    }

    /// Divides nx vectors by their L2 norms; those of zeros stay.
    pub fn fvec_renorm_L2(d: usize, nx: usize, #[len = nx * d] x: &mut [f32]) -> Result<()> {
        if x.is_empty() { Ok(()) } else { crate::distance::fvec_renorm_L2(x, d) }
    }

    /// Squared L2 distances of x to ny vectors.
    pub fn fvec_L2sqr_ny(
        #[len = ny] dis: &mut [f32],
        #[len = d] x: &[f32],
        #[len = ny * d] y: &[f32],
        d: usize,
        ny: usize,
    ) -> Result<()> {
        extra::distances_ny(MetricType::L2, 0.0, dis, x, y);
        Ok(())
    }

    /// Inner products of x with ny vectors.
    pub fn fvec_inner_products_ny(
        #[len = ny] ip: &mut [f32],
        #[len = d] x: &[f32],
        #[len = ny * d] y: &[f32],
        d: usize,
        ny: usize,
    ) -> Result<()> {
        extra::distances_ny(MetricType::InnerProduct, 0.0, ip, x, y);
        Ok(())
    }

    /// Squared L2 distances of x to ny vectors, which go to the buffer. Returns the number of the nearest, 0 where there is none.
    pub fn fvec_L2sqr_ny_nearest(
        #[len = ny] distances_tmp_buffer: &mut [f32],
        #[len = d] x: &[f32],
        #[len = ny * d] y: &[f32],
        d: usize,
        ny: usize,
    ) -> Result<usize> {
        extra::distances_ny(MetricType::L2, 0.0, distances_tmp_buffer, x, y);
        Ok(argmin(distances_tmp_buffer).unwrap_or(0))
    }

    /// Squared L2 distances of x to ny vectors that are the columns of y: number j of vector i is at y[i + j * d_offset]. y_sqlen: their squared
    /// norms.
    pub fn fvec_L2sqr_ny_transposed(
        #[len = ny] dis: &mut [f32],
        #[len = d] x: &[f32],
        #[len = span(d, ny, d_offset)?] y: &[f32],
        #[len = ny] y_sqlen: &[f32],
        d: usize,
        d_offset: i64,
        ny: usize,
    ) -> Result<()> {
        let (step, norm) = (stride(ny, d_offset)?, simd::fvec_norm_L2sqr(x));
        dis.fill(0.0);
        for (j, factor) in x.iter().enumerate() {
            simd::fvec_add_scaled(dis, *factor, &y[j * step..j * step + ny]);
        }
        dis.iter_mut().zip(y_sqlen).for_each(|(product, own)| *product = norm + own - 2.0 * *product);
        Ok(())
    }

    /// As fvec_L2sqr_ny_transposed. Returns the number of the nearest vector, 0 where there is none.
    pub fn fvec_L2sqr_ny_nearest_y_transposed(
        #[len = ny] distances_tmp_buffer: &mut [f32],
        #[len = d] x: &[f32],
        #[len = span(d, ny, d_offset)?] y: &[f32],
        #[len = ny] y_sqlen: &[f32],
        d: usize,
        d_offset: i64,
        ny: usize,
    ) -> Result<usize> {
        fvec_L2sqr_ny_transposed(distances_tmp_buffer, x, y, y_sqlen, d, d_offset, ny)?;
        Ok(argmin(distances_tmp_buffer).unwrap_or(0))
    }

    /// Squared L2 distances of x to four vectors, one number each.
    pub fn fvec_L2sqr_batch_4(
        #[len = d] x: &[f32],
        #[len = d] y0: &[f32],
        #[len = d] y1: &[f32],
        #[len = d] y2: &[f32],
        #[len = d] y3: &[f32],
        d: usize,
        #[len = 1] dis0: &mut [f32],
        #[len = 1] dis1: &mut [f32],
        #[len = 1] dis2: &mut [f32],
        #[len = 1] dis3: &mut [f32],
    ) -> Result<()> {
        [dis0[0], dis1[0], dis2[0], dis3[0]] = simd::fvec_L2sqr_batch_4(x, [y0, y1, y2, y3]);
        Ok(())
    }

    /// Inner products of x with four vectors, one number each.
    pub fn fvec_inner_product_batch_4(
        #[len = d] x: &[f32],
        #[len = d] y0: &[f32],
        #[len = d] y1: &[f32],
        #[len = d] y2: &[f32],
        #[len = d] y3: &[f32],
        d: usize,
        #[len = 1] dis0: &mut [f32],
        #[len = 1] dis1: &mut [f32],
        #[len = 1] dis2: &mut [f32],
        #[len = 1] dis3: &mut [f32],
    ) -> Result<()> {
        [dis0[0], dis1[0], dis2[0], dis3[0]] = simd::fvec_inner_product_batch_4(x, [y0, y1, y2, y3]);
        Ok(())
    }

    /// c = a + bf * b.
    pub fn fvec_madd(
        n: usize,
        #[len = n] a: &[f32],
        bf: f32,
        #[len = n] b: &[f32],
        #[len = n] c: &mut [f32],
    ) -> Result<()> {
        simd::fvec_madd(c, a, bf, b);
        Ok(())
    }

    /// c = a + bf * b. Returns the position of the smallest number of c, -1 where there is none below 1e20.
    pub fn fvec_madd_and_argmin(
        n: usize,
        #[len = n] a: &[f32],
        bf: f32,
        #[len = n] b: &[f32],
        #[len = n] c: &mut [f32],
    ) -> Result<i64> {
        simd::fvec_madd(c, a, bf, b);
        Ok(argmin(c).filter(|i| c[*i] < 1e20).map_or(-1, |i| i as i64))
    }

    /// c = a + b.
    pub fn fvec_add(d: usize, #[len = d] a: &[f32], #[len = d] b: &[f32], #[len = d] c: &mut [f32]) -> Result<()> {
        c.iter_mut().zip(a).zip(b).for_each(|((c, a), b)| *c = a + b);
        Ok(())
    }

    /// c = a + b, where b is a number.
    #[name = "fvec_add"]
    pub fn fvec_add_number(d: usize, #[len = d] a: &[f32], b: f32, #[len = d] c: &mut [f32]) -> Result<()> {
        c.iter_mut().zip(a).for_each(|(c, a)| *c = a + b);
        Ok(())
    }

    /// c = a - b.
    pub fn fvec_sub(d: usize, #[len = d] a: &[f32], #[len = d] b: &[f32], #[len = d] c: &mut [f32]) -> Result<()> {
        simd::fvec_sub(c, a, b);
        Ok(())
    }

    /// Makes squared distances of inner products, n1 rows of n2, by the squared norms of what was multiplied.
    pub fn inner_product_to_L2sqr(
        #[len = n1 * n2] dis: &mut [f32],
        #[len = n1] nr1: &[f32],
        #[len = n2] nr2: &[f32],
        n1: usize,
        n2: usize,
    ) -> Result<()> {
        for (row, norm) in dis.chunks_exact_mut(n2.max(1)).zip(nr1) {
            row.iter_mut().zip(nr2).for_each(|(product, other)| *product = norm + other - 2.0 * *product);
        }
        Ok(())
    }

    /// Squared L2 distances of nq to nb vectors. Rows are ldq, ldb and ldd numbers apart; -1 for no gaps.
    pub fn pairwise_L2sqr(
        d: usize,
        nq: usize,
        #[len = span(nq, d, ldq)?] xq: &[f32],
        nb: usize,
        #[len = span(nb, d, ldb)?] xb: &[f32],
        #[len = span(nq, nb, ldd)?] dis: &mut [f32],
        #[default = -1] ldq: i64,
        #[default = -1] ldb: i64,
        #[default = -1] ldd: i64,
    ) -> Result<()> {
        pairwise_extra_distances(d, nq, xq, nb, xb, MetricType::L2, 0.0, dis, ldq, ldb, ldd)
    }

    /// Distances of nq to nb vectors by a metric. Rows are ldq, ldb and ldd numbers apart; -1 for no gaps.
    pub fn pairwise_extra_distances(
        d: usize,
        nq: usize,
        #[len = span(nq, d, ldq)?] xq: &[f32],
        nb: usize,
        #[len = span(nb, d, ldb)?] xb: &[f32],
        mt: MetricType,
        metric_arg: f32,
        #[len = span(nq, nb, ldd)?] dis: &mut [f32],
        #[default = -1] ldq: i64,
        #[default = -1] ldb: i64,
        #[default = -1] ldd: i64,
    ) -> Result<()> {
        let (queries, base) = (dense(xq, nq, d, ldq)?, dense(xb, nb, d, ldb)?);
        let step = stride(nb, ldd)?;
        if step == nb {
            return pairwise_distances(&queries, nq, &base, nb, d, mt, metric_arg, dis);
        }
        let mut out = vec![0f32; nq * nb];
        pairwise_distances(&queries, nq, &base, nb, d, mt, metric_arg, &mut out)?;
        for (to, from) in dis.chunks_mut(step).zip(out.chunks_exact(nb.max(1))) {
            to[..nb].copy_from_slice(from);
        }
        Ok(())
    }

    /// Distances of the parts of nx vectors, two numbers each, to the ksub centroids of each part: nx * d / 2 * ksub.
    pub fn compute_PQ_dis_tables_dsub2(
        d: usize,
        ksub: usize,
        #[len = d / 2 * ksub * 2] centroids: &[f32],
        nx: usize,
        #[len = nx * d] x: &[f32],
        is_inner_product: bool,
        #[len = nx * (d / 2) * ksub] dis_tables: &mut [f32],
    ) -> Result<()> {
        Error::check(d.is_multiple_of(2), "d % 2 == 0")?;
        let metric = if is_inner_product { MetricType::InnerProduct } else { MetricType::L2 };
        for (i, (table, part)) in dis_tables.chunks_exact_mut(ksub.max(1)).zip(x.chunks_exact(2)).enumerate() {
            let first = i % (d / 2) * ksub * 2;
            extra::distances_ny(metric, 0.0, table, part, &centroids[first..first + ksub * 2]);
        }
        Ok(())
    }

    /// Makes the rows of a, n of m numbers each, orthonormal; they span what they spanned before. m is at least n.
    pub fn matrix_qr(m: usize, n: usize, #[len = n * m] a: &mut [f32]) -> Result<()> {
        Error::check(m >= n, "m >= n")?;
        blas::orthonormal_columns(m, n, a)
    }

    /// Reflects n vectors at nu planes, one after the other, whose normals are the rows of u.
    pub fn reflection(
        #[len = nu * d] u: &[f32],
        #[len = n * d] x: &mut [f32],
        n: usize,
        d: usize,
        nu: usize,
    ) -> Result<()> {
        for row in x.chunks_exact_mut(d.max(1)) {
            for normal in u.chunks_exact(d.max(1)) {
                let product = simd::fvec_inner_product(row, normal);
                simd::fvec_add_scaled(row, -2.0 * product, normal);
            }
        }
        Ok(())
    }

    /// The column of the smallest number of each row of a matrix.
    pub fn smawk(
        nrows: usize,
        ncols: usize,
        #[len = nrows * ncols] x: &[f32],
        #[len = nrows] argmins: &mut [i64],
    ) -> Result<()> {
        Error::check(nrows == 0 || ncols > 0, "ncols > 0")?;
        for (out, row) in argmins.iter_mut().zip(x.chunks_exact(ncols.max(1))) {
            *out = argmin(row).map_or(-1, |i| i as i64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::declare::{Arg, bind, run};

    fn close(got: &[f32], want: impl Iterator<Item = f64>) {
        let want: Vec<f64> = want.collect();
        assert_eq!(got.len(), want.len());
        got.iter().zip(&want).for_each(|(g, w)| assert!((f64::from(*g) - w).abs() < 1e-4, "{got:?} {want:?}"));
    }

    fn squares(x: &[f32], y: &[f32]) -> f64 {
        x.iter().zip(y).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    }

    #[test]
    fn rows_may_be_apart() {
        let (d, nq, nb) = (3, 4, 5);
        let (mut xq, mut xb) = (vec![0f32; nq * 7], vec![0f32; nb * d]);
        crate::random::float_rand(&mut xq, 1).unwrap();
        crate::random::float_rand(&mut xb, 2).unwrap();
        let xq = &xq[..7 * (nq - 1) + d];
        let mut dis = vec![-1f32; 6 * (nq - 1) + nb];
        pairwise_L2sqr(d, nq, xq, nb, &xb, &mut dis, 7, -1, 6).unwrap();
        for (i, row) in dis.chunks(6).enumerate() {
            close(&row[..nb], xb.chunks(d).map(|y| squares(&xq[7 * i..7 * i + d], y)));
            assert!(row[nb..].iter().all(|gap| *gap == -1.0));
        }
        assert!(pairwise_L2sqr(d, nq, xq, nb, &xb, &mut dis, 2, -1, 6).is_err());
        assert!(pairwise_L2sqr(d, nq, &xq[1..], nb, &xb, &mut dis, 7, -1, 6).is_err());
        pairwise_L2sqr(d, 0, &[], nb, &xb, &mut [], -1, -1, -1).unwrap();
    }

    #[test]
    fn columns_are_vectors_too() {
        let (d, ny) = (5, 9);
        let (mut x, mut y) = (vec![0f32; d], vec![0f32; ny * d]);
        crate::random::float_rand(&mut x, 1).unwrap();
        crate::random::float_rand(&mut y, 2).unwrap();
        let mut columns = vec![0f32; d * 11];
        for (i, v) in y.iter().enumerate() {
            columns[i / d + i % d * 11] = *v;
        }
        columns.truncate((d - 1) * 11 + ny);
        let (mut norms, mut dis) = (vec![0f32; ny], vec![0f32; ny]);
        fvec_norms_L2sqr(&mut norms, &y, d, ny).unwrap();
        let nearest = fvec_L2sqr_ny_nearest_y_transposed(&mut dis, &x, &columns, &norms, d, 11, ny).unwrap();
        close(&dis, y.chunks(d).map(|y| squares(&x, y)));
        assert_eq!(fvec_L2sqr_ny_nearest(&mut dis, &x, &y, d, ny).unwrap(), nearest);
        assert!(fvec_L2sqr_ny_transposed(&mut dis, &x, &columns, &norms, d, 8, ny).is_err());
    }

    #[test]
    fn reflections_keep_lengths_and_undo_themselves() {
        let (n, d) = (6, 8);
        let (mut x, mut u) = (vec![0f32; n * d], vec![0f32; d]);
        crate::random::float_randn(&mut x, 1).unwrap();
        crate::random::float_randn(&mut u, 2).unwrap();
        fvec_renorm_L2(d, 1, &mut u).unwrap();
        let before = x.clone();
        reflection(&u, &mut x, n, d, 1).unwrap();
        let length = |rows: &[f32]| rows.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        assert!((length(&x) - length(&before)).abs() < 1e-3 && x != before);
        reflection(&u, &mut x, n, d, 1).unwrap();
        close(&x, before.iter().map(|v| f64::from(*v)));
    }

    #[test]
    fn the_first_of_equals_is_the_smallest() {
        let mut c = [0f32; 4];
        assert_eq!(fvec_madd_and_argmin(4, &[3.0, 1.0, 2.0, 0.0], 2.0, &[0.0, 0.0, -0.5, 0.5], &mut c).unwrap(), 1);
        assert_eq!(c, [3.0, 1.0, 1.0, 1.0]);
        assert_eq!(fvec_madd_and_argmin(0, &[], 1.0, &[], &mut []).unwrap(), -1);
        let mut argmins = [7i64; 2];
        smawk(2, 3, &[1.0, 0.0, 0.0, -1.0, 4.0, -2.0], &mut argmins).unwrap();
        assert_eq!(argmins, [1, 2]);
        assert!(smawk(2, 0, &[], &mut argmins).is_err());
    }

    #[test]
    fn lengths_are_checked_and_told() {
        assert!(fvec_add(3, &[0.0; 3], &[0.0; 2], &mut [0.0; 3]).is_err());
        let add = FUNCTIONS.iter().find(|function| function.name == "fvec_add").unwrap();
        let given = || vec![Arg::Int(2), Arg::Pointer(1), Arg::Float(0.5), Arg::Pointer(3)];
        let (overload, mut args) = bind(add, given(), Vec::new()).unwrap();
        let memory = overload.parameters[3].memory.as_ref().unwrap();
        assert!(memory.writes && (memory.len.unwrap())(&mut args).unwrap() == 2);
        let mut c = [0f32; 2];
        args[1] = Arg::Memory(bytemuck::bytes_of(&[1f32, 2.0]));
        args[3] = Arg::MemoryMut(bytemuck::bytes_of_mut(&mut c));
        run(add, overload, &mut args).unwrap();
        drop(args);
        assert_eq!(c, [1.5, 2.5]);
        let error = bind(add, vec![Arg::Int(2)], Vec::new()).err().unwrap().to_string();
        assert!(error.contains("fvec_add(d: int, a: Pointer, b: float, c: Pointer) -> None"), "{error}");
    }
}
