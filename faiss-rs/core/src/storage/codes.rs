//! Codes of fixed size, one after the other, as one array of bytes.
//!
//! Codes may be floats, so the bytes are aligned for them. Memory grows by a quarter beyond what is needed, never doubles, and large arrays
//! grow in place where the system's allocator can (an alignment of 16 is what its `realloc` keeps).

use std::any::Any;

use crate::base::object::{ElementKind, Field, FieldMut, FieldRef, Kind, VectorField};
use crate::base::{Error, Result};

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Word([u8; 16]);

const WIDTH: usize = size_of::<Word>();

/// A growable array of bytes, aligned for every element type.
#[derive(Default)]
pub struct Codes {
    /// Always `len.div_ceil(WIDTH)` words.
    words: Vec<Word>,
    len: usize,
}

impl Codes {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.words.capacity() * WIDTH
    }

    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the words are initialised bytes without padding, and `len` never exceeds them.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.len) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above; every byte is a valid one.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.len) }
    }

    /// The whole floats of the array.
    pub fn as_f32(&self) -> &[f32] {
        // SAFETY: words are aligned for f32, and every bit pattern is a float.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.len / 4) }
    }

    pub fn as_f32_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.len / 4) }
    }

    fn reserve_words(&mut self, words: usize, exact: bool) -> Result<()> {
        let (held, used) = (self.words.capacity(), self.words.len());
        if words <= held {
            return Ok(());
        }
        let target = if exact || used == 0 { words } else { words.max(held + held / 4) };
        self.words
            .try_reserve_exact(target - used)
            .map_err(|_| Error::Memory(format!("could not get {} bytes for codes", target * WIDTH)))
    }

    pub fn try_reserve_exact(&mut self, bytes: usize) -> Result<()> {
        self.reserve_words(bytes.div_ceil(WIDTH), true)
    }

    /// Room for so many bytes more.
    pub fn try_reserve_more(&mut self, bytes: usize) -> Result<()> {
        let total = self.len.checked_add(bytes);
        let total = total.ok_or_else(|| Error::Memory("more codes than can be addressed".into()))?;
        self.reserve_words(total.div_ceil(WIDTH), false)
    }

    /// Changes the number of bytes; new ones are zero.
    pub fn try_resize(&mut self, bytes: usize) -> Result<()> {
        let words = bytes.div_ceil(WIDTH);
        self.reserve_words(words, false)?;
        self.words.resize(words, Word([0; WIDTH]));
        // Bytes beyond the old length in its last word may be anything but must read as zero when they come into use.
        let old = self.len;
        self.len = bytes;
        if bytes > old {
            let end = bytes.min(old.next_multiple_of(WIDTH));
            self.as_mut_slice()[old..end].fill(0);
        }
        Ok(())
    }

    pub fn truncate(&mut self, bytes: usize) {
        if bytes < self.len {
            self.len = bytes;
            self.words.truncate(bytes.div_ceil(WIDTH));
        }
    }

    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<()> {
        let old = self.len;
        let total =
            old.checked_add(bytes.len()).ok_or_else(|| Error::Memory("more codes than can be addressed".into()))?;
        let words = total.div_ceil(WIDTH);
        self.reserve_words(words, false)?;
        // SAFETY: the capacity covers `words` words; every byte of them is initialised: the old ones are, then come `bytes`, then the zeros
        // that complete the last word. The source can't overlap, being borrowed beside `&mut self`.
        unsafe {
            let base: *mut u8 = self.words.as_mut_ptr().cast();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(old), bytes.len());
            std::ptr::write_bytes(base.add(total), 0, words * WIDTH - total);
            self.words.set_len(words);
        }
        self.len = total;
        Ok(())
    }

    pub fn extend_from_f32(&mut self, x: &[f32]) -> Result<()> {
        // SAFETY: floats have no padding; the slice covers exactly theirs.
        self.extend_from_slice(unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), size_of_val(x)) })
    }

    /// Drops the elements and their memory.
    pub fn clear(&mut self) {
        *self = Codes::default();
    }

    /// Gives memory beyond the length back.
    pub fn shrink_to_fit(&mut self) {
        self.words.shrink_to_fit();
    }
}

/// A copy holds no more memory than it needs.
impl Clone for Codes {
    fn clone(&self) -> Self {
        Codes { words: self.words.clone(), len: self.len }
    }
}

impl VectorField for Codes {
    fn element(&self) -> ElementKind {
        ElementKind::U8
    }
    fn len(&self) -> usize {
        self.len
    }
    fn bytes(&self) -> &[u8] {
        self.as_slice()
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
    fn resize(&mut self, n: usize) -> Result<()> {
        self.try_resize(n)
    }
    fn detach(&mut self) -> Box<dyn Any + Send + Sync> {
        let copy = self.clone();
        Box::new(std::mem::replace(self, copy))
    }
}
impl Field for Codes {
    const KIND: Kind = Kind::Vector(ElementKind::U8);
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Vector(self)
    }
}
impl FieldMut for Codes {
    fn vector_mut(&mut self) -> Option<&mut dyn VectorField> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_vector_of_bytes(steps in prop::collection::vec((0..3u8, 0..70usize, any::<u8>()), 0..40)) {
            let (mut codes, mut model) = (Codes::default(), Vec::<u8>::new());
            for (kind, n, byte) in steps {
                match kind {
                    0 => {
                        codes.extend_from_slice(&vec![byte; n]).unwrap();
                        model.extend(vec![byte; n]);
                    }
                    1 => {
                        codes.try_resize(n).unwrap();
                        model.resize(n, 0);
                    }
                    _ => {
                        codes.truncate(n);
                        model.truncate(n);
                    }
                }
                prop_assert_eq!(codes.as_slice(), &model[..]);
                prop_assert!(codes.capacity() <= (model.len().max(70) * 5 / 4 + 16).max(40 * 70));
            }
        }
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(matches!(Codes::default().try_resize(usize::MAX / 2 + 1), Err(Error::Memory(_))));
        assert!(matches!(Codes::default().try_reserve_exact(1 << 60), Err(Error::Memory(_))));
    }
}
