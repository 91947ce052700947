//! What work on a GPU needs beside the kernels: settings, the lanes of each device, and a call's hold on one of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::blas::Blas;
use crate::device::{DeviceGuard, DeviceProperties, check_device, device_properties};
use crate::error::{Result, check_noted};
use crate::lanes::{LanePinned, LaneSettings, Lanes, LanesReport};
use crate::memory::{Element, Ptr, PtrMut, Temp, TempStack, copy_async};
use crate::module::{Launch, Modules, modules};
use crate::replay::Recordings;
use crate::staging::Staging;
use crate::sys::{self, CopyKind, Cuda, Stream};

/// Less is no plan: work cut into tiny pages costs more than memory that is taken for a call.
const LEAST_ROOM: usize = 256 << 20;
/// Calls at once up to which recordings are used.
const RECORDED_CALLS: usize = 4;
/// Pinned staging memory unless set otherwise.
pub const DEFAULT_PINNED_MEMORY: usize = 16 << 20;

/// Shared by every index that was made with it. Calls run beside each other, each on a lane of its own.
pub struct GpuResources {
    settings: Mutex<Settings>,
    holdings: Mutex<Vec<Holding>>,
    devices: Mutex<BTreeMap<i32, Arc<Lanes>>>,
}

#[derive(Clone, Debug)]
struct Settings {
    lanes: LaneSettings,
    /// Streams that the user gave, by device; an address of a `cudaStream_t`.
    streams: BTreeMap<i32, usize>,
    null_streams: bool,
}

/// What [`GpuResources::memory_info`] reports of a device.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryInfo {
    pub device: i32,
    /// Bytes of temporary memory that a call plans for.
    pub temp_limit: usize,
    pub lanes: LanesReport,
}

/// What an index keeps on a device, for the report: how many bytes, until it is dropped.
#[derive(Default)]
pub struct Held(Arc<AtomicUsize>);

impl Held {
    pub fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

struct Holding {
    device: i32,
    kind: &'static str,
    bytes: Weak<AtomicUsize>,
}

impl Default for GpuResources {
    fn default() -> Self {
        let settings = Settings {
            lanes: LaneSettings { temp_memory: None, pinned_memory: DEFAULT_PINNED_MEMORY },
            streams: BTreeMap::new(),
            null_streams: false,
        };
        GpuResources { settings: Mutex::new(settings), holdings: Mutex::default(), devices: Mutex::default() }
    }
}

impl GpuResources {
    pub fn set_temp_memory(&self, bytes: usize) {
        self.settings.lock().lanes.temp_memory = Some(bytes);
    }

    pub fn set_pinned_memory(&self, bytes: usize) {
        self.settings.lock().lanes.pinned_memory = bytes;
    }

    /// Work on `device` goes to this stream from now on; it must live as long as these resources or until it is replaced.
    pub fn set_default_stream(&self, device: i32, stream: usize) -> Result<()> {
        check_device(device)?;
        self.settings.lock().streams.insert(device, stream);
        Ok(())
    }

    pub fn revert_default_stream(&self, device: i32) {
        self.settings.lock().streams.remove(&device);
    }

    /// Work on all devices goes to the legacy null stream, in step with everything else.
    pub fn set_default_null_stream_all_devices(&self) {
        self.settings.lock().null_streams = true;
    }

    /// The `cudaStream_t` that work on `device` goes to.
    pub fn default_stream(&self, device: i32) -> Result<usize> {
        self.with(device, |context| Ok(context.stream as usize))
    }

    /// Waits for the work on the current device of the calling thread.
    pub fn sync_default_stream_current_device(&self) -> Result<()> {
        let runtime = &sys::cuda()?.runtime;
        let mut device = 0;
        // SAFETY: the pointer is valid for the call.
        runtime.check("cudaGetDevice", unsafe { (runtime.get_device)(&mut device) })?;
        #[allow(clippy::redundant_closure_for_method_calls, reason = "the method is not general enough over lifetimes")]
        self.with(device, |context| context.sync())
    }

