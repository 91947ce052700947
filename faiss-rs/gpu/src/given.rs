//! What a call is given and where its results go: memory of the host, or of the index's GPU, which needs no copy.

use std::borrow::Cow;
use std::ffi::c_void;

use faiss_core::base::{Error as CoreError, threads};

use crate::error::{Error, Result};
use crate::memory::{Ptr, PtrMut, Temp};
use crate::resources::{Context, GpuResources};
use crate::sys::{self, PointerAttributes};

/// Rows of f32.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    Host(&'a [f32]),
    /// So many numbers at an address of the device.
    Device(Ptr<f32>, usize),
}

impl<'a> Input<'a> {
    pub fn len(&self) -> usize {
        match self {
            Input::Host(x) => x.len(),
            Input::Device(_, len) => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of vectors of `d` numbers.
    pub fn rows(&self, d: usize) -> faiss_core::base::Result<usize> {
        let whole = self.len().checked_rem(d).is_none_or(|rest| rest == 0) && (d > 0 || self.is_empty());
        CoreError::check(whole, "x.size() % d == 0")?;
        Ok(self.len().checked_div(d).unwrap_or(0))
    }

    /// `count` numbers from `first` on, on the device.
    pub fn bring<'b>(
        &self,
        context: &'b Context<'_>,
        first: usize,
        count: usize,
    ) -> Result<(Ptr<f32>, Option<Temp<'b, f32>>)> {
        match self {
            Input::Host(x) => {
                let temp = context.upload(&x[first..first + count])?;
                Ok((temp.ptr(), Some(temp)))
            }
            Input::Device(at, _) => Ok((at.at(first), None)),
        }
    }

    /// All of it on the host.
    pub fn on_host(&self, context: &Context<'_>) -> Result<Cow<'a, [f32]>> {
        match self {
            Input::Host(x) => Ok(Cow::Borrowed(x)),
            Input::Device(at, len) => {
                let mut x = vec![0f32; *len];
                context.download(*at, &mut x)?;
                Ok(Cow::Owned(x))
            }
        }
    }
}

/// Distances and labels.
pub enum Output<'a> {
    Host(&'a mut [f32], &'a mut [i64]),
    /// Addresses of the device, and for how many of each there is room.
    Device(PtrMut<f32>, PtrMut<i64>, usize),
}

impl Output<'_> {
    /// Results that there is room for.
    pub fn room(&self) -> usize {
        match self {
            Output::Host(distances, labels) => distances.len().min(labels.len()),
            Output::Device(_, _, len) => *len,
        }
    }

    /// Does work while threads let the system make the memory of `count` results from `first` on: that of new arrays has no pages yet, and making
    /// them takes longer than the copy.
    pub fn while_made<R>(&mut self, first: usize, count: usize, work: impl FnOnce() -> R) -> R {
        let Output::Host(distances, labels) = self else { return work() };
        if count < MADE_FROM || threads::available() < 4 {
            return work();
        }
        let (distances, labels) = (&mut distances[first..first + count], &mut labels[first..first + count]);
        std::thread::scope(|scope| {
            scope.spawn(|| touch(distances));
            labels.chunks_mut(count.div_ceil(2)).for_each(|part| {
                scope.spawn(|| touch(part));
            });
            work()
        })
    }

    /// Takes `count` results of the device as those from `first` on; waits where they go to the host.
    pub fn put(
        &mut self,
        context: &Context<'_>,
        first: usize,
        count: usize,
        values: Ptr<f32>,
        ids: Ptr<i64>,
    ) -> Result<()> {
        match self {
            Output::Host(distances, labels) => {
                let own = first..first + count;
                context.download_both((values, &mut distances[own.clone()]), (ids, &mut labels[own]))
            }
            Output::Device(distances, labels, _) => {
                context.copy(values, distances.at(first), count)?;
                context.copy(ids, labels.at(first), count)
            }
        }
    }

    /// The same for results of the host.
    pub fn put_host(&mut self, context: &Context<'_>, values: &[f32], ids: &[i64]) -> Result<()> {
        match self {
            Output::Host(distances, labels) => {
                distances.copy_from_slice(values);
                labels.copy_from_slice(ids);
                Ok(())
            }
            Output::Device(distances, labels, _) => {
                context.upload_to(values, *distances)?;
                context.upload_to(ids, *labels)
            }
        }
    }
}

/// Fewer results are not worth the threads.
const MADE_FROM: usize = 1 << 18;

/// Writes to every page of memory whose contents do not matter.
fn touch<T: Default>(memory: &mut [T]) {
    memory.iter_mut().step_by(4096 / size_of::<T>()).for_each(|place| *place = T::default());
}

/// An error where an address is no memory of the call's device.
pub fn check_address(context: &Context<'_>, address: usize) -> Result<()> {
    let runtime = &sys::cuda()?.runtime;
    let mut attributes = PointerAttributes::default();
    // SAFETY: the struct is at least as large as any major's; any address may be asked about.
    let status = unsafe { (runtime.pointer_get_attributes)(&mut attributes, address as *const c_void) };
    runtime.check("cudaPointerGetAttributes", status)?;
    match attributes.kind {
        3 => Ok(()),
        2 if attributes.device == context.device => Ok(()),
        2 => Err(Error::invalid(format!(
            "an array is on GPU {}, the index on GPU {}: move one of them",
            attributes.device, context.device
        ))),
        _ => Err(Error::invalid("an array that should be on a GPU is not")),
    }
}

/// Copies memory of any GPU to the host, in order with the legacy default stream of that GPU.
pub fn read(address: usize, target: &mut [u8]) -> Result<()> {
    const LEGACY_STREAM: usize = 1;
    let runtime = &sys::cuda()?.runtime;
    let mut attributes = PointerAttributes::default();
    // SAFETY: the struct is at least as large as any major's; any address may be asked about.
    let status = unsafe { (runtime.pointer_get_attributes)(&mut attributes, address as *const c_void) };
    runtime.check("cudaPointerGetAttributes", status)?;
    if !matches!(attributes.kind, 2 | 3) {
        return Err(Error::invalid("an array that should be on a GPU is not"));
    }
    let resources = GpuResources::default();
    resources.with_on(attributes.device, Some(LEGACY_STREAM), |context| {
        context.download(Ptr::new(address as *const u8), target)
    })
}
