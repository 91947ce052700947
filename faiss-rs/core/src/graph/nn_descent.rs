//! Nearest neighbours of every vector at once, from random ones on: a neighbour of a neighbour is likely a neighbour (Dong, Moses and Li, "Efficient
//! k-nearest neighbor graph construction for generic similarity measures", 2011).
//!
//! Each round compares, for every vertex, the neighbours that are new to it with each other and with the older ones. What comes of it does not
//! depend on the order of the comparisons, and so not on threads: a pool keeps the nearest, by key and then by number.

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::queue::Node;
use super::search::{Limits, Stats, nearest};
use super::visited::{Scratch, Shelf};
use super::{Given, Keys, Links};
use crate::base::{Error, Result, interrupt, threads};
use crate::distance::DistanceComputer;
use crate::index::Index;
use crate::random::RandomGenerator;
use crate::registry::Row;

/// A graph of fewer vertices is not built, as in Faiss.
const MIN_VERTICES: usize = 100;
/// The part of all neighbours that change in a round, below which further ones are not worth it.
const FEW_CHANGES: f64 = 0.001;
/// Sizes beyond this are a mistake.
const MAX_SIZE: i32 = 1 << 20;

/// The graph of nearest neighbours, how it is built, and searches along it.
#[derive(Object, Clone)]
#[object(methods, copy)]
pub struct NNDescent {
    /// Neighbours of a vertex.
    pub K: i32,
    /// New neighbours of a vertex that take part in a round.
    pub S: i32,
    /// Vertices that take part because the vertex is a neighbour of theirs, at most.
    pub R: i32,
    /// Neighbours that are kept for a vertex while the graph is built; at least K.
    pub L: i32,
    /// Rounds, at most.
    pub iter: i32,
    /// Candidates that a search keeps; never fewer than its results.
    pub search_L: i32,
    /// Begins the random numbers.
    pub random_seed: i32,
    /// Vector dimension.
    pub d: i32,
    /// Number of vertices.
    pub ntotal: i32,
    /// Whether there is a graph.
    #[object(readonly)]
    pub has_built: bool,
    /// The neighbours of each vertex, nearest first, `ntotal * K` numbers.
    pub final_graph: Vec<i32>,
    work: Work,
    scratch: Shelf<Scratch>,
}

pub(crate) const ROW: Row = Row::of::<NNDescent>();

impl Default for NNDescent {
    fn default() -> Self {
        NNDescent::new(0, 32)
    }
}

#[methods]
impl NNDescent {
    /// With `K` neighbours a vertex.
    #[new]
    pub fn new(d: i32, K: i32) -> Self {
        NNDescent {
            K,
            S: 10,
            R: 100,
            L: K.saturating_add(50),
            iter: 10,
            search_L: 0,
            random_seed: 2021,
            d,
            ntotal: 0,
            has_built: false,
            final_graph: Vec::new(),
            work: Work::default(),
            scratch: Shelf::default(),
        }
    }

    /// Forgets the graph.
    pub fn reset(&mut self) {
        (self.has_built, self.ntotal, self.final_graph, self.work) = (false, 0, Vec::new(), Work::default());
        self.scratch.clear();
    }

    /// Builds the graph over the first `n` vectors of a storage, whose distances are negated where `negated` is set.
    #[name = "build"]
    fn build_over(&mut self, storage: &dyn Index, negated: bool, n: i32) -> Result<()> {
        let given = Given::new(storage, negated, n)?;
        self.build(given.n, || given.keys())
    }

    /// Begins with random neighbours of the `ntotal` vertices; `update` and `join` make them better, round by round.
    fn init_graph(&mut self, storage: &dyn Index, negated: bool) -> Result<()> {
        let given = Given::new(storage, negated, self.ntotal)?;
        self.work = self.begin(given.n, &|| given.keys())?;
        Ok(())
    }

    /// Chooses the neighbours that the next `join` compares with each other.
    fn update(&mut self) -> Result<()> {
        let (_, s, r, _) = self.sizes()?;
        self.work.choose(self.random_seed, s, r);
        Ok(())
    }

