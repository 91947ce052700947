//! Quantizers: from vectors to short codes and back. Sees the layers below and, for training, k-means.

pub mod bits;
pub mod product;
mod product_methods;

use faiss_derive::Object;

use crate::registry::Row;

/// What all quantizers are.
#[derive(Object, Default, Clone)]
#[object(abstract)]
pub struct Quantizer {
    /// Dimension of the vectors.
    pub d: usize,
    /// Bytes of one code.
    pub code_size: usize,
}

pub const ROW: Row = Row::of::<Quantizer>();
