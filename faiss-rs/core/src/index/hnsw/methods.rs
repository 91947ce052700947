//! What Python calls on the index beyond searching and adding. Arrays are given as such; what takes pointers in Faiss is made of these in Python.

use super::IndexHNSW;
use crate::base::object::{Method, MethodCall, receiver, receiver_mut};
use crate::base::{Error, Result, Value};
use crate::registry::no_overload;

fn size(v: i64) -> Result<usize> {
    usize::try_from(v).map_err(|_| Error::overflow("the number is out of range for size_t"))
}

const SEARCH_LEVEL_0: &[&str] = &[
    "(x: numpy.ndarray, k: int, nearest: numpy.ndarray, nearest_d: numpy.ndarray, nprobe: int, search_type: int, params: SearchParameters | None)",
];

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "search_level_0",
        signature: "(self, x: numpy.ndarray, k: int, nearest: numpy.ndarray, nearest_d: numpy.ndarray, nprobe: int, search_type: int, params: SearchParameters | None) -> tuple[numpy.ndarray, numpy.ndarray]",
        doc: "Searches the lowest level alone, from `nprobe` given vertices a query: a search from each (`search_type` 1) or one from all (2).",
        call: MethodCall::Read(|object, args| {
            let [
                Value::F32(x, shape),
                Value::Int(k),
                Value::I32(nearest, _),
                Value::F32(nearest_d, _),
                Value::Int(nprobe),
                Value::Int(kind),
                params,
            ] = args
            else {
                return Err(no_overload("search_level_0", SEARCH_LEVEL_0));
            };
            let params = match params {
                Value::None => None,
                Value::Handle(params) => Some(params.read()),
                _ => return Err(no_overload("search_level_0", SEARCH_LEVEL_0)),
            };
            let (n, k) = (shape.first().copied().unwrap_or(0), size(*k)?);
            let results = n.checked_mul(k).ok_or_else(|| Error::overflow("n * k is out of range for size_t"))?;
            let (mut distances, mut labels) = (vec![0.0; results], vec![0; results]);
            let kind = i32::try_from(*kind).unwrap_or(-1);
            receiver::<IndexHNSW>(object)?.search_level_0(
                x,
                k,
                nearest,
                nearest_d,
                &mut distances,
                &mut labels,
                size(*nprobe)?,
                kind,
                params.as_deref(),
            )?;
            Ok(Value::List(vec![Value::F32(distances, vec![n, k]), Value::I64(labels, vec![n, k])]))
        }),
    },
    Method {
        name: "init_level_0_from_knngraph",
        signature: "(self, k: int, D: numpy.ndarray, I: numpy.ndarray) -> None",
        doc: "Links every vector at the lowest level with those of its k given neighbours (ntotal, k) that lie in different directions.",
        call: MethodCall::Write(|object, args| {
            let [Value::Int(k), Value::F32(distances, _), Value::I64(labels, _)] = args else {
                let known = &["(k: int, D: numpy.ndarray, I: numpy.ndarray)"];
                return Err(no_overload("init_level_0_from_knngraph", known));
            };
            receiver_mut::<IndexHNSW>(object)?.init_level_0_from_knngraph(size(*k)?, distances, labels)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "init_level_0_from_entry_points",
        signature: "(self, points: numpy.ndarray, nearests: numpy.ndarray) -> None",
        doc: "Links vectors at the lowest level, each by a search that begins at a given vertex.",
        call: MethodCall::Write(|object, args| {
            let [Value::I32(points, _), Value::I32(nearests, _)] = args else {
                let known = &["(points: numpy.ndarray, nearests: numpy.ndarray)"];
                return Err(no_overload("init_level_0_from_entry_points", known));
            };
            receiver_mut::<IndexHNSW>(object)?.init_level_0_from_entry_points(points, nearests)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "reorder_links",
        signature: "(self) -> None",
        doc: "Puts the links of the lowest level in order, the nearest first.",
        call: MethodCall::Write(|object, _| {
            receiver_mut::<IndexHNSW>(object)?.reorder_links()?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "shrink_level_0_neighbors",
        signature: "(self, size: int) -> None",
        doc: "Leaves every vertex at most `size` links at the lowest level, in different directions.",
        call: MethodCall::Write(|object, args| {
            let [Value::Int(new_size)] = args else {
                return Err(no_overload("shrink_level_0_neighbors", &["(size: int)"]));
            };
            receiver_mut::<IndexHNSW>(object)?.shrink_level_0_neighbors(size(*new_size)?)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "link_singletons",
        signature: "(self) -> None",
        doc: "Prints how many vertices no link of the lowest level leads to. As in Faiss, it links none of them.",
        call: MethodCall::Read(|object, _| {
            let index = receiver::<IndexHNSW>(object)?;
            let (alone, higher) = index.singletons()?;
            println!("search for singletons");
            println!("  Found {} / {} singletons ({higher} appear in a level above)", alone.len(), index.ntotal);
            Ok(Value::None)
        }),
    },
    Method {
        name: "permute_entries",
        signature: "(self, perm: numpy.ndarray) -> None",
        doc: "Reorders the vectors: vector i becomes what vector perm[i] was. `perm` is a permutation of 0..ntotal.",
        call: MethodCall::Write(|object, args| {
            let [Value::I64(perm, _)] = args else {
                return Err(no_overload("permute_entries", &["(perm: numpy.ndarray)"]));
            };
            receiver_mut::<IndexHNSW>(object)?.permute_entries(perm)?;
            Ok(Value::None)
        }),
    },
];
