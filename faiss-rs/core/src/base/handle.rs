//! Shared handles: how one object has several owners, in Rust and in Python alike.
//!
//! Where Faiss has a raw pointer to another object (`quantizer`, `index`, `storage`), this crate has a [`Shared`]. Cloning one makes an
//! alias, never a copy.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::object::{self, Object, TypeInfo};
use super::view::{Casts, Is, View, wrong};
use super::{Result, exports};

/// A shared, locked object, seen as a `T`. Reads are re-entrant: a selector that calls back into the index it filters does not deadlock.
pub struct Shared<T: ?Sized + 'static> {
    object: Arc<RwLock<dyn Object>>,
    /// Known without the lock.
    info: &'static TypeInfo,
    casts: &'static Casts<T>,
}

/// A handle to any object that can stand alone; see [`Shared::view`].
pub type Handle = Shared<dyn Object>;

/// A lock that others may have too.
pub type ReadGuard<'a, T> = MappedRwLockReadGuard<'a, T>;
/// A lock that nobody else has.
pub type WriteGuard<'a, T> = MappedRwLockWriteGuard<'a, T>;

impl<T: ?Sized + View> Shared<T> {
    /// A handle to a new object.
    pub fn new<V: Is<T>>(value: V) -> Self {
        let casts = T::casts(V::INFO).unwrap_or_else(|| unreachable!("the description says what the type implements"));
        Shared { object: Arc::new(RwLock::new(value)), info: V::INFO, casts }
    }

    /// Waits until nobody changes the object.
    pub fn read(&self) -> ReadGuard<'_, T> {
        self.seen(self.object.read_recursive())
    }

    /// As [`Shared::read`]; `None` where the object is not to be had at once.
    pub fn read_now(&self) -> Option<ReadGuard<'_, T>> {
        Some(self.seen(self.object.try_read_recursive()?))
    }

    /// As [`Shared::read`]; `None` where the object is not to be had for so long.
    pub fn read_for(&self, time: Duration) -> Option<ReadGuard<'_, T>> {
        Some(self.seen(self.object.try_read_recursive_for(time)?))
    }

    /// The object alone.
    pub fn write(&self) -> WriteGuard<'_, T> {
        self.changed(self.object.write())
    }

    /// As [`Shared::write`]; `None` where the object is not to be had for so long.
    pub fn write_for(&self, time: Duration) -> Option<WriteGuard<'_, T>> {
        Some(self.changed(self.object.try_write_for(time)?))
    }

    /// The object alone, to change its numbers and nothing that moves a vector.
    pub fn write_in_place(&self) -> WriteGuard<'_, T> {
        self.seen_mut(self.object.write())
    }

    /// As [`Shared::write_in_place`]; `None` where the object is not to be had at once.
    pub fn write_in_place_now(&self) -> Option<WriteGuard<'_, T>> {
        Some(self.seen_mut(self.object.try_write()?))
    }

    /// As [`Shared::write_in_place`]; `None` where the object is not to be had for so long.
    pub fn write_in_place_for(&self, time: Duration) -> Option<WriteGuard<'_, T>> {
        Some(self.seen_mut(self.object.try_write_for(time)?))
    }

    fn seen<'a>(&'a self, guard: RwLockReadGuard<'a, dyn Object>) -> ReadGuard<'a, T> {
        let seen = RwLockReadGuard::try_map(guard, self.casts.get);
        seen.unwrap_or_else(|_| unreachable!("an object's type never changes"))
    }

    fn seen_mut<'a>(&'a self, guard: RwLockWriteGuard<'a, dyn Object>) -> WriteGuard<'a, T> {
        let seen = RwLockWriteGuard::try_map(guard, self.casts.get_mut);
        seen.unwrap_or_else(|_| unreachable!("an object's type never changes"))
    }

    fn changed<'a>(&'a self, mut guard: RwLockWriteGuard<'a, dyn Object>) -> WriteGuard<'a, T> {
        exports::before_change(self.address(), &mut *guard);
        self.seen_mut(guard)
    }

    /// The same object as a `V`; the wrong type is an error that names both.
    pub fn view<V: ?Sized + View>(&self) -> Result<Shared<V>> {
        let casts = V::casts(self.info).ok_or_else(|| wrong(V::NAME, self.info))?;
        Ok(Shared { object: self.object.clone(), info: self.info, casts })
    }

    /// Whether the object can be seen as a `V`.
    pub fn is<V: ?Sized + View>(&self) -> bool {
        V::casts(self.info).is_some()
    }

    /// The same object as no more than that.
    pub fn object(&self) -> Handle {
        let casts = const { &Casts { get: |object| Some(object), get_mut: |object| Some(object) } };
        Shared { object: self.object.clone(), info: self.info, casts }
    }

    /// Calls `work` with the object that a pointer leads to, if it leads to one.
    pub fn with<R>(pointer: Option<&Self>, work: impl FnOnce(Option<&dyn Object>) -> R) -> R {
        match pointer {
            Some(shared) => work(Some(&*shared.object.read_recursive())),
            None => work(None),
        }
    }

    /// A deep copy: objects that this one refers to are copied too.
    pub fn copy(&self) -> Result<Shared<T>> {
        object::copy(&*self.object.read_recursive())?.view()
    }
}

impl<T: ?Sized> Shared<T> {
    /// True when both handles name the same object.
    pub fn same<V: ?Sized>(&self, other: &Shared<V>) -> bool {
        self.address() == other.address()
    }

    /// The description of the object's type.
    pub fn info(&self) -> &'static TypeInfo {
        self.info
    }

    /// The object's identity while it lives.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.object).cast::<()>() as usize
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared { object: Arc::clone(&self.object), info: self.info, casts: self.casts }
    }
}

impl<T: ?Sized> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({})", self.info.name)
    }
}
