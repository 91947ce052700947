//! Shared handles: how one object has several owners, in Rust and in Python alike.
//!
//! Where Faiss has a raw pointer to another object (`quantizer`, `index`, `storage`), this crate has a [`Shared`]. Cloning one makes an
//! alias, never a copy.

use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::exports;
use super::object::Object;
use crate::index::Index;
use crate::selector::IDSelector;
use crate::storage::lists::InvertedLists;
use crate::transform::VectorTransform;

/// A shared, locked object. Reads are re-entrant: a selector that calls back into the index it filters does not deadlock.
pub struct Shared<T: ?Sized>(Arc<RwLock<T>>);

impl<T> Shared<T> {
    pub fn new(value: T) -> Self {
        Shared(Arc::new(RwLock::new(value)))
    }
}

impl<T: ?Sized> Shared<T> {
    pub fn from_arc(inner: Arc<RwLock<T>>) -> Self {
        Shared(inner)
    }

    pub fn into_arc(self) -> Arc<RwLock<T>> {
        self.0
    }

    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read_recursive()
    }

    /// The object alone, to change its numbers and nothing that moves a vector.
    pub fn write_in_place(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write()
    }

    /// True when both handles name the same object.
    pub fn same(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(&other.0))
    }

    /// The object's identity while it lives.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0).cast::<()>() as usize
    }
}

impl<T: ?Sized + AsObject> Shared<T> {
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        let mut guard = self.0.write();
        exports::before_change(self.address(), guard.as_object_mut());
        guard
    }
}

/// What can be seen as an [`Object`], of known type or not.
pub trait AsObject {
    fn as_object_mut(&mut self) -> &mut dyn Object;
}
impl<T: Object> AsObject for T {
    fn as_object_mut(&mut self) -> &mut dyn Object {
        self
    }
}
macro_rules! as_object {
    ($($base:ident),*) => {$(
        impl AsObject for dyn $base {
            fn as_object_mut(&mut self) -> &mut dyn Object {
                self
            }
        }
    )*};
}
as_object! { Index, IDSelector, InvertedLists, VectorTransform, Object }

/// A shared object as its base class: what a field that points to any selector or index takes.
impl Shared<dyn IDSelector> {
    pub fn selector(value: impl IDSelector + 'static) -> Self {
        Shared(Arc::new(RwLock::new(value)))
    }
}
impl Shared<dyn Index> {
    pub fn index(value: impl Index + 'static) -> Self {
        Shared(Arc::new(RwLock::new(value)))
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

/// A handle to any object that can stand alone: one variant for each polymorphic base class.
#[derive(Clone)]
pub enum Handle {
    Index(Shared<dyn Index>),
    Selector(Shared<dyn IDSelector>),
    Lists(Shared<dyn InvertedLists>),
    Transform(Shared<dyn VectorTransform>),
    Other(Shared<dyn Object>),
}

impl Handle {
    pub fn index(value: impl Index + 'static) -> Self {
        Handle::Index(Shared::index(value))
    }

    pub fn selector(value: impl IDSelector + 'static) -> Self {
        Handle::Selector(Shared::selector(value))
    }

    pub fn lists(value: impl InvertedLists + 'static) -> Self {
        Handle::Lists(Shared::from_arc(Arc::new(RwLock::new(value))))
    }

    pub fn transform(value: impl VectorTransform + 'static) -> Self {
        Handle::Transform(Shared::from_arc(Arc::new(RwLock::new(value))))
    }

    pub fn other(value: impl Object + 'static) -> Self {
        Handle::Other(Shared::from_arc(Arc::new(RwLock::new(value))))
    }

    /// The same object seen as nothing more than an [`Object`].
    pub fn object(&self) -> Shared<dyn Object> {
        match self {
            Handle::Index(h) => Shared::from_arc(h.clone().into_arc()),
            Handle::Selector(h) => Shared::from_arc(h.clone().into_arc()),
            Handle::Lists(h) => Shared::from_arc(h.clone().into_arc()),
            Handle::Transform(h) => Shared::from_arc(h.clone().into_arc()),
            Handle::Other(h) => h.clone(),
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({})", self.object().read().info().name)
    }
}
