//! Vectors that live on a GPU and grow: what a flat index keeps.

use half::f16;

use crate::error::{Error, Result};
use crate::given::Input;
use crate::memory::{DeviceBuffer, Element, MemorySpace, Ptr, PtrMut};
use crate::ops::knn::Vectors;
use crate::ops::rows::{self, Rows};
use crate::resources::{Context, Held};
use crate::virtual_memory::VirtualBuffer;

/// A device array that grows by appending: in one piece at first, then in place where the driver can.
pub struct DeviceVec<T> {
    device: i32,
    space: MemorySpace,
    memory: Memory<T>,
    len: usize,
}

enum Memory<T> {
    Piece(DeviceBuffer<T>),
    Growing(VirtualBuffer),
}

/// From so many bytes on, memory grows in place from the start.
const GROWING_FROM: usize = 256 << 20;

impl<T: Element> DeviceVec<T> {
    pub fn new(device: i32, space: MemorySpace) -> Result<DeviceVec<T>> {
        Ok(DeviceVec { device, space, memory: Memory::Piece(DeviceBuffer::new(device, 0, space)?), len: 0 })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn capacity(&self) -> usize {
        match &self.memory {
            Memory::Piece(buffer) => buffer.len(),
            Memory::Growing(buffer) => buffer.bytes() / size_of::<T>(),
        }
    }

    pub fn ptr(&self) -> Ptr<T> {
        match &self.memory {
            Memory::Piece(buffer) => buffer.ptr(),
            Memory::Growing(buffer) => Ptr::new(buffer.address().cast()),
        }
    }

    /// Room for `more` elements past the end, and its address; they count after [`set_len`](Self::set_len).
    pub fn room(&mut self, context: &Context<'_>, more: usize) -> Result<PtrMut<T>> {
        let needed = self.len + more;
        let bytes = needed.checked_mul(size_of::<T>());
        let bytes = bytes.ok_or(Error::OutOfMemory { device: self.device, bytes: usize::MAX, free: 0 })?;
        if needed > self.capacity() {
            match &mut self.memory {
                Memory::Growing(buffer) => buffer.grow(bytes)?,
                Memory::Piece(_) => self.memory = self.larger(context, needed, bytes)?,
            }
        }
        Ok(PtrMut::new(self.ptr().at(self.len).raw().cast_mut()))
    }

    fn larger(&self, context: &Context<'_>, needed: usize, bytes: usize) -> Result<Memory<T>> {
        let in_place = self.space == MemorySpace::Device && (self.len > 0 || bytes >= GROWING_FROM);
        let (memory, at) = match in_place.then(|| VirtualBuffer::new(self.device)).flatten() {
            Some(mut buffer) => {
                buffer.grow(bytes)?;
                let at = PtrMut::new(buffer.address().cast());
                (Memory::Growing(buffer), at)
            }
            None => {
                // The first addition is often the only one; later ones must not copy everything each time.
                let capacity = if self.len == 0 { needed } else { needed.max(self.len + self.len / 2) };
                let mut buffer = DeviceBuffer::new(self.device, capacity, self.space)?;
                let at = buffer.ptr_mut();
                (Memory::Piece(buffer), at)
            }
        };
        context.copy(self.ptr(), at, self.len)?;
        context.sync()?;
        Ok(memory)
    }

    pub fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.capacity());
        self.len = len;
    }
}

enum Store {
    F32(DeviceVec<f32>),
    F16(DeviceVec<f16>),
}

/// Vectors as rows in f32 or f16.
pub struct DeviceVectors {
    d: usize,
    store: Store,
    held: Held,
}

/// Vectors uploaded at once where they have to be converted on the way.
const PAGE_BYTES: usize = 32 << 20;

impl DeviceVectors {
    pub fn new(device: i32, space: MemorySpace, d: usize, half: bool) -> Result<DeviceVectors> {
        let store =
            if half { Store::F16(DeviceVec::new(device, space)?) } else { Store::F32(DeviceVec::new(device, space)?) };
        Ok(DeviceVectors { d, store, held: Held::default() })
    }

    /// Tells from now on how many bytes these are.
    pub fn report_to(&mut self, held: Held) {
        held.set(self.bytes());
        self.held = held;
    }

    pub fn dim(&self) -> usize {
        self.d
    }

