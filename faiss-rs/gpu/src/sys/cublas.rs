//! cuBLAS's functions.

use std::ffi::{c_int, c_void};

use super::runtime::Stream;
use super::{LoadedLibrary, Pointer, functions};
use crate::error::{self, CudaVersion, Error};

pub type CublasHandle = Pointer;
pub type Status = c_int;

pub const CUBLAS_OP_N: c_int = 0;
pub const CUBLAS_OP_T: c_int = 1;
/// f32 products and sums; never TF32, whatever the type of the matrices.
pub const CUBLAS_COMPUTE_32F: c_int = 68;
pub const CUBLAS_GEMM_DEFAULT: c_int = -1;

/// Values of `cudaDataType`.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub enum CudaType {
    F32 = 0,
    F16 = 2,
}

impl Cublas {
    /// Which library this is; an error where it is older than that of a CUDA version.
    pub(super) fn loaded(&self, cuda: CudaVersion) -> error::Result<LoadedLibrary> {
        let part = |property: c_int| -> error::Result<i32> {
            let mut value = 0;
            // SAFETY: the pointer is valid for the call.
            match unsafe { (self.get_property)(property, &mut value) } {
                0 => Ok(value),
                status => Err(Error::Cublas { call: "cublasGetProperty", status }),
            }
        };
        let version = CudaVersion(part(0)? * 1000 + part(1)? * 10);
        // That of CUDA 11.8 is 11.11; from 12 on both are counted alike.
        let needed = if cuda == CudaVersion(11_080) { CudaVersion(11_110) } else { cuda };
        LoadedLibrary::new("libcublas", self.get_property as usize, version, needed)
    }
}

functions! {
    /// Functions of libcublas.
    Cublas {
        get_property = "cublasGetProperty": fn(c_int, *mut c_int) -> Status;
        create = "cublasCreate_v2": fn(*mut CublasHandle) -> Status;
        destroy = "cublasDestroy_v2": fn(CublasHandle) -> Status;
        set_stream = "cublasSetStream_v2": fn(CublasHandle, Stream) -> Status;
        gemm_ex = "cublasGemmEx": fn(
            CublasHandle, c_int, c_int, c_int, c_int, c_int, *const c_void, *const c_void, c_int, c_int, *const c_void, c_int, c_int,
            *const c_void, Pointer, c_int, c_int, c_int, c_int
        ) -> Status;
    }
}
