//! What a type of this crate says of the way between the CPU's indexes and itself, beyond the row of the registry.

use std::sync::Arc;

use faiss_core::base::{Handle, Result, TypeInfo};
use faiss_core::index::Index;

use crate::config::GpuClonerOptions;
use crate::registry::CLONERS;
use crate::resources::GpuResources;

/// From one type of the CPU to one type of the GPU and back.
#[derive(Clone, Copy)]
pub struct Cloner {
    /// The GPU's type.
    pub gpu: &'static str,
    /// The CPU's type.
    pub cpu: &'static str,
    pub to_gpu: fn(&Target<'_>, &dyn Index) -> Result<Handle>,
    pub to_cpu: fn(&dyn Index) -> Result<Handle>,
}

/// Where an index goes, and how.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub resources: &'a Arc<GpuResources>,
    pub device: i32,
    pub options: &'a GpuClonerOptions,
}

impl Cloner {
    /// The cloner of a GPU index of this type, or of the nearest ancestor that has one.
    pub fn of_gpu(info: &'static TypeInfo) -> Option<&'static Cloner> {
        info.lineage().find_map(|info| CLONERS.iter().find(|cloner| cloner.gpu == info.name))
    }

    /// The cloner of a CPU index of this type, or of the nearest ancestor that has one.
    pub fn of_cpu(info: &'static TypeInfo) -> Option<&'static Cloner> {
        info.lineage().find_map(|info| CLONERS.iter().find(|cloner| cloner.cpu == info.name))
    }
}
