//! Products and decompositions of whole matrices: what training needs. All matrices are row-major here.

use super::{Int, single_threaded, sys};
use crate::base::{Error, Result};

fn int(v: usize) -> Result<Int> {
    Int::try_from(v).map_err(|_| Error::overflow(format!("a matrix with a side of {v} is too large for BLAS")))
}

fn done(info: Int, what: &str) -> Result<()> {
    if info == 0 { Ok(()) } else { Err(Error::failed("info == 0", format!("{what} did not converge (info {info})"))) }
}

/// The workspace that a routine asked for, as it tells by a float.
fn workspace(answer: f64) -> (Vec<f32>, Vec<f64>, usize) {
    let n = (answer.max(1.0) as usize).saturating_add(1);
    (vec![0.0; n], vec![0.0; n], n)
}

/// `c = alpha * op(a) * op(b) + beta * c`, where `op` is the matrix or, if so marked, its transpose.
pub struct Product<'a> {
    /// The left matrix, row-major.
    pub a: &'a [f32],
    /// Whether the left matrix is given by columns.
    pub transpose_a: bool,
    /// The right matrix.
    pub b: &'a [f32],
    /// Whether the right matrix is given by columns.
    pub transpose_b: bool,
    /// By what the product is multiplied.
    pub alpha: f32,
    /// By what the result is multiplied before the product is added.
    pub beta: f32,
}

impl<'a> Product<'a> {
    /// `a * b`.
    pub fn of(a: &'a [f32], b: &'a [f32]) -> Self {
        Product { a, transpose_a: false, b, transpose_b: false, alpha: 1.0, beta: 0.0 }
    }

    /// The product, of `m` rows of `n`, to `c`; `k` is the inner dimension.
    pub fn write(&self, m: usize, n: usize, k: usize, c: &mut [f32]) -> Result<()> {
        let fits = self.a.len() >= m * k && self.b.len() >= k * n && c.len() >= m * n;
        Error::check(fits, "the matrices have the product's dimensions")?;
        if m == 0 || n == 0 || k == 0 {
            c[..m * n].iter_mut().for_each(|v| *v *= self.beta);
            return Ok(());
        }
        single_threaded();
        let letter = |transposed: bool| if transposed { c"T" } else { c"N" }.as_ptr().cast::<u8>();
        let (lda, ldb) = (if self.transpose_a { m } else { k }, if self.transpose_b { k } else { n });
        let (fm, fnn, fk, flda, fldb) = (int(n)?, int(m)?, int(k)?, int(lda)?, int(ldb)?);
        // SAFETY: the lengths were checked above. Fortran sees row-major matrices transposed, so that it is asked for the transposed product:
        // the factors change places.
        unsafe {
            sys::sgemm(
                letter(self.transpose_b),
                letter(self.transpose_a),
                &fm,
                &fnn,
                &fk,
                &self.alpha,
                self.b.as_ptr(),
                &fldb,
                self.a.as_ptr(),
                &flda,
                &self.beta,
                c.as_mut_ptr(),
                &fm,
            );
        }
        Ok(())
    }
}

/// Eigenvalues of a symmetric matrix of `n` rows, in descending order; its rows become the eigenvectors.
pub fn symmetric_eigen(n: usize, matrix: &mut [f64]) -> Result<Vec<f64>> {
    Error::check(matrix.len() == n * n, "matrix.size() == n * n")?;
    if n == 0 {
        return Ok(Vec::new());
    }
    single_threaded();
    let (fn_, mut info) = (int(n)?, 0);
    let mut values = vec![0f64; n];
    let mut answer = 0f64;
    let mut call = |work: *mut f64, lwork: Int| {
        // SAFETY: the matrix and the values have the sizes that n says, the workspace that of lwork; with -1 only its first element is used.
        unsafe {
            sys::dsyev(
                c"V".as_ptr().cast(),
                c"U".as_ptr().cast(),
                &fn_,
                matrix.as_mut_ptr(),
                &fn_,
                values.as_mut_ptr(),
                work,
                &lwork,
                &mut info,
            );
        }
    };
    call(&mut answer, -1);
    let (_, mut work, size) = workspace(answer);
    call(work.as_mut_ptr(), int(size)?);
    done(info, "the eigenvalue decomposition")?;
    // LAPACK's order is ascending.
    values.reverse();
    for i in 0..n / 2 {
        let (head, tail) = matrix.split_at_mut((n - 1 - i) * n);
        head[i * n..(i + 1) * n].swap_with_slice(&mut tail[..n]);
    }
    Ok(values)
}

