//! The CPU part of faiss. Layers, each seeing only those before it (`tests/layers.rs` holds them):
//!
//! base → random → simd, blas → distance → selector → stream → storage → grammar → the [`index::Index`] trait and flat indexes → cluster →
//! quantize → transform, graph → index → binary → factory → io.
//!
//! [`registry`] is no layer but the table of all types: any layer describes its types with its [`Row`](registry::Row), and reaches
//! types that it does not know through it. No CUDA and no Python here.

#![warn(missing_docs)]
// Kernels and free functions carry Faiss's names and its argument lists.
#![allow(non_snake_case, clippy::too_many_arguments)]

extern crate self as faiss_core;

pub mod base;
pub mod binary;
pub mod blas;
pub mod cluster;
pub mod distance;
pub mod factory;
pub(crate) mod grammar;
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
