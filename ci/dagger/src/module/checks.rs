//! What `dagger check` runs, one function each, besides the functions of the same kind in the pipeline's table.

use dagger_module::{Arg, Call, Function, Object, Type, Value};

use super::functions::{Work, anew};
use super::table::{host_directory, known, plain, whole_directory};
use ci::pins::matrix::Matrix;
use ci_step::failure::Result;

pub fn more(main: Object) -> Object {
    main.function(check("check-lock", "versions.lock agrees with versions.toml", host_directory(), lock))
        .function(check(
            "check-plan",
            "Every wheel of versions.toml can be planned, twice to the same keys",
            host_directory(),
            plan,
        ))
        .function(check("check-lint", "The code in every language passes its linters", whole_directory(), lint))
        .function(check(
            "check-wheels",
            "The wheel without a GPU builds, and holds what it claims",
            host_directory(),
            wheels,
        ))
        .function(
            plain("outdated", "Newer versions than versions.toml has", Type::String, outdated)
                .arg(host_directory())
                .cache(dagger_module::Cache::Never),
        )
}

fn check(name: &str, docs: &str, source: Arg, handler: fn(&Call) -> Result<Value>) -> Function {
    plain(name, docs, Type::Void, handler).arg(source).check()
}

fn lock(call: &Call) -> Result<Value> {
    let work = Work::open(call)?;
    work.stdout(work.container()?, vec!["lock".into(), "--check".into()])?;
    Ok(Value::Null)
}

fn outdated(call: &Call) -> Result<Value> {
    let work = Work::open(call)?;
    work.stdout(anew(work.container()?, known("lock")), vec!["lock".into(), "--upgrade".into()]).map(Value::from)
}

fn plan(call: &Call) -> Result<Value> {
    let work = Work::open(call)?;
    let majors: Vec<u32> = work.versions.cuda.iter().map(|cuda| cuda.major).collect();
    let machine = &work.versions.wheel.platforms[0];
    let matrix = Matrix { cpu: true, ..Matrix::gpu(&work.versions, &majors, &[], machine)? };
    let here = work.plan(&matrix)?.to_json();
    let mut command = vec!["plan".to_owned(), "--cpu".to_owned(), "--format=json".to_owned()];
    command.extend(majors.iter().map(|major| format!("--cuda-major={major}")));
    let there = work.stdout(work.container()?, command)?;
    if here.trim() != there.trim() {
        return Err(ci_step::failure::Failure::check(
            "Two plans of the same source differ.",
            "A plan depends on something that is no input of it; `cargo ci plan --format json` in both places shows what.",
        ));
    }
    Ok(Value::Null)
}

fn lint(call: &Call) -> Result<Value> {
    let work = Work::open(call)?;
    work.stdout(work.workshop()?, vec!["lint".into()])?;
    Ok(Value::Null)
}

fn wheels(call: &Call) -> Result<Value> {
    let work = Work::open(call)?;
    let matrix = Matrix::cpu(&work.versions, &work.versions.wheel.platforms[0])?;
    // The last step of the plan opens the wheel and fails when it is not what was planned.
    work.build(&matrix, vec!["build-cpu-wheels".to_owned()], None)?;
    Ok(Value::Null)
}
