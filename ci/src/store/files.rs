//! Downloaded files by their hash. A file is hashed each time before it is used; one that has changed is fetched again.

use std::fs;
use std::path::PathBuf;

use super::Store;
use crate::digest;
use crate::failure::{Failure, Result};
use crate::lock::{self, File};
use crate::python::Interpreter;
use crate::versions::Python;

impl Store {
    pub fn file(&self, file: &File) -> PathBuf {
        self.root().join("files").join(&file.sha256).join(&file.name)
    }

    fn has(&self, file: &File) -> bool {
        digest::of_file(&self.file(file)).is_ok_and(|found| found == file.sha256)
    }

    /// The paths of `files`; those that are not here yet are downloaded with the pip that `pip` finds.
    pub fn fetch(
        &self,
        files: &[&File],
        python: Python,
        glibc: (u32, u32),
        machine: &str,
        pip: impl FnOnce() -> Result<Interpreter>,
    ) -> Result<Vec<PathBuf>> {
        let missing: Vec<&File> = files.iter().copied().filter(|file| !self.has(file)).collect();
        if !missing.is_empty() {
            let scratch = self.scratch("download")?;
            let paths = lock::download(&pip()?, &missing, python, glibc, machine, scratch.path())?;
            for (file, path) in missing.iter().zip(paths) {
                let found = digest::of_file(&path).map_err(Failure::io("cannot read", &path))?;
                if found != file.sha256 {
                    return Err(Failure::machine(
                        format!("{} has the hash {found}, not {} as versions.lock says.", file.name, file.sha256),
                        "Do not trust that file; ask who keeps your package index.",
                    ));
                }
                let place = self.file(file);
                let parent = place.parent().unwrap_or(self.root());
                fs::create_dir_all(parent).map_err(Failure::io("cannot create", parent))?;
                fs::rename(&path, &place).map_err(Failure::io("cannot create", &place))?;
            }
        }
        Ok(files.iter().map(|file| self.file(file)).collect())
    }
}
