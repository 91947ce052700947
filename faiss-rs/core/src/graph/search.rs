//! Searches along the links of one level, after Malkov and Yashunin, arXiv 1603.09320, algorithm 2.
//!
//! Two of them: `nearest` keeps its candidates in a [`Pool`]; `nearest_by_heaps` takes the same steps with two heaps, and where keys are equal
//! it takes them in Faiss's order, on which the links of a graph depend.

use std::cmp::Reverse;

use super::Keys;
use super::queue::{Farthest, Nearest, Node, Pool};
use super::visited::{Scratch, VisitedTable};
use crate::base::{Error, Result, interrupt};
use crate::distance::DistanceComputer;
use crate::distance::collect::Collector;
use crate::distance::computer::StagedComputer;

/// Who is linked with whom, at one level of a graph.
pub trait Links: Sync {
    /// The number of vertices.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The slots of a vertex: the vertices it is linked with, up to a negative number or the end. An error where there is no such vertex.
    fn slots(&self, vertex: u32) -> Result<&[i32]>;
    /// Hints that they are wanted soon.
    fn prefetch(&self, _vertex: u32) {}
}

/// What searches did.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stats {
    /// Searches.
    pub n1: usize,
    /// Those whose candidates all were looked at.
    pub n2: usize,
    /// Distances computed.
    pub ndis: usize,
    /// Vertices whose links were looked at.
    pub nhops: usize,
    /// Distances estimated, in searches of two steps, and those of them that were computed.
    pub estimated: usize,
    /// Estimated distances that were then computed.
    pub refined: usize,
}

impl Stats {
    /// Adds what another search did.
    pub fn add(&mut self, other: &Stats) {
        self.n1 += other.n1;
        self.n2 += other.n2;
        self.ndis += other.ndis;
        self.nhops += other.nhops;
        self.estimated += other.estimated;
        self.refined += other.refined;
    }
}

/// When a search ends.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Number of candidates that are looked at: a search ends at one to which so many seen are nearer, or, without `relative`, after so many
    /// and one more.
    pub ef: i64,
    /// Candidates are compared with what was seen.
    pub relative: bool,
    /// Candidates kept, at least 1.
    pub capacity: usize,
    /// Whether searches whose candidates all were looked at are counted.
    pub counted: bool,
}

/// Steps between two looks at whether the caller wants to stop.
const CHECKED: usize = 256;

/// An error for links that lead to no vertex, as public fields allow.
fn nowhere(vertex: i32, n: usize) -> Error {
    Error::failed("v1 < ntotal", format!("a link leads to vertex {vertex} of {n}"))
}

/// Collects in `fresh` the linked vertices that were not seen yet, and marks them.
#[inline]
fn unseen(slots: &[i32], n: usize, visited: &mut VisitedTable, fresh: &mut Vec<u32>) -> Result<()> {
    fresh.clear();
    fresh.resize(slots.len(), 0);
    let mut count = 0;
    for slot in slots {
        if *slot < 0 {
            break;
        }
        if *slot as usize >= n {
            return Err(nowhere(*slot, n));
        }
        // Written whether it counts or not: about half are seen, which no processor can foresee.
        fresh[count] = *slot as u32;
        count += usize::from(visited.set(*slot as u32));
    }
    fresh.truncate(count);
    Ok(())
}

/// Walks from `node` to nearer and nearer vertices, until no link leads to a nearer one.
pub fn descend<C: DistanceComputer>(
    links: &impl Links,
    keys: &Keys<C>,
    node: &mut Node,
    fresh: &mut Vec<u32>,
    stats: &mut Stats,
) -> Result<()> {
    loop {
        let start = node.vertex;
        fresh.clear();
        for slot in links.slots(start)?.iter().take_while(|slot| **slot >= 0) {
            if *slot as usize >= links.len() {
                return Err(nowhere(*slot, links.len()));
            }
            fresh.push(*slot as u32);
        }
        keys.for_each(fresh, |vertex, key| {
            if key < node.key {
                *node = Node { key, vertex };
            }
        });
        stats.ndis += fresh.len();
        stats.nhops += 1;
        if node.vertex == start {
            return Ok(());
        }
    }
}

/// Fills `scratch.pool` with the nearest vertices that are found from `starts`; `seen` is told of every vertex and its key. The visited table
/// says which vertices were seen before; those of `starts` are marked here.
pub fn nearest<C: DistanceComputer>(
    links: &impl Links,
    keys: &Keys<C>,
    starts: &[Node],
    limits: Limits,
    scratch: &mut Scratch,
    stats: &mut Stats,
    mut seen: impl FnMut(u32, f32),
) -> Result<()> {
    starts.iter().for_each(|node| seen(node.vertex, node.key));
    walk(links, starts, limits, scratch, stats, |fresh, pool, _| {
        keys.for_each(fresh, |vertex, key| {
            pool.push(vertex, key);
            seen(vertex, key);
        });
    })
}

