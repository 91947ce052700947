//! Files.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};

use faiss_derive::{Object, methods};

use super::{IOReaderBase, IOWriterBase, SharedBytes, Sink, Source};
use crate::base::{Error, Result};
use crate::registry::Row;

const READ_BUFFER: usize = 256 << 10;
/// How much is written at a time once a file is large: more was up to five times slower where Linux took large pieces of memory for the page cache that
/// were cold.
const WRITE_BUFFER: usize = 32 << 10;
/// Until so much has been written, vectors go in pieces of this size: fewer calls are a tenth of a small file's time.
const SMALL_FILE: u64 = 16 << 20;
const LARGE_WRITE: usize = 256 << 10;

/// The system's words for an error, without Rust's number in brackets.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}

/// Reads a file from its start.
#[derive(Object, Default)]
#[object(methods)]
pub struct FileIOReader {
    #[object(parent)]
    base: IOReaderBase,
    file: Option<BufReader<File>>,
    /// Of a plain file; unknown for pipes and devices.
    left: Option<u64>,
    /// All of it, once a piece was to be seen.
    map: Option<SharedBytes>,
}

#[methods]
impl FileIOReader {
    #[new]
    pub fn open(fname: &str) -> Result<Self> {
        let failed = |e| Error::failed("f", format!("could not open {fname} for reading: {}", reason(&e)));
        let file = File::open(fname).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Err(Error::failed("f", format!("could not open {fname} for reading: Is a directory")));
        }
        let left = meta.is_file().then_some(meta.len());
        Ok(FileIOReader {
            base: IOReaderBase { name: fname.to_owned() },
            file: Some(BufReader::with_capacity(READ_BUFFER, file)),
            left,
            map: None,
        })
    }
}

impl Source for FileIOReader {
    fn name(&self) -> String {
        self.base.name.clone()
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let Some(file) = &mut self.file else { return Ok(0) };
        loop {
            match file.read(out) {
                Ok(n) => {
                    self.left = self.left.map(|left| left.saturating_sub(n as u64));
                    return Ok(n);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io(format!("read error in {}: {}", self.base.name, reason(&e)))),
            }
        }
    }
    fn remaining(&self) -> Option<u64> {
        self.left
    }
    fn view(&mut self, len: usize) -> Result<Option<SharedBytes>> {
        let (Some(file), Some(left)) = (&mut self.file, self.left) else { return Ok(None) };
        if len == 0 || len as u64 > left {
            return Ok(None);
        }
        let map = match &self.map {
            Some(map) => map.clone(),
            None => self.map.insert(SharedBytes::map(file.get_ref(), &self.base.name)?).clone(),
        };
        let failed = |e| Error::io(format!("read error in {}: {}", self.base.name, reason(&e)));
        let at = file.stream_position().map_err(failed)? as usize;
        let Some(piece) = map.slice(at..at.saturating_add(len)) else { return Ok(None) };
        file.seek_relative(len as i64).map_err(failed)?;
        self.left = Some(left - len as u64);
        Ok(Some(piece))
    }
}

/// Writes a new file; one of that name is overwritten.
#[derive(Object, Default)]
#[object(methods)]
pub struct FileIOWriter {
    #[object(parent)]
    base: IOWriterBase,
    file: Option<BufWriter<File>>,
    written: u64,
}

#[methods]
impl FileIOWriter {
    #[new]
    pub fn create(fname: &str) -> Result<Self> {
        let file = File::create(fname)
            .map_err(|e| Error::failed("f", format!("could not open {fname} for writing: {}", reason(&e))))?;
        Ok(FileIOWriter {
            base: IOWriterBase { name: fname.to_owned() },
            file: Some(BufWriter::with_capacity(WRITE_BUFFER, file)),
            written: 0,
        })
    }
}

impl FileIOWriter {
    fn failed(&self, error: &std::io::Error) -> Error {
        Error::failed("ret == (size)", format!("write error in {}: {}", self.base.name, reason(error)))
    }
}

impl Sink for FileIOWriter {
    fn name(&self) -> String {
        self.base.name.clone()
    }
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else { return Err(Error::io("the writer has no file")) };
        let mut rest = bytes;
        while !rest.is_empty() {
            // Pieces end where the buffer does, so that all writes begin at multiples of its size. What fills it goes past it.
            let room = match WRITE_BUFFER - file.buffer().len() {
                0 | WRITE_BUFFER if self.written < SMALL_FILE && rest.len() >= LARGE_WRITE => LARGE_WRITE,
                0 => WRITE_BUFFER,
                room => room,
            };
            let (piece, later) = rest.split_at(rest.len().min(room));
            self.written += piece.len() as u64;
            if let Err(error) = file.write_all(piece) {
                return Err(self.failed(&error));
            }
            rest = later;
        }
        Ok(())
    }
    fn flush(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let result = file.flush();
        result.map_err(|e| self.failed(&e))
    }
}

impl Drop for FileIOWriter {
    /// After a failed write the buffer is not tried again: what was to be said about it has been said.
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            drop(file.into_parts());
        }
    }
}

pub const READER: Row = Row::of::<FileIOReader>();

pub const WRITER: Row = Row::of::<FileIOWriter>();
