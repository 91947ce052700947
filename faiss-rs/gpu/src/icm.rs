//! The passes of the local search quantizer on GPUs: `GpuIcmEncoderFactory`, which `LocalSearchQuantizer.icm_encoder_factory` takes.

use std::sync::Arc;

use faiss_core::base::{Error, Result};
use faiss_core::quantize::additive::icm::{Icm, IcmEncoderFactory, IcmFactory, IcmTables};
use faiss_core::registry::Row;
use faiss_derive::{Object, methods};

use crate::device::check_device;
use crate::launchers;
use crate::memory::{DeviceBuffer, MemorySpace, PtrMut};
use crate::resources::{Context, GpuResources};

/// Lets GPUs encode for a local search quantizer: codes are the CPU's up to the rounding of products.
#[derive(Object, Clone)]
#[object(methods, implements(IcmFactory), copy)]
pub struct GpuIcmEncoderFactory {
    #[object(parent)]
    factory: IcmEncoderFactory,
    /// Number of GPUs, the first ones, that share the vectors.
    pub ngpus: i32,
    #[object(skip)]
    resources: Arc<GpuResources>,
}

pub const ROW: Row = Row::of::<GpuIcmEncoderFactory>();

impl Default for GpuIcmEncoderFactory {
    fn default() -> Self {
        GpuIcmEncoderFactory { factory: IcmEncoderFactory {}, ngpus: 1, resources: Arc::default() }
    }
}

#[methods]
impl GpuIcmEncoderFactory {
    #[new]
    fn of(#[default = 1] ngpus: i32) -> Self {
        GpuIcmEncoderFactory { ngpus, ..Default::default() }
    }
}

impl IcmFactory for GpuIcmEncoderFactory {
    fn encoder<'a>(&self, tables: IcmTables<'a>) -> Result<Box<dyn Icm + 'a>> {
        Error::check(self.ngpus > 0, "ngpus > 0")?;
        let numbers = (tables.M * tables.K) as u64;
        Error::check(numbers < 1 << 32, "M * K < 2^32")?;
        let tables_of = |device| -> Result<OneGpu> {
            check_device(device)?;
            Ok(self.resources.with(device, |context| OneGpu::new(context, &tables))?)
        };
        let gpus = (0..self.ngpus).map(tables_of).collect::<Result<_>>()?;
        Ok(Box::new(OnGpus { tables, resources: self.resources.clone(), gpus }))
    }
}

struct OnGpus<'a> {
    tables: IcmTables<'a>,
    resources: Arc<GpuResources>,
    gpus: Vec<OneGpu>,
}

/// The tables on one GPU.
struct OneGpu {
    device: i32,
    codebooks: DeviceBuffer<f32>,
    pairs: DeviceBuffer<f32>,
    norms: DeviceBuffer<f32>,
}

impl OneGpu {
    fn new(context: &Context<'_>, tables: &IcmTables<'_>) -> crate::Result<Self> {
        let upload = |values: &[f32]| -> crate::Result<DeviceBuffer<f32>> {
            let mut there = DeviceBuffer::new(context.device, values.len(), MemorySpace::Device)?;
            context.upload_to(values, there.ptr_mut())?;
            Ok(there)
        };
        Ok(OneGpu {
            device: context.device,
            codebooks: upload(tables.codebooks)?,
            pairs: upload(tables.pairs)?,
            norms: upload(tables.norms)?,
        })
    }

    /// As many vectors at a time as there is temporary memory for.
    fn descend(
        &self,
        context: &Context<'_>,
        tables: &IcmTables<'_>,
        numbers: &mut [u32],
        x: &[f32],
    ) -> crate::Result<()> {
        let (d, m, total) = (tables.d, tables.M, tables.M * tables.K);
        let page = (context.room / (4 * (d + m + total))).max(1);
        for (numbers, x) in numbers.chunks_mut(page * m).zip(x.chunks(page * d)) {
            crate::error::check_interrupt()?;
            let n = numbers.len() / m;
            let (rows, mut codes) = (context.upload(x)?, context.upload(numbers)?);
            let mut own = context.take::<f32>(n * total)?;
            let at: PtrMut<f32> = own.ptr_mut();
            context.blas.products(context.stream, -2.0, rows.ptr(), n, self.codebooks.ptr(), total, d, at, total)?;
            launchers::icm_descend(
                context.launch(n.div_ceil(8)),
                own.ptr(),
                self.norms.ptr(),
                self.pairs.ptr(),
                codes.ptr_mut(),
                n as i64,
                m as u32,
                tables.K as u32,
                tables.icm_iters as u32,
            )?;
            context.download(codes.ptr(), numbers)?;
        }
        Ok(())
    }
}

impl Icm for OnGpus<'_> {
    fn descend(&mut self, numbers: &mut [u32], x: &[f32]) -> Result<()> {
        let (tables, resources) = (&self.tables, &self.resources);
        let share = (numbers.len() / tables.M).div_ceil(self.gpus.len()).max(1);
        let parts = numbers.chunks_mut(share * tables.M).zip(x.chunks(share * tables.d)).zip(&self.gpus);
        let one = |((numbers, x), gpu): ((&mut [u32], &[f32]), &OneGpu)| -> crate::Result<()> {
            resources.with(gpu.device, |context| gpu.descend(context, tables, numbers, x))
        };
        if self.gpus.len() == 1 {
            parts.into_iter().try_for_each(one)?;
            return Ok(());
        }
        let one = &one;
        std::thread::scope(|scope| {
            let threads: Vec<_> = parts.map(|part| scope.spawn(move || one(part))).collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        Ok(())
    }
}