/// As [`nearest`], by two looks at each vertex. The second is taken, and the vertex offered to `found` if it is `wanted`, where the first says that it
/// may be better than what is there; of the others the estimate stands among the candidates.
pub fn nearest_staged<C: StagedComputer>(
    links: &impl Links,
    keys: &Keys<C>,
    starts: &[Node],
    limits: Limits,
    scratch: &mut Scratch,
    stats: &mut Stats,
    found: &mut impl Collector,
    wanted: impl Fn(i64) -> bool,
) -> Result<()> {
    starts.iter().for_each(|node| offer(found, node.vertex, node.key, &wanted));
    walk(links, starts, limits, scratch, stats, |fresh, pool, stats| {
        for vertex in fresh {
            let (mut key, bound) = keys.estimate(*vertex);
            if bound < found.threshold() {
                key = keys.key(*vertex);
                offer(found, *vertex, key, &wanted);
                stats.refined += 1;
                stats.ndis += 1;
            }
            pool.push(*vertex, key);
        }
        stats.estimated += fresh.len();
    })
}

/// Gives a vertex to a collector, if it is wanted and good enough.
fn offer(found: &mut impl Collector, vertex: u32, key: f32, wanted: impl Fn(i64) -> bool) {
    if key < found.threshold() && wanted(i64::from(vertex)) {
        found.push(key, i64::from(vertex));
    }
}

/// Fills `scratch.pool` from `starts` on; `compare` pushes the vertices that it is given.
#[inline(always)]
fn walk(
    links: &impl Links,
    starts: &[Node],
    limits: Limits,
    scratch: &mut Scratch,
    stats: &mut Stats,
    mut compare: impl FnMut(&[u32], &mut Pool, &mut Stats),
) -> Result<()> {
    let n = links.len();
    let Scratch { visited, pool, fresh } = scratch;
    pool.start(limits.capacity);
    for node in starts {
        visited.set(node.vertex);
        pool.push(node.vertex, node.key);
    }
    let mut steps = 0;
    let mut exhausted = true;
    while let Some(node) = pool.take() {
        // Only a pool of more than `ef` can hold so many.
        if limits.relative && limits.ef < limits.capacity as i64 && pool.count_below(node.key) as i64 >= limits.ef {
            exhausted = pool.peek().is_none();
            break;
        }
        steps += 1;
        unseen(links.slots(node.vertex)?, n, visited, fresh)?;
        if let Some(next) = pool.peek() {
            links.prefetch(next);
        }
        compare(fresh, pool, stats);
        stats.ndis += fresh.len();
        if !limits.relative && steps as i64 > limits.ef {
            exhausted = pool.peek().is_none();
            break;
        }
        if steps % CHECKED == 0 {
            interrupt::check()?;
        }
    }
    stats.n1 += 1;
    stats.n2 += usize::from(exhausted && limits.counted);
    stats.nhops += steps;
    Ok(())
}

/// The `ef` nearest vertices that are found from `start`, as a heap. The visited table is empty.
pub fn nearest_by_heaps<C: DistanceComputer>(
    links: &impl Links,
    keys: &Keys<C>,
    start: Node,
    ef: usize,
    visited: &mut VisitedTable,
    fresh: &mut Vec<u32>,
) -> Result<Farthest> {
    let n = links.len();
    let (mut found, mut candidates) = (Farthest::with_capacity(ef.min(n) + 1), Nearest::new());
    visited.set(start.vertex);
    found.push(start);
    candidates.push(Reverse(start));
    while let Some(Reverse(node)) = candidates.pop() {
        if found.peek().is_some_and(|worst| node.key > worst.key) {
            break;
        }
        unseen(links.slots(node.vertex)?, n, visited, fresh)?;
        if let Some(Reverse(next)) = candidates.peek() {
            links.prefetch(next.vertex);
        }
        keys.for_each(fresh, |vertex, key| {
            if found.len() < ef || found.peek().is_some_and(|worst| worst.key > key) {
                let node = Node { key, vertex };
                found.push(node);
                candidates.push(Reverse(node));
                if found.len() > ef {
                    found.pop();
                }
            }
        });
    }
    Ok(found)
}

/// Keeps, of candidates from the nearest on, those to which no kept one is nearer than the query: links that lead in different directions (Malkov
/// and Yashunin, algorithm 4). At most `wanted` of them; then the nearest of those passed over, as many as there is room for up to `filled`.
pub fn diverse<C: DistanceComputer>(keys: &Keys<C>, candidates: &[Node], wanted: usize, filled: usize) -> Vec<Node> {
    let mut kept: Vec<Node> = Vec::with_capacity(wanted.min(candidates.len()));
    let mut passed = Vec::new();
    for node in candidates {
        // A key that is no number is not smaller.
        let nearer = |key: f32| key < node.key;
        let (fours, rest) = kept.as_chunks::<4>();
        let passed_over = fours
            .iter()
            .any(|four: &[Node; 4]| keys.between_4(node.vertex, four.map(|kept| kept.vertex)).into_iter().any(nearer));
        if !passed_over && !rest.iter().any(|kept| nearer(keys.between(kept.vertex, node.vertex))) {
            kept.push(*node);
            if kept.len() >= wanted {
                break;
            }
        } else if filled > 0 {
            passed.push(*node);
        }
    }
    kept.extend(passed.into_iter().take(filled.saturating_sub(kept.len())));
    kept
}
