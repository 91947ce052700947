//! The navigating spreading-out graph: each vector is linked to near ones in different directions, and all can be reached from one (Fu et al., "Fast
//! approximate nearest neighbor search with the navigating spreading-out graph", 2019).

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::visited::{Shelf, VisitedTable};
use super::{Given, Keys};
use crate::base::declare::Rows;
use crate::base::{Error, Result, interrupt, threads};
use crate::distance::DistanceComputer;
use crate::index::Index;
use crate::random::RandomGenerator;
use crate::registry::Row;
use crate::stream::fields::Stored;
use crate::stream::{Reader, Writer};

/// Gives the first vertices of a search that has no better ones.
const SEED: i64 = 0x1998;

/// A graph whose vertices have at most `R` links each, which are found from each vertex's nearest neighbours.
#[derive(Object, Clone)]
#[object(methods, copy)]
pub struct NSG {
    /// Number of vertices.
    #[object(readonly)]
    pub ntotal: i32,
    /// Links of a vertex, at most.
    pub R: i32,
    /// Candidates that a search keeps while the graph is built.
    pub L: i32,
    /// Candidates that are looked at when links are chosen.
    pub C: i32,
    /// Candidates that a search keeps; never fewer than its results.
    pub search_L: i32,
    /// Where searches begin.
    pub enterpoint: i32,
    /// Whether there is a graph.
    #[object(readonly)]
    pub is_built: bool,
    links: Vec<Vec<u32>>,
    tables: Shelf<VisitedTable>,
}

pub(crate) const ROW: Row = Row::of::<NSG>();

impl Default for NSG {
    fn default() -> Self {
        NSG::new(32)
    }
}

#[methods]
impl NSG {
    /// With `R` links a vertex.
    #[new]
    pub fn new(#[default = 32] R: i32) -> Self {
        let (L, C) = (R.saturating_add(32), R.saturating_add(100));
        let (links, tables) = (Vec::new(), Shelf::default());
        NSG { ntotal: 0, R, L, C, search_L: 16, enterpoint: 0, is_built: false, links, tables }
    }

    /// The links of each vertex: `ntotal * R` numbers, -1 where it has fewer.
    #[name = "get_final_graph"]
    pub fn table(&self) -> Result<Rows<i32>> {
        let (n, width) = (self.vertices()?, usize::try_from(self.R).unwrap_or(0));
        let mut table = Vec::with_capacity(n * width);
        for list in &self.links {
            let own = list.iter().map(|id| *id as i32).chain(std::iter::repeat(-1));
            table.extend(own.take(width));
        }
        Ok(Rows(table, width))
    }

    /// Forgets the graph.
    pub fn reset(&mut self) {
        (self.links, self.ntotal, self.is_built) = (Vec::new(), 0, false);
    }

    /// Builds the graph over the vectors of a storage from nearest neighbours of each (n, K).
    #[name = "build"]
    fn build_given(&mut self, storage: &dyn Index, knn_graph: &[i64], n: usize) -> Result<()> {
        self.build_over(storage, known_neighbours(knn_graph, n)?)
    }

    /// Finds where searches begin: near the mean of all vectors, along the links to nearest neighbours of each (n, K).
    fn init_graph(&mut self, storage: &dyn Index, knn_graph: &[i64], n: usize) -> Result<()> {
        let neighbours = known_neighbours(knn_graph, n)?;
        let (_, l, _) = self.sizes()?;
        let keys = of_storage(storage, n)?.query(&mean_of(storage)?)?;
        self.enterpoint = self.nearest_to(&neighbours, &keys, l) as i32;
        Ok(())
    }

    /// The k nearest vertices to a query that are found, best first, and their distances, which are negated where `negated` is set.
    #[name = "search"]
    fn search_over(&self, storage: &dyn Index, negated: bool, query: &[f32], k: usize) -> Result<(Vec<i64>, Vec<f32>)> {
        self.vertices()?;
        let keys = Given::new(storage, negated, self.ntotal)?.query(query)?;
        Ok(self.search(&keys, k).into_iter().map(|(key, id)| (id, key)).unzip())
    }

