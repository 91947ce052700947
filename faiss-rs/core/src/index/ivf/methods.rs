//! What Python sees of inverted files beyond their fields and the methods of all indexes.

use super::{IndexIVF, InvertedFile, edit, search};
use crate::base::object::{Method, MethodCall, Object, receiver, receiver_mut};
use crate::base::view::{view, view_mut};
use crate::base::{Error, Result, Value};
use crate::registry::no_overload;

fn file(object: &dyn Object) -> Result<&dyn InvertedFile> {
    view(object)
}

fn file_mut(object: &mut dyn Object) -> Result<&mut dyn InvertedFile> {
    view_mut(object)
}

/// The signature of `search_preassigned`.
pub const PREASSIGNED: &str = "(self, x: numpy.ndarray, k: int, Iq: numpy.ndarray, Dq: numpy.ndarray, params: SearchParametersIVF | None = None, store_pairs: bool = False) -> tuple[numpy.ndarray, numpy.ndarray]";
const RANGE_PREASSIGNED: &str = "(self, x: numpy.ndarray, radius: float, keys: numpy.ndarray, coarse_dis: numpy.ndarray, params: SearchParameters | None) -> tuple";

/// What `search_preassigned` is asked for.
pub struct Preassigned<'a> {
    /// `n * d` numbers.
    pub x: &'a [f32],
    pub k: usize,
    /// The lists of each query, and the distances to their centroids: `n * nprobe` each.
    pub list_nos: &'a [i64],
    pub coarse: &'a [f32],
    pub params: Option<&'a dyn Object>,
    pub store_pairs: bool,
}

