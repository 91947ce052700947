//! build-gpu-wheels and build-cpu-wheels.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Context, jobs, manifest, write_whole};
use crate::api::table::{
    ARCH, Argument, Caching, DRY_RUN, Function, Group, JOBS, MAJOR, OUTPUT, PLAN_FORMAT, PLATFORM, Served, Type,
    Values, argument,
};
use crate::pins::matrix::Matrix;
use crate::pins::versions::Versions;
use crate::plan::{Plan, Step, WheelPlan, show};
use crate::run::local::Local;
use crate::run::{Event, Outcome, need};
use ci_step::failure::{Failure, Result};
use ci_step::store::{Found, Store};

const PLAN: Argument =
    argument("plan", Type::File, "Run this plan, which `cargo ci plan --format json` wrote, and make none").host_only();

pub static GPU: Function = Function {
    name: "build-gpu-wheels",
    group: Group::Wheels,
    about: "Build, verify and describe the wheel of one or more CUDA majors",
    more: "\
Examples:
  cargo ci build-gpu-wheels --cuda-major 12
  cargo ci build-gpu-wheels --cuda-major 11 --cuda-major 12 --jobs 8
  cargo ci build-gpu-wheels --cuda-major 12 --arch 9.0a        a smaller wheel for one GPU
  cargo ci build-gpu-wheels --cuda-major 13 --dry-run --format json

Leaves the wheel and manifest.json in wheelhouse/gpu/cudaN; a wheel of some architectures only says so in its version and
lies in wheelhouse/gpu/partial. Needs no GPU and no CUDA toolkit. Everything that is
downloaded or finished is kept, so that an interrupted build goes on where it was, and an unchanged one is done at once.",
    arguments: &[
        MAJOR.required(),
        ARCH,
        PLATFORM,
        OUTPUT,
        JOBS,
        DRY_RUN,
        PLAN_FORMAT,
        PLAN,
    ],
    caching: Caching::ByInputs,
    checkout: true,
    served: Served::Wheels(gpu_matrix),
    run: |context, values| Box::pin(gpu(context, values)),
};

pub static CPU: Function = Function {
    name: "build-cpu-wheels",
    group: Group::Wheels,
    about: "Build, verify and describe the wheel for machines without a GPU",
    more: "",
    arguments: &[PLATFORM, OUTPUT, JOBS, DRY_RUN, PLAN_FORMAT, PLAN],
    caching: Caching::ByInputs,
    checkout: true,
    served: Served::Wheels(cpu_matrix),
    run: |context, values| Box::pin(cpu(context, values)),
};

async fn gpu(context: &Context, values: &Values) -> Result<()> {
    build(context, values, gpu_matrix).await
}

async fn cpu(context: &Context, values: &Values) -> Result<()> {
    build(context, values, cpu_matrix).await
}

/// The wheels of the CUDA majors that are asked for.
pub fn gpu_matrix(versions: &Versions, values: &Values) -> Result<Matrix> {
    let machine = machine(versions, values);
    Matrix::gpu(versions, &values.numbers("cuda-major"), values.list("arch"), machine)
}

pub fn cpu_matrix(versions: &Versions, values: &Values) -> Result<Matrix> {
    Matrix::cpu(versions, machine(versions, values))
}

/// Of a function that does not ask, the first that versions.toml knows.
fn machine<'a>(versions: &'a Versions, values: &'a Values) -> &'a str {
    values.text("platform").unwrap_or(&versions.wheel.platforms[0])
}

async fn build(context: &Context, values: &Values, wanted: fn(&Versions, &Values) -> Result<Matrix>) -> Result<()> {
    let json = values.text("format") == Some("json");
    if json && !values.flag("dry-run") {
        return Err(Failure::usage(
            "--format says how a plan is printed, and a build prints none.",
            "Add --dry-run, or ask for `cargo ci plan --format json`; progress as JSON is --log-format json.",
        ));
    }
    let versions = context.versions()?;
    let plan = match values.path(PLAN.name) {
        Some(path) => Plan::load(&path)?,
        None => context.plan(versions, &wanted(versions, values)?)?,
    };
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
    let wheels = make(context, &plan, &store, jobs(&values.numbers("jobs")), folder).await?;
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
    let need = need(plan, &targets(plan), |key| store.peek(key))?;
    for (step, file) in &need.corrupt {
        context.reporter().event(&Event::Corrupt { step, file });
    }
    let state = |step: &Step| match store.peek(&step.key) {
        _ if need.run.contains(&step.name) => "run",
        Ok(Found::Entry(_)) => "cached",
        // What it makes is in something that is cached.
        _ => "-",
    };
    print!("{}", show::text(plan, state));
    context.say(&format!("{} of {} steps would run; nothing was run", need.run.len(), plan.steps.len()));
    Ok(())
}

/// The plan comes first: what is to run, and how much is there already.
fn announce(context: &Context, plan: &Plan, store: &Store) -> Result<()> {
    let need = need(plan, &targets(plan), |key| store.look(key))?;
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
pub async fn make(
    context: &Context,
    plan: &Plan,
    store: &Store,
    jobs: usize,
    folder: impl Fn(&WheelPlan) -> PathBuf,
) -> Result<Vec<PathBuf>> {
    announce(context, plan, store)?;
    let mut reporter = context.reporter();
    let engine = Local { root: &context.root, store, jobs, stop: &context.stop };
    let outcome = engine.run(plan, &targets(plan), reporter.as_mut()).await?;
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
