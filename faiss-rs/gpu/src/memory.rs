//! Memory of a GPU and pinned memory of the host, owned; and device addresses as kernels take them.

use std::cell::RefCell;
use std::ffi::c_void;
use std::marker::PhantomData;

use half::{bf16, f16};

use crate::device::DeviceGuard;
use crate::error::{Error, Result, note};
use crate::sys::{self, CopyKind, Stream};

/// A type that device memory may hold: every bit pattern is a value.
pub trait Element: Copy + Default + Send + Sync + 'static {
    /// Its name in kernels.toml.
    const NAME: &'static str;
}

macro_rules! elements {
    ($($ty:ty => $name:literal),*) => { $(impl Element for $ty { const NAME: &'static str = $name; })* };
}
elements!(f32 => "f32", f16 => "f16", bf16 => "bf16", u8 => "u8", u16 => "u16", i32 => "i32", u32 => "u32", i64 => "i64", u64 => "u64");

/// A device address that a kernel reads.
#[repr(transparent)]
pub struct Ptr<T>(*const T);

/// A device address that a kernel writes.
#[repr(transparent)]
pub struct PtrMut<T>(*mut T);

macro_rules! addresses {
    ($($name:ident: $raw:ty, $null:expr;)*) => {$(
        impl<T> Clone for $name<T> { fn clone(&self) -> Self { *self } }
        impl<T> Copy for $name<T> {}
        // SAFETY: an address of device memory means the same on every thread; the host never follows it.
        unsafe impl<T> Send for $name<T> {}
        // SAFETY: as above.
        unsafe impl<T> Sync for $name<T> {}
        impl<T> $name<T> {
            pub fn new(address: $raw) -> Self { $name(address) }
            pub fn null() -> Self { $name($null) }
            pub fn is_null(self) -> bool { self.0.is_null() }
            /// The address `count` elements further; arithmetic only.
            #[must_use]
            pub fn at(self, count: usize) -> Self { $name(self.0.wrapping_add(count)) }
            pub fn raw(self) -> $raw { self.0 }
        }
    )*};
}
addresses! {
    Ptr: *const T, std::ptr::null();
    PtrMut: *mut T, std::ptr::null_mut();
}

impl<T> PtrMut<T> {
    pub fn read(self) -> Ptr<T> {
        Ptr(self.0)
    }
}

/// Where an index keeps its vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i32)]
pub enum MemorySpace {
    #[default]
    Device = 1,
    /// Managed memory, which may exceed the GPU's.
    Unified = 2,
}

/// Device memory of `len` elements, freed when dropped.
pub struct DeviceBuffer<T> {
    address: *mut T,
    len: usize,
    device: i32,
    space: MemorySpace,
}

// SAFETY: device memory belongs to no thread.
unsafe impl<T: Send> Send for DeviceBuffer<T> {}
// SAFETY: the host can't read through it without a copy, which takes the stream's order.
unsafe impl<T: Sync> Sync for DeviceBuffer<T> {}

impl<T: Element> DeviceBuffer<T> {
    /// Memory with undefined contents.
    pub fn new(device: i32, len: usize, space: MemorySpace) -> Result<DeviceBuffer<T>> {
        let mut address: *mut c_void = std::ptr::null_mut();
        if len > 0 {
            let bytes =
                len.checked_mul(size_of::<T>()).ok_or(Error::OutOfMemory { device, bytes: usize::MAX, free: 0 })?;
            let _current = DeviceGuard::new(device)?;
            let runtime = &sys::cuda()?.runtime;
            // SAFETY: the pointer is valid for the call; 1 is cudaMemAttachGlobal.
            let status = unsafe {
                match space {
                    MemorySpace::Device => (runtime.malloc)(&mut address, bytes),
                    MemorySpace::Unified => (runtime.malloc_managed)(&mut address, bytes, 1),
                }
            };
            if status == sys::MEMORY_ALLOCATION {
                let error = runtime.error("cudaMalloc", status); // clears it
                return Err(memory_info(device).map_or(error, |(free, _)| Error::OutOfMemory { device, bytes, free }));
            }
            runtime.check("cudaMalloc", status)?;
        }
        Ok(DeviceBuffer { address: address.cast(), len, device, space })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn device(&self) -> i32 {
        self.device
    }

    pub fn space(&self) -> MemorySpace {
        self.space
    }

    pub fn ptr(&self) -> Ptr<T> {
        Ptr(self.address)
    }

    pub fn ptr_mut(&mut self) -> PtrMut<T> {
        PtrMut(self.address)
    }
}

impl<T> Drop for DeviceBuffer<T> {
    fn drop(&mut self) {
        if self.address.is_null() {
            return;
        }
        if let (Ok(_current), Ok(cuda)) = (DeviceGuard::new(self.device), sys::cuda()) {
            // SAFETY: the address came from cudaMalloc and is freed once; freeing waits for the work that uses it.
            let status = unsafe { (cuda.runtime.free)(self.address.cast()) };
            note(cuda.runtime.check("cudaFree", status));
        }
    }
}

/// Free and total bytes of a GPU.
pub fn memory_info(device: i32) -> Result<(usize, usize)> {
    let _current = DeviceGuard::new(device)?;
    let runtime = &sys::cuda()?.runtime;
    let (mut free, mut total) = (0, 0);
    // SAFETY: both pointers are valid for the call.
    runtime.check("cudaMemGetInfo", unsafe { (runtime.mem_get_info)(&mut free, &mut total) })?;
    Ok((free, total))
}

/// Page-locked host memory: the GPU copies it at full speed, beside other work.
pub struct PinnedBuffer {
    address: *mut u8,
    len: usize,
}

// SAFETY: it is plain host memory with one owner.
unsafe impl Send for PinnedBuffer {}
// SAFETY: a shared reference gives the address only; who follows it sees to it that nobody else does.
unsafe impl Sync for PinnedBuffer {}

impl PinnedBuffer {
    /// Needs a current device.
    pub fn new(len: usize) -> Result<PinnedBuffer> {
        let runtime = &sys::cuda()?.runtime;
        let mut address = std::ptr::null_mut();
        if len > 0 {
            // SAFETY: the pointer is valid for the call; 1 is cudaHostAllocPortable.
            runtime.check("cudaHostAlloc", unsafe { (runtime.host_alloc)(&mut address, len, 1) })?;
        }
        Ok(PinnedBuffer { address: address.cast(), len })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn address(&self) -> *mut u8 {
        self.address
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        if let (false, Ok(cuda)) = (self.address.is_null(), sys::cuda()) {
            // SAFETY: the address came from cudaHostAlloc and is freed once.
            let status = unsafe { (cuda.runtime.free_host)(self.address.cast()) };
            note(cuda.runtime.check("cudaFreeHost", status));
        }
    }
}

/// Copies between any two places in stream order. `target` and `source` hold `count` elements until the copy is done.
pub(crate) fn copy_async<T: Element>(
    target: *mut T,
    source: *const T,
    count: usize,
    kind: CopyKind,
    stream: Stream,
) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let runtime = &sys::cuda()?.runtime;
    // SAFETY: callers in this crate give addresses that they own for `count` elements and wait before they let go.
    let status =
        unsafe { (runtime.memcpy_async)(target.cast(), source.cast(), count * size_of::<T>(), kind as i32, stream) };
    runtime.check("cudaMemcpyAsync", status)
}

/// A piece of a [`TempStack`], given back when dropped.
pub struct Temp<'a, T> {
    stack: &'a TempStack,
    place: Place,
    address: *mut T,
    len: usize,
    _element: PhantomData<T>,
}

enum Place {
    /// Bytes of the stack's block.
    Stack(usize),
    /// Too large for what the stack had left.
    Own(DeviceBuffer<u8>),
}

impl<T: Element> Temp<'_, T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn ptr(&self) -> Ptr<T> {
        Ptr(self.address)
    }

    pub fn ptr_mut(&mut self) -> PtrMut<T> {
        PtrMut(self.address)
    }
}

impl<T> Drop for Temp<'_, T> {
    fn drop(&mut self) {
        self.stack.release(self.address as usize, std::mem::replace(&mut self.place, Place::Stack(0)));
    }
}

