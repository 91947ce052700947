//! The lowest level by itself: searched from given vertices, built in other ways than by `add`, put in order.

use parking_lot::Mutex;

use super::{IndexHNSW, over};
use crate::base::object::{Object, cast};
use crate::base::{Error, Result, threads};
use crate::distance::DistanceComputer;
use crate::distance::collect::{Collector, Reservoir};
use crate::distance::results::TopK;
use crate::graph::hnsw::unfit;
use crate::graph::queue::Node;
use crate::graph::search::diverse;
use crate::graph::visited::Shelf;
use crate::graph::{Keys, Links};
use crate::index::flat::IndexFlat;
use crate::index::{Index, selector};

/// Vertices whose links a thread takes at a time.
const SHARE: usize = 64;

impl IndexHNSW {
    /// Searches the lowest level alone, each query from `nprobe` given vertices `nearest` at distances `nearest_d`, negative ones being none.
    /// `search_type` 1: one search from each vertex; 2: one from all.
    pub fn search_level_0(
        &self,
        x: &[f32],
        k: usize,
        nearest: &[i32],
        nearest_d: &[f32],
        distances: &mut [f32],
        labels: &mut [i64],
        nprobe: usize,
        search_type: i32,
        params: Option<&dyn Object>,
    ) -> Result<()> {
        let n = self.queries(x, k, distances, labels)?;
        let sizes = n.checked_mul(nprobe).is_some_and(|size| nearest.len() == size && nearest_d.len() == size);
        Error::check(sizes, "nearest.size() == n * nprobe && nearest_d.size() == n * nprobe")?;
        Error::check(search_type == 1 || search_type == 2, "search_type == 1 || search_type == 2")?;
        let storage = self.storage()?.read();
        let vertices = self.vertices(&*storage)?;
        Error::check(nearest.iter().all(|v| i64::from(*v) < vertices as i64), "nearest[i] < ntotal")?;
        let sign = if self.metric_type.is_similarity() { -1.0 } else { 1.0 };
        let (options, sel) = (self.options(params), selector(params));
        let starts = |q: usize| -> Vec<Node> {
            let given = q * nprobe..(q + 1) * nprobe;
            let nodes = nearest[given.clone()].iter().zip(&nearest_d[given]).filter(|(vertex, _)| **vertex >= 0);
            nodes.map(|(vertex, distance)| Node { key: sign * distance, vertex: *vertex as u32 }).collect()
        };
        let each = |starts: &[Node]| if search_type == 1 { 1 } else { starts.len().max(1) };
        let out = TopK::new(self.metric_type, k, distances, labels);
        if self.is_staged(&*storage, options.bounded)? {
            let searches = |q: usize| {
                let starts = starts(q);
                starts.chunks(each(&starts)).map(<[Node]>::to_vec).collect()
            };
            return self.search_signs_first(&*storage, x, k, params, Some(&searches), &out);
        }
        let sel = sel.as_ref().map(|sel| sel.read());
        over!(&*storage, |make| self.each_query(x, n, make, |q, keys, stats| {
            let starts = starts(q);
            let mut scratch = self.hnsw.scratch();
            scratch.visited.start(vertices);
            let mut found = Reservoir::new(k);
            let mut best = Vec::new();
            for starts in starts.chunks(each(&starts)) {
                if search_type == 1 && scratch.visited.get(starts[0].vertex) {
                    continue;
                }
                self.hnsw.search_level_0(keys, starts, k, options, &mut scratch, stats, |vertex, key| {
                    if key < found.threshold() && sel.as_ref().is_none_or(|sel| sel.is_member(i64::from(vertex))) {
                        found.push(key, i64::from(vertex));
                    }
                })?;
            }
            best.extend(found.finish());
            self.hnsw.keep(scratch);
            out.write(q, &best);
            Ok(())
        }))
    }

    /// Links every vertex at the lowest level with those of its `k` given neighbours (distances and numbers, `ntotal * k`) that lie in different
    /// directions. A negative number ends a vertex's neighbours.
    pub fn init_level_0_from_knngraph(&mut self, k: usize, distances: &[f32], labels: &[i64]) -> Result<()> {
        let storage = self.storage()?.clone();
        let storage = storage.read();
        let n = self.vertices(&*storage)?;
        let sizes = n.checked_mul(k).is_some_and(|size| distances.len() == size && labels.len() == size);
        Error::check(sizes, "D.size() == ntotal * k && I.size() == ntotal * k")?;
        Error::check(labels.iter().all(|label| *label < n as i64), "I[i] < ntotal")?;
        let (room, sign) = (self.hnsw.nb_neighbors(0)?, if self.hnsw.is_similarity { -1.0 } else { 1.0 });
        let lists = over!(&*storage, |make| each_vertex(n, make, |vertex, keys| {
            let row = vertex as usize * k..(vertex as usize + 1) * k;
            let given = distances[row.clone()].iter().zip(&labels[row]).take_while(|(_, label)| **label >= 0);
            let mut given: Vec<Node> =
                given.map(|(distance, label)| Node { key: sign * distance, vertex: *label as u32 }).collect();
            given.retain(|node| node.vertex != vertex);
            given.sort_by(|a, b| a.key.total_cmp(&b.key));
            Ok(shrink(keys, given, room))
        }))?;
        self.replace_level_0(lists)
    }

