//! Adds vertices to the graph. The links do not depend on the number of threads, and are those of Faiss.
//!
//! Vertices of the highest level come first, those of one level in a random order, and in batches: all of a batch look for their links in the
//! graph as it was before the batch (`forward`); then those they chose are linked back (`merge`), each vertex by itself. Batches grow
//! from one vertex, as long as no more are added at a time than there are, up to a fiftieth of the graph.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::super::queue::{Farthest, Nearest, Node};
use super::super::search::{Stats, descend, diverse, nearest_by_heaps};
use super::super::visited::{Scratch, Shelf};
use super::super::{Keys, Links};
use super::{HNSW, unfit};
use crate::base::{Error, Result, memory, progress, threads};
use crate::distance::DistanceComputer;
use crate::random::RandomGenerator;

/// Vertices of one level are shuffled by a generator with this seed.
const ORDER_SEED: i64 = 789;
/// A batch is at most this part of the graph.
const BATCHES: usize = 50;
/// Groups of links back that a thread takes at a time.
const GROUPS: usize = 16;

/// How vertices are added.
#[derive(Clone, Copy)]
pub struct AddOptions {
    /// Fill lists of the lowest level with the nearest vertices where links in different directions leave room.
    pub keep_max_size_level0: bool,
    /// Add the vertices that have no other level than the lowest.
    pub init_level0: bool,
}

/// What there was before vertices were added.
struct Before {
    vertices: usize,
    slots: usize,
    entry_point: i32,
    max_level: i32,
    rng: RandomGenerator,
    /// Lists of links that have changed since, by where they begin.
    changed: FxHashMap<usize, Vec<i32>>,
}

/// Vertices that chose a vertex, and are linked back at this level.
struct Group<'a> {
    vertex: u32,
    level: usize,
    begin: usize,
    slots: &'a mut [i32],
    edges: &'a [Edge],
    /// The slots before, where they are to be restored if the work fails.
    before: Option<Vec<i32>>,
}

/// A link back: from the vertex, at the level, to the vertex that chose it.
type Edge = (u32, usize, u32);

/// The links that a vertex chose, by level.
type Chosen = Vec<(usize, Vec<u32>)>;

impl HNSW {
    /// Makes room for `n` more vertices and draws their levels, unless `levels` has them already. Returns the highest level of the new ones.
    pub fn prepare_level_tab(&mut self, n: usize, preset_levels: bool) -> Result<i32> {
        let before = self.offsets.len().checked_sub(1).ok_or_else(unfit)?;
        if preset_levels {
            Error::check(self.levels.len() == before + n, "n0 + n == levels.size()")?;
        } else {
            Error::check(self.levels.len() == before, "n0 == levels.size()")?;
        }
        let total = before.checked_add(n).filter(|total| *total <= i32::MAX as usize);
        total.ok_or_else(|| Error::failed("n0 + n <= INT_MAX", "a graph has no more than 2^31 - 1 vertices"))?;
        Error::check(n == 0 || !self.assign_probas.is_empty(), "assign_probas.size() > 0")?;
        for _ in 0..if preset_levels { 0 } else { n } {
            let level = self.random_level();
            self.levels.push(level + 1);
        }
        let (mut end, mut highest) = (self.neighbors.len(), 0);
        Error::check(self.offsets.last() == Some(&end), "offsets.back() == neighbors.size()")?;
        for vertex in before..before + n {
            let levels = self.levels[vertex];
            Error::check(levels >= 1, "levels[i] >= 1")?;
            let slots = self.cum_nb_neighbors(levels as usize)?;
            end = end.checked_add(slots).ok_or_else(unfit)?;
            self.offsets.push(end);
            highest = highest.max(levels - 1);
        }
        let more = end - self.neighbors.len();
        self.neighbors.try_reserve(more).map_err(|_| Error::Memory(format!("no memory for {more} more links")))?;
        memory::prefer_large_pages(&mut self.neighbors);
        self.neighbors.resize(end, -1);
        Ok(highest)
    }

