//! What is fuzzed: files and descriptions from strangers. Each ends in an index that can be used or in an error, in bounded time and memory; never
//! in a panic. `cargo fuzz` runs these functions, and so does `core/tests/fuzz.rs` over the kept corpus. See README.md.

use faiss_core::base::{Handle, MetricType, Shared};
use faiss_core::binary::IndexBinary;
use faiss_core::factory;
use faiss_core::index::Index;
use faiss_core::io;
use faiss_core::selector::IDSelectorRange;

/// Larger vectors than these are read, but not searched for: that takes its time, and rightly so.
const MAX_D: usize = 1 << 12;
const K: usize = 3;

/// An index over floats, from the bytes of a file.
pub fn read_index(data: &[u8]) {
    let Ok(handle) = io::deserialize_index(data, 0) else { return };
    let Ok(index) = handle.view::<dyn Index>() else { return };
    write_and_read(&handle);
    use_index(&index);
}

/// An index that was read can be written, and is written as it is read again.
fn write_and_read(index: &Handle) {
    // What was in no list has no form in a file.
    let Ok(written) = io::serialize_index(&*index.read(), 0) else { return };
    let again = io::deserialize_index(&written, 0).expect("what was written can be read");
    let again = io::serialize_index(&*again.read(), 0).expect("what was read can be written");
    assert!(again == written, "an index is written as it was read");
}

/// Calls what a program calls next.
fn use_index(index: &Shared<dyn Index>) {
    let d = index.read().base().dim();
    if d > MAX_D {
        return;
    }
    let query: Vec<f32> = (0..d).map(|i| i as f32 * 0.25 - 1.0).collect();
    let search = || {
        let (mut distances, mut labels, mut vector) = ([0.0; K], [-1; K], vec![0.0; d]);
        let index = index.read();
        let _ = index.search(&query, K, None, &mut distances, &mut labels);
        for label in labels {
            let _ = index.reconstruct(label, &mut vector);
        }
        let _ = index.range_search(&query, 1.0, None);
    };
    search();
    {
        let mut index = index.write();
        if index.base().is_trained {
            let _ = index.add(&query);
            let _ = index.add_with_ids(&query, &[7]);
        }
        let _ = index.remove_ids(&IDSelectorRange::new(0, 1));
    }
    search();
}

/// A binary index, from the bytes of a file.
pub fn read_index_binary(data: &[u8]) {
    let Ok(handle) = io::deserialize_index(data, 0) else { return };
    let Ok(index) = handle.view::<dyn IndexBinary>() else { return };
    write_and_read(&handle);
    let size = index.read().base().bytes();
    if size > MAX_D {
        return;
    }
    let query: Vec<u8> = (0..size).map(|i| i as u8 * 37).collect();
    let search = || {
        let (mut distances, mut labels, mut vector) = ([0; K], [-1; K], vec![0; size]);
        let index = index.read();
        let _ = index.search(&query, K, None, &mut distances, &mut labels);
        for label in labels {
            let _ = index.reconstruct(label, &mut vector);
        }
        let _ = index.range_search(&query, 5, None);
    };
    search();
    {
        let mut index = index.write();
        if index.base().is_trained {
            let _ = index.add(&query);
            let _ = index.add_with_ids(&query, &[7]);
        }
        let _ = index.remove_ids(&IDSelectorRange::new(0, 1));
    }
    search();
}

/// An index from its description: the first byte is the dimension, with the metric in its highest bit.
pub fn index_factory(data: &[u8]) {
    let Some((first, description)) = data.split_first() else { return };
    let Ok(description) = std::str::from_utf8(description) else { return };
    // Millions of lists and rotations of thousands of numbers take their time, and rightly so; more than there is memory for must be refused at once.
    let many = |n: &str| (4..=9).contains(&n.trim_start_matches('0').len());
    let number = |word: &str| word.ends_with(|c: char| c.is_ascii_digit());
    if description.split(|c: char| !c.is_ascii_digit()).any(many) || description.split('M').rev().skip(1).any(number) {
        return;
    }
    let metric = if first & 0x80 == 0 { MetricType::L2 } else { MetricType::InnerProduct };
    let d = i64::from(first & 0x7f);
    if let Ok(index) = factory::index_factory(d, description, metric) {
        let index: Shared<dyn Index> = index.view().expect("it makes indexes");
        use_index(&index);
    }
    let _ = faiss_core::binary::factory::index_binary_factory(8 * d, description, true);
}
