//! The engine that runs nothing: it says which steps would run and which are in the store.

use super::{Engine, Event, Outcome, Reporter, StepOutcome, need};
use crate::plan::Plan;
use ci_step::failure::Result;
use ci_step::store::Store;

#[derive(Debug)]
pub struct DryRun<'a> {
    pub store: &'a Store,
}

impl Engine for DryRun<'_> {
    fn run(&self, plan: &Plan, targets: &[String], reporter: &mut dyn Reporter) -> Result<Outcome> {
        let need = need(plan, targets, |key| self.store.peek(key))?;
        for (step, file) in &need.corrupt {
            reporter.event(&Event::Corrupt { step, file });
        }
        for step in &need.run {
            reporter.event(&Event::WouldRun { step });
        }
        let cached = need.cached.into_iter();
        Ok(cached.map(|(name, entry)| (name, StepOutcome { cached: true, seconds: entry.seconds })).collect())
    }
}
