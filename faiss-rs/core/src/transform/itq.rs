//! Iterative quantization: a rotation after which signs lose least (Gong et al., "Iterative quantization", 2012).

use faiss_derive::{Object, methods};

use super::linear::{LinearTransform, random_rotation};
use super::pca::PCAMatrix;
use super::{VectorTransform, VectorTransformBase, maybe_subsample};
use crate::base::{Error, Handle, Result, interrupt};
use crate::blas::{Product, symmetric_eigen};
use crate::distance::fvec_renorm_L2;
use crate::grammar::{Grammar, number_after};
use crate::registry::Row;
use crate::stream::fields::Nested;

/// Rotates vectors so that they lie near to the corners of a cube.
///
/// Gong and Lazebnik, Iterative quantization: a procrustean approach to learning binary codes, 2011.
#[derive(Object, Clone)]
#[object(methods, implements(VectorTransform), copy)]
pub struct ITQMatrix {
    /// The matrix.
    #[object(parent, default = LinearTransform::new(0, 0, false).expect("0 is a dimension"))]
    pub linear: LinearTransform,
    /// Rounds of training.
    #[object(default = 50)]
    pub max_iter: i32,
    /// Gives the rotation that training begins with.
    #[object(default = 123)]
    pub seed: i32,
    /// That rotation, `d * d` numbers; empty for a random one.
    pub init_rotation: Vec<f64>,
}

pub(crate) const MATRIX: Row = Row::of::<ITQMatrix>().format(crate::file_format!(ITQMatrix, ["Viqm"], |itq| {
    *itq;
}));

#[methods]
impl ITQMatrix {
    /// A rotation of `d` dimensions.
    #[new]
    pub fn new(#[default = 0] d: i64) -> Result<Self> {
        Ok(ITQMatrix { linear: LinearTransform::new(d, d, false)?, ..Default::default() })
    }
}

crate::stored!(ITQMatrix, |itq| {
    itq.max_iter;
    itq.seed;
    itq.linear;
});

/// The orthonormal matrix nearest to `c`, of `d` rows, which has full rank: `c (c^T c)^(-1/2)`.
fn nearest_rotation(c: &[f64], d: usize) -> Result<Vec<f64>> {
    let mut products = vec![0f64; d * d];
    for row in c.chunks_exact(d) {
        for (a, out) in row.iter().zip(products.chunks_exact_mut(d)) {
            out.iter_mut().zip(row).for_each(|(sum, b)| *sum += a * b);
        }
    }
    let values = symmetric_eigen(d, &mut products)?;
    let least = values.first().copied().unwrap_or(0.0) * 1e-24;
    let mut root = vec![0f64; d * d];
    for (vector, value) in products.chunks_exact(d).zip(&values) {
        let scale = 1.0 / value.max(least).max(f64::MIN_POSITIVE).sqrt();
        for (a, out) in vector.iter().zip(root.chunks_exact_mut(d)) {
            out.iter_mut().zip(vector).for_each(|(sum, b)| *sum += a * b * scale);
        }
    }
    let mut rotation = vec![0f64; d * d];
    for (row, out) in c.chunks_exact(d).zip(rotation.chunks_exact_mut(d)) {
        for (a, line) in row.iter().zip(root.chunks_exact(d)) {
            out.iter_mut().zip(line).for_each(|(sum, b)| *sum += a * b);
        }
    }
    Ok(rotation)
}

impl VectorTransform for ITQMatrix {
    vector_transform_base!();

    fn train(&mut self, x: &[f32]) -> Result<()> {
        let (d, _) = self.dims();
        VectorTransformBase::rows(x, d)?;
        // Rows of the rotation are those of `A`; what Faiss begins with is laid out by columns.
        let mut rotation: Vec<f64> = if self.init_rotation.len() == d * d {
            (0..d * d).map(|i| self.init_rotation[i % d * d + i / d]).collect()
        } else {
            let made = random_rotation(d, d, i64::from(self.seed))?;
            (0..d * d).map(|i| f64::from(made[i % d * d + i / d])).collect()
        };
        for _ in 0..self.max_iter {
            interrupt::check()?;
            let mut sums = vec![0f64; d * d];
            for row in x.chunks_exact(d) {
                for (line, out) in rotation.chunks_exact(d).zip(sums.chunks_exact_mut(d)) {
                    let rotated: f64 = line.iter().zip(row).map(|(a, v)| a * f64::from(*v)).sum();
                    let sign = if rotated < 0.0 { -1.0 } else { 1.0 };
                    out.iter_mut().zip(row).for_each(|(sum, v)| *sum += sign * f64::from(*v));
                }
            }
            rotation = nearest_rotation(&sums, d)?;
        }
        self.A = rotation.iter().map(|v| *v as f32).collect();
        self.is_trained = true;
        Ok(())
    }
    fn apply_noalloc(&self, x: &[f32], xt: &mut [f32]) -> Result<()> {
        self.linear.apply_noalloc(x, xt)
    }
    fn reverse_transform(&self, xt: &[f32], x: &mut [f32]) -> Result<()> {
        self.linear.reverse_transform(xt, x)
    }
}