    /// Compares those that `update` chose.
    fn join(&mut self, storage: &dyn Index, negated: bool) -> Result<()> {
        let given = Given::new(storage, negated, self.ntotal)?;
        Error::check(given.n == self.work.pools.len(), "graph.size() == ntotal")?;
        self.work.join(&Shelf::default(), &|| given.keys()).map(drop)
    }

    /// From the neighbours of `init_graph` on, as many rounds as `iter` says, or as change something.
    fn nndescent(&mut self, storage: &dyn Index, negated: bool) -> Result<()> {
        let given = Given::new(storage, negated, self.ntotal)?;
        if given.n == 0 || given.n != self.work.pools.len() {
            return Err(Error::failed("size > 0 && size <= N", "init_graph comes before nndescent"));
        }
        let mut work = std::mem::take(&mut self.work);
        let done = self.rounds(&mut work, &Shelf::default(), &|| given.keys());
        self.work = work;
        done
    }

    /// The K nearest of the first `n` vectors to each of some vertices: numbers, one row a vertex.
    fn generate_eval_set(&self, storage: &dyn Index, negated: bool, n: i32, vertices: &[i32]) -> Result<Vec<i32>> {
        let given = Given::new(storage, negated, n)?;
        let (k, ..) = self.sizes()?;
        let (keys, mut rows) = (given.keys()?, Vec::new());
        for vertex in vertices {
            interrupt::check()?;
            let vertex = given.vertex(*vertex)?;
            let others: Vec<u32> = (0..given.n as u32).filter(|other| *other != vertex).collect();
            let mut pool = Pool::default();
            keys.for_each_between(vertex, &others, |id, key| {
                pool.insert(key, id, k);
            });
            rows.extend(pool.0.iter().map(|neighbour| neighbour.id as i32));
        }
        Ok(rows)
    }

    /// Which part of the true neighbours of some vertices, `width` numbers a vertex, the graph that is being built has.
    fn eval_recall(&self, vertices: &[i32], truth: &[i32], width: usize) -> Result<f32> {
        Error::check(vertices.len().checked_mul(width) == Some(truth.len()), "acc_eval_set.size() == eval_set.size()")?;
        let mut mean = 0.0;
        for (vertex, truth) in vertices.iter().zip(truth.chunks_exact(width.max(1))) {
            let pool = usize::try_from(*vertex).ok().and_then(|v| self.work.pools.get(v));
            let pool = pool.ok_or_else(|| Error::failed("eval_set[i] < graph.size()", "no such vertex"))?.lock();
            let known = |id: &&i32| pool.0.iter().any(|neighbour| i64::from(neighbour.id) == i64::from(**id));
            mean += truth.iter().filter(known).count() as f32 / width as f32 / vertices.len() as f32;
        }
        Ok(mean)
    }

    /// The `topk` nearest vertices to a query that are found, best first, and their distances.
    #[name = "search"]
    fn search_over(
        &self,
        storage: &dyn Index,
        negated: bool,
        query: &[f32],
        topk: usize,
    ) -> Result<(Vec<i64>, Vec<f32>)> {
        if !self.has_built {
            return Err(Error::failed("!(has_built)", "The index is not build yet."));
        }
        let keys = Given::new(storage, negated, self.ntotal)?.query(query)?;
        Ok(self.search(&keys, topk)?.into_iter().map(|(key, id)| (id, key)).unzip())
    }
}

/// A neighbour, and whether it took part in a round.
#[derive(Clone, Copy)]
struct Neighbour {
    key: f32,
    id: u32,
    new: bool,
}

/// The nearest neighbours so far, nearest first.
#[derive(Default)]
struct Pool(Vec<Neighbour>);

impl Pool {
    /// Whether the neighbour came in.
    fn insert(&mut self, key: f32, id: u32, most: usize) -> bool {
        let key = if key.is_nan() { f32::INFINITY } else { key };
        let at = self.0.partition_point(|n| (n.key, n.id) < (key, id));
        if at >= most || self.0.get(at).is_some_and(|n| n.id == id) {
            return false;
        }
        if self.0.len() == most {
            self.0.pop();
        }
        self.0.insert(at, Neighbour { key, id, new: true });
        true
    }
}

/// Who takes part in a round, for one vertex.
#[derive(Default)]
struct Round {
    new: Vec<u32>,
    old: Vec<u32>,
}

