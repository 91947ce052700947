//! The GPUs of this machine.

use std::ffi::CStr;
use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::sys::{self, Attribute, Cuda, CudaContext};

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

impl DeviceProperties {
    /// The compute capability, as (9, 0): what [`launchers::available`](crate::launchers::available) wants to know.
    pub fn capability(&self) -> (i32, i32) {
        (self.major, self.minor)
    }
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

/// The context that the CUDA runtime uses for a device, made when it is first asked for; none for other devices.
fn primary_context(cuda: &'static Cuda, device: i32) -> Result<CudaContext> {
    static ALL: OnceLock<Vec<Mutex<usize>>> = OnceLock::new();
    let all = ALL.get_or_init(|| (0..cuda.device_count).map(|_| Mutex::default()).collect());
    let mut known = all[device as usize].lock();
    if *known == 0 {
        let mut context = std::ptr::null_mut();
        // SAFETY: the pointer is valid for the call; the context is kept for the process's life.
        let status = unsafe { (cuda.driver.primary_context_retain)(&mut context, device) };
        cuda.driver.check("cuDevicePrimaryCtxRetain", status)?;
        *known = context as usize;
    }
    Ok(*known as CudaContext)
}

/// Makes a device the calling thread's current one, and what was current before again when dropped: torch and others rely on it. A
/// thread that had no device has none again, and no device but this one gets a context.
pub struct DeviceGuard {
    cuda: &'static Cuda,
    /// What is to be made current again, if it is another.
    former: Option<CudaContext>,
}

impl DeviceGuard {
    pub fn new(device: i32) -> Result<DeviceGuard> {
        let cuda = check_device(device)?;
        let context = primary_context(cuda, device)?;
        let mut former = std::ptr::null_mut();
        // SAFETY: the pointer is valid for the call.
        cuda.driver.check("cuCtxGetCurrent", unsafe { (cuda.driver.context_get_current)(&mut former) })?;
        if former == context {
            return Ok(DeviceGuard { cuda, former: None });
        }
        // SAFETY: the context lives as long as the process.
        cuda.driver.check("cuCtxSetCurrent", unsafe { (cuda.driver.context_set_current)(context) })?;
        Ok(DeviceGuard { cuda, former: Some(former) })
    }
}

impl Drop for DeviceGuard {
    fn drop(&mut self) {
        if let Some(former) = self.former {
            // SAFETY: it was current when the guard was made; a failure leaves the context as it is.
            unsafe { (self.cuda.driver.context_set_current)(former) };
        }
    }
}
