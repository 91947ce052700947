//! verify-wheels: proves what any wheel claims; with `--gates`, the field's own tools judge it too.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Context, environment};
use crate::api::table::{Caching, Function, Group, Reads, Served, Type, Values, argument};
use crate::pins::matrix;
use crate::pins::versions::{Cuda, Versions};
use crate::plan::describe;
use crate::plan::expect;
use crate::plan::{self, Sources};
use ci_step::audit::{self, Expected, Report, gates};
use ci_step::failure::{Failure, Result};
use ci_step::python;
use ci_step::wheel::WheelName;

pub static ROW: Function = Function {
    name: "verify-wheels",
    group: Group::Tests,
    about: "Prove what any wheel claims: tags, RECORD, metadata, symbols, libraries, images",
    more: "\
A wheel of this project is compared with versions.toml and the kernel catalogue; of a foreign wheel only what its name
promises can be checked. A folder stands for the wheels in it.",
    arguments: &[
        argument("path", Type::Path, "Wheels, or folders with wheels")
            .served_as("wheels")
            .list()
            .positional()
            .required(),
        argument("format", Type::Choice(&["text", "json"]), "How the reports are printed").default("text"),
        argument("gates", Type::Flag, "Run auditwheel, abi3audit, check-wheel-contents and twine check as well")
            .host_only(),
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::Text(Reads::Sources),
    run: |context, values| Box::pin(verify(context, values)),
};

async fn verify(context: &Context, values: &Values) -> Result<()> {
    let versions = context.versions()?;
    let mut wheels = Vec::new();
    for path in values.list("path") {
        wheels.extend(wheels_at(Path::new(path))?);
    }
    let with_gates = values.flag("gates");
    let mut reports = Vec::new();
    for wheel in &wheels {
        if let Some(lacks) = lacks(versions, wheel) {
            // Standard output may be JSON for a program.
            context.say(&lacks);
        }
        let mut report = own(context, versions, wheel)?;
        if with_gates {
            add_gates(context, versions, wheel, &mut report)?;
        }
        if values.text("format") != Some("json") {
            println!("{report}\n");
        }
        reports.push(report);
    }
    if values.text("format") == Some("json") {
        println!("{}", serde_json::to_string_pretty(&reports).expect("plain data serializes"));
    }
    let bad: Vec<&str> = reports.iter().filter(|report| !report.passed()).map(|report| report.wheel.as_str()).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Failure::check(
        format!("Not what they should be: {}.", bad.join(", ")),
        "Each finding above names the member and what is wrong.",
    ))
}

/// What a partial wheel of ours has not, in one sentence.
fn lacks(versions: &Versions, wheel: &Path) -> Option<String> {
    let name: WheelName = wheel.file_name()?.to_str()?.parse().ok()?;
    let full = ours(versions, &name)??;
    let partial = partial(versions, Some(full), &name)?;
    let missing: Vec<String> = full
        .architectures
        .iter()
        .filter(|arch| !partial.architectures.contains(arch))
        .map(ToString::to_string)
        .collect();
    Some(format!("{name} is not complete and not to be published: it has no code for {}.", missing.join(", ")))
}

/// The wheel itself, or those in the folder.
pub fn wheels_at(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        fs::metadata(path).map_err(Failure::named("cannot read", path))?;
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(Failure::io("cannot list", path))?;
    let mut wheels: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    wheels.retain(|file| file.extension().is_some_and(|end| end == "whl"));
    wheels.sort();
    if wheels.is_empty() {
        return Err(Failure::usage(
            format!("{} holds no wheel.", path.display()),
            "Build one first, or name another folder.",
        ));
    }
    Ok(wheels)
}

/// The wheel's CUDA table of versions.toml, when its name is one of ours.
fn ours<'a>(versions: &'a Versions, name: &WheelName) -> Option<Option<&'a Cuda>> {
    let same =
        |distribution: &str| ci_step::wheel::normalize(distribution) == ci_step::wheel::normalize(&name.distribution);
    if same(&versions.wheel.cpu_name) {
        return Some(None);
    }
    versions.cuda.iter().find(|cuda| same(&cuda.distribution(&versions.wheel))).map(Some)
}

/// Our own checks: against versions.toml when the wheel is ours and of this version, else against its name.
pub fn own(context: &Context, versions: &Versions, wheel: &Path) -> Result<Report> {
    let name: Option<WheelName> = wheel.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    let Some((name, cuda)) = name.and_then(|name| ours(versions, &name).map(|cuda| (name, cuda))) else {
        return Ok(audit::verify_by_name(wheel));
    };
    let partial = partial(versions, cuda, &name);
    if name.version != versions.wheel.version && partial.is_none() {
        return Ok(audit::verify_by_name(wheel));
    }
    let cuda = partial.as_ref().or(cuda);
    let sources = Sources::read(&context.root, versions)?;
    let metadata = describe::metadata(versions, cuda, &name);
    let expected: Expected = expect::expected(versions, cuda, &name, &metadata, &sources.families);
    Ok(audit::verify(wheel, &expected))
}

/// The CUDA table with the architectures that a partial wheel of this version names; none for any other wheel.
fn partial(versions: &Versions, cuda: Option<&Cuda>, name: &WheelName) -> Option<Cuda> {
    let local = name.version.strip_prefix(&versions.wheel.version)?.strip_prefix('+')?;
    let full = cuda?;
    let named: Vec<String> = full
        .architectures
        .iter()
        .filter(|arch| local.split('.').any(|one| one == format!("sm{}", arch.digits())))
        .map(ToString::to_string)
        .collect();
    let narrowed = matrix::narrow(full, &named).ok()?;
    (!named.is_empty() && plan::local_version(&narrowed) == local).then_some(narrowed)
}

/// auditwheel, abi3audit, check-wheel-contents and twine check, from an environment of pinned wheels.
pub fn add_gates(context: &Context, versions: &Versions, wheel: &Path, report: &mut Report) -> Result<()> {
    let python = python::for_pip(versions.python_floor())?;
    let environment = environment::locked(context, versions, "audit", &python)?;
    let exclude: Vec<String> =
        versions.cuda.iter().flat_map(|cuda| &cuda.requires).map(|library| library.soname.clone()).collect();
    for check in gates::run(&environment.bin(), wheel, &exclude) {
        report.add(check.name, check.findings);
    }
    Ok(())
}
