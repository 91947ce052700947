//! Files.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::{IOReaderBase, IOWriterBase, SharedBytes, Sink, Source};
use crate::base::{Error, Result, threads};
use crate::registry::Row;

/// How much is read at a time where little is wanted: ids and short lists.
const READ_BUFFER: usize = 64 << 10;
/// How much by the first read of a file, and after much: what comes then is mostly a few numbers.
const READ_AHEAD: usize = 4 << 10;
/// From here on bytes go where they are wanted and not through the buffer.
const DIRECT_READ: usize = 16 << 10;
/// From here on several threads read, pieces of so many bytes each: waking them costs as much as reading some megabytes.
const SHARED_READ: usize = 8 << 20;
const SHARED_PIECE: usize = 1 << 20;
/// What is written together of small pieces. From here on bytes go out as they lie, in one call.
const WRITE_BUFFER: usize = 32 << 10;
/// Writes end at multiples of this, so that no page is begun by one and completed by another.
const PAGE: usize = 4 << 10;

/// The system's words for an error, without Rust's number in brackets.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}

fn read_error(name: &str, error: &std::io::Error) -> Error {
    Error::io(format!("read error in {name}: {}", reason(error)))
}

/// A read, once more where a signal came between.
fn retried(mut read: impl FnMut() -> std::io::Result<usize>) -> std::io::Result<usize> {
    loop {
        match read() {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Reads bytes from a place of a plain file on several threads: what takes long is to copy them out of the system's memory and to make pages for them.
/// Returns how many were read, from the first on without a gap.
fn read_shared(file: &File, from: u64, out: &mut [MaybeUninit<u8>], name: &str) -> Result<usize> {
    let pieces = out.chunks_mut(SHARED_PIECE).map(|piece| Mutex::new((piece, 0)));
    let pieces: Vec<Mutex<(&mut [MaybeUninit<u8>], usize)>> = pieces.collect();
    threads::parallel_for(pieces.len(), |i| {
        let (piece, got) = &mut *pieces[i].lock();
        let start = from + (i * SHARED_PIECE) as u64;
        while *got < piece.len() {
            let at = start + *got as u64;
            let read = retried(|| Ok(rustix::io::pread(file, &mut piece[*got..], at)?.0.len()));
            match read.map_err(|e| read_error(name, &e))? {
                0 => break,
                more => *got += more,
            }
        }
        Ok(())
    })?;
    let mut total = 0;
    for piece in pieces {
        let (piece, got) = piece.into_inner();
        total += got;
        if got < piece.len() {
            break;
        }
    }
    Ok(total)
}

/// Reads a file from its start.
#[derive(Object, Default)]
#[object(methods)]
pub struct FileIOReader {
    #[object(parent)]
    base: IOReaderBase,
    file: Option<File>,
    /// How much of the file has been handed out.
    position: u64,
    /// Bytes of the file that come next: those from `at` on.
    buffer: Vec<u8>,
    at: usize,
    /// How much is read into the buffer next.
    ahead: usize,
    /// Of a plain file; unknown for pipes and devices.
    left: Option<u64>,
    /// All of it, once a piece was to be seen.
    map: Option<SharedBytes>,
}

#[methods]
impl FileIOReader {
    /// Opens a file to read it.
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
            file: Some(file),
            left,
            ahead: READ_AHEAD,
            ..Default::default()
        })
    }
}

impl FileIOReader {
    /// What the buffer holds, after a read into it where it holds nothing. None where `wanted` bytes are so many that they are better read to where they
    /// belong.
    fn held(&mut self, wanted: usize) -> Result<Option<&[u8]>> {
        if self.at == self.buffer.len() {
            if wanted >= DIRECT_READ {
                (self.at, self.ahead) = (0, READ_AHEAD);
                self.buffer.clear();
                return Ok(None);
            }
            let Some(file) = &mut self.file else { return Ok(Some(&[])) };
            self.buffer.resize(self.ahead, 0);
            let read = retried(|| file.read(&mut self.buffer));
            (self.at, self.ahead) = (0, READ_BUFFER);
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            read.map_err(|e| read_error(&self.base.name, &e))?;
        }
        Ok(Some(&self.buffer[self.at..]))
    }

