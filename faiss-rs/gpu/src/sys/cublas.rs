//! cuBLAS's functions.

use std::ffi::{c_int, c_void};

use super::runtime::Stream;
use super::{Pointer, functions};

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

functions! {
    /// Functions of libcublas.
    Cublas {
        create = "cublasCreate_v2": fn(*mut CublasHandle) -> Status;
        destroy = "cublasDestroy_v2": fn(CublasHandle) -> Status;
        set_stream = "cublasSetStream_v2": fn(CublasHandle, Stream) -> Status;
        gemm_ex = "cublasGemmEx": fn(
            CublasHandle, c_int, c_int, c_int, c_int, c_int, *const c_void, *const c_void, c_int, c_int, *const c_void, c_int, c_int,
            *const c_void, Pointer, c_int, c_int, c_int, c_int
        ) -> Status;
    }
}
