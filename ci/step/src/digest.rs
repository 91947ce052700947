//! SHA-256, written as 64 hexadecimal digits.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

pub fn of_bytes(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

pub fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(hasher.finalize().as_slice())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// Of a list of texts; each is preceded by its length, so that no two lists share a digest.
pub fn of_parts<I: IntoIterator<Item = S>, S: AsRef<str>>(parts: I) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        let part = part.as_ref().as_bytes();
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex(hasher.finalize().as_slice())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
