//! The CPU part of faiss. Layers, each seeing only those before it: base, simd, blas, distance, cluster, quantize, transform, storage,
//! graph, index, binary, factory, io. No CUDA and no Python here.

// Kernels and free functions carry Faiss's names and its argument lists.
#![allow(non_snake_case, clippy::too_many_arguments)]

extern crate self as faiss_core;

pub mod base;
pub mod binary;
pub mod blas;
pub mod cluster;
pub mod distance;
pub mod factory;
pub mod grammar;
pub mod graph;
pub mod index;
pub mod io;
pub mod quantize;
pub mod random;
pub mod registry;
pub mod selector;
pub mod simd;
pub mod storage;
pub mod stream;
pub mod transform;
