//! Operations on device memory, each a few launches: what indexes are built from. They take a [`Context`] and addresses,
//! check nothing about the host and never wait.
//!
//! [`Context`]: crate::resources::Context

pub mod assign;
pub mod few;
pub mod found;
pub mod group;
pub mod hamming;
pub mod ivf_filter;
pub mod ivf_scan;
pub mod kmeans;
pub mod knn;
pub mod list_metric;
pub mod pq;
mod pq_filter;
pub mod pq_train;
pub mod probe;
pub mod range;
pub mod rows;
pub mod select;
pub mod split;
pub mod sq;