    /// Links vertices at the lowest level, one after the other, by a search that begins at a given vertex for each.
    pub fn init_level_0_from_entry_points(&mut self, points: &[i32], nearests: &[i32]) -> Result<()> {
        let storage = self.storage()?.clone();
        let storage = storage.read();
        let n = self.vertices(&*storage)?;
        Error::check(points.len() == nearests.len(), "points.size() == nearests.size()")?;
        let known = points.iter().chain(nearests).all(|v| usize::try_from(*v).is_ok_and(|v| v < n));
        Error::check(known, "points[i] < ntotal && nearests[i] < ntotal")?;
        let mut x = vec![0.0; self.dim()];
        let (keep, hnsw) = (self.keep_max_size_level0, &mut self.hnsw);
        over!(&*storage, |make| {
            let mut keys = make()?;
            for (point, nearest) in points.iter().zip(nearests) {
                crate::base::interrupt::check()?;
                storage.reconstruct(i64::from(*point), &mut x)?;
                keys.set_query(&x)?;
                hnsw.link_from(&keys, *point as u32, *nearest as u32, keep)?;
            }
            Ok(())
        })
    }

    /// Puts the links of the lowest level in order, the nearest first.
    pub fn reorder_links(&mut self) -> Result<()> {
        let storage = self.storage()?.clone();
        let storage = storage.read();
        let n = self.vertices(&*storage)?;
        let hnsw = &self.hnsw;
        let lists = over!(&*storage, |make| each_vertex(n, make, |vertex, keys| {
            Ok(by_key(keys, vertex, hnsw.level(0)?.slots(vertex)?).into_iter().map(|node| node.vertex as i32).collect())
        }))?;
        self.replace_level_0(lists)
    }

    /// Leaves every vertex at most `new_size` links at the lowest level, in different directions.
    pub fn shrink_level_0_neighbors(&mut self, new_size: usize) -> Result<()> {
        let storage = self.storage()?.clone();
        let storage = storage.read();
        let (n, room) = (self.vertices(&*storage)?, new_size.min(self.hnsw.nb_neighbors(0)?));
        let hnsw = &self.hnsw;
        let lists = over!(&*storage, |make| each_vertex(n, make, |vertex, keys| {
            Ok(shrink(keys, by_key(keys, vertex, hnsw.level(0)?.slots(vertex)?), room))
        }))?;
        self.replace_level_0(lists)
    }

    fn replace_level_0(&mut self, lists: Vec<Vec<i32>>) -> Result<()> {
        for (vertex, list) in lists.into_iter().enumerate() {
            let range = self.hnsw.neighbor_range(vertex, 0)?;
            let slots = &mut self.hnsw.neighbors[range];
            slots.fill(-1);
            slots.get_mut(..list.len()).ok_or_else(unfit)?.copy_from_slice(&list);
        }
        Ok(())
    }

    /// The vertices that no link of the lowest level leads to, and how many of them have a higher level.
    pub fn singletons(&self) -> Result<(Vec<usize>, usize)> {
        let (n, links) = (self.hnsw.vertices()?, self.hnsw.level(0)?);
        let mut seen = vec![false; n];
        for vertex in 0..n {
            for slot in links.slots(vertex as u32)?.iter().take_while(|slot| **slot >= 0) {
                *seen.get_mut(*slot as usize).ok_or_else(unfit)? = true;
            }
        }
        let alone: Vec<usize> = (0..n).filter(|vertex| !seen[*vertex]).collect();
        let higher = alone.iter().filter(|vertex| self.hnsw.levels[**vertex] > 1).count();
        Ok((alone, higher))
    }
}

/// The linked vertices of a vertex with their keys, the nearest first.
fn by_key<C: DistanceComputer>(keys: &Keys<C>, vertex: u32, slots: &[i32]) -> Vec<Node> {
    let linked = slots.iter().take_while(|slot| **slot >= 0).map(|slot| *slot as u32);
    let mut nodes: Vec<Node> = linked.map(|other| Node { key: keys.between(vertex, other), vertex: other }).collect();
    nodes.sort_by(|a, b| a.key.total_cmp(&b.key));
    nodes
}

fn shrink<C: DistanceComputer>(keys: &Keys<C>, nodes: Vec<Node>, room: usize) -> Vec<i32> {
    let kept = if nodes.len() < room || room == 0 { nodes } else { diverse(keys, &nodes, room, 0) };
    kept.into_iter().take(room).map(|node| node.vertex as i32).collect()
}

/// A list for each of `n` vertices, made on several threads.
fn each_vertex<C: DistanceComputer>(
    n: usize,
    make: impl Fn() -> Result<Keys<C>> + Sync,
    list: impl Fn(u32, &Keys<C>) -> Result<Vec<i32>> + Sync,
) -> Result<Vec<Vec<i32>>> {
    let mut lists = vec![Vec::new(); n];
    let computers = Shelf::<Keys<C>>::default();
    let pieces: Vec<Mutex<&mut [Vec<i32>]>> = lists.chunks_mut(SHARE).map(Mutex::new).collect();
    threads::parallel_for(pieces.len(), |i| {
        let keys = computers.take().map_or_else(&make, Ok)?;
        for (j, out) in pieces[i].lock().iter_mut().enumerate() {
            *out = list((i * SHARE + j) as u32, &keys)?;
        }
        computers.put(keys);
        Ok(())
    })?;
    drop(pieces);
    Ok(lists)
}
