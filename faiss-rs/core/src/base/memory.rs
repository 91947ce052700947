//! Memory whose size a caller chose: where there is none, that is an error and not the end of the process.

use super::{Error, Result};

/// From here on memory is asked for in large pages.
const MIN_LARGE: usize = 4 << 20;
/// A large page, on the processors where there are some of this size; a multiple of all smaller ones.
#[cfg(target_os = "linux")]
const LARGE_PAGE: usize = 2 << 20;

/// Asks the system for large pages for the memory that `items` has, where it is so much that this pays: its first touch makes far fewer of them, and
/// loops over all of it as well as jumps within it find more addresses in the processor's table of pages. A system that has none gives what it always
/// does.
pub fn prefer_large_pages<T>(items: &mut Vec<T>) {
    let bytes = items.capacity().saturating_mul(size_of::<T>());
    if bytes < MIN_LARGE {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        let start = items.as_mut_ptr().cast::<u8>();
        let skipped = start.addr().next_multiple_of(LARGE_PAGE) - start.addr();
        let whole = bytes.saturating_sub(skipped) / LARGE_PAGE * LARGE_PAGE;
        // SAFETY: the range lies within memory that the vector owns and begins where a page does; the advice changes nothing that is in it. What the
        // system answers does not matter.
        let _ = unsafe {
            rustix::mm::madvise(start.wrapping_add(skipped).cast(), whole, rustix::mm::Advice::LinuxHugepage)
        };
    }
}

/// As many items as the product of the sizes.
pub fn filled<T: Copy>(sizes: &[usize], item: T) -> Result<Vec<T>> {
    let n = sizes.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
    let n = n.ok_or_else(|| Error::overflow("the number of items is out of range for size_t"))?;
    let mut items = Vec::new();
    items.try_reserve_exact(n).map_err(|e| Error::Memory(format!("{n} items of {} bytes: {e}", size_of::<T>())))?;
    prefer_large_pages(&mut items);
    items.resize(n, item);
    Ok(items)
}
