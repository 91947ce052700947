//! CUDA's C functions, found at first GPU use and never before; the only place that opens a library.
//!
//! The shim `libfaiss_cuda.so` needs the CUDA runtime and cuBLAS of its major, so opening it brings both, and `dlsym` on its
//! handle finds their functions. The driver's functions come from the runtime, so that nothing needs libcuda. All functions
//! are raw here; `crate::error` gives their results meaning and `crate::memory`, `crate::module` and `crate::blas` own what
//! they make.

mod cublas;
mod driver;
mod runtime;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use parking_lot::Mutex;

pub use cublas::{CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT, CUBLAS_OP_N, CUBLAS_OP_T, Cublas, CublasHandle, CudaType};
pub use driver::{AccessDescription, AllocationProperties, CudaContext, Driver, Function, Module, VirtualMemory};
pub use runtime::{Attribute, CopyKind, Event, MEMORY_ALLOCATION, PointerAttributes, Runtime, Stream};

use crate::error::{CudaVersion, Error, Result};

/// Every CUDA function that this crate calls.
pub struct Cuda {
    pub runtime: Runtime,
    pub cublas: Cublas,
    pub driver: Driver,
    /// The CUDA version that the wheel was built with.
    pub built: CudaVersion,
    pub driver_version: CudaVersion,
    pub device_count: i32,
    /// What the loader found for CUDA's libraries.
    pub libraries: Vec<LoadedLibrary>,
    _shim: Library,
}

/// One of CUDA's libraries, as the loader found it.
#[derive(Clone, Debug)]
pub struct LoadedLibrary {
    pub name: &'static str,
    pub version: CudaVersion,
    /// Its file.
    pub path: String,
}

impl LoadedLibrary {
    /// The library that a function is of; an error where it is older than the wheel's metadata allow.
    fn new(name: &'static str, function: usize, version: CudaVersion, needed: CudaVersion) -> Result<LoadedLibrary> {
        let path = file_of(function);
        if version < needed {
            return Err(Error::LibraryTooOld { library: name, found: version, needed, path });
        }
        Ok(LoadedLibrary { name, version, path })
    }
}

/// The file that is mapped where an address is.
fn file_of(address: usize) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let line = maps.lines().find(|line| {
        let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        range.is_some_and(|(start, end)| {
            let number = |text: &str| usize::from_str_radix(text, 16).ok();
            number(start).is_some_and(|start| start <= address) && number(end).is_some_and(|end| address < end)
        })
    });
    let path = line.and_then(|line| Some(&line[line.find('/')?..]));
    path.unwrap_or("a place that is not known").to_owned()
}

static LIBRARY_DIR: Mutex<Option<PathBuf>> = Mutex::new(None);
/// Written once, under the lock; read by every call.
static CUDA: AtomicPtr<Cuda> = AtomicPtr::new(std::ptr::null_mut());
static OPENING: Mutex<()> = Mutex::new(());

/// Names the folder that holds `libfaiss_cuda.so` and `kernels/`. Without it the environment's `FAISS_CUDA_DIR` does.
pub fn set_library_dir(path: &Path) {
    *LIBRARY_DIR.lock() = Some(path.to_path_buf());
}

