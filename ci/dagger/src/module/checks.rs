//! What `dagger check` runs, one function each, besides the functions of the same kind in the pipeline's table.

use ci::api::{build, lock};
use ci::pins::matrix::Matrix;
use ci_step::failure::{Failure, Result};
use dagger_module::{Arg, Call, Function, Object, Type, Value};

use super::functions::{Work, anew};
use super::table::{host_directory, plain, whole_directory};

pub fn more(main: Object) -> Object {
    let locked = plain("check-lock", "versions.lock agrees with versions.toml", Type::Void, locked);
    let planned =
        plain("check-plan", "Every wheel of versions.toml can be planned, twice to the same keys", Type::Void, planned);
    let linted = plain("check-lint", "The code in every language passes its linters", Type::Void, linted);
    let built = plain("check-wheels", "The wheel without a GPU builds, and holds what it claims", Type::Void, built);
    let outdated = plain("outdated", "Newer versions than versions.toml has", Type::String, outdated);
    main.function(check(locked, host_directory()))
        .function(check(planned, host_directory()))
        .function(check(linted, whole_directory()))
        .function(check(built, host_directory()))
        .function(outdated.arg(host_directory()).cache(dagger_module::Cache::Never))
}

fn check(function: Function, source: Arg) -> Function {
    function.arg(source).check()
}

async fn locked(call: Call) -> Result<Value> {
    let work = Work::open(&call).await?;
    work.stdout(work.container().await?, vec!["lock".into(), "--check".into()]).await?;
    Ok(Value::Null)
}

async fn outdated(call: Call) -> Result<Value> {
    let work = Work::open(&call).await?;
    let container = anew(work.container().await?, &lock::LOCK);
    work.stdout(container, vec!["lock".into(), "--upgrade".into()]).await.map(Value::from)
}

async fn planned(call: Call) -> Result<Value> {
    let work = Work::open(&call).await?;
    let majors: Vec<u32> = work.versions.cuda.iter().map(|cuda| cuda.major).collect();
    let machine = &work.versions.wheel.platforms[0];
    let matrix = Matrix { cpu: true, ..Matrix::gpu(&work.versions, &majors, &[], machine)? };
    let here = work.plan(&matrix)?.to_json();
    let mut command = vec!["plan".to_owned(), "--cpu".to_owned(), "--format=json".to_owned()];
    command.extend(majors.iter().map(|major| format!("--cuda-major={major}")));
    let there = work.stdout(work.container().await?, command).await?;
    if here.trim() != there.trim() {
        return Err(Failure::check(
            "Two plans of the same source differ.",
            "A plan depends on something that is no input of it; `cargo ci plan --format json` in both places shows what.",
        ));
    }
    Ok(Value::Null)
}

async fn linted(call: Call) -> Result<Value> {
    let work = Work::open(&call).await?;
    work.stdout(work.workshop().await?, vec!["lint".into()]).await?;
    Ok(Value::Null)
}

async fn built(call: Call) -> Result<Value> {
    let work = Work::open(&call).await?;
    let matrix = Matrix::cpu(&work.versions, &work.versions.wheel.platforms[0])?;
    // The last step of the plan opens the wheel and fails when it is not what was planned.
    work.build(&matrix, vec![build::CPU.name.to_owned()], None).await?;
    Ok(Value::Null)
}
