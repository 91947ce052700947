//! The engine that runs a plan on this machine: every step a process of its own, this program as worker, as many side by side as
//! there are jobs. Needs nothing but Rust and Python.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::children::{self, Running};
use super::{Engine, Event, Outcome, Reporter, StepOutcome, need};
use crate::plan::{Action, Plan, Step};
use ci_step::failure::{Failure, Result};
use ci_step::store::Store;
use ci_step::task::Answer;

#[derive(Debug)]
pub struct Local<'a> {
    pub root: &'a Path,
    pub store: &'a Store,
    pub jobs: usize,
}

/// What this program is started with to run one step; the step comes by standard input.
pub const WORKER: &str = "run-step";

/// How many of a log's last lines are shown when a step fails.
const LAST_LINES: usize = 40;

impl Engine for Local<'_> {
    fn run(&self, plan: &Plan, targets: &[String], reporter: &mut dyn Reporter) -> Result<Outcome> {
        children::listen();
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
        reporter.event(&Event::Begin { steps: need.run.len() });
        let logs = self.root.join("target/ci/logs");
        fs::create_dir_all(&logs).map_err(Failure::io("cannot create", &logs))?;

        let mut waiting: Vec<&Step> = Vec::new();
        for name in &need.run {
            waiting.push(plan.step(name)?);
        }
        // The extension takes longest: it must not be the last to start.
        waiting.sort_by_key(|step| !matches!(step.action, Action::Extension { .. }));
        let mut done: BTreeSet<&str> = need.cached.keys().map(String::as_str).collect();
        let mut running: BTreeMap<&str, (Running, PathBuf)> = BTreeMap::new();
        loop {
            while running.len() < self.jobs.max(1) {
                let ready = |step: &&Step| step.needs.iter().all(|need| done.contains(need.as_str()));
                let Some(index) = waiting.iter().position(ready) else { break };
                let step = waiting.remove(index);
                let log = logs.join(format!("{}.log", step.name.replace([':', '+'], "-")));
                let task = plan.task(&step.name, self.root, self.store.root())?;
                let started = Running::worker(&mut self.command()?, &log, &task);
                let started = started.inspect_err(|_| self.stop(&mut running))?;
                reporter.event(&Event::Start { step: &step.name });
                running.insert(&step.name, (started, log));
            }
            if running.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(15));
            if children::interrupted() {
                self.stop(&mut running);
                return Err(Failure::interrupted());
            }
            let mut ended = Vec::new();
            for (name, (child, _)) in &mut running {
                if let Some(status) = child.ended() {
                    ended.push((*name, status));
                }
            }
            for (name, status) in ended {
                let Some((mut child, log)) = running.remove(name) else { continue };
                if !status.success() {
                    // One that was killed could not do so itself.
                    self.store.forget(child.id());
                    reporter.event(&Event::Failed { step: name, seconds: child.seconds() });
                    self.stop(&mut running);
                    return Err(failed(name, &log, status.code(), child.answer()));
                }
                reporter.event(&Event::Done { step: name, seconds: child.seconds() });
                outcome.insert(name.to_owned(), StepOutcome { cached: false, seconds: child.seconds() });
                done.insert(name);
            }
        }
        Ok(outcome)
    }
}

impl Local<'_> {
    fn command(&self) -> Result<Command> {
        let program = env::current_exe().map_err(Failure::io("cannot find", Path::new("ci")))?;
        let mut command = Command::new(program);
        command.arg(WORKER).env("CARGO_BUILD_JOBS", self.jobs.max(1).to_string());
        Ok(command)
    }

    /// Ends what runs, and removes what it was making.
    fn stop(&self, running: &mut BTreeMap<&str, (Running, PathBuf)>) {
        let children: Vec<Running> = std::mem::take(running).into_values().map(|(child, _)| child).collect();
        let ids: Vec<u32> = children.iter().map(Running::id).collect();
        children::stop(children, children::PATIENCE);
        ids.into_iter().for_each(|id| self.store.forget(id));
    }
}

/// The step's own failure, with the end of its log where it has no log of its own.
fn failed(name: &str, log: &Path, code: Option<i32>, answer: Option<Answer>) -> Failure {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    match answer {
        Some(Answer::Failed { failure }) => {
            let what = format!("The step {name} failed: {}", failure.what);
            let todo = format!("{} (whole log: {})", failure.todo, log.display());
            let log = failure.log.clone().unwrap_or(last);
            Failure { what, todo, ..failure }.with_log(log)
        }
        // It was killed, or crashed: there are no last words of its own.
        _ => {
            let ended =
                code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("ended with code {code}"));
            Failure::build(format!("The step {name} {ended}."), format!("Its log is {}.", log.display())).with_log(last)
        }
    }
}
