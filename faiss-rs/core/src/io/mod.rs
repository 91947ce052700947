//! Indexes to and from files, bytes and any stream. Sees everything; the formats themselves are with their types, in the registry.

use crate::base::{Error, Handle, Object, Result, Shared};
use crate::index::ivf::format;
use crate::quantize::product::ProductQuantizer;
use crate::registry::format_of;
use crate::storage::lists::InvertedLists;
use crate::stream::fields::Stored;
use crate::stream::file::{FileIOReader, FileIOWriter};
use crate::stream::{Reader, Sink, Source, Writer};

pub use crate::registry::{read_nested, write_nested};
pub use crate::stream::{
    IO_FLAG_MMAP, IO_FLAG_MMAP_IFC, IO_FLAG_ONDISK_SAME_DIR, IO_FLAG_PQ_SKIP_SDC_TABLE, IO_FLAG_READ_ONLY,
    IO_FLAG_SKIP_IVF_DATA, IO_FLAG_SKIP_PRECOMPUTE_TABLE, IO_FLAG_SKIP_STORAGE,
};

/// Reads an index from a stream; the rest of the stream is left alone. `Ok(None)` is a null index.
pub fn read_index_or_null(source: &mut dyn Source, flags: i32) -> Result<Option<Handle>> {
    read_nested(&mut Reader::new(source, flags))
}

/// Reads an index from a stream.
pub fn read_index(source: &mut dyn Source, flags: i32) -> Result<Handle> {
    read_index_or_null(source, flags)?.ok_or_else(|| Error::failed("", "the stream holds a null index"))
}

/// Reads an index from a file. What can't be mapped is loaded, whatever the flags say.
pub fn read_index_file(path: &str, flags: i32) -> Result<Handle> {
    read_index(&mut FileIOReader::open(path)?, flags)
}

/// As [`read_index_file`]; `Ok(None)` is a null index.
pub fn read_index_file_or_null(path: &str, flags: i32) -> Result<Option<Handle>> {
    read_index_or_null(&mut FileIOReader::open(path)?, flags)
}

/// Writes that there is no index.
pub fn write_null(sink: &mut dyn Sink) -> Result<()> {
    let mut out = Writer::new(sink, 0);
    out.fourcc("null")?;
    out.flush()
}

/// Reads an index from bytes.
pub fn deserialize_index(mut bytes: &[u8], flags: i32) -> Result<Handle> {
    read_index(&mut bytes, flags)
}

/// Writes an index to a stream, and flushes it.
pub fn write_index(object: &dyn Object, sink: &mut dyn Sink, flags: i32) -> Result<()> {
    let mut out = Writer::new(sink, flags);
    write_nested(object, &mut out)?;
    out.flush()
}

/// Writes an index to a file. A type that has no format is refused before the file is touched.
pub fn write_index_file(object: &dyn Object, path: &str, flags: i32) -> Result<()> {
    format_of(object)?;
    write_index(object, &mut FileIOWriter::create(path)?, flags)
}

/// An index as bytes.
pub fn serialize_index(object: &dyn Object, flags: i32) -> Result<Vec<u8>> {
    // A first pass that only counts: memory that grows is copied, and touched, more than once.
    let mut size = Counter(0);
    write_index(object, &mut size, flags)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size.0).map_err(|e| Error::Memory(format!("{} bytes: {e}", size.0)))?;
    write_index(object, &mut bytes, flags)?;
    Ok(bytes)
}

/// Takes bytes and only counts them.
struct Counter(usize);
impl Sink for Counter {
    fn name(&self) -> String {
        String::new()
    }
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0 += bytes.len();
        Ok(())
    }
}

/// Writes a product quantizer by itself, without a code before it.
pub fn write_ProductQuantizer(pq: &ProductQuantizer, sink: &mut dyn Sink) -> Result<()> {
    let mut out = Writer::new(sink, 0);
    pq.write_to(&mut out)?;
    out.flush()
}

/// Reads what [`write_ProductQuantizer`] wrote.
pub fn read_ProductQuantizer(source: &mut dyn Source) -> Result<ProductQuantizer> {
    let mut pq = ProductQuantizer::default();
    pq.read_from(&mut Reader::new(source, 0), "pq")?;
    Ok(pq)
}

/// Writes inverted lists by themselves.
pub fn write_InvertedLists(lists: &dyn InvertedLists, sink: &mut dyn Sink) -> Result<()> {
    let mut out = Writer::new(sink, 0);
    format::write_inverted_lists(lists, &mut out)?;
    out.flush()
}

/// Reads what [`write_InvertedLists`] wrote; `None` where there were no lists.
pub fn read_InvertedLists(source: &mut dyn Source, flags: i32) -> Result<Option<Shared<dyn InvertedLists>>> {
    format::read_inverted_lists(&mut Reader::new(source, flags))
}
