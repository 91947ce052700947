//! Downloaded files by their hash. A file is hashed each time before it is used; one that has changed is fetched again.

use std::fs;
use std::path::{Path, PathBuf};

use super::Store;
use crate::digest;
use crate::failure::{Failure, Result};
use crate::pip::{self, File};
use crate::python::Interpreter;
use crate::python::Python;

impl Store {
    pub fn file(&self, file: &File) -> PathBuf {
        self.root().join("files").join(&file.sha256).join(&file.name)
    }

    fn has(&self, file: &File) -> bool {
        let path = self.file(file);
        let same = digest::of_file(&path).is_ok_and(|found| found == file.sha256);
        if same {
            super::touch(&path);
        }
        same
    }

    /// Takes those of `files` that lie in `folder` under their name and with their hash; gives those that are neither there
    /// nor here.
    pub fn adopt<'a>(&self, files: &[&'a File], folder: &Path) -> Result<Vec<&'a File>> {
        let mut missing = Vec::new();
        for &file in files.iter().filter(|file| !self.has(file)) {
            let path = folder.join(&file.name);
            if digest::of_file(&path).is_ok_and(|found| found == file.sha256) {
                let scratch = self.scratch("adopt")?;
                let copy = scratch.path().join(&file.name);
                fs::copy(&path, &copy).map_err(Failure::io("cannot copy", &path))?;
                self.keep(file, &copy)?;
            } else {
                missing.push(file);
            }
        }
        Ok(missing)
    }

    /// Puts what is complete under its final name.
    fn keep(&self, file: &File, path: &Path) -> Result<()> {
        let place = self.file(file);
        let parent = place.parent().unwrap_or(self.root());
        fs::create_dir_all(parent).map_err(Failure::io("cannot create", parent))?;
        fs::rename(path, &place).map_err(Failure::io("cannot create", &place))
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
            let paths = pip::download(&pip()?, &missing, python, glibc, machine, scratch.path())?;
            for (file, path) in missing.iter().zip(paths) {
                let found = digest::of_file(&path).map_err(Failure::io("cannot read", &path))?;
                if found != file.sha256 {
                    return Err(Failure::machine(
                        format!("{} has the hash {found}, not {} as versions.lock says.", file.name, file.sha256),
                        "Do not trust that file; ask who keeps your package index.",
                    ));
                }
                self.keep(file, &path)?;
            }
        }
        Ok(files.iter().map(|file| self.file(file)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_right_hash_are_taken_from_a_folder() {
        let (root, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(root.path()).unwrap();
        let file = |name: &str, sha256: &str| File {
            package: "p".into(),
            version: "1".into(),
            name: name.into(),
            sha256: sha256.into(),
        };
        fs::write(folder.path().join("a.whl"), "here").unwrap();
        fs::write(folder.path().join("b.whl"), "here").unwrap();
        let hash = digest::of_file(&folder.path().join("a.whl")).unwrap();
        let (right, wrong, absent) = (file("a.whl", &hash), file("b.whl", &"0".repeat(64)), file("c.whl", &hash));
        let missing = store.adopt(&[&right, &wrong, &absent], folder.path()).unwrap();
        assert_eq!(missing.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["b.whl", "c.whl"]);
        assert_eq!(fs::read_to_string(store.file(&right)).unwrap(), "here");
        fs::remove_file(folder.path().join("a.whl")).unwrap();
        assert!(store.adopt(&[&right], folder.path()).unwrap().is_empty(), "what is here need not be there");
    }
}
