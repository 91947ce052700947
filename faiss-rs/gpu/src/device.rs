//! The GPUs of this machine.

use std::ffi::CStr;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::sys::{self, Attribute, Cuda};

/// How many GPUs can be used: 0 also where the driver or the GPU part is missing, which [`check_gpus`] tells apart.
pub fn get_num_gpus() -> usize {
    check_gpus().unwrap_or(0)
}

/// How many GPUs can be used, or why none can.
pub fn check_gpus() -> Result<usize> {
    Ok(sys::cuda()?.device_count as usize)
}

/// What a chooser of kernels, or a user, wants to know of a GPU.
#[derive(Clone, Debug)]
pub struct DeviceProperties {
    pub name: String,
    pub major: i32,
    pub minor: i32,
    pub total_memory: usize,
    pub multiprocessors: u32,
    pub l2_bytes: usize,
    /// The most shared memory that a block may ask for.
    pub shared_bytes: usize,
}

/// The properties of GPU `device`; asked for once.
pub fn device_properties(device: i32) -> Result<&'static DeviceProperties> {
    static ALL: OnceLock<Vec<OnceLock<DeviceProperties>>> = OnceLock::new();
    let cuda = check_device(device)?;
    let slot = &ALL.get_or_init(|| (0..cuda.device_count).map(|_| OnceLock::new()).collect())[device as usize];
    if let Some(properties) = slot.get() {
        return Ok(properties);
    }
    let attribute = |attribute: Attribute| -> Result<usize> {
        let mut value = 0;
        // SAFETY: the pointer is valid for the call.
        let status = unsafe { (cuda.runtime.device_get_attribute)(&mut value, attribute as i32, device) };
        cuda.runtime.check("cudaDeviceGetAttribute", status)?;
        Ok(value as usize)
    };
    let mut name = [0u8; 256];
    let mut total_memory = 0;
    // SAFETY: the driver writes at most the given length, with its NUL, and one number.
    unsafe {
        let status = (cuda.driver.device_get_name)(name.as_mut_ptr().cast(), name.len() as i32, device);
        cuda.driver.check("cuDeviceGetName", status)?;
        cuda.driver.check("cuDeviceTotalMem", (cuda.driver.device_total_mem)(&mut total_memory, device))?;
    }
    let properties = DeviceProperties {
        name: CStr::from_bytes_until_nul(&name).unwrap_or_default().to_string_lossy().into_owned(),
        major: attribute(Attribute::Major)? as i32,
        minor: attribute(Attribute::Minor)? as i32,
        total_memory,
        multiprocessors: attribute(Attribute::MultiprocessorCount)? as u32,
        l2_bytes: attribute(Attribute::L2CacheSize)?,
        shared_bytes: attribute(Attribute::SharedMemoryOptin)?,
    };
    Ok(slot.get_or_init(|| properties))
}

/// CUDA, if `device` is one of its devices.
pub fn check_device(device: i32) -> Result<&'static Cuda> {
    let cuda = sys::cuda()?;
    if (0..cuda.device_count).contains(&device) {
        Ok(cuda)
    } else {
        Err(Error::NoSuchDevice { device, count: cuda.device_count })
    }
}

/// Makes a device the calling thread's current one, and the former one again when dropped: torch and others rely on it.
pub struct DeviceGuard {
    cuda: &'static Cuda,
    former: i32,
}

impl DeviceGuard {
    pub fn new(device: i32) -> Result<DeviceGuard> {
        let cuda = check_device(device)?;
        let mut former = 0;
        // SAFETY: the pointer is valid for the call.
        cuda.runtime.check("cudaGetDevice", unsafe { (cuda.runtime.get_device)(&mut former) })?;
        // Before 12.0 cudaSetDevice alone makes no context, and the driver's calls want one; freeing null makes it.
        // SAFETY: both calls take any value.
        unsafe {
            cuda.runtime.check("cudaSetDevice", (cuda.runtime.set_device)(device))?;
            cuda.runtime.check("cudaFree", (cuda.runtime.free)(std::ptr::null_mut()))?;
        }
        Ok(DeviceGuard { cuda, former })
    }
}

impl Drop for DeviceGuard {
    fn drop(&mut self) {
        // SAFETY: the call takes any value; its failure leaves the device as it is.
        unsafe { (self.cuda.runtime.set_device)(self.former) };
    }
}
