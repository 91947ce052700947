//! What Python sees of the scalar quantizer beyond its fields.

use faiss_derive::methods;

use super::ScalarQuantizer;
use crate::base::Result;
use crate::base::declare::{Array, Rows, Shaped};
use crate::base::memory::filled;
use crate::quantize::codec::Quantizer;
use crate::registry::Row;

pub(crate) const ROW: Row = Row::of::<ScalarQuantizer>();

/// The constructors and methods of [`ScalarQuantizer`].
pub struct ScalarMethods;

#[methods]
impl ScalarMethods {
    #[new]
    fn empty() -> ScalarQuantizer {
        ScalarQuantizer::default()
    }

    #[new]
    fn of(d: usize, qtype: i32) -> Result<ScalarQuantizer> {
        ScalarQuantizer::new(d, qtype)
    }

    /// Learns the ranges of coordinates from vectors (n, d); types without ranges look at none.
    fn train(this: &mut ScalarQuantizer, x: &[f32]) -> Result<()> {
        this.train(x)
    }

    /// Encodes vectors (n, d) to codes (n, code_size) of uint8.
    fn compute_codes(this: &ScalarQuantizer, x: &[f32]) -> Result<Shaped<u8>> {
        let n = x.len() / this.d.max(1);
        let mut codes = filled(&[n, this.code_size], 0u8)?;
        this.compute_codes(x, &mut codes)?;
        Ok(Shaped(codes, vec![n, this.code_size]))
    }

    /// Decodes codes (n, code_size) of uint8 to vectors (n, d).
    fn decode(this: &ScalarQuantizer, codes: Array<'_, u8>) -> Result<Rows<f32>> {
        // Codes of no bytes have no number but their shape's.
        let n = codes.items.len().checked_div(this.code_size).or(codes.shape.first().copied()).unwrap_or(0);
        let mut x = filled(&[n, this.d], 0f32)?;
        this.decode(codes.items, &mut x)?;
        Ok(Rows(x, this.d))
    }

    /// Sets what follows from d and qtype.
    fn set_derived_sizes(this: &mut ScalarQuantizer) -> Result<()> {
        this.set_derived_sizes()
    }
}
