//! The driver's functions, from the runtime's entry-point lookup.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};

use libloading::os::unix::Library;

use super::runtime::Stream;
use super::{Pointer, Runtime, text};
use crate::error::{CudaVersion, Error, Result};

pub type Module = Pointer;
pub type Function = Pointer;
/// A `CUcontext`.
pub type CudaContext = Pointer;
type Status = c_int;

pub const NO_BINARY_FOR_GPU: Status = 209;
const SHARED_SIZE_BYTES: c_int = 1;
const MAX_DYNAMIC_SHARED_SIZE_BYTES: c_int = 8;

/// Functions of libcuda.
pub struct Driver {
    pub module_load_data: unsafe extern "C" fn(*mut Module, *const c_void) -> Status,
    pub module_get_function: unsafe extern "C" fn(*mut Function, Module, *const c_char) -> Status,
    func_get_attribute: unsafe extern "C" fn(*mut c_int, c_int, Function) -> Status,
    func_set_attribute: unsafe extern "C" fn(Function, c_int, c_int) -> Status,
    #[allow(clippy::type_complexity)]
    pub launch_kernel: unsafe extern "C" fn(
        Function,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        Stream,
        *mut *mut c_void,
        *mut *mut c_void,
    ) -> Status,
    pub primary_context_retain: unsafe extern "C" fn(*mut CudaContext, c_int) -> Status,
    pub context_get_current: unsafe extern "C" fn(*mut CudaContext) -> Status,
    pub context_set_current: unsafe extern "C" fn(CudaContext) -> Status,
    pub device_get_name: unsafe extern "C" fn(*mut c_char, c_int, c_int) -> Status,
    pub device_total_mem: unsafe extern "C" fn(*mut usize, c_int) -> Status,
    get_error_name: unsafe extern "C" fn(Status, *mut *const c_char) -> Status,
    get_error_string: unsafe extern "C" fn(Status, *mut *const c_char) -> Status,
}

/// The two lookups of the runtime: 11 and 12 have the first, 13 has only the second.
enum Lookup {
    Plain(unsafe extern "C" fn(*const c_char, *mut Pointer, c_ulonglong, *mut c_int) -> Status),
    ByVersion(unsafe extern "C" fn(*const c_char, *mut Pointer, c_uint, c_ulonglong, *mut c_int) -> Status),
}

impl Driver {
    #[allow(clippy::missing_transmute_annotations, reason = "the struct's fields state the types")]
    /// `wanted` is the version whose functions are asked for: that of the oldest driver that the wheel takes. A newer one, such as that of
    /// the build's toolkit, is refused by an installed runtime that is older than the toolkit.
    pub(super) fn find(shim: &Library, runtime: &Runtime, wanted: CudaVersion) -> Result<Driver> {
        // SAFETY: the types are those of the headers. The runtime of CUDA 11 takes three arguments; a fourth is ignored by
        // the calling convention of every platform that it exists on.
        let lookup = unsafe {
            if let Ok(f) = shim.get(b"cudaGetDriverEntryPointByVersion\0") {
                Lookup::ByVersion(*f)
            } else {
                let plain = shim.get(b"cudaGetDriverEntryPoint\0").map_err(|e| Error::Cuda {
                    call: "cudaGetDriverEntryPoint",
                    name: "not found".to_owned(),
                    message: e.to_string(),
                })?;
                Lookup::Plain(*plain)
            }
        };
        let find = |name: &'static CStr| -> Result<Pointer> {
            let (mut found, mut state) = (std::ptr::null_mut(), 0);
            // SAFETY: all pointers are valid for the call.
            let status = unsafe {
                match &lookup {
                    Lookup::Plain(f) => f(name.as_ptr(), &mut found, 0, &mut state),
                    Lookup::ByVersion(f) => f(name.as_ptr(), &mut found, wanted.0 as c_uint, 0, &mut state),
                }
            };
            runtime.check("cudaGetDriverEntryPoint", status)?;
            if found.is_null() {
                return Err(Error::Cuda {
                    call: "cudaGetDriverEntryPoint",
                    name: name.to_string_lossy().into_owned(),
                    message: "the driver lacks this function".to_owned(),
                });
            }
            Ok(found)
        };
        // SAFETY: the driver returns the functions of these names, whose types are those of cuda.h.
        unsafe {
            Ok(Driver {
                module_load_data: std::mem::transmute(find(c"cuModuleLoadData")?),
                module_get_function: std::mem::transmute(find(c"cuModuleGetFunction")?),
                func_get_attribute: std::mem::transmute(find(c"cuFuncGetAttribute")?),
                func_set_attribute: std::mem::transmute(find(c"cuFuncSetAttribute")?),
                launch_kernel: std::mem::transmute(find(c"cuLaunchKernel")?),
                primary_context_retain: std::mem::transmute(find(c"cuDevicePrimaryCtxRetain")?),
                context_get_current: std::mem::transmute(find(c"cuCtxGetCurrent")?),
                context_set_current: std::mem::transmute(find(c"cuCtxSetCurrent")?),
                device_get_name: std::mem::transmute(find(c"cuDeviceGetName")?),
                device_total_mem: std::mem::transmute(find(c"cuDeviceTotalMem")?),
                get_error_name: std::mem::transmute(find(c"cuGetErrorName")?),
                get_error_string: std::mem::transmute(find(c"cuGetErrorString")?),
            })
        }
    }

    pub fn check(&self, call: &'static str, status: Status) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        let (mut name, mut message) = (std::ptr::null(), std::ptr::null());
        // SAFETY: both pointers are valid for the calls.
        unsafe {
            (self.get_error_name)(status, &mut name);
            (self.get_error_string)(status, &mut message);
        }
        Err(Error::Cuda { call, name: text(name), message: text(message) })
    }

    /// Lets a kernel's launches ask for all the shared memory that a block may have, `bytes`, beside the kernel's own.
    pub(crate) fn allow_shared(&self, function: Function, bytes: usize) -> Result<()> {
        let mut own = 0;
        // SAFETY: the function came from a loaded module, and the pointer is valid for the call.
        let status = unsafe { (self.func_get_attribute)(&mut own, SHARED_SIZE_BYTES, function) };
        self.check("cuFuncGetAttribute", status)?;
        let rest = bytes as c_int - own;
        // SAFETY: as above.
        let status = unsafe { (self.func_set_attribute)(function, MAX_DYNAMIC_SHARED_SIZE_BYTES, rest) };
        self.check("cuFuncSetAttribute", status)
    }
}
