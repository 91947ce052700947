//! What Python sees of inverted files on a GPU beyond their fields and the methods of all indexes.

use faiss_core::base::{Object, Result};
use faiss_core::index::ivf::methods::{Found, preassigned};
use faiss_derive::methods;

use super::{GpuIndexIVF, GpuInvertedFile, search};

/// The methods of all inverted files on a GPU.
pub struct GpuIVFMethods;

#[methods]
impl GpuIVFMethods {
    /// Number of lists.
    #[name = "getNumLists"]
    fn lists(this: &GpuIndexIVF) -> usize {
        this.nlist
    }

    /// Number of entries of a list.
    #[name = "getListLength"]
    fn list_length(this: &GpuIndexIVF, listId: i64) -> Result<usize> {
        this.list_length(this.check_list(listId)?)
    }

    /// The ids of a list, int64.
    #[name = "getListIndices"]
    fn list_ids(this: &GpuIndexIVF, listId: i64) -> Result<Vec<i64>> {
        let list = this.check_list(listId)?;
        match this.lists()? {
            Some(lists) => this.with(|context| lists.list_ids(context, list)),
            None => Ok(Vec::new()),
        }
    }

    /// The codes of a list, `getListLength` times the bytes of a code, as on the CPU. The GPU's format is the same.
    #[name = "getListVectorData"]
    fn list_codes(this: &GpuIndexIVF, listId: i64, #[default = false] _gpuFormat: bool) -> Result<Vec<u8>> {
        let list = this.check_list(listId)?;
        match this.lists()? {
            Some(lists) => this.with(|context| lists.list_codes(context, list)),
            None => Ok(Vec::new()),
        }
    }

    /// The k best of the given lists: list numbers `Iq` (n, nprobe) and distances to their centroids `Dq`; -1 is no list.
    fn search_preassigned(
        this: &dyn GpuInvertedFile,
        x: &[f32],
        k: usize,
        Iq: &[i64],
        Dq: &[f32],
        #[class = "SearchParametersIVF"]
        #[default = None]
        params: Option<&dyn Object>,
        #[default = false] store_pairs: bool,
    ) -> Result<Found> {
        preassigned(this.ivf().rows(x)?, k, |distances, labels| {
            search::search_preassigned(this, x, k, Iq, Dq, params, store_pairs, distances, labels)
        })
    }
}

/// The methods that change a family's index, for its own `METHODS`: `gpu_inverted_file_methods!(TYPE, CPU_TYPE, more methods...)`. The type has
/// `copy_from(&CPU_TYPE)` and `copy_to(&mut CPU_TYPE)`.
#[macro_export]
macro_rules! gpu_inverted_file_methods {
    ($ty:ident, $cpu:ident $(, $more:expr)* $(,)?) => {
        &[
            faiss_core::base::object::Method {
                name: "copyFrom",
                signature: concat!("(self, index: ", stringify!($cpu), ") -> None"),
                doc: "Becomes a copy of a CPU index: its quantizer, training and vectors.",
                call: faiss_core::base::object::MethodCall::Write(|object, args| {
                    let [faiss_core::base::Value::Handle(index)] = args else {
                        return Err(faiss_core::registry::no_overload("copyFrom", &[concat!("(index: ", stringify!($cpu), ")")]));
                    };
                    let index = index.read();
                    faiss_core::base::object::receiver_mut::<$ty>(object)?.copy_from(faiss_core::base::object::receiver::<$cpu>(&*index)?)?;
                    Ok(faiss_core::base::Value::None)
                }),
            },
            faiss_core::base::object::Method {
                name: "copyTo",
                signature: concat!("(self, index: ", stringify!($cpu), ") -> None"),
                doc: "Makes a CPU index a copy of this one.",
                call: faiss_core::base::object::MethodCall::Read(|object, args| {
                    let [faiss_core::base::Value::Handle(index)] = args else {
                        return Err(faiss_core::registry::no_overload("copyTo", &[concat!("(index: ", stringify!($cpu), ")")]));
                    };
                    let mut index = index.write();
                    faiss_core::base::object::receiver::<$ty>(object)?.copy_to(faiss_core::base::object::receiver_mut::<$cpu>(&mut *index)?)?;
                    Ok(faiss_core::base::Value::None)
                }),
            },
            faiss_core::base::object::Method {
                name: "reserveMemory",
                signature: "(self, numVecs: int) -> None",
                doc: "Makes room for as many vectors in all.",
                call: faiss_core::base::object::MethodCall::Write(|object, args| {
                    let [faiss_core::base::Value::Int(n)] = args else { return Err(faiss_core::registry::no_overload("reserveMemory", &["(numVecs: int)"])) };
                    let n = usize::try_from(*n).map_err(|_| faiss_core::base::Error::value(format!("{n} is no number of vectors")))?;
                    $crate::index::ivf::edit::reserve_memory(faiss_core::base::object::receiver_mut::<$ty>(object)?, n)?;
                    Ok(faiss_core::base::Value::None)
                }),
            },
            faiss_core::base::object::Method {
                name: "reclaimMemory",
                signature: "(self) -> int",
                doc: "Gives back memory of the GPU that no vector needs; returns how many bytes.",
                call: faiss_core::base::object::MethodCall::Write(|object, _| {
                    let bytes = $crate::index::ivf::edit::reclaim_memory(faiss_core::base::object::receiver_mut::<$ty>(object)?)?;
                    Ok(faiss_core::base::Value::Int(bytes as i64))
                }),
            },
            faiss_core::base::object::Method {
                name: "updateQuantizer",
                signature: "(self) -> None",
                doc: "Says that the quantizer was changed by others than this index.",
                call: faiss_core::base::object::MethodCall::Write(|object, _| {
                    $crate::index::ivf::coarse::update_quantizer(faiss_core::base::object::receiver_mut::<$ty>(object)?)?;
                    Ok(faiss_core::base::Value::None)
                }),
            },
            $($more,)*
        ]
    };
}
