//! Fields that point to an object which is no index, no selector and no lists.

use std::marker::PhantomData;

use super::object::{Described, Field, FieldMut, FieldRef, Kind, Object};
use super::{Error, Handle, Result, Shared, Value};

/// A shared handle to a `T` or an object of a class derived from it; may be null.
pub struct Pointer<T>(pub Option<Shared<dyn Object>>, PhantomData<fn() -> T>);

impl<T> Default for Pointer<T> {
    fn default() -> Self {
        Pointer(None, PhantomData)
    }
}

impl<T> Clone for Pointer<T> {
    fn clone(&self) -> Self {
        Pointer(self.0.clone(), PhantomData)
    }
}

impl<T: Described> Field for Pointer<T> {
    const KIND: Kind = Kind::Pointer(T::INFO.name);
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Value(self.0.as_ref().map_or(Value::None, |p| Value::Handle(Handle::Other(p.clone()))))
    }
}

impl<T: Described> FieldMut for Pointer<T> {
    fn set(&mut self, value: Value) -> Result<()> {
        self.0 = match value {
            Value::None => None,
            Value::Handle(Handle::Other(p)) if p.read().info().is_a(T::INFO.name) => Some(p),
            _ => return Err(Error::type_error(format!("{} or None are wanted here", T::INFO.name))),
        };
        Ok(())
    }
}

impl<T> Pointer<T> {
    /// Calls `with` with the object.
    pub fn with<R>(&self, with: impl FnOnce(Option<&dyn Object>) -> R) -> R {
        match &self.0 {
            Some(p) => with(Some(&*p.read())),
            None => with(None),
        }
    }
}
