//! Readers and writers around slow ones, which they ask for large pieces.

use faiss_derive::{Object, methods};

use super::{IOReaderBase, IOWriterBase, Sink, Source, as_sink, as_source};
use crate::base::{Error, Object, Result, Shared};
use crate::registry::Row;

/// Bytes of a buffer.
pub const BUFFER: usize = 1 << 20;

/// Finds the reader or writer that an object is; other crates have some that this one does not know.
type AsSource = fn(&mut dyn Object) -> Option<&mut dyn Source>;
type AsSink = fn(&mut dyn Object) -> Option<&mut dyn Sink>;

fn buffer(bytes: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes.max(1)).map_err(|e| Error::Memory(format!("{bytes} bytes: {e}")))?;
    Ok(buffer)
}

/// Reads from another reader in pieces of one size.
#[derive(Object, Default)]
#[object(methods)]
pub struct BufferedIOReader {
    #[object(parent)]
    base: IOReaderBase,
    /// Bytes read from the other at a time.
    #[object(readonly)]
    pub bsz: usize,
    /// Where the bytes of the buffer that have not been asked for begin.
    #[object(readonly)]
    pub b0: usize,
    /// Where they end.
    #[object(readonly)]
    pub b1: usize,
    /// Bytes read from the other.
    #[object(readonly)]
    pub ofs: usize,
    /// Bytes that have been asked for.
    #[object(readonly)]
    pub ofs2: usize,
    inner: Option<(Shared<dyn Object>, AsSource)>,
    buffer: Vec<u8>,
}

#[methods]
impl BufferedIOReader {
    #[new]
    fn of(#[class = "IOReader"] reader: Shared<dyn Object>, #[default = 1048576] bsz: usize) -> Result<Self> {
        Self::new(reader, as_source, bsz)
    }
}

impl BufferedIOReader {
    /// Reads ahead, `bsz` bytes at a time.
    pub fn new(inner: Shared<dyn Object>, as_source: AsSource, bsz: usize) -> Result<Self> {
        let buffer = buffer(bsz)?;
        Ok(BufferedIOReader { bsz: bsz.max(1), inner: Some((inner, as_source)), buffer, ..Default::default() })
    }

    fn refill(&mut self) -> Result<()> {
        let Some((inner, as_source)) = &self.inner else { return Ok(()) };
        let mut inner = inner.write();
        let source = as_source(&mut *inner).ok_or_else(|| Error::type_error("an IOReader is wanted"))?;
        self.buffer.resize(self.bsz, 0);
        let mut got = 0;
        while got < self.bsz {
            match source.read(&mut self.buffer[got..])? {
                0 => break,
                n => got += n,
            }
        }
        self.buffer.truncate(got);
        (self.b0, self.b1) = (0, got);
        self.ofs += got;
        Ok(())
    }
}

impl Source for BufferedIOReader {
    fn name(&self) -> String {
        self.base.name.clone()
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        if self.b0 == self.b1 {
            self.refill()?;
        }
        let left = &self.buffer[self.b0..];
        let n = left.len().min(out.len());
        out[..n].copy_from_slice(&left[..n]);
        self.b0 += n;
        self.ofs2 += n;
        Ok(n)
    }
}

/// Writes to another writer in pieces of one size.
#[derive(Object, Default)]
#[object(methods)]
pub struct BufferedIOWriter {
    #[object(parent)]
    base: IOWriterBase,
    /// Bytes handed to the other at a time.
    #[object(readonly)]
    pub bsz: usize,
    /// Bytes in the buffer.
    #[object(readonly)]
    pub b0: usize,
    /// Bytes handed to the other.
    #[object(readonly)]
    pub ofs: usize,
    /// Bytes that were written.
    #[object(readonly)]
    pub ofs2: usize,
    inner: Option<(Shared<dyn Object>, AsSink)>,
    buffer: Vec<u8>,
}

#[methods]
impl BufferedIOWriter {
    #[new]
    fn of(#[class = "IOWriter"] writer: Shared<dyn Object>, #[default = 1048576] bsz: usize) -> Result<Self> {
        Self::new(writer, as_sink, bsz)
    }
}

impl BufferedIOWriter {
    /// Collects up to `bsz` bytes before they are written.
    pub fn new(inner: Shared<dyn Object>, as_sink: AsSink, bsz: usize) -> Result<Self> {
        let mut made = BufferedIOWriter::default();
        (made.bsz, made.buffer, made.inner) = (bsz.max(1), buffer(bsz)?, Some((inner, as_sink)));
        Ok(made)
    }

    /// Hands on what is in the buffer. After a failure it is not tried again.
    fn empty(&mut self, flush: bool) -> Result<()> {
        let Some((inner, as_sink)) = &self.inner else { return Err(Error::io("the writer has nothing to write to")) };
        let mut inner = inner.write();
        let sink = as_sink(&mut *inner).ok_or_else(|| Error::type_error("an IOWriter is wanted"))?;
        let bytes = std::mem::take(&mut self.buffer);
        sink.write(&bytes)?;
        self.ofs += bytes.len();
        self.buffer = bytes;
        self.buffer.clear();
        self.b0 = 0;
        if flush { sink.flush() } else { Ok(()) }
    }
}

impl Sink for BufferedIOWriter {
    fn name(&self) -> String {
        self.base.name.clone()
    }
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(self.bsz - self.buffer.len()));
            self.buffer.extend_from_slice(piece);
            (self.b0, self.ofs2) = (self.buffer.len(), self.ofs2 + piece.len());
            bytes = rest;
            if self.buffer.len() == self.bsz {
                self.empty(false)?;
            }
        }
        Ok(())
    }
    fn flush(&mut self) -> Result<()> {
        if self.inner.is_some() { self.empty(true) } else { Ok(()) }
    }
}

impl Drop for BufferedIOWriter {
    fn drop(&mut self) {
        if !self.buffer.is_empty() {
            // Whoever wants to know of errors flushes.
            let _ = self.empty(true);
        }
    }
}

pub(crate) const READER: Row = Row::of::<BufferedIOReader>();

pub(crate) const WRITER: Row = Row::of::<BufferedIOWriter>();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Handle;
    use crate::stream::memory::{VectorIOReader, VectorIOWriter};

    #[test]
    fn pieces_of_any_size_come_out_as_they_went_in() {
        let bytes: Vec<u8> = (0..10_007u32).map(|i| (i * 7) as u8).collect();
        for (bsz, piece) in [(1, 13), (64, 1), (100, 100), (100, 101), (1 << 20, 999)] {
            let memory = Handle::new(VectorIOWriter::default()).object();
            let mut writer = BufferedIOWriter::new(memory.clone(), as_sink, bsz).unwrap();
            bytes.chunks(piece).for_each(|piece| writer.write(piece).unwrap());
            drop(writer);
            let written = memory.read();
            let written = &(*written).as_any().downcast_ref::<VectorIOWriter>().unwrap().data;
            assert_eq!(*written, bytes);
            let memory = Handle::new(VectorIOReader::new(bytes.clone())).object();
            let mut reader = BufferedIOReader::new(memory, as_source, bsz).unwrap();
            let (mut read, mut out) = (Vec::new(), vec![0; piece]);
            loop {
                match reader.read(&mut out).unwrap() {
                    0 => break,
                    n => read.extend_from_slice(&out[..n]),
                }
            }
            assert_eq!(read, bytes);
        }
    }
}
