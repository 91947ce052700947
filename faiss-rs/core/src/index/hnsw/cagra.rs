//! A graph over vectors stored as they are, as GPUs make it: often with the lowest level alone, which is then entered at random vertices.

use faiss_derive::{Object, methods};

use super::{IndexHNSW, over};
use crate::base::object::{Object, cast};
use crate::base::{Error, MetricType, Result, Shared};
use crate::graph::Keys;
use crate::graph::queue::Node;
use crate::index::flat::IndexFlat;
use crate::index::flat_ip::IndexFlatIP;
use crate::index::flat_l2::IndexFlatL2;
use crate::index::hnsw::Rest;
use crate::index::{Index, RangeSearchResult};
use crate::random::RandomGenerator;
use crate::registry::Row;

/// Searches full vectors along links that a GPU found. Where there is no level but the lowest, searches begin at the nearest of some random
/// vectors, and none can be added.
#[derive(Object, Clone)]
#[object(methods, implements(Index), copy(hnsw_index))]
pub struct IndexHNSWCagra {
    /// The graph and its storage.
    #[object(parent)]
    pub hnsw_index: IndexHNSW,
    /// There is no level but the lowest, and nothing can be added.
    pub base_level_only: bool,
    /// With `base_level_only`, the number of random vectors of which the nearest begins a search.
    #[object(default = 256)]
    pub num_base_level_search_entrypoints: i32,
    /// The type of the numbers that the GPU had: 0 for float32.
    #[object(name = "numeric_type_")]
    pub numeric_type: i32,
}

pub(crate) const ROW: Row =
    Row::of::<IndexHNSWCagra>().format(crate::file_format!(IndexHNSWCagra, ["IHc2", "IHNc"], |index, code| {
        index.base;
        index.keep_max_size_level0;
        index.base_level_only;
        index.num_base_level_search_entrypoints;
        old (code.is("IHNc")) { index.numeric_type = 0; } else { index.numeric_type; }
        read { check_numeric_type(index.numeric_type)?; }
        index.hnsw_index => Rest;
    }));

/// Of the types that GPUs have, vectors here are of the first alone.
fn check_numeric_type(numeric_type: i32) -> Result<()> {
    match numeric_type {
        0 => Ok(()),
        1..=3 => {
            Err(Error::not_implemented(format!("IndexHNSWCagra with numeric type {numeric_type}, other than float32")))
        }
        other => Err(Error::failed("", format!("numeric type {other} is not known"))),
    }
}

#[methods(new)]
impl IndexHNSWCagra {
    /// With `M` links a vector, twice as many at the lowest level; by L2 or inner product.
    #[new]
    pub fn new(
        d: i64,
        M: i32,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] numeric_type: i32,
    ) -> Result<Self> {
        check_numeric_type(numeric_type)?;
        let storage = match metric {
            MetricType::L2 => Shared::new(IndexFlatL2::new(d)?),
            MetricType::InnerProduct => Shared::new(IndexFlatIP::new(d)?),
            _ => {
                let condition = "!(((metric == METRIC_L2) || (metric == METRIC_INNER_PRODUCT)))";
                return Err(Error::failed(condition, "unsupported metric type for IndexHNSWCagra"));
            }
        };
        let mut hnsw_index = IndexHNSW { own_fields: true, ..IndexHNSW::over(storage, M)? };
        hnsw_index.init_level0 = true;
        hnsw_index.keep_max_size_level0 = true;
        Ok(IndexHNSWCagra { hnsw_index, ..Default::default() })
    }

    /// The type of the numbers that the GPU had: 0 for float32.
    fn get_numeric_type(&self) -> i32 {
        self.numeric_type
    }

    /// Sets the type of the numbers that the GPU had.
    fn set_numeric_type(&mut self, numeric_type: i32) -> Result<()> {
        check_numeric_type(numeric_type)?;
        self.numeric_type = numeric_type;
        Ok(())
    }
}

impl IndexHNSWCagra {
    /// For each query the nearest of some random vectors, and its key.
    fn entry_points(&self, x: &[f32], n: usize) -> Result<Vec<Node>> {
        let storage = self.storage()?.read();
        let vertices = self.vertices(&*storage)?;
        let missing = "Could not find a valid entrypoint.";
        if vertices == 0 || self.num_base_level_search_entrypoints < 1 {
            return Err(Error::failed("!(nearest[i] >= 0)", missing));
        }
        let (d, mut nearest) = (self.dim(), Vec::with_capacity(n));
        over!(&*storage, |make| {
            let mut keys = make()?;
            for q in 0..n {
                crate::base::interrupt::check()?;
                keys.set_query(&x[q * d..(q + 1) * d])?;
                let mut rng = RandomGenerator::new(q as i64);
                let ids: Vec<u32> = (0..self.num_base_level_search_entrypoints)
                    .map(|_| rng.rand_int_max(vertices as i32) as u32)
                    .collect();
                let mut best = Node { key: f32::INFINITY, vertex: ids[0] };
                keys.for_each(&ids, |vertex, key| {
                    if key < best.key {
                        best = Node { key, vertex };
                    }
                });
                nearest.push(best);
            }
            Ok(())
        })?;
        Ok(nearest)
    }
}

impl Index for IndexHNSWCagra {
    crate::inherit_index!(hnsw_index);

    fn add(&mut self, x: &[f32]) -> Result<()> {
        if self.base_level_only {
            return Err(Error::failed("base_level_only", "Cannot add vectors when base_level_only is set to True"));
        }
        self.hnsw_index.add(x)
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        if !self.base_level_only {
            return self.hnsw_index.search(x, k, params, distances, labels);
        }
        let n = self.queries(x, k, distances, labels)?;
        let sign = if self.metric_type.is_similarity() { -1.0 } else { 1.0 };
        let starts = self.entry_points(x, n)?;
        let nearest: Vec<i32> = starts.iter().map(|node| node.vertex as i32).collect();
        let nearest_d: Vec<f32> = starts.iter().map(|node| sign * node.key).collect();
        self.search_level_0(x, k, &nearest, &nearest_d, distances, labels, 1, 1, params)
    }
    fn range_search(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        let n = self.rows(x)?;
        let starts = if self.base_level_only { Some(self.entry_points(x, n)?) } else { None };
        self.range_search_from(x, radius, params, starts.as_deref())
    }
}
