//! Matrix products by cuBLAS.

use std::cell::OnceCell;

use half::f16;

use crate::error::{Error, Result, note};
use crate::memory::{Element, Ptr, PtrMut};
use crate::sys::{
    self, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT, CUBLAS_OP_N, CUBLAS_OP_T, CublasHandle, CudaType, Stream,
};

/// A cuBLAS handle of one device, made at the first product: it costs the device memory and the caller time.
#[derive(Default)]
pub struct Blas {
    handle: OnceCell<CublasHandle>,
}

// SAFETY: a handle may be used from any thread, one at a time; the lock of the resources sees to that.
unsafe impl Send for Blas {}

/// An element type that cuBLAS multiplies with f32 sums.
pub trait Factor: Element {
    const CUDA_TYPE: CudaType;
}

impl Factor for f32 {
    const CUDA_TYPE: CudaType = CudaType::F32;
}

impl Factor for f16 {
    const CUDA_TYPE: CudaType = CudaType::F16;
}

impl Blas {
    /// The handle, of the device that is current at the first call.
    fn handle(&self) -> Result<CublasHandle> {
        if let Some(handle) = self.handle.get() {
            return Ok(*handle);
        }
        let mut handle = std::ptr::null_mut();
        // SAFETY: the pointer is valid for the call.
        check("cublasCreate", unsafe { (sys::cuda()?.cublas.create)(&mut handle) })?;
        Ok(*self.handle.get_or_init(|| handle))
    }

    /// `products[i * stride + j] = scale * <x_i, y_j>` for rows x of `m` and y of `n`, both `d` wide. f32 stays f32 in every
    /// step: no TF32.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn products<T: Factor>(
        &self,
        stream: Stream,
        scale: f32,
        x: Ptr<T>,
        m: usize,
        y: Ptr<T>,
        n: usize,
        d: usize,
        products: PtrMut<f32>,
        stride: usize,
    ) -> Result<()> {
        let int = |value: usize| {
            i32::try_from(value)
                .map_err(|_| Error::invalid(format!("a matrix of {value} rows is too large for cuBLAS")))
        };
        let (cublas, handle) = (&sys::cuda()?.cublas, self.handle()?);
        let (zero, kind) = (0.0f32, T::CUDA_TYPE as i32);
        // SAFETY: the addresses cover the matrices, by this crate's callers; scalars are read before the call returns.
        // cuBLAS counts columns first: its rows are the y, its columns the x.
        unsafe {
            check("cublasSetStream", (cublas.set_stream)(handle, stream))?;
            let status = (cublas.gemm_ex)(
                handle,
                CUBLAS_OP_T,
                CUBLAS_OP_N,
                int(n)?,
                int(m)?,
                int(d)?,
                (&raw const scale).cast(),
                y.raw().cast(),
                kind,
                int(d)?,
                x.raw().cast(),
                kind,
                int(d)?,
                (&raw const zero).cast(),
                products.raw().cast(),
                CudaType::F32 as i32,
                int(stride)?,
                CUBLAS_COMPUTE_32F,
                CUBLAS_GEMM_DEFAULT,
            );
            check("cublasGemmEx", status)
        }
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        if let (Some(handle), Ok(cuda)) = (self.handle.get(), sys::cuda()) {
            // SAFETY: the handle was made by cublasCreate and is destroyed once.
            let status = unsafe { (cuda.cublas.destroy)(*handle) };
            note(check("cublasDestroy", status));
        }
    }
}

fn check(call: &'static str, status: i32) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(Error::Cublas { call, status }) }
}
