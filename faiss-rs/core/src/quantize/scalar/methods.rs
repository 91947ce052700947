//! What Python sees of the scalar quantizer beyond its fields.

use super::ScalarQuantizer;
use crate::base::object::{Method, MethodCall, receiver, receiver_mut};
use crate::base::{Error, Handle, Value};
use crate::quantize::codec::Quantizer;
use crate::registry::{Row, no_overload};

const SIGNATURES: &[&str] = &["()", "(d: int, qtype: int)"];

pub const ROW: Row = Row::of::<ScalarQuantizer>().construct(
    |args| match args {
        [] => Ok(Handle::new(ScalarQuantizer::default())),
        [Value::Int(d), Value::Int(qtype)] => {
            let d = usize::try_from(*d).map_err(|_| Error::overflow("d is out of range for size_t"))?;
            Ok(Handle::new(ScalarQuantizer::new(d, qtype_of(*qtype))?))
        }
        _ => Err(no_overload("ScalarQuantizer", SIGNATURES)),
    },
    SIGNATURES,
);

/// A type's number; one that no `i32` holds is none that is known.
pub fn qtype_of(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(-1)
}

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "train",
        signature: "(self, x: numpy.ndarray) -> None",
        doc: "Learns the ranges of coordinates from vectors (n, d); types without ranges look at none.",
        call: MethodCall::Write(|object, args| {
            let [Value::F32(x, _)] = args else { return Err(no_overload("train", &["(x: numpy.ndarray)"])) };
            receiver_mut::<ScalarQuantizer>(object)?.train(x)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "compute_codes",
        signature: "(self, x: numpy.ndarray) -> numpy.ndarray",
        doc: "Encodes vectors (n, d) to codes (n, code_size) of uint8.",
        call: MethodCall::Read(|object, args| {
            let sq = receiver::<ScalarQuantizer>(object)?;
            let [Value::F32(x, _)] = args else { return Err(no_overload("compute_codes", &["(x: numpy.ndarray)"])) };
            let n = x.len() / sq.d.max(1);
            let mut codes = vec![0; n * sq.code_size];
            sq.compute_codes(x, &mut codes)?;
            Ok(Value::U8(codes, vec![n, sq.code_size]))
        }),
    },
    Method {
        name: "decode",
        signature: "(self, codes: numpy.ndarray) -> numpy.ndarray",
        doc: "Decodes codes (n, code_size) of uint8 to vectors (n, d).",
        call: MethodCall::Read(|object, args| {
            let sq = receiver::<ScalarQuantizer>(object)?;
            let [Value::U8(codes, shape)] = args else {
                return Err(no_overload("decode", &["(codes: numpy.ndarray)"]));
            };
            // Codes of no bytes have no number but their shape's.
            let n = codes.len().checked_div(sq.code_size).or(shape.first().copied()).unwrap_or(0);
            let mut x = vec![0.0; n * sq.d];
            sq.decode(codes, &mut x)?;
            Ok(Value::F32(x, vec![n, sq.d]))
        }),
    },
    Method {
        name: "set_derived_sizes",
        signature: "(self) -> None",
        doc: "Sets what follows from d and qtype.",
        call: MethodCall::Write(|object, _| {
            receiver_mut::<ScalarQuantizer>(object)?.set_derived_sizes()?;
            Ok(Value::None)
        }),
    },
];
