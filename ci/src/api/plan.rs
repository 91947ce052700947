//! plan, explain and step.

use super::{Context, jobs};
use crate::api::table::{
    ARCH, CPU_TOO, Caching, FORMAT, Function, Group, MAJOR, PLATFORM, Reads, Served, Type, Values, argument,
};
use crate::pins::matrix::Matrix;
use crate::pins::versions::Versions;
use crate::plan::{Plan, show};
use crate::run::local::Local;
use ci_step::failure::Result;
use ci_step::store::Found;

pub static PLAN: Function = Function {
    name: "plan",
    group: Group::Look,
    about: "Print the steps of a build with their keys, or compare them with another plan",
    more: "\
Examples:
  cargo ci plan --cuda-major 12
  cargo ci plan --format json > before.json; (edit something); cargo ci plan --diff before.json",
    arguments: &[
        MAJOR,
        CPU_TOO,
        ARCH,
        PLATFORM,
        FORMAT,
        argument(
            "diff",
            Type::File,
            "Say what would run again since this plan (JSON) was made, and which input changed",
        ),
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::Text(Reads::Sources),
    run: |context, values| Box::pin(plan(context, values)),
};

pub static EXPLAIN: Function = Function {
    name: "explain",
    group: Group::Look,
    about: "Say what a step reads and makes, its key, and whether it would run and why",
    more: "",
    arguments: &[
        argument("step", Type::Text("STEP"), "For example extension or cuda12:pack:rows").positional().required(),
        MAJOR,
        CPU_TOO,
        ARCH,
        PLATFORM,
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::Text(Reads::Sources),
    run: |context, values| Box::pin(explain(context, values)),
};

pub static STEP: Function = Function {
    name: "step",
    group: Group::Look,
    about: "Run one step of a plan; what it needs must have run before",
    more: "",
    arguments: &[
        argument("step", Type::Text("STEP"), "Its name in the plan").positional().required(),
        argument("plan", Type::Path, "A plan in JSON").required(),
    ],
    caching: Caching::ByInputs,
    checkout: true,
    served: Served::No,
    run: |context, values| Box::pin(step(context, values)),
};

/// The wheels that the arguments name; all, when they name none.
fn matrix(versions: &Versions, values: &Values) -> Result<Matrix> {
    let (majors, cpu) = (values.numbers("cuda-major"), values.flag("cpu"));
    let all = majors.is_empty() && !cpu;
    let majors = if all { versions.cuda.iter().map(|cuda| cuda.major).collect() } else { majors };
    let mut matrix = Matrix::gpu(versions, &majors, values.list("arch"), values.text("platform").unwrap_or_default())?;
    matrix.cpu = cpu || all;
    Ok(matrix)
}

fn planned(context: &Context, values: &Values) -> Result<Plan> {
    let versions = context.versions()?;
    context.plan(versions, &matrix(versions, values)?)
}

async fn plan(context: &Context, values: &Values) -> Result<()> {
    let plan = planned(context, values)?;
    if let Some(path) = values.path("diff") {
        print!("{}", show::diff(&Plan::load(&path)?, &plan));
    } else if values.text("format") == Some("json") {
        print!("{}", plan.to_json());
    } else {
        let store = context.store_to_read()?;
        let state = |step: &crate::plan::Step| {
            if matches!(store.peek(&step.key), Ok(Found::Entry(_))) { "cached" } else { "run" }
        };
        print!("{}", show::text(&plan, state));
    }
    Ok(())
}

async fn explain(context: &Context, values: &Values) -> Result<()> {
    let plan = planned(context, values)?;
    let step = plan.step(values.text("step").unwrap_or_default())?;
    let store = context.store_to_read()?;
    let verdict = match store.peek(&step.key)? {
        Found::Entry(entry) => {
            format!("would not run: made before, in {:.1} s, {} bytes", entry.seconds, entry.bytes())
        }
        Found::Corrupt { file } => format!("would run: {file} in the cache is not what was written"),
        Found::Nothing => "would run: nothing with this key was made before".to_owned(),
    };
    print!("{}", show::explain(&plan, step, &verdict));
    Ok(())
}

async fn step(context: &Context, values: &Values) -> Result<()> {
    let plan = Plan::load(&values.path("plan").unwrap_or_default())?;
    let step = plan.step(values.text("step").unwrap_or_default())?;
    let store = context.store()?;
    let engine = Local { root: &context.root, store: &store, jobs: jobs(&[]), stop: &context.stop };
    engine.step(&plan, step, &context.stop).await?;
    println!("{}", store.output(&step.key).display());
    Ok(())
}
