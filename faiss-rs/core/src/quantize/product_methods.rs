//! The product quantizer's methods as rows.

use super::product::ProductQuantizer;
use crate::base::object::{Method, MethodCall, receiver, receiver_mut};
use crate::base::{Error, Result, Value};
use crate::registry::no_overload;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "train",
        signature: "(self, x: numpy.ndarray) -> None",
        doc: "Trains the codebooks on vectors (n, d).",
        call: MethodCall::Write(|object, args| {
            let [Value::F32(x, _)] = args else { return Err(no_overload("train", &["(x: numpy.ndarray)"])) };
            receiver_mut::<ProductQuantizer>(object)?.train(x)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "compute_codes",
        signature: "(self, x: numpy.ndarray) -> numpy.ndarray",
        doc: "Encodes vectors (n, d) to codes (n, code_size).",
        call: MethodCall::Read(|object, args| {
            let [Value::F32(x, _)] = args else { return Err(no_overload("compute_codes", &["(x: numpy.ndarray)"])) };
            let pq = receiver::<ProductQuantizer>(object)?;
            let n = whole_rows(x.len(), pq.d)?;
            let mut codes = vec![0; n * pq.code_size];
            pq.compute_codes(x, &mut codes)?;
            Ok(Value::U8(codes, vec![n, pq.code_size]))
        }),
    },
    Method {
        name: "decode",
        signature: "(self, codes: numpy.ndarray) -> numpy.ndarray",
        doc: "Decodes codes (n, code_size) to vectors (n, d).",
        call: MethodCall::Read(|object, args| {
            let [Value::U8(codes, _)] = args else { return Err(no_overload("decode", &["(codes: numpy.ndarray)"])) };
            let pq = receiver::<ProductQuantizer>(object)?;
            let n = whole_rows(codes.len(), pq.code_size)?;
            let mut x = vec![0.0; n * pq.d];
            pq.decode(codes, &mut x)?;
            Ok(Value::F32(x, vec![n, pq.d]))
        }),
    },
    Method {
        name: "compute_distance_tables",
        signature: "(self, x: numpy.ndarray) -> numpy.ndarray",
        doc: "Squared distances of the parts of vectors (n, d) to the centroids, (n, M, ksub).",
        call: MethodCall::Read(|object, args| {
            tables(receiver(object)?, args, ProductQuantizer::compute_distance_tables)
        }),
    },
    Method {
        name: "compute_inner_prod_tables",
        signature: "(self, x: numpy.ndarray) -> numpy.ndarray",
        doc: "Inner products of the parts of vectors (n, d) with the centroids, (n, M, ksub).",
        call: MethodCall::Read(|object, args| {
            tables(receiver(object)?, args, ProductQuantizer::compute_inner_prod_tables)
        }),
    },
    Method {
        name: "compute_sdc_table",
        signature: "(self) -> None",
        doc: "Computes the distances between the centroids of each part.",
        call: MethodCall::Write(|object, args| {
            nothing("compute_sdc_table", args)?;
            receiver_mut::<ProductQuantizer>(object)?.compute_sdc_table()?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "set_derived_values",
        signature: "(self) -> None",
        doc: "Computes dsub, ksub and code_size from d, M and nbits.",
        call: MethodCall::Write(|object, args| {
            nothing("set_derived_values", args)?;
            receiver_mut::<ProductQuantizer>(object)?.set_derived_values()?;
            Ok(Value::None)
        }),
    },
];

fn nothing(name: &str, args: &[Value]) -> Result<()> {
    if args.is_empty() { Ok(()) } else { Err(no_overload(name, &["()"])) }
}

fn whole_rows(len: usize, width: usize) -> Result<usize> {
    Error::check(len.is_multiple_of(width), "the array has whole rows")?;
    Ok(len.checked_div(width).unwrap_or(0))
}

type Tables = fn(&ProductQuantizer, &[f32], &mut [f32]) -> Result<()>;

fn tables(pq: &ProductQuantizer, args: &[Value], compute: Tables) -> Result<Value> {
    let [Value::F32(x, _)] = args else { return Err(no_overload("compute_distance_tables", &["(x: numpy.ndarray)"])) };
    let n = whole_rows(x.len(), pq.d)?;
    let mut out = vec![0.0; n * pq.M * pq.ksub];
    compute(pq, x, &mut out)?;
    Ok(Value::F32(out, vec![n, pq.M, pq.ksub]))
}
