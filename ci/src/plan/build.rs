//! From versions, lock, sources and matrix to a plan. Pure: the same arguments give the same plan on every machine.

use std::collections::BTreeMap;

use faiss_kernels::Target;

use super::{Action, FORMAT, Image, Input, Kernels, Plan, Sources, Stage, Step, WheelPlan, key};
use crate::pins::lock::{File, Lock};
use crate::pins::matrix::Matrix;
use crate::pins::versions::{Cuda, Versions};
use crate::plan::describe;
use crate::plan::expect;
use ci_step::failure::Result;
use ci_step::steps::extension::{CRATES, NOTICES};
use ci_step::task::{Component, OPENBLAS};
use ci_step::wheel::WheelName;

const OPENBLAS_PACKAGE: &str = "scipy-openblas32";
/// Of the symbols of OpenBLAS.
const SYMBOL_PREFIX: &str = "scipy_";

/// What the extension is compiled from; kernels are not, only the list of them.
const EXTENSION_FILES: &[&str] = &["Cargo.lock", "Cargo.toml"];
const EXTENSION_FOLDERS: &[&str] = &["faiss-rs/", "kernels/src/", "kernels/Cargo.toml", "kernels/kernels.toml"];
const NOT_EXTENSION: &[&str] = &["faiss-rs/python/faiss/", "/tests/", "/benches/", "/examples/", ".md"];

const PACKAGE: &str = "faiss-rs/python/faiss/";

struct Builder<'a> {
    versions: &'a Versions,
    lock: &'a Lock,
    sources: &'a Sources,
    machine: &'a str,
    steps: Vec<Step>,
    keys: BTreeMap<String, String>,
}

pub fn build(versions: &Versions, lock: &Lock, sources: &Sources, matrix: &Matrix) -> Result<Plan> {
    lock.require_fresh(versions)?;
    let (steps, keys) = (Vec::new(), BTreeMap::new());
    let mut builder = Builder { versions, lock, sources, machine: &matrix.machine, steps, keys };
    let mut wheels = Vec::new();
    for cuda in &matrix.cuda {
        wheels.push(builder.wheel(Some(cuda))?);
    }
    if matrix.cpu {
        wheels.push(builder.wheel(None)?);
    }
    Ok(Plan { format: FORMAT, steps: builder.steps, wheels })
}

