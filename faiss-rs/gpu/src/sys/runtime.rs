//! The CUDA runtime's functions.

use std::ffi::{c_char, c_int, c_uint};

use super::{Pointer, functions, lasting, text};
use crate::error::Error;

/// A stream's handle; null is the legacy default stream.
pub type Stream = Pointer;
pub type Event = Pointer;
pub type Status = c_int;

pub const MEMORY_ALLOCATION: Status = 2;
pub const INSUFFICIENT_DRIVER: Status = 35;
pub const NO_DEVICE: Status = 100;

/// `cudaMemcpyDefault`: the addresses tell the direction.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub enum CopyKind {
    HostToDevice = 1,
    DeviceToHost = 2,
    DeviceToDevice = 3,
    Default = 4,
}

/// Values of `cudaDeviceAttr`.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub enum Attribute {
    MultiprocessorCount = 16,
    L2CacheSize = 38,
    Major = 75,
    Minor = 76,
    SharedMemoryOptin = 97,
}

/// `cudaPointerAttributes` with room for the fields that later majors append.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct PointerAttributes {
    /// 0 unregistered, 1 host, 2 device, 3 managed.
    pub kind: c_int,
    pub device: c_int,
    pub device_pointer: usize,
    pub host_pointer: usize,
    reserved: [usize; 16],
}

functions! {
    /// Functions of libcudart.
    Runtime {
        driver_get_version = "cudaDriverGetVersion": fn(*mut c_int) -> Status;
        runtime_get_version = "cudaRuntimeGetVersion": fn(*mut c_int) -> Status;
        get_device_count = "cudaGetDeviceCount": fn(*mut c_int) -> Status;
        get_device = "cudaGetDevice": fn(*mut c_int) -> Status;
        set_device = "cudaSetDevice": fn(c_int) -> Status;
        device_get_attribute = "cudaDeviceGetAttribute": fn(*mut c_int, c_int, c_int) -> Status;
        get_last_error = "cudaGetLastError": fn() -> Status;
        get_error_name = "cudaGetErrorName": fn(Status) -> *const c_char;
        get_error_string = "cudaGetErrorString": fn(Status) -> *const c_char;
        mem_get_info = "cudaMemGetInfo": fn(*mut usize, *mut usize) -> Status;
        malloc = "cudaMalloc": fn(*mut Pointer, usize) -> Status;
        malloc_managed = "cudaMallocManaged": fn(*mut Pointer, usize, c_uint) -> Status;
        free = "cudaFree": fn(Pointer) -> Status;
        host_alloc = "cudaHostAlloc": fn(*mut Pointer, usize, c_uint) -> Status;
        free_host = "cudaFreeHost": fn(Pointer) -> Status;
        memcpy_async = "cudaMemcpyAsync": fn(Pointer, *const std::ffi::c_void, usize, c_int, Stream) -> Status;
        memset_async = "cudaMemsetAsync": fn(Pointer, c_int, usize, Stream) -> Status;
        pointer_get_attributes = "cudaPointerGetAttributes": fn(*mut PointerAttributes, *const std::ffi::c_void) -> Status;
        stream_create = "cudaStreamCreateWithFlags": fn(*mut Stream, c_uint) -> Status;
        stream_destroy = "cudaStreamDestroy": fn(Stream) -> Status;
        stream_synchronize = "cudaStreamSynchronize": fn(Stream) -> Status;
        stream_wait_event = "cudaStreamWaitEvent": fn(Stream, Event, c_uint) -> Status;
        stream_begin_capture = "cudaStreamBeginCapture": fn(Stream, c_int) -> Status;
        stream_end_capture = "cudaStreamEndCapture": fn(Stream, *mut Pointer) -> Status;
        graph_instantiate = "cudaGraphInstantiateWithFlags": fn(*mut Pointer, Pointer, std::ffi::c_ulonglong) -> Status;
        graph_launch = "cudaGraphLaunch": fn(Pointer, Stream) -> Status;
        graph_exec_destroy = "cudaGraphExecDestroy": fn(Pointer) -> Status;
        graph_destroy = "cudaGraphDestroy": fn(Pointer) -> Status;
        event_create = "cudaEventCreateWithFlags": fn(*mut Event, c_uint) -> Status;
        event_destroy = "cudaEventDestroy": fn(Event) -> Status;
        event_record = "cudaEventRecord": fn(Event, Stream) -> Status;
        event_synchronize = "cudaEventSynchronize": fn(Event) -> Status;
    }
}

impl Runtime {
    /// The error of a call that did not return 0, with the runtime's own words. Also clears it, so that the next call of
    /// anyone in this process does not see it again.
    pub fn error(&self, call: &'static str, status: Status) -> Error {
        // SAFETY: both functions take any number; the last has no arguments.
        unsafe {
            (self.get_last_error)();
            Error::Cuda {
                call,
                name: text((self.get_error_name)(status)),
                message: text((self.get_error_string)(status)) + lasting(status),
            }
        }
    }

    pub fn check(&self, call: &'static str, status: Status) -> Result<(), Error> {
        if status == 0 { Ok(()) } else { Err(self.error(call, status)) }
    }
}
