//! Parameters of one search in an inverted file, and statistics over searches.

use std::sync::LazyLock;

use faiss_derive::Object;

use crate::base::object::{Field, FieldMut, FieldRef, Kind, Method, MethodCall, Object, cast, receiver, receiver_mut};
use crate::base::{Error, Handle, Result, Shared, Value};
use crate::index::SearchParameters;
use crate::registry::{Row, no_overload};

/// Search parameters of a sub-index; may be null.
#[derive(Default, Clone)]
pub struct ParametersPointer(pub Option<Shared<dyn Object>>);

impl Field for ParametersPointer {
    const KIND: Kind = Kind::Pointer("SearchParameters");
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Value(self.0.as_ref().map_or(Value::None, |p| Value::Handle(Handle::Other(p.clone()))))
    }
}
impl FieldMut for ParametersPointer {
    fn set(&mut self, value: Value) -> Result<()> {
        self.0 = match value {
            Value::None => None,
            Value::Handle(Handle::Other(p)) if p.read().info().is_a("SearchParameters") => Some(p),
            _ => return Err(Error::type_error("SearchParameters or None are wanted here")),
        };
        Ok(())
    }
}

impl ParametersPointer {
    /// Calls `with` with the parameters.
    pub fn with<T>(&self, with: impl FnOnce(Option<&dyn Object>) -> T) -> T {
        match &self.0 {
            Some(p) => with(Some(&*p.read())),
            None => with(None),
        }
    }
}

/// Parameters of one search in an inverted file.
#[derive(Object, Clone)]
pub struct SearchParametersIVF {
    #[object(parent)]
    pub base: SearchParameters,
    /// Number of lists to look into.
    pub nprobe: usize,
    /// Number of codes to look at, at most; 0 for no limit.
    pub max_codes: usize,
    /// Parameters of the search in the quantizer.
    pub quantizer_params: ParametersPointer,
    /// Number of lists that may give no result before a range search ends; 0 for no limit.
    pub max_empty_result_buckets: usize,
    /// Look into more lists where `max_codes` would leave fewer than `k` results.
    pub ensure_topk_full: bool,
    /// Number of lists to look into at most, by their order; 0 for no limit.
    pub max_lists_num: usize,
}

impl Default for SearchParametersIVF {
    fn default() -> Self {
        SearchParametersIVF {
            base: SearchParameters::default(),
            nprobe: 1,
            max_codes: 0,
            quantizer_params: ParametersPointer::default(),
            max_empty_result_buckets: 0,
            ensure_topk_full: false,
            max_lists_num: 0,
        }
    }
}

const SIGNATURES: &[&str] = &[
    "(*, sel: IDSelector | None = None, nprobe: int = 1, max_codes: int = 0, quantizer_params: SearchParameters | None = None)",
];

pub const ROW: Row = Row::of::<SearchParametersIVF>().construct(
    |args| match args {
        [] => Ok(Handle::other(SearchParametersIVF::default())),
        _ => Err(no_overload("SearchParametersIVF", SIGNATURES)),
    },
    SIGNATURES,
);

/// Parameters of one search in an inverted file of product-quantized codes.
#[derive(Object, Clone, Default)]
pub struct IVFPQSearchParameters {
    #[object(parent)]
    pub ivf: SearchParametersIVF,
    /// Accepted for compatibility.
    pub scan_table_threshold: usize,
    /// Hamming threshold of polysemous search; only 0 (off) is known.
    pub polysemous_ht: i32,
}

pub const PQ_ROW: Row = Row::of::<IVFPQSearchParameters>().construct(
    |args| match args {
        [] => Ok(Handle::other(IVFPQSearchParameters::default())),
        _ => Err(no_overload("IVFPQSearchParameters", SIGNATURES)),
    },
    SIGNATURES,
);

/// The parameters as those of an inverted file.
pub fn of_search(params: Option<&dyn Object>) -> Result<Option<&SearchParametersIVF>> {
    match params {
        None => Ok(None),
        Some(params) => match cast(params) {
            Some(params) => Ok(Some(params)),
            None => Err(Error::failed("!(params)", "IndexIVF params have incorrect type")),
        },
    }
}

/// What searches in inverted files did so far; GPUs count nothing.
#[derive(Object, Default, Clone)]
#[object(methods = STATS_METHODS)]
pub struct IndexIVFStats {
    /// Number of queries.
    pub nq: usize,
    /// Number of lists looked into, without empty ones.
    pub nlist: usize,
    /// Number of distances computed.
    pub ndis: usize,
    /// Number of results that came into a query's best, of which there may for a time be up to twice `k`. Depends on the order of visits.
    pub nheap_updates: usize,
    /// Milliseconds spent in the quantizer.
    pub quantization_time: f64,
    /// Milliseconds spent in searches, the quantizer included.
    pub search_time: f64,
}

const STATS_METHODS: &[Method] = &[
    Method {
        name: "reset",
        signature: "(self) -> None",
        doc: "Sets everything to 0.",
        call: MethodCall::Write(|object, _| {
            *receiver_mut(object)? = IndexIVFStats::default();
            Ok(Value::None)
        }),
    },
    Method {
        name: "add",
        signature: "(self, other: IndexIVFStats) -> None",
        doc: "Adds other statistics to these.",
        call: MethodCall::Write(|object, args| {
            let [Value::Handle(Handle::Other(other))] = args else {
                return Err(no_overload("add", &["(other: IndexIVFStats)"]));
            };
            let other = receiver::<IndexIVFStats>(&*other.read())?.clone();
            receiver_mut::<IndexIVFStats>(object)?.add(&other);
            Ok(Value::None)
        }),
    },
];

impl IndexIVFStats {
    pub fn add(&mut self, other: &IndexIVFStats) {
        self.nq += other.nq;
        self.nlist += other.nlist;
        self.ndis += other.ndis;
        self.nheap_updates += other.nheap_updates;
        self.quantization_time += other.quantization_time;
        self.search_time += other.search_time;
    }
}

pub const STATS: Row = Row::of::<IndexIVFStats>().construct(
    |args| match args {
        [] => Ok(Handle::other(IndexIVFStats::default())),
        _ => Err(no_overload("IndexIVFStats", &["()"])),
    },
    &["()"],
);

/// The statistics of this process (`cvar.indexIVF_stats`).
pub static INDEX_IVF_STATS: LazyLock<Shared<IndexIVFStats>> = LazyLock::new(|| Shared::new(IndexIVFStats::default()));
