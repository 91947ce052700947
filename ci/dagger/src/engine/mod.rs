//! The engine that runs a plan in containers: every step is one run of the worker, with only what it reads mounted, so
//! that the engine's own cache and the plan's keys agree.
//!
//! `environment` makes the containers, `inputs` says which files a step gets, `failure` turns what the engine says into
//! words for people; this file runs the steps by the scheduler of the crate `ci`. `module` only asks for results.

pub mod environment;
mod failure;
mod inputs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ci::plan::{Action, Plan, Step};
use ci::run::graph::{self, Runner};
use ci::run::{Outcome, Reporter};
use ci_step::failure::{Failure, Result};
use ci_step::task::Task;
use dagger_sdk::{Container, Directory, Id, Query};
pub use environment::{Environment, Settings};
pub use failure::{from_dagger, from_sdk, of_tests, to_dagger};
pub use inputs::Tree;
use tokio_util::sync::CancellationToken;

/// Where the store lies in every container.
pub const STORE: &str = "/var/cache/faiss-rs";
/// Where the checkout lies in every container.
pub const ROOT: &str = "/src";
const TASK: &str = "/task.json";
/// What takes long to make is in a volume as well, by its key: the engine runs a step again when the worker changed, and the
/// step then finds what it would make; and of a kernel family only those images are compiled that changed.
const KEPT: &str = "/var/cache/kept";

pub struct Dagger<'a> {
    pub dagger: &'a Query,
    pub environment: &'a Environment,
    pub tree: &'a Tree,
    pub jobs: usize,
}

/// What steps made: the id of a directory for each, to be laid into another container's store.
#[derive(Clone, Debug, Default)]
pub struct Outputs(BTreeMap<String, Id>);

impl Outputs {
    /// The container with what these steps made in its store.
    pub fn lay(&self, mut container: Container, plan: &Plan) -> Container {
        for step in &plan.steps {
            if let Some(id) = self.0.get(&step.name) {
                container = container.with_mounted_directory(entry(&step.key), id.clone());
            }
        }
        container
    }
}

/// The folder of a step's entry, as the store names it.
fn entry(key: &str) -> String {
    format!("{STORE}/steps/{}/{key}", &key[..2])
}

impl Dagger<'_> {
    /// Makes `targets` and whatever they need, and gives what the steps made.
    ///
    /// What the engine has seen before it answers at once, so a step is never looked up elsewhere first.
    pub async fn make(
        &self,
        plan: &Plan,
        targets: &[String],
        reporter: &mut dyn Reporter,
    ) -> Result<(Outputs, Outcome)> {
        let mut made = BTreeMap::new();
        let runner = Containers { engine: self, plan };
        // The engine ends this program, and what it asked for, when its caller goes away.
        let stop = CancellationToken::new();
        let outcome = graph::run(&runner, wanted(plan, targets)?, &mut made, self.jobs, &stop, reporter).await?;
        Ok((Outputs(made), outcome))
    }
}

/// Steps as containers.
struct Containers<'a> {
    engine: &'a Dagger<'a>,
    plan: &'a Plan,
}

impl Runner for Containers<'_> {
    type Made = Id;

    async fn run(&self, step: &Step, needs: Vec<Id>, stop: &CancellationToken) -> Result<Id> {
        let work = async {
            let made = self.output(step, needs).await?.sync().await;
            // By its id alone, not by the calls that lead to it.
            made.map_err(|error| failure::of_step(&step.name, &error.into()))?.id().await.map_err(from_sdk)
        };
        // What is not waited for any longer, the engine ends.
        stop.run_until_cancelled(work).await.unwrap_or_else(|| Err(Failure::interrupted()))
    }
}

impl Containers<'_> {
    /// What a step makes, as a directory. Its container gets the step alone: another step that changes does not change this
    /// one's command.
    async fn output(&self, step: &Step, needs: Vec<Id>) -> Result<Directory> {
        let Dagger { environment, tree, .. } = self.engine;
        let task = self.plan.task(&step.name, Path::new(ROOT), Path::new(STORE))?;
        let rust = matches!(step.action, Action::Extension { .. });
        let mut container = if rust { environment.with_rust().await? } else { environment.base() };
        container = tree.mount(container, step).await?;
        let slow = matches!(step.action, Action::Kernels(_) | Action::Extension { .. });
        if slow {
            container = container.with_mounted_cache(KEPT, environment.kept.clone());
        }
        for (need, id) in step.needs.iter().zip(needs) {
            container = container.with_mounted_directory(entry(task.key_of(need)?), id);
        }
        let task = Task { kept: slow.then(|| KEPT.into()), ..task };
        let text = serde_json::to_string(&task).expect("plain data serializes");
        let container = container.with_new_file(TASK, text).with_exec(vec![environment::WORKER, TASK]);
        Ok(container.directory(entry(&step.key)))
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
