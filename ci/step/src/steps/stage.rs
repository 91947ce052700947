//! Lays out the package as the wheel has it, with its dist-info.

use std::fs;
use std::path::Path;

use super::Work;
use crate::failure::{Failure, Result};
use crate::task::Stage;
use crate::wheel::{self, DistInfoFile, sbom};

/// Names in the wheel's `licenses/`.
pub const LICENSE_FILE: &str = "LICENSE";
pub const OPENBLAS_LICENSE_FILE: &str = "LICENSE.openblas.txt";

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
    let components: Vec<sbom::Component> = stage
        .components
        .iter()
        .map(|file| sbom::Component {
            name: file.package.clone(),
            version: file.version.clone(),
            purl: format!("pkg:pypi/{}@{}", file.package, file.version),
            license: None,
            sha256: Some(file.sha256.clone()),
        })
        .collect();
    let files = [
        DistInfoFile::license(LICENSE_FILE, read(&work.root.join("LICENSE"))?),
        DistInfoFile::license(OPENBLAS_LICENSE_FILE, read(&work.need(&stage.openblas)?.join("LICENSE.txt"))?),
        DistInfoFile::sbom(
            "faiss.cdx.json",
            sbom::cyclonedx(&stage.name.distribution, &stage.name.version, &components),
        ),
    ];
    wheel::stage(&work.out, &stage.name, &stage.metadata, &files).map_err(|error| {
        Failure::build(format!("The wheel's metadata can't be written: {error}."), "Correct versions.toml.")
    })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(Failure::io("cannot create", parent))?;
    }
    fs::copy(from, to).map_err(Failure::io("cannot copy", from))?;
    Ok(())
}