    /// Links what can't be reached from where searches begin. Returns how many vertices got such a link, and the links of each.
    fn tree_grow(&mut self, storage: &dyn Index) -> Result<(usize, Vec<i32>)> {
        let n = self.vertices()?;
        let (r, l, _) = self.sizes()?;
        let attached = self.connect(r, l, &of_storage(storage, n)?.keys()?)?;
        Ok((attached, self.degrees()))
    }

    /// Links the first vertex that is not `reached`, a number for each. Returns which vertex has the new link, -1 where all are reached, and the
    /// links of each.
    fn attach_unlinked(&mut self, storage: &dyn Index, reached: &[u8]) -> Result<(i32, Vec<i32>)> {
        let n = self.vertices()?;
        Error::check(reached.len() == n, "vt.size() == ntotal")?;
        let (r, l, _) = self.sizes()?;
        let reached: Vec<bool> = reached.iter().map(|flag| *flag != 0).collect();
        let Some(own) = reached.iter().position(|reached| !reached) else { return Ok((-1, self.degrees())) };
        let keys = of_storage(storage, n)?.keys()?;
        let from = self.attach(own as u32, &reached, r, l, &keys, &mut VisitedTable::default());
        Ok((from as i32, self.degrees()))
    }
}

/// The vectors of a storage as a graph compares them: of similarities, the negative.
fn of_storage(storage: &dyn Index, n: usize) -> Result<Given<'_>> {
    let n = i32::try_from(n).map_err(|_| Error::failed("ntotal fits into an int", ""))?;
    Given::new(storage, storage.base().metric_type.is_similarity(), n)
}

/// The mean of all vectors of a storage.
fn mean_of(storage: &dyn Index) -> Result<Vec<f32>> {
    let (n, d) = (storage.base().ntotal, storage.base().dim());
    let (mut sum, mut row) = (vec![0f64; d], vec![0f32; d]);
    for i in 0..n {
        storage.reconstruct(i, &mut row)?;
        sum.iter_mut().zip(&row).for_each(|(s, v)| *s += f64::from(*v));
    }
    Ok(sum.iter().map(|s| (s / n.max(1) as f64) as f32).collect())
}

/// The neighbours of each of `n` vertices, without those that are none; an error where those are too many.
pub fn known_neighbours(knn_graph: &[i64], n: usize) -> Result<Vec<Vec<u32>>> {
    let k = knn_graph.len().checked_div(n).unwrap_or(0);
    Error::check(k * n == knn_graph.len(), "knn_graph.size() == n * K")?;
    let mut neighbours = Vec::with_capacity(n);
    let mut invalid = 0;
    for (i, row) in knn_graph.chunks_exact(k.max(1)).enumerate() {
        let known = row.iter().filter_map(|id| u32::try_from(*id).ok());
        let known: Vec<u32> = known.filter(|id| (*id as usize) < n && *id as usize != i).collect();
        invalid += row.len() - known.len();
        neighbours.push(known);
    }
    neighbours.resize(n, Vec::new());
    if invalid > 0 {
        eprintln!("WARNING: the input knn graph has {invalid} invalid entries");
    }
    if n > 0 && invalid >= n / 10 {
        let message = "There are too many invalid entries in the knn graph. It may be an invalid knn graph.";
        return Err(Error::failed("!(total_count < n / 10)", message));
    }
    Ok(neighbours)
}

/// A candidate: how far it is, which it is, and whether its links were followed.
#[derive(Clone, Copy)]
struct Candidate {
    key: f32,
    id: u32,
    seen: bool,
}

/// The nearest candidates, in order.
struct Pool(Vec<Candidate>, usize);

impl Pool {
    /// Where the candidate came to; `usize::MAX` where it is too far, or there already.
    fn insert(&mut self, key: f32, id: u32) -> usize {
        let at = self.0.partition_point(|c| (c.key, c.id) < (key, id));
        if at >= self.1 || self.0.get(at).is_some_and(|c| c.id == id) {
            return usize::MAX;
        }
        if self.0.len() == self.1 {
            self.0.pop();
        }
        self.0.insert(at, Candidate { key, id, seen: false });
        at
    }
}

