//! The engine that runs a plan on this machine: every step a process of its own, this program as worker. Needs nothing but
//! Rust and Python.

use std::env;
use std::fs;
use std::path::Path;

use ci_step::failure::{Failure, Result};
use ci_step::store::Store;
use ci_step::task::Answer;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::children::{self, Ended};
use super::graph::{self, Runner};
use super::{Event, Outcome, Reporter, StepOutcome, need, surroundings};
use crate::plan::{Plan, Step};

/// What this program is started with to run one step; the step comes by standard input.
pub const WORKER: &str = "run-step";

/// How many of a log's last lines are shown when a step fails.
const LAST_LINES: usize = 40;

#[derive(Debug)]
pub struct Local<'a> {
    pub root: &'a Path,
    pub store: &'a Store,
    pub jobs: usize,
    pub stop: &'a CancellationToken,
}

impl Local<'_> {
    /// Makes `targets` and whatever they need. Steps of which nothing is needed are not looked at.
    pub async fn run(&self, plan: &Plan, targets: &[String], reporter: &mut dyn Reporter) -> Result<Outcome> {
        let need = need(plan, targets, |key| self.store.look(key))?;
        for (step, file) in &need.corrupt {
            reporter.event(&Event::Corrupt { step, file });
        }
        let cached = need.cached.iter();
        let mut outcome: Outcome =
            cached.map(|(name, entry)| (name.clone(), StepOutcome { cached: true, seconds: entry.seconds })).collect();
        if need.run.is_empty() {
            return Ok(outcome);
        }
        let mut steps = Vec::new();
        for name in &need.run {
            steps.push(plan.step(name)?);
        }
        let mut made = need.cached.keys().map(|name| (name.clone(), ())).collect();
        let runner = Processes { engine: self, plan };
        outcome.extend(graph::run(&runner, steps, &mut made, self.jobs, self.stop, reporter).await?);
        Ok(outcome)
    }

    /// Runs one step, of which all that it needs is in the store, as a process of its own.
    pub async fn step(&self, plan: &Plan, step: &Step, stop: &CancellationToken) -> Result<()> {
        let Local { root, store, jobs, .. } = self;
        let logs = root.join("target/ci/logs");
        fs::create_dir_all(&logs).map_err(Failure::io("cannot create", &logs))?;
        let log = logs.join(format!("{}.log", step.name.replace([':', '+'], "-")));
        let program = env::current_exe().map_err(Failure::io("cannot find", Path::new("ci")))?;
        let mut command = Command::new(program);
        command.arg(WORKER).env_clear().envs(surroundings::of(&step.action));
        command.env("CARGO_BUILD_JOBS", (*jobs).max(1).to_string());
        let task = plan.task(&step.name, root, store.root())?;
        // One that was killed could not remove itself what it was making.
        let ended = children::worker(command, &log, &task, stop, |id| store.forget(id)).await?;
        if ended.status.success() { Ok(()) } else { Err(failed(&step.name, &log, ended)) }
    }
}

/// Steps as processes.
struct Processes<'a> {
    engine: &'a Local<'a>,
    plan: &'a Plan,
}

impl Runner for Processes<'_> {
    type Made = ();

    async fn run(&self, step: &Step, _: Vec<()>, stop: &CancellationToken) -> Result<()> {
        self.engine.step(self.plan, step, stop).await
    }
}

/// The step's own failure, with the end of its log where it has no log of its own.
fn failed(name: &str, log: &Path, ended: Ended) -> Failure {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    match ended.answer {
        Some(Answer::Failed { failure }) => {
            let what = format!("The step {name} failed: {}", failure.what);
            let todo = format!("{} (whole log: {})", failure.todo, log.display());
            let log = failure.log.clone().unwrap_or(last);
            Failure { what, todo, ..failure }.with_log(log)
        }
        // It was killed, or crashed: there are no last words of its own.
        _ => {
            let code = ended.status.code();
            let how = code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("ended with code {code}"));
            Failure::build(format!("The step {name} {how}."), format!("Its log is {}.", log.display())).with_log(last)
        }
    }
}
