//! Scalar quantizers on a device: encoding, and how the scan of lists reads the codes.

use faiss_core::base::Error as CoreError;
use faiss_core::quantize::scalar::ScalarQuantizer;
use faiss_core::quantize::scalar::kind::Kind;

use crate::error::Result;
use crate::launchers;
use crate::memory::{DeviceBuffer, MemorySpace, Ptr, PtrMut};
use crate::ops::ivf_scan::Codec;
use crate::ops::pq::Residual;
use crate::resources::Context;

/// What a type becomes on a GPU; an error for types that have no kernels.
fn kind(sq: &ScalarQuantizer) -> faiss_core::base::Result<Kind> {
    let kind = Kind::of(sq.qtype)?;
    match kind {
        Kind::Range { .. } | Kind::Fp16 | Kind::Bf16 | Kind::Direct { .. } => Ok(kind),
        Kind::Nothing | Kind::Levels { .. } | Kind::Turbo { .. } => Err(CoreError::failed(
            "",
            format!("scalar quantizer type {} is not implemented on GPU: types 0 to 8 are", sq.qtype),
        )),
    }
}

/// An error unless the kernels know codes of this quantizer.
pub fn check(sq: &ScalarQuantizer) -> faiss_core::base::Result<()> {
    CoreError::check(kind(sq)?.code_size(sq.d) == Some(sq.code_size), "code_size is that of qtype and d")
}

/// A trained quantizer on a device.
pub struct DeviceQuantizer {
    kind: Kind,
    d: usize,
    code_size: usize,
    starts: DeviceBuffer<f32>,
    widths: DeviceBuffer<f32>,
    /// A number of a code stands for `lows + steps * number`.
    lows: DeviceBuffer<f32>,
    steps: DeviceBuffer<f32>,
}

impl DeviceQuantizer {
    /// Waits for the stream, so that others may use it on streams of their own.
    pub fn new(context: &Context<'_>, sq: &ScalarQuantizer) -> Result<DeviceQuantizer> {
        let wrong = |error: CoreError| crate::Error::invalid(error.to_string());
        let kind = kind(sq).map_err(wrong)?;
        let d = sq.d;
        if kind.trained_size(d) != Some(sq.trained.len()) {
            return Err(crate::Error::invalid("the scalar quantizer is not trained"));
        }
        // Of one range for all, one for each.
        let (starts, widths) = sq.trained.split_at(sq.trained.len() / 2);
        let spread = |part: &[f32], other: f32| -> Vec<f32> {
            (0..d).map(|i| part.get(if part.len() == 1 { 0 } else { i }).copied().unwrap_or(other)).collect()
        };
        let signed = kind == Kind::Direct { signed: true };
        let (starts, widths) = (spread(starts, if signed { -128.0 } else { 0.0 }), spread(widths, 1.0));
        let (mut lows, mut steps) = (starts.clone(), widths.clone());
        if let Kind::Range { bits, .. } = kind {
            let top = f64::from((1u32 << bits) - 1);
            for (low, step) in lows.iter_mut().zip(&mut steps) {
                let one = f64::from(*step) / top;
                // A code stands for the middle of what becomes it.
                (*low, *step) = ((f64::from(*low) + 0.5 * one) as f32, one as f32);
            }
        }
        let upload = |numbers: &[f32]| -> Result<DeviceBuffer<f32>> {
            let mut buffer = DeviceBuffer::new(context.device, d, MemorySpace::Device)?;
            context.upload_to(numbers, buffer.ptr_mut())?;
            Ok(buffer)
        };
        let (starts, widths, lows, steps) = (upload(&starts)?, upload(&widths)?, upload(&lows)?, upload(&steps)?);
        context.sync()?;
        Ok(DeviceQuantizer { kind, d, code_size: sq.code_size, starts, widths, lows, steps })
    }

    /// How lists of its codes are scanned.
    pub fn codec(&self, residual: bool) -> Codec {
        match self.kind {
            Kind::Fp16 => Codec::halves(false, residual),
            Kind::Bf16 => Codec::halves(true, residual),
            Kind::Range { bits, .. } => Codec::ranges(bits as u32, self.lows.ptr(), self.steps.ptr(), residual),
            _ => Codec::ranges(8, self.lows.ptr(), self.steps.ptr(), residual),
        }
    }

    pub fn code_size(&self) -> usize {
        self.code_size
    }

    /// Encodes `count` rows to `count * code_size` bytes, as the CPU does.
    pub fn encode(
        &self,
        context: &Context<'_>,
        rows: Ptr<f32>,
        count: usize,
        residual: Option<Residual>,
        codes: PtrMut<u8>,
    ) -> Result<()> {
        let (lists, centroids) = residual.map_or((Ptr::null(), Ptr::null()), |r| (r.lists, r.centroids));
        let (bits, starts, widths) = match self.kind {
            Kind::Fp16 => (16, Ptr::null(), Ptr::null()),
            Kind::Bf16 => (17, Ptr::null(), Ptr::null()),
            Kind::Range { bits, .. } => (bits as u32, self.starts.ptr(), self.widths.ptr()),
            Kind::Direct { signed: true } => (9, Ptr::null(), self.widths.ptr()),
            _ => (9, Ptr::null(), Ptr::null()),
        };
        launchers::sq_encode(
            context.stride(count * self.d.div_ceil(4), 256),
            rows,
            count as i64,
            self.d as u32,
            lists,
            centroids,
            bits,
            starts,
            widths,
            self.code_size as u32,
            codes,
        )
    }
}
