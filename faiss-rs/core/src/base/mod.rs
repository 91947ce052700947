//! What every other layer stands on: errors, metrics, descriptions of types, shared handles, threads, interrupts, progress. Uses nothing of this crate but itself.

pub mod declare;
pub mod error;
pub mod exports;
pub mod handle;
pub mod interrupt;
pub mod link;
pub mod lock;
pub mod memory;
pub mod metric;
pub mod object;
pub mod progress;
pub mod threads;
pub mod view;

pub use error::{Error, Result};
pub use handle::{Handle, ReadGuard, Shared, WriteGuard};
pub use metric::MetricType;
pub use object::{Described, ElementKind, Field, FieldInfo, FieldMut, FieldRef, Kind, Object, TypeInfo, Value};
pub use view::{Is, View};