impl NSG {
    fn sizes(&self) -> Result<(usize, usize, usize)> {
        let size = |v: i32| usize::try_from(v).ok().filter(|v| *v > 0 && *v <= 1 << 20);
        match (size(self.R), size(self.L), size(self.C)) {
            (Some(r), Some(l), Some(c)) => Ok((r, l, c)),
            _ => Err(Error::failed("R > 0 && L > 0 && C > 0", "the graph's sizes are out of range")),
        }
    }

    /// The number of vertices, after a check that the graph is whole.
    pub fn vertices(&self) -> Result<usize> {
        let n = self.links.len();
        let whole = self.is_built && usize::try_from(self.ntotal) == Ok(n);
        let enters = n == 0 || usize::try_from(self.enterpoint).is_ok_and(|at| at < n);
        Error::check(whole && enters, "is_built")?;
        Ok(n)
    }

    /// From the enter point to the nearest vertices along `links`: the best `l`. `each` gets every vertex that is compared.
    fn walk<C: DistanceComputer>(
        &self,
        links: &[Vec<u32>],
        start: Option<u32>,
        keys: &Keys<C>,
        l: usize,
        table: &mut VisitedTable,
        mut each: impl FnMut(u32, f32),
    ) -> Vec<(f32, u32)> {
        let n = links.len();
        table.start(n);
        let mut pool = Pool(Vec::with_capacity(l + 1), l);
        let mut first: Vec<u32> = Vec::new();
        match start {
            Some(start) => {
                first.push(start);
                first.extend(links[start as usize].iter().take(l));
            }
            None => {
                let mut random = RandomGenerator::new(SEED);
                first.extend((0..l.min(n)).map(|_| random.rand_int_max(n as i32) as u32));
            }
        }
        first.retain(|id| table.set(*id));
        keys.for_each(&first, |id, key| {
            each(id, key);
            pool.insert(key, id);
        });
        let (mut at, mut fresh) = (0, Vec::new());
        while at < pool.0.len() {
            if pool.0[at].seen {
                at += 1;
                continue;
            }
            pool.0[at].seen = true;
            fresh.clear();
            fresh.extend(links[pool.0[at].id as usize].iter().copied().filter(|id| table.set(*id)));
            let mut nearest = usize::MAX;
            keys.for_each(&fresh, |id, key| {
                each(id, key);
                nearest = nearest.min(pool.insert(key, id));
            });
            at = if nearest <= at { nearest } else { at + 1 };
        }
        pool.0.iter().map(|c| (c.key, c.id)).collect()
    }

    /// Of candidates in order, those that are nearer to the vertex than to any that was chosen before.
    fn choose<C: DistanceComputer>(
        keys: &Keys<C>,
        own: u32,
        candidates: &[(f32, u32)],
        most: usize,
    ) -> Vec<(f32, u32)> {
        let mut chosen: Vec<(f32, u32)> = Vec::with_capacity(most);
        for (key, id) in candidates {
            if chosen.len() >= most {
                break;
            }
            let known = *id == own || chosen.iter().any(|(_, other)| other == id);
            if !known && chosen.iter().all(|(_, other)| keys.between(*id, *other) >= *key) {
                chosen.push((*key, *id));
            }
        }
        chosen
    }

    /// The vertex nearest to the query of `keys` that is found along the links to nearest neighbours.
    fn nearest_to<C: DistanceComputer>(&self, neighbours: &[Vec<u32>], keys: &Keys<C>, l: usize) -> u32 {
        let found = self.walk(neighbours, None, keys, l, &mut VisitedTable::default(), |_, _| {});
        found.first().map_or(0, |(_, id)| *id)
    }

    /// Builds the graph over the vectors of a storage from the nearest neighbours of each.
    pub fn build_over(&mut self, storage: &dyn Index, neighbours: Vec<Vec<u32>>) -> Result<()> {
        let given = of_storage(storage, neighbours.len())?;
        self.build(neighbours, &mean_of(storage)?, || given.keys())
    }

    fn degrees(&self) -> Vec<i32> {
        self.links.iter().map(|list| list.len() as i32).collect()
    }

