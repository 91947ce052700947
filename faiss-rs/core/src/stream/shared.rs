//! Bytes that several share without a copy: of a file that is mapped, or of memory that is kept.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use memmap2::{Advice, Mmap};

use crate::base::{Error, Result};

/// Who has bytes that are shared.
trait Owner: Send + Sync {
    fn bytes(&self) -> &[u8];
    /// Hints that these bytes are looked at soon.
    fn will_need(&self, _range: Range<usize>) {}
}

struct Memory<T>(T);

impl<T: AsRef<[u8]> + Send + Sync> Owner for Memory<T> {
    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl Owner for Mmap {
    fn bytes(&self) -> &[u8] {
        self
    }
    fn will_need(&self, range: Range<usize>) {
        // A hint: where the system does not take it, the bytes are loaded when they are looked at.
        let _ = self.advise_range(Advice::WillNeed, range.start, range.len());
    }
}

/// A piece of bytes that do not change and live as long as anyone has a piece of them.
#[derive(Clone)]
pub struct SharedBytes {
    owner: Arc<dyn Owner>,
    range: Range<usize>,
}

impl SharedBytes {
    /// All the bytes that `owner` has. They must not move or change while it lives.
    pub fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        SharedBytes::of(Arc::new(Memory(owner)))
    }

    fn of(owner: Arc<dyn Owner>) -> Self {
        SharedBytes { range: 0..owner.bytes().len(), owner }
    }

    /// A file as it is, loaded by the system when it is looked at. `name` is for errors.
    pub fn map(file: &File, name: &str) -> Result<Self> {
        // SAFETY: the map is read-only and private to this process's view of the file. A file that another program shortens meanwhile ends
        // this process by a signal, as it does for every user of maps; that is what the caller's flag accepts.
        let map = unsafe { Mmap::map(file) };
        let map = map.map_err(|e| Error::io(format!("could not map {name}: {e}")))?;
        Ok(SharedBytes::of(Arc::new(map)))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.owner.bytes()[self.range.clone()]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Where this piece begins among all the bytes of its owner.
    pub fn start(&self) -> usize {
        self.range.start
    }

    /// A piece of this piece, or `None` where it is not inside.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let inside = range.start <= range.end && range.end <= self.range.len();
        let range = self.range.start + range.start..self.range.start.checked_add(range.end)?;
        inside.then(|| SharedBytes { owner: Arc::clone(&self.owner), range })
    }

    /// Hints that these bytes of the piece are looked at soon.
    pub fn will_need(&self, range: Range<usize>) {
        if let Some(piece) = self.slice(range) {
            self.owner.will_need(piece.range);
        }
    }

    /// All the bytes of which this is a piece.
    pub fn whole(&self) -> Self {
        SharedBytes { range: 0..self.owner.bytes().len(), owner: Arc::clone(&self.owner) }
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.len())
    }
}