/// Numbers that only a seed and a place decide.
fn generator(seed: i32, round: usize, place: usize) -> RandomGenerator {
    RandomGenerator::new(i64::from(seed).wrapping_mul(6007).wrapping_add((round << 40 | place) as i64))
}

/// Leaves `most` of the numbers, chosen by chance.
fn sample(ids: &mut Vec<u32>, most: usize, random: &mut RandomGenerator) {
    if ids.len() > most {
        for i in 0..most {
            let j = i + random.rand_int_max((ids.len() - i) as i32) as usize;
            ids.swap(i, j);
        }
        ids.truncate(most);
    }
}

impl NNDescent {
    /// K, S, R and L.
    fn sizes(&self) -> Result<(usize, usize, usize, usize)> {
        let size = |v: i32, least: i32| usize::try_from(v).ok().filter(|_| v >= least && v <= MAX_SIZE);
        match (size(self.K, 1), size(self.S, 0), size(self.R, 0), size(self.L, 0)) {
            (Some(k), Some(s), Some(r), Some(l)) => Ok((k, s, r, l.max(k))),
            _ => Err(Error::failed("K > 0 && S >= 0 && R >= 0 && L >= 0", "the graph's sizes are out of range")),
        }
    }

    /// The number of vertices, after a check that the public fields fit together.
    pub fn vertices(&self) -> Result<usize> {
        Error::check(self.has_built, "has_built")?;
        let n = usize::try_from(self.ntotal).unwrap_or(0);
        let whole = usize::try_from(self.K).ok().and_then(|k| k.checked_mul(n)) == Some(self.final_graph.len());
        Error::check(whole && self.K > 0, "final_graph.size() == ntotal * K")?;
        Ok(n)
    }

    /// Builds the graph over `n` vectors; `make` makes what compares them.
    pub fn build<C: DistanceComputer>(&mut self, n: usize, make: impl Fn() -> Result<Keys<C>> + Sync) -> Result<()> {
        if n <= MIN_VERTICES {
            let message = format!("NNDescent.build cannot build a graph smaller than {MIN_VERTICES}");
            return Err(Error::failed("n > NUM_EVAL_POINTS", message));
        }
        let (k, ..) = self.sizes()?;
        let ntotal = i32::try_from(n).map_err(|_| Error::failed("n <= INT_MAX", "more vertices than an int counts"))?;
        Error::check(k < n, "K < n")?;
        let mut work = self.begin(n, &make)?;
        self.rounds(&mut work, &Shelf::default(), &make)?;
        let mut graph = Vec::with_capacity(n * k);
        for pool in work.pools {
            let pool = pool.into_inner().0;
            Error::check(pool.len() >= k, "pool.size() >= K")?;
            graph.extend(pool[..k].iter().map(|neighbour| neighbour.id as i32));
        }
        (self.final_graph, self.ntotal, self.has_built) = (graph, ntotal, true);
        self.work = Work::default();
        Ok(())
    }

    /// Random neighbours of `n` vertices.
    fn begin<C: DistanceComputer>(&self, n: usize, make: &(impl Fn() -> Result<Keys<C>> + Sync)) -> Result<Work> {
        let (.., l) = self.sizes()?;
        let ntotal = i32::try_from(n).ok().filter(|n| *n > 1);
        let ntotal = ntotal.ok_or_else(|| Error::failed("size > 0 && size <= N", "no neighbours among so few"))?;
        let l = l.min(n - 1);
        let computers = Shelf::<Keys<C>>::default();
        let pools: Vec<Mutex<Pool>> = (0..n).map(|_| Mutex::default()).collect();
        threads::parallel_for(n, |i| {
            let own = computers.take().map_or_else(make, Ok)?;
            let mut random = generator(self.random_seed, 0, i);
            let mut ids: Vec<u32> = Vec::with_capacity(l);
            if 2 * l >= n {
                ids.extend((0..n as u32).filter(|id| *id as usize != i));
                sample(&mut ids, l, &mut random);
            }
            while ids.len() < l {
                let missing = l - ids.len();
                ids.extend((0..missing).map(|_| random.rand_int_max(ntotal) as u32));
                ids.retain(|id| *id as usize != i);
                ids.sort_unstable();
                ids.dedup();
            }
            let mut pool = pools[i].lock();
            own.for_each_between(i as u32, &ids, |id, key| {
                pool.insert(key, id, l);
            });
            computers.put(own);
            Ok(())
        })?;
        Ok(Work { pools, most: l, ..Default::default() })
    }

