//! Writes `NAME-VERSION.dist-info` beside the staged package: METADATA, WHEEL, licences and SBOMs. RECORD comes with the archive.

use std::fs;
use std::path::Path;

use super::{Error, GENERATOR, Metadata, WheelName};

/// A file below dist-info that the caller brings: `licenses/LICENSE`, `sboms/faiss.cdx.json`.
#[derive(Clone, Debug)]
pub struct DistInfoFile {
    /// Relative to dist-info, with forward slashes.
    pub path: String,
    pub content: Vec<u8>,
}

impl DistInfoFile {
    /// A licence's text, as `License-File` names it.
    pub fn license(name: &str, content: impl Into<Vec<u8>>) -> DistInfoFile {
        DistInfoFile { path: format!("licenses/{name}"), content: content.into() }
    }

    pub fn sbom(name: &str, content: impl Into<Vec<u8>>) -> DistInfoFile {
        DistInfoFile { path: format!("sboms/{name}"), content: content.into() }
    }
}

/// Writes the dist-info folder of `name` into `staged`, replacing an older one.
///
/// `metadata` must agree with `name`, and `files` must hold each file that `metadata` names as a licence.
pub fn stage(staged: &Path, name: &WheelName, metadata: &Metadata, files: &[DistInfoFile]) -> Result<(), Error> {
    if super::name::normalize(&metadata.name) != super::name::normalize(&name.distribution) {
        let reason = format!("'{}' is not the '{}' of the wheel's file name", metadata.name, name.distribution);
        return Err(Error::Metadata { field: "Name", reason });
    }
    if metadata.version != name.version {
        let reason = format!("'{}' is not the '{}' of the wheel's file name", metadata.version, name.version);
        return Err(Error::Metadata { field: "Version", reason });
    }
    for license in &metadata.license_files {
        if !files.iter().any(|file| file.path == format!("licenses/{license}")) {
            return Err(Error::Metadata { field: "License-File", reason: format!("'{license}' was not given") });
        }
    }
    for file in files {
        super::pack::check_name(&file.path)?;
    }
    let text = metadata.render()?;

    let folder = staged.join(name.dist_info());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Error::io("cannot remove", &folder))?;
    }
    write(&folder.join("METADATA"), text.as_bytes())?;
    write(&folder.join("WHEEL"), wheel(name).as_bytes())?;
    for file in files {
        write(&folder.join(&file.path), &file.content)?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Error::io("cannot create", parent))?;
    }
    fs::write(path, content).map_err(Error::io("cannot write", path))
}

/// The text of WHEEL. One line for each tag that the compressed tag set of the file name stands for.
fn wheel(name: &WheelName) -> String {
    let mut text = format!("Wheel-Version: 1.0\nGenerator: {GENERATOR}\nRoot-Is-Purelib: false\n");
    for tag in name.tags() {
        text.push_str(&format!("Tag: {tag}\n"));
    }
    text
}