/// Temporary device memory of one caller at a time: a block, handed out from its start, in stream order. It begins small and grows
/// between calls to what they needed, up to a limit; what it has no place for is taken from the device until the call ends.
pub struct TempStack {
    device: i32,
    limit: usize,
    block: RefCell<DeviceBuffer<u8>>,
    state: RefCell<StackState>,
}

#[derive(Default)]
struct StackState {
    /// Offset and length of what is handed out, in order of offset; given back pieces below others stay until those go.
    pieces: Vec<(usize, usize, bool)>,
    top: usize,
    /// Bytes beside the block.
    own: usize,
    /// Pieces beside the block that nobody has any more: taking and giving back the device's memory waits for all of its work.
    spare: Vec<DeviceBuffer<u8>>,
    /// The most that was in use at once since the block was made.
    most: usize,
    overflows: usize,
    /// Nothing may be taken from the device.
    fixed: bool,
}

/// Bytes beside the block that are kept until the call ends, at most.
const SPARE: usize = 256 << 20;

/// A block of fewer bytes grows twice as large at least; a larger one by an eighth.
const GROWS_TWICE: usize = 64 << 20;

/// Every piece starts at a multiple of this, which is what cudaMalloc itself promises.
const ALIGNMENT: usize = 256;

impl TempStack {
    /// No memory is taken yet.
    pub fn new(device: i32, limit: usize) -> Result<TempStack> {
        let block = RefCell::new(DeviceBuffer::new(device, 0, MemorySpace::Device)?);
        Ok(TempStack { device, limit: limit.next_multiple_of(ALIGNMENT), block, state: Default::default() })
    }