    /// Rounds, until few neighbours change.
    fn rounds<C: DistanceComputer>(
        &self,
        work: &mut Work,
        computers: &Shelf<Keys<C>>,
        make: &(impl Fn() -> Result<Keys<C>> + Sync),
    ) -> Result<()> {
        let (k, s, r, _) = self.sizes()?;
        for _ in 0..usize::try_from(self.iter).unwrap_or(0) {
            interrupt::check()?;
            work.choose(self.random_seed, s, r);
            if (work.join(computers, make)? as f64) < FEW_CHANGES * (work.pools.len() * k) as f64 {
                break;
            }
        }
        Ok(())
    }

    /// The `k` nearest vertices that are found, best first. A search begins at random vertices.
    pub fn search<C: DistanceComputer>(&self, keys: &Keys<C>, k: usize) -> Result<Vec<(f32, i64)>> {
        let n = self.vertices()?;
        let links = FixedLinks { graph: &self.final_graph, k: self.K as usize, n };
        let most = k.max(usize::try_from(self.search_L).unwrap_or(0)).min(n);
        let mut random = RandomGenerator::new(i64::from(self.random_seed));
        let mut scratch = self.scratch.take().unwrap_or_default();
        scratch.visited.start(n);
        let mut starts: Vec<u32> = (0..most).map(|_| random.rand_int_max(n as i32) as u32).collect();
        starts.sort_unstable();
        starts.dedup();
        let mut nodes = Vec::with_capacity(starts.len());
        keys.for_each(&starts, |vertex, key| nodes.push(Node { key, vertex }));
        let limits = Limits { ef: most as i64, relative: true, capacity: most, counted: false };
        nearest(&links, keys, &nodes, limits, &mut scratch, &mut Stats::default(), |_, _| {})?;
        let found = scratch.pool.nodes().take(k).filter(|node| node.key < f32::MAX);
        let found = found.map(|node| (node.key, i64::from(node.vertex))).collect();
        self.scratch.put(scratch);
        Ok(found)
    }
}

/// A graph that is being built. A copy of one is none: it belongs to the work that is under way.
#[derive(Default)]
struct Work {
    pools: Vec<Mutex<Pool>>,
    rounds: Vec<Round>,
    /// How many rounds there were.
    round: usize,
    /// Neighbours that are kept for a vertex.
    most: usize,
}

impl Clone for Work {
    fn clone(&self) -> Self {
        Work::default()
    }
}

impl Work {
    /// Who takes part in a round: of each vertex up to `s` new neighbours, the nearest, and as many older ones, and up to `r` of the
    /// vertices whose neighbour it is, of either kind.
    fn choose(&mut self, seed: i32, s: usize, r: usize) {
        self.round += 1;
        let pools = &self.pools;
        let mut rounds: Vec<Round> = (0..pools.len()).map(|_| Round::default()).collect();
        for (pool, own) in pools.iter().zip(&mut rounds) {
            for neighbour in &mut pool.lock().0 {
                if neighbour.new && own.new.len() < s {
                    neighbour.new = false;
                    own.new.push(neighbour.id);
                } else if !neighbour.new && own.old.len() < s {
                    own.old.push(neighbour.id);
                }
                if own.new.len() >= s && own.old.len() >= s {
                    break;
                }
            }
        }
        let mut back: Vec<Round> = (0..pools.len()).map(|_| Round::default()).collect();
        for (i, own) in rounds.iter().enumerate() {
            own.new.iter().for_each(|id| back[*id as usize].new.push(i as u32));
            own.old.iter().for_each(|id| back[*id as usize].old.push(i as u32));
        }
        for (i, (own, mut back)) in rounds.iter_mut().zip(back).enumerate() {
            let mut random = generator(seed, self.round, i);
            sample(&mut back.new, r, &mut random);
            sample(&mut back.old, r, &mut random);
            own.new.append(&mut back.new);
            own.old.append(&mut back.old);
            own.new.sort_unstable();
            own.new.dedup();
            own.old.sort_unstable();
            own.old.dedup();
        }
        self.rounds = rounds;
    }

