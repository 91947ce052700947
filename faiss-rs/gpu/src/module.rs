//! Kernel modules: a family's fatbin is loaded into a device at its first launch and stays.

use std::collections::HashMap;
use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::device::{check_device, device_properties};
use crate::error::{Error, Result};
use crate::launchers;
use crate::sys::{self, Cuda, Function, Module, Stream};

static LAUNCHES: AtomicU64 = AtomicU64::new(0);

/// How many kernels of this crate were launched in this process.
pub fn launch_count() -> u64 {
    LAUNCHES.load(Ordering::Relaxed)
}

/// What is known of a kernel that was launched.
#[derive(Clone, Debug)]
pub struct KernelLaunches {
    pub device: i32,
    pub kernel: &'static str,
    pub launches: u64,
    /// The architectures of its machine code and of the PTX behind it, as 90 for 9.0: they differ where the driver compiled PTX.
    pub code: i32,
    pub ptx: i32,
}

/// How often each kernel was launched on each device, and what image it came from.
pub fn launches() -> Result<Vec<KernelLaunches>> {
    let mut all = Vec::new();
    for modules in ALL.lock().iter() {
        for (entry, slot) in launchers::KERNELS.iter().zip(&modules.functions) {
            let (function, launches) = (slot.function.load(Ordering::Acquire), slot.launches.load(Ordering::Relaxed));
            if !function.is_null() {
                let (code, ptx) = modules.cuda.driver.image(function)?;
                let kernel = entry.symbol.to_str().unwrap_or_default();
                all.push(KernelLaunches { device: modules.device, kernel, launches, code, ptx });
            }
        }
    }
    Ok(all)
}

/// One kernel instance, as generated from kernels.toml.
pub struct Entry {
    pub family: &'static str,
    pub symbol: &'static CStr,
    pub threads: u32,
    /// Its place among all instances.
    pub index: usize,
}

/// Where and how large a launch is. The device is the calling thread's current one.
#[derive(Clone, Copy)]
pub struct Launch<'a> {
    pub modules: &'a Modules,
    pub stream: Stream,
    pub blocks: u64,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
}

impl Launch<'_> {
    /// Launches an instance; nothing for no blocks.
    ///
    /// # Safety
    /// `arguments` points to values of the number and types that the kernel takes.
    pub unsafe fn run(self, entry: &Entry, arguments: &mut [*mut c_void]) -> Result<()> {
        if self.blocks == 0 {
            return Ok(());
        }
        let blocks = u32::try_from(self.blocks).ok().filter(|b| *b < 1 << 31);
        let blocks =
            blocks.ok_or_else(|| Error::invalid(format!("a launch of {} blocks is too large", self.blocks)))?;
        let function = self.modules.function(entry)?;
        let driver = &self.modules.cuda.driver;
        // SAFETY: the function is of the current device's module, and the caller vouches for the arguments.
        let status = unsafe {
            (driver.launch_kernel)(
                function,
                blocks,
                1,
                1,
                entry.threads,
                1,
                1,
                self.shared,
                self.stream,
                arguments.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        driver.check("cuLaunchKernel", status)?;
        LAUNCHES.fetch_add(1, Ordering::Relaxed);
        self.modules.functions[entry.index].launches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A kernel of a device, once it is loaded.
#[derive(Default)]
struct Slot {
    function: AtomicPtr<c_void>,
    launches: AtomicU64,
}

static ALL: Mutex<Vec<&'static Modules>> = Mutex::new(Vec::new());

/// The kernels of one device.
pub struct Modules {
    cuda: &'static Cuda,
    device: i32,
    functions: Vec<Slot>,
    loaded: Mutex<HashMap<&'static str, usize>>,
}

/// The kernels of a device, shared by everything in this process.
pub fn modules(device: i32) -> Result<&'static Modules> {
    let cuda = check_device(device)?;
    let mut all = ALL.lock();
    if let Some(modules) = all.iter().find(|m| m.device == device) {
        return Ok(modules);
    }
    let functions = launchers::KERNELS.iter().map(|_| Slot::default()).collect();
    let modules = Box::leak(Box::new(Modules { cuda, device, functions, loaded: Mutex::default() }));
    all.push(modules);
    Ok(modules)
}

impl Modules {
    fn function(&self, entry: &Entry) -> Result<Function> {
        let slot = &self.functions[entry.index].function;
        let known = slot.load(Ordering::Acquire);
        if !known.is_null() {
            return Ok(known);
        }
        let module = self.module(entry.family)?;
        let driver = &self.cuda.driver;
        let mut function = std::ptr::null_mut();
        // SAFETY: the module is loaded and never unloaded; the symbol ends in NUL.
        let status = unsafe { (driver.module_get_function)(&mut function, module, entry.symbol.as_ptr()) };
        driver.check("cuModuleGetFunction", status)?;
        // Once for all launches: an attribute of the function, set for one, would hold for those of other threads, too.
        driver.allow_shared(function, device_properties(self.device)?.shared_bytes)?;
        slot.store(function, Ordering::Release);
        Ok(function)
    }

    fn module(&self, family: &'static str) -> Result<Module> {
        let mut loaded = self.loaded.lock();
        if let Some(module) = loaded.get(family) {
            return Ok(*module as Module);
        }
        let path = sys::library_dir()?.join("kernels").join(format!("{family}.fatbin"));
        let image = std::fs::read(&path).map_err(|e| Error::KernelFile {
            family,
            path: path.clone(),
            message: e.to_string(),
        })?;
        check_fatbin(&image).map_err(|message| Error::KernelFile { family, path, message: message.to_owned() })?;
        let mut module = std::ptr::null_mut();
        // SAFETY: the image is a fatbin of the wheel and lives through the call, which copies it.
        let status = unsafe { (self.cuda.driver.module_load_data)(&mut module, image.as_ptr().cast()) };
        if status == sys::NO_BINARY_FOR_GPU {
            let properties = device_properties(self.device)?;
            let capability = format!("{}.{}", properties.major, properties.minor);
            return Err(Error::NoImage { family, device: self.device, capability });
        }
        self.cuda.driver.check("cuModuleLoadData", status)?;
        loaded.insert(family, module as usize);
        Ok(module)
    }
}

/// The driver trusts the length that a fatbin states, so a file that was cut short would be read beyond its end.
fn check_fatbin(image: &[u8]) -> std::result::Result<(), &'static str> {
    const MAGIC: u32 = 0xba55_ed50;
    let number = |range: std::ops::Range<usize>| {
        image.get(range).map(|b| b.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)))
    };
    let (Some(magic), Some(header), Some(body)) = (number(0..4), number(6..8), number(8..16)) else {
        return Err("the file is cut short");
    };
    if magic != u64::from(MAGIC) {
        return Err("the file is no fatbin");
    }
    if header.checked_add(body).is_none_or(|length| length > image.len() as u64) {
        return Err("the file is cut short");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_fatbin_is_refused() {
        let mut image = vec![0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0, 8, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(check_fatbin(&image[..12]), Err("the file is cut short"));
        assert_eq!(check_fatbin(&image), Err("the file is cut short"));
        image.extend([0; 8]);
        assert_eq!(check_fatbin(&image), Ok(()));
        image[0] = 0x7f;
        assert_eq!(check_fatbin(&image), Err("the file is no fatbin"));
    }
}
