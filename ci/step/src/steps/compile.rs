//! Compiles one kernel family for one architecture with NVRTC.

use faiss_kernels::{Arch, Catalogue, CompileError, Target};

use super::{Work, tool};
use crate::digest;
use crate::failure::{Failure, Result};
use crate::task::Input;

pub fn run(work: &Work, family: &str, arch: &str, ptx: bool, nvrtc: &str, headers: &[String]) -> Result<()> {
    let arch: Arch = arch.parse().map_err(|error| Failure::usage(format!("{error}."), "Write the plan anew."))?;
    let target = if ptx { Target::Ptx(arch) } else { Target::Cubin(arch) };
    let folder = work.root.join("kernels");
    let wrong = |error: faiss_kernels::Error| {
        Failure::usage(format!("{error}."), "Correct the kernel catalogue or its sources.")
    };
    let catalogue = Catalogue::load(&folder).map_err(wrong)?;
    let found = catalogue.families.iter().find(|known| known.name == family);
    let unit = found.map(|found| found.translation_unit(&folder, arch).map_err(wrong)).transpose()?.unwrap_or_default();
    let sha256 = digest::of_bytes(unit.as_bytes());
    let planned = work.task.step.inputs.iter().any(
        |input| matches!(input, Input::Unit { family: name, arch: of, sha256: planned } if name == family && *of == arch.to_string() && *planned == sha256),
    );
    if !planned {
        let what = format!("The kernels of {family} changed after the plan was made.");
        return Err(Failure::build(what, "Run the command again; it plans anew."));
    }
    let nvrtc = tool::find(&work.need(nvrtc)?, |path| path.contains("/libnvrtc.so"))?;
    let mut include = Vec::new();
    for package in headers {
        include.push(tool::find(&work.need(package)?, |path| path.ends_with("/include"))?);
    }
    let image = faiss_kernels::compile(&nvrtc, &include, family, &unit, target).map_err(|error| match error {
        CompileError::Code { name, target, log } => Failure::build(
            format!("Kernel family {name} does not compile for {target}."),
            "NVRTC's log above names file and line; correct the source and run the same command again.",
        )
        .with_log(log),
        other => Failure::build(format!("{other}."), "Check the architecture and the toolkit in versions.toml."),
    })?;
    work.write("image", &image)
}
