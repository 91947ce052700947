//! What Python calls on the graph.

use faiss_derive::methods;

use super::super::Given;
use super::super::queue::Node;
use super::super::search::{Stats, descend};
use super::HNSW;
use crate::base::{Error, Result};
use crate::index::Index;
use crate::random::RandomGenerator;
use crate::registry::Row;

pub(crate) const ROW: Row = Row::of::<HNSW>();

/// The constructors and methods of [`HNSW`].
pub struct HNSWMethods;

#[methods]
impl HNSWMethods {
    #[new]
    fn of(#[default = 32] M: i32) -> Result<HNSW> {
        HNSW::new(M)
    }

    /// Sets the probabilities of levels, each rarer by a factor of exp(1 / levelMult), and M links a vertex, 2 * M at level 0.
    fn set_default_probas(this: &mut HNSW, M: i32, levelMult: f32) -> Result<()> {
        Error::check(M >= 1, "M >= 1")?;
        this.set_default_probas(M, levelMult);
        Ok(())
    }

    /// Slots for links of a vertex at this level.
    fn nb_neighbors(this: &HNSW, layer_no: usize) -> Result<usize> {
        this.nb_neighbors(layer_no)
    }

    /// Slots for links of a vertex below this level.
    fn cum_nb_neighbors(this: &HNSW, layer_no: usize) -> Result<usize> {
        this.cum_nb_neighbors(layer_no)
    }

    /// Makes room for n links of a vertex at this level, before there are vertices.
    fn set_nb_neighbors(this: &mut HNSW, level_no: usize, n: i32) -> Result<()> {
        this.set_nb_neighbors(level_no, n)
    }

    /// Where in `neighbors` the slots of a vertex at a level begin and end.
    fn neighbor_range(this: &HNSW, no: usize, layer_no: usize) -> Result<(usize, usize)> {
        let range = this.neighbor_range(no, layer_no)?;
        Ok((range.start, range.end))
    }

    /// Draws a level, 0 for the lowest.
    fn random_level(this: &mut HNSW) -> i32 {
        this.random_level()
    }

    /// Makes room for n more vertices and draws their levels, unless `levels` has them already. Returns the highest of their levels.
    fn prepare_level_tab(this: &mut HNSW, n: usize, #[default = false] preset_levels: bool) -> Result<i32> {
        this.prepare_level_tab(n, preset_levels)
    }

    /// Removes all links of this level.
    fn clear_neighbor_tables(this: &mut HNSW, level: usize) -> Result<()> {
        this.clear_neighbor_tables(level)
    }

    /// Adds n vertices whose links of the lowest level lead anywhere, to compare with.
    fn fill_with_random_links(this: &mut HNSW, n: usize) -> Result<()> {
        this.fill_with_random_links(n)
    }

    /// Prints how many links the vertices of a level have, how many lead both ways, and how many ends are also reached in two steps.
    fn print_neighbor_stats(this: &HNSW, level: usize) -> Result<()> {
        let stats = this.neighbor_stats(level)?;
        let each = |count: usize| count as f64 / stats.vertices as f64;
        println!("stats on level {level}, max {} neighbors per vertex:", stats.slots);
        println!("   nb of nodes at that level {}", stats.vertices);
        println!("   neighbors per node: {:.2} ({})", each(stats.links), stats.links);
        println!("   nb of reciprocal neighbors: {:.2}", each(stats.reciprocal));
        let near = stats.in_two_steps;
        println!("   nb of neighbors that are also neighbor-of-neighbors: {:.2} ({near})", each(near));
        Ok(())
    }

    /// Renumbers the vertices: vertex i becomes what vertex map[i] was. `map` is a permutation.
    fn permute_entries(this: &mut HNSW, map: &[i64]) -> Result<()> {
        this.permute_entries(map)
    }

    /// Walks at a level from a vertex to nearer and nearer ones, by the distances of a storage, negated where `negated` is set. Returns the
    /// vertex and its distance, and what that took: distances computed and vertices looked at.
    fn greedy_update_nearest(
        this: &HNSW,
        storage: &dyn Index,
        negated: bool,
        query: &[f32],
        level: usize,
        nearest: i32,
        d_nearest: f32,
    ) -> Result<((i32, f32), (usize, usize))> {
        let n = i32::try_from(this.vertices()?).unwrap_or(i32::MAX);
        let given = Given::new(storage, negated, n)?;
        let (keys, mut stats) = (given.query(query)?, Stats::default());
        let mut node = Node { key: d_nearest, vertex: given.vertex(nearest)? };
        descend(&this.level(level)?, &keys, &mut node, &mut Vec::new(), &mut stats)?;
        Ok(((node.vertex as i32, node.key), (stats.ndis, stats.nhops)))
    }

    /// Adds links from a vertex to others at a level, where there are too many those that lead in different directions. Returns the others,
    /// sorted and each once.
    fn merge_reverse_links_deterministic(
        this: &mut HNSW,
        storage: &dyn Index,
        negated: bool,
        node: i32,
        level: usize,
        incoming: &[i32],
        keep_max_size_level0: bool,
    ) -> Result<Vec<i32>> {
        let n = i32::try_from(this.vertices()?).unwrap_or(i32::MAX);
        let given = Given::new(storage, negated, n)?;
        let mut others: Vec<u32> = incoming.iter().map(|other| given.vertex(*other)).collect::<Result<_>>()?;
        others.sort_unstable();
        others.dedup();
        this.link(&given.keys()?, given.vertex(node)?, level, &others, keep_max_size_level0 && level == 0)?;
        Ok(others.into_iter().map(|other| other as i32).collect())
    }

    /// The state of the generator of levels: 624 numbers, and how many of them were used.
    fn rng_state(this: &HNSW) -> Vec<i64> {
        this.rng.state()
    }

    /// Goes on with another generator of levels.
    fn set_rng_state(this: &mut HNSW, state: &[i64]) -> Result<()> {
        this.rng = RandomGenerator::from_state(state)?;
        Ok(())
    }

    /// Removes all vertices.
    fn reset(this: &mut HNSW) {
        this.reset();
    }
}
