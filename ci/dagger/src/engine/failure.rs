//! What the engine says when something goes wrong, as a failure that a person can use.

use dagger_module::Error;
use dagger_sdk::errors::DaggerError;

use ci_step::failure::{During, Failure, Kind};
use ci_step::task::Answer;

/// How many of a log's last lines are shown.
const LAST_LINES: usize = 40;
/// The program that puts GPUs into a container; the engine starts it before the container's own.
const HOOK: &str = "nvidia-container-";
/// What that program calls.
const TOOL: &str = "nvidia-container-cli";

/// What the engine's client says.
pub fn from_sdk(error: DaggerError) -> Failure {
    from_dagger(&Error::from(error))
}

/// A failure of the engine itself, or of a container that is no step of a plan.
pub fn from_dagger(error: &Error) -> Failure {
    let message = message(error);
    let log = log(error);
    if let Some(failure) = of_hook(message) {
        return failure;
    }
    if error.value("exitCode").is_some() {
        let answer = of_worker(error).or_else(|| of_command(&log, code(error)));
        return answer.unwrap_or_else(|| {
            Failure::build(format!("A command failed in its container ({message})."), "Its own words are above.")
                .with_log(log)
        });
    }
    if message.contains("GPU support is not enabled") {
        return Failure::machine(
            "This Dagger engine has no GPU support.",
            "Start one that has it: end the running engine (`docker rm -f` its container) and set \
             _EXPERIMENTAL_DAGGER_GPU_SUPPORT=1 for `dagger call`, on a machine with an NVIDIA driver and its container \
             toolkit. Without a GPU, `--no-gpu` runs the CPU part of the tests.",
        );
    }
    Failure::machine(
        format!("The Dagger engine says: {message}."),
        "Check the engine and its network, then call again.",
    )
}

/// The engine starts NVIDIA's hook before the container's own program; what each missing part makes it say.
fn of_hook(message: &str) -> Option<Failure> {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if !message.contains(HOOK) {
        return None;
    }
    let gone = ["no such file or directory", "not found"];
    let (what, todo) = if message.contains("nvidia-container-runtime-hook") && says(&gone) && !message.contains(TOOL) {
        (
            "The engine's machine has no nvidia-container-runtime-hook.",
            "Install NVIDIA's container toolkit there (nvidia-container-toolkit): the engine starts /usr/bin/nvidia-container-runtime-hook.",
        )
    } else if message.contains(TOOL)
        && says(&["executable file not found", gone[0]])
        && !message.contains("libnvidia-ml")
    {
        (
            "NVIDIA's hook finds no nvidia-container-cli.",
            "Install it on the engine's machine (libnvidia-container-tools); `nvidia-container-cli info` must list the GPUs.",
        )
    } else if says(&["libnvidia-ml.so", "driver not loaded", "nvml error", "initialization error", "no NVIDIA"]) {
        (
            "NVIDIA's hook finds no driver.",
            "Check `nvidia-smi -L` and `nvidia-container-cli info` on the engine's machine.",
        )
    } else {
        (
            "The Dagger engine can give its containers no GPU: NVIDIA's hook failed.",
            "Its own words are above; `nvidia-container-cli info` on the engine's machine must list the GPUs.",
        )
    };
    let todo = format!(
        "{todo} docs/dagger.md lists what a GPU host must have. Without a GPU, `--no-gpu` runs the CPU part of the tests."
    );
    Some(Failure::machine(what, todo).with_log(message))
}

/// A step that failed: the same words as on the host.
pub fn of_step(step: &str, error: &Error) -> Failure {
    let failure = from_dagger(error);
    let during = Box::new(During { step: step.to_owned(), command: format!("ci-step {step}") });
    Failure { what: format!("The step {step} failed: {}", failure.what), during: Some(during), ..failure }
}

/// Tests that failed: `step` names them, `command` is what ran them.
pub fn of_tests(step: String, command: &[String], error: &Error) -> Failure {
    let during = Box::new(During { step, command: command.join(" ") });
    Failure { during: Some(during), ..from_dagger(error) }
}