    /// Compares who takes part. Returns how many neighbours came into pools.
    fn join<C: DistanceComputer>(
        &self,
        computers: &Shelf<Keys<C>>,
        make: &(impl Fn() -> Result<Keys<C>> + Sync),
    ) -> Result<usize> {
        let changes = Mutex::new(0usize);
        threads::parallel_for(self.rounds.len(), |i| {
            let own = computers.take().map_or_else(make, Ok)?;
            let changed = join(&self.rounds[i], &own, &self.pools, self.most);
            computers.put(own);
            *changes.lock() += changed;
            Ok(())
        })?;
        Ok(changes.into_inner())
    }
}

/// Compares who takes part for one vertex. Returns how many neighbours came into pools.
fn join<C: DistanceComputer>(round: &Round, keys: &Keys<C>, pools: &[Mutex<Pool>], most: usize) -> usize {
    let (mut changed, mut others) = (0, Vec::new());
    for (at, a) in round.new.iter().enumerate() {
        others.clear();
        others.extend_from_slice(&round.new[at + 1..]);
        others.extend(round.old.iter().filter(|b| *b != a));
        keys.for_each_between(*a, &others, |b, key| {
            changed += usize::from(pools[*a as usize].lock().insert(key, b, most));
            changed += usize::from(pools[b as usize].lock().insert(key, *a, most));
        });
    }
    changed
}

/// A graph whose vertices all have the same number of links.
struct FixedLinks<'a> {
    graph: &'a [i32],
    k: usize,
    n: usize,
}

impl Links for FixedLinks<'_> {
    fn len(&self) -> usize {
        self.n
    }
    fn slots(&self, vertex: u32) -> Result<&[i32]> {
        let at = vertex as usize * self.k;
        self.graph.get(at..at + self.k).ok_or_else(|| Error::failed("v < ntotal", format!("no vertex {vertex}")))
    }
}

crate::stored!(NNDescent, |graph| {
    graph.ntotal;
    graph.d;
    graph.K;
    graph.S;
    graph.R;
    graph.L;
    graph.iter;
    graph.search_L;
    graph.random_seed;
    graph.has_built;
    graph.final_graph;
    read {
        if graph.has_built {
            let n = graph.vertices()?;
            let inside = graph.final_graph.iter().all(|id| usize::try_from(*id).is_ok_and(|id| id < n));
            Error::check(inside, "final_graph[i] < ntotal")?;
        }
    }
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MetricType;
    use crate::distance::computer::FlatDistanceComputer;

    #[test]
    fn neighbours_are_the_nearest_whatever_the_threads() {
        let (n, d, k) = (600, 12, 8);
        let mut x = vec![0f32; n * d];
        crate::random::float_randn(&mut x, 3).unwrap();
        // Of whole numbers, whose sums are exact at every SIMD level: another test changes the level meanwhile.
        x.iter_mut().for_each(|v| *v = (*v * 64.0).round());
        let make = || Ok(Keys::new(FlatDistanceComputer::new(&x, d, MetricType::L2, 0.0), MetricType::L2));
        let mut graph = NNDescent::new(d as i32, k as i32);
        graph.build(n, make).unwrap();
        let keys = make().unwrap();
        let mut right = 0;
        for i in 0..n {
            let mut all: Vec<(f32, u32)> =
                (0..n as u32).filter(|j| *j as usize != i).map(|j| (keys.between(i as u32, j), j)).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            let row = &graph.final_graph[i * k..(i + 1) * k];
            assert!(row.iter().all(|id| *id != i as i32));
            right += all[..k].iter().filter(|(_, j)| row.contains(&(*j as i32))).count();
        }
        assert!(right as f64 > 0.98 * (n * k) as f64, "{right}");
        let before = graph.final_graph.clone();
        let mut again = NNDescent::new(d as i32, k as i32);
        threads::omp_set_num_threads(1);
        again.build(n, make).unwrap();
        threads::omp_set_num_threads(2);
        assert_eq!(again.final_graph, before);
        assert!(NNDescent::new(3, 8).build(100, make).is_err() && NNDescent::new(3, 0).build(n, make).is_err());
    }
}
