//! The wheels of a build as an object, so that a call can go on from them: `wheels --cuda-major 12 verify`.

use dagger_module::{Call, Enum, Function, Object, Query, Type, Value, json};

use super::functions::{self, Work, argument, build_with, given};
use super::table::{self, known, plain, settings_of};
use super::test::test_wheels;
use crate::engine::environment::{mount, run};
use crate::engine::from_dagger;
use ci_step::failure::{Failure, Result};

const NAME: &str = "Wheels";

/// What the main object has beyond the pipeline's table.
pub fn more(main: Object, enums: &mut Vec<Enum>) -> Object {
    let build = known("build-gpu-wheels");
    let wheels = Function::new(
        "wheels",
        "The GPU wheels of one or more CUDA majors, to go on with: verify, test, manifest, ...",
        Type::object(NAME),
        |call| wheels(call).map_err(|failure| crate::engine::to_dagger(&failure)),
    );
    let container = plain(
        "container",
        "The container that steps run in, with the source, the pipeline's program and Rust: for a look inside by `terminal`",
        Type::object("Container"),
        |call| {
            let work = Work::open(call)?;
            work.session.id(&work.container()?).map(Value::from).map_err(|error| from_dagger(&error))
        },
    );
    main.function(wheels.args(table::arguments(build, enums))).function(container.arg(table::host_directory()))
}

fn wheels(call: &Call) -> Result<Value> {
    let work = Work::open(call)?;
    let directory = build_with(call, &work, known("build-gpu-wheels"))?;
    let settings = settings_of(call).map_err(|error| from_dagger(&error))?;
    let majors: Vec<i64> = argument(call, "cuda-major")?;
    Ok(json!({"directory": directory, "source": work.tree.directory, "cudaMajor": majors, "settings": settings}))
}

pub fn object(enums: &mut Vec<Enum>) -> Object {
    let verify = known("verify-wheels");
    let test = known("test-gpu-wheels");
    let without = |name: &'static [&'static str], args: Vec<dagger_module::Arg>| {
        args.into_iter().filter(move |arg| !name.contains(&arg.name.as_str()))
    };
    let verify_args = table::arguments(verify, enums);
    let test_args = table::arguments(test, enums);
    Object::new(NAME, "Wheels that were built.")
        .field("directory", Type::object("Directory"), "The folder with the wheels and their manifests.")
        .field("source", Type::object("Directory"), "What they were built from.")
        .field("cudaMajor", Type::Integer.list(), "Their CUDA majors.")
        .function(plain("manifest", "What went into each wheel and what came out, as JSON", Type::String, manifest))
        .function(plain("sha256sums", "Their hashes, as sha256sum prints them", Type::String, sha256sums))
        .function(plain("report", "What the wheels hold, as JSON", Type::String, |call| {
            verified(call, vec!["verify-wheels".into(), "--format".into(), "json".into()])
        }))
        .function(
            plain("verify", verify.about, Type::String, |call| verified(call, given(call, known("verify-wheels"))?.1))
                .args(without(&["wheels", "host-directory"], verify_args))
                .cache(dagger_module::Cache::Never),
        )
        .function(
            plain("test", test.about, Type::String, tested)
                .args(without(&["cuda-major", "wheels", "host-directory"], test_args))
                .cache(dagger_module::Cache::Never),
        )
}

fn state(call: &Call, name: &str) -> Result<String> {
    call.state(name).map_err(|error| from_dagger(&error))
}

fn manifest(call: &Call) -> Result<Value> {
    let folder = Query::node("Directory", &state(call, "directory")?);
    let glob = folder.clone().call("glob").arg("pattern", "**/manifest.json");
    let paths: Vec<String> = call.session.get(&glob).map_err(|error| from_dagger(&error))?;
    let mut texts: Vec<String> = Vec::new();
    for path in paths {
        let query = folder.clone().call("file").arg("path", path).call("contents");
        texts.push(call.session.get(&query).map_err(|error| from_dagger(&error))?);
    }
    match texts.as_slice() {
        [] => Err(Failure::build("The build left no manifest.", "Build again.")),
        [one] => Ok(one.clone().into()),
        several => Ok(format!("[{}]", several.join(",")).into()),
    }
}

fn sha256sums(call: &Call) -> Result<Value> {
    let work = Work::on(call, &state(call, "source")?)?;
    let container = mount(work.environment.base(), "/wheels", &state(call, "directory")?);
    let command = vec!["sh", "-c", "cd /wheels && find . -name '*.whl' -printf '%P\\n' | sort | xargs sha256sum"];
    work.session.get::<Value>(&run(container, command).call("stdout")).map_err(|error| from_dagger(&error))
}

fn verified(call: &Call, mut command: Vec<String>) -> Result<Value> {
    let work = Work::on(call, &state(call, "source")?)?;
    let container = mount(work.container()?, "/wheels", &state(call, "directory")?);
    command.push("/wheels".to_owned());
    work.stdout(functions::anew(container, known("verify-wheels")), command).map(Value::from)
}

fn tested(call: &Call) -> Result<Value> {
    let majors: Vec<u32> = call.state("cudaMajor").map_err(|error| from_dagger(&error))?;
    let [major] = majors[..] else {
        return Err(Failure::usage("Tests run on the wheel of one CUDA major.", "Ask for `wheels` of one CUDA major."));
    };
    let work = Work::on(call, &state(call, "source")?)?;
    let test = known("test-gpu-wheels");
    let mut values = given(call, test)?.0;
    values.set("cuda-major", vec![major.to_string()]);
    test_wheels(call, &work, test, &values, &state(call, "directory")?).map(Value::from)
}
