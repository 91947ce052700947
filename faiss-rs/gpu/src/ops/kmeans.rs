//! k-means wholly on the device, for one set of centroids or for those of all parts of the rows at once: the rounds of
//! core's `Clustering`, with its random numbers, its order and its ends.

use std::time::Instant;

use faiss_core::base::{MetricType, progress};
use faiss_core::cluster::{ClusteringIterationStats, ClusteringParameters, imbalance_factor, split_clusters};
use faiss_core::random::rand_perm_prefix;

use crate::error::{Error, Result, check_interrupt};
use crate::launchers;
use crate::memory::{Ptr, PtrMut, Temp, memory_info};
use crate::ops::assign::{Parts, Points, Strategy};
use crate::ops::group;
use crate::resources::Context;

/// How: `k` centroids of each part.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub cp: &'a ClusteringParameters,
    pub k: usize,
    pub metric: MetricType,
    /// The first centroids, equally many of each part.
    pub given: &'a [f32],
    /// Weights of the rows.
    pub weights: Option<Ptr<f32>>,
    pub verbose: bool,
    /// What the progress bar says.
    pub what: &'a str,
}

/// Whether a device has room for `count` rows of `d` numbers and what their clustering needs beside them.
pub fn fits(device: i32, count: usize, d: usize, k: usize) -> Result<bool> {
    let (free, _) = memory_info(device)?;
    // The rows, a copy for the matrix products, a few numbers for each row; sums of the centroids.
    let rows = count as f64 * (2.3 * d as f64 + 64.0) * 4.0;
    let sums = (3 * k + SUM_TASKS) as f64 * d as f64 * 4.0;
    Ok(count < u32::MAX as usize - 4096 && rows + sums < 0.9 * free as f64)
}

/// Blocks that add up the distances.
const SUM_BLOCKS: usize = 512;
/// Enough blocks of the sums to fill a GPU, also where one group has most of the rows.
const SUM_TASKS: usize = 16_384;

/// Trains `parts * k` centroids of `d` numbers, one part after the other; what each round was like, its objective summed over
/// the parts. More than one part excludes an early stop, which would come for each part at its own time.
pub fn train(
    context: &Context<'_>,
    of: Parts,
    job: &Job<'_>,
    centroids: PtrMut<f32>,
) -> Result<Vec<ClusteringIterationStats>> {
    let (cp, k) = (job.cp, job.k);
    let groups = of.parts * k;
    let items = of.parts * of.count;
    if of.count < k || items >= u32::MAX as usize - 4096 || groups >= i32::MAX as usize || of.stride > u32::MAX as usize
    {
        let (n, parts) = (of.count, of.parts);
        return Err(Error::invalid(format!("k-means of {parts} x {n} rows to {k} centroids each is out of range")));
    }
    if of.parts > 1 && cp.early_stop_threshold > 0.0 {
        return Err(Error::invalid("k-means of several parts at once has no early stop"));
    }
    let state = Rounds::new(context, of, job)?;
    let redos = cp.nredo.max(1);
    let size = k * of.d;
    let mut best = context.take::<f32>(if redos > 1 { groups * of.d } else { 0 })?;
    let mut best_objectives: Vec<Option<f32>> = vec![None; of.parts];
    let (mut all, mut told) = (Vec::new(), 0);
    for redo in 0..redos {
        let mut stats = state.run(redo, centroids)?;
        let end = all.len() + stats.len();
        if redos > 1 {
            let objectives = match stats.last() {
                None => vec![0.0; of.parts],
                Some(_) if of.parts == 1 => vec![stats[stats.len() - 1].obj],
                Some(_) => (0..of.parts)
                    .map(|p| state.objective(state.distances.read().at(p * of.count), of.count))
                    .collect::<Result<_>>()?,
            };
            for (part, (objective, best_objective)) in objectives.iter().zip(&mut best_objectives).enumerate() {
                let improves = |b: &f32| if job.metric.is_similarity() { objective > b } else { objective < b };
                if best_objective.as_ref().is_none_or(improves) {
                    *best_objective = Some(*objective);
                    told = end;
                    context.copy(centroids.read().at(part * size), best.ptr_mut().at(part * size), size)?;
                }
            }
        }
        all.append(&mut stats);
    }
    if redos > 1 {
        context.copy(best.ptr(), centroids, groups * of.d)?;
        // As core tells it: the rounds up to the end of the best redo.
        all.truncate(told);
    }
    Ok(all)
}