/// Takes the arguments of `search_preassigned` apart, has `search` fill distances and labels, `n * k` each, and returns them. `rows` is
/// the number of vectors in `x`.
pub fn search_preassigned(
    args: &[Value],
    rows: impl FnOnce(&[f32]) -> Result<usize>,
    search: impl FnOnce(Preassigned<'_>, &mut [f32], &mut [i64]) -> Result<()>,
) -> Result<Value> {
    let ([Value::F32(x, _), Value::Int(k), Value::I64(list_nos, _), Value::F32(coarse, _)], rest) =
        args.split_at(args.len().min(4))
    else {
        return Err(no_overload("search_preassigned", &[PREASSIGNED]));
    };
    let (params, store_pairs) = match rest {
        [] | [Value::None] => (None, false),
        [Value::Handle(params)] => (Some(params.object()), false),
        [Value::None, Value::Bool(pairs)] => (None, *pairs),
        [Value::Handle(params), Value::Bool(pairs)] => (Some(params.object()), *pairs),
        _ => return Err(no_overload("search_preassigned", &[PREASSIGNED])),
    };
    let k = usize::try_from(*k).ok().filter(|k| *k > 0).ok_or_else(|| Error::failed("k > 0", ""))?;
    let n = rows(x)?;
    let (mut distances, mut labels) = (vec![0f32; n * k], vec![-1i64; n * k]);
    let params = params.as_ref().map(|p| p.read());
    let wanted = Preassigned { x, k, list_nos, coarse, params: params.as_deref(), store_pairs };
    search(wanted, &mut distances, &mut labels)?;
    Ok(Value::List(vec![Value::F32(distances, vec![n, k]), Value::I64(labels, vec![n, k])]))
}

/// One number of an existing list for each of `n` vectors.
fn check_list_nos(ivf: &IndexIVF, n: usize, list_nos: &[i64]) -> Result<()> {
    Error::check(list_nos.len() == n, "list_nos.size() == n")?;
    match list_nos.iter().find(|list| !(0..ivf.nlist as i64).contains(*list)) {
        Some(list) => Err(Error::failed("list_no < nlist", format!("there is no list {list} among {}", ivf.nlist))),
        None => Ok(()),
    }
}

/// An index among the arguments, as the inverted file it is.
fn with_file_mut<T>(value: &Value, work: impl FnOnce(&mut dyn InvertedFile) -> Result<T>) -> Result<T> {
    let Value::Handle(other) = value else {
        return Err(Error::type_error("an IndexIVF is wanted here"));
    };
    work(&mut *other.view::<dyn InvertedFile>()?.write())
}

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "make_direct_map",
        signature: "(self, new_maintain_direct_map: bool = True) -> None",
        doc: "Makes a map from ids to entries, by array, so that vectors can be reconstructed; or drops it.",
        call: MethodCall::Write(|object, args| {
            let kind = match args {
                [] | [Value::Bool(true)] => 1,
                [Value::Bool(false)] => 0,
                [Value::Int(kind)] => (*kind).clamp(-1, 3) as i32,
                _ => return Err(no_overload("make_direct_map", &["(new_maintain_direct_map: bool = True)"])),
            };
            edit::set_direct_map_type(receiver_mut(object)?, kind)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "set_direct_map_type",
        signature: "(self, type: int) -> None",
        doc: "Makes a map from ids to entries: 0 none, 1 by array (ids count up from 0), 2 by hash table (any ids).",
        call: MethodCall::Write(|object, args| {
            let [Value::Int(kind)] = args else { return Err(no_overload("set_direct_map_type", &["(type: int)"])) };
            edit::set_direct_map_type(receiver_mut(object)?, (*kind).clamp(-1, 3) as i32)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "get_list_size",
        signature: "(self, list_no: int) -> int",
        doc: "Number of entries of a list.",
        call: MethodCall::Read(|object, args| {
            let [Value::Int(list)] = args else { return Err(no_overload("get_list_size", &["(list_no: int)"])) };
            let lists = receiver::<IndexIVF>(object)?.lists()?;
            let list = lists.check_list(*list)?;
            Ok(Value::Int(lists.list_size(list) as i64))
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
                    search::search_preassigned(index, p.x, p.k, p.list_nos, p.coarse, params, distances, labels, pairs)
                },
            )
        }),
    },
    Method {
        name: "range_search_preassigned",
        signature: RANGE_PREASSIGNED,
        doc: "All entries nearer than the radius in the given lists; lists as for `search_preassigned`. Returns lims, distances and ids.",
        call: MethodCall::Read(|object, args| {
            let (x, radius, list_nos, coarse, params) = match args {
                [Value::F32(x, _), Value::Float(radius), Value::I64(l, _), Value::F32(c, _), Value::None] => {
                    (x, *radius, l, c, None)
                }
                [Value::F32(x, _), Value::Float(radius), Value::I64(l, _), Value::F32(c, _), Value::Handle(p)] => {
                    (x, *radius, l, c, Some(p.object()))
                }
                _ => return Err(no_overload("range_search_preassigned", &[RANGE_PREASSIGNED])),
            };
            let params = params.as_ref().map(|p| p.read());
            let radius = radius as f32;
            let found =
                search::range_search_preassigned(file(object)?, x, radius, list_nos, coarse, params.as_deref())?;
            let (lims, n) = (found.lims.iter().map(|l| *l as i64).collect::<Vec<_>>(), found.labels.len());
            let queries = lims.len();
            Ok(Value::List(vec![
                Value::I64(lims, vec![queries]),
                Value::F32(found.distances, vec![n]),
                Value::I64(found.labels, vec![n]),
            ]))
        }),
    },
    Method {
        name: "encode_vectors",
        signature: "(self, x: numpy.ndarray, list_nos: numpy.ndarray) -> numpy.ndarray",
        doc: "The codes of vectors (n, d) for their lists (n,): (n, code_size) of uint8.",
        call: MethodCall::Read(|object, args| {
            let [Value::F32(x, _), Value::I64(list_nos, _)] = args else {
                return Err(no_overload("encode_vectors", &["(x: numpy.ndarray, list_nos: numpy.ndarray)"]));
            };
            let index = file(object)?;
            Error::check(index.ivf().is_trained, "is_trained")?;
            let n = index.ivf().rows(x)?;
            check_list_nos(index.ivf(), n, list_nos)?;
            let mut codes = vec![0u8; n * index.ivf().code_size];
            index.encode_vectors(x, list_nos, &mut codes)?;
            Ok(Value::U8(codes, vec![n, index.ivf().code_size]))
        }),
    },
    Method {
        name: "decode_vectors",
        signature: "(self, codes: numpy.ndarray, list_nos: numpy.ndarray) -> numpy.ndarray",
        doc: "The vectors (n, d) that codes (n, code_size) in their lists (n,) stand for.",
        call: MethodCall::Read(|object, args| {
            let [Value::U8(codes, _), Value::I64(list_nos, _)] = args else {
                return Err(no_overload("decode_vectors", &["(codes: numpy.ndarray, list_nos: numpy.ndarray)"]));
            };
            let index = file(object)?;
            Error::check(index.ivf().is_trained, "is_trained")?;
            let n = list_nos.len();
            check_list_nos(index.ivf(), n, list_nos)?;
            Error::check(codes.len() == n * index.ivf().code_size, "codes.size() == n * code_size")?;
            let mut x = vec![0f32; n * index.ivf().dim()];
            index.decode_vectors(codes, list_nos, &mut x)?;
            Ok(Value::F32(x, vec![n, index.ivf().dim()]))
        }),
    },
    Method {
        name: "train_encoder_num_vectors",
        signature: "(self) -> int",
        doc: "The most vectors that the training of the encoder uses; 0 for none.",
        call: MethodCall::Read(|object, _| Ok(Value::Int(file(object)?.train_encoder_num_vectors() as i64))),
    },
    Method {
        name: "update_vectors",
        signature: "(self, keys: numpy.ndarray, x: numpy.ndarray) -> None",
        doc: "Gives existing ids (n,) other vectors (n, d). Needs a direct map.",
        call: MethodCall::Write(|object, args| {
            let [Value::I64(ids, _), Value::F32(x, _)] = args else {
                return Err(no_overload("update_vectors", &["(keys: numpy.ndarray, x: numpy.ndarray)"]));
            };
            edit::update_vectors(file_mut(object)?, ids, x)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "add_core",
        signature: "(self, x: numpy.ndarray, ids: numpy.ndarray | None, coarse_idx: numpy.ndarray) -> None",
        doc: "Adds vectors (n, d) to the given lists (n,); -1 means that the vector is counted but in no list.",
        call: MethodCall::Write(|object, args| {
            let (x, ids, list_nos) = match args {
                [Value::F32(x, _), Value::I64(ids, _), Value::I64(list_nos, _)] => (x, Some(&ids[..]), list_nos),
                [Value::F32(x, _), Value::None, Value::I64(list_nos, _)] => (x, None, list_nos),
                _ => {
                    let signature = "(x: numpy.ndarray, ids: numpy.ndarray | None, coarse_idx: numpy.ndarray)";
                    return Err(no_overload("add_core", &[signature]));
                }
            };
            edit::add_core(file_mut(object)?, x, ids, list_nos)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "reconstruct_from_offset",
        signature: "(self, list_no: int, offset: int) -> numpy.ndarray",
        doc: "The vector of an entry of a list, as its code gives it: (d,).",
        call: MethodCall::Read(|object, args| {
            let [Value::Int(list), Value::Int(offset)] = args else {
                return Err(no_overload("reconstruct_from_offset", &["(list_no: int, offset: int)"]));
            };
            let index = file(object)?;
            let d = index.ivf().dim();
            let mut x = vec![0f32; d];
            edit::reconstruct_from_offset(index, *list, *offset, &mut x)?;
            Ok(Value::F32(x, vec![d]))
        }),
    },
    Method {
        name: "copy_subset_to",
        signature: "(self, other: IndexIVF, subset_type: int, a1: int, a2: int) -> None",
        doc: "Copies entries to another index: by id from a1 to before a2 (0), by id modulo a1 being a2 (1), by number of entry (2), the part a2 of a1 of each list (3), by number of list (4).",
        call: MethodCall::Read(|object, args| {
            let [other, Value::Int(kind), Value::Int(a1), Value::Int(a2)] = args else {
                return Err(no_overload("copy_subset_to", &["(other: IndexIVF, subset_type: int, a1: int, a2: int)"]));
            };
            let ivf = receiver::<IndexIVF>(object)?;
            let kind = i32::try_from(*kind).map_err(|_| Error::overflow("subset_type"))?;
            with_file_mut(other, |other| edit::copy_subset_to(ivf, other.ivf_mut(), kind, *a1, *a2))?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "replace_invlists",
        signature: "(self, il: InvertedLists, own: bool = False) -> None",
        doc: "Takes other lists.",
        call: MethodCall::Write(|object, args| {
            let lists = match args {
                [Value::Handle(lists)] | [Value::Handle(lists), Value::Bool(_)] => Some(lists.view()?),
                [Value::None] | [Value::None, Value::Bool(_)] => None,
                _ => return Err(no_overload("replace_invlists", &["(il: InvertedLists, own: bool = False)"])),
            };
            let own = matches!(args.get(1), Some(Value::Bool(true)));
            receiver_mut::<IndexIVF>(object)?.replace_invlists(lists, own)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "coarse_code_size",
        signature: "(self) -> int",
        doc: "Bytes of a list's number in standalone codes.",
        call: MethodCall::Read(|object, _| Ok(Value::Int(receiver::<IndexIVF>(object)?.coarse_code_size() as i64))),
    },
    Method {
        name: "train_q1",
        signature: "(self, x: numpy.ndarray) -> None",
        doc: "Trains the quantizer only.",
        call: MethodCall::Write(|object, args| {
            let [Value::F32(x, _)] = args else { return Err(no_overload("train_q1", &["(x: numpy.ndarray)"])) };
            super::train::train_quantizer(file_mut(object)?, x)?;
            Ok(Value::None)
        }),
    },
];