    /// Passes over bytes that are there.
    fn skip(&mut self, bytes: usize) -> std::io::Result<()> {
        let held = self.buffer.len() - self.at;
        if bytes > held
            && let Some(file) = &mut self.file
        {
            file.seek(SeekFrom::Current((bytes - held) as i64))?;
        }
        self.at += bytes.min(held);
        self.handed_out(bytes);
        Ok(())
    }

    fn handed_out(&mut self, bytes: usize) {
        self.position += bytes as u64;
        self.left = self.left.map(|left| left.saturating_sub(bytes as u64));
    }
}

impl Source for FileIOReader {
    fn name(&self) -> String {
        self.base.name.clone()
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let got = match self.held(out.len())? {
            Some(held) => {
                let got = held.len().min(out.len());
                out[..got].copy_from_slice(&held[..got]);
                self.at += got;
                got
            }
            None => {
                let Some(file) = &mut self.file else { return Ok(0) };
                retried(|| file.read(out)).map_err(|e| read_error(&self.base.name, &e))?
            }
        };
        self.handed_out(got);
        Ok(got)
    }
    fn read_new<'a>(&mut self, out: &'a mut [MaybeUninit<u8>]) -> Result<&'a mut [u8]> {
        let got = match self.held(out.len())? {
            Some(held) => {
                let got = held.len().min(out.len());
                let read = out[..got].write_copy_of_slice(&held[..got]);
                self.at += got;
                read
            }
            None => {
                let Some(file) = &mut self.file else { return Ok(&mut []) };
                // What is read in pieces is a plain file, and the buffer is empty: its place is what has been handed out.
                let got = if out.len() >= SHARED_READ && self.left.is_some() && threads::available() > 1 {
                    let got = read_shared(file, self.position, out, &self.base.name)?;
                    file.seek(SeekFrom::Start(self.position + got as u64))
                        .map_err(|e| read_error(&self.base.name, &e))?;
                    got
                } else {
                    let read = retried(|| Ok(rustix::io::read(&*file, &mut *out)?.0.len()));
                    read.map_err(|e| read_error(&self.base.name, &e))?
                };
                // SAFETY: so many were read.
                unsafe { out[..got].assume_init_mut() }
            }
        };
        self.handed_out(got.len());
        Ok(got)
    }
    fn remaining(&self) -> Option<u64> {
        self.left
    }
    fn view(&mut self, len: usize) -> Result<Option<SharedBytes>> {
        let (Some(file), Some(left)) = (&self.file, self.left) else { return Ok(None) };
        if len == 0 || len as u64 > left {
            return Ok(None);
        }
        let map = match &self.map {
            Some(map) => map.clone(),
            None => self.map.insert(SharedBytes::map(file, &self.base.name)?).clone(),
        };
        let at = self.position as usize;
        let Some(piece) = map.slice(at..at.saturating_add(len)) else { return Ok(None) };
        self.skip(len).map_err(|e| read_error(&self.base.name, &e))?;
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
}

#[methods]
impl FileIOWriter {
    /// Opens a file to write it anew.
    #[new]
    pub fn create(fname: &str) -> Result<Self> {
        let file = File::create(fname)
            .map_err(|e| Error::failed("f", format!("could not open {fname} for writing: {}", reason(&e))))?;
        Ok(FileIOWriter {
            base: IOWriterBase { name: fname.to_owned() },
            file: Some(BufWriter::with_capacity(WRITE_BUFFER, file)),
        })
    }
}

