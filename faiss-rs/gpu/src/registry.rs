//! One row a type, as in faiss-core: what Python classes, stubs and docs of the GPU part are made from.

use faiss_core::registry::Row;

use crate::bf_knn::GpuDistanceParams;
use crate::config::{
    GpuClonerOptions, GpuIndexBinaryFlatConfig, GpuIndexConfig, GpuIndexFlatConfig, GpuIndexIVFConfig,
    GpuIndexIVFFlatConfig, GpuIndexIVFPQConfig, GpuIndexIVFScalarQuantizerConfig, GpuMultipleClonerOptions,
};
use crate::kind::Cloner;
use crate::{icm, index, progressive, standard};

/// Every type of this crate.
pub static REGISTRY: &[Row] = &[
    standard::PROVIDER,
    standard::ROW,
    standard::PARAMETER_SPACE,
    Row::of::<GpuIndexConfig>(),
    Row::of::<GpuIndexFlatConfig>(),
    Row::of::<GpuIndexIVFConfig>(),
    Row::of::<GpuIndexIVFFlatConfig>(),
    Row::of::<GpuIndexIVFPQConfig>(),
    Row::of::<GpuIndexIVFScalarQuantizerConfig>(),
    Row::of::<GpuIndexBinaryFlatConfig>(),
    Row::of::<GpuClonerOptions>(),
    Row::of::<GpuMultipleClonerOptions>(),
    Row::of::<GpuDistanceParams>(),
    index::ROW,
    index::flat::ROW,
    index::flat_l2::ROW,
    index::flat_ip::ROW,
    index::ivf::ROW,
    index::ivf::flat::ROW,
    index::ivf::pq::ROW,
    index::ivf::scalar::ROW,
    index::binary_flat::ROW,
    icm::ROW,
    progressive::ROW,
];

/// The ways between indexes of the CPU and of this crate.
pub static CLONERS: &[Cloner] = &[
    index::flat::CLONER,
    index::ivf::flat::CLONER,
    index::ivf::pq::CLONER,
    index::ivf::scalar::CLONER,
    index::flat::HALVES,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_parents_are_known() {
        let mut names: Vec<_> = REGISTRY.iter().map(|r| r.info.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), REGISTRY.len());
        for row in REGISTRY {
            assert_eq!(row.info.constructors.is_empty(), row.info.is_abstract, "{}", row.info.name);
            // Defaults, from which descriptions are made, must not need a GPU.
            assert_eq!((row.info.default)().info().name, row.info.name);
            let parent = row.info.parent.map(|p| p.name);
            let known =
                |name| REGISTRY.iter().any(|r| r.info.name == name) || faiss_core::registry::row_named(name).is_some();
            assert!(parent.is_none_or(known), "the parent of {} has no row", row.info.name);
        }
    }
}