impl Builder<'_> {
    /// Adds a step unless it is there, and gives its name.
    fn step(
        &mut self,
        name: String,
        action: Action,
        needs: Vec<String>,
        mut inputs: Vec<Input>,
        outputs: Vec<String>,
    ) -> String {
        if self.keys.contains_key(&name) {
            return name;
        }
        inputs.sort();
        let with_keys: Vec<(&str, &str)> = needs.iter().map(|need| (need.as_str(), self.keys[need].as_str())).collect();
        let key = key(&action, &inputs, &with_keys);
        self.keys.insert(name.clone(), key.clone());
        self.steps.push(Step { name: name.clone(), action, needs, inputs, outputs, key });
        name
    }

    fn source(&self, path: &str) -> Option<Input> {
        let sha256 = self.sources.files.get(path)?.clone();
        Some(Input::Source { path: path.to_owned(), sha256 })
    }

    /// The files of the pipeline that say how a step is done.
    fn recipe(&self, prefixes: &[&str]) -> Vec<Input> {
        let files = prefixes.iter().flat_map(|prefix| self.sources.below(prefix));
        files.map(|(path, sha256)| Input::Source { path: path.to_owned(), sha256: sha256.to_owned() }).collect()
    }

    fn fetch(&mut self, file: &File, keep: &[&str]) -> String {
        let mut inputs = self.recipe(&["ci/step/src/store/unpack.rs"]);
        inputs.push(pin(file));
        let action = Action::Fetch {
            file: file.clone(),
            python: self.versions.python_floor().0,
            glibc: self.versions.wheel.glibc,
            machine: self.machine.to_owned(),
            keep: keep.iter().map(|part| (*part).to_owned()).collect(),
        };
        self.step(format!("fetch:{}-{}", file.package, file.version), action, Vec::new(), inputs, Vec::new())
    }

    fn tool(&mut self, package: &str) -> Result<String> {
        let file = self.lock.tool(package)?.clone();
        Ok(self.fetch(&file, &[]))
    }

    fn target(&self) -> String {
        let (major, minor) = self.versions.wheel.glibc;
        format!("{}-unknown-linux-gnu.{major}.{minor}", self.machine)
    }

    fn openblas(&mut self) -> Result<String> {
        let (fetch, patchelf) = (self.tool(OPENBLAS_PACKAGE)?, self.tool("patchelf")?);
        let needs = vec![fetch.clone(), patchelf.clone()];
        let action = Action::Openblas { fetch, patchelf, soname: OPENBLAS.to_owned() };
        let inputs = self.recipe(&["ci/step/src/steps/openblas.rs"]);
        Ok(self.step("openblas".into(), action, needs, inputs, vec![OPENBLAS.into(), "LICENSE.txt".into()]))
    }

    fn extension(&mut self) -> Result<String> {
        let openblas = self.openblas()?;
        let (zig, zigbuild) = (self.tool("ziglang")?, self.tool("cargo-zigbuild")?);
        let mut inputs = self.recipe(&["ci/step/src/steps/extension/"]);
        inputs.extend(EXTENSION_FILES.iter().filter_map(|path| self.source(path)));
        let wanted = |path: &str| !NOT_EXTENSION.iter().any(|part| path.contains(part));
        for folder in EXTENSION_FOLDERS {
            let files = self.sources.below(folder).filter(|(path, _)| wanted(path));
            inputs.extend(files.map(|(path, sha256)| Input::Source { path: path.into(), sha256: sha256.into() }));
        }
        let needs = vec![zig.clone(), zigbuild.clone(), openblas.clone()];
        let blas = OPENBLAS.trim_start_matches("lib").trim_end_matches(".so").to_owned();
        let action = Action::Extension {
            zig,
            zigbuild,
            openblas,
            target: self.target(),
            blas,
            prefix: SYMBOL_PREFIX.to_owned(),
            rust: self.versions.rust.to_string(),
        };
        let outputs = ["_faiss.abi3.so", CRATES, NOTICES].map(str::to_owned).to_vec();
        Ok(self.step("extension".into(), action, needs, inputs, outputs))
    }

    fn shim(&mut self, cuda: &Cuda) -> Result<String> {
        let zig = self.tool("ziglang")?;
        let (major, minor) = cuda.toolkit.split_once('.').unwrap_or((&cuda.toolkit, "0"));
        let number = |text: &str| text.parse::<u32>().unwrap_or_default();
        let action = Action::Shim {
            zig: zig.clone(),
            target: self.target(),
            version: number(major) * 1000 + number(minor) * 10,
            minimum_driver: cuda.driver_version,
            needed: cuda.requires.iter().map(|library| library.soname.clone()).collect(),
            runpath: cuda.runpath(),
        };
        let inputs = self.recipe(&["ci/step/src/steps/shim.rs"]);
        Ok(self.step(format!("cuda{}:shim", cuda.major), action, vec![zig], inputs, vec!["libfaiss_cuda.so".into()]))
    }

    /// The steps that end in one fatbin a family.
    fn kernels(&mut self, cuda: &Cuda) -> Result<Vec<String>> {
        let nvrtc_file = self.lock.version_of(&cuda.nvrtc.package, &cuda.nvrtc.version)?.clone();
        let nvrtc = self.fetch(&nvrtc_file, &["/lib/libnvrtc"]);
        let nvfatbin_file = self.lock.version_of(&cuda.nvfatbin.package, &cuda.nvfatbin.version)?.clone();
        let nvfatbin = self.fetch(&nvfatbin_file, &["/lib/libnvfatbin.so"]);
        let mut headers = Vec::new();
        for package in &cuda.headers {
            let file = self.lock.version_of(&package.package, &package.version)?.clone();
            headers.push(self.fetch(&file, &["/include/"]));
        }
        let sources = self.sources;
        let mut fatbins = Vec::new();
        for (family, units) in &sources.families {
            let mut inputs =
                self.recipe(&["ci/step/src/steps/kernels.rs", "kernels/src/nvrtc.rs", "kernels/src/nvfatbin.rs"]);
            let mut images = Vec::new();
            for target in cuda.targets() {
                let Some(sha256) = units.get(&target.arch()) else { continue };
                let arch = target.arch().to_string();
                let unit = Input::Unit { family: family.clone(), arch: arch.clone(), sha256: sha256.clone() };
                // Machine code and PTX of an architecture come from the same source.
                if !inputs.contains(&unit) {
                    inputs.push(unit);
                }
                images.push(Image { arch, ptx: matches!(target, Target::Ptx(_)) });
            }
            if images.is_empty() {
                continue;
            }
            let mut needs = vec![nvrtc.clone(), nvfatbin.clone()];
            needs.extend(headers.clone());
            let (nvrtc, nvfatbin, headers) = (nvrtc.clone(), nvfatbin.clone(), headers.clone());
            let kernels = Kernels { family: family.clone(), images, nvrtc, nvfatbin, headers };
            let name = format!("cuda{}:kernels:{family}", cuda.major);
            fatbins.push(self.step(name, Action::Kernels(kernels), needs, inputs, vec![format!("{family}.fatbin")]));
        }
        Ok(fatbins)
    }

    /// What is in a wheel besides crates, and what made its kernels.
    fn components(&self, cuda: Option<&Cuda>) -> Result<Vec<Component>> {
        let one =
            |file: &File, license: &str, tool| Component { file: file.clone(), license: license.to_owned(), tool };
        let mut components = vec![
            one(self.lock.tool(OPENBLAS_PACKAGE)?, describe::OPENBLAS_LICENSE, false),
            one(self.lock.tool("ziglang")?, describe::ZIG_LICENSE, false),
        ];
        let compilers =
            cuda.into_iter().flat_map(|cuda| [&cuda.nvrtc, &cuda.nvfatbin].into_iter().chain(&cuda.headers));
        for pinned in compilers {
            let file = self.lock.version_of(&pinned.package, &pinned.version)?;
            components.push(one(file, describe::NVIDIA_LICENSE, true));
        }
        Ok(components)
    }

    fn wheel(&mut self, cuda: Option<&Cuda>) -> Result<WheelPlan> {
        let versions = self.versions;
        let prefix = cuda.map_or_else(|| "cpu".to_owned(), |cuda| format!("cuda{}", cuda.major));
        let distribution =
            cuda.map_or_else(|| versions.wheel.cpu_name.clone(), |cuda| cuda.distribution(&versions.wheel));
        let complete = cuda.is_none_or(|chosen| {
            versions.cuda.iter().any(|full| full.major == chosen.major && full.architectures == chosen.architectures)
        });
        // A wheel that lacks something has another version (PEP 440's local one, which no index takes) and another folder.
        let local = cuda.filter(|_| !complete).map(local_version);
        let version = match &local {
            Some(local) => format!("{}+{local}", versions.wheel.version),
            None => versions.wheel.version.clone(),
        };
        let name = WheelName::abi3(&distribution, &version, &versions.platform_tag(self.machine))
            .map_err(|error| ci_step::failure::Failure::usage(format!("{error}."), "Correct versions.toml."))?;
        // The extension takes longest, so that it and what it needs come first.
        let (extension, openblas) = (self.extension()?, self.openblas()?);
        let fatbins = cuda.map(|cuda| self.kernels(cuda)).transpose()?.unwrap_or_default();
        let shim = cuda.map(|cuda| self.shim(cuda)).transpose()?;

        let zig = self.tool("ziglang")?;
        let mut needs = vec![extension.clone(), openblas.clone(), zig.clone()];
        needs.extend(shim.clone());
        needs.extend(fatbins.clone());
        let mut inputs = self.recipe(&["ci/step/src/steps/stage.rs", "ci/step/src/wheel/", PACKAGE]);
        inputs.extend(self.source("LICENSE"));
        let package: Vec<(String, String)> = self
            .sources
            .below(PACKAGE)
            .map(|(path, _)| (path.to_owned(), format!("faiss/{}", &path[PACKAGE.len()..])))
            .collect();
        let metadata = describe::metadata(versions, cuda, &name);
        let expected = Box::new(expect::expected(versions, cuda, &name, &metadata, &self.sources.families));
        let stage = Stage {
            metadata,
            name: name.clone(),
            package,
            extension,
            rust: versions.rust.to_string(),
            openblas,
            zig,
            shim,
            fatbins,
            components: self.components(cuda)?,
        };
        let stage = self.step(format!("{prefix}:stage"), Action::Stage(Box::new(stage)), needs, inputs, Vec::new());

        let inputs = self.recipe(&["ci/step/src/steps/archive.rs", "ci/step/src/wheel/"]);
        let action = Action::Archive { stage: stage.clone(), name: name.clone() };
        let archive = self.step(format!("{prefix}:archive"), action, vec![stage], inputs, vec![name.to_string()]);

        let inputs = self.recipe(&[
            "ci/step/src/steps/verify.rs",
            "ci/step/src/audit/",
            "ci/step/src/wheel/",
            "kernels/src/fatbin",
        ]);
        let action = Action::Verify { archive: archive.clone(), file_name: name.to_string(), expected };
        let verify =
            self.step(format!("{prefix}:verify"), action, vec![archive.clone()], inputs, vec!["report.json".into()]);

        let folder = match (cuda, &local) {
            (None, _) => "cpu".to_owned(),
            (Some(cuda), None) => format!("gpu/cuda{}", cuda.major),
            (Some(cuda), Some(local)) => format!("gpu/partial/cuda{}-{}", cuda.major, local.replace('.', "-")),
        };
        Ok(WheelPlan {
            folder,
            name: prefix,
            cuda_major: cuda.map(|cuda| cuda.major),
            file_name: name.to_string(),
            archive,
            verify,
            complete,
        })
    }
}

/// The architectures that a partial wheel has: `sm80.sm90a`.
pub fn local_version(cuda: &Cuda) -> String {
    let names: Vec<String> = cuda.architectures.iter().map(|arch| format!("sm{}", arch.digits())).collect();
    names.join(".")
}

fn pin(file: &File) -> Input {
    Input::Pin {
        package: file.package.clone(),
        version: file.version.clone(),
        file: file.name.clone(),
        sha256: file.sha256.clone(),
    }
}
