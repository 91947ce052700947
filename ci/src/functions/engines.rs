//! Whether the Dagger engine builds the very wheel that the host engine builds.

use std::path::Path;
use std::process::Command;

use super::tally::{Ended, quiet};
use super::{Context, verify};
use crate::digest;
use crate::failure::{Failure, Result};
use crate::python::which;

/// The wheel that is built by both.
const MAJOR: u32 = 12;

/// Compares the wheel in the wheelhouse with one that the engine builds of the same checkout.
pub fn compare(context: &Context, asked: bool) -> Result<Ended> {
    if !asked {
        return Ok(Ended::Skipped("it was not asked for (`cargo ci test --engine dagger`)".into()));
    }
    if which("dagger").is_none() {
        return Ok(Ended::Skipped("there is no program dagger on PATH".into()));
    }
    let logs = context.root.join("target/ci/logs");
    let mut ask = Command::new("dagger");
    ask.args(["core", "version", "--progress=plain"]).current_dir(&context.root);
    if let Err(failure) = quiet(&mut ask, &logs.join("dagger-version.log"), "dagger") {
        let log = failure.log.unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        return Ok(Ended::Skipped(format!("no Dagger engine answers: {}", last.trim())));
    }
    let host = context.wheelhouse(&format!("gpu/cuda{MAJOR}"));
    if !host.is_dir() {
        let build = format!("cargo ci build-gpu-wheels --cuda-major {MAJOR}");
        return Err(Failure::usage(
            format!("There is no wheel in {}.", host.display()),
            format!("Run `{build}` first."),
        ));
    }
    let output = tempfile::tempdir().map_err(Failure::io("cannot write into", &std::env::temp_dir()))?;
    let mut build = Command::new("dagger");
    build.current_dir(&context.root).args(["call", "--progress=plain", "build-gpu-wheels"]);
    build.arg(format!("--cuda-major={MAJOR}")).arg("--output").arg(output.path());
    quiet(&mut build, &logs.join("dagger-build.log"), "dagger call build-gpu-wheels")?;
    let (ours, theirs) = (hash(&host)?, hash(output.path())?);
    if ours != theirs {
        return Err(Failure::check(
            format!("The Dagger engine's wheel has the hash {theirs}, and the host engine's {ours}."),
            "A step depends on something that is no input of it; compare the two archives member by member.",
        ));
    }
    Ok(Ended::Passed(1))
}

fn hash(folder: &Path) -> Result<String> {
    let wheel = verify::wheels_at(folder)?.remove(0);
    digest::of_file(&wheel).map_err(Failure::io("cannot read", &wheel))
}
