//! Downloads by the user's own pip, so that their mirror, proxy and certificates are honoured: exact versions, required
//! hashes, wheels only, nothing besides what was asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::python::Interpreter;
use crate::python::Python;

/// One wheel: what it is called and what its bytes hash to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct File {
    pub package: String,
    pub version: String,
    pub name: String,
    pub sha256: String,
}

/// The platform tags that a machine with this glibc takes, newest first, as pip wants them spelled out.
pub fn platforms(glibc: (u32, u32), machine: &str) -> Vec<String> {
    let (major, minor) = glibc;
    let mut tags: Vec<String> = (5..=minor).rev().map(|minor| format!("manylinux_{major}_{minor}_{machine}")).collect();
    tags.extend(["manylinux2014", "manylinux2010", "manylinux1", "linux"].map(|tag| format!("{tag}_{machine}")));
    tags
}

/// The arguments that make pip choose files for a machine that need not be this one.
pub fn target_arguments(python: Python, glibc: (u32, u32), machine: &str) -> Vec<String> {
    let mut arguments =
        vec!["--only-binary=:all:".into(), "--implementation=cp".into(), format!("--python-version={python}")];
    arguments.extend(platforms(glibc, machine).into_iter().map(|tag| format!("--platform={tag}")));
    arguments
}

/// Downloads `files`, made for `python`, into `folder`, and gives their paths in the same order. Hashes are checked by pip.
pub fn download(
    pip: &Interpreter,
    files: &[&File],
    python: Python,
    glibc: (u32, u32),
    machine: &str,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    // pip takes one version of a package at a time.
    let mut rounds: Vec<BTreeMap<&str, &File>> = Vec::new();
    for file in files {
        match rounds.iter_mut().find(|round| !round.contains_key(file.package.as_str())) {
            Some(round) => drop(round.insert(&file.package, file)),
            None => rounds.push(BTreeMap::from([(file.package.as_str(), *file)])),
        }
    }
    for round in &rounds {
        let list: String =
            round.values().map(|f| format!("{}=={} --hash=sha256:{}\n", f.package, f.version, f.sha256)).collect();
        let requirements = folder.join("requirements.txt");
        std::fs::write(&requirements, list).map_err(Failure::io("cannot write", &requirements))?;
        let mut command = Command::new(&pip.path);
        command.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"]);
        command.arg("--require-hashes").args(target_arguments(python, glibc, machine));
        command.arg("--dest").arg(folder).arg("--requirement").arg(&requirements);
        let output = command.output().map_err(Failure::io("cannot run", &pip.path))?;
        if !output.status.success() {
            let names: Vec<String> = round.values().map(|file| format!("{} {}", file.package, file.version)).collect();
            return Err(reason(
                &format!("Cannot download {}", names.join(", ")),
                &String::from_utf8_lossy(&output.stderr),
            ));
        }
    }
    Ok(files.iter().map(|file| folder.join(&file.name)).collect())
}

/// Reads pip's words, so that a person learns what to do.
pub fn reason(what: &str, stderr: &str) -> Failure {
    let last: Vec<&str> = stderr.lines().rev().filter(|line| !line.trim().is_empty()).take(12).collect();
    let log = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    let says = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    let (because, todo) = if says(&["DO NOT MATCH THE HASHES"]) {
        (
            "a file came with another hash than versions.lock has",
            "Do not trust that file. If your package index is a mirror, ask who keeps it; if versions.toml changed, run `cargo ci lock`.",
        )
    } else if says(&["No space left on device", "Disk quota exceeded"]) {
        (
            "the disk is full",
            "Free some space (`cargo ci clean --all` removes what can be made again) and run the same command again.",
        )
    } else if says(&["SSLError", "CERTIFICATE_VERIFY_FAILED"]) {
        // Before what the network may have: pip counts the attempts here as well.
        (
            "the package index's certificate is not trusted here",
            "Tell pip of your certificate authority (`pip config set global.cert FILE`; with a Dagger engine, `--certificates=FILE`).",
        )
    } else if says(&[
        "NewConnectionError",
        "NameResolutionError",
        "ConnectTimeoutError",
        "Connection refused",
        "Max retries",
        "ProxyError",
        "Network is unreachable",
        "ReadTimeoutError",
        "Connection broken",
        "ConnectionResetError",
    ]) {
        (
            "the package index can't be reached",
            "Check the network, or pip's own settings for a mirror or proxy (`pip config list`); what is already downloaded is kept.",
        )
    } else if says(&["No module named pip"]) {
        ("this Python has no pip", "Install it (Debian: python3-pip).")
    } else if says(&["No matching distribution", "Could not find a version"]) {
        (
            "the package index has no such file",
            "Check `pip config list` for the index in use, and that a mirror is complete.",
        )
    } else {
        ("pip failed", "pip's own words are above.")
    };
    Failure::machine(format!("{what}: {because}."), todo).with_log(log)
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn a_certificate_that_is_not_trusted_is_told_from_a_network_that_is_not_there() {
        let retrying = "WARNING: Retrying (Retry(total=0)) after connection broken by ";
        let none = "/simple/a/\nERROR: No matching distribution found for a==1";
        let failed =
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))";
        let gone = "NewConnectionError('Connection refused')";
        for (words, because) in [
            (format!("{retrying}'{failed}': {none}"), "certificate is not trusted here."),
            (
                format!("Max retries exceeded with url: /simple/a/ (Caused by {failed})"),
                "certificate is not trusted here.",
            ),
            (format!("{retrying}'{gone}': {none}"), "can't be reached."),
            (none.to_owned(), "has no such file."),
        ] {
            let failure = reason("Cannot download a 1", &words);
            assert!(failure.what.ends_with(because), "{words}: {}", failure.what);
        }
    }
}
