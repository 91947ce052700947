//! entry.json: what a step made, so that it can be checked before it is used.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest;
use crate::failure::{Failure, Result};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub step: String,
    /// How long the step took when it ran.
    pub seconds: f64,
    pub outputs: Vec<Output>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Output {
    /// Below the entry's `out`.
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Entry {
    pub fn describe(step: &str, out: &Path, seconds: f64) -> Result<Entry> {
        let mut paths = Vec::new();
        list(out, "", &mut paths).map_err(Failure::io("cannot list", out))?;
        paths.sort();
        let mut outputs = Vec::with_capacity(paths.len());
        for path in paths {
            let file = out.join(&path);
            let bytes = fs::metadata(&file).map_err(Failure::io("cannot read", &file))?.len();
            let sha256 = digest::of_file(&file).map_err(Failure::io("cannot read", &file))?;
            outputs.push(Output { path, bytes, sha256 });
        }
        Ok(Entry { step: step.to_owned(), seconds, outputs })
    }

    pub fn write(&self, place: &Path) -> Result<()> {
        let path = place.join("entry.json");
        let text = serde_json::to_vec(self).expect("plain data serializes");
        fs::write(&path, text).map_err(Failure::io("cannot write", &path))
    }

    /// None when there is no entry.
    pub fn read(place: &Path) -> io::Result<Option<Entry>> {
        match fs::read(place.join("entry.json")) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !place.exists() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first file that is missing or not what was written.
    pub fn first_wrong_file(&self, out: &Path) -> Option<String> {
        let wrong = |output: &&Output| {
            let file = out.join(&output.path);
            let same_size = fs::metadata(&file).is_ok_and(|meta| meta.is_file() && meta.len() == output.bytes);
            !(same_size && digest::of_file(&file).is_ok_and(|found| found == output.sha256))
        };
        self.outputs.iter().find(wrong).map(|output| output.path.clone())
    }

    pub fn bytes(&self) -> u64 {
        self.outputs.iter().map(|output| output.bytes).sum()
    }
}

fn list(folder: &Path, prefix: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| io::Error::other("a file's name is not UTF-8"))?;
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{path}/"), paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}
