//! What a plan depends on, read once: the checkout's files by hash, and the translation units of the kernels.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use faiss_kernels::{Arch, Catalogue};

use crate::pins::versions::Versions;
use ci_step::digest;
use ci_step::failure::{Failure, Result};

#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// SHA-256 by path, relative to the root and with forward slashes.
    pub files: BTreeMap<String, String>,
    /// Families in the catalogue's order; for each, the SHA-256 of its unit by architecture that it wants.
    pub families: Vec<(String, BTreeMap<Arch, String>)>,
}

const ROOTS: &[&str] = &[
    ".cargo/config.toml",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "ci/step/src",
    "faiss-rs",
    "kernels",
    "rust-toolchain.toml",
    "versions.toml",
];

impl Sources {
    pub fn read(root: &Path, versions: &Versions) -> Result<Sources> {
        let mut files = BTreeMap::new();
        for name in ROOTS {
            let path = root.join(name);
            read(&path, name, &mut files).map_err(Failure::io("cannot read", &path))?;
        }
        Ok(Sources { files, families: units(root, versions)? })
    }

    /// The files below any of `prefixes` that `keep` keeps.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let files = self.files.range(prefix.to_owned()..).take_while(move |(path, _)| path.starts_with(prefix));
        files.map(|(path, sha256)| (path.as_str(), sha256.as_str()))
    }
}

fn units(root: &Path, versions: &Versions) -> Result<Vec<(String, BTreeMap<Arch, String>)>> {
    let folder = root.join("kernels");
    let wrong = |error: faiss_kernels::Error| {
        Failure::usage(format!("{error}."), "Correct the kernel catalogue or its sources.")
    };
    let catalogue = Catalogue::load(&folder).map_err(wrong)?;
    let mut archs: Vec<Arch> =
        versions.cuda.iter().flat_map(|cuda| cuda.architectures.iter().chain(&cuda.ptx)).copied().collect();
    archs.sort();
    archs.dedup();
    let mut families = Vec::new();
    for family in &catalogue.families {
        let mut units = BTreeMap::new();
        for &arch in archs.iter().filter(|arch| family.wants(**arch)) {
            let unit = family.translation_unit(&folder, arch).map_err(wrong)?;
            units.insert(arch, digest::of_bytes(unit.as_bytes()));
        }
        families.push((family.name.clone(), units));
    }
    Ok(families)
}

/// Hidden files, what builds leave behind and what editors leave behind are no sources.
fn is_source(name: &str) -> bool {
    let left_behind = ["target", "__pycache__", "node_modules"].contains(&name);
    let made = [".pyc", ".so", ".orig", ".rej", "~"].iter().any(|end| name.ends_with(end));
    !(name.starts_with('.') || left_behind || made)
}

fn read(path: &Path, name: &str, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let child = entry.file_name().into_string().map_err(|_| io::Error::other("a file's name is not UTF-8"))?;
            if is_source(&child) {
                read(&entry.path(), &format!("{name}/{child}"), files)?;
            }
        }
    } else if path.is_file() {
        files.insert(name.to_owned(), digest::of_file(path)?);
    }
    Ok(())
}
