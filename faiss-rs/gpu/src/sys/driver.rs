//! The driver's functions, from the runtime's entry-point lookup.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};

use libloading::os::unix::Library;

use super::runtime::Stream;
use super::{Pointer, Runtime, lasting, text};
use crate::error::{CudaVersion, Error, Result};

pub type Module = Pointer;
pub type Function = Pointer;
/// A `CUcontext`.
pub type CudaContext = Pointer;
type Status = c_int;

const NO_BINARY_FOR_GPU: Status = 209;
const SHARED_SIZE_BYTES: c_int = 1;
const PTX_VERSION: c_int = 5;
const BINARY_VERSION: c_int = 6;
const MAX_DYNAMIC_SHARED_SIZE_BYTES: c_int = 8;

/// `CUmemAllocationProp`.
#[derive(Debug, Default)]
#[repr(C)]
pub struct AllocationProperties {
    kind: c_int,
    handle_types: c_int,
    location_kind: c_int,
    location: c_int,
    windows: usize,
    flags: [u8; 8],
}

impl AllocationProperties {
    /// Plain memory (1 is pinned) of a device (1).
    pub fn on(device: c_int) -> Self {
        AllocationProperties { kind: 1, location_kind: 1, location: device, ..Default::default() }
    }
}

/// `CUmemAccessDesc`.
#[derive(Debug)]
#[repr(C)]
pub struct AccessDescription {
    location_kind: c_int,
    location: c_int,
    flags: c_int,
}

impl AccessDescription {
    /// For a device (1), to read and write (3).
    pub fn read_write(device: c_int) -> Self {
        AccessDescription { location_kind: 1, location: device, flags: 3 }
    }
}

/// Functions of virtual memory; from CUDA 10.2 on, where system and device have it.
pub struct VirtualMemory {
    pub get_granularity: unsafe extern "C" fn(*mut usize, *const AllocationProperties, c_int) -> Status,
    pub reserve: unsafe extern "C" fn(*mut u64, usize, usize, u64, c_ulonglong) -> Status,
    pub free: unsafe extern "C" fn(u64, usize) -> Status,
    pub create: unsafe extern "C" fn(*mut u64, usize, *const AllocationProperties, c_ulonglong) -> Status,
    pub release: unsafe extern "C" fn(u64) -> Status,
    pub map: unsafe extern "C" fn(u64, usize, usize, u64, c_ulonglong) -> Status,
    pub unmap: unsafe extern "C" fn(u64, usize) -> Status,
    pub set_access: unsafe extern "C" fn(u64, usize, *const AccessDescription, usize) -> Status,
}

/// Functions of libcuda.
pub struct Driver {
    pub virtual_memory: Option<VirtualMemory>,
    #[allow(clippy::type_complexity)]
    module_load_data: unsafe extern "C" fn(*mut Module, *const c_void, c_uint, *mut c_int, *mut *mut c_void) -> Status,
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
        let virtual_memory = || -> Result<VirtualMemory> {
            // SAFETY: the driver returns the functions of these names, whose types are those of cuda.h.
            unsafe {
                Ok(VirtualMemory {
                    get_granularity: std::mem::transmute(find(c"cuMemGetAllocationGranularity")?),
                    reserve: std::mem::transmute(find(c"cuMemAddressReserve")?),
                    free: std::mem::transmute(find(c"cuMemAddressFree")?),
                    create: std::mem::transmute(find(c"cuMemCreate")?),
                    release: std::mem::transmute(find(c"cuMemRelease")?),
                    map: std::mem::transmute(find(c"cuMemMap")?),
                    unmap: std::mem::transmute(find(c"cuMemUnmap")?),
                    set_access: std::mem::transmute(find(c"cuMemSetAccess")?),
                })
            }
        };
        let virtual_memory = virtual_memory().ok();
        // SAFETY: as above.
        unsafe {
            Ok(Driver {
                virtual_memory,
                module_load_data: std::mem::transmute(find(c"cuModuleLoadDataEx")?),
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
        Err(Error::Cuda { call, name: text(name), message: text(message) + lasting(status) })
    }

    /// Loads a fatbin into the current device, with PTX compiled where it has no machine code; none where it has nothing for the device.
    pub(crate) fn load(&self, image: &[u8]) -> Result<Option<Module>> {
        const LOG: c_int = 5;
        const LOG_BYTES: c_int = 6;
        let (mut module, mut log) = (std::ptr::null_mut(), vec![0u8; 4096]);
        let mut options = [LOG, LOG_BYTES];
        let mut values = [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(log.len())];
        // SAFETY: the image lives through the call, which copies it; the options are two, an address and how many bytes lie there.
        let status = unsafe {
            (self.module_load_data)(&mut module, image.as_ptr().cast(), 2, options.as_mut_ptr(), values.as_mut_ptr())
        };
        if status == NO_BINARY_FOR_GPU {
            return Ok(None);
        }
        self.check("cuModuleLoadDataEx", status).map(|()| Some(module)).map_err(|error| {
            let said = CStr::from_bytes_until_nul(&log).map_or("".into(), CStr::to_string_lossy);
            match error {
                Error::Cuda { call, name, message } if !said.trim().is_empty() => {
                    Error::Cuda { call, name, message: format!("{message}: {}", said.trim()) }
                }
                error => error,
            }
        })
    }

    /// The architectures of a kernel's machine code and of the PTX that it was compiled from, as 90 for 9.0.
    pub(crate) fn image(&self, function: Function) -> Result<(i32, i32)> {
        let (mut code, mut ptx) = (0, 0);
        // SAFETY: the function came from a loaded module, and the pointers are valid for the calls.
        unsafe {
            self.check("cuFuncGetAttribute", (self.func_get_attribute)(&mut code, BINARY_VERSION, function))?;
            self.check("cuFuncGetAttribute", (self.func_get_attribute)(&mut ptx, PTX_VERSION, function))?;
        }
        Ok((code, ptx))
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
