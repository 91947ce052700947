//! Bytes in memory.

use std::mem::MaybeUninit;

use faiss_derive::{Object, methods};

use super::{IOReaderBase, IOWriterBase, SharedBytes, Sink, Source};
use crate::base::{Error, Result};
use crate::registry::Row;

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
    fn read_new<'a>(&mut self, out: &'a mut [MaybeUninit<u8>]) -> Result<&'a mut [u8]> {
        let (read, left) = self.split_at(out.len().min(self.len()));
        *self = left;
        Ok(out[..read.len()].write_copy_of_slice(read))
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
#[object(new)]
pub struct VectorIOReader {
    #[object(parent)]
    base: IOReaderBase,
    /// The bytes.
    pub data: Vec<u8>,
    /// How many of them have been read.
    pub rp: usize,
}

impl VectorIOReader {
    /// Reads these bytes.
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
    fn read_new<'a>(&mut self, out: &'a mut [MaybeUninit<u8>]) -> Result<&'a mut [u8]> {
        let mut left = self.data.get(self.rp..).unwrap_or_default();
        let read = left.read_new(out)?;
        self.rp += read.len();
        Ok(read)
    }
    fn remaining(&self) -> Option<u64> {
        Some(self.data.len().saturating_sub(self.rp) as u64)
    }
}

/// Writes to bytes in memory.
#[derive(Object, Default, Clone)]
#[object(new)]
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

pub(crate) const READER: Row = Row::of::<VectorIOReader>();

pub(crate) const WRITER: Row = Row::of::<VectorIOWriter>();

/// Reads from bytes that stay where they are: an index read from it sees its codes there, and they can then be read only.
#[derive(Object, Default, Clone)]
#[object(methods)]
pub struct ZeroCopyIOReader {
    #[object(parent)]
    base: IOReaderBase,
    data: Option<SharedBytes>,
    /// How many of the bytes have been read.
    #[object(readonly)]
    pub rp_: usize,
    /// How many there are.
    #[object(readonly)]
    pub total_: usize,
}

#[methods]
impl ZeroCopyIOReader {
    /// Over a copy of the bytes.
    #[new]
    fn of(data: &[u8]) -> Self {
        Self::new(SharedBytes::new(data.to_vec()))
    }

    /// Goes back to the first byte.
    fn reset(&mut self) {
        self.rp_ = 0;
    }
}

impl ZeroCopyIOReader {
    /// Reads bytes where they lie.
    pub fn new(data: SharedBytes) -> Self {
        ZeroCopyIOReader { total_: data.len(), data: Some(data), ..Default::default() }
    }

    /// The next bytes, at most so many.
    fn next(&mut self, len: usize) -> Option<SharedBytes> {
        let data = self.data.as_ref()?;
        let end = data.len().min(self.rp_.saturating_add(len));
        let piece = data.slice(self.rp_..end);
        self.rp_ = end;
        piece
    }
}

impl Source for ZeroCopyIOReader {
    fn name(&self) -> String {
        self.base.name.clone()
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let Some(piece) = self.next(out.len()) else { return Ok(0) };
        out[..piece.len()].copy_from_slice(piece.as_slice());
        Ok(piece.len())
    }
    fn remaining(&self) -> Option<u64> {
        Some(self.data.as_ref().map_or(0, |data| data.len() - self.rp_) as u64)
    }
    fn view(&mut self, len: usize) -> Result<Option<SharedBytes>> {
        let enough = len > 0 && self.remaining().is_some_and(|left| left >= len as u64);
        Ok(if enough { self.next(len) } else { None })
    }
    fn prefers_views(&self) -> bool {
        true
    }
}

pub(crate) const ZERO_COPY: Row = Row::of::<ZeroCopyIOReader>();
