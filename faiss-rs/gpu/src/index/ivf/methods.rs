//! What Python sees of inverted files on a GPU beyond their fields and the methods of all indexes.

use faiss_core::base::object::{Method, MethodCall, receiver};
use faiss_core::base::{Result, Value};
use faiss_core::index::ivf::methods::{PREASSIGNED, search_preassigned};
use faiss_core::registry::no_overload;

use super::{GpuIndexIVF, file, search};

/// The list that the one argument names.
fn list_of(ivf: &GpuIndexIVF, args: &[Value], name: &str) -> Result<usize> {
    match args {
        [Value::Int(list)] => ivf.check_list(*list),
        _ => Err(no_overload(name, &["(listId: int)"])),
    }
}

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "getNumLists",
        signature: "(self) -> int",
        doc: "Number of lists.",
        call: MethodCall::Read(|object, _| Ok(Value::Int(receiver::<GpuIndexIVF>(object)?.nlist as i64))),
    },
    Method {
        name: "getListLength",
        signature: "(self, listId: int) -> int",
        doc: "Number of entries of a list.",
        call: MethodCall::Read(|object, args| {
            let ivf = receiver::<GpuIndexIVF>(object)?;
            Ok(Value::Int(ivf.list_length(list_of(ivf, args, "getListLength")?)? as i64))
        }),
    },
    Method {
        name: "getListIndices",
        signature: "(self, listId: int) -> numpy.ndarray",
        doc: "The ids of a list, int64.",
        call: MethodCall::Read(|object, args| {
            let ivf = receiver::<GpuIndexIVF>(object)?;
            let list = list_of(ivf, args, "getListIndices")?;
            let ids = match ivf.lists()? {
                Some(lists) => ivf.with(|context| lists.list_ids(context, list))?,
                None => Vec::new(),
            };
            let n = ids.len();
            Ok(Value::I64(ids, vec![n]))
        }),
    },
    Method {
        name: "getListVectorData",
        signature: "(self, listId: int, gpuFormat: bool = False) -> numpy.ndarray",
        doc: "The codes of a list, `getListLength` times the bytes of a code, as on the CPU. The GPU's format is the same.",
        call: MethodCall::Read(|object, args| {
            let ivf = receiver::<GpuIndexIVF>(object)?;
            let list = match args {
                [list] | [list, Value::Bool(_)] => list_of(ivf, std::slice::from_ref(list), "getListVectorData")?,
                _ => return Err(no_overload("getListVectorData", &["(listId: int, gpuFormat: bool = False)"])),
            };
            let codes = match ivf.lists()? {
                Some(lists) => ivf.with(|context| lists.list_codes(context, list))?,
                None => Vec::new(),
            };
            let n = codes.len();
            Ok(Value::U8(codes, vec![n]))
        }),
    },
    Method {
        name: "search_preassigned",
        signature: PREASSIGNED,
        doc: "The k best of the given lists: list numbers `Iq` (n, nprobe) and distances to their centroids `Dq`; -1 is no list.",
        call: MethodCall::Read(|object, args| {
            let index = file(object)?;
            search_preassigned(
                args,
                |x| index.ivf().rows(x),
                |p, distances, labels| {
                    let (params, pairs) = (p.params, p.store_pairs);
                    search::search_preassigned(index, p.x, p.k, p.list_nos, p.coarse, params, pairs, distances, labels)
                },
            )
        }),
    },
];

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
