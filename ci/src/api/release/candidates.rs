//! The wheels of a release, one for each CUDA major of versions.toml and one for the CPU, and what vouches for each.

use std::path::{Path, PathBuf};

use super::proof::Proof;
use crate::api::manifest::{self, Commit, Manifest};
use crate::api::table::Values;
use crate::api::{Context, verify};
use crate::pins::matrix::Matrix;
use crate::plan::{Plan, WheelPlan};
use ci_step::digest;
use ci_step::failure::{Failure, Result};
use ci_step::wheel::WheelName;

pub struct Candidate {
    pub wheel: WheelPlan,
    pub name: WheelName,
    pub path: PathBuf,
    pub sha256: String,
}

/// The folder of the argument `wheels`, or that of the checkout.
pub fn wheels_folder(context: &Context, values: &Values) -> PathBuf {
    values.path("wheels").unwrap_or_else(|| context.root.join("wheelhouse"))
}

/// The plan of all wheels that are published together.
pub fn plan(context: &Context) -> Result<Plan> {
    let versions = context.versions()?;
    context.plan(versions, &Matrix::all(versions, None)?)
}

/// Every wheel of the plan, wherever below `folder` it lies. All of them or none are published, so that one that is missing
/// is a failure.
pub fn find(plan: &Plan, folder: &Path) -> Result<Vec<Candidate>> {
    let files = files_below(folder, 3)?;
    let mut candidates = Vec::new();
    let mut missing = Vec::new();
    for wheel in &plan.wheels {
        let found: Vec<&PathBuf> = files.iter().filter(|path| path.ends_with(&wheel.file_name)).collect();
        match found[..] {
            [path] => {
                let sha256 = digest::of_file(path).map_err(Failure::io("cannot read", path))?;
                let name = wheel.file_name.parse().map_err(|error| Failure::usage(format!("{error}."), "Build it."))?;
                candidates.push(Candidate { wheel: wheel.clone(), name, path: path.clone(), sha256 });
            }
            [] => missing.push(wheel.file_name.as_str()),
            _ => {
                let what = format!("{} lies twice below {}.", wheel.file_name, folder.display());
                return Err(Failure::usage(what, "Keep the one that is to be published."));
            }
        }
    }
    if missing.is_empty() {
        return Ok(candidates);
    }
    Err(Failure::usage(
        format!(
            "All wheels of a version are published together, and {} lacks {}.",
            folder.display(),
            missing.join(", ")
        ),
        "Build them: `cargo ci build-gpu-wheels --cuda-major N` for each major of versions.toml, `cargo ci build-cpu-wheels`.",
    ))
}

/// All files of a folder and of those in it, `depth` folders down, in order.
pub fn files_below(folder: &Path, depth: u32) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Failure::named("cannot list", folder))?.flatten() {
        let path = entry.path();
        if !path.is_dir() {
            files.push(path);
        } else if depth > 0 {
            files.extend(files_below(&path, depth - 1)?);
        }
    }
    files.sort();
    Ok(files)
}

/// Fails unless everything that is said of every wheel holds. What is quick to see comes first.
pub fn vouched(context: &Context, plan: &Plan, candidates: &[Candidate]) -> Result<()> {
    let mut objections = Vec::new();
    let mut commits = Vec::new();
    for candidate in candidates {
        let said = |text: String| format!("{}: {text}", candidate.wheel.file_name);
        let path = candidate.path.with_file_name("manifest.json");
        match Manifest::load(&path) {
            Ok(manifest) => {
                objections.extend(against(context, plan, candidate, &manifest)?.into_iter().map(said));
                commits.extend(manifest.commit.map(|commit| commit.id));
            }
            Err(failure) => objections.push(said(failure.what)),
        }
        if candidate.wheel.cuda_major.is_some() {
            let path = Proof::beside(&candidate.path);
            objections
                .extend(Proof::objections(&path, &candidate.wheel.file_name, &candidate.sha256).into_iter().map(said));
        }
    }
    commits.sort();
    commits.dedup();
    if commits.len() > 1 {
        objections.push(format!("the wheels are of several commits: {}", commits.join(", ")));
    }
    refuse(&objections)?;
    let versions = context.versions()?;
    for candidate in candidates {
        let report = verify::own(context, versions, &candidate.path)?;
        if !report.passed() {
            return Err(refusal().with_log(report.to_string()));
        }
        context.say(&format!("{}: {} checks passed", candidate.wheel.file_name, report.checks.len()));
    }
    Ok(())
}

fn refusal() -> Failure {
    Failure::check(
        "Nothing was sent: not all of this can be published.",
        "Each line above names the wheel and what is wrong with it or what is said of it.",
    )
}

fn refuse(objections: &[String]) -> Result<()> {
    if objections.is_empty() { Ok(()) } else { Err(refusal().with_log(objections.join("\n"))) }
}

/// What in the manifest is not so, or keeps the wheel from being published.
fn against(context: &Context, plan: &Plan, candidate: &Candidate, manifest: &Manifest) -> Result<Vec<String>> {
    let mut objections = Vec::new();
    let mut differs = |what: &str, said: &str, is: &str| {
        if said != is {
            objections.push(format!("its manifest says {what} {said}, which is {is}"));
        }
    };
    differs("the wheel is", &manifest.wheel, &candidate.wheel.file_name);
    differs("its sha256 is", &manifest.sha256, &candidate.sha256);
    differs("the compiler was", &manifest.rustc, &context.versions()?.rust.to_string());
    for (name, sha256) in manifest::locks(&context.root)? {
        differs(&format!("{name} was"), manifest.locks.get(&name).map_or("none", String::as_str), &sha256);
    }
    let here = Commit::of(&context.root);
    match (&manifest.commit, &here) {
        (None, _) => objections.push("its manifest names no commit".to_owned()),
        (Some(commit), _) if !commit.clean => {
            objections.push(format!("it was built of {} with changes that are not in it", commit.id));
        }
        (Some(commit), Some(here)) if commit.id != here.id => {
            objections.push(format!("it was built of {}, and this checkout is at {}", commit.id, here.id));
        }
        _ => {}
    }
    if !manifest.complete {
        objections.push("it is not complete".to_owned());
    }
    // A key is the hash of everything that goes into a step: with the same keys, this checkout leads to this wheel.
    let (pins, keys) = manifest::inputs(plan, &candidate.wheel);
    let said = manifest.steps.iter().map(|(name, step)| (name.as_str(), step.key.as_str()));
    if !said.eq(keys.iter().map(|(name, key)| (*name, *key))) {
        objections.push("its manifest names other steps than this checkout leads to".to_owned());
    }
    if !manifest.pins.iter().eq(&pins) {
        objections.push("its manifest names other pins than this checkout has".to_owned());
    }
    Ok(objections)
}