    /// Adds the `n` vertices that come after those there are. `make` makes what compares vectors, for a thread; `set_query` makes the new vector
    /// of that number its query. After an error the graph is as before.
    pub fn add_vertices<C: DistanceComputer>(
        &mut self,
        n: usize,
        options: AddOptions,
        make: impl Fn() -> Result<Keys<C>> + Sync,
        set_query: impl Fn(&mut Keys<C>, usize) -> Result<()> + Sync,
    ) -> Result<()> {
        let vertices = self.offsets.len().saturating_sub(1);
        let preset = n > 0 && self.levels.len() == vertices + n;
        if !preset {
            self.vertices()?;
        }
        let mut before = Before {
            vertices,
            slots: self.neighbors.len(),
            entry_point: self.entry_point,
            max_level: self.max_level,
            rng: self.rng.clone(),
            changed: FxHashMap::default(),
        };
        let done = self.prepare_level_tab(n, preset).and_then(|highest| {
            let query = |keys: &mut Keys<C>, vertex: u32| set_query(keys, vertex as usize - vertices);
            self.insert(&mut before, highest as usize, options, &query, &make)
        });
        if done.is_err() {
            self.restore(before);
        }
        done
    }

    fn restore(&mut self, before: Before) {
        self.levels.truncate(before.vertices);
        self.offsets.truncate(before.vertices + 1);
        self.neighbors.truncate(before.slots);
        (self.entry_point, self.max_level, self.rng) = (before.entry_point, before.max_level, before.rng);
        for (begin, slots) in before.changed {
            if let Some(changed) = self.neighbors.get_mut(begin..begin + slots.len()) {
                changed.copy_from_slice(&slots);
            }
        }
    }

    fn insert<C: DistanceComputer>(
        &mut self,
        before: &mut Before,
        highest: usize,
        options: AddOptions,
        query: &(impl Fn(&mut Keys<C>, u32) -> Result<()> + Sync),
        make: &(impl Fn() -> Result<Keys<C>> + Sync),
    ) -> Result<()> {
        let total = self.vertices()?;
        let mut by_level = vec![Vec::new(); highest + 1];
        for vertex in before.vertices..total {
            by_level[self.levels[vertex] as usize - 1].push(vertex as u32);
        }
        let largest = (total / BATCHES).max(1);
        let computers = Shelf::default();
        let mut rng = RandomGenerator::new(ORDER_SEED);
        let mut done = 0;
        for level in (usize::from(!options.init_level0)..=highest).rev() {
            let vertices = &mut by_level[level];
            for i in 0..vertices.len() {
                let other = i + rng.rand_int_max((vertices.len() - i) as i32) as usize;
                vertices.swap(i, other);
            }
            let mut at = 0;
            while at < vertices.len() {
                progress::report("links", done + at, total - before.vertices);
                if self.entry_point < 0 {
                    (self.entry_point, self.max_level) = (vertices[at] as i32, level as i32);
                    at += 1;
                    continue;
                }
                let batch = &vertices[at..(at + largest.min(at.max(1))).min(vertices.len())];
                self.insert_batch(before, batch, level, options, query, make, &computers)?;
                if level as i32 > self.max_level {
                    (self.entry_point, self.max_level) = (batch[0] as i32, level as i32);
                }
                at += batch.len();
            }
            done += vertices.len();
        }
        progress::report("links", total - before.vertices, total - before.vertices);
        Ok(())
    }

    fn insert_batch<C: DistanceComputer>(
        &mut self,
        before: &mut Before,
        batch: &[u32],
        level: usize,
        options: AddOptions,
        query: &(impl Fn(&mut Keys<C>, u32) -> Result<()> + Sync),
        make: &(impl Fn() -> Result<Keys<C>> + Sync),
        computers: &Shelf<Keys<C>>,
    ) -> Result<()> {
        let borrow = || computers.take().map_or_else(make, Ok);
        let chosen: Vec<Mutex<Chosen>> = batch.iter().map(|_| Mutex::default()).collect();
        threads::parallel_for(batch.len(), |i| {
            let (mut keys, mut scratch) = (borrow()?, self.scratch());
            query(&mut keys, batch[i])?;
            *chosen[i].lock() = self.forward(&keys, level, options.keep_max_size_level0, &mut scratch)?;
            computers.put(keys);
            self.keep(scratch);
            Ok(())
        })?;
        let mut edges: Vec<Edge> = Vec::new();
        for (vertex, chosen) in batch.iter().zip(chosen) {
            for (level, links) in chosen.into_inner() {
                let range = self.neighbor_range(*vertex as usize, level)?;
                for (slot, link) in self.neighbors[range].iter_mut().zip(&links) {
                    *slot = *link as i32;
                    edges.push((*link, level, *vertex));
                }
            }
        }
        edges.sort_unstable();
        self.link_back(before, &edges, options, &borrow, computers)
    }

