//! Unpacks wheels, or the part of them that is wanted.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zip::ZipArchive;

use crate::failure::{Failure, Result};

/// Unpacks the members of `wheel` whose name holds one of `keep` (all, when it is empty) into `folder`. Scripts are
/// made executable, since pip, which does that, is not there to help.
pub fn unpack(wheel: &Path, keep: &[String], folder: &Path) -> Result<()> {
    let bad = |error: zip::result::ZipError| {
        Failure::machine(
            format!("{} can't be unpacked: {error}.", wheel.display()),
            "Run `cargo ci clean --all` and try again.",
        )
    };
    let file = fs::File::open(wheel).map_err(Failure::io("cannot read", wheel))?;
    let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(bad)?;
    let mut kept = 0;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(bad)?;
        let full = member.name().map_err(bad)?.into_owned();
        if member.is_dir() || !(keep.is_empty() || keep.iter().any(|part| full.contains(part.as_str()))) {
            continue;
        }
        let Some(name) = member.enclosed_name() else {
            let what = format!("{} holds {full:?}, which points outside of it.", wheel.display());
            return Err(Failure::machine(what, "Do not use that file."));
        };
        let script = name.components().any(|part| part.as_os_str() == "scripts" || part.as_os_str() == "bin");
        let executable = script || member.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Failure::io("cannot create", parent))?;
        }
        let mut out = fs::File::create(&path).map_err(Failure::io("cannot write", &path))?;
        io::copy(&mut member, &mut out).map_err(Failure::io("cannot write", &path))?;
        let mode = if executable { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(Failure::io("cannot write", &path))?;
        kept += 1;
    }
    if kept == 0 {
        let what = format!("{} holds nothing named {}.", wheel.display(), keep.join(" or "));
        return Err(Failure::build(
            what,
            "The package has another layout than the pipeline knows; take another version.",
        ));
    }
    Ok(())
}
