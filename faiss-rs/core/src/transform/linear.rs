//! Linear transforms: `A x + b`, and random rotations.

use faiss_derive::{Object, methods};

use super::{VectorTransform, VectorTransformBase};
use crate::base::declare::Rows;
use crate::base::memory::filled;
use crate::base::{Error, Handle, Result, threads};
use crate::blas::{Product, orthonormal_columns};
use crate::grammar::{Grammar, number_after};
use crate::random::float_randn;
use crate::registry::Row;

/// Vectors of one task.
const MIN_ROWS: usize = 256;

/// The transform `A x + b`.
///
/// Of vectors in `d_in` dimensions it makes vectors in `d_out`.
#[derive(Object, Default, Clone)]
#[object(methods, implements(VectorTransform), copy)]
pub struct LinearTransform {
    /// What every transform has.
    #[object(parent)]
    pub base: VectorTransformBase,
    /// Whether there is a bias.
    pub have_bias: bool,
    /// Whether the rows of `A` are orthonormal, so that its transpose reverses it.
    pub is_orthonormal: bool,
    /// The matrix, `d_out * d_in` numbers, row-major.
    pub A: Vec<f32>,
    /// The bias, `d_out` numbers.
    pub b: Vec<f32>,
    /// Print what training does.
    pub verbose: bool,
}

pub(crate) const ROW: Row = Row::of::<LinearTransform>().format(crate::file_format!(LinearTransform, ["LTra"], |vt| {
    *vt;
}));

#[methods]
impl LinearTransform {
    #[new]
    fn of(#[default = 0] d_in: i64, #[default = 0] d_out: i64, #[default = false] have_bias: bool) -> Result<Self> {
        LinearTransform::new(d_in, d_out, have_bias)
    }

    /// Finds out whether the rows of `A` are orthonormal.
    #[name = "set_is_orthonormal"]
    fn find_is_orthonormal(&mut self) -> Result<()> {
        self.set_is_orthonormal()
    }

    /// (y - b) A for vectors y (n, d_out): the transpose, whatever the matrix.
    #[name = "transform_transpose"]
    fn transposed(&self, y: &[f32]) -> Result<Rows<f32>> {
        let (d_in, d_out) = self.dims();
        let mut x = vec![0.0; VectorTransformBase::rows(y, d_out)? * d_in];
        self.transform_transpose(y, &mut x)?;
        Ok(Rows(x, d_in))
    }
}

impl LinearTransform {
    /// An untrained map of `d_in` numbers to `d_out`.
    pub fn new(d_in: i64, d_out: i64, have_bias: bool) -> Result<Self> {
        Ok(LinearTransform { base: VectorTransformBase::new(d_in, d_out, false)?, have_bias, ..Default::default() })
    }

    /// An error where the transform is not trained or its public fields do not fit together.
    fn check(&self) -> Result<(usize, usize)> {
        if !self.is_trained {
            return Err(Error::failed("!(is_trained)", "Transformation not trained yet"));
        }
        let (d_in, d_out) = self.dims();
        Error::check(d_in.checked_mul(d_out) == Some(self.A.len()), "A.size() == d_out * d_in")?;
        let message = "Bias not initialized";
        if self.have_bias && self.b.len() != d_out {
            return Err(Error::failed("b.size() == d_out", message));
        }
        Ok((d_in, d_out))
    }

    /// Finds out whether the rows of `A` are of length 1 and at right angles.
    pub fn set_is_orthonormal(&mut self) -> Result<()> {
        let (d_in, d_out) = self.dims();
        if d_out > d_in || self.A.len() != d_in * d_out {
            self.is_orthonormal = false;
            return Ok(());
        }
        let mut products = vec![0f32; d_out * d_out];
        Product { transpose_b: true, ..Product::of(&self.A, &self.A) }.write(d_out, d_out, d_in, &mut products)?;
        let wanted = |i: usize| if i / d_out.max(1) == i % d_out.max(1) { 1.0 } else { 0.0 };
        self.is_orthonormal = products.iter().enumerate().all(|(i, v)| (v - wanted(i)).abs() <= 4e-5);
        Ok(())
    }

    /// `(y - b) A`: the transpose, whatever the matrix.
    pub fn transform_transpose(&self, y: &[f32], x: &mut [f32]) -> Result<()> {
        let (d_in, d_out) = self.check()?;
        self.pair(y, d_out, x, d_in)?;
        threads::parallel_rows(x, d_in, MIN_ROWS, |first, rows| {
            let n = rows.len() / d_in;
            let y = &y[first * d_out..(first + n) * d_out];
            if !self.have_bias {
                return Product::of(y, &self.A).write(n, d_in, d_out, rows);
            }
            let y: Vec<f32> = y.chunks_exact(d_out).flat_map(|y| y.iter().zip(&self.b).map(|(y, b)| y - b)).collect();
            Product::of(&y, &self.A).write(n, d_in, d_out, rows)
        })
    }
}

