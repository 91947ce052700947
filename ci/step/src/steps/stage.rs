//! Lays out the package as the wheel has it, with its dist-info.

use std::fs;
use std::path::Path;

use super::extension::{CRATES, Crate, NOTICES};
use super::{Work, tool};
use crate::failure::{Failure, Result};
use crate::task::Stage;
use crate::wheel::{self, DistInfoFile, license, sbom};

/// Names in the wheel's `licenses/`.
pub const LICENSE_FILE: &str = "LICENSE";
pub const OPENBLAS_LICENSE_FILE: &str = "LICENSE.openblas.txt";
pub const CRATES_LICENSE_FILE: &str = "LICENSE.crates.txt";
pub const ZIG_LICENSE_FILE: &str = "LICENSE.zig.txt";

/// Rust's standard library is linked in with the extension.
const RUST_LICENSE: &str = "MIT OR Apache-2.0";
const RUST_NOTICE: &str = "\
The extension is linked with the standard library of Rust, which is licensed under MIT or Apache-2.0, at your option;
here it is taken under MIT, whose text is that of the file LICENSE beside this one.
Copyright (c) The Rust Project Contributors

";

pub(super) fn run(work: &Work, stage: &Stage) -> Result<()> {
    for (from, to) in &stage.package {
        copy(&work.root.join(from), &work.out.join(to))?;
    }
    let package = work.out.join("faiss");
    let mut libraries =
        vec![(stage.extension.as_str(), "_faiss.abi3.so"), (stage.openblas.as_str(), crate::task::OPENBLAS)];
    libraries.extend(stage.shim.as_deref().map(|shim| (shim, "libfaiss_cuda.so")));
    for (step, name) in libraries {
        copy(&work.need(step)?.join(name), &package.join(name))?;
    }
    for step in &stage.fatbins {
        let folder = work.need(step)?;
        let name = step.rsplit(':').next().unwrap_or(step);
        let name = format!("{name}.fatbin");
        copy(&folder.join(&name), &package.join("kernels").join(&name))?;
    }
    let read = |path: &Path| fs::read(path).map_err(Failure::io("cannot read", path));
    let extension = work.need(&stage.extension)?;
    let crates: Vec<Crate> = serde_json::from_slice(&read(&extension.join(CRATES))?)
        .map_err(|error| Failure::build(format!("{CRATES} can't be read: {error}."), "Run the same command again."))?;
    let components = components(stage, &crates);
    license::covered(&stage.metadata.license_expression, &components).map_err(|(what, todo)| {
        Failure::check(format!("The licence of the wheel is not that of its parts: {what}."), todo)
    })?;
    let notices = [RUST_NOTICE.as_bytes(), &read(&extension.join(NOTICES))?].concat();
    let zig = tool::find(&work.need(&stage.zig)?, |path| path == "ziglang/LICENSE")?;
    let files = [
        DistInfoFile::license(LICENSE_FILE, read(&work.root.join("LICENSE"))?),
        DistInfoFile::license(OPENBLAS_LICENSE_FILE, read(&work.need(&stage.openblas)?.join("LICENSE.txt"))?),
        DistInfoFile::license(CRATES_LICENSE_FILE, notices),
        DistInfoFile::license(ZIG_LICENSE_FILE, read(&zig)?),
        DistInfoFile::sbom(
            "faiss.cdx.json",
            sbom::cyclonedx(&stage.name.distribution, &stage.name.version, &components),
        ),
    ];
    wheel::stage(&work.out, &stage.name, &stage.metadata, &files).map_err(|error| {
        Failure::build(format!("The wheel's metadata can't be written: {error}."), "Correct versions.toml.")
    })
}

/// Crates, the standard library that they stand on, and pinned files.
fn components(stage: &Stage, crates: &[Crate]) -> Vec<sbom::Component> {
    let mut components: Vec<sbom::Component> = crates
        .iter()
        .map(|one| sbom::Component {
            name: one.name.clone(),
            version: one.version.clone(),
            purl: format!("pkg:cargo/{}@{}", one.name, one.version),
            license: one.license.clone(),
            sha256: Some(one.sha256.clone()),
            tool: false,
        })
        .collect();
    let release = stage.rust.split(' ').next().unwrap_or_default();
    components.push(sbom::Component {
        name: "rust-std".to_owned(),
        version: release.to_owned(),
        purl: format!("pkg:generic/rust-std@{release}"),
        license: RUST_LICENSE.to_owned(),
        sha256: None,
        tool: false,
    });
    components.extend(stage.components.iter().map(|one| sbom::Component {
        name: one.file.package.clone(),
        version: one.file.version.clone(),
        purl: format!("pkg:pypi/{}@{}", one.file.package, one.file.version),
        license: one.license.clone(),
        sha256: Some(one.file.sha256.clone()),
        tool: one.tool,
    }));
    components
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(Failure::io("cannot create", parent))?;
    }
    fs::copy(from, to).map_err(Failure::io("cannot copy", from))?;
    Ok(())
}
