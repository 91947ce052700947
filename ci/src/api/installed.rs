//! test-gpu-wheels and test-cpu-wheels: the Python tests against a wheel that was installed into a clean environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::environment::{self, Environment};
use super::release::proof::{OnGpu, Proof};
use super::tally::{Ended, Tally, quiet};
use super::{Context, build, verify};
use crate::api::table::{Caching, FIND_LINKS, Function, Group, PYTHON, Served, Type, Values, WHEEL, argument};
use crate::pins::lock::{File, environment_set};
use crate::pins::versions::Versions;
use ci_step::failure::{Failure, Result};
use ci_step::python::{self, Interpreter};
use ci_step::store::Store;
use ci_step::wheel::{self, WheelName};

pub static GPU: Function = Function {
    name: "test-gpu-wheels",
    group: Group::Tests,
    about: "Install a GPU wheel with its dependencies into a clean environment and test it",
    more: "\
A run in which no test ran on a GPU fails; with --no-gpu, the CPU part of the wheel is tested alone. Where the whole suite
passes on a GPU, proof.json is written beside the wheel: which GPU, how many tests, how many kernels.",
    arguments: &[
        argument("cuda-major", Type::Major, "CUDA major of the wheel").required(),
        WHEEL,
        PYTHON,
        argument("fix-cuda", Type::Flag, "Install the extra fix-cuda: the toolkit of the build"),
        argument("no-gpu", Type::Flag, "Test the CPU part alone, as on a machine without a GPU"),
        FIND_LINKS,
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::Tests { gpu: true, build: &build::GPU, wanted: build::gpu_matrix },
    run: |context, values| Box::pin(gpu(context, values)),
};

pub static CPU: Function = Function {
    name: "test-cpu-wheels",
    group: Group::Tests,
    about: "Install the CPU wheel into clean environments and run its tests",
    more: "",
    arguments: &[WHEEL, PYTHON, FIND_LINKS],
    caching: Caching::Never,
    checkout: true,
    served: Served::Tests { gpu: false, build: &build::CPU, wanted: build::cpu_matrix },
    run: |context, values| Box::pin(cpu(context, values)),
};

/// How a wheel gets its dependencies.
#[derive(Clone, Debug)]
pub enum Dependencies {
    /// Only numpy and pytest as they are locked: what a machine without a GPU has.
    Locked,
    /// What the wheel asks for, by the user's pip; `extra` is `fix-cuda` or nothing. With `find_links`, everything comes
    /// from that folder, the tests' own packages as well.
    Real { extra: Option<&'static str>, find_links: Option<PathBuf> },
}

/// How many tests passed, and what those say that ran on a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tests {
    pub passed: usize,
    pub on_gpu: OnGpu,
}

async fn gpu(context: &Context, values: &Values) -> Result<()> {
    let versions = context.versions()?;
    let Some(major) = values.numbers("cuda-major").first().copied() else {
        return Err(Failure::usage("No CUDA major was named.", "Say --cuda-major 12, for example."));
    };
    let cuda = versions.cuda(major)?;
    let folder = context.wheelhouse(&format!("gpu/cuda{}", cuda.major));
    if let Some(path) = values.path("wheel") {
        of_major(&verify::wheels_at(&path)?[0], &cuda.distribution(&versions.wheel), major)?;
    }
    if !values.flag("no-gpu") && !has_gpu() {
        return Err(Failure::machine(
            "This machine shows no NVIDIA GPU: no device, and no nvidia-smi that lists one.",
            "Run this on a machine with a GPU and its driver, or say --no-gpu to test the CPU part of the wheel alone.",
        ));
    }
    let extra = values.flag("fix-cuda").then_some("fix-cuda");
    let dependencies = Dependencies::Real { extra, find_links: values.path("find-links") };
    let build = format!("cargo ci build-gpu-wheels --cuda-major {major}");
    run(context, versions, values, &folder, &build, &dependencies, true).await
}

/// Refuses a wheel that is not of this CUDA major, which its name says.
fn of_major(wheel: &Path, distribution: &str, major: u32) -> Result<()> {
    let name: Option<WheelName> = file_name(wheel).parse().ok();
    if name.is_some_and(|name| wheel::normalize(&name.distribution) == wheel::normalize(distribution)) {
        return Ok(());
    }
    Err(Failure::usage(
        format!("{} is not {distribution}, the wheel of CUDA {major}.", file_name(wheel)),
        "Name the wheel of that major, or the major of that wheel.",
    ))
}

/// The devices of NVIDIA's driver, or of Windows below a Linux; in containers nvidia-smi may be missing.
fn has_gpu() -> bool {
    ["/dev/nvidiactl", "/dev/dxg"].iter().any(|device| Path::new(device).exists()) || super::doctor::gpus().is_some()
}

async fn cpu(context: &Context, values: &Values) -> Result<()> {
    let versions = context.versions()?;
    let dependencies = Dependencies::Real { extra: None, find_links: values.path("find-links") };
    run(context, versions, values, &context.wheelhouse("cpu"), "cargo ci build-cpu-wheels", &dependencies, false).await
}

async fn run(
    context: &Context,
    versions: &Versions,
    values: &Values,
    folder: &Path,
    build: &str,
    dependencies: &Dependencies,
    on_gpu: bool,
) -> Result<()> {
    let wheel = match values.path("wheel") {
        Some(path) => verify::wheels_at(&path)?.remove(0),
        None if folder.is_dir() => verify::wheels_at(folder)?.remove(0),
        None => {
            return Err(Failure::usage(
                format!("There is no wheel in {}.", folder.display()),
                format!("Run `{build}` first."),
            ));
        }
    };
    let pythons = chosen(versions, values.list("python"))?;
    let tally = Tally::default();
    for (index, interpreter) in pythons.iter().enumerate() {
        let suite = if index == 0 { Suite::Whole } else { Suite::Smoke };
        let name = format!("{} under CPython {}{}", file_name(&wheel), interpreter.full, suite.note());
        tally
            .part(&name, async || {
                let hidden = values.flag("no-gpu");
                let tests = test(context, versions, interpreter, &wheel, dependencies, suite, hidden).await?;
                if on_gpu && !hidden && suite == Suite::Whole {
                    if tests.on_gpu.passed == 0 {
                        let todo = "The reason for which each was skipped is above.";
                        return Err(Failure::check("No GPU test ran.", todo));
                    }
                    let fixed = matches!(dependencies, Dependencies::Real { extra: Some(_), .. });
                    Proof::new(&wheel, &interpreter.full, fixed, tests.passed, tests.on_gpu)?.write(&wheel)?;
                }
                Ok(Ended::Passed(tests.passed))
            })
            .await?;
    }
    tally.close()
}

/// How much of the suite runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    Whole,
    /// Import, basic use and files: what differs between interpreters.
    Smoke,
    /// Import alone: what differs between wheels, whose extension is the same file.
    Import,
}