    /// Builds the graph from the nearest neighbours of each vertex; `make` makes what compares them, and `centre` is their mean.
    pub fn build<C: DistanceComputer>(
        &mut self,
        neighbours: Vec<Vec<u32>>,
        centre: &[f32],
        make: impl Fn() -> Result<Keys<C>> + Sync,
    ) -> Result<()> {
        let (r, l, most) = self.sizes()?;
        let n = neighbours.len();
        Error::check(i32::try_from(n).is_ok(), "ntotal fits into an int")?;
        if self.is_built {
            return Err(Error::failed("!is_built", "The IndexNSG is already built."));
        }
        let inside = neighbours.iter().flatten().all(|id| (*id as usize) < n);
        Error::check(inside, "knn_graph has numbers of vectors only")?;
        let mut enter = 0;
        if n > 0 {
            let mut keys = make()?;
            keys.set_query(centre)?;
            enter = self.nearest_to(&neighbours, &keys, l);
        }
        // Links out of each vertex.
        let lists: Vec<Mutex<Vec<(f32, u32)>>> = (0..n).map(|_| Mutex::default()).collect();
        let tables = Shelf::<VisitedTable>::default();
        let state = Shelf::<Keys<C>>::default();
        threads::parallel_for(n, |i| {
            interrupt::check()?;
            let keys = match state.take() {
                Some(keys) => keys,
                None => make()?,
            };
            let mut table = tables.take().unwrap_or_default();
            let own = i as u32;
            let between = Between { keys: &keys, own };
            let mut met: Vec<(f32, u32)> = Vec::new();
            walk_between(&neighbours, enter, &between, l, &mut table, |id, key| met.push((key, id)));
            for id in &neighbours[i] {
                if !table.get(*id) {
                    met.push((keys.between(own, *id), *id));
                }
            }
            met.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            met.retain(|(_, id)| *id != own);
            met.truncate(most);
            *lists[i].lock() = Self::choose(&keys, own, &met, r);
            tables.put(table);
            state.put(keys);
            Ok(())
        })?;
        // Links back, chosen anew where there are too many: from the links as they were, so that results do not depend on threads.
        let mut back: Vec<Vec<(f32, u32)>> = vec![Vec::new(); n];
        for (i, list) in lists.iter().enumerate() {
            list.lock().iter().for_each(|(key, id)| back[*id as usize].push((*key, i as u32)));
        }
        threads::parallel_for(n, |i| {
            let mut list = lists[i].lock();
            let new: Vec<(f32, u32)> =
                back[i].iter().copied().filter(|(_, id)| !list.iter().any(|(_, own)| own == id)).collect();
            list.extend(new);
            if list.len() > r {
                let keys = match state.take() {
                    Some(keys) => keys,
                    None => make()?,
                };
                list.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                *list = Self::choose(&keys, i as u32, &list, r);
                state.put(keys);
            }
            Ok(())
        })?;
        self.links = lists.into_iter().map(|list| list.into_inner().into_iter().map(|(_, id)| id).collect()).collect();
        (self.ntotal, self.enterpoint, self.is_built) = (n as i32, enter as i32, true);
        self.connect(r, l, &make()?).map(drop)
    }

    /// Links what can't be reached from the enter point to near vertices that can. Returns how many vertices were.
    fn connect<C: DistanceComputer>(&mut self, r: usize, l: usize, keys: &Keys<C>) -> Result<usize> {
        let n = self.links.len();
        let (mut reached, mut table) = (vec![false; n], VisitedTable::default());
        let mut open = Vec::new();
        let (mut next, mut attached) = (0, 0);
        if n > 0 {
            reached[self.enterpoint as usize] = true;
            open.push(self.enterpoint as u32);
        }
        loop {
            while let Some(at) = open.pop() {
                for id in &self.links[at as usize] {
                    if !std::mem::replace(&mut reached[*id as usize], true) {
                        open.push(*id);
                    }
                }
            }
            while next < n && reached[next] {
                next += 1;
            }
            if next == n {
                return Ok(attached);
            }
            interrupt::check()?;
            self.attach(next as u32, &reached, r, l, keys, &mut table);
            reached[next] = true;
            open.push(next as u32);
            attached += 1;
        }
    }

