//! rebuild: a stranger's check that a wheel is what its manifest says it was made from.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::candidates;
use crate::api::manifest::{self, Manifest};
use crate::api::table::{Caching, Function, Group, JOBS, Reads, Served, Type, Values, argument};
use crate::api::{Context, build, jobs};
use crate::plan::Plan;
use crate::run::children;
use ci_step::digest;
use ci_step::failure::{Failure, Result};
use ci_step::store::Store;

pub static ROW: Function = Function {
    name: "rebuild",
    group: Group::Release,
    about: "Build a wheel again from its manifest, and say whether it is the same to the bit",
    more: "\
The manifest is all that is needed of the wheel: it names the commit, every pin and the hash of every member. A checkout
that is at another commit builds in a copy of that one. What this machine's cache has is used unless --fresh is said, with
which everything is made anew, in a cache that is removed afterwards.",
    arguments: &[
        argument("manifest", Type::File, "manifest.json of the wheel").required(),
        argument("fresh", Type::Flag, "Use nothing that was made before"),
        JOBS,
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::Text(Reads::Checkout),
    run: |context, values| Box::pin(rebuild(context, values)),
};

async fn rebuild(context: &Context, values: &Values) -> Result<()> {
    let path = values.path("manifest").unwrap_or_default();
    let manifest = Manifest::load(&path)?;
    if !manifest.complete {
        let what = format!("{} lacks architectures of versions.toml.", manifest.wheel);
        return Err(Failure::usage(what, "Only whole wheels are published; name the manifest of one."));
    }
    let scratch = tempfile::tempdir().map_err(Failure::io("cannot write into", &std::env::temp_dir()))?;
    let out = scratch.path().join("out");
    let store = if values.flag("fresh") { Store::open(&scratch.path().join("cache"))? } else { context.store()? };
    let plan = candidates::plan(context)?;
    let wheel = match here(&plan, &manifest) {
        Some(plan) => {
            build::make(context, &plan, &store, jobs(&values.numbers("jobs")), |_| out.clone()).await?.remove(0)
        }
        None => elsewhere(context, &manifest, scratch.path(), store.root(), &out).await?,
    };
    compare(&manifest, &wheel)
}

/// The plan of that wheel alone, where this checkout leads to it by the very steps of the manifest.
fn here(plan: &Plan, manifest: &Manifest) -> Option<Plan> {
    let wheel = plan.wheels.iter().find(|wheel| wheel.file_name == manifest.wheel)?;
    let (_, keys) = manifest::inputs(plan, wheel);
    let said = manifest.steps.iter().map(|(name, step)| (name.as_str(), step.key.as_str()));
    said.eq(keys.iter().map(|(name, key)| (*name, *key))).then(|| Plan { wheels: vec![wheel.clone()], ..plan.clone() })
}

/// Builds in a copy of the manifest's commit, with the pipeline of that commit.
async fn elsewhere(
    context: &Context,
    manifest: &Manifest,
    scratch: &Path,
    cache: &Path,
    out: &Path,
) -> Result<PathBuf> {
    let commit = match &manifest.commit {
        Some(commit) if commit.clean => &commit.id,
        _ => {
            let what = format!("{} was made of no commit that could be looked up.", manifest.wheel);
            return Err(Failure::check(what, "It can't be built again, and nothing of this kind is published."));
        }
    };
    context.say(&format!("this checkout leads to another wheel; building in a copy of {commit}"));
    let copy = scratch.join("checkout");
    std::fs::create_dir(&copy).map_err(Failure::io("cannot create", &copy))?;
    let log = scratch.join("log");
    let script = "git archive --format=tar \"$0\" | tar -x -C \"$1\"";
    let mut take = Command::new("bash");
    take.current_dir(&context.root).args(["-o", "pipefail", "-c", script, commit]).arg(&copy);
    let words = || std::fs::read_to_string(&log).unwrap_or_default();
    if !children::logged(take, &log, &context.stop).await?.success() {
        let what = format!("This repository has no commit {commit}.");
        return Err(
            Failure::usage(what, "Fetch it (`git fetch --tags`), and run the same command again.").with_log(words())
        );
    }
    let major = manifest.steps.keys().find_map(|step| step.strip_prefix("cuda")?.split(':').next());
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.current_dir(&copy).arg("ci");
    match major {
        Some(major) => build.args(["build-gpu-wheels", "--cuda-major", major]),
        None => build.arg("build-cpu-wheels"),
    };
    build.arg("--cache").arg(cache).arg("--output").arg(out).env_remove("CARGO_MANIFEST_DIR");
    if !children::logged(build, &log, &context.stop).await?.success() {
        let what = format!("The build of {commit} failed.");
        return Err(Failure::build(what, "Its own words are above.").with_log(words()));
    }
    Ok(crate::api::verify::wheels_at(out)?.remove(0))
}

/// The same to the bit, or which members differ.
fn compare(manifest: &Manifest, wheel: &Path) -> Result<()> {
    let sha256 = digest::of_file(wheel).map_err(Failure::io("cannot read", wheel))?;
    if sha256 == manifest.sha256 {
        println!("{}: the same to the bit, {sha256}", manifest.wheel);
        return Ok(());
    }
    let found = manifest::members(wheel)?;
    let mut lines = Vec::new();
    for (name, hash) in &manifest.members {
        match found.get(name) {
            None => lines.push(format!("{name}: not in what was built now")),
            Some(other) if other != hash => lines.push(format!("{name}: {other} now, {hash} in the manifest")),
            Some(_) => {}
        }
    }
    lines.extend(
        found
            .keys()
            .filter(|name| !manifest.members.contains_key(*name))
            .map(|name| format!("{name}: not in the manifest")),
    );
    if lines.is_empty() {
        lines.push(
            "every member is the same; the archive around them, or what the manifest says of it, is not".to_owned(),
        );
    }
    let what = format!("{} is another now: {sha256}, and {} in its manifest.", manifest.wheel, manifest.sha256);
    Err(Failure::check(what, "The members that differ are named above; `cargo ci plan --diff` tells which inputs do.")
        .with_log(lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a-1-py3-none-any.whl");
        let write = |members: &[(&str, &str)]| {
            use std::io::Write;
            let mut zip = zip::ZipWriter::new(std::fs::File::create(&wheel).unwrap());
            for (name, text) in members {
                zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
                zip.write_all(text.as_bytes()).unwrap();
            }
            zip.finish().unwrap();
        };
        write(&[("a.py", "1"), ("b.py", "2")]);
        let text = serde_json::json!({
            "wheel": "a-1-py3-none-any.whl", "sha256": digest::of_file(&wheel).unwrap(), "bytes": 1, "complete": true,
            "commit": null, "rustc": "", "locks": {}, "members": manifest::members(&wheel).unwrap(), "checks": [],
            "inventory": ci_step::audit::inspect(&wheel).unwrap(), "pins": [], "steps": {},
        });
        let manifest: Manifest = serde_json::from_value(text).unwrap();
        compare(&manifest, &wheel).unwrap();
        write(&[("a.py", "1"), ("b.py", "3"), ("c.py", "4")]);
        let failure = compare(&manifest, &wheel).unwrap_err();
        let log = failure.log.unwrap();
        assert!(log.contains("b.py: ") && log.contains("c.py: not in the manifest") && !log.contains("a.py"), "{log}");
    }
}
