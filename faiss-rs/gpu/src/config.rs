//! Options of GPU indexes and cloners, with Faiss's names and defaults.

use faiss_core::base::object::{Field, FieldMut, FieldRef, Kind, Value};
use faiss_core::base::{Error, Result};
use faiss_derive::Object;

use crate::memory::MemorySpace;

/// Gives a C-like enum Faiss's numbers, and makes it a field that Python sees as an integer.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(i32)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number,)* }
        numbered!(field $name { $($variant = $number,)* });
    };
    (field $name:ident { $($variant:ident = $number:literal,)* }) => {
        impl TryFrom<i64> for $name {
            type Error = Error;
            fn try_from(number: i64) -> Result<Self> {
                match number {
                    $($number => Ok($name::$variant),)*
                    _ => Err(Error::value(format!(concat!("{} is no ", stringify!($name)), number))),
                }
            }
        }
        impl Field for $name {
            const KIND: Kind = Kind::I32;
            fn get(&self) -> FieldRef<'_> { FieldRef::Value(Value::Int(*self as i64)) }
        }
        impl FieldMut for $name {
            fn set(&mut self, value: Value) -> Result<()> {
                let Value::Int(number) = value else {
                    return Err(Error::type_error(concat!("a ", stringify!($name), " is an integer")));
                };
                *self = $name::try_from(number)?;
                Ok(())
            }
        }
    };
}

numbered!(field MemorySpace { Device = 1, Unified = 2, });

numbered! {
    /// Where an IVF index keeps the ids of its vectors.
    IndicesOptions {
        /// On the CPU; searches return their place and the CPU looks up.
        Cpu = 0,
        /// Nowhere; searches return list and offset.
        Ivf = 1,
        Int32Bit = 2,
        #[default]
        Int64Bit = 3,
    }
}

numbered! {
    /// The type of vectors and queries given to `bfKnn`.
    DistanceDataType {
        #[default]
        F32 = 1,
        F16 = 2,
        BF16 = 3,
    }
}

numbered! {
    /// The type of the ids that `bfKnn` writes.
    IndicesDataType {
        #[default]
        I64 = 1,
        I32 = 2,
    }
}

/// What every GPU index is configured with.
#[derive(Object, Clone, Debug, Default)]
#[object(new, copy)]
pub struct GpuIndexConfig {
    /// GPU on which the index lives.
    pub device: i32,
    /// Where its vectors are kept: 1 on the device, 2 in managed memory.
    #[object(name = "memorySpace")]
    pub memory_space: MemorySpace,
    /// Must be false: there is no cuVS here.
    pub use_cuvs: bool,
}

impl GpuIndexConfig {
    /// An error where cuVS is asked for.
    pub fn check(&self) -> Result<()> {
        no_cuvs(self.use_cuvs)
    }
}

/// An error where cuVS is asked for.
pub(crate) fn no_cuvs(use_cuvs: bool) -> Result<()> {
    if use_cuvs { Err(Error::not_implemented("use_cuvs: there is no cuVS here, leave it false")) } else { Ok(()) }
}

/// Configuration of a [`GpuIndexFlat`](crate::GpuIndexFlat).
#[derive(Object, Clone, Debug, Default)]
#[object(new, copy)]
pub struct GpuIndexFlatConfig {
    #[object(parent)]
    pub base: GpuIndexConfig,
    /// Keep vectors as f16; queries are rounded to it, sums are f32.
    #[object(name = "useFloat16")]
    pub use_float16: bool,
    /// Accepted and ignored: the layout is this library's own choice.
    #[object(name = "storeTransposed")]
    pub store_transposed: bool,
}

/// What every inverted file on a GPU is configured with.
#[derive(Object, Clone, Debug, Default)]
#[object(new, copy)]
pub struct GpuIndexIVFConfig {
    #[object(parent)]
    pub base: GpuIndexConfig,
    /// How ids are kept on the GPU.
    #[object(name = "indicesOptions")]
    pub indices_options: IndicesOptions,
    /// How the quantizer is made where none is given.
    #[object(name = "flatConfig")]
    pub flat_config: GpuIndexFlatConfig,
    /// Whether a quantizer without a GPU form may stay on the CPU.
    #[object(name = "allowCpuCoarseQuantizer")]
    pub allow_cpu_coarse_quantizer: bool,
}

/// Configuration of a [`GpuIndexIVFFlat`](crate::GpuIndexIVFFlat).
#[derive(Object, Clone, Debug)]
#[object(new, copy)]
pub struct GpuIndexIVFFlatConfig {
    #[object(parent)]
    pub ivf: GpuIndexIVFConfig,
    /// Accepted and ignored: the layout is this library's own choice.
    #[object(name = "interleavedLayout")]
    pub interleaved_layout: bool,
}

impl Default for GpuIndexIVFFlatConfig {
    fn default() -> Self {
        GpuIndexIVFFlatConfig { ivf: GpuIndexIVFConfig::default(), interleaved_layout: true }
    }
}