    /// Links a vertex to a near one that is reached and has room. Returns that one.
    fn attach<C: DistanceComputer>(
        &mut self,
        own: u32,
        reached: &[bool],
        r: usize,
        l: usize,
        keys: &Keys<C>,
        table: &mut VisitedTable,
    ) -> u32 {
        let between = Between { keys, own };
        let mut met = Vec::new();
        walk_between(&self.links, self.enterpoint as u32, &between, l, table, |id, key| met.push((key, id)));
        met.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let room = |id: &u32| reached[*id as usize] && self.links[*id as usize].len() < r;
        let from = met.iter().map(|(_, id)| *id).find(room).or_else(|| (0..reached.len() as u32).find(room));
        // Where every list is full, the last link of the enter point's nearest gives way.
        let from = from.unwrap_or(self.enterpoint as u32);
        let list = &mut self.links[from as usize];
        if list.len() >= r {
            list.pop();
        }
        list.push(own);
        from
    }

    /// The `k` nearest vertices, best first.
    pub fn search<C: DistanceComputer>(&self, keys: &Keys<C>, k: usize) -> Vec<(f32, i64)> {
        if self.links.is_empty() {
            return Vec::new();
        }
        let l = k.max(usize::try_from(self.search_L).unwrap_or(0)).min(self.links.len().max(1));
        let mut table = self.tables.take().unwrap_or_default();
        let found = self.walk(&self.links, Some(self.enterpoint as u32), keys, l, &mut table, |_, _| {});
        self.tables.put(table);
        found.into_iter().take(k).map(|(key, id)| (key, i64::from(id))).collect()
    }
}

impl Stored for NSG {
    fn read_from(&mut self, input: &mut Reader<'_>, _name: &str) -> Result<()> {
        let mut made = NSG { ntotal: input.i32()?, R: input.i32()?, L: input.i32()?, C: input.i32()?, ..NSG::new(1) };
        (made.search_L, made.enterpoint) = (input.i32()?, input.i32()?);
        made.is_built = input.bool("is_built")?;
        if !made.is_built {
            *self = made;
            return Ok(());
        }
        let n = usize::try_from(made.ntotal).map_err(|_| Error::failed("ntotal >= 0", ""))?;
        let (r, ..) = made.sizes()?;
        input.check_loop(n, "ntotal")?;
        for _ in 0..n {
            let mut list = Vec::new();
            loop {
                let id = input.i32()?;
                if id == -1 {
                    break;
                }
                let inside = usize::try_from(id).is_ok_and(|id| id < n) && list.len() < r;
                Error::check(inside, "id < ntotal && the vertex has no more than R links")?;
                list.push(id as u32);
            }
            made.links.push(list);
        }
        made.vertices()?;
        *self = made;
        Ok(())
    }
    fn write_to(&self, out: &mut Writer<'_>) -> Result<()> {
        for v in [self.ntotal, self.R, self.L, self.C, self.search_L, self.enterpoint] {
            out.i32(v)?;
        }
        out.bool(self.is_built)?;
        for list in &self.links {
            list.iter().try_for_each(|id| out.i32(*id as i32))?;
            out.i32(-1)?;
        }
        Ok(())
    }
}

/// A stored vector as the query.
struct Between<'a, C> {
    keys: &'a Keys<C>,
    own: u32,
}

/// As [`NSG::walk`], from a stored vector's point of view.
fn walk_between<C: DistanceComputer>(
    links: &[Vec<u32>],
    start: u32,
    from: &Between<'_, C>,
    l: usize,
    table: &mut VisitedTable,
    mut each: impl FnMut(u32, f32),
) {
    table.start(links.len());
    let mut pool = Pool(Vec::with_capacity(l + 1), l);
    let mut fresh: Vec<u32> = vec![start];
    fresh.extend(links[start as usize].iter().take(l));
    fresh.retain(|id| table.set(*id));
    let mut at = 0;
    loop {
        let mut nearest = usize::MAX;
        from.keys.for_each_between(from.own, &fresh, |id, key| {
            each(id, key);
            nearest = nearest.min(pool.insert(key, id));
        });
        at = at.min(nearest);
        while at < pool.0.len() && pool.0[at].seen {
            at += 1;
        }
        if at >= pool.0.len() {
            return;
        }
        pool.0[at].seen = true;
        fresh.clear();
        fresh.extend(links[pool.0[at].id as usize].iter().copied().filter(|id| table.set(*id)));
    }
}
