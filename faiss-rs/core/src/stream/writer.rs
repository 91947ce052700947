//! Writes the primitives of the file format to a [`Sink`].

use super::Sink;
use crate::base::object::{Element, VectorField};
use crate::base::{Result, interrupt};

/// Large vectors go out in pieces, between which Ctrl-C works.
const STEP: usize = 16 << 20;

/// Writes the primitives of files.
pub struct Writer<'a> {
    sink: &'a mut dyn Sink,
    /// The caller's flags (`IO_FLAG_*`).
    pub flags: i32,
}

impl<'a> Writer<'a> {
    /// To a sink; `flags` are the caller's.
    pub fn new(sink: &'a mut dyn Sink, flags: i32) -> Self {
        Writer { sink, flags }
    }

    /// Whether the caller set it.
    pub fn has_flag(&self, flag: i32) -> bool {
        self.flags & flag == flag
    }

    /// Writes out what was collected.
    pub fn flush(&mut self) -> Result<()> {
        self.sink.flush()
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(STEP) {
            interrupt::check()?;
            self.sink.write(piece)?;
        }
        Ok(())
    }

    /// Four letters.
    pub fn fourcc(&mut self, code: &str) -> Result<()> {
        debug_assert_eq!(code.len(), 4);
        self.sink.write(code.as_bytes())
    }
    /// A byte.
    pub fn u8(&mut self, v: u8) -> Result<()> {
        self.sink.write(&[v])
    }
    /// A bool, as a byte.
    pub fn bool(&mut self, v: bool) -> Result<()> {
        self.sink.write(&[v as u8])
    }
    /// A whole number of 32 bits.
    pub fn i32(&mut self, v: i32) -> Result<()> {
        self.sink.write(&v.to_le_bytes())
    }
    /// A whole number of 64 bits.
    pub fn i64(&mut self, v: i64) -> Result<()> {
        self.sink.write(&v.to_le_bytes())
    }
    /// A number of 32 bits.
    pub fn f32(&mut self, v: f32) -> Result<()> {
        self.sink.write(&v.to_le_bytes())
    }
    /// A number of 64 bits.
    pub fn f64(&mut self, v: f64) -> Result<()> {
        self.sink.write(&v.to_le_bytes())
    }
    /// A size, of 64 bits.
    pub fn usize(&mut self, v: usize) -> Result<()> {
        self.sink.write(&(v as u64).to_le_bytes())
    }

    /// A u64 count and the elements.
    pub fn vec<T: Element>(&mut self, v: &Vec<T>) -> Result<()> {
        self.usize(v.len())?;
        self.bytes(VectorField::bytes(v))
    }

    /// A u64 count of bytes and the bytes.
    pub fn codes(&mut self, codes: &[u8]) -> Result<()> {
        self.usize(codes.len())?;
        self.bytes(codes)
    }

    /// A u64 count of 4-byte words and their bytes: how flat indexes store vectors.
    pub fn codes_of_words(&mut self, codes: &[u8]) -> Result<()> {
        self.usize(codes.len() / 4)?;
        self.bytes(&codes[..codes.len() / 4 * 4])
    }
}