/// Configuration of a [`GpuIndexIVFScalarQuantizer`](crate::GpuIndexIVFScalarQuantizer).
#[derive(Object, Clone, Debug)]
#[object(new, copy)]
pub struct GpuIndexIVFScalarQuantizerConfig {
    #[object(parent)]
    pub ivf: GpuIndexIVFConfig,
    /// Accepted and ignored: the layout is this library's own choice.
    #[object(name = "interleavedLayout")]
    pub interleaved_layout: bool,
}

impl Default for GpuIndexIVFScalarQuantizerConfig {
    fn default() -> Self {
        GpuIndexIVFScalarQuantizerConfig { ivf: GpuIndexIVFConfig::default(), interleaved_layout: true }
    }
}

/// Configuration of a [`GpuIndexBinaryFlat`](crate::GpuIndexBinaryFlat).
#[derive(Object, Clone, Debug, Default)]
#[object(new, copy)]
pub struct GpuIndexBinaryFlatConfig {
    #[object(parent)]
    pub base: GpuIndexConfig,
}

/// Configuration of a [`GpuIndexIVFPQ`](crate::GpuIndexIVFPQ).
#[derive(Object, Clone, Debug, Default)]
#[object(new, copy)]
pub struct GpuIndexIVFPQConfig {
    #[object(parent)]
    pub ivf: GpuIndexIVFConfig,
    /// Accepted and ignored: tables are f32, so that results are the CPU's.
    #[object(name = "useFloat16LookupTables")]
    pub use_float16_lookup_tables: bool,
    /// Accepted and ignored: one table a query serves all its lists.
    #[object(name = "usePrecomputedTables")]
    pub use_precomputed_tables: bool,
    /// Accepted and ignored: the layout is this library's own choice.
    #[object(name = "interleavedLayout")]
    pub interleaved_layout: bool,
    /// Accepted and ignored, as the tables are.
    #[object(name = "useMMCodeDistance")]
    pub use_mm_code_distance: bool,
}

/// How an index becomes a GPU index.
///
/// Made without arguments; set its fields, then give it to `index_cpu_to_gpu`.
#[derive(Object, Clone, Debug, Default)]
#[object(new, copy)]
pub struct GpuClonerOptions {
    /// How ids are kept on the GPU, for IVF indexes.
    #[object(name = "indicesOptions")]
    pub indices_options: IndicesOptions,
    /// Whether coarse quantizers keep f16.
    #[object(name = "useFloat16CoarseQuantizer")]
    pub use_float16_coarse_quantizer: bool,
    /// Whether a flat index keeps f16, and IVFPQ tables are f16.
    #[object(name = "useFloat16")]
    pub use_float16: bool,
    /// Whether IVFPQ uses precomputed tables.
    #[object(name = "usePrecomputed")]
    pub use_precomputed: bool,
    /// Vectors to reserve memory for, for IVF indexes.
    #[object(name = "reserveVecs")]
    pub reserve_vecs: i64,
    /// Accepted and ignored, as in `GpuIndexFlatConfig`.
    #[object(name = "storeTransposed")]
    pub store_transposed: bool,
    /// Verbosity.
    pub verbose: bool,
    /// Must be false: there is no cuVS here.
    pub use_cuvs: bool,
    /// Whether a coarse quantizer without a GPU form may stay on the CPU.
    #[object(name = "allowCpuCoarseQuantizer")]
    pub allow_cpu_coarse_quantizer: bool,
}

/// How an index is spread over several GPUs.
///
/// Made without arguments; set its fields, then give it to `index_cpu_to_all_gpus` and its kin. `shard = True` gives each GPU a part of the vectors.
#[derive(Object, Clone, Debug)]
#[object(new, copy)]
pub struct GpuMultipleClonerOptions {
    #[object(parent)]
    pub base: GpuClonerOptions,
    /// Split the vectors over the GPUs rather than copy them to each.
    pub shard: bool,
    /// How IVF indexes are split (1: by id modulo the GPUs, 2: by id range, 4: by list).
    pub shard_type: i32,
    /// Accepted: each GPU has a coarse quantizer of its own, with the same centroids, and results are the same.
    pub common_ivf_quantizer: bool,
}

impl GpuClonerOptions {
    /// The configuration of an inverted file that is made by these options.
    pub fn ivf_config(&self, device: i32) -> GpuIndexIVFConfig {
        let base = GpuIndexConfig { device, memory_space: MemorySpace::Device, use_cuvs: self.use_cuvs };
        let flat_config = GpuIndexFlatConfig {
            base: base.clone(),
            use_float16: self.use_float16_coarse_quantizer,
            store_transposed: self.store_transposed,
        };
        GpuIndexIVFConfig {
            base,
            indices_options: self.indices_options,
            flat_config,
            allow_cpu_coarse_quantizer: self.allow_cpu_coarse_quantizer,
        }
    }
}

impl Default for GpuMultipleClonerOptions {
    fn default() -> Self {
        let base = GpuClonerOptions::default();
        GpuMultipleClonerOptions { base, shard: false, shard_type: 1, common_ivf_quantizer: false }
    }
}