    /// Adds links back, sorted, to the lists of their vertices.
    fn link_back<C: DistanceComputer>(
        &mut self,
        before: &mut Before,
        edges: &[Edge],
        options: AddOptions,
        borrow: &(impl Fn() -> Result<Keys<C>> + Sync),
        computers: &Shelf<Keys<C>>,
    ) -> Result<()> {
        let of_one = |a: &Edge, b: &Edge| (a.0, a.1) == (b.0, b.1);
        let ranges = edges.chunk_by(of_one).map(|group| self.neighbor_range(group[0].0 as usize, group[0].1));
        let ranges: Vec<_> = ranges.collect::<Result<_>>()?;
        let (mut rest, mut at) = (self.neighbors.as_mut_slice(), 0);
        let mut groups = Vec::with_capacity(ranges.len());
        for (edges, range) in edges.chunk_by(of_one).zip(ranges) {
            let skip = range.start.checked_sub(at).ok_or_else(unfit)?;
            let (_, tail) = rest.split_at_mut_checked(skip).ok_or_else(unfit)?;
            let (slots, tail) = tail.split_at_mut_checked(range.len()).ok_or_else(unfit)?;
            (rest, at) = (tail, range.end);
            let (vertex, level, _) = edges[0];
            groups.push(Group { vertex, level, begin: range.start, slots, edges, before: None });
        }
        let pieces: Vec<Mutex<&mut [Group<'_>]>> = groups.chunks_mut(GROUPS).map(Mutex::new).collect();
        let headroom = self.prune_headroom;
        let linked = threads::parallel_for(pieces.len(), |i| {
            let keys = borrow()?;
            for group in pieces[i].lock().iter_mut() {
                if (group.vertex as usize) < before.vertices && !before.changed.contains_key(&group.begin) {
                    group.before = Some(group.slots.to_vec());
                }
                group.merge(&keys, headroom, options.keep_max_size_level0 && group.level == 0);
            }
            computers.put(keys);
            Ok(())
        });
        drop(pieces);
        before.changed.extend(groups.into_iter().filter_map(|group| Some((group.begin, group.before?))));
        linked
    }

    /// The links of the vertex whose vector is the query of `keys` and whose highest level is `top`, the farthest first.
    fn forward<C: DistanceComputer>(
        &self,
        keys: &Keys<C>,
        top: usize,
        keep_max_size_level0: bool,
        scratch: &mut Scratch,
    ) -> Result<Chosen> {
        let entry = self.entry_point as u32;
        let mut node = Node { key: keys.key(entry), vertex: entry };
        let highest = self.max_level.max(0) as usize;
        for level in (top + 1..=highest).rev() {
            descend(&self.level(level)?, keys, &mut node, &mut scratch.fresh, &mut Stats::default())?;
        }
        let mut chosen = Vec::with_capacity(top.min(highest) + 1);
        for level in (0..=top.min(highest)).rev() {
            let fill = keep_max_size_level0 && level == 0;
            chosen.push((level, self.choose(keys, node, level, fill, scratch)?));
        }
        Ok(chosen)
    }

    /// Links a vertex, the query of `keys`, at the lowest level both ways with what a search from `nearest` finds.
    pub fn link_from<C: DistanceComputer>(
        &mut self,
        keys: &Keys<C>,
        vertex: u32,
        nearest: u32,
        fill: bool,
    ) -> Result<()> {
        let mut scratch = self.scratch();
        let start = Node { key: keys.key(nearest), vertex: nearest };
        let mut chosen = self.choose(keys, start, 0, fill, &mut scratch)?;
        self.keep(scratch);
        chosen.retain(|link| *link != vertex);
        for (from, to) in chosen.iter().flat_map(|link| [(vertex, *link), (*link, vertex)]) {
            if !self.neighbors[self.neighbor_range(from as usize, 0)?].contains(&(to as i32)) {
                self.link(keys, from, 0, &[to], fill)?;
            }
        }
        Ok(())
    }

    /// Adds links from a vertex to others at a level; where there are too many, keeps those that lead in different directions.
    pub(super) fn link<C: DistanceComputer>(
        &mut self,
        keys: &Keys<C>,
        vertex: u32,
        level: usize,
        others: &[u32],
        fill: bool,
    ) -> Result<()> {
        let (range, headroom) = (self.neighbor_range(vertex as usize, level)?, self.prune_headroom);
        let edges: Vec<Edge> = others.iter().map(|other| (vertex, level, *other)).collect();
        let (begin, slots) = (range.start, &mut self.neighbors[range]);
        let n = self.levels.len();
        let known = slots.iter().take_while(|slot| **slot >= 0).all(|slot| (*slot as usize) < n);
        Error::check(known, "v1 < ntotal")?;
        Group { vertex, level, begin, slots, edges: &edges, before: None }.merge(keys, headroom, fill);
        Ok(())
    }

    /// The links of the query's vertex at one level, found from `start`, the farthest first.
    pub(super) fn choose<C: DistanceComputer>(
        &self,
        keys: &Keys<C>,
        start: Node,
        level: usize,
        fill: bool,
        scratch: &mut Scratch,
    ) -> Result<Vec<u32>> {
        let (links, room) = (self.level(level)?, self.nb_neighbors(level)?);
        scratch.visited.start(links.len());
        let ef = self.efConstruction.max(1) as usize;
        let mut found = nearest_by_heaps(&links, keys, start, ef, &mut scratch.visited, &mut scratch.fresh)?;
        if found.len() >= room {
            // From heap to heap, one by one: where keys are equal, the order is then Faiss's.
            let mut near = Nearest::with_capacity(found.len());
            while let Some(node) = found.pop() {
                near.push(std::cmp::Reverse(node));
            }
            let candidates: Vec<Node> = std::iter::from_fn(|| near.pop().map(|node| node.0)).collect();
            for node in diverse(keys, &candidates, room, if fill { room } else { 0 }) {
                found.push(node);
            }
        }
        Ok(drain(found).take(room).collect())
    }
}

/// The vertices of a heap, from its top.
fn drain(mut heap: Farthest) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || heap.pop().map(|node| node.vertex))
}

