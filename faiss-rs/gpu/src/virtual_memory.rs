//! Device memory that grows in place: a range of addresses is reserved, and memory is put behind its beginning piece by piece, so that
//! growth neither copies nor needs both sizes at once. Where the driver has it; the functions are those of CUDA's virtual memory.

use crate::device::{DeviceGuard, device_properties};
use crate::error::{Error, Result, note};
use crate::memory::memory_info;
use crate::sys::{self, AccessDescription, AllocationProperties, MEMORY_ALLOCATION, VirtualMemory};

/// A reserved range, of which the first part has memory.
pub(crate) struct VirtualBuffer {
    functions: &'static VirtualMemory,
    device: i32,
    base: u64,
    reserved: usize,
    granularity: usize,
    /// Handles of the pieces and their bytes, in order.
    pieces: Vec<(u64, usize)>,
    bytes: usize,
}

impl VirtualBuffer {
    /// An empty one, with addresses for as much as the device has; nothing where the driver lacks the means.
    pub fn new(device: i32) -> Option<VirtualBuffer> {
        let functions = sys::cuda().ok()?.driver.virtual_memory.as_ref()?;
        let _current = DeviceGuard::new(device).ok()?;
        let properties = AllocationProperties::on(device);
        let (mut granularity, mut base) = (0, 0);
        // SAFETY: all pointers are valid for the call; 0 asks for the least granularity.
        let status = unsafe { (functions.get_granularity)(&mut granularity, &properties, 0) };
        if status != 0 || granularity == 0 {
            return None;
        }
        let reserved = device_properties(device).ok()?.total_memory.next_multiple_of(granularity);
        // SAFETY: as above; no address or alignment is wished for.
        let status = unsafe { (functions.reserve)(&mut base, reserved, 0, 0, 0) };
        (status == 0).then_some(VirtualBuffer {
            functions,
            device,
            base,
            reserved,
            granularity,
            pieces: Vec::new(),
            bytes: 0,
        })
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn address(&self) -> *mut u8 {
        self.base as *mut u8
    }

    /// Puts memory behind the first `bytes` addresses. What is there stays where it is; on an error nothing changes.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let more = (bytes - self.bytes).next_multiple_of(self.granularity);
        let _current = DeviceGuard::new(self.device)?;
        let out_of_memory = |free| Error::OutOfMemory { device: self.device, bytes: more, free };
        if self.bytes + more > self.reserved {
            return Err(out_of_memory(memory_info(self.device)?.0));
        }
        let driver = &sys::cuda()?.driver;
        let (properties, mut handle) = (AllocationProperties::on(self.device), 0);
        // SAFETY: the pointers are valid for the call.
        let status = unsafe { (self.functions.create)(&mut handle, more, &properties, 0) };
        if status == MEMORY_ALLOCATION {
            return Err(out_of_memory(memory_info(self.device)?.0));
        }
        driver.check("cuMemCreate", status)?;
        let at = self.base + self.bytes as u64;
        // SAFETY: the addresses are reserved, and nothing is behind them yet.
        let status = unsafe { (self.functions.map)(at, more, 0, handle, 0) };
        if let Err(error) = driver.check("cuMemMap", status) {
            // SAFETY: the handle was made above and nothing uses it.
            unsafe { (self.functions.release)(handle) };
            return Err(error);
        }
        let access = AccessDescription::read_write(self.device);
        // SAFETY: the addresses have memory now; the pointer is valid for the call.
        let status = unsafe { (self.functions.set_access)(at, more, &access, 1) };
        if let Err(error) = driver.check("cuMemSetAccess", status) {
            // SAFETY: mapped above, and nobody knows of it.
            unsafe {
                (self.functions.unmap)(at, more);
                (self.functions.release)(handle);
            }
            return Err(error);
        }
        self.pieces.push((handle, more));
        self.bytes += more;
        Ok(())
    }
}

impl Drop for VirtualBuffer {
    fn drop(&mut self) {
        let (Ok(_current), Ok(cuda)) = (DeviceGuard::new(self.device), sys::cuda()) else { return };
        let check = |call, status| {
            note(cuda.driver.check(call, status));
        };
        let mut at = self.base;
        // SAFETY: every call that used the memory has waited for its stream; the pieces and the range are this buffer's alone.
        unsafe {
            for (handle, bytes) in &self.pieces {
                check("cuMemUnmap", (self.functions.unmap)(at, *bytes));
                check("cuMemRelease", (self.functions.release)(*handle));
                at += *bytes as u64;
            }
            check("cuMemAddressFree", (self.functions.free)(self.base, self.reserved));
        }
    }
}
