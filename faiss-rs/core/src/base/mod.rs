//! What every other layer stands on: errors, metrics, descriptions of types, shared handles. Uses nothing of this crate but itself.

pub mod error;
pub mod handle;
pub mod metric;
pub mod object;

pub use error::{Error, Result};
pub use handle::{Handle, Shared};
pub use metric::MetricType;
pub use object::{Described, Field, FieldInfo, FieldMut, FieldRef, Kind, Method, MethodCall, Object, TypeInfo, Value};
