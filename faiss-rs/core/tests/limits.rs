//! The limits of what files may ask for, which are the process's: a test of its own, as others read files meanwhile.

use faiss_core::base::{MetricType, Shared};
use faiss_core::index::Index;
use faiss_core::index::flat_l2::IndexFlatL2;
use faiss_core::index::ivf::flat::IndexIVFFlat;
use faiss_core::io::{deserialize_index, serialize_index};
use faiss_core::stream;

#[test]
fn limits_are_the_callers() {
    assert_eq!(stream::get_deserialization_vector_byte_limit(), 1 << 40);
    assert_eq!(stream::get_deserialization_loop_limit(), 0);
    let mut flat = IndexFlatL2::new(2).unwrap();
    flat.add(&[1.0, 2.0, 3.0, 4.0]).unwrap();
    let bytes = serialize_index(&flat, 0).unwrap();
    let refused = |bytes: &[u8]| deserialize_index(bytes, 0).map(drop).unwrap_err().to_string();
    // The codes are 16 bytes, and a limit is what is refused already.
    stream::set_deserialization_vector_byte_limit(16);
    assert!(refused(&bytes).contains("get_deserialization_vector_byte_limit"));
    stream::set_deserialization_vector_byte_limit(17);
    assert!(deserialize_index(&bytes, 0).is_ok());
    stream::set_deserialization_vector_byte_limit(1 << 40);
    let quantizer = Shared::new(IndexFlatL2::new(2).unwrap());
    let lists = IndexIVFFlat::new(quantizer, 2, 9, MetricType::L2, true).unwrap();
    let bytes = serialize_index(&lists, 0).unwrap();
    stream::set_deserialization_loop_limit(8);
    assert!(refused(&bytes).contains("nlist"));
    stream::set_deserialization_loop_limit(9);
    assert!(deserialize_index(&bytes, 0).is_ok());
    stream::set_deserialization_loop_limit(0);
}
