//! Ids that a selector of a search may hold on to while the index that has them can still change.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

use crate::base::Result;
use crate::base::object::{ElementKind, Field, FieldMut, FieldRef, Kind, VectorField};

/// A vector of ids. A clone costs nothing; who changes one that others have too gets a copy.
#[derive(Clone, Default, Debug, PartialEq)]
pub struct SharedIds(Arc<Vec<i64>>);

impl SharedIds {
    /// These ids.
    pub fn new(ids: Vec<i64>) -> Self {
        SharedIds(Arc::new(ids))
    }

    /// The ids, to be changed: copied before if others have them too.
    pub fn to_mut(&mut self) -> &mut Vec<i64> {
        Arc::make_mut(&mut self.0)
    }
}

impl Deref for SharedIds {
    type Target = Vec<i64>;
    fn deref(&self) -> &Vec<i64> {
        &self.0
    }
}

impl VectorField for SharedIds {
    fn element(&self) -> ElementKind {
        ElementKind::I64
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(self.to_mut())
    }
    fn resize(&mut self, n: usize) -> Result<()> {
        VectorField::resize(self.to_mut(), n)
    }
    fn detach(&mut self) -> Box<dyn Any + Send + Sync> {
        VectorField::detach(self.to_mut())
    }
}
impl Field for SharedIds {
    const KIND: Kind = Kind::Vector(ElementKind::I64);
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Vector(self)
    }
}
impl FieldMut for SharedIds {
    fn vector_mut(&mut self) -> Option<&mut dyn VectorField> {
        Some(self)
    }
}