/// Writes so that all but the last write end where a page does.
fn write_in_pages(file: &mut BufWriter<File>, mut bytes: &[u8]) -> std::io::Result<()> {
    if bytes.len() >= WRITE_BUFFER {
        let held = file.buffer().len();
        let (head, rest) = bytes.split_at(held.next_multiple_of(PAGE) - held);
        file.write_all(head)?;
        file.flush()?;
        let (pages, rest) = rest.split_at(rest.len() / PAGE * PAGE);
        file.get_mut().write_all(pages)?;
        bytes = rest;
    }
    while !bytes.is_empty() {
        // A full buffer goes out with the next bytes.
        let room = match WRITE_BUFFER - file.buffer().len() {
            0 => WRITE_BUFFER,
            room => room,
        };
        let (piece, later) = bytes.split_at(bytes.len().min(room));
        file.write_all(piece)?;
        bytes = later;
    }
    Ok(())
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
        let result = write_in_pages(file, bytes);
        result.map_err(|e| self.failed(&e))
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

pub(crate) const READER: Row = Row::of::<FileIOReader>();

pub(crate) const WRITER: Row = Row::of::<FileIOWriter>();

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever sizes are asked for, and whether they are read or seen where they lie, the bytes are those of the file.
    #[test]
    fn pieces_of_any_size_are_the_file() {
        let bytes: Vec<u8> = (0..300_007u32).map(|i| (i * 7 + i / 251) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let sizes =
            [1, 8, 3, READ_AHEAD, 1, DIRECT_READ - 1, DIRECT_READ, DIRECT_READ + 1, 5, READ_BUFFER + 3, 20, 70_001];
        for seen in [usize::MAX, 2, 3, 5] {
            let mut reader = FileIOReader::open(file.path().to_str().unwrap()).unwrap();
            let mut at = 0;
            for (i, size) in sizes.iter().cycle().enumerate() {
                let size = (*size).min(bytes.len() - at);
                assert_eq!(reader.remaining(), Some((bytes.len() - at) as u64));
                if size == 0 {
                    break;
                }
                let piece = match reader.view(if i % seen == 1 { size } else { 0 }).unwrap() {
                    Some(piece) => piece.as_slice().to_vec(),
                    None => {
                        let (mut piece, mut got) = (vec![0; size], 0);
                        while got < size {
                            match reader.read(&mut piece[got..]).unwrap() {
                                0 => panic!("the file ends at {at} + {got}"),
                                n => got += n,
                            }
                        }
                        piece
                    }
                };
                assert_eq!(piece, bytes[at..at + size]);
                at += size;
            }
            assert_eq!((at, reader.read(&mut [0; 9]).unwrap()), (bytes.len(), 0));
            assert_eq!(reader.read(&mut vec![0; DIRECT_READ]).unwrap(), 0);
        }
    }

    /// What several threads read is the file, in order, and a file that ends early says where.
    #[test]
    fn many_bytes_are_the_file_too() {
        let bytes: Vec<u8> = (0..3 * SHARED_READ as u32 + 12_345).map(|i| (i * 13 + i / 997) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let mut reader = FileIOReader::open(file.path().to_str().unwrap()).unwrap();
        let (mut at, mut head) = (0, [0u8; 5]);
        for size in [SHARED_READ, 2 * SHARED_READ - 77, SHARED_READ] {
            at += reader.read(&mut head).unwrap();
            assert_eq!(head, bytes[at - head.len()..at]);
            let mut room = vec![MaybeUninit::uninit(); size];
            let mut got = 0;
            while got < size {
                let read = reader.read_new(&mut room[got..]).unwrap();
                if read.is_empty() {
                    break;
                }
                assert_eq!(*read, bytes[at..at + read.len()]);
                (got, at) = (got + read.len(), at + read.len());
            }
            assert_eq!(reader.remaining(), Some((bytes.len() - at) as u64));
        }
        assert_eq!(at, bytes.len());
    }
}
