//! Whether the Dagger engine builds the very wheels that the host engine builds.

use std::path::Path;
use tokio::process::Command;

use super::tally::{Ended, quiet};
use super::{Context, build};
use crate::pins::matrix::Matrix;
use ci_step::digest;
use ci_step::failure::{Failure, Result};
use ci_step::python::which;

/// Lets both engines build the wheel of every CUDA major, and compares them.
pub async fn compare(context: &Context, asked: bool, jobs: usize) -> Result<Ended> {
    if !asked {
        return Ok(Ended::Skipped("it was not asked for (`cargo ci test --engine dagger`)".into()));
    }
    if which("dagger").is_none() {
        return Ok(Ended::Skipped("there is no program dagger on PATH".into()));
    }
    let logs = context.root.join("target/ci/logs");
    let mut ask = Command::new("dagger");
    ask.args(["core", "version", "--progress=plain"]).current_dir(&context.root);
    if let Err(failure) = quiet(ask, &logs.join("dagger-version.log"), "dagger", &context.stop).await {
        let log = failure.log.unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        return Ok(Ended::Skipped(format!("no Dagger engine answers: {}", last.trim())));
    }
    let versions = context.versions()?;
    let majors: Vec<u32> = versions.cuda.iter().map(|cuda| cuda.major).collect();
    let plan = context.plan(versions, &Matrix::gpu(versions, &majors, &[], &versions.wheel.platforms[0])?)?;
    let scratch = tempfile::tempdir().map_err(Failure::io("cannot write into", &std::env::temp_dir()))?;
    let (host, dagger) = (scratch.path().join("host"), scratch.path().join("dagger"));
    build::make(context, &plan, &context.store()?, jobs, |wheel| host.join(&wheel.name)).await?;
    let mut build = Command::new("dagger");
    build.current_dir(&context.root).args(["call", "--progress=plain", "build-gpu-wheels"]);
    build.args(majors.iter().map(|major| format!("--cuda-major={major}"))).arg("--output").arg(&dagger);
    quiet(build, &logs.join("dagger-build.log"), "dagger call build-gpu-wheels", &context.stop).await?;
    for wheel in &plan.wheels {
        let path = Path::new(&wheel.name).join(&wheel.file_name);
        let (ours, theirs) = (hash(&host.join(&path))?, hash(&dagger.join(&path))?);
        if ours != theirs {
            return Err(Failure::check(
                format!(
                    "{} has the hash {theirs} from the Dagger engine, and {ours} from the host engine.",
                    wheel.file_name
                ),
                "A step depends on something that is no input of it; compare the two archives member by member.",
            ));
        }
    }
    Ok(Ended::Passed(plan.wheels.len()))
}

fn hash(wheel: &Path) -> Result<String> {
    digest::of_file(wheel).map_err(Failure::io("cannot read", wheel))
}