struct Rounds<'a> {
    context: &'a Context<'a>,
    of: Parts,
    job: &'a Job<'a>,
    points: Points<'a>,
    /// One a row and part, those of a part together.
    labels: PtrMut<i32>,
    distances: PtrMut<f32>,
    _memory: (Temp<'a, i32>, Temp<'a, f32>),
    /// Those of each part that stay as they were given.
    given: usize,
    started: Instant,
}

impl<'a> Rounds<'a> {
    fn new(context: &'a Context<'a>, of: Parts, job: &'a Job<'a>) -> Result<Rounds<'a>> {
        let items = of.parts * of.count;
        let mut memory = (context.take(items)?, context.take(items)?);
        Ok(Rounds {
            context,
            of,
            job,
            labels: memory.0.ptr_mut(),
            distances: memory.1.ptr_mut(),
            _memory: memory,
            points: Points::new(context, Strategy::choose(context, of, job.k), of, job.k, job.metric)?,
            given: job.given.len() / of.d / of.parts,
            started: Instant::now(),
        })
    }

    /// The centroids that a round starts with: those given, then rows by the seed.
    fn initialize(&self, redo: i32, centroids: PtrMut<f32>) -> Result<()> {
        let (of, k) = (self.of, self.job.k);
        let size = self.given * of.d;
        for part in 0..of.parts {
            let mine = &self.job.given[part * size..(part + 1) * size];
            self.context.upload_to(mine, centroids.at(part * k * of.d))?;
        }
        let seed = self.job.cp.actual_seed() + 1 + i64::from(redo) * 15_486_557;
        let perm = rand_perm_prefix(of.count, k, seed);
        let chosen = self.context.upload(&perm[self.given..])?;
        launchers::take_parts(
            self.context.stride((k - self.given) * of.parts, 8),
            of.rows,
            chosen.ptr(),
            (k - self.given) as u32,
            of.stride as u32,
            of.parts as u32,
            of.d as u32,
            k as u32,
            centroids.at(size),
        )?;
        self.finish(centroids)
    }

    fn finish(&self, centroids: PtrMut<f32>) -> Result<()> {
        let (cp, count) = (self.job.cp, self.of.parts * self.job.k);
        if !cp.spherical && !cp.int_centroids {
            return Ok(());
        }
        let (spherical, whole) = (u32::from(cp.spherical), u32::from(cp.int_centroids));
        let launch = self.context.stride(count, 8);
        launchers::finish_centroids(launch, centroids, count as u32, self.of.d as u32, spherical, whole)
    }

    fn run(&self, redo: i32, centroids: PtrMut<f32>) -> Result<Vec<ClusteringIterationStats>> {
        let cp = self.job.cp;
        self.initialize(redo, centroids)?;
        let mut stats: Vec<ClusteringIterationStats> = Vec::new();
        for round in 0..cp.niter.max(0) {
            check_interrupt()?;
            progress::report(self.job.what, round as usize, cp.niter as usize);
            let stat = self.round(centroids)?;
            if self.job.verbose {
                eprintln!(
                    "  Iteration {round} ({:.2} s, search {:.2} s): objective={} nsplit={}",
                    stat.time, stat.time_search, stat.obj, stat.nsplit
                );
            }
            stats.push(stat);
            if let [.., before, last] = &stats[..]
                && cp.converged(before.obj, last.obj)
            {
                break;
            }
        }
        progress::report(self.job.what, cp.niter.max(0) as usize, cp.niter.max(0) as usize);
        Ok(stats)
    }

    /// Assigns the rows, moves the centroids to the means, and splits clusters where others are empty.
    fn round(&self, centroids: PtrMut<f32>) -> Result<ClusteringIterationStats> {
        let (context, of, k) = (self.context, self.of, self.job.k);
        let (groups, items) = (of.parts * k, of.parts * of.count);
        let (labels, distances) = (self.labels, self.distances);
        self.points.nearest(centroids.read(), labels, Some(distances))?;
        let grouped = group::group(context, labels.read(), items, groups)?;
        let splits = (SUM_TASKS / groups).clamp(1, 256);
        let mut partial = context.take::<f32>(splits * groups * of.d)?;
        let mut weight_sums = context.take::<f32>(splits * groups)?;
        // Sizes and sums of distances, for one copy to the host.
        let mut report = context.take::<f32>(groups + SUM_BLOCKS)?;
        let frozen = if self.job.cp.frozen_centroids { self.given } else { 0 };
        launchers::group_sums(
            context.launch(groups * splits),
            of.rows,
            self.job.weights.unwrap_or(Ptr::null()),
            grouped.order.ptr(),
            grouped.offsets.ptr(),
            of.count as u32,
            of.stride as u32,
            of.d as u32,
            groups as u32,
            splits as u32,
            partial.ptr_mut(),
            weight_sums.ptr_mut(),
        )?;
        launchers::group_means(
            context.stride(groups, 8),
            partial.ptr(),
            weight_sums.ptr(),
            of.d as u32,
            groups as u32,
            k as u32,
            splits as u32,
            frozen as u32,
            centroids,
            report.ptr_mut(),
        )?;
        let sums = report.ptr_mut().at(groups);
        launchers::block_sums(context.launch(SUM_BLOCKS), distances.read(), items as i64, sums)?;
        let mut host = vec![0f32; groups + SUM_BLOCKS];
        context.download(report.ptr(), &mut host)?;
        let (sizes, sums) = host.split_at_mut(groups);
        let obj = sums.iter().map(|s| f64::from(*s)).sum::<f64>() as f32;
        let mut offsets = vec![0u32; groups + 1];
        context.download(grouped.offsets.ptr(), &mut offsets)?;
        let counts: Vec<f64> = offsets.windows(2).map(|w| f64::from(w[1] - w[0])).collect();
        let nsplit = self.split(sizes, frozen, centroids)?;
        self.finish(centroids)?;
        let time = self.started.elapsed().as_secs_f64();
        // The device does not tell what was search: nearly all of it.
        let imbalance_factor = imbalance_factor(&counts);
        Ok(ClusteringIterationStats { obj, time, time_search: time, imbalance_factor, nsplit })
    }

    fn split(&self, sizes: &mut [f32], frozen: usize, centroids: PtrMut<f32>) -> Result<i32> {
        let (of, k) = (self.of, self.job.k);
        let has_empty = |sizes: &[f32]| sizes[frozen..].contains(&0.0);
        if !sizes.chunks(k).any(has_empty) {
            return Ok(0);
        }
        // Random numbers decide which one is split, one after the other: work for the host.
        let mut host = vec![0f32; of.parts * k * of.d];
        self.context.download(centroids.read(), &mut host)?;
        let parts = sizes.chunks_mut(k).zip(host.chunks_mut(k * of.d));
        let nsplit = parts.map(|(sizes, centroids)| split_clusters(of.d, of.count, sizes, centroids, frozen)).sum();
        self.context.upload_to(&host, centroids)?;
        Ok(nsplit)
    }

    fn objective(&self, distances: Ptr<f32>, count: usize) -> Result<f32> {
        let mut sums = self.context.take::<f32>(SUM_BLOCKS)?;
        launchers::block_sums(self.context.launch(SUM_BLOCKS), distances, count as i64, sums.ptr_mut())?;
        let mut host = vec![0f32; SUM_BLOCKS];
        self.context.download(sums.ptr(), &mut host)?;
        Ok(host.iter().map(|s| f64::from(*s)).sum::<f64>() as f32)
    }
}