    pub fn temp_memory_available(&self, device: i32) -> Result<usize> {
        let (settings, lanes) = self.lanes(device)?;
        Ok(lanes.temp_limit(&settings.lanes))
    }

    /// Enters something of that kind in the report; `kind` is Faiss's name of it.
    pub fn hold(&self, device: i32, kind: &'static str) -> Held {
        let held = Held::default();
        self.holdings.lock().push(Holding { device, kind, bytes: Arc::downgrade(&held.0) });
        held
    }

    /// What indexes keep: for each device and kind how many pieces and bytes.
    pub fn holdings(&self) -> BTreeMap<(i32, &'static str), (usize, usize)> {
        let mut holdings = self.holdings.lock();
        holdings.retain(|holding| holding.bytes.strong_count() > 0);
        let mut sums = BTreeMap::new();
        for holding in &*holdings {
            let bytes = holding.bytes.upgrade().map_or(0, |bytes| bytes.load(Ordering::Relaxed));
            if bytes > 0 {
                let sum: &mut (usize, usize) = sums.entry((holding.device, holding.kind)).or_default();
                *sum = (sum.0 + 1, sum.1 + bytes);
            }
        }
        sums
    }

    /// Memory held on every device that was used.
    pub fn memory_info(&self) -> Vec<MemoryInfo> {
        let settings = self.settings.lock().lanes;
        let devices = self.devices.lock();
        let info = devices.iter().map(|(&device, lanes)| MemoryInfo {
            device,
            temp_limit: lanes.temp_limit(&settings),
            lanes: lanes.report(),
        });
        info.collect()
    }

    /// The settings as they are now, and the lanes of a device.
    fn lanes(&self, device: i32) -> Result<(Settings, Arc<Lanes>)> {
        let _current = DeviceGuard::new(device)?;
        let settings = self.settings.lock().clone();
        let lanes = match self.devices.lock().entry(device) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.get().clone(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Arc::new(Lanes::new(device)?)).clone(),
        };
        Ok((settings, lanes))
    }

