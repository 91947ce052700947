//! Runs the programs that steps use, and finds files in what was unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result};

/// Runs `command` and fails with its words when it fails.
pub fn run(command: &mut Command, what: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(Failure::io("cannot run", Path::new(&program)))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    Err(Failure::build(format!("{what} failed ({}).", output.status), "Its own words are above.").with_log(words))
}

/// The first file or folder below `folder`, in the order of names, that `wanted` takes; it is given the path below `folder`.
pub fn find(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let mut left = vec![String::new()];
    while let Some(prefix) = left.pop() {
        let here = folder.join(&prefix);
        let mut names: Vec<(String, bool)> = Vec::new();
        for entry in fs::read_dir(&here).map_err(Failure::io("cannot list", &here))?.flatten() {
            let is_dir = entry.path().is_dir();
            names.push((format!("{prefix}{}", entry.file_name().to_string_lossy()), is_dir));
        }
        names.sort();
        for (name, is_dir) in names.iter().rev() {
            if wanted(name) {
                return Ok(folder.join(name));
            }
            if *is_dir {
                left.push(format!("{name}/"));
            }
        }
    }
    let what = format!("{} does not hold what the step needs of it.", folder.display());
    Err(Failure::build(what, "The package has another layout than the pipeline knows; take another version."))
}
