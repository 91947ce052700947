//! One row a type. Adding an index type is one file and one row here; Python, stubs, docs, files and the factory read the rows.

use crate::base::{Handle, Result, TypeInfo, Value};

/// What the rest of the library knows of a type.
pub struct Row {
    pub info: &'static TypeInfo,
    /// Builds an object from positional arguments, all of the class's overloads in one; `None` where the class is abstract.
    pub construct: Option<fn(&[Value]) -> Result<Handle>>,
}

/// Every type of this crate. The GPU crate has a list of its own, of the same rows.
pub static REGISTRY: &[Row] = &[];
