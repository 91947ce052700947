//! Parameters of indexes by name, whatever goes around the index that has them.

use faiss_derive::Object;

use crate::base::object::{FieldRef, Method, MethodCall};
use crate::base::{Error, Handle, Result, Shared, Value};
use crate::index::Index;
use crate::registry::{Row, no_overload};

/// Sets parameters of indexes by name.
#[derive(Object, Default, Clone)]
#[object(methods = METHODS)]
pub struct ParameterSpace {
    /// Verbosity.
    pub verbose: i32,
}

pub const ROW: Row = Row::of::<ParameterSpace>().construct(
    |args| match args {
        [] => Ok(Handle::new(ParameterSpace::default())),
        _ => Err(no_overload("ParameterSpace", &["()"])),
    },
    &["()"],
);

const METHODS: &[Method] = &[
    Method {
        name: "set_index_parameter",
        signature: "(self, index: Index, name: str, value: float) -> None",
        doc: "Sets the parameter of that name of the index, or of one within it. `quantizer_nprobe` is the quantizer's `nprobe`.",
        call: MethodCall::Read(|_, args| {
            let value = match args {
                [_, _, Value::Int(v)] => *v as f64,
                [_, _, Value::Float(v)] => *v,
                _ => return Err(no_overload("set_index_parameter", &["(index: Index, name: str, value: float)"])),
            };
            let [Value::Handle(index), Value::Str(name), _] = args else {
                return Err(no_overload("set_index_parameter", &["(index: Index, name: str, value: float)"]));
            };
            set_index_parameter(&index.view()?, name, value)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "set_index_parameters",
        signature: "(self, index: Index, param_string: str) -> None",
        doc: "Sets several, as in `nprobe=16,k_factor_rf=4`.",
        call: MethodCall::Read(|_, args| {
            let [Value::Handle(index), Value::Str(text)] = args else {
                return Err(no_overload("set_index_parameters", &["(index: Index, param_string: str)"]));
            };
            for part in text.split(',').filter(|part| !part.is_empty()) {
                let pair = part.split_once('=').and_then(|(name, value)| Some((name, value.parse().ok()?)));
                let wrong = || Error::failed("", format!("could not interpret parameters {part}"));
                let (name, value) = pair.ok_or_else(wrong)?;
                set_index_parameter(&index.view()?, name, value)?;
            }
            Ok(Value::None)
        }),
    },
];

/// Sets the parameter of that name of the index, or of one within it.
pub fn set_index_parameter(index: &Shared<dyn Index>, name: &str, value: f64) -> Result<()> {
    if !set(index, name, value, 0)? {
        return Err(Error::failed("", format!("ParameterSpace::set_index_parameter: could not set parameter {name}")));
    }
    Ok(())
}

/// True once it was set.
fn set(index: &Shared<dyn Index>, name: &str, value: f64, depth: usize) -> Result<bool> {
    let (own, within) = match name.strip_prefix("quantizer_") {
        Some(name) => (name, Some("quantizer")),
        None => (name, None),
    };
    let own = if own == "k_factor_rf" { "k_factor" } else { own };
    let in_graph = matches!(own, "efSearch" | "efConstruction");
    let inner = {
        let index = index.read();
        let inner = |field: &str| match index.field(field) {
            Some(FieldRef::Value(Value::Handle(inner))) => inner.view().ok(),
            _ => None,
        };
        match within.and_then(&inner) {
            Some(quantizer) => return set(&quantizer, own, value, depth + 1),
            // A coarse quantizer that is a graph has it without a prefix too.
            None if in_graph => ["index", "base_index", "quantizer"].into_iter().find_map(inner),
            None => ["index", "base_index"].into_iter().find_map(inner),
        }
    };
    if within.is_none() {
        let mut index = index.write();
        let field = if in_graph {
            index.field_mut("hnsw").and_then(|graph| graph.part_mut()?.field_mut(own))
        } else {
            index.field_mut(own)
        };
        let set = field.map(|field| {
            let whole = field.set(Value::Int(value as i64));
            if value.fract() == 0.0 { whole } else { field.set(Value::Float(value)) }
        });
        if let Some(set) = set {
            return set.map(|()| true);
        }
    }
    match inner {
        Some(inner) if depth < 64 => set(&inner, name, value, depth + 1),
        _ => Ok(false),
    }
}