impl Suite {
    pub fn note(self) -> &'static str {
        match self {
            Suite::Whole => "",
            Suite::Smoke => ", smoke",
            Suite::Import => ", import",
        }
    }
}

/// The interpreters that were asked for, else every one of this machine that the wheel is for; the usual one comes first.
pub fn chosen(versions: &Versions, asked: &[String]) -> Result<Vec<Interpreter>> {
    let found = python::find_all();
    let mut pythons = Vec::new();
    if asked.is_empty() {
        let usual = python::for_pip(versions.python_floor())?;
        let known = |interpreter: &&Interpreter| versions.wheel.pythons.contains(&interpreter.python);
        let rest = found.values().filter(known).filter(|other| other.python != usual.python && other.pip.is_some());
        let rest: Vec<Interpreter> = rest.cloned().collect();
        if versions.wheel.pythons.contains(&usual.python) {
            pythons.push(usual);
        }
        pythons.extend(rest);
        return Ok(pythons);
    }
    for name in asked {
        let minor = name.strip_prefix("3.").and_then(|minor| minor.parse().ok()).map(crate::pins::versions::Python);
        let interpreter = minor.and_then(|python| found.get(&python)).ok_or_else(|| {
            let known: Vec<String> = found.keys().map(ToString::to_string).collect();
            Failure::machine(
                format!("CPython {name} is not on this machine; here are: {}.", known.join(", ")),
                "Install it, or choose another.",
            )
        })?;
        pythons.push(interpreter.clone());
    }
    Ok(pythons)
}

