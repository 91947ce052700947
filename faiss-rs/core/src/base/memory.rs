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

/// The product of the sizes, which a caller chose.
fn product(sizes: &[usize]) -> Result<usize> {
    let n = sizes.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
    n.ok_or_else(|| Error::overflow("the number of items is out of range for size_t"))
}

fn none<T>(n: usize) -> Error {
    Error::Memory(format!("no memory for {n} items of {} bytes", size_of::<T>()))
}

/// As many items as the product of the sizes.
pub fn filled<T: Copy>(sizes: &[usize], item: T) -> Result<Vec<T>> {
    let n = product(sizes)?;
    let mut items = Vec::new();
    items.try_reserve_exact(n).map_err(|_| none::<T>(n))?;
    prefer_large_pages(&mut items);
    items.resize(n, item);
    Ok(items)
}

/// As many zeros as the product of the sizes, for what is written to once and from one end to the other: memory that the system hands out is zero
/// already and is touched only by who writes to it, on several threads too.
pub fn zeroed<T: bytemuck::Zeroable>(sizes: &[usize]) -> Result<Vec<T>> {
    let n = product(sizes)?;
    bytemuck::allocation::try_zeroed_vec(n).map_err(|()| none::<T>(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_without_memory_are_errors() {
        assert_eq!(zeroed::<f32>(&[2, 3]).unwrap(), [0.0; 6]);
        assert_eq!(filled(&[2, 2], 7u8).unwrap(), [7; 4]);
        assert!(zeroed::<f32>(&[0, 5]).unwrap().is_empty());
        assert!(matches!(zeroed::<f32>(&[usize::MAX / 4, 1]), Err(Error::Memory(_))));
        assert!(zeroed::<u8>(&[usize::MAX, 2]).is_err() && filled(&[usize::MAX, 2], 0u8).is_err());
    }
}
