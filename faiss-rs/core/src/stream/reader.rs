//! Reads the primitives of the file format from a [`Source`].

use super::{
    FourCC, IO_FLAG_MMAP_IFC, LOOP_LIMIT, MAX_DEPTH, SharedBytes, Source, get_deserialization_vector_byte_limit,
};
use crate::base::object::Element;
use crate::base::{Error, Result, interrupt, memory};
use crate::storage::codes::Codes;
use crate::storage::ids::Ids;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;

/// Without a known end, a vector grows by this many bytes at a time as its bytes arrive.
const STEP: usize = 16 << 20;
/// Up to here vectors are read into large pages. What is longer asks for them when it is there, and gets them by and by: many at once come from the
/// depth of the system's store, which a virtual machine may have given back to its host (59 MB: 110 ms in large pages, 30 where they were at hand, 52 in
/// small ones).
const LARGE_AT_ONCE: usize = 32 << 20;

/// Reads the primitives of files, with errors that say what is missing.
pub struct Reader<'a> {
    source: &'a mut dyn Source,
    /// The caller's flags (`IO_FLAG_*`).
    pub flags: i32,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// From a source; `flags` are the caller's.
    pub fn new(source: &'a mut dyn Source, flags: i32) -> Self {
        Reader { source, flags, depth: 0 }
    }

    /// Whether the caller set it.
    pub fn has_flag(&self, flag: i32) -> bool {
        self.flags & flag == flag
    }

    /// Reads a nested object with `read`, unless files nest too deeply.
    pub fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::failed("depth < max_depth", format!("indexes are nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Fills `out` with `items` items, or fails with the number of items that were there.
    fn fill(&mut self, out: &mut [u8], items: usize) -> Result<()> {
        let mut got = 0;
        while got < out.len() {
            match self.source.read(&mut out[got..])? {
                0 => return Err(self.short(got * items / out.len(), items)),
                n => got += n,
            }
        }
        Ok(())
    }

    fn short(&self, got: usize, wanted: usize) -> Error {
        Error::failed(if wanted == 1 { "ret == (1)" } else { "ret == (size)" }, self.missing(got, wanted))
    }

    fn missing(&self, got: usize, wanted: usize) -> String {
        format!("read error in {}: {got} != {wanted} (Success)", self.source.name())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, 1)?;
        Ok(bytes)
    }

    /// Four letters.
    pub fn fourcc(&mut self) -> Result<FourCC> {
        Ok(FourCC(self.array()?))
    }
    /// A byte.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }
    /// A whole number of 32 bits.
    pub fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_le_bytes(self.array()?))
    }
    /// A whole number of 64 bits.
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }
    /// A number of 32 bits.
    pub fn f32(&mut self) -> Result<f32> {
        Ok(f32::from_le_bytes(self.array()?))
    }
    /// A number of 64 bits.
    pub fn f64(&mut self) -> Result<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }
    /// A size.
    pub fn usize(&mut self) -> Result<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?))
            .map_err(|_| Error::failed("size fits", "a 64-bit size does not fit"))
    }
    /// `name` is the field's, for the error.
    pub fn bool(&mut self, name: &str) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            b => Err(Error::failed(format!("{name} is a bool"), format!("invalid bool encoding 0x{b:02x} for {name}"))),
        }
    }

    /// Fails where a loop of `rounds` is more than the caller allows.
    pub fn check_loop(&self, rounds: usize, name: &str) -> Result<()> {
        let limit = LOOP_LIMIT.load(Ordering::Relaxed);
        if limit > 0 && rounds > limit {
            let message = format!("{name} is {rounds}, the limit is {limit}");
            return Err(Error::failed(format!("{name} <= get_deserialization_loop_limit()"), message));
        }
        Ok(())
    }

    /// The number of bytes of `count` items, if the limit and what is left of the file allow it.
    fn checked_bytes(&self, count: usize, width: usize) -> Result<usize> {
        let limit = get_deserialization_vector_byte_limit();
        let bytes = count.checked_mul(width).filter(|b| *b < limit).ok_or_else(|| {
            Error::failed(
                "size >= 0 && size < (faiss::get_deserialization_vector_byte_limit() / sizeof(*(target).data()))",
                format!("a vector of {count} items of {width} bytes, the limit is {limit} bytes"),
            )
        })?;
        match self.source.remaining() {
            Some(left) if left < bytes as u64 => Err(self.short(left as usize / width, count)),
            _ => Ok(bytes),
        }
    }

    /// Reads `bytes` bytes to the end of `out`, which is empty, as they arrive: into memory that nothing was written to before. `width` is an item's
    /// size.
    fn fill_growing(&mut self, bytes: usize, width: usize, out: &mut impl Growing) -> Result<()> {
        let known = self.source.remaining().is_some();
        if known {
            out.reserve(bytes)?;
        }
        let at_once = known && bytes <= LARGE_AT_ONCE;
        if at_once {
            out.prefer_large_pages();
        }
        let mut done = 0;
        while done < bytes {
            interrupt::check()?;
            // Even where all memory is there, steps keep Ctrl-C working.
            let step = (bytes - done).min(STEP / width * width);
            if !known {
                out.reserve(step)?;
            }
            let room = &mut out.room()[..step];
            let mut got = 0;
            while got < step {
                let start = room[got..].as_ptr();
                let read = self.source.read_new(&mut room[got..])?;
                if read.is_empty() {
                    return Err(Error::failed("ret == (size)", self.missing(got / width, step / width)));
                }
                assert!(std::ptr::addr_eq(start, read.as_ptr()), "a source reads to where it is told");
                got += read.len();
            }
            // SAFETY: so many bytes from the beginning of the room were handed out as written, piece by piece.
            unsafe { out.take_from_room(step) };
            done += step;
        }
        if !at_once {
            out.prefer_large_pages();
        }
        Ok(())
    }

    /// A u64 count and the elements.
    pub fn vec<T: Element>(&mut self) -> Result<Vec<T>> {
        let count = self.usize()?;
        self.elements(count)
    }

    /// `count` elements.
    pub fn elements<T: Element>(&mut self, count: usize) -> Result<Vec<T>> {
        let width = size_of::<T>();
        let bytes = self.checked_bytes(count, width)?;
        let mut out = Vec::new();
        self.fill_growing(bytes, width, &mut out)?;
        Ok(out)
    }

    /// A u64 count of bytes and the bytes.
    pub fn codes(&mut self) -> Result<Codes> {
        let count = self.usize()?;
        self.code_bytes(count, 1)
    }

    /// A u64 count of 4-byte words and their bytes: how flat indexes store vectors.
    pub fn codes_of_words(&mut self) -> Result<Codes> {
        let count = self.usize()?;
        self.code_bytes(count, 4)
    }

    /// `count` ids.
    pub fn ids(&mut self, count: usize) -> Result<Ids> {
        let bytes = self.checked_bytes(count, size_of::<i64>())?;
        match self.view(bytes)? {
            Some(view) => Ok(Ids::Viewed(view)),
            None => Ok(Ids::Owned(self.elements(count)?)),
        }
    }

    /// So many bytes, without a count before them.
    pub fn code_bytes_of(&mut self, bytes: usize) -> Result<Codes> {
        self.code_bytes(bytes, 1)
    }

    /// So many bytes where they lie, as the flags or the source want them; else `None`, with nothing read.
    pub fn view(&mut self, bytes: usize) -> Result<Option<SharedBytes>> {
        let wanted = self.has_flag(IO_FLAG_MMAP_IFC) || self.source.prefers_views();
        if wanted { self.source.view(bytes) } else { Ok(None) }
    }

    /// So many bytes of the file, mapped; `None`, with nothing read, where the source is no file.
    pub fn map(&mut self, bytes: usize) -> Result<Option<SharedBytes>> {
        self.source.view(bytes)
    }

    /// What errors call the source: a file's path.
    pub fn name(&self) -> String {
        self.source.name()
    }

    fn code_bytes(&mut self, count: usize, width: usize) -> Result<Codes> {
        let bytes = self.checked_bytes(count, width)?;
        if let Some(view) = self.view(bytes)? {
            if width == 1 || view.as_slice().as_ptr().addr().is_multiple_of(width) {
                return Ok(Codes::view(view));
            }
            // Floats that do not lie as floats must.
            let mut out = Codes::default();
            out.try_reserve_exact(bytes)?;
            out.extend_from_slice(view.as_slice())?;
            return Ok(out);
        }
        let mut out = Codes::default();
        self.fill_growing(bytes, width, &mut out)?;
        Ok(out)
    }
}