/// Installs `wheel` into a new environment and runs the tests there; without the machine's GPUs, where they are to be hidden.
pub async fn test(
    context: &Context,
    versions: &Versions,
    interpreter: &Interpreter,
    wheel: &Path,
    dependencies: &Dependencies,
    suite: Suite,
    hide_gpus: bool,
) -> Result<Tests> {
    let folder =
        context.root.join("target/ci/environments").join(format!("{}-{}", file_name(wheel), interpreter.python));
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::io("cannot remove", &folder))?;
    }
    let store = context.store()?;
    let lock = context.lock()?;
    let files = lock.set(&environment_set("test", interpreter.python))?;
    let links = match dependencies {
        Dependencies::Real { find_links, .. } => find_links.as_deref(),
        Dependencies::Locked => None,
    };
    if let Some(folder) = links {
        require(&store, &files, folder)?;
    }
    let mut pinned = environment::fetch(&store, versions, &files, interpreter.python)?;
    match dependencies {
        Dependencies::Locked => {
            pinned.push(wheel.to_owned());
            environment::make(context, versions, interpreter, &folder, &pinned)?;
        }
        Dependencies::Real { extra, .. } => {
            environment::create(interpreter, &folder)?;
            environment::install(&folder, &pinned)?;
            let mut command = Command::new(folder.join("bin/python"));
            command.args(["-m", "pip", "install"]);
            if let Some(links) = links {
                command.arg("--no-index").arg("--find-links").arg(links);
            }
            let extra = extra.map_or_else(String::new, |extra| format!("[{extra}]"));
            command.arg(format!("{}{extra}", wheel.display()));
            environment::pip_of(&folder, &mut command)?;
        }
    }
    let environment = Environment { folder };
    let tests = context.root.join("faiss-rs/python/tests");
    // The checkout's own package lies beside the tests; from a folder of its own, only the installed one is found.
    let empty = tempfile::tempdir().map_err(Failure::io("cannot write into", &std::env::temp_dir()))?;
    let mut command = Command::new(environment.python());
    command
        .current_dir(empty.path())
        .args(["-m", "pytest", "-q", "-rsf", "-p", "no:cacheprovider", "--rootdir"])
        .arg(&tests);
    match suite {
        Suite::Whole => command.arg(&tests),
        Suite::Smoke => command.args(["test_import.py", "test_flat.py", "test_files.py"].map(|file| tests.join(file))),
        Suite::Import => command.arg(tests.join("test_import.py")),
    };
    for name in ["PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    if hide_gpus {
        command.env("CUDA_VISIBLE_DEVICES", "");
    }
    let report = empty.path().join("on-gpu.json");
    command.env("FAISS_GPU_REPORT", &report);
    if hide_gpus || !has_gpu() {
        // On a GPU, tests side by side would count each other's kernels.
        command.args(["-n", "logical", "--maxprocesses", "4", "--dist", "loadfile"]);
        // faiss-cpu's threads that wait are not to keep those of the other tests from working.
        command.env("OMP_WAIT_POLICY", "passive");
    }
    let mut wanted = lock.set(&environment_set("oracle", interpreter.python))?;
    wanted.push(lock.tool("uv")?);
    let oracle = links.map_or(Ok(()), |folder| require(&store, &wanted, folder));
    match oracle.and_then(|()| environment::locked(context, versions, "oracle", interpreter)) {
        Ok(oracle) => drop(command.env("FAISS_ORACLE_PYTHON", oracle.python())),
        Err(failure) => eprintln!("skipped: comparisons with faiss-cpu: {}", failure.what),
    }
    // mypy's stubtest looks at the stubs and at the installed package: it can't be among the lints, which only read.
    if suite == Suite::Whole
        && links.is_none()
        && let Ok(lint) = environment::locked(context, versions, "lint", interpreter)
    {
        command.env("FAISS_LINT_PYTHON", lint.python());
    }
    let log =
        context.root.join("target/ci/logs").join(format!("pytest-{}-{}.log", file_name(wheel), interpreter.python));
    let words = quiet(command.into(), &log, "pytest", &context.stop).await?;
    for line in words.lines().filter(|line| line.starts_with("SKIPPED") || line.starts_with("GPU")) {
        eprintln!("{line}");
    }
    let count = passed(&words);
    if count == 0 {
        return Err(Failure::check("pytest ran no test.", format!("Its log is {}.", log.display())));
    }
    let on_gpu = match fs::read(&report) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| {
            Failure::check(format!("What the tests say of the GPU can't be read: {error}."), "Look into conftest.py.")
        })?,
        // There was none for them.
        Err(_) => OnGpu::default(),
    };
    Ok(Tests { passed: count, on_gpu })
}

/// Takes `files` from a folder of wheels into the store; every one of them must be there or here.
fn require(store: &Store, files: &[&File], folder: &Path) -> Result<()> {
    let missing = store.adopt(files, folder)?;
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|file| file.name.as_str()).collect();
    let wanted: Vec<String> = missing.iter().map(|file| format!("{}=={}", file.package, file.version)).collect();
    Err(Failure::usage(
        format!("The folder of wheels lacks {}.", names.join(", ")),
        format!("Where there is a network: `pip download --dest FOLDER --no-deps {}`.", wanted.join(" ")),
    ))
}

/// The number before "passed" in pytest's last lines.
pub(super) fn passed(words: &str) -> usize {
    let line = words.lines().rev().find(|line| line.contains(" passed")).unwrap_or_default();
    let mut previous = "0";
    for word in line.split([' ', ',']).filter(|word| !word.is_empty()) {
        if word == "passed" {
            return previous.trim_start_matches('=').parse().unwrap_or(0);
        }
        previous = word;
    }
    0
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn pytest_s_count_is_found_and_a_run_without_tests_counts_none() {
        assert_eq!(super::passed("...\n312 passed, 4 skipped in 3.21s\n"), 312);
        assert_eq!(super::passed("=== 2 failed, 31 passed in 1s ===\n"), 31);
        assert_eq!(super::passed("no tests ran in 0.01s\n"), 0);
    }
}
