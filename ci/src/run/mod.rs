//! Runs plans. `graph` is the scheduler of every engine; `local` runs steps as processes of this machine, by `children`,
//! which end when this program ends, and in `surroundings`, which say what of the environment they get; the crate `ci-dagger` has an engine that runs them in containers. [`need`] decides what
//! has to run where the store can be asked. All of them tell a [`Reporter`] what happens.

pub mod children;
pub mod graph;
pub mod local;
pub mod report;
mod surroundings;

use std::collections::BTreeMap;

use crate::plan::{Plan, Step};
use ci_step::failure::Result;
use ci_step::store::{Entry, Found};
pub use report::{Event, Reporter};

/// How a step came to its result.
#[derive(Clone, Debug)]
pub struct StepOutcome {
    /// It was in the store, and did not run.
    pub cached: bool,
    /// How long it took when it ran, now or back then.
    pub seconds: f64,
}

pub type Outcome = BTreeMap<String, StepOutcome>;

/// What has to run for a list of targets, and what is there already.
#[derive(Debug, Default)]
pub struct Need {
    /// In the plan's order.
    pub run: Vec<String>,
    pub cached: BTreeMap<String, Entry>,
    /// Entries that were there and corrupt: step, and the file that was wrong.
    pub corrupt: Vec<(String, String)>,
}

/// Looks from the targets backwards, so that a finished wheel asks nothing of its compilers. `look` is the store's own, or
/// the one that changes nothing.
pub fn need(plan: &Plan, targets: &[String], look: impl Fn(&str) -> Result<Found>) -> Result<Need> {
    let by_name = plan.by_name();
    let mut need = Need::default();
    let mut wanted: Vec<&Step> = Vec::new();
    for target in targets {
        wanted.push(plan.step(target)?);
    }
    let mut run = std::collections::BTreeSet::new();
    while let Some(step) = wanted.pop() {
        if run.contains(&step.name) || need.cached.contains_key(&step.name) {
            continue;
        }
        match look(&step.key)? {
            Found::Entry(entry) => {
                need.cached.insert(step.name.clone(), entry);
                continue;
            }
            Found::Corrupt { file } => need.corrupt.push((step.name.clone(), file)),
            Found::Nothing => {}
        }
        run.insert(step.name.clone());
        wanted.extend(step.needs.iter().filter_map(|name| by_name.get(name.as_str())).copied());
    }
    need.run = plan.steps.iter().filter(|step| run.contains(&step.name)).map(|step| step.name.clone()).collect();
    Ok(need)
}
