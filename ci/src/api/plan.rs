//! plan, explain and step.

use super::Context;
use crate::api::table::Values;
use crate::pins::matrix::Matrix;
use crate::pins::versions::Versions;
use crate::plan::{Plan, show};
use ci_step::failure::Result;
use ci_step::steps;
use ci_step::store::Found;
use ci_step::task::Task;

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
    context.plan(&versions, &matrix(&versions, values)?)
}

pub fn plan(context: &Context, values: &Values) -> Result<()> {
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

pub fn explain(context: &Context, values: &Values) -> Result<()> {
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

pub fn step(context: &Context, values: &Values) -> Result<()> {
    let plan = Plan::load(&values.path("plan").unwrap_or_default())?;
    let store = context.store()?;
    let name = values.text("step").unwrap_or_default();
    let kept = values.path("kept");
    steps::run(&Task { kept, ..plan.task(name, &context.root, store.root())? })?;
    println!("{}", store.output(&plan.step(name)?.key).display());
    Ok(())
}