impl Group<'_> {
    /// Adds the new links; where there are too many, keeps those that lead in different directions.
    fn merge<C: DistanceComputer>(&mut self, keys: &Keys<C>, headroom: f32, fill: bool) {
        let used = self.slots.iter().position(|slot| *slot < 0).unwrap_or(self.slots.len());
        let new = self.edges.iter().map(|edge| edge.2);
        if used + self.edges.len() <= self.slots.len() {
            new.zip(&mut self.slots[used..]).for_each(|(vertex, slot)| *slot = vertex as i32);
            return;
        }
        let vertices: Vec<u32> = self.slots[..used].iter().map(|slot| *slot as u32).chain(new).collect();
        let mut candidates = Vec::with_capacity(vertices.len());
        // A zero has one sign here, so that equal keys are ordered by vertex.
        keys.for_each_between(self.vertex, &vertices, |vertex, key| candidates.push(Node { key: key + 0.0, vertex }));
        candidates.sort_unstable_by(|a, b| a.key.total_cmp(&b.key).then(a.vertex.cmp(&b.vertex)));
        let room = self.slots.len();
        let wanted = ((room as f32 * (1.0 - headroom)) as usize).clamp(room / 2, room).max(1);
        let kept = diverse(keys, &candidates, wanted, if fill { room } else { 0 });
        self.slots.fill(-1);
        self.slots.iter_mut().zip(kept).for_each(|(slot, node)| *slot = node.vertex as i32);
    }
}
