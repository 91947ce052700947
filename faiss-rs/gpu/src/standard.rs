//! `StandardGpuResources`: the resources as users of Faiss hold them.

use std::sync::Arc;

use faiss_core::base::{Error, Object, Result, Shared, Value, object};
use faiss_core::factory::ParameterSpace;
use faiss_core::registry::Row;
use faiss_derive::{Object, methods};

use crate::resources::GpuResources;

/// Gives indexes their resources.
#[derive(Object, Clone, Default)]
#[object(abstract)]
pub struct GpuResourcesProvider {
    resources: Arc<GpuResources>,
}

pub const PROVIDER: Row = Row::of::<GpuResourcesProvider>();

/// Sets parameters of indexes by name, those on GPUs and those made of several included.
#[derive(Object, Clone, Default)]
#[object(methods)]
pub struct GpuParameterSpace {
    #[object(parent)]
    space: ParameterSpace,
}

pub const PARAMETER_SPACE: Row = Row::of::<GpuParameterSpace>();

#[methods(new)]
impl GpuParameterSpace {}

/// Streams, cuBLAS handles, pinned and temporary memory of every GPU that is used with it. Indexes share and keep them.
///
/// Once a process is enough; as many indexes as one likes, on all GPUs.
#[derive(Object, Clone, Default)]
#[object(methods)]
pub struct StandardGpuResources {
    #[object(parent)]
    provider: GpuResourcesProvider,
}

pub const ROW: Row = Row::of::<StandardGpuResources>();

impl GpuResourcesProvider {
    pub fn resources(&self) -> &Arc<GpuResources> {
        &self.resources
    }
}

#[methods(new)]
impl StandardGpuResources {
    /// Bytes of temporary memory on each GPU, taken at its next use.
    #[name = "setTempMemory"]
    fn set_temp_memory(&self, size: usize) {
        self.resources().set_temp_memory(size);
    }

    /// Temporary memory is taken from the device each time.
    #[name = "noTempMemory"]
    fn no_temp_memory(&self) {
        self.resources().set_temp_memory(0);
    }

    /// Bytes of pinned host memory through which vectors are copied.
    #[name = "setPinnedMemory"]
    fn set_pinned_memory(&self, size: usize) {
        self.resources().set_pinned_memory(size);
    }

    /// Accepted and ignored: nothing is printed; getMemoryInfo says what is held.
    #[name = "setLogMemoryAllocations"]
    fn set_log_memory_allocations(&self, _enable: bool) {}

    /// Work on a GPU goes to this cudaStream_t, given as an address.
    #[name = "setDefaultStream"]
    fn set_default_stream(&self, device: i32, stream: i64) -> Result<()> {
        Ok(self.resources().set_default_stream(device, stream as usize)?)
    }

    /// Work on a GPU goes to a stream of its own again.
    #[name = "revertDefaultStream"]
    fn revert_default_stream(&self, device: i32) {
        self.resources().revert_default_stream(device);
    }

    /// Work on every GPU goes to the null stream.
    #[name = "setDefaultNullStreamAllDevices"]
    fn set_default_null_stream_all_devices(&self) {
        self.resources().set_default_null_stream_all_devices();
    }

    /// Address of the cudaStream_t that work on a GPU goes to.
    #[name = "getDefaultStream"]
    fn default_stream(&self, device: i32) -> Result<usize> {
        Ok(self.resources().default_stream(device)?)
    }

    /// Waits for the work on the current GPU.
    #[name = "syncDefaultStreamCurrentDevice"]
    fn sync_default_stream_current_device(&self) -> Result<()> {
        Ok(self.resources().sync_default_stream_current_device()?)
    }

    /// Bytes of temporary memory not in use.
    #[name = "getTempMemoryAvailable"]
    fn temp_memory_available(&self, device: i32) -> Result<usize> {
        Ok(self.resources().temp_memory_available(device)?)
    }

    /// For each GPU in use: [device, kind of memory, number of allocations, bytes].
    #[name = "getMemoryInfo"]
    fn memory_info(&self) -> Value {
        Value::List(memory_rows(self.resources()))
    }
}

impl StandardGpuResources {
    pub fn resources(&self) -> &Arc<GpuResources> {
        &self.provider.resources
    }
}

/// The resources of an argument that must be a provider.
pub fn resources_of(provider: &Shared<dyn Object>) -> Result<Arc<GpuResources>> {
    let provider = provider.read();
    let found = object::cast::<GpuResourcesProvider>(&*provider);
    found.map(|p| p.resources.clone()).ok_or_else(|| {
        Error::type_error(format!("a GpuResourcesProvider is wanted here, not a {}", provider.info().name))
    })
}

fn memory_rows(resources: &GpuResources) -> Vec<Value> {
    let row = |device: i32, kind: &str, pieces: usize, bytes: usize| {
        let (device, kind) = (Value::Int(device.into()), Value::Str(kind.to_owned()));
        Value::List(vec![device, kind, Value::Int(pieces as i64), Value::Int(bytes as i64)])
    };
    let infos = resources.memory_info();
    let shared = infos.iter().flat_map(|i| {
        let temp = row(i.device, "TemporaryMemoryBuffer", (i.lanes.temp_bytes > 0).into(), i.lanes.temp_bytes);
        [temp, row(i.device, "PinnedMemory", (i.lanes.pinned_bytes > 0).into(), i.lanes.pinned_bytes)]
    });
    let held = resources.holdings();
    shared.chain(held.into_iter().map(|((device, kind), (pieces, bytes))| row(device, kind, pieces, bytes))).collect()
}