/// Solves `matrix * x = right` for `columns` right sides at a time: a symmetric, positive definite matrix of `n` rows, and `n` rows of `columns`
/// numbers, which become the solutions.
pub fn solve_positive_definite(n: usize, columns: usize, matrix: &mut [f64], right: &mut [f64]) -> Result<()> {
    Error::check(matrix.len() == n * n && right.len() == n * columns, "matrix.size() == n * n")?;
    if n == 0 || columns == 0 {
        return Ok(());
    }
    single_threaded();
    let (size, sides, mut info) = (int(n)?, int(columns)?, 0);
    // Fortran wants the right sides one after the other.
    let mut transposed = vec![0f64; right.len()];
    for (i, row) in right.chunks_exact(columns).enumerate() {
        row.iter().enumerate().for_each(|(j, v)| transposed[j * n + i] = *v);
    }
    // SAFETY: the matrix and the right sides have the sizes that n and columns say.
    unsafe {
        sys::dposv(
            c"U".as_ptr().cast(),
            &size,
            &sides,
            matrix.as_mut_ptr(),
            &size,
            transposed.as_mut_ptr(),
            &size,
            &mut info,
        );
    }
    Error::check(info == 0, "the matrix is positive definite")?;
    for (i, row) in right.chunks_exact_mut(columns).enumerate() {
        row.iter_mut().enumerate().for_each(|(j, v)| *v = transposed[j * n + i]);
    }
    Ok(())
}

/// The singular vectors of a matrix of `m` rows of `n`: `(u, v)` with `matrix = transpose(u) * diagonal * v`, `u` of `m * m` and `v` of
/// `n * n` numbers.
pub fn singular_vectors(m: usize, n: usize, matrix: &mut [f32]) -> Result<(Vec<f32>, Vec<f32>)> {
    Error::check(matrix.len() == m * n && m > 0 && n > 0, "matrix.size() == m * n")?;
    single_threaded();
    let (rows, columns, mut info) = (int(n)?, int(m)?, 0);
    let mut values = vec![0f32; m.min(n)];
    let (mut left, mut right) = (vec![0f32; n * n], vec![0f32; m * m]);
    let mut answer = 0f32;
    let mut call = |work: *mut f32, lwork: Int| {
        // SAFETY: all arrays have the sizes that the routine documents for these dimensions.
        unsafe {
            sys::sgesvd(
                c"A".as_ptr().cast(),
                c"A".as_ptr().cast(),
                &rows,
                &columns,
                matrix.as_mut_ptr(),
                &rows,
                values.as_mut_ptr(),
                left.as_mut_ptr(),
                &rows,
                right.as_mut_ptr(),
                &columns,
                work,
                &lwork,
                &mut info,
            );
        }
    };
    call(&mut answer, -1);
    let (mut work, _, size) = workspace(f64::from(answer));
    call(work.as_mut_ptr(), int(size)?);
    done(info, "the singular value decomposition")?;
    // Fortran's right vectors, an m by m matrix by columns, are transpose(u) by rows.
    let mut u = vec![0f32; m * m];
    for i in 0..m {
        for j in 0..m {
            u[i * m + j] = right[j * m + i];
        }
    }
    Ok((u, left))
}

/// Makes the `n` rows of `m` numbers orthonormal (`n <= m`), by Householder's QR decomposition, in place.
pub fn orthonormal_columns(m: usize, n: usize, matrix: &mut [f32]) -> Result<()> {
    Error::check(n <= m && matrix.len() >= m * n, "n <= m && matrix.size() >= m * n")?;
    if n == 0 {
        return Ok(());
    }
    single_threaded();
    let (fm, fn_, mut info) = (int(m)?, int(n)?, 0);
    let mut tau = vec![0f32; n];
    let mut answer = 0f32;
    // SAFETY: the sizes are those that the routine documents; -1 asks for the workspace.
    unsafe { sys::sgeqrf(&fm, &fn_, matrix.as_mut_ptr(), &fm, tau.as_mut_ptr(), &mut answer, &-1, &mut info) };
    let (mut work, _, size) = workspace(f64::from(answer));
    let size = int(size)?;
    // SAFETY: as above, with that workspace.
    unsafe { sys::sgeqrf(&fm, &fn_, matrix.as_mut_ptr(), &fm, tau.as_mut_ptr(), work.as_mut_ptr(), &size, &mut info) };
    done(info, "the QR decomposition")?;
    // SAFETY: as above.
    unsafe { sys::sorgqr(&fm, &fn_, &fn_, matrix.as_mut_ptr(), &fm, tau.as_ptr(), &mut answer, &-1, &mut info) };
    let (mut work, _, size) = workspace(f64::from(answer));
    let size = int(size)?;
    // SAFETY: as above.
    unsafe {
        sys::sorgqr(&fm, &fn_, &fn_, matrix.as_mut_ptr(), &fm, tau.as_ptr(), work.as_mut_ptr(), &size, &mut info);
    }
    done(info, "the QR decomposition")
}

