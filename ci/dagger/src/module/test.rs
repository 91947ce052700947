//! Tests of wheels: a container for each Python, with the wheel, its tests and nothing else of the checkout.

use ci::api::table::{Function, Values};
use ci_step::failure::{Failure, Result};
use dagger_module::{Call, Error, Value};
use dagger_sdk::{Container, Directory, Id};

use super::functions::{Wanted, Work, anew, argument, given};
use crate::engine::environment::WORKER;
use crate::engine::{from_sdk, of_tests};

/// What the tests read of a checkout, and the part of it that the wheel must bring instead.
const READ: [&str; 4] = ["docs/python-api.md", "faiss-rs/python", "versions.lock", "versions.toml"];
const IN_THE_WHEEL: [&str; 2] = ["faiss-rs/python/faiss", "faiss-rs/python/src"];

/// The function that tests, and whether its containers get the GPUs.
pub struct Tests {
    pub function: &'static Function,
    pub on_gpu: bool,
}

/// Tests the wheels that are given, or else those that `build` makes.
pub async fn test(
    call: Call,
    function: &'static Function,
    gpu: bool,
    build: &'static Function,
    wanted: Wanted,
) -> Result<Value> {
    let work = Work::open(&call).await?;
    let (values, _) = given(&call, function)?;
    let tests = Tests { function, on_gpu: gpu && !values.flag("no-gpu") };
    if tests.on_gpu {
        // Before anything is built for it.
        require_gpus(&work, function).await?;
    }
    let wheels = match argument::<Option<String>>(&call, "wheels")? {
        Some(wheels) => wheels,
        None => {
            let majors = values.numbers("cuda-major").into_iter().map(|major| format!("--cuda-major={major}"));
            let command = std::iter::once(build.name.to_owned()).chain(majors).collect();
            work.build(&wanted(&work.versions, &values)?, command, None).await?.0
        }
    };
    test_wheels(&call, &work, &tests, &values, &wheels).await.map(Value::from)
}

/// Installs the wheels of a folder into containers that hold nothing else, one for each Python, and runs their tests.
pub async fn test_wheels(call: &Call, work: &Work, tests: &Tests, values: &Values, wheels: &str) -> Result<String> {
    let wheel = only_wheel(work, wheels).await?;
    let mut base = work.tree.mount_some(work.environment.commands().await?, &READ, &IN_THE_WHEEL).await?;
    base = base.with_mounted_directory("/wheels", Id(wheels.to_owned()));
    let mut words = vec![tests.function.name.to_owned(), "--wheel".to_owned(), format!("/wheels/{wheel}")];
    words.extend(values.numbers("cuda-major").iter().map(|major| format!("--cuda-major={major}")));
    words.extend(["fix-cuda", "no-gpu"].iter().filter(|name| values.flag(name)).map(|name| format!("--{name}")));
    if let Some(links) = argument::<Option<String>>(call, "find-links")? {
        base = base.with_mounted_directory("/links", Id(links));
        words.push("--find-links=/links".to_owned());
    }
    if tests.on_gpu {
        base = with_gpus(base);
    }
    let pythons = match values.list("python") {
        [] => pythons(work).await?,
        some => some.to_vec(),
    };
    let mut report = String::new();
    let mut failures = Vec::new();
    for python in pythons {
        let mut words = words.clone();
        words.push(format!("--python={python}"));
        match under(work, anew(base.clone(), tests.function), tests.function, words, &python).await {
            Ok(text) => report.push_str(&text),
            // The others tell whether it is this Python or the wheel.
            Err(failure) => failures.push((python, failure)),
        }
    }
    match failures.len() {
        0 => Ok(report),
        1 => Err(failures.remove(0).1),
        _ => {
            let names: Vec<&str> = failures.iter().map(|(python, _)| python.as_str()).collect();
            let what = format!("Tests failed under Python {}; above is the first.", names.join(", "));
            Err(Failure { what, ..failures.remove(0).1 })
        }
    }
}

/// The report of the tests under one Python.
async fn under(
    work: &Work,
    container: Container,
    function: &Function,
    words: Vec<String>,
    python: &str,
) -> Result<String> {
    let command = work.command(words, &[]);
    let step = format!("{}:python{python}", function.name);
    let text = container.with_exec(command.clone()).combined_output().await;
    let text = text.map_err(|error| of_tests(step, &command, &Error::from(error)))?;
    if ran_something(&text) {
        return Ok(text);
    }
    let todo = "Look at the report above: a test that does not run proves nothing.";
    Err(Failure::check(format!("No test ran under Python {python}."), todo).with_log(text))
}

/// The engine names the GPUs to NVIDIA's container toolkit; which parts of the driver are wanted is for the container to say.
fn with_gpus(container: Container) -> Container {
    container.experimental_with_all_gp_us().with_env_variable("NVIDIA_DRIVER_CAPABILITIES", "compute,utility")
}

/// Fails when the engine has no GPU to give.
async fn require_gpus(work: &Work, function: &Function) -> Result<()> {
    let container = with_gpus(anew(work.environment.base(), function));
    container.with_exec(vec![WORKER, "--version"]).sync().await.map(drop).map_err(from_sdk)
}

/// Whether a report counts tests that passed: `12 passed`.
fn ran_something(report: &str) -> bool {
    let words: Vec<&str> = report.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|pair| pair[1] == "passed" && pair[0].parse::<u64>().is_ok_and(|count| count > 0))
}

async fn only_wheel(work: &Work, wheels: &str) -> Result<String> {
    let folder: Directory = work.dagger.r#ref(Id(wheels.to_owned()));
    let found = folder.glob("**/*.whl").await.map_err(from_sdk)?;
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::usage(
            "The folder holds no wheel.",
            "Pass a folder with the wheel, as build-gpu-wheels leaves it.",
        )),
        several => {
            let what = format!("The folder holds several wheels: {}.", several.join(", "));
            Err(Failure::usage(what, "Pass the folder of one of them."))
        }
    }
}

/// The Pythons of versions.toml that the base image has.
async fn pythons(work: &Work) -> Result<Vec<String>> {
    let minors: Vec<String> = work.versions.wheel.pythons.iter().map(|python| python.0.to_string()).collect();
    let script = format!(
        "for m in {}; do if command -v python3.$m >&2 || [ -x /opt/python/cp3$m-cp3$m/bin/python3 ]; then echo 3.$m; fi; done",
        minors.join(" ")
    );
    let asked = work.environment.base().with_exec(vec!["sh", "-c", &script]);
    let text = asked.stdout().await.map_err(from_sdk)?;
    let found: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if found.is_empty() {
        let wanted: Vec<String> = work.versions.wheel.pythons.iter().map(ToString::to_string).collect();
        let what = format!("The base image has none of the Pythons {}.", wanted.join(", "));
        return Err(Failure::machine(what, "Choose another --base-image."));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::ran_something;

    #[test]
    fn a_report_without_a_passed_test_is_none() {
        assert!(ran_something("Python 3.11: 12 passed, 0 failed, 3 skipped"));
        assert!(!ran_something("0 passed, 3 skipped"));
        assert!(!ran_something("skipped: no NVIDIA driver"));
    }
}
