//! Quantizers: vectors to short codes and back. A folder's file is a kind of quantizer. Sees base, simd, blas, distance, cluster and the
//! trait `Index`.

pub mod additive;
pub mod bit_vectors;
pub mod bits;
pub mod codec;
pub mod decoded;
pub mod eden;
pub mod fast_scan;
pub mod hamming;
pub mod lattice;
pub mod neural;
pub mod polysemous;
pub mod polysemous_distances;
pub mod product;
mod product_distances;
pub mod product_methods;
mod product_train;
pub mod rabitq;
pub mod rounding;
pub mod scalar;

use faiss_derive::Object;

use crate::registry::Row;

pub use codec::{CodeDistances, Quantizer};
pub use polysemous::PolysemousTraining;
pub use product::ProductQuantizer;
pub use scalar::ScalarQuantizer;

/// Numbers of a table, over all parts, that a quantizer of vectors without coordinates may ask for. Of others the codebooks are in the file, or in
/// memory.
const MAX_TABLE: usize = 1 << 24;

/// What all quantizers have.
#[derive(Object, Default, Clone, Debug)]
#[object(name = "Quantizer", abstract)]
pub struct QuantizerBase {
    /// Dimension of the vectors.
    pub d: usize,
    /// Bytes of one code.
    pub code_size: usize,
}

pub(crate) const ROW: Row = Row::of::<QuantizerBase>();