/// Principal components of vectors, strongest first.
#[derive(Clone, Debug, Default)]
pub struct Components {
    /// The mean of the vectors, which is subtracted.
    pub mean: Vec<f32>,
    /// Sums of squares along the components; 0 beyond the last.
    pub eigenvalues: Vec<f32>,
    /// The components, one a row.
    pub vectors: Vec<f32>,
}

/// The principal components of `n` vectors of `d` numbers: `d` of them, or `n` if there are fewer vectors than dimensions.
pub fn principal_components(x: &[f32], n: usize, d: usize) -> Result<Components> {
    Error::check(n > 0 && d > 0 && x.len() == n * d, "x.size() == n * d && n > 0")?;
    let mut mean = vec![0f32; d];
    x.chunks_exact(d).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, v)| *m += v));
    mean.iter_mut().for_each(|m| *m /= n as f32);
    if n >= d {
        // The sum of products of the coordinates, less that of their means.
        let mut covariance = vec![0f32; d * d];
        let mean_part = Product { alpha: -(n as f32), ..Product::of(&mean, &mean) };
        mean_part.write(d, d, 1, &mut covariance)?;
        Product { transpose_a: true, beta: 1.0, ..Product::of(x, x) }.write(d, d, n, &mut covariance)?;
        let mut vectors: Vec<f64> = covariance.iter().map(|v| f64::from(*v)).collect();
        let eigenvalues = symmetric_eigen(d, &mut vectors)?;
        let narrow = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
        return Ok(Components { mean, eigenvalues: narrow(eigenvalues), vectors: narrow(vectors) });
    }
    // Fewer vectors than dimensions: the components are combinations of the vectors.
    let centered: Vec<f32> = x.chunks_exact(d).flat_map(|row| row.iter().zip(&mean).map(|(v, m)| v - m)).collect();
    let mut gram = vec![0f32; n * n];
    Product { transpose_b: true, ..Product::of(&centered, &centered) }.write(n, n, d, &mut gram)?;
    let mut combinations: Vec<f64> = gram.iter().map(|v| f64::from(*v)).collect();
    let eigenvalues = symmetric_eigen(n, &mut combinations)?;
    let combinations: Vec<f32> = combinations.iter().map(|v| *v as f32).collect();
    let mut vectors = vec![0f32; n * d];
    Product::of(&combinations, &centered).write(n, d, n, &mut vectors)?;
    for row in vectors.chunks_exact_mut(d) {
        let norm = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt() as f32;
        if norm > 0.0 {
            row.iter_mut().for_each(|v| *v /= norm);
        }
    }
    let mut eigenvalues: Vec<f32> = eigenvalues.into_iter().map(|v| v as f32).collect();
    eigenvalues.resize(d, 0.0);
    Ok(Components { mean, eigenvalues, vectors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_with_transposes() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]);
        let mut c = [1.0; 4];
        Product { beta: 1.0, ..Product::of(&a, &b) }.write(2, 2, 3, &mut c).unwrap();
        assert_eq!(c, [6.0, 12.0, 15.0, 24.0]);
        let mut c = [0.0; 9];
        Product { transpose_a: true, ..Product::of(&a, &b) }.write(3, 3, 2, &mut c).unwrap();
        assert_eq!(c, [5.0, 0.0, 14.0, 7.0, 0.0, 19.0, 9.0, 0.0, 24.0]);
    }

    #[test]
    fn decompositions_compose() {
        let a = [2.0, 1.0, 1.0, 3.0];
        let mut vectors = a;
        let values = symmetric_eigen(2, &mut vectors).unwrap();
        assert!(values[0] > values[1]);
        for i in 0..2 {
            let v = &vectors[2 * i..2 * i + 2];
            assert!((a[0] * v[0] + a[1] * v[1] - values[i] * v[0]).abs() < 1e-12);
        }
        let m = [3.0, 0.0, 1.0, 1.0, 2.0, -1.0f32];
        let (u, v) = singular_vectors(2, 3, &mut m.clone()).unwrap();
        // transpose(u) and v are orthonormal, and u * m * transpose(v) is diagonal.
        let mut um = [0.0; 6];
        Product::of(&u, &m).write(2, 3, 2, &mut um).unwrap();
        let mut diagonal = [0.0; 6];
        Product { transpose_b: true, ..Product::of(&um, &v) }.write(2, 3, 3, &mut diagonal).unwrap();
        for (i, value) in diagonal.iter().enumerate() {
            assert_eq!(value.abs() > 1e-4, i == 0 || i == 4, "{diagonal:?}");
        }
        let mut q = [1.0, 2.0, 3.0, 4.0, 5.0, 6.5f32];
        orthonormal_columns(3, 2, &mut q).unwrap();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        assert!((dot(&q[..3], &q[..3]) - 1.0).abs() < 1e-6 && dot(&q[..3], &q[3..]).abs() < 1e-6);
    }
}
