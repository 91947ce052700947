//! The wheels of a build as an object, so that a call can go on from them: `wheels --cuda-major 12 verify`.

use ci::api::{build, installed, verify};
use ci_step::failure::{Failure, Result};
use dagger_module::{Arg, Cache, Call, Enum, Object, Type, Value, json};
use dagger_sdk::{Directory, Id};

use super::functions::{Work, anew, argument, build_with, given};
use super::table::{self, plain, settings_of};
use super::test::{Tests, test_wheels};
use crate::engine::{from_dagger, from_sdk};

const NAME: &str = "Wheels";

/// What the main object has beyond the pipeline's table.
pub fn more(main: Object, enums: &mut Vec<Enum>) -> Object {
    let wheels = plain(
        "wheels",
        "The GPU wheels of one or more CUDA majors, to go on with: verify, test, manifest, ...",
        Type::object(NAME),
        wheels,
    );
    let container = plain(
        "container",
        "The container that commands run in, with the source, the pipeline's program and Rust: for a look inside by `terminal`",
        Type::object("Container"),
        container,
    );
    main.function(wheels.args(table::arguments(&build::GPU, enums))).function(container.arg(table::host_directory()))
}

async fn container(call: Call) -> Result<Value> {
    let work = Work::open(&call).await?;
    let Id(id) = work.container().await?.id().await.map_err(from_sdk)?;
    Ok(id.into())
}

async fn wheels(call: Call) -> Result<Value> {
    let work = Work::open(&call).await?;
    let Id(directory) = build_with(&call, &work, &build::GPU, build::gpu_matrix).await?;
    let settings = settings_of(&call).map_err(|error| from_dagger(&error))?;
    let majors: Vec<i64> = argument(&call, "cuda-major")?;
    Ok(json!({"directory": directory, "source": work.tree.directory, "cudaMajor": majors, "settings": settings}))
}

pub fn object(enums: &mut Vec<Enum>) -> Object {
    let without = |names: &'static [&'static str], args: Vec<Arg>| {
        args.into_iter().filter(move |arg| !names.contains(&arg.name.as_str()))
    };
    let verify_args = without(&["wheels", "host-directory"], table::arguments(&verify::ROW, enums));
    let test_args = without(&["cuda-major", "wheels", "host-directory"], table::arguments(&installed::GPU, enums));
    Object::new(NAME, "Wheels that were built.")
        .field("directory", Type::object("Directory"), "The folder with the wheels and their manifests.")
        .field("source", Type::object("Directory"), "What they were built from.")
        .field("cudaMajor", Type::Integer.list(), "Their CUDA majors.")
        .function(plain("manifest", "What went into each wheel and what came out, as JSON", Type::String, manifest))
        .function(plain("sha256sums", "Their hashes, as sha256sum prints them", Type::String, sha256sums))
        .function(plain("report", "What the wheels hold, as JSON", Type::String, async |call: Call| {
            verified(&call, vec![verify::ROW.name.into(), "--format".into(), "json".into()]).await
        }))
        .function(
            plain("verify", verify::ROW.about, Type::String, async |call: Call| {
                let words = given(&call, &verify::ROW)?.1;
                verified(&call, words).await
            })
            .args(verify_args)
            .cache(Cache::Never),
        )
        .function(plain("test", installed::GPU.about, Type::String, tested).args(test_args).cache(Cache::Never))
}

fn state(call: &Call, name: &str) -> Result<String> {
    call.state(name).map_err(|error| from_dagger(&error))
}

async fn manifest(call: Call) -> Result<Value> {
    let folder: Directory = call.dagger.r#ref(Id(state(&call, "directory")?));
    let mut texts: Vec<String> = Vec::new();
    for path in folder.glob("**/manifest.json").await.map_err(from_sdk)? {
        texts.push(folder.file(path).contents().await.map_err(from_sdk)?);
    }
    match texts.as_slice() {
        [] => Err(Failure::build("The build left no manifest.", "Build again.")),
        [one] => Ok(one.clone().into()),
        several => Ok(format!("[{}]", several.join(",")).into()),
    }
}

async fn sha256sums(call: Call) -> Result<Value> {
    let work = Work::on(&call, &state(&call, "source")?).await?;
    let container = work.environment.base().with_mounted_directory("/wheels", Id(state(&call, "directory")?));
    let command = vec!["sh", "-c", "cd /wheels && find . -name '*.whl' -printf '%P\\n' | sort | xargs sha256sum"];
    container.with_exec(command).stdout().await.map(Value::from).map_err(from_sdk)
}

async fn verified(call: &Call, mut command: Vec<String>) -> Result<Value> {
    let work = Work::on(call, &state(call, "source")?).await?;
    let container = work.container().await?.with_mounted_directory("/wheels", Id(state(call, "directory")?));
    command.push("/wheels".to_owned());
    work.stdout(anew(container, &verify::ROW), command).await.map(Value::from)
}

async fn tested(call: Call) -> Result<Value> {
    let majors: Vec<u32> = call.state("cudaMajor").map_err(|error| from_dagger(&error))?;
    let [major] = majors[..] else {
        return Err(Failure::usage("Tests run on the wheel of one CUDA major.", "Ask for `wheels` of one CUDA major."));
    };
    let work = Work::on(&call, &state(&call, "source")?).await?;
    let mut values = given(&call, &installed::GPU)?.0;
    values.set("cuda-major", vec![major.to_string()]);
    let tests = Tests { function: &installed::GPU, on_gpu: !values.flag("no-gpu") };
    test_wheels(&call, &work, &tests, &values, &state(&call, "directory")?).await.map(Value::from)
}
