//! Locks of objects, waited for so that Ctrl-C works: another thread may hold an object for minutes.

use std::time::Duration;

use faiss_core::base::handle::AsObject;
use faiss_core::base::{Result, Shared, exports, interrupt};
use parking_lot::{ArcRwLockReadGuard, ArcRwLockWriteGuard, RawRwLock};

const WAIT: Duration = Duration::from_millis(20);

/// The object as others see it at the same time. Re-entrant, for selectors that call back.
pub fn read<T: ?Sized>(shared: &Shared<T>) -> Result<ArcRwLockReadGuard<RawRwLock, T>> {
    let lock = shared.clone().into_arc();
    loop {
        if let Some(guard) = lock.try_read_arc_recursive_for(WAIT) {
            return Ok(guard);
        }
        interrupt::check()?;
    }
}

/// The object alone.
pub fn write<T: ?Sized + AsObject>(shared: &Shared<T>) -> Result<ArcRwLockWriteGuard<RawRwLock, T>> {
    let mut guard = write_in_place(shared)?;
    exports::before_change(shared.address(), guard.as_object_mut());
    Ok(guard)
}

/// The object alone, to change its numbers and nothing that moves a vector.
pub fn write_in_place<T: ?Sized>(shared: &Shared<T>) -> Result<ArcRwLockWriteGuard<RawRwLock, T>> {
    let lock = shared.clone().into_arc();
    loop {
        if let Some(guard) = lock.try_write_arc_for(WAIT) {
            return Ok(guard);
        }
        interrupt::check()?;
    }
}
