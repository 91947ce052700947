//! From versions.toml to versions.lock: uv resolves each set for its CPython, and pip tells the hashes without downloading
//! what its index can describe.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

use super::uv::Uv;
use super::{File, Lock, Set, Wanted, wanted};
use crate::pins::versions::{Python, Versions};
use ci_step::failure::{Failure, Result};
use ci_step::pip;
use ci_step::python::Interpreter;
use ci_step::store::Store;

#[derive(Deserialize)]
struct Report {
    install: Vec<Install>,
}

#[derive(Deserialize)]
struct Install {
    metadata: Metadata,
    download_info: Download,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Download {
    url: String,
    archive_info: Archive,
}

#[derive(Deserialize)]
struct Archive {
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

/// Resolves every set anew but those that `kept` has for the same requirements; in the others, what is locked stays where it
/// still fits. `progress` hears of each set before it is asked for.
pub fn resolve(
    versions: &Versions,
    python: &Interpreter,
    store: &Store,
    kept: Option<&Lock>,
    mut progress: impl FnMut(&str),
) -> Result<Lock> {
    let mut files: BTreeSet<File> = BTreeSet::new();
    let mut sets = Vec::new();
    let mut uv: Option<Uv> = None;
    for wanted in wanted(versions) {
        let same = |set: &&Set| set.name == wanted.name && set.requirements == wanted.requirements;
        let found = match kept.filter(|lock| lock.sets.iter().any(|set| same(&set))) {
            Some(lock) => lock.set(&wanted.name)?.into_iter().cloned().collect(),
            None => {
                progress(&wanted.name);
                if wanted.dependencies && uv.is_none() {
                    // It is in the set of the build, which comes first.
                    let file = files.iter().find(|file| file.package == "uv");
                    let file = file.ok_or_else(|| Failure::usage("versions.toml pins no uv.", "Add it to [tools]."))?;
                    uv = Some(Uv::provide(versions, python, store, file)?);
                }
                let before = kept.and_then(|lock| lock.set(&wanted.name).ok()).unwrap_or_default();
                resolve_set(versions, python, &wanted, uv.as_ref(), &before)?
            }
        };
        let mut names: Vec<String> = found.iter().map(|file| file.name.clone()).collect();
        names.sort();
        sets.push(Set { name: wanted.name, requirements: wanted.requirements, files: names });
        files.extend(found);
    }
    Ok(Lock { files: files.into_iter().collect(), sets })
}

fn resolve_set(
    versions: &Versions,
    python: &Interpreter,
    wanted: &Wanted,
    uv: Option<&Uv>,
    before: &[&File],
) -> Result<Vec<File>> {
    if let Some(uv) = uv.filter(|_| wanted.dependencies) {
        let pins = uv.resolve(versions, wanted, before)?;
        return run(versions, python, wanted, &pins);
    }
    // Without dependencies two versions of a package may stand side by side, which pip takes one at a time.
    let mut rounds: Vec<BTreeMap<&str, String>> = Vec::new();
    for requirement in &wanted.requirements {
        let package = requirement.split("==").next().unwrap_or_default();
        match rounds.iter_mut().find(|round| !round.contains_key(package)) {
            Some(round) => drop(round.insert(package, requirement.clone())),
            None => rounds.push(BTreeMap::from([(package, requirement.clone())])),
        }
    }
    let mut files = Vec::new();
    for round in rounds {
        files.extend(run(versions, python, wanted, &round.into_values().collect::<Vec<_>>())?);
    }
    Ok(files)
}

/// The files of exactly these requirements, and of nothing that they need.
fn run(versions: &Versions, python: &Interpreter, wanted: &Wanted, requirements: &[String]) -> Result<Vec<File>> {
    let folder = tempfile::tempdir().map_err(Failure::io("cannot write into", &std::env::temp_dir()))?;
    let report = folder.path().join("report.json");
    let mut command = Command::new(&python.path);
    command.args([
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--dry-run",
        "--ignore-installed",
    ]);
    command.arg("--report").arg(&report).arg("--target").arg(folder.path().join("none"));
    command.args(pip::target_arguments(wanted.python, versions.wheel.glibc, &versions.wheel.platforms[0]));
    let output = command.args(requirements).output().map_err(Failure::io("cannot run", &python.path))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        if stderr.contains("no such option: --report") {
            let what = format!("pip {} can't report what it resolves.", python.pip.as_deref().unwrap_or("?"));
            return Err(Failure::machine(
                what,
                "Use pip 23 or newer (`python3 -m pip install --upgrade pip`, or another Python).",
            ));
        }
        return Err(pip::reason(&format!("Cannot resolve the set {}", wanted.name), &stderr));
    }
    let text = std::fs::read(&report).map_err(Failure::io("cannot read", &report))?;
    let report: Report = serde_json::from_slice(&text).map_err(|error| {
        Failure::machine(format!("pip's report is not as expected: {error}."), "Use pip 23 or newer.")
    })?;
    report.install.into_iter().map(file).collect()
}

fn file(install: Install) -> Result<File> {
    let Install { metadata, download_info } = install;
    let last = download_info.url.rsplit('/').next().unwrap_or_default();
    let name = last.split('#').next().unwrap_or_default().replace("%2B", "+").replace("%21", "!");
    let Some(sha256) = download_info.archive_info.hashes.get("sha256").filter(|_| name.ends_with(".whl")) else {
        let what = format!("The package index gives no sha256 for a wheel of {} {}.", metadata.name, metadata.version);
        return Err(Failure::machine(what, "Use pip 23 or newer, and an index that has this package as a wheel."));
    };
    let package = metadata.name.to_lowercase().replace(['_', '.'], "-");
    Ok(File { package, version: metadata.version, name, sha256: sha256.clone() })
}

/// The newest release of a package that the index has for `target`.
pub fn newest(versions: &Versions, python: &Interpreter, package: &str, target: Python) -> Result<String> {
    let wanted = Wanted {
        name: package.to_owned(),
        requirements: vec![package.to_owned()],
        python: target,
        dependencies: false,
    };
    let files = run(versions, python, &wanted, &wanted.requirements)?;
    files
        .first()
        .map(|file| file.version.clone())
        .ok_or_else(|| Failure::machine(format!("pip found no release of {package}."), "Check the package's name."))
}