    /// Bytes that the block may have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes of the block.
    pub fn size(&self) -> usize {
        self.block.borrow().len()
    }

    /// How often a piece was taken from the device since this was asked.
    pub fn take_overflows(&self) -> usize {
        std::mem::take(&mut self.state.borrow_mut().overflows)
    }

    /// Gives back to the device what was taken beside the block. Nothing may be in use.
    pub fn forget_spare(&self) {
        self.state.borrow_mut().spare.clear();
    }

    /// Makes the block as large as what was in use at once, within its limit and `more` bytes beyond what it has. Nothing may be in use.
    pub fn grow(&self, more: usize) {
        let mut state = self.state.borrow_mut();
        let size = self.size();
        if state.most <= size || !state.pieces.is_empty() || state.own > 0 {
            return;
        }
        // Growing by small steps would take the device's memory again and again.
        let step = if size < GROWS_TWICE { size } else { size / 8 };
        let wanted = state.most.max(size + step).next_multiple_of(1 << 20).min(self.limit).min(size + more);
        if wanted <= size {
            return;
        }
        let mut block = self.block.borrow_mut();
        // Both at once may be more than there is.
        if let Ok(none) = DeviceBuffer::new(self.device, 0, MemorySpace::Device) {
            *block = none;
        }
        match DeviceBuffer::new(self.device, wanted, MemorySpace::Device) {
            Ok(larger) => *block = larger,
            // Without a block all is taken from the device.
            Err(_) => state.most = 0,
        }
    }

    /// Does work that gets memory of the block alone, at addresses that stay until it grows.
    pub(crate) fn fixed<R>(&self, work: impl FnOnce() -> R) -> R {
        self.state.borrow_mut().fixed = true;
        let done = work();
        self.state.borrow_mut().fixed = false;
        done
    }

    /// Memory for `len` elements with undefined contents.
    pub fn take<T: Element>(&self, len: usize) -> Result<Temp<'_, T>> {
        let bytes = len
            .checked_mul(size_of::<T>())
            .and_then(|b| b.checked_next_multiple_of(ALIGNMENT))
            .ok_or(Error::OutOfMemory { device: self.device, bytes: usize::MAX, free: 0 })?;
        let mut state = self.state.borrow_mut();
        let size = self.size();
        if bytes > size - state.top {
            if state.fixed {
                return Err(Error::OutOfMemory { device: self.device, bytes, free: size - state.top });
            }
            let own = self.beside(&mut state, bytes)?;
            state.own += own.len();
            state.most = state.most.max(state.top + state.own);
            let address = own.address.cast();
            return Ok(Temp { stack: self, place: Place::Own(own), address, len, _element: PhantomData });
        }
        let offset = state.top;
        state.pieces.push((offset, bytes, true));
        state.top += bytes;
        state.most = state.most.max(state.top + state.own);
        let address = self.block.borrow().address.wrapping_add(offset).cast();
        Ok(Temp { stack: self, place: Place::Stack(bytes), address, len, _element: PhantomData })
    }

    /// A piece of the device's memory, best one that is there and not much larger.
    fn beside(&self, state: &mut StackState, bytes: usize) -> Result<DeviceBuffer<u8>> {
        let fitting =
            state.spare.iter().enumerate().filter(|(_, own)| (bytes..=bytes + bytes / 2).contains(&own.len()));
        if let Some((at, _)) = fitting.min_by_key(|(_, own)| own.len()) {
            return Ok(state.spare.swap_remove(at));
        }
        state.overflows += 1;
        let made = DeviceBuffer::new(self.device, bytes, MemorySpace::Device);
        if matches!(made, Err(Error::OutOfMemory { .. })) && !state.spare.is_empty() {
            state.spare.clear();
            return DeviceBuffer::new(self.device, bytes, MemorySpace::Device);
        }
        made
    }

    fn release(&self, address: usize, place: Place) {
        let mut state = self.state.borrow_mut();
        let bytes = match place {
            Place::Own(own) => {
                state.own -= own.len();
                let kept: usize = state.spare.iter().map(DeviceBuffer::len).sum();
                if kept + own.len() <= SPARE {
                    state.spare.push(own);
                }
                return;
            }
            Place::Stack(bytes) => bytes,
        };
        let offset = address - self.block.borrow().address as usize;
        // Empty pieces share an offset with their neighbour, so the length takes part in the search.
        if let Some(piece) = state.pieces.iter_mut().rev().find(|p| (p.0, p.1, p.2) == (offset, bytes, true)) {
            piece.2 = false;
        }
        while let Some(&(offset, _, false)) = state.pieces.last() {
            state.pieces.pop();
            state.top = offset;
        }
    }
}
