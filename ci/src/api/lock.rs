//! lock and bump.

use std::fs;

use super::{Context, write_whole};
use crate::api::table::{Caching, Function, Group, Served, Type, Values, argument};
use crate::pins::lock::{self, Lock};
use crate::pins::versions::{Python, Version, Versions, edit};
use ci_step::failure::{Failure, Result};
use ci_step::python::{self, Interpreter};

pub static LOCK: Function = Function {
    name: "lock",
    group: Group::House,
    about: "Resolve versions.toml into versions.lock: the hash of every file that takes part",
    more: "uv does the resolving with pip's settings, so your own mirror and proxy are honoured. versions.lock holds no address.",
    arguments: &[
        argument("check", Type::Flag, "Fail when versions.toml and versions.lock disagree; write nothing, ask nobody")
            .host_only(),
        argument("fresh", Type::Flag, "Resolve all anew, also what versions.toml asks for as before"),
        argument("upgrade", Type::Flag, "Print newer versions than versions.toml has; write nothing").host_only(),
        argument("digest", Type::Text("IMAGE=DIGEST"), "Pin an image of versions.toml: rust=sha256:...")
            .host_only()
            .list(),
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::Changes { digests: true },
    run: |context, values| Box::pin(lock(context, values)),
};

pub static BUMP: Function = Function {
    name: "bump",
    group: Group::House,
    about: "Raise pinned versions in versions.toml, and lock what they lead to",
    more: "\
Without a version, the package's newest release is taken. A package of a toolkit keeps to the toolkit that versions.toml
names. What nobody asked for stays as it was locked, and nothing is written unless everything resolves.",
    arguments: &[argument("package", Type::Text("PACKAGE[==VERSION]"), "What to raise, by its name on PyPI")
        .list()
        .positional()
        .required()],
    caching: Caching::Never,
    checkout: true,
    served: Served::Changes { digests: false },
    run: |context, values| Box::pin(bump(context, values)),
};

async fn lock(context: &Context, values: &Values) -> Result<()> {
    let versions = context.versions()?;
    if values.flag("check") {
        context.lock()?.require_fresh(versions)?;
        println!("versions.lock agrees with versions.toml.");
        return Ok(());
    }
    let python = python::for_pip(versions.python_floor())?;
    if values.flag("upgrade") {
        return upgrade(versions, &python);
    }
    let pinned = pin_images(versions, values.list("digest"))?;
    for (name, image) in pinned.images.iter().filter(|(_, image)| image.digest.is_none()) {
        context.say(&format!("the image {name} ({image}) has no digest; `dagger call lock` asks for it"));
    }
    // What versions.toml asks for as before stays as it was locked.
    let kept = if values.flag("fresh") { None } else { context.lock().ok() };
    write(context, &pinned, &python, kept.as_ref())?;
    follow(context, versions, &pinned)
}

/// Resolves, and writes both files once there is nothing left that can fail.
fn write(context: &Context, versions: &Versions, python: &Interpreter, kept: Option<&Lock>) -> Result<()> {
    let resolved =
        lock::resolve(versions, python, &context.store()?, kept, |set| context.say(&format!("resolving {set}")))?;
    replace(context, "versions.toml", &versions.text)?;
    let changed = replace(context, "versions.lock", &resolved.render())?;
    println!("versions.lock: {} files, {}", resolved.files.len(), if changed { "written" } else { "unchanged" });
    Ok(())
}

/// Whether the file had to change.
fn replace(context: &Context, name: &str, text: &str) -> Result<bool> {
    let path = context.root.join(name);
    let changed = fs::read_to_string(&path).ok().as_deref() != Some(text);
    if changed {
        write_whole(&path, text.as_bytes())?;
    }
    Ok(changed)
}

/// versions.toml with these digests.
fn pin_images(versions: &Versions, digests: &[String]) -> Result<Versions> {
    let mut text = versions.text.clone();
    for pin in digests {
        let (name, digest) = pin.split_once('=').ok_or_else(|| {
            Failure::usage(format!("\"{pin}\" is no image with its digest."), "Write it as rust=sha256:...")
        })?;
        text = edit::pin_image(&text, name, digest)?;
    }
    Versions::parse(&text)
}

/// dagger.json names the same images, for the module's own program.
fn follow(context: &Context, old: &Versions, new: &Versions) -> Result<()> {
    // A checkout without the module has nothing to follow.
    let Ok(mut module) = fs::read_to_string(context.root.join("dagger.json")) else { return Ok(()) };
    for (name, image) in &old.images {
        module = module.replace(&format!("\"{image}\""), &format!("\"{}\"", new.images[name]));
    }
    replace(context, "dagger.json", &module)?;
    Ok(())
}

/// Raises pins, and locks what they lead to.
async fn bump(context: &Context, values: &Values) -> Result<()> {
    let mut versions = context.versions()?.clone();
    let python = python::for_pip(versions.python_floor())?;
    let mut lines = Vec::new();
    for wanted in values.list("package") {
        let (package, version) = match wanted.split_once("==") {
            Some((package, version)) => (package, version.to_owned()),
            // Asked for first: a name that nothing is pinned under should not reach the network.
            None => {
                edit::bump(&versions.text, wanted, "")?;
                (wanted.as_str(), lock::newest(&versions, &python, wanted, versions.python_floor())?)
            }
        };
        let (from, text) = edit::bump(&versions.text, package, &version)?;
        versions = Versions::parse(&text)?;
        lines.push(if from == version {
            format!("{package}: {from}, as before")
        } else {
            format!("{package}: {from} -> {version}")
        });
    }
    // What nobody asked to raise stays as it was locked.
    write(context, &versions, &python, context.lock().ok().as_ref())?;
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// Whether PEP 440 puts `version` after `than`.
fn later(version: &str, than: &str) -> bool {
    matches!((version.parse::<Version>(), than.parse::<Version>()), (Ok(version), Ok(than)) if version > than)
}

/// Says what is newer; a person decides, since a toolkit is chosen for the drivers and GPUs that it serves.
fn upgrade(versions: &Versions, python: &Interpreter) -> Result<()> {
    let floor = versions.python_floor();
    let mut pinned: Vec<(String, String, Python)> =
        versions.tools.iter().map(|(name, version)| (name.clone(), version.clone(), floor)).collect();
    for cuda in &versions.cuda {
        let packages = [&cuda.nvrtc, &cuda.nvfatbin].into_iter().chain(&cuda.headers);
        pinned.extend(packages.map(|pin| (pin.package.clone(), pin.version.clone(), floor)));
    }
    for requirement in versions.environments.values().flatten() {
        // The oldest Python that the line is for decides: all the others have to take the same version.
        let oldest = versions.wheel.pythons.iter().copied().find(|python| requirement.wanted_by(*python));
        pinned.extend(oldest.map(|oldest| (requirement.package.clone(), requirement.version.clone(), oldest)));
    }
    pinned.sort();
    pinned.dedup();
    let mut newer = 0;
    for (package, version, oldest) in &pinned {
        let newest = lock::newest(versions, python, package, *oldest)?;
        if later(&newest, version) {
            newer += 1;
            println!("{package}: {version} -> {newest}");
        }
    }
    println!("{newer} of {} pins have a newer release. `cargo ci bump PACKAGE` takes one over.", pinned.len());
    Ok(())
}
