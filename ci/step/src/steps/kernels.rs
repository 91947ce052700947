//! Compiles one kernel family for every architecture of a toolkit with NVRTC, and packs the images into a compressed fatbin
//! with nvFatbin. Each image is kept by a key of its own, so that only those whose source changed are compiled again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use faiss_kernels::{Arch, Catalogue, CompileError, Family, Spill, Target};

use super::{Work, tool};
use crate::digest;
use crate::failure::{Failure, Result};
use crate::store::{Found, Store};
use crate::task::{Image, Input, Kernels};

pub(super) fn run(work: &Work, kernels: &Kernels) -> Result<()> {
    let folder = work.root.join("kernels");
    let catalogue = Catalogue::load(&folder).map_err(wrong)?;
    let family = catalogue.families.iter().find(|known| known.name == kernels.family).ok_or_else(changed(kernels))?;
    let nvrtc = tool::find(&work.need(&kernels.nvrtc)?, |path| path.contains("/libnvrtc.so"))?;
    let mut include = Vec::new();
    for package in &kernels.headers {
        include.push(tool::find(&work.need(package)?, |path| path.ends_with("/include"))?);
    }
    let compiler = Compiler { work, kernels, family, folder: &folder, nvrtc, include, store: work.lasting()? };
    let mut images = Vec::new();
    for image in &kernels.images {
        images.push(compiler.image(image)?);
    }
    let library = tool::find(&work.need(&kernels.nvfatbin)?, |path| path.contains("/libnvfatbin.so"))?;
    let name = &kernels.family;
    let fatbin = faiss_kernels::pack(&library, &images).map_err(|error| {
        Failure::build(format!("{name}: {error}."), "Check the version of nvFatbin in versions.toml.")
    })?;
    work.write(&format!("{name}.fatbin"), &fatbin)
}

struct Compiler<'a> {
    work: &'a Work<'a>,
    kernels: &'a Kernels,
    family: &'a Family,
    folder: &'a Path,
    nvrtc: PathBuf,
    include: Vec<PathBuf>,
    store: Store,
}

impl Compiler<'_> {
    /// One image, from the store or the compiler.
    fn image(&self, image: &Image) -> Result<(Target, Vec<u8>)> {
        let bad = |error| Failure::usage(format!("{error}."), "Write the plan anew.");
        let arch: Arch = image.arch.parse().map_err(bad)?;
        let target = if image.ptx { Target::Ptx(arch) } else { Target::Cubin(arch) };
        let unit = self.family.translation_unit(self.folder, arch).map_err(wrong)?;
        let sha256 = digest::of_bytes(unit.as_bytes());
        let planned = |input: &Input| matches!(input, Input::Unit { arch, sha256: planned, .. } if *arch == image.arch && *planned == sha256);
        if !self.work.task.step.inputs.iter().any(planned) {
            return Err(changed(self.kernels)());
        }
        let key = self.key(target, &sha256)?;
        let file = || self.store.output(&key).join("image");
        if !matches!(self.store.look(&key)?, Found::Entry(_)) {
            let started = Instant::now();
            let bytes = self.compile(&unit, target)?;
            let scratch = self.store.scratch(&self.kernels.family)?;
            let out = scratch.path().join("out");
            fs::create_dir(&out).map_err(Failure::io("cannot create", &out))?;
            fs::write(out.join("image"), &bytes).map_err(Failure::io("cannot write", &out))?;
            let name = format!("image:{}:{target}", self.kernels.family);
            self.store.commit(&key, &name, scratch, started.elapsed().as_secs_f64())?;
        }
        let bytes = fs::read(file()).map_err(Failure::io("cannot read", &file()))?;
        Ok((target, bytes))
    }

    /// What decides an image: its source, the compiler and its headers, and how this step calls it.
    fn key(&self, target: Target, unit: &str) -> Result<String> {
        let mut parts = vec!["image".to_owned(), self.kernels.family.clone(), target.to_string(), unit.to_owned()];
        for tool in std::iter::once(&self.kernels.nvrtc).chain(&self.kernels.headers) {
            parts.push(self.work.task.key_of(tool)?.to_owned());
        }
        for input in &self.work.task.step.inputs {
            if let Input::Source { path, sha256 } = input {
                parts.extend([path.clone(), sha256.clone()]);
            }
        }
        Ok(digest::of_parts(parts))
    }

    fn compile(&self, unit: &str, target: Target) -> Result<Vec<u8>> {
        let name = &self.kernels.family;
        let compiled =
            faiss_kernels::compile(&self.nvrtc, &self.include, name, unit, target).map_err(|error| match error {
                CompileError::Code { name, target, log } => Failure::build(
                    format!("Kernel family {name} does not compile for {target}."),
                    "NVRTC's log above names file and line; correct the source and run the same command again.",
                )
                .with_log(log),
                other => {
                    Failure::build(format!("{other}."), "Check the architecture and the toolkit in versions.toml.")
                }
            })?;
        let spills = self.family.too_many(&compiled.spills);
        if spills.is_empty() {
            return Ok(compiled.bytes);
        }
        let line = |spill: &&Spill| format!("{}: {} bytes stored, {} loaded", spill.symbol, spill.stores, spill.loads);
        let log: Vec<String> = spills.iter().map(line).collect();
        Err(Failure::build(
            format!("Kernel family {name} has too few registers for {target}: the kernels above keep values in local memory."),
            "Let them hold less, or allow it with `spills = BYTES` and the reason in kernels/kernels.toml.",
        )
        .with_log(log.join("\n")))
    }
}

fn wrong(error: faiss_kernels::Error) -> Failure {
    Failure::usage(format!("{error}."), "Correct the kernel catalogue or its sources.")
}

fn changed(kernels: &Kernels) -> impl Fn() -> Failure {
    let what = format!("The kernels of {} changed after the plan was made.", kernels.family);
    move || Failure::build(what.clone(), "Run the command again; it plans anew.")
}
