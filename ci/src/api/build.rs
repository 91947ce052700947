//! build-gpu-wheels and build-cpu-wheels.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Context, jobs, manifest, write_whole};
use crate::api::table::Values;
use crate::pins::matrix::Matrix;
use crate::plan::{Plan, WheelPlan, show};
use crate::run::dry_run::DryRun;
use crate::run::local::Local;
use crate::run::{Engine, Event, Outcome, Reporter};
use ci_step::failure::{Failure, Result};
use ci_step::store::{Found, Store};

pub fn gpu(context: &Context, values: &Values) -> Result<()> {
    let versions = context.versions()?;
    let machine = values.text("platform").unwrap_or_default();
    let matrix = Matrix::gpu(&versions, &values.numbers("cuda-major"), values.list("arch"), machine)?;
    build(context, values, &matrix)
}

pub fn cpu(context: &Context, values: &Values) -> Result<()> {
    let versions = context.versions()?;
    build(context, values, &Matrix::cpu(&versions, values.text("platform").unwrap_or_default())?)
}

fn build(context: &Context, values: &Values, matrix: &Matrix) -> Result<()> {
    let json = values.text("format") == Some("json");
    if json && !values.flag("dry-run") {
        return Err(Failure::usage(
            "--format says how a plan is printed, and a build prints none.",
            "Add --dry-run, or ask for `cargo ci plan --format json`; progress as JSON is --log-format json.",
        ));
    }
    let plan = context.plan(&context.versions()?, matrix)?;
    if values.flag("dry-run") {
        return dry_run(context, &plan, &context.store_to_read()?, json);
    }
    let store = context.store()?;
    let several = plan.wheels.len() > 1;
    let output = values.path("output");
    let folder = |wheel: &WheelPlan| match &output {
        Some(output) if several => output.join(&wheel.name),
        Some(output) => output.clone(),
        None => context.wheelhouse(&wheel.folder),
    };
    // A folder that can't be written to is known before an hour of work, not after it.
    for wheel in &plan.wheels {
        writable(&folder(wheel))?;
    }
    let wheels = make(context, &plan, &store, jobs(&values.numbers("jobs")), folder)?;
    for path in wheels {
        println!("{}", path.display());
    }
    Ok(())
}

fn dry_run(context: &Context, plan: &Plan, store: &Store, json: bool) -> Result<()> {
    if json {
        print!("{}", plan.to_json());
        return Ok(());
    }
    let mut wanted = Wanted { context, run: BTreeSet::new() };
    DryRun { store }.run(plan, &targets(plan), &mut wanted)?;
    let state = |step: &crate::plan::Step| match store.peek(&step.key) {
        _ if wanted.run.contains(&step.name) => "run",
        Ok(Found::Entry(_)) => "cached",
        // What it makes is in something that is cached.
        _ => "-",
    };
    print!("{}", show::text(plan, state));
    context.say(&format!("{} of {} steps would run; nothing was run", wanted.run.len(), plan.steps.len()));
    Ok(())
}

/// Notes which steps would run, and tells of corrupt entries.
struct Wanted<'a> {
    context: &'a Context,
    run: BTreeSet<String>,
}

impl Reporter for Wanted<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::WouldRun { step } => drop(self.run.insert((*step).to_owned())),
            other => self.context.reporter().event(other),
        }
    }
}

/// The plan comes first: what is to run, and how much is there already.
fn announce(context: &Context, plan: &Plan, store: &Store) -> Result<()> {
    let need = crate::run::need(plan, &targets(plan), |key| store.look(key))?;
    // The engine looks again, and finds no longer what this look removed.
    for (step, file) in &need.corrupt {
        context.reporter().event(&Event::Corrupt { step, file });
    }
    for wheel in &plan.wheels {
        context.say(&format!("Plan: {}/{}", wheel.folder, wheel.file_name));
    }
    for name in &need.run {
        context.say(&format!("  {name}: {}", show::about(plan.step(name)?)));
    }
    context.say(&format!("{} of {} steps to run", need.run.len(), plan.steps.len()));
    Ok(())
}

fn targets(plan: &Plan) -> Vec<String> {
    plan.wheels.iter().flat_map(|wheel| [wheel.archive.clone(), wheel.verify.clone()]).collect()
}

/// Runs the plan on this machine and puts each wheel, with its manifest, into the folder that `folder` names.
pub fn make(
    context: &Context,
    plan: &Plan,
    store: &Store,
    jobs: usize,
    folder: impl Fn(&WheelPlan) -> PathBuf,
) -> Result<Vec<PathBuf>> {
    announce(context, plan, store)?;
    let mut reporter = context.reporter();
    let outcome = Local { root: &context.root, store, jobs }.run(plan, &targets(plan), reporter.as_mut())?;
    let mut wheels = Vec::new();
    for wheel in &plan.wheels {
        let folder = folder(wheel);
        let path = deliver(context, plan, wheel, store, &outcome, &folder)?;
        if folder == context.wheelhouse(&wheel.folder) {
            remove_earlier(&folder, wheel)?;
        }
        let bytes = fs::metadata(&path).map_err(Failure::io("cannot read", &path))?.len();
        let partial =
            if wheel.complete { "" } else { "; not every architecture of versions.toml, not to be published" };
        let text = format!("{}: {:.1} MB{partial}", wheel.file_name, bytes as f64 / 1e6);
        reporter.event(&Event::Note { text: &text });
        wheels.push(path);
    }
    Ok(wheels)
}

/// The wheelhouse holds one wheel a folder, so that `wheelhouse/gpu/cuda12/*.whl` names one; an earlier version goes.
fn remove_earlier(folder: &Path, wheel: &WheelPlan) -> Result<()> {
    let distribution = |name: &str| name.split('-').next().map(str::to_owned);
    for path in super::verify::wheels_at(folder)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name != wheel.file_name && distribution(&name) == distribution(&wheel.file_name) {
            fs::remove_file(&path).map_err(Failure::io("cannot remove", &path))?;
        }
    }
    Ok(())
}

/// Copies the wheel out of the store in one move, the manifest after it.
fn deliver(
    context: &Context,
    plan: &Plan,
    wheel: &WheelPlan,
    store: &Store,
    outcome: &Outcome,
    folder: &Path,
) -> Result<PathBuf> {
    let from = store.output(&plan.step(&wheel.archive)?.key).join(&wheel.file_name);
    let to = folder.join(&wheel.file_name);
    let same = fs::read(&from).map_err(Failure::io("cannot read", &from))?;
    if fs::read(&to).ok().as_deref() != Some(&same) {
        write_whole(&to, &same)?;
    }
    let manifest = manifest::of(context, plan, wheel, store, outcome)?;
    let text = serde_json::to_vec_pretty(&manifest).expect("plain data serializes");
    // Beside a complete wheel the manifest of a partial one must not take its place.
    let name = if wheel.complete { "manifest.json" } else { "manifest.partial.json" };
    write_whole(&folder.join(name), &[text.as_slice(), b"\n"].concat())?;
    Ok(to)
}

fn writable(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Failure::io("cannot create", folder))?;
    tempfile::tempfile_in(folder).map_err(Failure::io("cannot write into", folder))?;
    Ok(())
}
