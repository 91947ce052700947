//! The worker: runs one step of a plan and keeps what it made. It is all that a container of a step gets, so that a change
//! to the planner, the command line or the Dagger module runs no step again.
//!
//! `task` is what a step is told and what it answers, as JSON; `steps` does the work, one file a kind; `store` keeps what
//! was made; `wheel` writes and opens archives and knows nothing else; `audit` proves what a finished wheel holds, and sees
//! `wheel` alone; `pip` and `python` fetch pinned files; `digest` and `failure` are used by all. Knows no command line, no
//! plan and no engine.

pub mod audit;
pub mod digest;
pub mod failure;
pub mod pip;
pub mod python;
pub mod steps;
pub mod store;
pub mod task;
pub mod wheel;

use std::io::{Read, Write};
use std::process::ExitCode;

use failure::{Failure, Result};
use task::{Answer, Task};

/// Runs the step that is described in the file `path` (standard input, when there is none) and answers on standard output
/// with one line of JSON. Standard error is for the words of the programs that the step runs.
pub fn main(path: Option<&str>) -> ExitCode {
    if path == Some("--version") {
        println!("ci-step {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let answer = match read(path).and_then(|task| steps::run(&task)) {
        Ok(entry) => Answer::Made { seconds: entry.seconds },
        Err(failure) => Answer::Failed { failure },
    };
    let line = serde_json::to_string(&answer).expect("plain data serializes");
    // Nobody is left to be told when standard output is closed.
    let _ = writeln!(std::io::stdout(), "{line}");
    match answer {
        Answer::Made { .. } => ExitCode::SUCCESS,
        Answer::Failed { failure } => ExitCode::from(failure.kind as u8),
    }
}

fn read(path: Option<&str>) -> Result<Task> {
    let mut text = String::new();
    match path {
        Some(path) => std::fs::read_to_string(path).map(|read| text = read),
        None => std::io::stdin().read_to_string(&mut text).map(drop),
    }
    .map_err(Failure::io("cannot read", path.unwrap_or("standard input").as_ref()))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(
            format!("This is no description of a step: {error}."),
            "`cargo ci step NAME` writes one and runs it.",
        )
    })
}