/// Centers and normalizes vectors, reduces their dimension by PCA if asked for, and rotates them for their signs.
#[derive(Object, Clone)]
#[object(methods, implements(VectorTransform), copy)]
pub struct ITQTransform {
    /// What every transform has.
    #[object(parent, default = VectorTransformBase { is_trained: false, ..Default::default() })]
    pub base: VectorTransformBase,
    /// The mean that is subtracted.
    pub mean: Vec<f32>,
    /// Whether the dimension is reduced by PCA.
    pub do_pca: bool,
    /// The rotation.
    pub itq: ITQMatrix,
    /// Vectors that training uses at most, for each dimension; never fewer than 32768 in all.
    #[object(default = 10)]
    pub max_train_per_dim: i32,
    /// PCA and rotation as one.
    pub pca_then_itq: LinearTransform,
}

pub(crate) const ROW: Row = Row::of::<ITQTransform>()
    .grammar(Grammar::Transform(|d, part| {
        if part == "ITQ" {
            return Ok(Some(Handle::new(ITQTransform::new(d, d, false)?)));
        }
        let Some(d_out) = number_after(part, "ITQ") else { return Ok(None) };
        Ok(Some(Handle::new(ITQTransform::new(d, d_out, true)?)))
    }))
    .format(crate::file_format!(ITQTransform, ["Viqt"], |vt| {
        vt.mean;
        vt.do_pca;
        vt.itq => Nested;
        vt.pca_then_itq => Nested;
        vt.base;
        read {
            if vt.is_trained {
                vt.check()?;
            }
        }
    }));

#[methods]
impl ITQTransform {
    /// Without PCA both dimensions are the same.
    #[new]
    pub fn new(#[default = 0] d_in: i64, #[default = 0] d_out: i64, #[default = false] do_pca: bool) -> Result<Self> {
        if !do_pca && d_in != d_out {
            let message = "input and output dimensions must match when PCA is disabled";
            return Err(Error::failed("!(din == dout)", message));
        }
        Ok(ITQTransform {
            base: VectorTransformBase::new(d_in, d_out, false)?,
            do_pca,
            itq: ITQMatrix::new(d_out)?,
            pca_then_itq: LinearTransform::new(d_in, d_out, false)?,
            ..Default::default()
        })
    }
}

impl ITQTransform {
    fn check(&self) -> Result<()> {
        if !self.is_trained {
            return Err(Error::failed("!(is_trained)", "Transformation not trained yet"));
        }
        let dims = self.pca_then_itq.dims();
        Error::check(self.mean.len() == self.dims().0 && dims == self.dims(), "mean.size() == d_in")
    }

    fn centered(&self, x: &[f32]) -> Result<Vec<f32>> {
        let d = self.mean.len();
        VectorTransformBase::rows(x, d)?;
        let mut centered: Vec<f32> =
            x.chunks_exact(d).flat_map(|row| row.iter().zip(&self.mean).map(|(v, m)| v - m)).collect();
        fvec_renorm_L2(&mut centered, d)?;
        Ok(centered)
    }
}

impl VectorTransform for ITQTransform {
    vector_transform_base!();

    fn train(&mut self, x: &[f32]) -> Result<()> {
        let (d, d_out) = self.dims();
        let most = (d * usize::try_from(self.max_train_per_dim).unwrap_or(0)).max(32768);
        let x = maybe_subsample(x, d, most, 1234)?;
        let n = x.len() / d;
        let mut mean = vec![0f32; d];
        x.chunks_exact(d).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, v)| *m += v));
        mean.iter_mut().for_each(|m| *m /= n.max(1) as f32);
        self.mean = mean;
        let centered = self.centered(&x)?;
        if self.do_pca {
            let mut pca = PCAMatrix::new(d as i64, d_out as i64, 0.0, false)?;
            pca.train(&centered)?;
            self.itq.train(&pca.apply(&centered)?)?;
            let mut both = vec![0f32; d_out * d];
            Product::of(&self.itq.A, &pca.A[..d_out * d]).write(d_out, d, d_out, &mut both)?;
            self.pca_then_itq.A = both;
        } else {
            self.itq.train(&centered)?;
            self.pca_then_itq.A = self.itq.A.clone();
        }
        self.pca_then_itq.is_trained = true;
        self.is_trained = true;
        Ok(())
    }
    fn apply_noalloc(&self, x: &[f32], xt: &mut [f32]) -> Result<()> {
        self.check()?;
        self.pair(x, self.dims().0, xt, self.dims().1)?;
        self.pca_then_itq.apply_noalloc(&self.centered(x)?, xt)
    }
}
