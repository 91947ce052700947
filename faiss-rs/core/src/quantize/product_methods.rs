//! What Python sees of the product quantizer beyond its fields: constructor and methods on arrays.

use super::product::ProductQuantizer;
use crate::base::object::{Method, MethodCall, receiver, receiver_mut};
use crate::base::{Error, Handle, Result, Value};
use crate::registry::{Row, no_overload};

const SIGNATURES: &[&str] = &["()", "(d: int, M: int, nbits: int)"];

pub const ROW: Row = Row::of::<ProductQuantizer>().construct(
    |args| match args {
        [] => Ok(Handle::new(ProductQuantizer::default())),
        [Value::Int(d), Value::Int(m), Value::Int(nbits)] => {
            let size =
                |v: i64| usize::try_from(v).map_err(|_| Error::overflow("the number is out of range for size_t"));
            Ok(Handle::new(ProductQuantizer::new(size(*d)?, size(*m)?, size(*nbits)?)?))
        }
        _ => Err(no_overload("ProductQuantizer", SIGNATURES)),
    },
    SIGNATURES,
);

fn tables(pq: &ProductQuantizer, args: &[Value], name: &str, inner_products: bool) -> Result<Value> {
    let [Value::F32(x, shape)] = args else { return Err(no_overload(name, &["(x: numpy.ndarray)"])) };
    let rows = x.len() / pq.d.max(1);
    let mut out = vec![0.0; rows * pq.M * pq.ksub];
    pq.tables(x, inner_products, &mut out)?;
    let mut size = if shape.len() == 1 { vec![] } else { vec![rows] };
    size.extend([pq.M, pq.ksub]);
    Ok(Value::F32(out, size))
}

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "train",
        signature: "(self, x: numpy.ndarray) -> None",
        doc: "Learns the centroids from vectors (n, d), of which there must be at least `ksub`.",
        call: MethodCall::Write(|object, args| {
            let [Value::F32(x, _)] = args else { return Err(no_overload("train", &["(x: numpy.ndarray)"])) };
            receiver_mut::<ProductQuantizer>(object)?.train(x)?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "compute_codes",
        signature: "(self, x: numpy.ndarray) -> numpy.ndarray",
        doc: "Encodes vectors (n, d) to codes (n, code_size) of uint8.",
        call: MethodCall::Read(|object, args| {
            let pq = receiver::<ProductQuantizer>(object)?;
            let [Value::F32(x, _)] = args else { return Err(no_overload("compute_codes", &["(x: numpy.ndarray)"])) };
            let n = x.len() / pq.d.max(1);
            let mut codes = vec![0; n * pq.code_size];
            pq.compute_codes(x, &mut codes)?;
            Ok(Value::U8(codes, vec![n, pq.code_size]))
        }),
    },
    Method {
        name: "decode",
        signature: "(self, codes: numpy.ndarray) -> numpy.ndarray",
        doc: "Decodes codes (n, code_size) of uint8 to vectors (n, d).",
        call: MethodCall::Read(|object, args| {
            let pq = receiver::<ProductQuantizer>(object)?;
            let [Value::U8(codes, _)] = args else { return Err(no_overload("decode", &["(codes: numpy.ndarray)"])) };
            let n = codes.len() / pq.code_size.max(1);
            let mut x = vec![0.0; n * pq.d];
            pq.decode(codes, &mut x)?;
            Ok(Value::F32(x, vec![n, pq.d]))
        }),
    },
    Method {
        name: "compute_distance_tables",
        signature: "(self, x: numpy.ndarray) -> numpy.ndarray",
        doc: "Squared distances of the parts of vectors (n, d) to all centroids: (n, M, ksub).",
        call: MethodCall::Read(|object, args| tables(receiver(object)?, args, "compute_distance_tables", false)),
    },
    Method {
        name: "compute_inner_prod_tables",
        signature: "(self, x: numpy.ndarray) -> numpy.ndarray",
        doc: "Inner products of the parts of vectors (n, d) with all centroids: (n, M, ksub).",
        call: MethodCall::Read(|object, args| tables(receiver(object)?, args, "compute_inner_prod_tables", true)),
    },
    Method {
        name: "set_derived_values",
        signature: "(self) -> None",
        doc: "Sets what follows from d, M and nbits.",
        call: MethodCall::Write(|object, _| {
            receiver_mut::<ProductQuantizer>(object)?.set_derived_values()?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "compute_sdc_table",
        signature: "(self) -> None",
        doc: "Fills `sdc_table` with the squared distances between centroids.",
        call: MethodCall::Write(|object, _| {
            receiver_mut::<ProductQuantizer>(object)?.compute_sdc_table()?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "sync_transposed_centroids",
        signature: "(self) -> None",
        doc: "Fills `transposed_centroids` and `centroids_sq_lengths`.",
        call: MethodCall::Write(|object, _| {
            receiver_mut::<ProductQuantizer>(object)?.sync_transposed_centroids()?;
            Ok(Value::None)
        }),
    },
    Method {
        name: "clear_transposed_centroids",
        signature: "(self) -> None",
        doc: "Drops `transposed_centroids` and `centroids_sq_lengths`.",
        call: MethodCall::Write(|object, _| {
            let pq = receiver_mut::<ProductQuantizer>(object)?;
            (pq.transposed_centroids, pq.centroids_sq_lengths) = (Vec::new(), Vec::new());
            Ok(Value::None)
        }),
    },
];
