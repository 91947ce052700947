//! NVRTC, opened by path: turns a translation unit into a cubin or PTX without a CUDA install.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use libloading::Library;

use crate::{Arch, Error, Target};

type Program = *mut c_void;
type Status = c_int;

struct Api {
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> Status,
    destroy: unsafe extern "C" fn(*mut Program) -> Status,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> Status,
    log_size: unsafe extern "C" fn(Program, *mut usize) -> Status,
    log: unsafe extern "C" fn(Program, *mut c_char) -> Status,
    cubin_size: unsafe extern "C" fn(Program, *mut usize) -> Status,
    cubin: unsafe extern "C" fn(Program, *mut c_char) -> Status,
    ptx_size: unsafe extern "C" fn(Program, *mut usize) -> Status,
    ptx: unsafe extern "C" fn(Program, *mut c_char) -> Status,
    message: unsafe extern "C" fn(Status) -> *const c_char,
    version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status,
    arch_count: unsafe extern "C" fn(*mut c_int) -> Status,
    archs: unsafe extern "C" fn(*mut c_int) -> Status,
    _library: Library,
}

/// Why a translation unit gave no image.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The code is wrong: NVRTC's log, with `kernels/FILE(LINE)` in every message.
    #[error("kernel family '{name}' does not compile for {target}:\n{log}")]
    Code { name: String, target: Target, log: String },
    /// NVRTC refused the request itself, such as an architecture that it does not know.
    #[error("NVRTC {version} failed on kernel family '{name}' for {target}: {message}{log}")]
    Nvrtc { name: String, target: Target, version: String, message: String, log: String },
    #[error(transparent)]
    Library(#[from] Error),
}

const NVRTC_ERROR_COMPILATION: Status = 6;

impl Api {
    fn open(path: &Path) -> Result<Api, Error> {
        let fail = |e: libloading::Error| Error::Library { path: path.display().to_string(), message: e.to_string() };
        // SAFETY: the caller names NVIDIA's library; its initializers have no precondition. The types of the functions are
        // those of nvrtc.h, the same from 11.8 to 13.
        unsafe {
            let library = Library::new(path).map_err(fail)?;
            macro_rules! find {
                ($name:literal) => {
                    *library.get($name).map_err(fail)?
                };
            }
            Ok(Api {
                create: find!(b"nvrtcCreateProgram\0"),
                destroy: find!(b"nvrtcDestroyProgram\0"),
                compile: find!(b"nvrtcCompileProgram\0"),
                log_size: find!(b"nvrtcGetProgramLogSize\0"),
                log: find!(b"nvrtcGetProgramLog\0"),
                cubin_size: find!(b"nvrtcGetCUBINSize\0"),
                cubin: find!(b"nvrtcGetCUBIN\0"),
                ptx_size: find!(b"nvrtcGetPTXSize\0"),
                ptx: find!(b"nvrtcGetPTX\0"),
                message: find!(b"nvrtcGetErrorString\0"),
                version: find!(b"nvrtcVersion\0"),
                arch_count: find!(b"nvrtcGetNumSupportedArchs\0"),
                archs: find!(b"nvrtcGetSupportedArchs\0"),
                _library: library,
            })
        }
    }

    fn text(&self, status: Status) -> String {
        // SAFETY: NVRTC returns a static string for every status.
        unsafe { CStr::from_ptr((self.message)(status)).to_string_lossy().into_owned() }
    }

    fn version(&self) -> (u32, u32) {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both pointers are valid for the call.
        unsafe { (self.version)(&mut major, &mut minor) };
        (major as u32, minor as u32)
    }
}

struct Unit<'a> {
    api: &'a Api,
    program: Program,
}

impl Unit<'_> {
    /// Calls a size function, then its get function, and returns the bytes without the NUL that ends a text.
    fn bytes(
        &self,
        size: unsafe extern "C" fn(Program, *mut usize) -> Status,
        get: unsafe extern "C" fn(Program, *mut c_char) -> Status,
    ) -> Result<Vec<u8>, Status> {
        let mut length = 0;
        // SAFETY: the program lives, and the buffer has the length that NVRTC asked for.
        unsafe {
            match size(self.program, &mut length) {
                0 => {}
                status => return Err(status),
            }
            let mut bytes = vec![0u8; length];
            match get(self.program, bytes.as_mut_ptr().cast()) {
                0 => Ok(bytes),
                status => Err(status),
            }
        }
    }

    fn log(&self) -> String {
        let log = self.bytes(self.api.log_size, self.api.log).unwrap_or_default();
        String::from_utf8_lossy(&log).trim_end_matches(['\0', '\n']).to_owned()
    }
}

impl Drop for Unit<'_> {
    fn drop(&mut self) {
        // SAFETY: the program came from nvrtcCreateProgram and is destroyed once.
        unsafe { (self.api.destroy)(&mut self.program) };
    }
}

