//! The kept corpora of `faiss-rs/fuzz`, and a limit on the memory of whoever reads them.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, setrlimit};

/// What threads reserve, and never touch.
const RESERVED: u64 = 192 << 20;

/// Sets how many bytes the process may ask for, beside what its threads reserve: whoever asks for more without being ready for a no ends it.
pub fn limit_memory(bytes: u64) {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let limit = Some(bytes + threads * RESERVED);
    setrlimit(Resource::As, Rlimit { current: limit, maximum: limit }).unwrap();
}

/// The names and bytes of a corpus, in order.
pub fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name} has no corpus");
    let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (named(path), fs::read(path).unwrap())).collect()
}
