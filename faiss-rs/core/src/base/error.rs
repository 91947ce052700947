//! The one error type. Each variant reaches Python as the exception that users of Faiss catch.

/// What went wrong, in one sentence a user can act on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A condition of the library does not hold. Either part may be empty. Python: `RuntimeError`.
    #[error("{}", failed_text(condition, message))]
    Failed {
        /// What should hold, as Faiss writes it.
        condition: String,
        /// What that means.
        message: String,
    },
    /// An argument has a value that can't be used. Python: `ValueError`.
    #[error("{0}")]
    Value(String),
    /// An argument has the wrong type. Python: `TypeError`.
    #[error("{0}")]
    Type(String),
    /// A number does not fit. Python: `OverflowError`.
    #[error("{0}")]
    Overflow(String),
    /// A shape that Faiss's own wrappers assert. Python: `AssertionError`.
    #[error("{0}")]
    Assertion(String),
    /// A part of Faiss that is not here; the text names it. Python: `NotImplementedError`.
    #[error("{0}")]
    NotImplemented(String),
    /// Memory could not be had. Python: `MemoryError`.
    #[error("{0}")]
    Memory(String),
    /// Reading or writing failed. Python: `RuntimeError`, as Faiss has it.
    #[error("{0}")]
    Io(String),
    /// Ctrl-C, or a callback that asked to stop. Python: `KeyboardInterrupt`, or what the callback raised.
    #[error("computation interrupted")]
    Interrupted,
}

/// Faiss's wording: users match on the condition in quotes.
fn failed_text(condition: &str, message: &str) -> String {
    match (condition.is_empty(), message.is_empty()) {
        (true, _) => format!("Error: {message}"),
        (_, true) => format!("Error: '{condition}' failed"),
        _ => format!("Error: '{condition}' failed: {message}"),
    }
}

/// What may fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A condition that does not hold, as Faiss writes it, and what that means.
    pub fn failed(condition: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Failed { condition: condition.into(), message: message.into() }
    }
    /// `Ok` where `holds`, else the condition's text as the error.
    pub fn check(holds: bool, condition: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(Error::failed(condition, "")) }
    }
    /// An operation that this kind of index does not have.
    pub fn unsupported(operation: &str, type_name: &str) -> Self {
        Error::failed("", format!("{operation} not implemented for this type of index ({type_name})"))
    }
    /// An argument of the right type that has no sense.
    pub fn value(message: impl Into<String>) -> Self {
        Error::Value(message.into())
    }
    /// An argument of the wrong type.
    pub fn type_error(message: impl Into<String>) -> Self {
        Error::Type(message.into())
    }
    /// A number that is too large for its type.
    pub fn overflow(message: impl Into<String>) -> Self {
        Error::Overflow(message.into())
    }
    /// A file or stream that can't be read or written.
    pub fn io(message: impl Into<String>) -> Self {
        Error::Io(message.into())
    }
    /// What Faiss has and this library does not.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Error::NotImplemented(message.into())
    }
}