    pub fn count(&self) -> usize {
        let numbers = match &self.store {
            Store::F32(v) => v.len(),
            Store::F16(v) => v.len(),
        };
        numbers.checked_div(self.d).unwrap_or(0)
    }

    pub fn rows(&self) -> Rows {
        match &self.store {
            Store::F32(v) => Rows::F32(v.ptr()),
            Store::F16(v) => Rows::F16(v.ptr()),
        }
    }

    pub fn is_half(&self) -> bool {
        matches!(self.store, Store::F16(_))
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> usize {
        match &self.store {
            Store::F32(v) => 4 * v.capacity(),
            Store::F16(v) => 2 * v.capacity(),
        }
    }

    /// All of them, to be searched.
    pub fn view(&self) -> Vectors {
        Vectors { rows: self.rows(), count: self.count(), d: self.d, allowed: None }
    }

    /// Appends vectors. On an error nothing is added.
    pub fn append(&mut self, context: &Context<'_>, x: Input<'_>) -> Result<()> {
        let (before, d) = (self.count(), self.d);
        let added = x.len() / d;
        match &mut self.store {
            Store::F32(v) => {
                let target = v.room(context, x.len())?;
                match x {
                    Input::Host(x) => context.upload_to(x, target)?,
                    Input::Device(at, len) => context.copy(at, target, len)?,
                }
            }
            Store::F16(v) => {
                let target = v.room(context, x.len())?;
                for first in (0..x.len()).step_by(PAGE_BYTES / 4) {
                    let count = (PAGE_BYTES / 4).min(x.len() - first);
                    let (wide, _kept) = x.bring(context, first, count)?;
                    rows::convert(context, wide, target.at(first), count)?;
                }
            }
        }
        context.sync()?;
        match &mut self.store {
            Store::F32(v) => v.set_len((before + added) * d),
            Store::F16(v) => v.set_len((before + added) * d),
        }
        self.held.set(self.bytes());
        Ok(())
    }

    /// Vectors `first..` as f32 on the host, as many as `out` has room for.
    pub fn read(&self, context: &Context<'_>, first: usize, out: &mut [f32]) -> Result<()> {
        let at = first * self.d;
        match &self.store {
            Store::F32(v) => context.download(v.ptr().at(at), out),
            Store::F16(v) => {
                for (i, page) in out.chunks_mut(PAGE_BYTES / 4).enumerate() {
                    let mut wide = context.take(page.len())?;
                    let source = v.ptr().at(at + i * (PAGE_BYTES / 4));
                    rows::convert(context, source, wide.ptr_mut(), page.len())?;
                    context.download(wide.ptr(), page)?;
                }
                Ok(())
            }
        }
    }

    /// Vectors by id.
    pub fn gather(&self, context: &Context<'_>, ids: &[i64], out: &mut [f32]) -> Result<()> {
        let page = (PAGE_BYTES / 4 / self.d).max(1);
        for (ids, out) in ids.chunks(page).zip(out.chunks_mut(page * self.d)) {
            let device_ids = context.upload(ids)?;
            let mut target = context.take(out.len())?;
            rows::gather(context, (self.rows(), self.count()), device_ids.ptr(), target.ptr_mut(), ids.len(), self.d)?;
            context.download(target.ptr(), out)?;
        }
        Ok(())
    }

    /// `residuals[i] = x[i] - vectors[ids[i]]`.
    pub fn residuals(&self, context: &Context<'_>, x: &[f32], ids: &[i64], residuals: &mut [f32]) -> Result<()> {
        let page = (PAGE_BYTES / 4 / self.d).max(1);
        let parts = x.chunks(page * self.d).zip(ids.chunks(page)).zip(residuals.chunks_mut(page * self.d));
        for ((x, ids), out) in parts {
            let (device_x, device_ids) = (context.upload(x)?, context.upload(ids)?);
            let mut target = context.take(out.len())?;
            let from = (self.rows(), self.count());
            rows::residuals(context, from, device_ids.ptr(), device_x.ptr(), target.ptr_mut(), ids.len(), self.d)?;
            context.download(target.ptr(), out)?;
        }
        Ok(())
    }
}

/// An error unless `x` is whole vectors of `d` numbers; how many they are.
pub fn count_vectors(x: &[f32], d: usize) -> Result<usize> {
    if d == 0 || !x.len().is_multiple_of(d) {
        return Err(Error::invalid(format!("{} numbers are no whole vectors of dimension {d}", x.len())));
    }
    Ok(x.len() / d)
}
