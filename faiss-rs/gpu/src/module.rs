//! Kernel modules: a family's fatbin is loaded into a device at its first launch and stays.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_void};
use std::sync::Arc;
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

thread_local! {
    /// The kernels that this thread's launches put into a recording, while it makes one.
    static RECORDED: RefCell<Option<Vec<usize>>> = const { RefCell::new(None) };
}

/// What `work` gives, whose launches a stream only records, and the kernels in their order.
pub(crate) fn recorded<R>(work: impl FnOnce() -> R) -> (R, Vec<usize>) {
    RECORDED.set(Some(Vec::new()));
    let done = work();
    (done, RECORDED.take().unwrap_or_default())
}

/// Counts launches of these kernels.
pub(crate) fn count(modules: &Modules, kernels: &[usize]) {
    LAUNCHES.fetch_add(kernels.len() as u64, Ordering::Relaxed);
    kernels.iter().for_each(|kernel| {
        modules.functions[*kernel].launches.fetch_add(1, Ordering::Relaxed);
    });
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
        let recorded = RECORDED.with_borrow_mut(|kernels| kernels.as_mut().map(|kernels| kernels.push(entry.index)));
        if recorded.is_none() {
            count(self.modules, &[entry.index]);
        }
        Ok(())
    }
}

/// A kernel of a device, once it is loaded.
#[derive(Default)]
struct Slot {
    function: AtomicPtr<c_void>,
    launches: AtomicU64,
}

/// A family's module, once it is loaded. Its own lock, as the driver may compile it for seconds.
type Family = Arc<Mutex<Option<usize>>>;

static ALL: Mutex<Vec<&'static Modules>> = Mutex::new(Vec::new());

/// The kernels of one device.
pub struct Modules {
    cuda: &'static Cuda,
    device: i32,
    functions: Vec<Slot>,
    loaded: Mutex<HashMap<&'static str, Family>>,
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
        let slot = self.loaded.lock().entry(family).or_default().clone();
        let mut loaded = slot.lock();
        if let Some(module) = *loaded {
            return Ok(module as Module);
        }
        let path = sys::library_dir()?.join("kernels").join(format!("{family}.fatbin"));
        let image = std::fs::read(&path).map_err(|e| Error::KernelFile {
            family,
            path: path.clone(),
            message: e.to_string(),
        })?;
        let image = chosen(image, Images::wanted()?).map_err(|message| Error::KernelFile {
            family,
            path,
            message: message.to_owned(),
        })?;
        let none = || {
            let properties = device_properties(self.device)?;
            let capability = format!("{}.{}", properties.major, properties.minor);
            Err(Error::NoImage { family, device: self.device, capability })
        };
        if image.len() <= CONTAINER_HEADER {
            return none();
        }
        let Some(module) = self.cuda.driver.load(&image)? else { return none() };
        *loaded = Some(module as usize);
        Ok(module)
    }
}

/// Bytes of a fatbin without images.
const CONTAINER_HEADER: usize = 16;

/// Which images of a fatbin are used; the environment's `FAISS_CUDA_IMAGES` says `code` or `ptx` where a test wants one kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Images {
    All,
    Code,
    Ptx,
}

impl Images {
    fn wanted() -> Result<Images> {
        match std::env::var("FAISS_CUDA_IMAGES").as_deref() {
            Err(_) | Ok("") => Ok(Images::All),
            Ok("code") => Ok(Images::Code),
            Ok("ptx") => Ok(Images::Ptx),
            Ok(other) => Err(Error::invalid(format!("FAISS_CUDA_IMAGES is '{other}': it may be 'code' or 'ptx'"))),
        }
    }
}

/// A fatbin with the wanted images alone. The driver trusts the lengths that one states, so a file that was cut short would be read beyond its
/// end: that is refused. (The container: a header, its length at byte 6 and the rest's at 8; then images, each with a header that has its kind, the
/// header's length at byte 4 and the rest's at 8.)
fn chosen(image: Vec<u8>, wanted: Images) -> std::result::Result<Vec<u8>, &'static str> {
    const MAGIC: u64 = 0xba55_ed50;
    const SHORT: &str = "the file is cut short";
    let number = |range: std::ops::Range<usize>| {
        image.get(range).map(|b| b.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)))
    };
    let (Some(magic), Some(header), Some(body)) = (number(0..4), number(6..8), number(8..16)) else {
        return Err(SHORT);
    };
    if magic != MAGIC {
        return Err("the file is no fatbin");
    }
    let end = header.checked_add(body).and_then(|end| usize::try_from(end).ok()).filter(|end| *end <= image.len());
    let end = end.ok_or(SHORT)?;
    if wanted == Images::All {
        return Ok(image);
    }
    let mut at = header as usize;
    let mut kept = image[..at].to_vec();
    while at < end {
        let sizes = number(at + 4..at + 8).zip(number(at + 8..at + 16));
        let next = sizes.and_then(|(header, rest)| header.checked_add(rest)).filter(|size| *size > 0);
        let next = next.and_then(|size| at.checked_add(usize::try_from(size).ok()?)).filter(|next| *next <= end);
        let next = next.ok_or(SHORT)?;
        let kind = if number(at..at + 2) == Some(1) { Images::Ptx } else { Images::Code };
        if kind == wanted {
            kept.extend_from_slice(&image[at..next]);
        }
        at = next;
    }
    let body = (kept.len() as u64).saturating_sub(header);
    kept.get_mut(8..16).ok_or(SHORT)?.copy_from_slice(&body.to_le_bytes());
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_fatbin_is_refused() {
        let mut image = vec![0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0, 8, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(chosen(image[..12].to_vec(), Images::All), Err("the file is cut short"));
        assert_eq!(chosen(image.clone(), Images::All), Err("the file is cut short"));
        image.extend([0; 8]);
        assert_eq!(chosen(image.clone(), Images::All), Ok(image.clone()));
        // Its one image is shorter than a header.
        assert_eq!(chosen(image.clone(), Images::Code), Err("the file is cut short"));
        image[0] = 0x7f;
        assert_eq!(chosen(image, Images::All), Err("the file is no fatbin"));
    }

    #[test]
    fn images_of_one_kind_are_kept() {
        let entry = |kind: u8, rest: u8| {
            let mut entry = vec![kind, 0, 0, 0, 64, 0, 0, 0, rest, 0, 0, 0, 0, 0, 0, 0];
            entry.resize(64 + usize::from(rest), kind);
            entry
        };
        let container = |entries: &[Vec<u8>]| {
            let body = entries.concat();
            let mut image = vec![0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0];
            image.extend((body.len() as u64).to_le_bytes());
            image.extend(body);
            image
        };
        let (ptx, code, more) = (entry(1, 8), entry(2, 16), entry(2, 24));
        let all = container(&[code.clone(), ptx.clone(), more.clone()]);
        assert_eq!(chosen(all.clone(), Images::Code), Ok(container(&[code, more])));
        assert_eq!(chosen(all.clone(), Images::Ptx), Ok(container(&[ptx])));
        assert_eq!(chosen(all.clone(), Images::All), Ok(all));
    }
}
