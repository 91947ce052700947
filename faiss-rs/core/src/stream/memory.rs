//! Bytes in memory.

use faiss_derive::Object;

use super::{IOReaderBase, IOWriterBase, Sink, Source};
use crate::base::{Error, Handle, Result};
use crate::registry::{Row, no_overload};

impl Source for &[u8] {
    fn name(&self) -> String {
        String::new()
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let n = out.len().min(self.len());
        out[..n].copy_from_slice(&self[..n]);
        *self = &self[n..];
        Ok(n)
    }
    fn remaining(&self) -> Option<u64> {
        Some(self.len() as u64)
    }
}

impl Sink for Vec<u8> {
    fn name(&self) -> String {
        String::new()
    }
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.try_reserve(bytes.len()).map_err(|e| Error::Memory(format!("{} bytes: {e}", bytes.len())))?;
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Reads from bytes in memory.
#[derive(Object, Default, Clone)]
pub struct VectorIOReader {
    #[object(parent)]
    base: IOReaderBase,
    /// The bytes.
    pub data: Vec<u8>,
    /// How many of them have been read.
    pub rp: usize,
}

impl VectorIOReader {
    pub fn new(data: Vec<u8>) -> Self {
        VectorIOReader { data, ..Default::default() }
    }
}

impl Source for VectorIOReader {
    fn name(&self) -> String {
        self.base.name.clone()
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut left = self.data.get(self.rp..).unwrap_or_default();
        let n = left.read(out)?;
        self.rp += n;
        Ok(n)
    }
    fn remaining(&self) -> Option<u64> {
        Some(self.data.len().saturating_sub(self.rp) as u64)
    }
}

/// Writes to bytes in memory.
#[derive(Object, Default, Clone)]
pub struct VectorIOWriter {
    #[object(parent)]
    base: IOWriterBase,
    /// The bytes so far.
    pub data: Vec<u8>,
}

impl Sink for VectorIOWriter {
    fn name(&self) -> String {
        self.base.name.clone()
    }
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.data.write(bytes)
    }
}

pub const READER: Row = Row::of::<VectorIOReader>().construct(
    |args| match args {
        [] => Ok(Handle::new(VectorIOReader::default())),
        _ => Err(no_overload("VectorIOReader", &["()"])),
    },
    &["()"],
);

pub const WRITER: Row = Row::of::<VectorIOWriter>().construct(
    |args| match args {
        [] => Ok(Handle::new(VectorIOWriter::default())),
        _ => Err(no_overload("VectorIOWriter", &["()"])),
    },
    &["()"],
);