/// What vectors of a file are read into.
trait Growing {
    /// Makes room for so many bytes more.
    fn reserve(&mut self, bytes: usize) -> Result<()>;
    /// See [`memory::prefer_large_pages`].
    fn prefer_large_pages(&mut self);
    /// Memory that holds nothing yet.
    fn room(&mut self) -> &mut [MaybeUninit<u8>];
    /// Takes the first bytes of the room, whole items, among those that are there.
    ///
    /// # Safety
    /// They have been written.
    unsafe fn take_from_room(&mut self, bytes: usize);
}

impl<T: Element> Growing for Vec<T> {
    fn reserve(&mut self, bytes: usize) -> Result<()> {
        let more = bytes / size_of::<T>();
        let reserved = if self.is_empty() { self.try_reserve_exact(more) } else { self.try_reserve(more) };
        reserved.map_err(|e| Error::Memory(format!("{bytes} bytes: {e}")))
    }
    fn prefer_large_pages(&mut self) {
        memory::prefer_large_pages(self);
    }
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        let room = self.spare_capacity_mut();
        // SAFETY: the same bytes, of which nothing is known either way.
        unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast(), size_of_val(room)) }
    }
    unsafe fn take_from_room(&mut self, bytes: usize) {
        // SAFETY: the bytes were written, and every pattern of bits is an item.
        unsafe { self.set_len(self.len() + bytes / size_of::<T>()) };
    }
}

impl Growing for Codes {
    fn reserve(&mut self, bytes: usize) -> Result<()> {
        self.try_reserve_in_any_pages(bytes)
    }
    fn prefer_large_pages(&mut self) {
        Codes::prefer_large_pages(self);
    }
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        Codes::room(self)
    }
    unsafe fn take_from_room(&mut self, bytes: usize) {
        // SAFETY: as the caller says.
        unsafe { Codes::take_from_room(self, bytes) };
    }
}
