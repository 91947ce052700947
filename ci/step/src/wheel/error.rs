//! One sentence for each way in which a wheel can't be written or opened.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("'{name}' is not a wheel's file name: {reason}")]
    Name { name: String, reason: String },
    #[error("metadata field {field}: {reason}")]
    Metadata { field: &'static str, reason: String },
    #[error("member '{member}': {reason}")]
    Member { member: String, reason: String },
    #[error("{} is not a readable wheel: {reason}", path.display())]
    Archive { path: PathBuf, reason: String },
    #[error("RECORD line {line}: {reason}")]
    Record { line: usize, reason: String },
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl Error {
    /// Adapts an I/O error: `.map_err(Error::io("cannot read", path))`.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }

    pub(super) fn member(member: &str, reason: impl Into<String>) -> Error {
        Error::Member { member: member.to_owned(), reason: reason.into() }
    }
}