crate::stored!(LinearTransform, |vt| {
    vt.have_bias;
    vt.A;
    vt.b;
    vt.base;
    read {
        let (d_in, d_out) = vt.dims();
        let sized = !vt.is_trained
            || (d_in.checked_mul(d_out) == Some(vt.A.len()) && (!vt.have_bias || vt.b.len() == d_out));
        Error::check(sized, "A.size() == d_out * d_in && (!have_bias || b.size() == d_out)")?;
        if vt.is_trained {
            vt.set_is_orthonormal()?;
        }
    }
});

impl VectorTransform for LinearTransform {
    vector_transform_base!();

    fn apply_noalloc(&self, x: &[f32], xt: &mut [f32]) -> Result<()> {
        let (d_in, d_out) = self.check()?;
        self.pair(x, d_in, xt, d_out)?;
        threads::parallel_rows(xt, d_out, MIN_ROWS, |first, rows| {
            let n = rows.len() / d_out;
            if self.have_bias {
                rows.chunks_exact_mut(d_out).for_each(|row| row.copy_from_slice(&self.b));
            }
            let beta = if self.have_bias { 1.0 } else { 0.0 };
            let x = &x[first * d_in..(first + n) * d_in];
            Product { transpose_b: true, beta, ..Product::of(x, &self.A) }.write(n, d_out, d_in, rows)
        })
    }
    fn reverse_transform(&self, xt: &[f32], x: &mut [f32]) -> Result<()> {
        if !self.is_orthonormal {
            return Err(Error::failed(
                "is_orthonormal",
                "reverse transform not implemented for non-orthonormal matrices",
            ));
        }
        self.transform_transpose(xt, x)
    }
}

/// A matrix of `d_out` orthonormal rows of `d_in` numbers at random; with `d_out > d_in` its columns are orthonormal.
pub fn random_rotation(d_in: usize, d_out: usize, seed: i64) -> Result<Vec<f32>> {
    let wide = d_in.max(d_out);
    let mut a = filled(&[wide, d_out], 0f32)?;
    float_randn(&mut a, seed)?;
    orthonormal_columns(wide, d_out, &mut a)?;
    if d_out > d_in {
        for i in 0..d_out {
            a.copy_within(i * d_out..i * d_out + d_in, i * d_in);
        }
        a.truncate(d_in * d_out);
    }
    Ok(a)
}

/// Randomly rotates a set of vectors.
#[derive(Object, Default, Clone)]
#[object(methods, implements(VectorTransform), copy)]
pub struct RandomRotationMatrix {
    /// The matrix.
    #[object(parent)]
    pub linear: LinearTransform,
}

pub(crate) const RANDOM_ROTATION: Row = Row::of::<RandomRotationMatrix>()
    .grammar(Grammar::Transform(|d, part| {
        let d_out = if part == "RR" { Some(d) } else { number_after(part, "RR") };
        let Some(d_out) = d_out else { return Ok(None) };
        Ok(Some(Handle::new(RandomRotationMatrix::new(d, d_out)?)))
    }))
    .format(crate::file_format!(RandomRotationMatrix, ["rrot"], |vt| {
        vt.linear;
    }));

#[methods]
impl RandomRotationMatrix {
    /// A rotation of `d_in` numbers to `d_out`.
    #[new]
    pub fn new(#[default = 0] d_in: i64, #[default = 0] d_out: i64) -> Result<Self> {
        Ok(RandomRotationMatrix { linear: LinearTransform::new(d_in, d_out, false)? })
    }

    /// Makes the matrix from random numbers of that seed.
    pub fn init(&mut self, seed: i64) -> Result<()> {
        let (d_in, d_out) = self.dims();
        self.A = random_rotation(d_in, d_out, seed)?;
        self.is_orthonormal = true;
        self.is_trained = true;
        Ok(())
    }
}

impl VectorTransform for RandomRotationMatrix {
    vector_transform_base!();

    fn train(&mut self, _x: &[f32]) -> Result<()> {
        self.init(12345)
    }
    fn apply_noalloc(&self, x: &[f32], xt: &mut [f32]) -> Result<()> {
        self.linear.apply_noalloc(x, xt)
    }
    fn reverse_transform(&self, xt: &[f32], x: &mut [f32]) -> Result<()> {
        self.transform_transpose(xt, x)
    }
}
