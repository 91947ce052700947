//! Parameters that are tuned by name (`nprobe`, `ht`, `k_factor_rf`): each type says which it has, and its ancestors which they have.

use crate::base::object::Object;
use crate::base::view::{seen_as, seen_as_mut};
use crate::base::{FieldRef, Result, Shared, Value};
use crate::index::Index;

/// A type with parameters of its own, besides its ancestors'. `#[object(implements(Tuned))]` makes them known to `ParameterSpace`.
pub trait Tuned: Object {
    /// Sets the parameter of that name. `None` where the type has no such one.
    fn set_parameter(&mut self, _name: &str, _value: f64) -> Option<Result<()>> {
        None
    }
    /// Parameters that are worth exploring, and values for each.
    fn parameter_ranges(&self) -> Vec<(&'static str, Vec<f64>)> {
        Vec::new()
    }
    /// Of an inverted file whose coarse quantizer this is, parameters that are worth exploring beside its own.
    fn ranges_as_quantizer(&self) -> Vec<(&'static str, Vec<f64>)> {
        Vec::new()
    }
    /// The index within this one whose parameters are worth exploring too.
    fn explored(&self) -> Option<Shared<dyn Index>> {
        None
    }
}

crate::view!(Tuned, "Index");

/// The powers of two below `limit`, 2^11 at most.
pub fn powers(limit: f64) -> Vec<f64> {
    (0..12).map(|i| f64::from(1 << i)).filter(|power| *power < limit).collect()
}

/// The indexes within another.
fn within(index: &dyn Object, fields: &[&str]) -> Option<Shared<dyn Index>> {
    fields.iter().find_map(|field| match index.field(field) {
        Some(FieldRef::Value(Value::Handle(inner))) => inner.view().ok(),
        _ => None,
    })
}

/// Sets a parameter of an object or of what it is as one of its ancestors.
fn set_own(object: &mut dyn Object, name: &str, value: f64) -> Option<Result<()>> {
    if let Some(tuned) = seen_as_mut::<dyn Tuned>(object)
        && let Some(set) = tuned.set_parameter(name, value)
    {
        return Some(set);
    }
    set_own(object.parent_object_mut()?, name, value)
}

/// Sets the parameter of that name of the index, or of one within it: true once it was set. `quantizer_nprobe` is the quantizer's `nprobe`,
/// and `verbose` is set everywhere.
pub fn set(index: &Shared<dyn Index>, name: &str, value: f64) -> Result<bool> {
    let (quantizer, inner) = {
        let index = index.read();
        (within(&*index, &["quantizer"]), within(&*index, &["index", "base_index"]))
    };
    if let (Some(name), Some(quantizer)) = (name.strip_prefix("quantizer_"), &quantizer) {
        return set(quantizer, name, value);
    }
    if name == "verbose" {
        index.write().base_mut().verbose = value != 0.0;
        if let Some(inner) = inner {
            set(&inner, name, value)?;
        }
        return Ok(true);
    }
    if let Some(set) = set_own(&mut *index.write(), name, value) {
        return set.map(|()| true);
    }
    // A coarse quantizer that is a graph has what graphs have without a prefix too.
    let quantizer = quantizer.filter(|_| name.starts_with("ef"));
    inner.or(quantizer).map_or(Ok(false), |inner| set(&inner, name, value))
}

/// An object as its farthest ancestor first, as itself last.
fn lineage(object: &dyn Object) -> impl Iterator<Item = &dyn Object> {
    let own: Vec<&dyn Object> = std::iter::successors(Some(object), |object| object.parent_object()).collect();
    own.into_iter().rev()
}

/// The parameters of the index and of those within it that are worth exploring.
pub fn ranges(index: &Shared<dyn Index>) -> Vec<(String, Vec<f64>)> {
    let named = |(name, values): (&str, Vec<f64>)| (name.to_owned(), values);
    let index = index.read();
    let (mut found, mut inner, mut last) = (Vec::new(), None, Vec::new());
    // The farthest ancestor's first, each with what its quantizer has.
    for object in lineage(&*index) {
        if let Some(tuned) = seen_as::<dyn Tuned>(object) {
            inner = inner.or(tuned.explored());
            found.extend(tuned.parameter_ranges().into_iter().map(named));
        }
        if object.info().fields.iter().any(|field| field.name == "quantizer")
            && let Some(quantizer) = within(object, &["quantizer"])
        {
            let tuned = quantizer.read();
            let tuned = lineage(&*tuned).filter_map(seen_as::<dyn Tuned>);
            last.extend(tuned.flat_map(Tuned::ranges_as_quantizer).map(named));
            found.extend(ranges(&quantizer).into_iter().map(|(name, v)| (format!("quantizer_{name}"), v)));
        }
    }
    found.extend(last);
    if let Some(inner) = inner {
        found.extend(ranges(&inner));
    }
    found
}
