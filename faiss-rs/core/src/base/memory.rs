//! Memory whose size a caller chose: where there is none, that is an error and not the end of the process.

use super::{Error, Result};

/// As many items as the product of the sizes.
pub fn filled<T: Copy>(sizes: &[usize], item: T) -> Result<Vec<T>> {
    let n = sizes.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
    let n = n.ok_or_else(|| Error::overflow("the number of items is out of range for size_t"))?;
    let mut items = Vec::new();
    items.try_reserve_exact(n).map_err(|e| Error::Memory(format!("{n} items of {} bytes: {e}", size_of::<T>())))?;
    items.resize(n, item);
    Ok(items)
}

/// So many zeros, in memory that the system gives as zeros where it can: then none are written, and none is touched.
pub fn zeroed<T: bytemuck::Zeroable>(n: usize) -> Result<Vec<T>> {
    let zeros = bytemuck::allocation::try_zeroed_vec(n);
    zeros.map_err(|()| Error::Memory(format!("{n} items of {} bytes", size_of::<T>())))
}
