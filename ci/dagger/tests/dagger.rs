//! The Dagger module, driven by an engine that knows the schema of 0.21.7 and runs nothing: what it registers, which
//! containers a build is made of, and what reaches the user when something fails.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock};

use ci::api::table::{FUNCTIONS, Served};
use ci_dagger::module::module;
use ci_step::task::Answer;
use dagger_module::fake::{FakeEngine, Script};
use dagger_module::{Error, Value, json};
use dagger_sdk::Id;

const SCHEMA: &str = include_str!("../../../dagger-module/schema/dagger-0.21.7.graphql");

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace")
}

/// The program works in its current folder, as it does in its container: one test at a time, in a folder of its own.
fn alone() -> (MutexGuard<'static, ()>, tempfile::TempDir) {
    static LOCK: OnceLock<Mutex<()>> = OnceLock::new();
    let guard = LOCK.get_or_init(Mutex::default).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    // The program itself is big, and nobody here runs it.
    fs::write("ci", "").unwrap();
    fs::write("ci-step", "").unwrap();
    (guard, folder)
}

/// What the module reads of a checkout.
const READ: &[&str] = &[
    ".cargo/config.toml",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "ci/Cargo.toml",
    "ci/dagger/Cargo.toml",
    "ci/step/Cargo.toml",
    "ci/step/src",
    "dagger-module/Cargo.toml",
    "dagger-module/examples/greeter/Cargo.toml",
    "faiss-rs",
    "kernels",
    "rust-toolchain.toml",
    "versions.lock",
    "versions.toml",
];

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            let name = entry.file_name();
            if name != "target" && !name.to_string_lossy().ends_with(".so") {
                copy(&entry.path(), &to.join(name));
            }
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

/// An engine whose directories export this checkout, changed by `edit`; `fail` names a step that fails.
fn engine(edit: fn(&Path), fail: Option<&'static str>) -> FakeEngine {
    let script: Script = Box::new(move |object, field, chain| {
        let last = chain.rsplit_once(".withExec(").map_or("", |(_, last)| last);
        match (object, field) {
            ("Directory", "export") => {
                let path = chain.rsplit_once("path: \"")?.1.split('"').next()?;
                for name in READ {
                    copy(&checkout().join(name), &PathBuf::from(path).join(name));
                }
                edit(Path::new(path));
                Some(Ok(path.into()))
            }
            ("Directory", "glob") => Some(Ok(json!(["faiss.whl"]))),
            ("Directory", "sync")
                if fail.is_some_and(|step| {
                    last.contains("ci-step") && chain.contains(&format!("\\\"name\\\":\\\"{step}\\\",\\\"action\\\""))
                }) =>
            {
                let failure = json!({"kind": "build", "what": "Kernel family rows does not compile.",
                    "todo": "Correct the source.", "log": "rows.cu(3): error: no"});
                let answer = json!({"answer": "failed", "failure": failure}).to_string();
                let error = Error::new("exit code: 3 [traceparent:1-2]").with("exitCode", 3);
                Some(Err(error.with("stdout", answer).with("stderr", "words")))
            }
            ("Container", "stdout") if last.contains("rustc") => Some(Ok("/usr/local/rust\n".into())),
            ("Container", "stdout") if last.contains("command -v") => Some(Ok("3.11\n3.12\n".into())),
            ("Container", "combinedOutput") if last.contains("test-gpu-wheels") && last.contains("3.12") => {
                Some(Ok("0 passed\n".into()))
            }
            ("Container", "combinedOutput") if last.contains("test-gpu-wheels") => Some(Ok("3 passed\n".into())),
            ("Container", "combinedOutput") if last.contains("test-cpu-wheels") => {
                let log = "1 failed, 2 passed\nerror: Failed: the wheel.\nTheir words are above.";
                Some(Err(Error::new("exit code: 1").with("exitCode", 1).with("stderr", log)))
            }
            ("Container", "stdout") => Some(Ok("text".into())),
            ("Container", "imageRef") => Some(Ok("registry/name:tag@sha256:1".into())),
            _ => None,
        }
    });
    FakeEngine::start(SCHEMA, script)
}

fn no_edit(_: &Path) {}

fn state(settings: Value) -> Value {
    json!({ "settings": settings })
}

fn images() -> Value {
    state(json!({"baseImage": "base", "rustImage": "rust"}))
}

