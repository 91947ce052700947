//! `StandardGpuResources`: the resources as users of Faiss hold them.

use std::sync::Arc;

use faiss_core::base::object::{Method, MethodCall, receiver};
use faiss_core::base::{Error, Handle, Object, Result, Shared, Value, object};
use faiss_core::factory::ParameterSpace;
use faiss_core::registry::{Row, no_overload};
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
#[derive(Object, Clone, Default)]
#[object(methods = METHODS)]
pub struct StandardGpuResources {
    #[object(parent)]
    provider: GpuResourcesProvider,
}

const SIGNATURES: &[&str] = &["()"];

pub const ROW: Row = Row::of::<StandardGpuResources>().construct(
    |args| match args {
        [] => Ok(Handle::new(StandardGpuResources::default())),
        _ => Err(no_overload("StandardGpuResources", SIGNATURES)),
    },
    SIGNATURES,
);

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

fn of(object: &dyn Object) -> Result<&GpuResources> {
    Ok(receiver::<StandardGpuResources>(object)?.resources())
}

fn size(value: i64) -> Result<usize> {
    usize::try_from(value).map_err(|_| Error::value(format!("{value} is no number of bytes")))
}

fn device(value: i64) -> Result<i32> {
    i32::try_from(value).map_err(|_| Error::value(format!("{value} is no GPU")))
}

/// A method by its name, signature, doc, the pattern of its arguments and what it does.
macro_rules! method {
    ($name:literal, $signature:literal, $doc:literal, |$resources:ident, $args:pat_param| $body:expr) => {
        Method {
            name: $name,
            signature: $signature,
            doc: $doc,
            call: MethodCall::Read(|object, args| {
                let $resources = of(object)?;
                match args {
                    $args => Ok(Answer::value($body)),
                    #[allow(unreachable_patterns)]
                    _ => Err(no_overload($name, &[$signature])),
                }
            }),
        }
    };
}

/// What a method returns, as Python gets it.
trait Answer {
    fn value(self) -> Value;
}

impl Answer for () {
    fn value(self) -> Value {
        Value::None
    }
}

impl Answer for usize {
    fn value(self) -> Value {
        Value::Int(self as i64)
    }
}

impl Answer for Vec<Value> {
    fn value(self) -> Value {
        Value::List(self)
    }
}

const METHODS: &[Method] = &[
    method!(
        "setTempMemory",
        "(self, size: int) -> None",
        "Bytes of temporary memory on each GPU, taken at its next use.",
        |r, [Value::Int(n)]| r.set_temp_memory(size(*n)?)
    ),
    method!("noTempMemory", "(self) -> None", "Temporary memory is taken from the device each time.", |r, []| r
        .set_temp_memory(0)),
    method!(
        "setPinnedMemory",
        "(self, size: int) -> None",
        "Bytes of pinned host memory through which vectors are copied.",
        |r, [Value::Int(n)]| r.set_pinned_memory(size(*n)?)
    ),
    method!(
        "setDefaultStream",
        "(self, device: int, stream: int) -> None",
        "Work on a GPU goes to this cudaStream_t, given as an address.",
        |r, [Value::Int(d), Value::Int(stream)]| r.set_default_stream(device(*d)?, *stream as usize)?
    ),
    method!(
        "revertDefaultStream",
        "(self, device: int) -> None",
        "Work on a GPU goes to a stream of its own again.",
        |r, [Value::Int(d)]| r.revert_default_stream(device(*d)?)
    ),
    method!(
        "setDefaultNullStreamAllDevices",
        "(self) -> None",
        "Work on every GPU goes to the null stream.",
        |r, []| r.set_default_null_stream_all_devices()
    ),
    method!(
        "getDefaultStream",
        "(self, device: int) -> int",
        "Address of the cudaStream_t that work on a GPU goes to.",
        |r, [Value::Int(d)]| r.default_stream(device(*d)?)?
    ),
    method!("syncDefaultStreamCurrentDevice", "(self) -> None", "Waits for the work on the current GPU.", |r, []| r
        .sync_default_stream_current_device()?),
    method!("getTempMemoryAvailable", "(self, device: int) -> int", "Bytes of temporary memory not in use.", |r,
                                                                                                              [
        Value::Int(d),
    ]| {
        r.temp_memory_available(device(*d)?)?
    }),
    method!(
        "getMemoryInfo",
        "(self) -> list[list[object]]",
        "For each GPU in use: [device, kind of memory, number of allocations, bytes].",
        |r, []| memory_rows(r)
    ),
];

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
