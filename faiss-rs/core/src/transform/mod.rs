//! Transforms of vectors before they are indexed. A file is a kind of transform. Sees base, random, blas, distance, cluster and quantize.

/// What `VectorTransform` asks of every type alike: its base.
macro_rules! vector_transform_base {
    () => {
        fn base(&self) -> &$crate::transform::VectorTransformBase {
            self
        }
        fn base_mut(&mut self) -> &mut $crate::transform::VectorTransformBase {
            self
        }
    };
}

pub mod hadamard;
pub mod itq;
pub mod linear;
mod methods;
pub mod opq;
pub mod pca;
pub mod simple;

use faiss_derive::Object;

use crate::base::object::Object;
use crate::base::{Error, Result};
use crate::registry::Row;

/// What all transforms have.
#[derive(Object, Clone, Debug)]
#[object(name = "VectorTransform", abstract, methods(methods::TransformMethods))]
pub struct VectorTransformBase {
    /// Dimension of the vectors that come in.
    pub d_in: i32,
    /// Dimension of the vectors that go out.
    pub d_out: i32,
    /// Whether the transform needs no training, or has been trained.
    #[object(default = true)]
    pub is_trained: bool,
}

pub(crate) const ROW: Row = Row::of::<VectorTransformBase>();

impl VectorTransformBase {
    /// Of `d_in` numbers to `d_out`.
    pub fn new(d_in: i64, d_out: i64, is_trained: bool) -> Result<Self> {
        let size = |d: i64| i32::try_from(d).ok().filter(|d| (0..=1 << 24).contains(d));
        let (Some(d_in), Some(d_out)) = (size(d_in), size(d_out)) else {
            return Err(Error::value(format!("the dimensions {d_in} and {d_out} are out of range")));
        };
        Ok(VectorTransformBase { d_in, d_out, is_trained })
    }

    /// Numbers of a vector before and after.
    pub fn dims(&self) -> (usize, usize) {
        (self.d_in.max(0) as usize, self.d_out.max(0) as usize)
    }

    /// The number of vectors of `d` numbers in `x`.
    pub fn rows(x: &[f32], d: usize) -> Result<usize> {
        Error::check(d > 0 && x.len().is_multiple_of(d), "x.size() % d == 0")?;
        Ok(x.len() / d)
    }

    /// The number of vectors to be transformed, whose arrays must agree.
    fn pair(&self, x: &[f32], d_x: usize, y: &[f32], d_y: usize) -> Result<usize> {
        let n = Self::rows(x, d_x)?;
        Error::check(n.checked_mul(d_y) == Some(y.len()), "xt.size() == n * d_out")?;
        Ok(n)
    }
}

crate::stored!(VectorTransformBase, |vt| {
    vt.d_in;
    vt.d_out;
    vt.is_trained;
    read {
        let (d_in, d_out) = (vt.d_in, vt.d_out);
        let made = VectorTransformBase::new(i64::from(d_in), i64::from(d_out), vt.is_trained);
        let wrong = |_| Error::failed("d_in >= 0 && d_out >= 0", format!("invalid dimensions {d_in}, {d_out}"));
        *vt = made.map_err(wrong)?;
    }
});

/// From vectors of `d_in` numbers to vectors of `d_out`. Arrays are row-major.
pub trait VectorTransform: Object {
    /// What every transform has.
    fn base(&self) -> &VectorTransformBase;
    /// The same, to be changed.
    fn base_mut(&mut self) -> &mut VectorTransformBase;

    /// Learns from vectors (n, d_in).
    fn train(&mut self, _x: &[f32]) -> Result<()> {
        Ok(())
    }
    /// Writes the transformed vectors to `xt`, `n * d_out` numbers.
    fn apply_noalloc(&self, x: &[f32], xt: &mut [f32]) -> Result<()>;
    /// The reverse, exact or as near as the transform allows.
    fn reverse_transform(&self, _xt: &[f32], _x: &mut [f32]) -> Result<()> {
        Err(Error::failed("", "reverse transform not implemented"))
    }

    /// The transformed vectors (n, d_out).
    fn apply(&self, x: &[f32]) -> Result<Vec<f32>> {
        let (d_in, d_out) = self.base().dims();
        let mut xt = vec![0.0; VectorTransformBase::rows(x, d_in)? * d_out];
        self.apply_noalloc(x, &mut xt)?;
        Ok(xt)
    }
}

crate::view!(VectorTransform, "VectorTransform");

/// At most `most` of the vectors of `x`, chosen by Faiss's generator; the vectors themselves where there are no more.
pub fn maybe_subsample(x: &[f32], d: usize, most: usize, seed: i64) -> Result<std::borrow::Cow<'_, [f32]>> {
    let n = VectorTransformBase::rows(x, d)?;
    if n <= most {
        return Ok(x.into());
    }
    i32::try_from(n).map_err(|_| Error::overflow(format!("{n} vectors are more than can be sampled from")))?;
    let mut sample = Vec::with_capacity(most * d);
    for p in crate::random::rand_perm_prefix(n, most, seed) {
        sample.extend_from_slice(&x[p as usize * d..(p as usize + 1) * d]);
    }
    Ok(sample.into())
}
