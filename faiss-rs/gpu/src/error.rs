//! What can go wrong on the way to a GPU and on it; each a sentence of what happened and one of what to do.

use std::path::PathBuf;

use parking_lot::Mutex;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("nobody said where the GPU part is: set FAISS_CUDA_DIR to the folder with libfaiss_cuda.so and kernels/")]
    NoLibraryDir,
    #[error("this installation has no GPU part: {path} does not exist. Install a faiss-gpu wheel for your CUDA major.")]
    NoShim { path: PathBuf },
    #[error("cannot open {path}: {message}")]
    Shim { path: PathBuf, message: String },
    #[error("{library} is not installed. Run: pip install {package}")]
    MissingLibrary { library: String, package: String },
    #[error(
        "{library} {found} was loaded from {path}, but this wheel needs {needed} or newer: what LD_LIBRARY_PATH names is found before the libraries beside the wheel. Remove the older CUDA from it, or update {path}."
    )]
    LibraryTooOld { library: &'static str, found: CudaVersion, needed: CudaVersion, path: String },
    #[error(
        "no NVIDIA driver was found on this machine. Install one (version {needed} of CUDA or newer) to use a GPU; the CPU part of faiss works without."
    )]
    NoDriver { needed: CudaVersion },
    #[error(
        "the NVIDIA driver is too old for this wheel: it supports CUDA {driver}, the wheel was built with CUDA {built} and needs a driver for CUDA {needed} or newer. Update the driver or install the wheel of an older CUDA major."
    )]
    DriverTooOld { driver: CudaVersion, built: CudaVersion, needed: CudaVersion },
    #[error(
        "no GPU is visible: the driver for CUDA {driver} works, but lists no device. Check nvidia-smi and CUDA_VISIBLE_DEVICES."
    )]
    NoGpu { driver: CudaVersion },
    #[error("GPU {device} does not exist: {count} visible")]
    NoSuchDevice { device: i32, count: i32 },
    #[error(
        "kernel family '{family}' has no image for GPU {device} of compute capability {capability}: the README lists the architectures of each wheel"
    )]
    NoImage { family: &'static str, device: i32, capability: String },
    #[error("cannot read kernel family '{family}' from {path}: {message}. Reinstall the wheel.")]
    KernelFile { family: &'static str, path: PathBuf, message: String },
    #[error("GPU {device} has not enough memory: {bytes} bytes were asked for, {free} are free")]
    OutOfMemory { device: i32, bytes: usize, free: usize },
    #[error("{call} failed: {message} ({name})")]
    Cuda { call: &'static str, name: String, message: String },
    #[error("{call} failed with cuBLAS status {status}")]
    Cublas { call: &'static str, status: i32 },
    #[error("kernel '{0}' is not built for these types or sizes")]
    NoInstance(&'static str),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotImplemented(String),
    #[error("computation interrupted")]
    Interrupted,
}

impl Error {
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::Invalid(message.into())
    }
}

/// The first error of something that was given back, which has nobody to tell it to.
static LATE: Mutex<Option<Error>> = Mutex::new(None);

/// Keeps the error of something that was given back, if it is one, for the next call.
pub(crate) fn note(given_back: Result<()>) {
    if let Err(error) = given_back {
        LATE.lock().get_or_insert(error);
    }
}

/// The error that was kept, if any.
pub(crate) fn check_noted() -> Result<()> {
    LATE.lock().take().map_or(Ok(()), Err)
}

/// An error if Ctrl-C was pressed or a callback asked to stop.
pub fn check_interrupt() -> Result<()> {
    faiss_core::base::interrupt::check().map_err(|_| Error::Interrupted)
}

impl From<Error> for faiss_core::base::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::OutOfMemory { .. } => faiss_core::base::Error::Memory(error.to_string()),
            Error::NotImplemented(message) => faiss_core::base::Error::not_implemented(message),
            Error::Interrupted => faiss_core::base::Error::Interrupted,
            _ => faiss_core::base::Error::failed("", error.to_string()),
        }
    }
}

/// A CUDA version as the driver counts it: 12010 is 12.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion(pub i32);

impl std::fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_what_was_given_back_is_told_once_by_the_next_call() {
        note(Ok(()));
        assert!(check_noted().is_ok());
        note(Err(Error::invalid("the first")));
        note(Err(Error::invalid("the second")));
        assert_eq!(check_noted().unwrap_err().to_string(), "the first");
        assert!(check_noted().is_ok());
    }
}
