//! What Python calls on the graph.

use super::HNSW;
use crate::base::object::{Method, MethodCall, Object, receiver, receiver_mut};
use crate::base::{Error, Handle, Result, Value};
use crate::registry::{Row, no_overload};

const SIGNATURES: &[&str] = &["(M: int = 32)"];

pub const ROW: Row = Row::of::<HNSW>().construct(
    |args| match args {
        [] => Ok(Handle::new(HNSW::default())),
        [Value::Int(m)] => Ok(Handle::new(HNSW::new(int(*m)?)?)),
        _ => Err(no_overload("HNSW", SIGNATURES)),
    },
    SIGNATURES,
);

fn int(v: i64) -> Result<i32> {
    i32::try_from(v).map_err(|_| Error::overflow("the number is out of range for int"))
}

fn size(v: i64) -> Result<usize> {
    usize::try_from(v).map_err(|_| Error::overflow("the number is out of range for size_t"))
}

/// A method of one level that gives a number.
fn of_level(object: &dyn Object, args: &[Value], name: &str, get: fn(&HNSW, usize) -> Result<usize>) -> Result<Value> {
    let [Value::Int(level)] = args else { return Err(no_overload(name, &["(layer_no: int)"])) };
    Ok(Value::Int(get(receiver(object)?, size(*level)?)? as i64))
}

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "set_default_probas",
        signature: "(self, M: int, levelMult: float) -> None",
        doc: "Sets the probabilities of levels, each rarer by a factor of exp(1 / levelMult), and M links a vertex, 2 * M at level 0.",
        call: MethodCall::Write(|object, args| {
            let (m, mult) = match args {
                [Value::Int(m), Value::Float(mult)] => (*m, *mult),
                [Value::Int(m), Value::Int(mult)] => (*m, *mult as f64),
                _ => return Err(no_overload("set_default_probas", &["(M: int, levelMult: float)"])),
            };
            Error::check(m >= 1, "M >= 1")?;
            receiver_mut::<HNSW>(object)?.set_default_probas(int(m)?, mult as f32);
            Ok(Value::None)
        }),
    },
    Method {
        name: "nb_neighbors",
        signature: "(self, layer_no: int) -> int",
        doc: "Slots for links of a vertex at this level.",
        call: MethodCall::Read(|object, args| of_level(object, args, "nb_neighbors", HNSW::nb_neighbors)),
    },
    Method {
        name: "cum_nb_neighbors",
        signature: "(self, layer_no: int) -> int",
        doc: "Slots for links of a vertex below this level.",
        call: MethodCall::Read(|object, args| of_level(object, args, "cum_nb_neighbors", HNSW::cum_nb_neighbors)),
    },
    Method {
        name: "set_nb_neighbors",
        signature: "(self, level_no: int, n: int) -> None",
        doc: "Makes room for n links of a vertex at this level, before there are vertices.",
        call: MethodCall::Write(|object, args| {
            let [Value::Int(level), Value::Int(n)] = args else {
                return Err(no_overload("set_nb_neighbors", &["(level_no: int, n: int)"]));
            };
            receiver_mut::<HNSW>(object)?.set_nb_neighbors(size(*level)?, int(*n)?)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "neighbor_range",
        signature: "(self, no: int, layer_no: int) -> tuple[int, int]",
        doc: "Where in `neighbors` the slots of a vertex at a level begin and end.",
        call: MethodCall::Read(|object, args| {
            let [Value::Int(vertex), Value::Int(level)] = args else {
                return Err(no_overload("neighbor_range", &["(no: int, layer_no: int)"]));
            };
            let range = receiver::<HNSW>(object)?.neighbor_range(size(*vertex)?, size(*level)?)?;
            Ok(Value::List(vec![Value::Int(range.start as i64), Value::Int(range.end as i64)]))
        }),
    },
    Method {
        name: "random_level",
        signature: "(self) -> int",
        doc: "Draws a level, 0 for the lowest.",
        call: MethodCall::Write(|object, _| Ok(Value::Int(i64::from(receiver_mut::<HNSW>(object)?.random_level())))),
    },
    Method {
        name: "prepare_level_tab",
        signature: "(self, n: int, preset_levels: bool = False) -> int",
        doc: "Makes room for n more vertices and draws their levels, unless `levels` has them already. Returns the highest of their levels.",
        call: MethodCall::Write(|object, args| {
            let (n, preset) = match args {
                [Value::Int(n)] => (*n, false),
                [Value::Int(n), Value::Bool(preset)] => (*n, *preset),
                [Value::Int(n), Value::Int(preset)] => (*n, *preset != 0),
                _ => return Err(no_overload("prepare_level_tab", &["(n: int, preset_levels: bool = False)"])),
            };
            Ok(Value::Int(i64::from(receiver_mut::<HNSW>(object)?.prepare_level_tab(size(n)?, preset)?)))
        }),
    },
    Method {
        name: "clear_neighbor_tables",
        signature: "(self, level: int) -> None",
        doc: "Removes all links of this level.",
        call: MethodCall::Write(|object, args| {
            let [Value::Int(level)] = args else {
                return Err(no_overload("clear_neighbor_tables", &["(level: int)"]));
            };
            receiver_mut::<HNSW>(object)?.clear_neighbor_tables(size(*level)?)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "fill_with_random_links",
        signature: "(self, n: int) -> None",
        doc: "Adds n vertices whose links of the lowest level lead anywhere, to compare with.",
        call: MethodCall::Write(|object, args| {
            let [Value::Int(n)] = args else { return Err(no_overload("fill_with_random_links", &["(n: int)"])) };
            receiver_mut::<HNSW>(object)?.fill_with_random_links(size(*n)?)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "print_neighbor_stats",
        signature: "(self, level: int) -> None",
        doc: "Prints how many links the vertices of a level have, how many lead both ways, and how many ends are also reached in two steps.",
        call: MethodCall::Read(|object, args| {
            let [Value::Int(level)] = args else { return Err(no_overload("print_neighbor_stats", &["(level: int)"])) };
            let stats = receiver::<HNSW>(object)?.neighbor_stats(size(*level)?)?;
            let each = |count: usize| count as f64 / stats.vertices as f64;
            println!("stats on level {level}, max {} neighbors per vertex:", stats.slots);
            println!("   nb of nodes at that level {}", stats.vertices);
            println!("   neighbors per node: {:.2} ({})", each(stats.links), stats.links);
            println!("   nb of reciprocal neighbors: {:.2}", each(stats.reciprocal));
            let near = stats.in_two_steps;
            println!("   nb of neighbors that are also neighbor-of-neighbors: {:.2} ({near})", each(near));
            Ok(Value::None)
        }),
    },
    Method {
        name: "permute_entries",
        signature: "(self, map: numpy.ndarray) -> None",
        doc: "Renumbers the vertices: vertex i becomes what vertex map[i] was. `map` is a permutation.",
        call: MethodCall::Write(|object, args| {
            let [Value::I64(perm, _)] = args else {
                return Err(no_overload("permute_entries", &["(map: numpy.ndarray)"]));
            };
            receiver_mut::<HNSW>(object)?.permute_entries(perm)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "reset",
        signature: "(self) -> None",
        doc: "Removes all vertices.",
        call: MethodCall::Write(|object, _| {
            receiver_mut::<HNSW>(object)?.reset();
            Ok(Value::None)
        }),
    },
];
