//! lock.

use super::{Context, write_whole};
use crate::cli::table::Values;
use crate::failure::Result;
use crate::lock;
use crate::python;
use crate::versions::Versions;

pub fn lock(context: &Context, values: &Values) -> Result<()> {
    let versions = context.versions()?;
    if values.flag("check") {
        context.lock()?.require_fresh(&versions)?;
        println!("versions.lock agrees with versions.toml.");
        return Ok(());
    }
    let python = python::for_pip(versions.python_floor())?;
    if values.flag("upgrade") {
        return upgrade(&versions, &python);
    }
    let resolved = lock::resolve(&versions, &python, |set| context.say(&format!("resolving {set}")))?;
    let path = context.root.join("versions.lock");
    let text = resolved.render();
    let changed = std::fs::read_to_string(&path).ok().as_deref() != Some(&text);
    if changed {
        write_whole(&path, text.as_bytes())?;
    }
    println!("versions.lock: {} files, {}", resolved.files.len(), if changed { "written" } else { "unchanged" });
    Ok(())
}

/// Says what is newer; a person decides, since a toolkit is chosen for the drivers and GPUs that it serves.
fn upgrade(versions: &Versions, python: &python::Interpreter) -> Result<()> {
    let mut pinned: Vec<(String, String)> =
        versions.tools.iter().map(|(name, version)| (name.clone(), version.clone())).collect();
    for cuda in &versions.cuda {
        let packages = [&cuda.nvrtc, &cuda.nvfatbin].into_iter().chain(&cuda.headers);
        pinned.extend(packages.map(|pin| (pin.package.clone(), pin.version.clone())));
    }
    let requirements = versions.environments.values().flatten();
    pinned.extend(requirements.map(|requirement| (requirement.package.clone(), requirement.version.clone())));
    pinned.sort();
    pinned.dedup();
    let mut newer = 0;
    for (package, version) in &pinned {
        let newest = lock::newest(versions, python, package)?;
        if newest != *version {
            newer += 1;
            println!("{package}: {version} -> {newest}");
        }
    }
    println!("{newer} of {} pins have a newer release. Edit versions.toml, then run `cargo ci lock`.", pinned.len());
    Ok(())
}
