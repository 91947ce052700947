//! A wheel, read once for all checks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use faiss_kernels::fatbin;

use super::elf::Elf;
use crate::wheel::{Error, Member, Reader, record};

/// More than any wheel unpacks to; what claims more is not read.
const LARGEST_WHEEL: u64 = 8 << 30;

/// An opened wheel with the content of every member.
pub struct Wheel {
    pub file_name: String,
    pub bytes: u64,
    /// In lower-case hexadecimal.
    pub sha256: String,
    /// In the archive's order, as the central directory states them.
    pub members: Vec<Member>,
    pub(super) contents: BTreeMap<String, Vec<u8>>,
    /// Members with the magic of ELF; the reason where one can't be read.
    pub(super) elves: BTreeMap<String, Result<Elf, String>>,
    /// Members that are fatbins by their name, and sections of libraries that hold some.
    pub(super) fatbins: BTreeMap<String, Result<Vec<fatbin::ImageInfo>, fatbin::Error>>,
}

impl Wheel {
    pub fn open(path: &Path) -> Result<Wheel, Error> {
        let io = |source| Error::Io { action: "cannot read", path: path.to_owned(), source };
        let archive = fs::read(path).map_err(io)?;
        let mut reader = Reader::open(path)?;
        let members = reader.members().to_vec();
        let total = members.iter().fold(0u64, |total, member| total.saturating_add(member.bytes));
        if total > LARGEST_WHEEL {
            return Err(Error::Archive {
                path: path.to_owned(),
                reason: format!("it claims to unpack to {total} bytes"),
            });
        }
        let mut contents = BTreeMap::new();
        for member in members.iter().filter(|member| !member.is_dir) {
            contents.insert(member.name.clone(), reader.read(&member.name)?);
        }
        let mut elves = BTreeMap::new();
        let mut fatbins = BTreeMap::new();
        for (name, content) in &contents {
            if content.starts_with(b"\x7fELF") {
                let elf = Elf::read(content);
                if let Ok(Some(section)) = elf.as_ref().map(|elf| elf.fatbin.clone()) {
                    fatbins.insert(name.clone(), fatbin::read(&content[section]));
                }
                elves.insert(name.clone(), elf);
            }
            if name.ends_with(".fatbin") {
                fatbins.insert(name.clone(), fatbin::read(content));
            }
        }
        Ok(Wheel {
            file_name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            bytes: archive.len() as u64,
            sha256: record::hex_sha256(&archive),
            members,
            contents,
            elves,
            fatbins,
        })
    }

    /// Libraries that could be read.
    pub(super) fn readable_elves(&self) -> impl Iterator<Item = (&str, &Elf)> {
        self.elves.iter().filter_map(|(name, elf)| Some((name.as_str(), elf.as_ref().ok()?)))
    }
}
