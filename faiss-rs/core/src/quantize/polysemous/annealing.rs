//! Simulated annealing over permutations (Kirkpatrick, Gelatt and Vecchi 1983): swaps of two numbers at random, those for the worse ever more
//! rarely.

use faiss_derive::{Object, methods};

use super::distances::{General, ReproduceDistancesObjective};
use crate::base::{Error, Result, Shared, interrupt, lock};
use crate::random::RandomGenerator;
use crate::registry::Row;

/// How a permutation is searched for.
#[derive(Object, Clone)]
#[object(new)]
pub struct SimulatedAnnealingParameters {
    /// The probability that a swap for the worse is made anyway, at the beginning.
    #[object(default = 0.7)]
    pub init_temperature: f64,
    /// By this it falls with every iteration.
    #[object(default = 0.9f64.powf(1.0 / 500.0))]
    pub temperature_decay: f64,
    /// Number of swaps tried.
    #[object(default = 500_000)]
    pub n_iter: i32,
    /// How often to begin anew; the best result is kept.
    #[object(default = 2)]
    pub n_redo: i32,
    /// Seed of the random numbers.
    #[object(default = 123)]
    pub seed: i32,
    /// Above 0, says on stdout how it goes.
    pub verbose: i32,
    /// Only swaps of numbers that differ in one bit.
    pub only_bit_flips: bool,
    /// Begins at a random permutation.
    pub init_random: bool,
}

pub(crate) const PARAMETERS: Row = Row::of::<SimulatedAnnealingParameters>();

/// A permutation of 0 to n - 1 and what it costs.
pub(super) trait Permutation {
    fn numbers(&self) -> &[u32];
    fn cost(&self) -> f64;
    /// By how much the cost changes if the numbers at two places are swapped.
    fn change(&self, i: usize, j: usize) -> f64;
    fn swap(&mut self, i: usize, j: usize);
}

impl SimulatedAnnealingParameters {
    /// The best permutation of `n` numbers that `n_redo` runs find, and its cost; `of` makes a state of the numbers of a run's beginning, and
    /// `heard` is told each run's number, cost at the beginning and at the end.
    pub(super) fn best<P: Permutation>(
        &self,
        n: usize,
        rng: &mut RandomGenerator,
        of: impl Fn(Vec<u32>) -> P,
        mut heard: impl FnMut(i32, f64, f64),
    ) -> Result<(f64, Vec<u32>)> {
        let mut best: Option<(f64, Vec<u32>)> = None;
        for run in 0..self.n_redo {
            let mut numbers: Vec<u32> = (0..n as u32).collect();
            if self.init_random {
                (0..n).for_each(|i| numbers.swap(i, i + rng.rand_int_max((n - i) as i32) as usize));
            }
            let mut state = of(numbers);
            let start = state.cost();
            let cost = self.anneal(&mut state, start, rng)?;
            heard(run, start, cost);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, state.numbers().to_vec()));
            }
        }
        Ok(best.unwrap_or_else(|| {
            let numbers: Vec<u32> = (0..n as u32).collect();
            (of(numbers.clone()).cost(), numbers)
        }))
    }

    /// Tries `n_iter` swaps; returns the cost.
    pub(super) fn anneal(&self, state: &mut impl Permutation, start: f64, rng: &mut RandomGenerator) -> Result<f64> {
        let n = state.numbers().len() as i32;
        let (mut cost, mut temperature) = (start, self.init_temperature);
        if n < 2 {
            return Ok(cost);
        }
        for iteration in 0..self.n_iter {
            if iteration % 4096 == 0 {
                interrupt::check()?;
            }
            temperature *= self.temperature_decay;
            let i = rng.rand_int_max(n);
            let j = if self.only_bit_flips {
                i ^ 1 << rng.rand_int_max(n.ilog2() as i32)
            } else {
                let j = rng.rand_int_max(n - 1);
                if j == i { j + 1 } else { j }
            };
            let change = state.change(i as usize, j as usize);
            if change < 0.0 || f64::from(rng.rand_float()) < temperature {
                state.swap(i as usize, j as usize);
                cost += change;
            }
        }
        Ok(cost)
    }
}

/// Looks for the permutation of the least cost.
#[derive(Object)]
#[object(methods)]
pub struct SimulatedAnnealingOptimizer {
    /// How orders are looked for.
    #[object(parent)]
    pub parameters: SimulatedAnnealingParameters,
    /// What is to be minimized.
    pub obj: Option<Shared<ReproduceDistancesObjective>>,
    /// Size of the permutation.
    pub n: i32,
    /// The cost at the beginning of the last run.
    pub init_cost: f64,
    rng: RandomGenerator,
}

impl Default for SimulatedAnnealingOptimizer {
    fn default() -> Self {
        SimulatedAnnealingOptimizer::over(None, 0, SimulatedAnnealingParameters::default())
    }
}

pub(crate) const OPTIMIZER: Row = Row::of::<SimulatedAnnealingOptimizer>();

#[methods]
impl SimulatedAnnealingOptimizer {
    /// The random numbers begin at the parameters' seed, once for all runs.
    #[new]
    fn new(obj: Shared<ReproduceDistancesObjective>, p: &SimulatedAnnealingParameters) -> Result<Self> {
        let n = lock::read(&obj)?.objective.n;
        Ok(SimulatedAnnealingOptimizer::over(Some(obj), n, p.clone()))
    }

    /// One run from a permutation of `n` numbers; returns the cost and the permutation.
    fn optimized(&mut self, objective: &ReproduceDistancesObjective, perm: &[i32]) -> Result<(f64, Vec<i32>)> {
        let mut state = General { objective, numbers: objective.permutation(perm)? };
        self.check(state.numbers.len())?;
        self.init_cost = state.cost();
        let cost = self.parameters.anneal(&mut state, self.init_cost, &mut self.rng)?;
        Ok((cost, signed(&state.numbers)))
    }

    /// `n_redo` runs; returns the least cost and its permutation.
    fn best_of_runs(&mut self, objective: &ReproduceDistancesObjective) -> Result<(f64, Vec<i32>)> {
        let of = |numbers| General { objective, numbers };
        let n = objective.objective.n as usize;
        self.check(n)?;
        let (verbose, mut began) = (self.parameters.verbose, self.init_cost);
        let (cost, numbers) = self.parameters.best(n, &mut self.rng, of, |run, start, cost| {
            began = start;
            if verbose > 0 {
                println!("  simulated annealing, run {run}: cost {start} -> {cost}");
            }
        })?;
        self.init_cost = began;
        Ok((cost, signed(&numbers)))
    }
}

impl SimulatedAnnealingOptimizer {
    fn over(
        obj: Option<Shared<ReproduceDistancesObjective>>,
        n: i32,
        parameters: SimulatedAnnealingParameters,
    ) -> Self {
        let rng = RandomGenerator::new(i64::from(parameters.seed));
        SimulatedAnnealingOptimizer { parameters, obj, n, init_cost: 0.0, rng }
    }

    fn check(&self, n: usize) -> Result<()> {
        Error::check(!self.parameters.only_bit_flips || n.is_power_of_two(), "n is a power of 2 for only_bit_flips")
    }
}

fn signed(numbers: &[u32]) -> Vec<i32> {
    numbers.iter().map(|number| *number as i32).collect()
}