    /// Does work on a device and waits for its stream, so that host memory and temporaries that it used are free again. Calls of
    /// several threads run beside each other.
    pub fn with<R>(&self, device: i32, work: impl FnOnce(&Context<'_>) -> Result<R>) -> Result<R> {
        self.with_on(device, None, work)
    }

    /// As [`with`](Self::with), on a given `cudaStream_t` of the device where there is one.
    pub fn with_on<R>(
        &self,
        device: i32,
        stream: Option<usize>,
        work: impl FnOnce(&Context<'_>) -> Result<R>,
    ) -> Result<R> {
        let _current = DeviceGuard::new(device)?;
        check_noted()?;
        let (settings, lanes) = self.lanes(device)?;
        let staging = lanes.staging(&settings.lanes)?;
        let taken = lanes.take(settings.lanes)?;
        let lane = taken.lane();
        let stream = match stream.as_ref().or(settings.streams.get(&device)) {
            Some(stream) => *stream as Stream,
            None if settings.null_streams => std::ptr::null_mut(),
            None => lane.stream.raw(),
        };
        let context = Context {
            cuda: sys::cuda()?,
            device,
            stream,
            modules: modules(device)?,
            properties: device_properties(device)?,
            temp: &lane.temp,
            room: lane.temp.limit().max(LEAST_ROOM),
            blas: &lane.blas,
            pinned: lane.pinned.as_ref(),
            // Others' streams may be in the middle of something; many threads wait longer for launches of graphs than for those of kernels.
            recordings: (stream == lane.stream.raw() && taken.calls <= RECORDED_CALLS).then_some(&lane.recordings),
            staging: staging.as_deref(),
        };
        let result = work(&context);
        let done = context.sync();
        let value = result?;
        done.map(|()| value)
    }
}

/// One call's hold on a device: the stream, handle and memory that it may use until it ends.
pub struct Context<'a> {
    pub cuda: &'static Cuda,
    pub device: i32,
    pub stream: Stream,
    pub modules: &'static Modules,
    pub properties: &'static DeviceProperties,
    pub temp: &'a TempStack,
    /// Bytes of temporary memory that a call plans its pages for; what the stack has no place for is taken from the device.
    pub room: usize,
    pub blas: &'a Blas,
    pub(crate) pinned: Option<&'a LanePinned>,
    pub(crate) recordings: Option<&'a Recordings>,
    pub(crate) staging: Option<&'a Staging>,
}

impl Context<'_> {
    /// Temporary memory with undefined contents.
    pub fn take<T: Element>(&self, len: usize) -> Result<Temp<'_, T>> {
        self.temp.take(len)
    }

    /// A launch of as many blocks; the kernel sets their threads.
    pub fn launch(&self, blocks: usize) -> Launch<'static> {
        Launch { modules: self.modules, stream: self.stream, blocks: blocks as u64, shared: 0 }
    }

    /// A launch whose threads stride over `items`, `per_block` a block and round: enough blocks to fill the GPU, no more.
    pub fn stride(&self, items: usize, per_block: usize) -> Launch<'static> {
        self.launch(items.div_ceil(per_block).min(self.properties.multiprocessors as usize * 16))
    }

    /// Copies from the host, which may reuse `source` when this returns.
    pub fn upload_to<T: Element>(&self, source: &[T], target: PtrMut<T>) -> Result<()> {
        if let Some(staging) = self.staging
            && staging.upload(self, source, target)?
        {
            return Ok(());
        }
        match self.pinned {
            Some(pinned) => pinned.upload(source, target, self.stream),
            None => {
                copy_async(target.raw(), source.as_ptr(), source.len(), CopyKind::HostToDevice, self.stream)?;
                self.sync()
            }
        }
    }

    /// Copies from the host into temporary memory.
    pub fn upload<T: Element>(&self, source: &[T]) -> Result<Temp<'_, T>> {
        let mut temp = self.take(source.len())?;
        self.upload_to(source, temp.ptr_mut())?;
        Ok(temp)
    }

    /// Copies to the host and waits for it.
    pub fn download<T: Element>(&self, source: Ptr<T>, target: &mut [T]) -> Result<()> {
        self.download_both((source, target), (Ptr::<T>::null(), &mut []))
    }

    /// Copies two arrays to the host and waits for both at once.
    pub fn download_both<A: Element, B: Element>(
        &self,
        (first, to_first): (Ptr<A>, &mut [A]),
        (second, to_second): (Ptr<B>, &mut [B]),
    ) -> Result<()> {
        if let Some(pinned) = self.pinned
            && pinned.download((first, &mut *to_first), (second, &mut *to_second), self.stream, || self.sync())?
        {
            return Ok(());
        }
        self.download_large(first, to_first)?;
        self.download_large(second, to_second)
    }

    fn download_large<T: Element>(&self, source: Ptr<T>, target: &mut [T]) -> Result<()> {
        if let Some(staging) = self.staging
            && staging.download(self, source, target)?
        {
            return Ok(());
        }
        copy_async(target.as_mut_ptr(), source.raw(), target.len(), CopyKind::DeviceToHost, self.stream)?;
        self.sync()
    }

    /// Copies within the device.
    pub fn copy<T: Element>(&self, source: Ptr<T>, target: PtrMut<T>, count: usize) -> Result<()> {
        copy_async(target.raw(), source.raw(), count, CopyKind::DeviceToDevice, self.stream)
    }

    /// Waits for this call's stream; other work on the device goes on.
    pub fn sync(&self) -> Result<()> {
        // SAFETY: the stream lives as long as the resources.
        let status = unsafe { (self.cuda.runtime.stream_synchronize)(self.stream) };
        self.cuda.runtime.check("cudaStreamSynchronize", status)
    }
}
