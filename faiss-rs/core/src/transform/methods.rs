//! What Python sees of transforms beyond their fields.

use faiss_derive::methods;

use super::{VectorTransform, VectorTransformBase};
use crate::base::Result;
use crate::base::declare::Rows;

/// The methods of all transforms.
pub struct TransformMethods;

#[methods]
impl TransformMethods {
    /// Learns from vectors (n, d_in) what the transform needs.
    fn train(this: &mut dyn VectorTransform, x: &[f32]) -> Result<()> {
        this.train(x)
    }

    /// Transforms vectors (n, d_in) to (n, d_out).
    fn apply(this: &dyn VectorTransform, x: &[f32]) -> Result<Rows<f32>> {
        Ok(Rows(this.apply(x)?, this.base().dims().1))
    }

    /// As `apply`.
    fn apply_py(this: &dyn VectorTransform, x: &[f32]) -> Result<Rows<f32>> {
        TransformMethods::apply(this, x)
    }

    /// From transformed vectors (n, d_out) back to (n, d_in), exactly or as near as the transform allows.
    fn reverse_transform(this: &dyn VectorTransform, x: &[f32]) -> Result<Rows<f32>> {
        let (d_in, d_out) = this.base().dims();
        let mut out = vec![0.0; VectorTransformBase::rows(x, d_out)? * d_in];
        this.reverse_transform(x, &mut out)?;
        Ok(Rows(out, d_in))
    }
}