/// The folder that was named; never the current one, from which nobody wants to load a library unasked.
pub fn library_dir() -> Result<PathBuf> {
    let named = LIBRARY_DIR.lock().clone();
    let named = named.or_else(|| std::env::var_os("FAISS_CUDA_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from));
    named.ok_or(Error::NoLibraryDir)
}

/// The CUDA functions; the first successful call opens the libraries and asks the driver for its devices.
pub fn cuda() -> Result<&'static Cuda> {
    let loaded = || {
        // SAFETY: what was stored is a leaked box, which nobody changes.
        unsafe { CUDA.load(Ordering::Acquire).as_ref() }
    };
    if let Some(cuda) = loaded() {
        return Ok(cuda);
    }
    let _opening = OPENING.lock();
    if let Some(cuda) = loaded() {
        return Ok(cuda);
    }
    let cuda = Box::leak(Box::new(open(&library_dir()?.join("libfaiss_cuda.so"))?));
    CUDA.store(cuda, Ordering::Release);
    Ok(cuda)
}

fn open(path: &Path) -> Result<Cuda> {
    if !path.is_file() {
        return Err(Error::NoShim { path: path.to_path_buf() });
    }
    // SAFETY: the shim has no code; the libraries that it needs are NVIDIA's, whose initializers have no precondition.
    let shim = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|e| missing_library(&e.to_string()).unwrap_or_else(|| shim_error(path, &e)))?;
    // SAFETY: the shim exports both constants as `const int`.
    let (built, needed) = unsafe {
        let number = |name: &[u8]| -> Result<CudaVersion> {
            let symbol = shim.get::<*const c_int>(name).map_err(|e| shim_error(path, &e))?;
            Ok(CudaVersion(**symbol))
        };
        (number(b"faiss_cuda_version\0")?, number(b"faiss_cuda_minimum_driver\0")?)
    };
    let runtime = Runtime::find(&shim).map_err(|e| shim_error(path, &e))?;
    let mut version = 0;
    // SAFETY: the pointer is valid for the call.
    runtime.check("cudaRuntimeGetVersion", unsafe { (runtime.runtime_get_version)(&mut version) })?;
    let at = runtime.runtime_get_version as usize;
    // The driver and the runtime that a wheel needs at least are of one version.
    let cudart = LoadedLibrary::new("libcudart", at, CudaVersion(version), needed)?;

    let mut version = 0;
    // SAFETY: the pointer is valid for the call.
    let status = unsafe { (runtime.driver_get_version)(&mut version) };
    let driver_version = CudaVersion(version);
    if status != 0 || version == 0 {
        return Err(Error::NoDriver { needed });
    }
    if driver_version < needed {
        return Err(Error::DriverTooOld { driver: driver_version, built, needed });
    }
    let mut device_count = 0;
    // SAFETY: as above.
    match unsafe { (runtime.get_device_count)(&mut device_count) } {
        0 if device_count > 0 => {}
        0 | runtime::NO_DEVICE => return Err(Error::NoGpu { driver: driver_version }),
        runtime::INSUFFICIENT_DRIVER => return Err(Error::DriverTooOld { driver: driver_version, built, needed }),
        status => return Err(runtime.error("cudaGetDeviceCount", status)),
    }
    let cublas = Cublas::find(&shim).map_err(|e| shim_error(path, &e))?;
    let libraries = vec![cudart, cublas.loaded(needed)?];
    let driver = Driver::find(&shim, &runtime, needed)?;
    Ok(Cuda { runtime, cublas, driver, built, driver_version, device_count, libraries, _shim: shim })
}

fn shim_error(path: &Path, error: &libloading::Error) -> Error {
    Error::Shim { path: path.to_path_buf(), message: error.to_string() }
}

/// The pip command for the library that the loader did not find, from its message `libcudart.so.12: cannot open …`.
fn missing_library(message: &str) -> Option<Error> {
    let library = message.split([':', ' ']).find(|word| word.starts_with("lib") && word.contains(".so."))?;
    if !message.contains("No such file") {
        return None;
    }
    let (stem, version) = library.split_once(".so.")?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    let name = match stem {
        "libcudart" => "nvidia-cuda-runtime",
        "libcublas" | "libcublasLt" => "nvidia-cublas",
        _ => return None,
    };
    // From CUDA 13 on the wheels' names carry no major, so the command has to.
    let package = match major {
        ..=12 => format!("{name}-cu{major}"),
        _ => format!("'{name}=={major}.*'"),
    };
    Some(Error::MissingLibrary { library: library.to_owned(), package })
}

fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return "no description".to_owned();
    }
    // SAFETY: CUDA's description functions return static strings.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// What to say beside an error that every later call of the process gets, too: both libraries number them alike.
fn lasting(status: c_int) -> &'static str {
    match status {
        214 | 220 | 700 | 702 | 710 | 714..=719 => {
            ". The GPU's state in this process is lost, maybe by an earlier call than this one: end the process and start it again"
        }
        _ => "",
    }
}

/// Declares a table of C functions and how to find them by name in a library.
macro_rules! functions {
    ($(#[$doc:meta])* $table:ident { $($field:ident = $symbol:literal : fn($($arg:ty),*) -> $ret:ty;)* }) => {
        $(#[$doc])*
        pub struct $table { $(pub $field: unsafe extern "C" fn($($arg),*) -> $ret,)* }
        impl $table {
            pub(super) fn find(library: &libloading::os::unix::Library) -> Result<Self, libloading::Error> {
                // SAFETY: the types are those of CUDA's headers, the same in every major that the wheels are built for.
                unsafe { Ok($table { $($field: *library.get(concat!($symbol, "\0").as_bytes())?,)* }) }
            }
        }
    };
}
use functions;

type Pointer = *mut c_void;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_wheel_is_named_with_its_command() {
        for (message, command) in [
            (
                "libcudart.so.11.0: cannot open shared object file: No such file or directory",
                "nvidia-cuda-runtime-cu11",
            ),
            ("libcublas.so.12: cannot open shared object file: No such file or directory", "nvidia-cublas-cu12"),
            ("libcublas.so.13: cannot open shared object file: No such file or directory", "'nvidia-cublas==13.*'"),
        ] {
            let error = missing_library(message).unwrap().to_string();
            assert!(error.ends_with(&format!("pip install {command}")), "{error}");
        }
        assert!(missing_library("libcublas.so.12: invalid ELF header").is_none());
    }

    #[test]
    fn an_installation_without_a_gpu_part_says_so() {
        let error = open(Path::new("/nowhere/libfaiss_cuda.so")).err().unwrap();
        assert!(matches!(error, Error::NoShim { .. }), "{error}");
    }
}
