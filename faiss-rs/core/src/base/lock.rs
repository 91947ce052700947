//! Locks of objects, waited for so that Ctrl-C works: another thread may hold an object for minutes.

use std::time::Duration;

use super::handle::{ReadGuard, Shared, WriteGuard};
use super::view::View;
use super::{Result, interrupt};

const WAIT: Duration = Duration::from_millis(20);

/// The object as others see it at the same time. Re-entrant, for selectors that call back.
pub fn read<T: ?Sized + View>(shared: &Shared<T>) -> Result<ReadGuard<'_, T>> {
    wait(|| shared.read_for(WAIT))
}

/// The object alone.
pub fn write<T: ?Sized + View>(shared: &Shared<T>) -> Result<WriteGuard<'_, T>> {
    wait(|| shared.write_for(WAIT))
}

/// The object alone, to change its numbers and nothing that moves a vector.
pub fn write_in_place<T: ?Sized + View>(shared: &Shared<T>) -> Result<WriteGuard<'_, T>> {
    wait(|| shared.write_in_place_for(WAIT))
}

fn wait<G>(mut ask: impl FnMut() -> Option<G>) -> Result<G> {
    loop {
        if let Some(guard) = ask() {
            return Ok(guard);
        }
        interrupt::check()?;
    }
}
