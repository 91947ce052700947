//! The one doorway to BLAS and LAPACK. Sees only base.
//!
//! This library shares work among its own threads, each of which calls BLAS for its part: so BLAS itself works with one thread.

mod lapack;

use std::sync::Once;

pub use lapack::{
    Components, Product, orthonormal_columns, principal_components, singular_vectors, solve_positive_definite,
    symmetric_eigen,
};

/// BLAS's integer (Faiss's FINTEGER).
#[cfg(not(feature = "blas64"))]
pub type Int = i32;
#[cfg(feature = "blas64")]
pub type Int = i64;

mod sys {
    use super::Int;
    include!(concat!(env!("OUT_DIR"), "/blas_sys.rs"));
}

static SINGLE: Once = Once::new();

/// OpenBLAS's threads beside ours would be more than there are processors.
fn single_threaded() {
    SINGLE.call_once(|| {
        #[cfg(openblas)]
        // SAFETY: the function takes any positive number and may be called at any time.
        unsafe {
            sys::openblas_set_num_threads(1)
        }
    });
}

/// `c = alpha * x * transpose(y)`, all row-major: `x` has `m` rows, `y` has `n` rows, both `k` wide; `c` is `m` rows of `n`.
pub fn sgemm_nt(m: usize, n: usize, k: usize, alpha: f32, x: &[f32], y: &[f32], c: &mut [f32]) {
    assert!(x.len() >= m * k && y.len() >= n * k && c.len() >= m * n, "sgemm reads or writes outside its arrays");
    let int = |v: usize| Int::try_from(v).expect("a block's side fits BLAS's integer");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        c[..m * n].fill(0.0);
        return;
    }
    single_threaded();
    // Fortran sees row-major matrices transposed: it computes transpose(c) = y * transpose(x).
    let (fm, fn_, fk) = (int(n), int(m), int(k));
    // SAFETY: the lengths were checked above; the leading dimensions are those of dense row-major matrices.
    unsafe {
        sys::sgemm(
            c"T".as_ptr().cast(),
            c"N".as_ptr().cast(),
            &fm,
            &fn_,
            &fk,
            &alpha,
            y.as_ptr(),
            &fk,
            x.as_ptr(),
            &fk,
            &0.0,
            c.as_mut_ptr(),
            &fm,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_rows() {
        let (x, y) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, -1.0, 2.0, 2.0, 2.0, 0.0, 1.0, 0.0]);
        let mut c = [f32::NAN; 6];
        sgemm_nt(2, 3, 3, -2.0, &x, &y, &mut c);
        assert_eq!(c, [4.0, -24.0, -4.0, 4.0, -60.0, -10.0]);
    }
}