/// A directory of the engine, to be passed as the source.
fn source(engine: &FakeEngine) -> String {
    let Id(id) = engine.block_on(engine.dagger().directory().id()).unwrap();
    id
}

fn call(engine: &FakeEngine, function: &str, mut args: Value) -> Result<Value, Error> {
    args["hostDirectory"] = source(engine).into();
    engine.call(&module(), "FaissWheels", function, images(), args)
}

/// The command of every step's container.
const RUN: &str = r#"withExec(args: ["ci-step", "/task.json"])"#;

/// What a step's container is told.
fn task(operation: &str) -> Value {
    let (_, rest) = operation.split_once(r#"withNewFile(contents: "#).unwrap();
    let text: String = serde_json::Deserializer::from_str(rest).into_iter().next().unwrap().unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The calls behind each step's container, by the step's name.
fn steps(engine: &FakeEngine) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for operation in &engine.operations() {
        if operation.contains(RUN) && operation.ends_with(".sync") {
            found.insert(task(operation)["step"]["name"].as_str().unwrap().to_owned(), operation.clone());
        }
    }
    found
}

#[test]
fn every_function_of_the_table_is_registered() {
    let (_guard, _folder) = alone();
    let engine = engine(no_edit, None);
    engine.call(&module(), "", "", Value::Null, json!({})).unwrap();
    let all = engine.operations().join("\n");
    let here = |name: &str| all.contains(&format!("function(name: \"{name}\""));
    for name in [
        "buildGpuWheels",
        "buildCpuWheels",
        "testGpuWheels",
        "verifyWheels",
        "wheels",
        "container",
        "lock",
        "bump",
        "lint",
        "plan",
        "explain",
    ] {
        assert!(here(name), "{name}");
    }
    for name in
        ["manifest", "sha256sums", "report", "verify", "test", "checkLock", "checkPlan", "checkLint", "checkWheels"]
    {
        assert!(here(name), "{name}");
    }
    let here = FUNCTIONS.iter().filter(|function| !matches!(function.served, Served::No));
    assert!(here.clone().count() >= 9);
    for function in here {
        let camel = function.name.split('-').enumerate().map(|(place, word)| match place {
            0 => word.to_owned(),
            _ => word[..1].to_uppercase() + &word[1..],
        });
        let camel: String = camel.collect();
        assert!(all.contains(&format!("function(name: \"{camel}\"")), "{camel}");
    }
    for part in [
        "defaultPath: \"/\"",
        "\"!versions.lock\"",
        "withCachePolicy(policy: Never)",
        "withCheck",
        "name: \"JSON\", value: \"json\"",
    ] {
        assert!(all.contains(part), "{part}");
    }
}

#[test]
fn a_build_is_one_container_for_each_step() {
    let (_guard, _folder) = alone();
    let engine = engine(no_edit, None);
    let folder = call(&engine, "buildGpuWheels", json!({"cudaMajor": [12], "jobs": 3})).unwrap();
    let chain = engine.chain(folder.as_str().unwrap());
    assert!(chain.contains(r#"["ci", "build-gpu-wheels", "--cuda-major", "12""#), "{chain}");
    let steps = steps(&engine);
    assert!(steps.keys().any(|step| step == "extension"), "{:?}", steps.keys());
    let rows: Vec<&String> = steps.keys().filter(|step| step.contains(":rows")).collect();
    assert_eq!(rows, ["cuda12:kernels:rows"], "a family is one step");
    for (name, query) in &steps {
        assert_eq!(query.contains("/opt/rust"), name == "extension", "{name}");
    }
}

#[test]
fn a_step_runs_where_its_container_has_only_what_it_reads() {
    let (_guard, folder) = alone();
    let engine = engine(no_edit, None);
    call(&engine, "buildCpuWheels", json!({"jobs": 1})).unwrap();
    let place = |name: &str| Value::from(folder.path().join(name).display().to_string());
    for (name, query) in steps(&engine) {
        // The fake gives back what it was sent, so that the program can be started as the engine would.
        let mut task = task(&query);
        assert_eq!(task.get("kept").is_some(), name == "extension", "{name}");
        assert!(!query.contains("/usr/local/bin/ci\""), "{name} gets the worker alone");
        if name.starts_with("fetch:") {
            continue;
        }
        (task["root"], task["store"]) = (place("src"), place("cache"));
        task.as_object_mut().unwrap().remove("kept");
        let path = folder.path().join("task.json");
        fs::write(&path, task.to_string()).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ci-dagger"));
        let output = command.arg0("ci-step").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(Answer::Failed { failure }) = Answer::parse(&said) else { panic!("{name}: {said}") };
        assert!(failure.what.starts_with("It needs what "), "{name}: {said}");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn a_changed_kernel_changes_its_own_steps_and_what_follows() {
    let (_guard, _folder) = alone();
    let build = |edit| {
        let engine = engine(edit, None);
        call(&engine, "buildGpuWheels", json!({"cudaMajor": [12], "arch": ["8.0"], "jobs": 1})).unwrap();
        let keys = |(step, query): (String, String)| (step, task(&query));
        steps(&engine).into_iter().map(keys).collect::<BTreeMap<_, _>>()
    };
    let before = build(no_edit);
    let after = build(|root| {
        let path = root.join("kernels/rows.cu");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text + "\n// changed\n").unwrap();
    });
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    let changed: Vec<&str> =
        before.iter().filter(|(step, task)| after[*step] != **task).map(|(step, _)| step.as_str()).collect();
    let expected =
        |step: &&str| step.contains(":rows") || [":stage", ":archive", ":verify"].iter().any(|end| step.ends_with(end));
    assert!(!changed.is_empty() && changed.iter().all(expected), "{changed:?}");
    assert!(changed.contains(&"cuda12:kernels:rows"), "{changed:?}");
}

#[test]
fn a_failed_step_arrives_with_its_parts() {
    let (_guard, _folder) = alone();
    let engine = engine(no_edit, Some("cuda12:kernels:rows"));
    let error = call(&engine, "buildGpuWheels", json!({"cudaMajor": [12], "arch": ["8.0"]})).unwrap_err();
    assert_eq!(error.value("step"), Some(&json!("cuda12:kernels:rows")));
    assert_eq!(error.value("exitCode"), Some(&json!(3)));
    assert_eq!(error.value("log"), Some(&json!("rows.cu(3): error: no")));
    assert!(
        error.message().contains("The step cuda12:kernels:rows failed: Kernel family rows does not compile."),
        "{error}"
    );
}

#[test]
fn bad_arguments_are_refused_before_anything_runs() {
    let (_guard, _folder) = alone();
    let engine = engine(no_edit, None);
    let error = call(&engine, "buildGpuWheels", json!({"cudaMajor": [9]})).unwrap_err();
    assert!(error.message().contains("CUDA major 9 is not known"), "{error}");
    let error = call(&engine, "buildGpuWheels", json!({"cudaMajor": [12], "arch": ["9.9"]})).unwrap_err();
    assert!(error.message().contains("9.9"), "{error}");
    assert!(steps(&engine).is_empty());
}

#[test]
fn tests_run_in_a_container_for_each_python_and_must_run() {
    let (_guard, _folder) = alone();
    let engine = engine(no_edit, None);
    let wheels = source(&engine);
    let args = json!({"cudaMajor": 12, "wheels": wheels});
    let error = call(&engine, "testGpuWheels", args).unwrap_err();
    assert!(error.message().contains("No test ran under Python 3.12."), "{error}");
    let all = engine.operations().join("\n");
    for part in ["experimentalWithAllGPUs", "compute,utility", "FAISS_RS_CALL"] {
        assert!(all.contains(part), "{part}");
    }
    let args = json!({"cudaMajor": 12, "wheels": wheels, "python": ["3.11"], "noGpu": true});
    let before = engine.operations().len();
    assert_eq!(call(&engine, "testGpuWheels", args).unwrap(), "3 passed\n");
    let without = |part| engine.operations()[before..].iter().all(|operation| !operation.contains(part));
    assert!(without("GPUs") && !without("--no-gpu"));
}

#[test]
fn finished_wheels_are_tested_without_a_registry_and_without_rust() {
    let (_guard, _folder) = alone();
    let engine = engine(no_edit, None);
    for (setting, expected) in [("baseArchive", "import(source: "), ("baseDirectory", "withRootfs(directory: ")] {
        let settings = state(json!({ setting: source(&engine) }));
        let args = json!({"hostDirectory": source(&engine), "wheels": source(&engine), "findLinks": source(&engine),
            "cudaMajor": 12, "python": ["3.11"], "noGpu": true});
        let before = engine.operations().len();
        engine.call(&module(), "FaissWheels", "testGpuWheels", settings, args).unwrap();
        let all = engine.operations()[before..].join("\n");
        assert!(all.contains(expected) && all.contains("--find-links=/links"), "{setting}");
        assert!(!all.contains("from(address: ") && !all.contains("rustc"), "{setting}");
    }
}

#[test]
fn tests_that_fail_arrive_with_their_parts() {
    let (_guard, _folder) = alone();
    let engine = engine(no_edit, None);
    let wheels = source(&engine);
    let error = call(&engine, "testCpuWheels", json!({"wheels": wheels, "python": ["3.11"]})).unwrap_err();
    assert_eq!(error.value("step"), Some(&json!("test-cpu-wheels:python3.11")));
    assert_eq!(error.value("exitCode"), Some(&json!(1)));
    assert_eq!(error.value("log"), Some(&json!("1 failed, 2 passed")));
    let command = error.value("command").unwrap().as_str().unwrap();
    assert!(command.starts_with("ci test-cpu-wheels --wheel /wheels/faiss.whl"), "{command}");
    assert!(error.message().ends_with("Failed: the wheel.\nTheir words are above."), "{error}");
    // One Python that fails keeps none of the others from running.
    let error = call(&engine, "testCpuWheels", json!({"wheels": wheels})).unwrap_err();
    assert!(error.message().contains("Tests failed under Python 3.11, 3.12; above is the first."), "{error}");
}

#[test]
fn wheels_chain() {
    let (_guard, _folder) = alone();
    let engine = engine(no_edit, None);
    let wheels = call(&engine, "wheels", json!({"cudaMajor": [12], "arch": ["8.0"]})).unwrap();
    assert_eq!(wheels["cudaMajor"], json!([12]));
    for function in ["verify", "report", "sha256sums"] {
        assert_eq!(
            engine.call(&module(), "Wheels", function, wheels.clone(), json!({})).unwrap(),
            "text",
            "{function}"
        );
    }
    let error = engine.call(&module(), "Wheels", "test", wheels, json!({})).unwrap_err();
    assert!(error.message().contains("No test ran under Python 3.12."), "{error}");
}

#[test]
fn every_other_function_stays_within_the_schema() {
    let (_guard, _folder) = alone();
    let engine = engine(no_edit, None);
    let wheels = source(&engine);
    let step = "extension";
    for (function, args) in [
        ("plan", json!({"cudaMajor": [11, 12, 13], "format": "JSON"})),
        ("explain", json!({"step": step, "cudaMajor": [12]})),
        ("verifyWheels", json!({"wheels": wheels})),
        ("lock", json!({})),
        ("bump", json!({"package": ["ruff", "mypy==2.4.1"]})),
        ("lint", json!({})),
        ("outdated", json!({})),
        ("container", json!({})),
        ("checkLock", json!({})),
        ("checkLint", json!({})),
        ("checkWheels", json!({})),
        ("buildCpuWheels", json!({})),
        ("nextVersion", json!({"write": true, "repository": "ours", "uvConfig": wheels})),
        ("changelog", json!({"tag": "v1.15.1.0"})),
        ("publishWheels", json!({"repository": "ours", "wheels": wheels, "uvConfig": wheels, "token": wheels})),
        ("checkPublished", json!({"repository": "ours", "wheels": wheels})),
        ("rebuild", json!({"manifest": wheels})),
    ] {
        call(&engine, function, args).unwrap_or_else(|error| panic!("{function}: {error}"));
    }
    // The fake's text is no plan.
    assert!(call(&engine, "checkPlan", json!({})).unwrap_err().message().contains("Two plans"));
    let all = engine.operations().join("\n");
    assert!(all.contains(r#"["ci", "plan", "--cuda-major", "11""#) && all.contains(r#""--format", "json""#));
    assert!(all.contains(r#"["ci", "lock", "--digest=manylinux=sha256:1", "--digest=rust=sha256:1", "--root""#));
    assert!(all.contains(r#"["ci", "bump", "ruff", "mypy==2.4.1", "--root""#));
    let secrets = r#""--uv-config", "/arguments/uv-config", "--token", "/arguments/token", "--root""#;
    assert!(all.contains(secrets) && all.contains(r#"withMountedSecret(path: "/arguments/token""#), "{all}");
    assert!(
        all.contains(r#"container.from(address: "docker.io/library/rust:"#)
            && all.contains("rustup component add clippy rustfmt")
    );
    let settings = json!({"baseImage": "base", "rustImage": "rust", "pipConfig": wheels, "certificates": wheels});
    let args = json!({"hostDirectory": source(&engine)});
    engine.call(&module(), "FaissWheels", "container", state(settings), args).unwrap();
}

#[test]
fn the_sdk_builds_in_the_images_of_versions_toml() {
    let (_guard, _folder) = alone();
    let module: Value = serde_json::from_slice(&fs::read(checkout().join("dagger.json")).unwrap()).unwrap();
    let versions = ci::pins::versions::Versions::load(checkout()).unwrap();
    for (key, name) in [("image", "manylinux"), ("rustImage", "rust")] {
        let image = &versions.images[name];
        assert_eq!(module["sdk"]["config"][key], image.to_string(), "dagger.json, sdk.config.{key}");
    }
}

/// The script that the SDK builds a module's program with, run with a cargo that compiles nothing.
#[test]
fn cargo_sees_as_new_what_differs_and_nothing_else() {
    let text = fs::read_to_string(checkout().join("ci/sdk/main.dang")).unwrap();
    let (_, rest) = text.split_once("let buildScript: String! = \"\"\"\n").unwrap();
    let script = rest.split_once("\"\"\"").unwrap().0;
    let place = tempfile::tempdir().unwrap();
    let at = |path: &str| place.path().join(path);
    let put = |path: &str, text: &str| {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::write(at(path), text).unwrap();
    };
    let cargo = "#!/bin/sh\necho \"$PWD\" \"$@\"\nmkdir -p \"$CARGO_TARGET_DIR/quick\"\n\
                 touch \"$CARGO_TARGET_DIR/quick/module\" \"$CARGO_TARGET_DIR/quick/worker\"\n";
    put("bin/cargo", cargo);
    fs::set_permissions(at("bin/cargo"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    put("src/Cargo.toml", "[workspace]\n");
    put("src/a/Cargo.toml", "[package]\n");
    put("src/a/src/main.rs", "fn main() {}");
    put("src/a/src/old name.rs", "// old");
    put("src/a/src/folder/x.rs", "// x");
    put("src/left-out/Cargo.toml", "[package]\n[[bench]]\nname = \"speed\"\n");
    let search = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
    // The files of the copy, with their times.
    let build = || {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script, "sh"]).args([at("src"), at("programs")]).current_dir(at("src/a"));
        command.env("PATH", &search).env("CARGO_TARGET_DIR", at("target")).env("MODULE_PACKAGE", "a");
        command.env("MODULE_NAME", "module").env("MODULE_BESIDE", "worker").env("MODULE_PROFILE", "quick");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let wanted = "build --locked --profile quick --package a --bin module --package worker --bin worker";
        assert_eq!(said, format!("{} {wanted}\n", at("target/source/a").display()));
        assert!(at("programs/dagger-module").exists() && at("programs/worker").exists());
        fs::remove_dir_all(at("programs")).unwrap();
        let mut found = BTreeMap::new();
        let mut left = vec![at("target/source")];
        while let Some(folder) = left.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    left.push(path);
                } else {
                    let name = path.strip_prefix(at("target/source")).unwrap().display().to_string();
                    found.insert(name, path.metadata().unwrap().modified().unwrap());
                }
            }
        }
        found
    };
    let first = build();
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    let all = ["a/src/folder/x.rs", "a/src/main.rs", "a/src/old name.rs", "left-out/Cargo.toml"];
    assert!(all.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(names.contains(&"left-out/src/lib.rs") && names.contains(&"left-out/benches/speed.rs"), "{names:?}");
    // A new context has times of its own, a file under another name, and a file where a folder was.
    for name in ["src/a/src/main.rs", "src/a/Cargo.toml"] {
        let file = fs::File::options().append(true).open(at(name)).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    fs::rename(at("src/a/src/old name.rs"), at("src/a/src/new name.rs")).unwrap();
    fs::remove_dir_all(at("src/a/src/folder")).unwrap();
    put("src/a/src/folder", "// a file");
    put("src/a/src/main.rs", "fn main() { }");
    let second = build();
    let changed: Vec<&str> =
        second.iter().filter(|(name, time)| first.get(*name) != Some(time)).map(|(name, _)| name.as_str()).collect();
    assert_eq!(changed, ["a/src/folder", "a/src/main.rs", "a/src/new name.rs"]);
    assert!(!second.contains_key("a/src/old name.rs"));
    assert_eq!(build(), second);
}
