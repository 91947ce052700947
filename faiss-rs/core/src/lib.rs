//! The CPU part of faiss. Layers, each seeing only those before it: base, simd, blas, distance, cluster, quantize, transform, storage,
//! index, factory, io. No CUDA and no Python here.

extern crate self as faiss_core;

pub mod base;
pub mod index;
pub mod registry;
pub mod selector;
