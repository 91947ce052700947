//! What this crate knows of its types beyond the row of the registry, which carries it as its role.

use std::sync::Arc;

use faiss_core::base::{Handle, Object, Result, TypeInfo};
use faiss_core::index::Index;
use faiss_core::registry::Role;

use crate::config::GpuClonerOptions;
use crate::index::ivf::GpuInvertedFile;
use crate::registry::REGISTRY;
use crate::resources::GpuResources;

/// The GPU part of a type.
#[derive(Clone, Copy, Default)]
pub struct Kind {
    /// How it becomes an index of the CPU and how such a one becomes it.
    pub cloner: Option<Cloner>,
    /// The inverted file that an object of the type is.
    pub inverted_file: Option<fn(&dyn Object) -> Option<&dyn GpuInvertedFile>>,
}

/// From one type of the CPU to one type of the GPU and back.
#[derive(Clone, Copy)]
pub struct Cloner {
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

impl Kind {
    /// What is known of the object's type, or of the nearest ancestor of which something is.
    pub fn of(object: &dyn Object) -> Option<&'static Kind> {
        object.info().lineage().find_map(|info| {
            let row = REGISTRY.iter().find(|row| row.info.name == info.name)?;
            match row.role {
                Some(Role::Other(kind)) => kind.downcast_ref(),
                _ => None,
            }
        })
    }

    /// The cloner of a CPU index of this type, or of the nearest ancestor that has one.
    pub fn of_cpu(info: &'static TypeInfo) -> Option<&'static Cloner> {
        info.lineage().find_map(|info| {
            REGISTRY.iter().find_map(|row| match row.role {
                Some(Role::Other(kind)) => kind.downcast_ref::<Kind>()?.cloner.as_ref().filter(|c| c.cpu == info.name),
                _ => None,
            })
        })
    }
}