/// The release of an NVRTC: (12, 1).
pub fn version(nvrtc: &Path) -> Result<(u32, u32), Error> {
    Ok(Api::open(nvrtc)?.version())
}

/// The architectures that an NVRTC names, without letters; it takes `9.0a` where it names `9.0` from release 12.0 on.
pub fn supported_archs(nvrtc: &Path) -> Result<Vec<Arch>, Error> {
    let api = Api::open(nvrtc)?;
    let mut count = 0;
    // SAFETY: the second call writes as many numbers as the first one said.
    let numbers = unsafe {
        (api.arch_count)(&mut count);
        let mut numbers = vec![0; count as usize];
        (api.archs)(numbers.as_mut_ptr());
        numbers
    };
    Ok(numbers.into_iter().map(|n| Arch::new((n / 10) as u8, (n % 10) as u8)).collect())
}

/// An image, and the kernels in it that had too few registers.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub bytes: Vec<u8>,
    pub spills: Vec<Spill>,
}

/// A kernel for which the compiler keeps values in local memory, as it has too few registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spill {
    /// Its name in the image.
    pub symbol: String,
    /// Bytes of all the instructions that store such values, and of those that load them.
    pub stores: u32,
    pub loads: u32,
}

/// From the warnings of the compiler's second half, of which NVRTC has one a kernel in its log.
fn spills(log: &str) -> Vec<Spill> {
    let number = |text: &str| text.trim().split(' ').next()?.parse().ok();
    let lines = log.lines().filter_map(|line| line.split_once("Registers are spilled to local memory in function '"));
    let spill = |(_, rest): (&str, &str)| {
        let (symbol, figures) = rest.split_once("',")?;
        let (stores, loads) = figures.split_once(',')?;
        Some(Spill { symbol: symbol.to_owned(), stores: number(stores)?, loads: number(loads)? })
    };
    lines.filter_map(spill).collect()
}

/// Compiles one translation unit for one target with the NVRTC at `nvrtc` (`libnvrtc.so.N`, its builtins beside it).
///
/// `include_dirs` are the toolkit's header folders. `name` is the family's. The same unit, target and toolkit give the same
/// bytes on every host: no option writes a path or a line into the image.
pub fn compile(
    nvrtc: &Path,
    include_dirs: &[PathBuf],
    name: &str,
    unit: &str,
    target: Target,
) -> Result<Compiled, CompileError> {
    let api = Api::open(nvrtc)?;
    let refuse = |message: String, log: String| {
        let (major, minor) = api.version();
        let log = if log.is_empty() { log } else { format!("\n{log}") };
        CompileError::Nvrtc { name: name.to_owned(), target, version: format!("{major}.{minor}"), message, log }
    };
    let text = |s: &str| CString::new(s).map_err(|_| refuse("a NUL byte in the input".into(), String::new()));

    let source = text(unit)?;
    let file = text(&format!("{name}.cu"))?;
    let mut options =
        vec![text(&format!("--gpu-architecture={target}"))?, text("--std=c++17")?, text("-default-device")?];
    if matches!(target, Target::Cubin(_)) {
        options.push(text("--ptxas-options=--warn-on-spills")?);
    }
    for dir in include_dirs {
        let dir = dir.to_str().ok_or_else(|| refuse(format!("{} is not UTF-8", dir.display()), String::new()))?;
        options.push(text(&format!("-I{dir}"))?);
    }
    let options: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();

    let mut program = std::ptr::null_mut();
    // SAFETY: all texts outlive the call, and there are no extra headers.
    let status =
        unsafe { (api.create)(&mut program, source.as_ptr(), file.as_ptr(), 0, std::ptr::null(), std::ptr::null()) };
    if status != 0 {
        return Err(refuse(api.text(status), String::new()));
    }
    let compiled = Unit { api: &api, program };
    // SAFETY: the program lives and the options outlive the call.
    match unsafe { (api.compile)(program, options.len() as c_int, options.as_ptr()) } {
        0 => {}
        NVRTC_ERROR_COMPILATION => {
            return Err(CompileError::Code { name: name.to_owned(), target, log: compiled.log() });
        }
        status => return Err(refuse(api.text(status), compiled.log())),
    }
    let image = match target {
        Target::Cubin(_) => compiled.bytes(api.cubin_size, api.cubin),
        Target::Ptx(_) => compiled.bytes(api.ptx_size, api.ptx),
    };
    let bytes = image.map_err(|status| refuse(api.text(status), compiled.log()))?;
    Ok(Compiled { bytes, spills: spills(&compiled.log()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spills_are_read_from_the_log() {
        let log = "rows.cu(3): warning #177-D: variable \"x\" was declared but never referenced\n\
            ptxas warning : Registers are spilled to local memory in function 'fill_f32', 12 bytes spill stores, 16 bytes spill loads\n";
        assert_eq!(spills(log), [Spill { symbol: "fill_f32".into(), stores: 12, loads: 16 }]);
        assert_eq!(spills(""), []);
    }
}
