//! What Python sees of transforms beyond their fields.

use super::{VectorTransform, VectorTransformBase};
use crate::base::object::{Method, MethodCall, Object};
use crate::base::view::{view, view_mut};
use crate::base::{Result, Value};
use crate::registry::no_overload;

fn transform(object: &dyn Object) -> Result<&dyn VectorTransform> {
    view(object)
}

/// Applies `work` to the vectors of the one argument.
fn on_array(
    args: &[Value],
    name: &str,
    d_from: usize,
    d_to: usize,
    work: impl FnOnce(&[f32], &mut [f32]) -> Result<()>,
) -> Result<Value> {
    let [Value::F32(x, _)] = args else { return Err(no_overload(name, &["(x: numpy.ndarray)"])) };
    let n = VectorTransformBase::rows(x, d_from)?;
    let mut out = vec![0.0; n * d_to];
    work(x, &mut out)?;
    Ok(Value::F32(out, vec![n, d_to]))
}

fn apply(object: &dyn Object, args: &[Value]) -> Result<Value> {
    let vt = transform(object)?;
    let (d_in, d_out) = vt.base().dims();
    on_array(args, "apply", d_in, d_out, |x, out| vt.apply_noalloc(x, out))
}

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "train",
        signature: "(self, x: numpy.ndarray) -> None",
        doc: "Learns from vectors (n, d_in) what the transform needs.",
        call: MethodCall::Write(|object, args| {
            let [Value::F32(x, _)] = args else { return Err(no_overload("train", &["(x: numpy.ndarray)"])) };
            view_mut::<dyn VectorTransform>(object)?.train(x)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "apply",
        signature: "(self, x: numpy.ndarray) -> numpy.ndarray",
        doc: "Transforms vectors (n, d_in) to (n, d_out).",
        call: MethodCall::Read(apply),
    },
    Method {
        name: "apply_py",
        signature: "(self, x: numpy.ndarray) -> numpy.ndarray",
        doc: "As `apply`.",
        call: MethodCall::Read(apply),
    },
    Method {
        name: "reverse_transform",
        signature: "(self, x: numpy.ndarray) -> numpy.ndarray",
        doc: "From transformed vectors (n, d_out) back to (n, d_in), exactly or as near as the transform allows.",
        call: MethodCall::Read(|object, args| {
            let vt = transform(object)?;
            let (d_in, d_out) = vt.base().dims();
            on_array(args, "reverse_transform", d_out, d_in, |x, out| vt.reverse_transform(x, out))
        }),
    },
];