/// A step answers on standard output; its programs' words are on standard error.
fn of_worker(error: &Error) -> Option<Failure> {
    match Answer::parse(error.value("stdout")?.as_str()?)? {
        Answer::Failed { failure } => {
            let words = error.value("stderr").and_then(|text| text.as_str()).unwrap_or_default();
            let log = failure.log.clone().unwrap_or_else(|| last_lines(words));
            Some(failure.with_log(log))
        }
        Answer::Made { .. } => None,
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// `ci` ends its log with two lines: what happened, and what to do.
fn of_command(log: &str, code: i64) -> Option<Failure> {
    let mut lines: Vec<&str> = log.trim_end().lines().collect();
    let (todo, what) = (lines.pop()?, lines.pop()?);
    let what = what.strip_prefix("error: ")?;
    let kinds = [Kind::Check, Kind::Usage, Kind::Build, Kind::Machine, Kind::Interrupted];
    let kind = kinds.into_iter().find(|kind| i64::from(*kind as u8) == code).unwrap_or(Kind::Build);
    Some(Failure::new(kind, what, todo).with_log(last_lines(&lines.join("\n"))))
}

/// The engine appends where its trace is to be found.
fn message(error: &Error) -> &str {
    error.message().split(" [traceparent:").next().unwrap_or_default().trim_end_matches('.')
}

fn log(error: &Error) -> String {
    let text = |name| error.value(name).and_then(|value| value.as_str()).unwrap_or_default();
    let (stdout, stderr) = (text("stdout").trim_end(), text("stderr").trim_end());
    [stdout, stderr].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

fn code(error: &Error) -> i64 {
    error.value("exitCode").and_then(|value| value.as_i64()).unwrap_or(-1)
}

/// As the module returns it: the sentences for people, and the parts as values for programs.
pub fn to_dagger(failure: &Failure) -> Error {
    let mut text = String::new();
    if let Some(log) = &failure.log {
        text = format!("{}\n\n", log.trim_end());
    }
    text = format!("{text}{}\n{}", failure.what, failure.todo);
    let mut error = Error::new(text).with("kind", format!("{:?}", failure.kind).to_lowercase());
    error = error
        .with("exitCode", failure.kind as u8)
        .with("what", failure.what.as_str())
        .with("todo", failure.todo.as_str());
    if let Some(during) = &failure.during {
        error = error.with("step", during.step.as_str()).with("command", during.command.as_str());
    }
    match &failure.log {
        Some(log) => error.with("log", log.as_str()),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use dagger_module::json;

    use super::*;

    #[test]
    fn a_step_that_failed_speaks_as_on_the_host() {
        let log = "rows.cu(3): error: no\nerror: Kernel family rows does not compile for sm_80.\nCorrect the source.";
        let error = Error::new("exit code: 3 [traceparent:1]").with("exitCode", 3).with("stderr", log);
        let failure = of_step("cuda12:compile:rows:8.0", &error);
        assert_eq!(
            failure.what,
            "The step cuda12:compile:rows:8.0 failed: Kernel family rows does not compile for sm_80."
        );
        assert_eq!((failure.kind, failure.todo.as_str()), (Kind::Build, "Correct the source."));
        assert_eq!(failure.log.as_deref(), Some("rows.cu(3): error: no"));
        let error = to_dagger(&failure);
        assert_eq!(error.value("step"), Some(&json!("cuda12:compile:rows:8.0")));
        assert_eq!(error.value("exitCode"), Some(&json!(3)));
        assert_eq!(error.value("log"), Some(&json!("rows.cu(3): error: no")));
        assert!(error.message().ends_with("does not compile for sm_80.\nCorrect the source."), "{error}");
    }

    #[test]
    fn a_command_without_last_words_shows_its_log() {
        let failure =
            from_dagger(&Error::new("exit code: 1").with("exitCode", 1).with("stdout", "out").with("stderr", "err\n"));
        assert_eq!(failure.what, "A command failed in its container (exit code: 1).");
        assert_eq!(failure.log.as_deref(), Some("out\nerr"));
    }

    #[test]
    fn an_engine_without_gpus_says_how_to_get_one() {
        let error = Error::new("GPU support is not enabled, set _EXPERIMENTAL_DAGGER_GPU_SUPPORT [traceparent:1]");
        assert!(from_dagger(&error).todo.contains("_EXPERIMENTAL_DAGGER_GPU_SUPPORT=1"));
        for (message, what) in [
            (
                "error running hook #0: fork/exec /usr/bin/nvidia-container-runtime-hook: no such file or directory",
                "The engine's machine has no nvidia-container-runtime-hook.",
            ),
            (
                "error running prestart hook #0: exit status 1, stdout: , stderr: nvidia-container-runtime-hook: exec: \
                 \"nvidia-container-cli\": executable file not found in $PATH",
                "NVIDIA's hook finds no nvidia-container-cli.",
            ),
            (
                "error running prestart hook #0: exit status 1, stdout: , stderr: Auto-detected mode as 'legacy' \
                 nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared \
                 object file: no such file or directory",
                "NVIDIA's hook finds no driver.",
            ),
            (
                "nvidia-container-cli: mount error",
                "The Dagger engine can give its containers no GPU: NVIDIA's hook failed.",
            ),
        ] {
            assert_eq!(from_dagger(&Error::new(message)).what, what);
        }
        assert_eq!(from_dagger(&Error::new("no route")).what, "The Dagger engine says: no route.");
    }
}
