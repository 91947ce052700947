//! Every form that files know, from the kept corpora: cut at every byte, with lengths that lie, nested without end. An error comes of that, or an index; never
//! more memory than the file pays for.

mod corpus;

use faiss_core::io::{deserialize_index, serialize_index};
use faiss_core::registry::REGISTRY;
use rayon::prelude::*;

/// Memory that reading a file of some kilobytes may take, whatever it says.
const MEMORY: u64 = 2 << 30;
/// Bytes of an index's header.
const HEADER: usize = 37;

fn files() -> Vec<(String, Vec<u8>)> {
    corpus::limit_memory(MEMORY);
    let mut files = corpus::corpus("read_index");
    files.extend(corpus::corpus("read_index_binary"));
    // What was found by chance is no whole file.
    files.retain(|(name, _)| !name.starts_with("found-"));
    files
}

/// The file of lists that lie in another one.
fn lists_on_disk(files: &[(String, Vec<u8>)], lists: &str) -> Vec<u8> {
    let (_, whole) = files.iter().find(|(name, _)| name == "IVF2-Flat").unwrap();
    let at = whole.windows(4).position(|four| four == b"ilar").unwrap();
    let mut file = whole[..at].to_vec();
    let code_size = u64::from_le_bytes(whole[at + 12..at + 20].try_into().unwrap());
    file.extend(b"ilod");
    let entry = code_size + 8;
    // Lists, bytes of a code, lists; entries, room and place of each; free slots and their place and bytes; the name.
    let numbers = [2, code_size, 2, 1, 2, 0, 2, 2, 2 * entry, 1, 4 * entry, entry, lists.len() as u64];
    file.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    file.extend(lists.bytes());
    file.extend((5 * entry).to_le_bytes());
    file
}

#[test]
fn the_corpora_have_every_code() {
    let files = files();
    let known = |code: &str| files.iter().any(|(_, bytes)| bytes.windows(4).any(|four| four == code.as_bytes()));
    let codes = REGISTRY.iter().filter_map(|row| row.format).flat_map(|format| format.fourccs);
    // A file of lists on disk names another: it is made below.
    let missing: Vec<_> = codes.filter(|code| **code != "ilod" && !known(code)).collect();
    assert!(missing.is_empty(), "{missing:?} are in no file of the corpora");
}

#[test]
fn cut_at_every_byte_or_with_lengths_that_lie() {
    let mut files = files();
    let lists = tempfile::NamedTempFile::new().unwrap();
    lists.as_file().set_len(1 << 20).unwrap();
    files.push(("on disk".to_owned(), lists_on_disk(&files, lists.path().to_str().unwrap())));
    files.par_iter().for_each(|(name, bytes)| {
        assert!(deserialize_index(bytes, 0).is_ok(), "{name}");
        for cut in 0..bytes.len() {
            assert!(deserialize_index(&bytes[..cut], 0).is_err(), "{name} cut at {cut}");
        }
        // Every place of the small files, which most are; some hundred of the others.
        for at in (4..bytes.len()).step_by(bytes.len() / 1_000 + 1) {
            let lies = |claim: &[u8]| {
                let mut file = bytes.clone();
                let end = (at + claim.len()).min(file.len());
                file[at..end].copy_from_slice(&claim[..end - at]);
                if let Ok(index) = deserialize_index(&file, 0) {
                    let _ = serialize_index(&*index.read(), 0);
                }
            };
            // 10 TiB, and what is out of range in other ways.
            lies(&(10i64 << 40).to_le_bytes());
            lies(&(-1i64).to_le_bytes());
            lies(&i32::MAX.to_le_bytes());
        }
    });
}

#[test]
fn ten_megabytes_that_claim_ten_terabytes() {
    for (name, bytes) in files() {
        let mut file = bytes;
        file.resize(10 << 20, 7);
        // Each place where a file has a count of what follows.
        for at in (HEADER..200.min(file.len() - 8)).step_by(4) {
            let kept: [u8; 8] = file[at..at + 8].try_into().unwrap();
            file[at..at + 8].copy_from_slice(&(10u64 << 40).to_le_bytes());
            let _ = (deserialize_index(&file, 0), &name);
            file[at..at + 8].copy_from_slice(&kept);
        }
    }
}

#[test]
fn nested_without_end() {
    for (name, bytes) in files() {
        // The file in the place of each index inside it.
        for at in 4..bytes.len().saturating_sub(4) {
            if bytes[at] != b'I' || !bytes[at..at + 4].iter().all(u8::is_ascii_alphanumeric) {
                continue;
            }
            let file = bytes[..at].repeat(100_000 / at + 1_000);
            assert!(deserialize_index(&file, 0).is_err(), "{name} in itself at {at}");
        }
    }
}
