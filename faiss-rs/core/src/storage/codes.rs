//! Codes of fixed size, one after the other, as one array of bytes.
//!
//! Codes may be floats, so the bytes are aligned for them. Memory grows by a quarter beyond what is needed, never doubles, and large arrays
//! grow in place where the system's allocator can (an alignment of 16 is what its `realloc` keeps).

use std::any::Any;
use std::mem::MaybeUninit;

use crate::base::object::{ElementKind, Field, FieldMut, FieldRef, Kind, VectorField};
use crate::base::{Error, Result, memory};
use crate::stream::SharedBytes;

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Word([u8; 16]);

const WIDTH: usize = size_of::<Word>();

/// A growable array of bytes, aligned for every element type. Or bytes that are only seen, of a file that is mapped: those can be read and
/// dropped, and what would change them is an error or, where it can't be one, copies them first.
#[derive(Default)]
pub struct Codes {
    /// Always `len.div_ceil(WIDTH)` words; none where the bytes are only seen.
    words: Vec<Word>,
    len: usize,
    view: Option<SharedBytes>,
}

/// The error for a change of what is only seen, in Faiss's words.
pub(super) fn viewed() -> Error {
    Error::failed("is_owned", "This operation cannot be performed on a viewed vector")
}

impl Codes {
    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.words.capacity() * WIDTH
    }

    /// Bytes that are only seen.
    pub fn view(bytes: SharedBytes) -> Self {
        Codes { words: Vec::new(), len: bytes.len(), view: Some(bytes) }
    }

    /// An error where the bytes are only seen.
    pub fn check_owned(&self) -> Result<()> {
        if self.view.is_some() { Err(viewed()) } else { Ok(()) }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        if let Some(view) = &self.view {
            return view.as_slice();
        }
        // SAFETY: the words are initialised bytes without padding, and `len` never exceeds them.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.len) }
    }

    /// Of bytes that are only seen, a copy takes their place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.own();
        // SAFETY: as above; every byte is a valid one.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.len) }
    }

    /// Copies bytes that are only seen.
    fn own(&mut self) {
        if let Some(view) = self.view.take() {
            self.words = vec![Word([0; WIDTH]); self.len.div_ceil(WIDTH)];
            self.as_mut_slice().copy_from_slice(view.as_slice());
        }
    }

    /// The whole floats of the array.
    pub fn as_f32(&self) -> &[f32] {
        if let Some(view) = &self.view {
            // Readers take a view for floats only where they lie as floats must.
            return bytemuck::try_cast_slice(&view.as_slice()[..self.len / 4 * 4]).unwrap_or_default();
        }
        // SAFETY: words are aligned for f32, and every bit pattern is a float.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.len / 4) }
    }

    /// The bytes as numbers, to be changed.
    pub fn as_f32_mut(&mut self) -> &mut [f32] {
        self.own();
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.len / 4) }
    }

    fn reserve_words(&mut self, words: usize, exact: bool) -> Result<()> {
        self.check_owned()?;
        let (held, used) = (self.words.capacity(), self.words.len());
        if words <= held {
            return Ok(());
        }
        let target = if exact || used == 0 { words } else { words.max(held + held / 4) };
        let reserved = self.words.try_reserve_exact(target - used);
        reserved.map_err(|_| Error::Memory(format!("could not get {} bytes for codes", target * WIDTH)))
    }

    /// Room for so many words, in large pages where there are to be more of them.
    fn grow(&mut self, words: usize) -> Result<()> {
        let held = self.words.capacity();
        self.reserve_words(words, false)?;
        if self.words.capacity() > held {
            self.prefer_large_pages();
        }
        Ok(())
    }

    /// Room for so many bytes more; an error where there is no memory.
    pub fn try_reserve_exact(&mut self, bytes: usize) -> Result<()> {
        self.reserve_words(bytes.div_ceil(WIDTH), true)?;
        self.prefer_large_pages();
        Ok(())
    }

    /// How many words hold so many bytes more.
    fn words_with(&self, bytes: usize) -> Result<usize> {
        let total = self.len.checked_add(bytes);
        Ok(total.ok_or_else(|| Error::Memory("more codes than can be addressed".into()))?.div_ceil(WIDTH))
    }

    /// Room for so many bytes more.
    pub fn try_reserve_more(&mut self, bytes: usize) -> Result<()> {
        self.grow(self.words_with(bytes)?)
    }

    /// The same in pages as the system gives them.
    pub fn try_reserve_in_any_pages(&mut self, bytes: usize) -> Result<()> {
        self.reserve_words(self.words_with(bytes)?, false)
    }

    /// See [`memory::prefer_large_pages`].
    pub fn prefer_large_pages(&mut self) {
        memory::prefer_large_pages(&mut self.words);
    }

    /// Changes the number of bytes; new ones are zero.
    pub fn try_resize(&mut self, bytes: usize) -> Result<()> {
        let words = bytes.div_ceil(WIDTH);
        self.grow(words)?;
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

    /// Of bytes that are only seen, a smaller piece is seen then.
    pub fn truncate(&mut self, bytes: usize) {
        if bytes < self.len {
            self.view = self.view.as_ref().and_then(|view| view.slice(0..bytes));
            self.len = bytes;
            self.words.truncate(bytes.div_ceil(WIDTH));
        }
    }

    /// Adds bytes; an error where there is no memory.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<()> {
        let old = self.len;
        let total =
            old.checked_add(bytes.len()).ok_or_else(|| Error::Memory("more codes than can be addressed".into()))?;
        let words = total.div_ceil(WIDTH);
        self.grow(words)?;
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

    /// Adds numbers; an error where there is no memory.
    pub fn extend_from_f32(&mut self, x: &[f32]) -> Result<()> {
        // SAFETY: floats have no padding; the slice covers exactly theirs.
        self.extend_from_slice(unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), size_of_val(x)) })
    }

    /// Memory beyond the bytes that are there, which holds nothing yet; see [`Codes::try_reserve_exact`].
    pub fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        let (held, len) = (self.words.capacity() * WIDTH, self.len);
        // SAFETY: the vector owns `held` bytes, of which `len` are in use.
        unsafe {
            std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast::<MaybeUninit<u8>>().add(len), held - len)
        }
    }

    /// Takes the first bytes of the room among those that are there.
    ///
    /// # Safety
    /// They have been written.
    pub unsafe fn take_from_room(&mut self, bytes: usize) {
        let total = self.len + bytes;
        let words = total.div_ceil(WIDTH);
        assert!(words <= self.words.capacity(), "there is so much room");
        // SAFETY: as `extend_from_slice`, the caller having written the bytes.
        unsafe {
            std::ptr::write_bytes(self.words.as_mut_ptr().cast::<u8>().add(total), 0, words * WIDTH - total);
            self.words.set_len(words);
        }
        self.len = total;
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
        Codes { words: self.words.clone(), len: self.len, view: self.view.clone() }
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
    fn bytes_that_are_only_seen_do_not_change() {
        let shared = SharedBytes::new((0..100).collect::<Vec<u8>>());
        let mut codes = Codes::view(shared.slice(10..50).unwrap());
        assert_eq!((codes.len(), codes.as_slice()[0], codes.capacity()), (40, 10, 0));
        assert!(codes.extend_from_slice(&[1]).is_err() && codes.try_resize(3).is_err() && codes.check_owned().is_err());
        let copy = codes.clone();
        codes.as_mut_slice()[0] = 99;
        assert_eq!((codes.as_slice()[0], copy.as_slice()[0], shared.as_slice()[10]), (99, 10, 10));
        codes.extend_from_slice(&[1]).unwrap();
        assert_eq!((codes.len(), codes.as_slice()[40]), (41, 1));
        assert!(shared.slice(90..101).is_none() && shared.slice(0..100).is_some());
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(matches!(Codes::default().try_resize(usize::MAX / 2 + 1), Err(Error::Memory(_))));
        assert!(matches!(Codes::default().try_reserve_exact(1 << 60), Err(Error::Memory(_))));
    }
}
