//! What Python sees of inverted lists beyond their fields.

use super::lists::InvertedLists;
use crate::base::object::{Method, MethodCall, Object};
use crate::base::view::{view, view_mut};
use crate::base::{Error, Result, Value};
use crate::registry::no_overload;

fn lists(object: &dyn Object) -> Result<&dyn InvertedLists> {
    view(object)
}

fn lists_mut(object: &mut dyn Object) -> Result<&mut dyn InvertedLists> {
    view_mut(object)
}

/// The one argument of most methods.
fn list(lists: &dyn InvertedLists, args: &[Value], name: &str) -> Result<usize> {
    match args {
        [Value::Int(list)] => lists.check_list(*list),
        _ => Err(no_overload(name, &["(list_no: int)"])),
    }
}

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "list_size",
        signature: "(self, list_no: int) -> int",
        doc: "Number of entries of a list.",
        call: MethodCall::Read(|object, args| {
            let lists = lists(object)?;
            Ok(Value::Int(lists.list_size(list(lists, args, "list_size")?) as i64))
        }),
    },
    Method {
        name: "get_ids",
        signature: "(self, list_no: int) -> numpy.ndarray",
        doc: "The ids of a list, int64.",
        call: MethodCall::Read(|object, args| {
            let lists = lists(object)?;
            let ids = lists.ids(list(lists, args, "get_ids")?).into_owned();
            let n = ids.len();
            Ok(Value::I64(ids, vec![n]))
        }),
    },
    Method {
        name: "get_codes",
        signature: "(self, list_no: int) -> numpy.ndarray",
        doc: "The codes of a list, `list_size * code_size` bytes.",
        call: MethodCall::Read(|object, args| {
            let lists = lists(object)?;
            let codes = lists.codes(list(lists, args, "get_codes")?).into_owned();
            let n = codes.len();
            Ok(Value::U8(codes, vec![n]))
        }),
    },
    Method {
        name: "get_single_id",
        signature: "(self, list_no: int, offset: int) -> int",
        doc: "The id of one entry.",
        call: MethodCall::Read(|object, args| {
            let lists = lists(object)?;
            let [Value::Int(list), Value::Int(offset)] = args else {
                return Err(no_overload("get_single_id", &["(list_no: int, offset: int)"]));
            };
            let (list, offset) = lists.check_entry(*list, *offset)?;
            Ok(Value::Int(lists.ids(list)[offset]))
        }),
    },
    Method {
        name: "add_entries",
        signature: "(self, list_no: int, ids: numpy.ndarray, codes: numpy.ndarray) -> int",
        doc: "Appends entries: ids (n,) of int64, codes (n, code_size) of uint8. Returns where the first of them is.",
        call: MethodCall::Write(|object, args| {
            let [Value::Int(list), Value::I64(ids, _), Value::U8(codes, _)] = args else {
                return Err(no_overload("add_entries", &["(list_no: int, ids: numpy.ndarray, codes: numpy.ndarray)"]));
            };
            let lists = lists_mut(object)?;
            let list = lists.check_list(*list)?;
            Ok(Value::Int(lists.add_entries(list, ids, codes)? as i64))
        }),
    },
    Method {
        name: "update_entries",
        signature: "(self, list_no: int, offset: int, ids: numpy.ndarray, codes: numpy.ndarray) -> None",
        doc: "Replaces entries from an offset on: ids (n,) of int64, codes (n, code_size) of uint8.",
        call: MethodCall::Write(|object, args| {
            let [Value::Int(list), Value::Int(offset), Value::I64(ids, _), Value::U8(codes, _)] = args else {
                let signature = "(list_no: int, offset: int, ids: numpy.ndarray, codes: numpy.ndarray)";
                return Err(no_overload("update_entries", &[signature]));
            };
            let lists = lists_mut(object)?;
            let list = lists.check_list(*list)?;
            let offset = usize::try_from(*offset);
            let offset = offset.map_err(|_| Error::failed("n_entry + offset <= ids[list_no].size()", ""))?;
            lists.update_entries(list, offset, ids, codes)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "prefetch_lists",
        signature: "(self, list_nos: numpy.ndarray) -> None",
        doc: "Says which lists will be looked into, so that those on disk are read ahead.",
        call: MethodCall::Read(|object, args| {
            let [Value::I64(list_nos, _)] = args else {
                return Err(no_overload("prefetch_lists", &["(list_nos: numpy.ndarray)"]));
            };
            lists(object)?.prefetch_lists(list_nos);
            Ok(Value::None)
        }),
    },
    Method {
        name: "resize",
        signature: "(self, list_no: int, new_size: int) -> None",
        doc: "Changes the number of entries of a list; new ones are zero.",
        call: MethodCall::Write(|object, args| {
            let [Value::Int(list), Value::Int(n)] = args else {
                return Err(no_overload("resize", &["(list_no: int, new_size: int)"]));
            };
            let lists = lists_mut(object)?;
            let (list, n) = (lists.check_list(*list)?, usize::try_from(*n).map_err(|_| Error::overflow("new_size"))?);
            lists.resize(list, n)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "reset",
        signature: "(self) -> None",
        doc: "Empties all lists.",
        call: MethodCall::Write(|object, _| {
            lists_mut(object)?.reset()?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "compute_ntotal",
        signature: "(self) -> int",
        doc: "Number of entries of all lists.",
        call: MethodCall::Read(|object, _| Ok(Value::Int(lists(object)?.compute_ntotal() as i64))),
    },
    Method {
        name: "imbalance_factor",
        signature: "(self) -> float",
        doc: "1 where all lists have the same size, more where they differ.",
        call: MethodCall::Read(|object, _| Ok(Value::Float(lists(object)?.imbalance_factor()))),
    },
    Method {
        name: "is_empty",
        signature: "(self, list_no: int) -> bool",
        doc: "True for a list without entries.",
        call: MethodCall::Read(|object, args| {
            let lists = lists(object)?;
            Ok(Value::Bool(lists.list_size(list(lists, args, "is_empty")?) == 0))
        }),
    },
    Method {
        name: "merge_from",
        signature: "(self, oivf: InvertedLists, add_id: int) -> None",
        doc: "Moves all entries of other lists here; `add_id` is added to their ids.",
        call: MethodCall::Write(|object, args| {
            let [Value::Handle(other), Value::Int(add_id)] = args else {
                return Err(no_overload("merge_from", &["(oivf: InvertedLists, add_id: int)"]));
            };
            let lists = lists_mut(object)?;
            let other = other.view::<dyn InvertedLists>()?;
            let mut other = other.write();
            let same = lists.base().nlist == other.base().nlist && lists.base().code_size == other.base().code_size;
            Error::check(same, "oivf->nlist == nlist && oivf->code_size == code_size")?;
            lists.merge_from(&mut *other, *add_id)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "copy_subset_to",
        signature: "(self, other: InvertedLists, subset_type: int, a1: int, a2: int) -> int",
        doc: "Copies entries to other lists, chosen as by the index's method of this name. Returns how many they are.",
        call: MethodCall::Read(|object, args| {
            let [Value::Handle(other), Value::Int(kind), Value::Int(a1), Value::Int(a2)] = args else {
                let signature = "(other: InvertedLists, subset_type: int, a1: int, a2: int)";
                return Err(no_overload("copy_subset_to", &[signature]));
            };
            let kind = i32::try_from(*kind).map_err(|_| Error::overflow("subset_type"))?;
            let other = other.view::<dyn InvertedLists>()?;
            Ok(Value::Int(lists(object)?.copy_subset_to(&mut *other.write(), kind, *a1, *a2)? as i64))
        }),
    },
];
