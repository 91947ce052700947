//! Files: byte for byte, both ways, and whatever is cut or wrong is an error.

use faiss_core::base::object::copy;
use faiss_core::base::{Handle, MetricType};
use faiss_core::index::Index;
use faiss_core::index::flat::IndexFlat;
use faiss_core::index::flat_1d::IndexFlat1D;
use faiss_core::index::flat_ip::IndexFlatIP;
use faiss_core::index::flat_l2::IndexFlatL2;
use faiss_core::io::{deserialize_index, read_index, read_index_file, serialize_index, write_index_file};
use faiss_core::stream;

fn all() -> Vec<Box<dyn Index>> {
    let mut all: Vec<Box<dyn Index>> =
        vec![Box::new(IndexFlatL2::new(3).unwrap()), Box::new(IndexFlatIP::new(3).unwrap())];
    for metric in MetricType::ALL {
        let mut index = IndexFlat::new(3, metric).unwrap();
        index.metric_arg = 1.5;
        all.push(Box::new(index));
    }
    all.iter_mut().for_each(|index| index.add(&[1.0, -2.0, 3.5, 0.0, f32::MAX, 1e-40]).unwrap());
    all
}

fn index(handle: &Handle) -> faiss_core::base::Shared<dyn Index> {
    handle.view().unwrap()
}

#[test]
fn bytes_of_faiss() {
    let mut index = IndexFlat1D::new(true);
    index.add(&[3.0, 1.0, 2.0]).unwrap();
    let mut want =
        b"IxF2\x01\0\0\0\x03\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x10\0\0\0\0\0\x01\x01\0\0\0\x03\0\0\0\0\0\0\0"
            .to_vec();
    want.extend([3.0f32, 1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()));
    assert_eq!(serialize_index(&index, 0).unwrap(), want);
    let canberra = IndexFlat::new(4, MetricType::Canberra).unwrap();
    let want =
        b"IxFl\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x10\0\0\0\0\0\x01\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(serialize_index(&canberra, 0).unwrap(), want);
}

#[test]
fn both_ways_and_clones() {
    for original in all() {
        let bytes = serialize_index(&*original, 0).unwrap();
        // Files name the metric, not the type.
        let loaded = match original.base().metric_type {
            MetricType::InnerProduct => "IndexFlatIP",
            MetricType::L2 => "IndexFlatL2",
            _ => "IndexFlat",
        };
        let copies =
            [(deserialize_index(&bytes, 0).unwrap(), loaded), (copy(&*original).unwrap(), original.info().name)];
        for (copy, name) in copies {
            let copy = index(&copy);
            assert_eq!(copy.read().info().name, name);
            assert_eq!(serialize_index(&*copy.read(), 0).unwrap(), bytes);
        }
    }
}

#[test]
fn every_cut_is_an_error() {
    for original in all() {
        let bytes = serialize_index(&*original, 0).unwrap();
        for cut in 0..bytes.len() {
            assert!(deserialize_index(&bytes[..cut], 0).is_err(), "{} cut at {cut}", original.info().name);
        }
    }
}

/// A source that does not know its length, as a pipe, and that gives little at a time.
struct Trickle<'a>(&'a [u8]);
impl stream::Source for Trickle<'_> {
    fn name(&self) -> String {
        "pipe".into()
    }
    fn read(&mut self, out: &mut [u8]) -> faiss_core::base::Result<usize> {
        let n = out.len().min(self.0.len()).min(3);
        out[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

#[test]
fn streams_without_a_length() {
    let bytes = serialize_index(&*all()[0], 0).unwrap();
    let mut longer = bytes.clone();
    longer.extend(b"rest");
    let mut source = Trickle(&longer);
    assert_eq!(serialize_index(&*index(&read_index(&mut source, 0).unwrap()).read(), 0).unwrap(), bytes);
    assert_eq!(source.0, b"rest");
    for cut in 0..bytes.len() {
        assert!(read_index(&mut Trickle(&bytes[..cut]), 0).is_err());
    }
    // A claim of 2^37 numbers costs no memory, with or without a known end.
    let mut huge = bytes;
    huge[37..45].copy_from_slice(&(1u64 << 37).to_le_bytes());
    assert!(read_index(&mut Trickle(&huge), 0).unwrap_err().to_string().contains("read error in pipe"));
    assert!(deserialize_index(&huge, 0).unwrap_err().to_string().contains("read error"));
}

#[test]
fn wrong_bytes_name_what_is_wrong() {
    let bytes = serialize_index(&*all()[0], 0).unwrap();
    let with = |at: usize, new: &[u8]| {
        let mut bad = bytes.clone();
        bad[at..at + new.len()].copy_from_slice(new);
        deserialize_index(&bad, 0).map(|_| ()).unwrap_err().to_string()
    };
    assert!(with(0, b"ABCD").contains("Index type 0x44434241 (\"ABCD\") not recognized"));
    assert!(with(4, &[255; 4]).contains("idx.d (= -1) out of range [0, 1048577)"));
    assert!(with(4, &[5, 0, 0, 0]).contains("codes.size() == ntotal * code_size"));
    assert!(with(8, &[255; 8]).contains("invalid ntotal -1 read from index"));
    assert!(with(32, &[7]).contains("invalid bool encoding 0x07 for idx.is_trained"));
    assert!(with(33, &[7]).contains("metric type"));
    assert!(with(37, &[0, 0, 0, 0, 0, 0, 0, 7]).contains("get_deserialization_vector_byte_limit"));
    assert!(with(0, b"null").contains("null index"));
    // Any byte may be anything: an index or an error, never a panic.
    for at in 0..bytes.len() {
        for value in [0, 1, 2, 127, 128, 255] {
            let mut bad = bytes.clone();
            bad[at] = value;
            let _ = deserialize_index(&bad, 0);
        }
    }
}

#[test]
fn paths() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("an index").to_str().unwrap().to_owned();
    let original = &all()[0];
    write_index_file(&**original, &path, 0).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), serialize_index(&**original, 0).unwrap());
    assert_eq!(
        serialize_index(&*index(&read_index_file(&path, 0).unwrap()).read(), 0).unwrap(),
        std::fs::read(&path).unwrap()
    );
    let error = |e: faiss_core::base::Error| e.to_string();
    let missing = dir.path().join("none/x").to_str().unwrap().to_owned();
    let text = format!("could not open {missing} for reading: No such file or directory");
    assert!(read_index_file(&missing, 0).map(|_| ()).map_err(error).unwrap_err().ends_with(&text));
    let text = format!("could not open {missing} for writing: No such file or directory");
    assert!(write_index_file(&**original, &missing, 0).map_err(error).unwrap_err().ends_with(&text));
    assert!(read_index_file(dir.path().to_str().unwrap(), 0).is_err());
    if std::path::Path::new("/dev/full").exists() {
        let text = write_index_file(&**original, "/dev/full", 0).map_err(error).unwrap_err();
        assert!(text.ends_with("write error in /dev/full: No space left on device"), "{text}");
    }
}
