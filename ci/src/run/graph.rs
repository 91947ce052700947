//! The one scheduler of all engines: a graph of steps, as many side by side as there are jobs, until all are made, one
//! fails, or a person says stop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use ci_step::failure::{Failure, Kind, Result};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::{Event, Outcome, Reporter, StepOutcome};
use crate::plan::{Action, Step};

/// How an engine runs one step.
pub trait Runner {
    /// What a step leaves for those that need it.
    type Made: Clone;

    /// Runs `step`; `needs` is what the steps that it needs left, in their order. Once `stop` is cancelled it ends what it
    /// started, and fails.
    fn run(
        &self,
        step: &Step,
        needs: Vec<Self::Made>,
        stop: &CancellationToken,
    ) -> impl Future<Output = Result<Self::Made>>;
}

/// Runs `steps`, each after those that it needs; what is in `made` is there already, and what they made is added to it. The
/// first failure stops the others and is the one that is told.
pub async fn run<R: Runner>(
    runner: &R,
    mut steps: Vec<&Step>,
    made: &mut BTreeMap<String, R::Made>,
    jobs: usize,
    stop: &CancellationToken,
    reporter: &mut dyn Reporter,
) -> Result<Outcome> {
    reporter.event(&Event::Begin { steps: steps.len() });
    // The extension takes longest: it starts before the others, and nothing goes before what it needs.
    let urgent = urgent(&steps);
    steps.sort_by_key(|step| (!matches!(step.action, Action::Extension { .. }), !urgent.contains(&step.name)));
    // Cancelled by who calls, or by the first failure.
    let stop = &stop.child_token();
    let mut outcome = Outcome::new();
    let mut running = FuturesUnordered::new();
    let mut failure: Option<Failure> = None;
    loop {
        while !stop.is_cancelled() && running.len() < jobs.max(1) {
            let ready = |step: &&Step| step.needs.iter().all(|need| made.contains_key(need));
            let Some(place) = steps.iter().position(ready) else { break };
            let step = steps.remove(place);
            let needs = step.needs.iter().map(|need| made[need].clone()).collect();
            reporter.event(&Event::Start { step: &step.name });
            let started = Instant::now();
            running.push(async move { (step, runner.run(step, needs, stop).await, started.elapsed().as_secs_f64()) });
        }
        let Some((step, ended, seconds)) = running.next().await else { break };
        match ended {
            Ok(left) => {
                reporter.event(&Event::Done { step: &step.name, seconds });
                outcome.insert(step.name.clone(), StepOutcome { cached: false, seconds });
                made.insert(step.name.clone(), left);
            }
            Err(error) => {
                // Those that were stopped end by a failure as well, and are not the reason.
                if error.kind == Kind::Interrupted {
                    reporter.event(&Event::Stopped { step: &step.name });
                } else {
                    reporter.event(&Event::Failed { step: &step.name, seconds });
                    failure.get_or_insert(error);
                }
                stop.cancel();
            }
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None if stop.is_cancelled() => Err(Failure::interrupted()),
        None => Ok(outcome),
    }
}

/// The extension and all that it needs of `steps`.
fn urgent(steps: &[&Step]) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut left: Vec<&Step> =
        steps.iter().copied().filter(|step| matches!(step.action, Action::Extension { .. })).collect();
    while let Some(step) = left.pop() {
        left.extend(steps.iter().filter(|other| step.needs.contains(&other.name)));
        found.insert(step.name.clone());
    }
    found
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    use super::*;

    struct Silent;

    impl Reporter for Silent {
        fn event(&mut self, _: &Event) {}
    }

    #[derive(Default)]
    struct Fake {
        order: RefCell<Vec<String>>,
        now: Cell<usize>,
        most: Cell<usize>,
        bad: Option<&'static str>,
    }

    impl Runner for Fake {
        type Made = String;

        async fn run(&self, step: &Step, needs: Vec<String>, stop: &CancellationToken) -> Result<String> {
            assert_eq!(needs, step.needs);
            self.now.set(self.now.get() + 1);
            self.most.set(self.most.get().max(self.now.get()));
            self.order.borrow_mut().push(step.name.clone());
            let time = if step.name == "slow" { 10_000 } else { 1 };
            let whole = stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(time))).await;
            self.now.set(self.now.get() - 1);
            match whole {
                None => Err(Failure::interrupted()),
                Some(()) if self.bad == Some(&step.name) => Err(Failure::build("bad", "mend it")),
                Some(()) => Ok(step.name.clone()),
            }
        }
    }

    fn step(name: &str, needs: &[&str]) -> Step {
        let action = Action::Archive { stage: String::new(), name: "a-1-py3-none-any.whl".parse().unwrap() };
        let needs = needs.iter().map(|&need| need.to_owned()).collect();
        Step { name: name.into(), action, needs, inputs: Vec::new(), outputs: Vec::new(), key: name.into() }
    }

    fn walk(fake: &Fake, steps: &[Step], jobs: usize, stop: &CancellationToken) -> Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut made = BTreeMap::from([("there".to_owned(), "there".to_owned())]);
        let all = steps.iter().collect();
        runtime.block_on(run(fake, all, &mut made, jobs, stop, &mut Silent))
    }

    #[test]
    fn steps_wait_for_what_they_need_and_no_more_run_than_there_are_jobs() {
        let steps =
            [step("d", &["b", "c"]), step("a", &["there"]), step("b", &["a"]), step("c", &["a"]), step("e", &[])];
        for jobs in 1..4 {
            let fake = Fake::default();
            let outcome = walk(&fake, &steps, jobs, &CancellationToken::new()).unwrap();
            assert_eq!(outcome.len(), steps.len());
            assert!(fake.most.get() <= jobs);
            let order = fake.order.borrow();
            let place = |name: &str| order.iter().position(|known| known == name).unwrap();
            assert!(place("a") < place("b") && place("b") < place("d") && place("c") < place("d"));
        }
    }

    #[test]
    fn nothing_goes_before_the_extension_and_what_it_needs() {
        let mut steps = [step("a", &[]), step("b", &["a"]), step("c", &[]), step("d", &["c"]), step("e", &["d"])];
        steps[4].action = Action::Extension {
            zig: String::new(),
            zigbuild: String::new(),
            openblas: String::new(),
            target: String::new(),
            blas: String::new(),
            prefix: String::new(),
            rust: String::new(),
        };
        let fake = Fake::default();
        walk(&fake, &steps, 1, &CancellationToken::new()).unwrap();
        assert_eq!(*fake.order.borrow(), ["c", "d", "e", "a", "b"]);
    }

    #[test]
    fn the_first_failure_stops_the_others_and_is_told() {
        let steps = [step("slow", &[]), step("bad", &[]), step("after", &["bad"])];
        let fake = Fake { bad: Some("bad"), ..Fake::default() };
        let started = Instant::now();
        let failure = walk(&fake, &steps, 2, &CancellationToken::new()).unwrap_err();
        assert_eq!((failure.kind, failure.what.as_str()), (Kind::Build, "bad"));
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(!fake.order.borrow().contains(&"after".to_owned()));
    }

    #[test]
    fn a_stop_ends_everything() {
        let stop = CancellationToken::new();
        stop.cancel();
        let fake = Fake::default();
        assert_eq!(walk(&fake, &[step("a", &[])], 2, &stop).unwrap_err().kind, Kind::Interrupted);
        assert!(fake.order.borrow().is_empty());
    }
}
