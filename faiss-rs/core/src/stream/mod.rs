//! Bytes in and out: the primitives of the file format. What a file claims is never believed before its bytes are there. Sees only base.
//!
//! Little-endian, no padding, no checksum; vectors are a u64 count and the elements.

pub mod buffered;
pub mod checksum;
pub mod fields;
pub mod file;
pub mod memory;
mod reader;
mod shared;
mod writer;

use std::fmt;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use faiss_derive::Object;

use crate::base::{Object, Result};
use crate::registry::Row;

pub use reader::Reader;
pub use shared::SharedBytes;
pub use writer::Writer;

#[cfg(target_endian = "big")]
compile_error!("the file format is little-endian, and vectors are read and written as they lie in memory");

/// Where bytes come from.
pub trait Source {
    /// What errors call it: a path, or empty.
    fn name(&self) -> String;
    /// Reads up to `out.len()` bytes and says how many; less only at the end.
    fn read(&mut self, out: &mut [u8]) -> Result<usize>;
    /// As [`Source::read`], into memory that holds nothing yet. Returns the first bytes of it, which have been written.
    fn read_new<'a>(&mut self, out: &'a mut [MaybeUninit<u8>]) -> Result<&'a mut [u8]> {
        out.fill(MaybeUninit::new(0));
        // SAFETY: it was written just now.
        let out = unsafe { out.assume_init_mut() };
        let n = self.read(out)?;
        Ok(&mut out[..n])
    }
    /// How many bytes are left, where that is known.
    fn remaining(&self) -> Option<u64> {
        None
    }
    /// The next `len` bytes where they lie, which counts as reading them; `None`, with nothing read, where they can't be seen so.
    fn view(&mut self, _len: usize) -> Result<Option<SharedBytes>> {
        Ok(None)
    }
    /// Whether bytes are to be seen where they lie, whatever the flags.
    fn prefers_views(&self) -> bool {
        false
    }
}

/// Where bytes go.
pub trait Sink {
    /// What errors call it: a path, or empty.
    fn name(&self) -> String;
    /// Writes all of `bytes`.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Hands everything to the system: only after this has a file been written.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What all readers are.
#[derive(Object, Default, Clone)]
#[object(name = "IOReader", abstract)]
pub struct IOReaderBase {
    /// What errors call the source.
    pub name: String,
}

/// What all writers are.
#[derive(Object, Default, Clone)]
#[object(name = "IOWriter", abstract)]
pub struct IOWriterBase {
    /// What errors call the sink.
    pub name: String,
}

pub(crate) const READER: Row = Row::of::<IOReaderBase>();
pub(crate) const WRITER: Row = Row::of::<IOWriterBase>();

/// The reader that an object is, if it is one.
pub fn as_source(object: &mut dyn Object) -> Option<&mut dyn Source> {
    let any = object.as_any_mut();
    if any.is::<memory::VectorIOReader>() {
        return any.downcast_mut::<memory::VectorIOReader>().map(|s| s as &mut dyn Source);
    }
    if any.is::<memory::ZeroCopyIOReader>() {
        return any.downcast_mut::<memory::ZeroCopyIOReader>().map(|s| s as &mut dyn Source);
    }
    if any.is::<buffered::BufferedIOReader>() {
        return any.downcast_mut::<buffered::BufferedIOReader>().map(|s| s as &mut dyn Source);
    }
    any.downcast_mut::<file::FileIOReader>().map(|s| s as &mut dyn Source)
}

/// The writer that an object is, if it is one.
pub fn as_sink(object: &mut dyn Object) -> Option<&mut dyn Sink> {
    let any = object.as_any_mut();
    if any.is::<memory::VectorIOWriter>() {
        return any.downcast_mut::<memory::VectorIOWriter>().map(|s| s as &mut dyn Sink);
    }
    if any.is::<buffered::BufferedIOWriter>() {
        return any.downcast_mut::<buffered::BufferedIOWriter>().map(|s| s as &mut dyn Sink);
    }
    any.downcast_mut::<file::FileIOWriter>().map(|s| s as &mut dyn Sink)
}

/// Four characters that name a type in a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCC(pub [u8; 4]);

impl FourCC {
    /// Stands where an index could be and is none.
    pub const NULL: FourCC = FourCC(*b"null");

    /// Of four characters.
    pub fn of(code: &str) -> Self {
        FourCC(code.as_bytes().try_into().unwrap_or(FourCC::NULL.0))
    }

    /// Whether it is this code.
    pub fn is(self, code: &str) -> bool {
        self.0 == code.as_bytes()
    }
}

impl fmt::Display for FourCC {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            if byte.is_ascii_graphic() || byte == b' ' {
                write!(f, "{}", byte as char)?;
            } else {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Writing: leave out the storage of graph indexes.
pub const IO_FLAG_SKIP_STORAGE: i32 = 1;
/// The file is only read.
pub const IO_FLAG_READ_ONLY: i32 = 2;
/// The files of on-disk lists are beside the index, wherever they were when it was written.
pub const IO_FLAG_ONDISK_SAME_DIR: i32 = 4;
/// Do not load the codes of inverted lists; with lists in memory, which need theirs, an error as in Faiss.
pub const IO_FLAG_SKIP_IVF_DATA: i32 = 8;
/// Do not build precomputed tables.
pub const IO_FLAG_SKIP_PRECOMPUTE_TABLE: i32 = 16;
/// Do not build tables of distances between centroids.
pub const IO_FLAG_PQ_SKIP_SDC_TABLE: i32 = 32;
/// Map the inverted lists of a file instead of loading them; they can then be read only.
pub const IO_FLAG_MMAP: i32 = IO_FLAG_SKIP_IVF_DATA | 0x646f_0000;
/// See large arrays where they lie in the file instead of loading them; they can then be read only.
pub const IO_FLAG_MMAP_IFC: i32 = 512;

/// How deep indexes may be nested in a file.
pub const MAX_DEPTH: usize = 50;

static VECTOR_BYTE_LIMIT: AtomicUsize = AtomicUsize::new(1 << 40);
static LOOP_LIMIT: AtomicUsize = AtomicUsize::new(0);
static LATTICE_R2_LIMIT: AtomicUsize = AtomicUsize::new(0);

/// The number of bytes from which on a vector of a file is refused.
pub fn get_deserialization_vector_byte_limit() -> usize {
    VECTOR_BYTE_LIMIT.load(Ordering::Relaxed)
}
/// Sets it; what is not below it is refused.
pub fn set_deserialization_vector_byte_limit(bytes: usize) {
    VECTOR_BYTE_LIMIT.store(bytes, Ordering::Relaxed);
}
/// The number of rounds from which on a loop whose length a file states is refused; 0 for no limit.
pub fn get_deserialization_loop_limit() -> usize {
    LOOP_LIMIT.load(Ordering::Relaxed)
}
/// Sets it; 0 for no limit.
pub fn set_deserialization_loop_limit(rounds: usize) {
    LOOP_LIMIT.store(rounds, Ordering::Relaxed);
}
/// The largest squared radius of a lattice that a file may state; 0 for no limit.
pub fn get_deserialization_lattice_r2_limit() -> usize {
    LATTICE_R2_LIMIT.load(Ordering::Relaxed)
}
/// Sets it.
pub fn set_deserialization_lattice_r2_limit(r2: usize) {
    LATTICE_R2_LIMIT.store(r2, Ordering::Relaxed);
}
