//! Tests of wheels: a container for each Python, with the wheel, its tests and nothing else of the checkout.

use dagger_module::{Call, Query, Value};

use super::functions::{Work, anew, argument, given, matrix};
use super::table::known;
use crate::engine::environment::{mount, run, variable};
use crate::engine::{from_dagger, of_tests};
use ci::api::table::{Function, Values};
use ci_step::failure::{Failure, Result};

/// What `ci test-gpu-wheels` and the tests read of a checkout, and the part of it that the wheel must bring instead.
const READ: [&str; 4] = ["docs/python-api.md", "faiss-rs/python", "versions.lock", "versions.toml"];
const IN_THE_WHEEL: [&str; 2] = ["faiss-rs/python/faiss", "faiss-rs/python/src"];

pub fn test(call: &Call, function: &'static Function) -> Result<Value> {
    let work = Work::open(call)?;
    let (values, _) = given(call, function)?;
    if on_gpu(call, function)? {
        // Before anything is built for it.
        require_gpus(&work, function)?;
    }
    let wheels = match argument::<Option<String>>(call, "wheels")? {
        Some(wheels) => wheels,
        None => {
            let build = known(if function.name == "test-cpu-wheels" { "build-cpu-wheels" } else { "build-gpu-wheels" });
            let majors = values.numbers("cuda-major").into_iter().map(|major| format!("--cuda-major={major}"));
            let command = std::iter::once(build.name.to_owned()).chain(majors).collect();
            work.build(&matrix(&work.versions, function, &values)?, command, None)?
        }
    };
    test_wheels(call, &work, function, &values, &wheels).map(Value::from)
}

/// Installs the wheels of a folder into containers that hold nothing else, one for each Python, and runs their tests.
pub fn test_wheels(
    call: &Call,
    work: &Work,
    function: &'static Function,
    values: &Values,
    wheels: &str,
) -> Result<String> {
    let wheel = only_wheel(work, wheels)?;
    let mut base = work.tree.mount_some(work.session, work.environment.base(), &READ, &IN_THE_WHEEL)?;
    base = mount(base, "/wheels", wheels);
    let mut words = vec![function.name.to_owned(), "--wheel".to_owned(), format!("/wheels/{wheel}")];
    words.extend(values.numbers("cuda-major").iter().map(|major| format!("--cuda-major={major}")));
    if values.flag("fix-cuda") {
        words.push("--fix-cuda".to_owned());
    }
    if let Some(links) = argument::<Option<String>>(call, "find-links")? {
        base = mount(base, "/links", &links);
        words.push("--find-links=/links".to_owned());
    }
    if on_gpu(call, function)? {
        base = with_gpus(base);
    } else if function.name == "test-gpu-wheels" {
        words.push("--no-gpu".to_owned());
    }
    let pythons = match values.list("python") {
        [] => pythons(work)?,
        some => some.to_vec(),
    };
    let mut report = String::new();
    let mut failures = Vec::new();
    for python in pythons {
        let mut words = words.clone();
        words.push(format!("--python={python}"));
        match under(work, anew(base.clone(), function), function, words, &python) {
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
fn under(work: &Work, container: Query, function: &Function, words: Vec<String>, python: &str) -> Result<String> {
    let command = work.command(words, &[]);
    let query = run(container, command.clone()).call("combinedOutput");
    let text: String = work
        .session
        .get(&query)
        .map_err(|error| of_tests(format!("{}:python{python}", function.name), &command, &error))?;
    if ran_something(&text) {
        return Ok(text);
    }
    let todo = "Look at the report above: a test that does not run proves nothing.";
    Err(Failure::check(format!("No test ran under Python {python}."), todo).with_log(text))
}

fn on_gpu(call: &Call, function: &Function) -> Result<bool> {
    Ok(function.name == "test-gpu-wheels" && !argument::<bool>(call, "no-gpu")?)
}

/// The engine names the GPUs to NVIDIA's container toolkit; which parts of the driver are wanted is for the container to say.
fn with_gpus(container: Query) -> Query {
    variable(container.call("experimentalWithAllGPUs"), "NVIDIA_DRIVER_CAPABILITIES", "compute,utility")
}

/// Fails when the engine has no GPU to give.
fn require_gpus(work: &Work, function: &Function) -> Result<()> {
    let container = with_gpus(anew(work.environment.base(), function));
    let query = run(container, vec!["ci", "--version"]);
    work.session.sync(&query).map(|_| ()).map_err(|error| from_dagger(&error))
}

/// Whether a report counts tests that passed: `12 passed`.
fn ran_something(report: &str) -> bool {
    let words: Vec<&str> = report.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|pair| pair[1] == "passed" && pair[0].parse::<u64>().is_ok_and(|count| count > 0))
}

fn only_wheel(work: &Work, wheels: &str) -> Result<String> {
    let query = Query::node("Directory", wheels).call("glob").arg("pattern", "**/*.whl");
    let found: Vec<String> = work.session.get(&query).map_err(|error| from_dagger(&error))?;
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
fn pythons(work: &Work) -> Result<Vec<String>> {
    let minors: Vec<String> = work.versions.wheel.pythons.iter().map(|python| python.0.to_string()).collect();
    let script = format!(
        "for m in {}; do if command -v python3.$m >&2 || [ -x /opt/python/cp3$m-cp3$m/bin/python3 ]; then echo 3.$m; fi; done",
        minors.join(" ")
    );
    let query = run(work.environment.base(), vec!["sh", "-c", &script]).call("stdout");
    let text: String = work.session.get(&query).map_err(|error| from_dagger(&error))?;
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
