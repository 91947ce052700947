//! The engine that runs a plan in containers: every step is one run of the worker, with only what it reads mounted, so
//! that the engine's own cache and the plan's keys agree.
//!
//! `environment` makes the containers, `inputs` says which files a step gets; this file walks the plan. All of Dagger's API
//! is in this folder: planner, steps and command line know nothing of it, and `module` only asks for results.

pub mod environment;
mod failure;
mod inputs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use dagger_module::{Query, Session};

use ci::plan::{Action, Plan, Step};
use ci::run::local::WORKER;
use ci::run::{Engine, Event, Outcome, Reporter, StepOutcome};
use ci_step::failure::Result;
use ci_step::task::Task;
pub use environment::{Environment, Settings};
pub use failure::{from_dagger, of_tests, to_dagger};
pub use inputs::Tree;

/// Where the store lies in every container.
pub const STORE: &str = "/var/cache/faiss-rs";
/// Where the checkout lies in every container.
pub const ROOT: &str = "/src";
const TASK: &str = "/task.json";
/// What takes long to make is in a volume as well, by its key: the engine runs a step again when this program changed, and
/// the step then finds what it would make.
const KEPT: &str = "/var/cache/kept";

#[derive(Debug)]
pub struct Dagger<'a> {
    pub session: &'a Session,
    pub environment: &'a Environment,
    pub tree: &'a Tree,
    pub jobs: usize,
}

/// What steps made: the id of a directory for each, to be laid into another container's store.
#[derive(Clone, Debug, Default)]
pub struct Outputs(BTreeMap<String, String>);

impl Outputs {
    /// The container with what these steps made in its store.
    pub fn lay<'a>(&self, mut container: Query, steps: impl IntoIterator<Item = &'a Step>) -> Query {
        for step in steps {
            if let Some(id) = self.0.get(&step.name) {
                container = environment::mount(container, &entry(step), id);
            }
        }
        container
    }
}

/// The folder of a step's entry, as the store names it.
fn entry(step: &Step) -> String {
    format!("{STORE}/steps/{}/{}", &step.key[..2], step.key)
}

impl Engine for Dagger<'_> {
    fn run(&self, plan: &Plan, targets: &[String], reporter: &mut dyn Reporter) -> Result<Outcome> {
        Ok(self.make(plan, targets, reporter)?.1)
    }
}

impl Dagger<'_> {
    /// As [`Engine::run`], and what the steps made.
    ///
    /// Steps go to the engine as soon as those that they need are done. What it has seen before it answers at once, so a
    /// step is never looked up elsewhere first.
    pub fn make(&self, plan: &Plan, targets: &[String], reporter: &mut dyn Reporter) -> Result<(Outputs, Outcome)> {
        let mut waiting = wanted(plan, targets)?;
        reporter.event(&Event::Begin { steps: waiting.len() });
        // The extension takes longest: it must not be the last to start.
        waiting.sort_by_key(|step| !matches!(step.action, Action::Extension { .. }));
        let (mut outputs, mut outcome) = (Outputs::default(), Outcome::new());
        let (sender, ended) = mpsc::channel();
        thread::scope(|scope| {
            let mut running = 0;
            let mut failure = None;
            loop {
                while failure.is_none() && running < self.jobs.max(1) {
                    let ready = |step: &&Step| step.needs.iter().all(|need| outputs.0.contains_key(need));
                    let Some(index) = waiting.iter().position(ready) else { break };
                    let step = waiting.remove(index);
                    reporter.event(&Event::Start { step: &step.name });
                    let query = match self.query(plan, step, &outputs) {
                        Ok(query) => query,
                        Err(error) => {
                            failure = Some(error);
                            break;
                        }
                    };
                    let sender = sender.clone();
                    scope.spawn(move || {
                        let started = Instant::now();
                        let made = self.session.sync(&query);
                        // The receiver outlives every sender: it is dropped after the scope.
                        let _ = sender.send((step, made, started.elapsed().as_secs_f64()));
                    });
                    running += 1;
                }
                if running == 0 {
                    break;
                }
                let Ok((step, made, seconds)) = ended.recv() else { break };
                running -= 1;
                match made {
                    Ok(id) => {
                        reporter.event(&Event::Done { step: &step.name, seconds });
                        outcome.insert(step.name.clone(), StepOutcome { cached: false, seconds });
                        outputs.0.insert(step.name.clone(), id);
                    }
                    Err(error) => {
                        reporter.event(&Event::Failed { step: &step.name, seconds });
                        // The first failure is the one to show; the others may follow from being stopped.
                        failure.get_or_insert_with(|| failure::of_step(&step.name, &error));
                    }
                }
            }
            failure.map_or(Ok(()), Err)
        })?;
        Ok((outputs, outcome))
    }

    /// What a step makes, as a directory. Its container gets the step alone: another step that changes does not change this
    /// one's command.
    fn query(&self, plan: &Plan, step: &Step, outputs: &Outputs) -> Result<Query> {
        let mut needs = Vec::new();
        for need in &step.needs {
            needs.push(plan.step(need)?);
        }
        let rust = matches!(step.action, Action::Extension { .. });
        let mut container = if rust { self.environment.with_rust(self.session)? } else { self.environment.base() };
        container = self.tree.mount(self.session, container, step)?;
        if rust {
            container = environment::cache(container, &format!("{ROOT}/target/extension"), &self.environment.target);
        }
        let slow = matches!(step.action, Action::Compile { .. } | Action::Extension { .. });
        if slow {
            container = environment::cache(container, KEPT, &self.environment.kept);
        }
        container = outputs.lay(container, needs);
        let task = plan.task(&step.name, Path::new(ROOT), Path::new(STORE))?;
        let task = Task { kept: slow.then(|| KEPT.into()), ..task };
        let text = serde_json::to_string(&task).expect("plain data serializes");
        container = container.call("withNewFile").arg("path", TASK).arg("contents", text);
        let command = vec!["ci", WORKER, TASK];
        Ok(environment::run(container, command).call("directory").arg("path", entry(step)))
    }
}

/// The targets and everything below them, in the plan's order.
fn wanted<'a>(plan: &'a Plan, targets: &[String]) -> Result<Vec<&'a Step>> {
    let mut names = BTreeSet::new();
    let mut left: Vec<&str> = targets.iter().map(String::as_str).collect();
    while let Some(name) = left.pop() {
        if names.insert(name) {
            left.extend(plan.step(name)?.needs.iter().map(String::as_str));
        }
    }
    Ok(plan.steps.iter().filter(|step| names.contains(step.name.as_str())).collect())
}
