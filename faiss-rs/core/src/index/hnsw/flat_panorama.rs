//! A graph over vectors stored as they are, with the norms of what is left of each from one level of coordinates to the next.

use faiss_derive::{Object, methods};

use super::flat::IndexHNSWFlat;
use crate::base::{Error, Handle, MetricType, Result};
use crate::grammar::{Grammar, number};
use crate::graph::hnsw::SM_PANORAMA;
use crate::index::Index;
use crate::index::hnsw::Rest;
use crate::registry::Row;
use crate::storage::panorama::Panorama;

/// Levels, where a description says nothing of them.
const DEFAULT_LEVELS: i32 = 8;

/// As [`IndexHNSWFlat`], by L2. It keeps the norms that Faiss's search gives vectors up by; searches here compare whole vectors and find the same.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index), copy(hnsw_flat))]
pub struct IndexHNSWFlatPanorama {
    /// The graph and the vectors.
    #[object(parent)]
    pub hnsw_flat: IndexHNSWFlat,
    /// For each vector the L2 norms of what is left of it from each level on, and a 0.
    pub cum_sums: Vec<f32>,
    /// How vectors are cut into levels, each vector by itself.
    pub pano: Panorama,
    /// Number of levels.
    #[object(readonly)]
    pub num_panorama_levels: usize,
}

pub(crate) const ROW: Row = Row::of::<IndexHNSWFlatPanorama>()
    .grammar(Grammar::Graph(|d, m, storage, metric| {
        let Some(levels) = storage.strip_prefix("FlatPanorama") else { return Ok(None) };
        let levels =
            if levels.is_empty() { Some(DEFAULT_LEVELS) } else { number(levels).and_then(|n| n.try_into().ok()) };
        let Some(levels) = levels else { return Ok(None) };
        Ok(Some(Handle::new(IndexHNSWFlatPanorama::new(d, m, levels, metric)?)))
    }))
    .format(crate::file_format!(IndexHNSWFlatPanorama, ["IHfP"], |index| {
        index.base;
        index.num_panorama_levels;
        index.cum_sums;
        index.hnsw_flat.hnsw_index => Rest;
        read {
            index.hnsw.search_method = SM_PANORAMA;
            index.pano = Panorama::new(index.dim() * size_of::<f32>(), index.num_panorama_levels, 1)?;
        }
    }, index.check()));

#[methods(new)]
impl IndexHNSWFlatPanorama {
    /// With `M` links a vector, twice as many at the lowest level.
    #[new]
    pub fn new(
        d: i64,
        M: i32,
        num_panorama_levels: i32,
        #[default = MetricType::L2] metric: MetricType,
    ) -> Result<Self> {
        Error::check(metric == MetricType::L2, "metric == METRIC_L2")?;
        let mut hnsw_flat = IndexHNSWFlat::new(d, M, metric)?;
        hnsw_flat.hnsw.search_method = SM_PANORAMA;
        let num_panorama_levels = usize::try_from(num_panorama_levels).unwrap_or(0);
        let pano = Panorama::new(hnsw_flat.dim() * size_of::<f32>(), num_panorama_levels, 1)?;
        Ok(IndexHNSWFlatPanorama { hnsw_flat, cum_sums: Vec::new(), pano, num_panorama_levels })
    }

    /// The norms of a vector, `n_levels + 1` numbers.
    #[name = "get_cum_sum"]
    pub fn norms(&self, i: i64) -> Result<Vec<f32>> {
        self.check()?;
        let (i, width) = (self.position(i)?, self.pano.n_levels + 1);
        Ok(self.cum_sums[i * width..(i + 1) * width].to_vec())
    }

    /// Reorders the vectors: vector i becomes what vector perm[i] was. `perm` is a permutation of 0..ntotal.
    #[name = "permute_entries"]
    pub fn permute(&mut self, perm: &[i64]) -> Result<()> {
        self.check()?;
        self.hnsw_flat.hnsw_index.permute_entries(perm)?;
        let width = self.pano.n_levels + 1;
        let moved = perm.iter().flat_map(|from| &self.cum_sums[*from as usize * width..][..width]);
        self.cum_sums = moved.copied().collect();
        Ok(())
    }
}

impl IndexHNSWFlatPanorama {
    /// An error where the public fields do not fit together.
    fn check(&self) -> Result<()> {
        let whole = usize::try_from(self.ntotal).is_ok_and(|n| self.cum_sums.len() == self.pano.sums_len(n));
        Error::check(whole && self.pano.d == self.dim(), "cum_sums.size() == ntotal * (n_levels + 1)")
    }
}

impl Index for IndexHNSWFlatPanorama {
    crate::inherit_index!(hnsw_flat);

    fn add(&mut self, x: &[f32]) -> Result<()> {
        self.check()?;
        let (first, n) = (self.ntotal as usize, self.rows(x)?);
        let size = self.pano.sums_len(first + n);
        self.cum_sums.try_reserve(size - self.cum_sums.len()).map_err(|e| Error::Memory(e.to_string()))?;
        self.hnsw_flat.add(x)?;
        self.cum_sums.resize(size, 0.0);
        self.pano.put_sums(&mut self.cum_sums, first, x);
        Ok(())
    }
    fn reset(&mut self) -> Result<()> {
        self.cum_sums = Vec::new();
        self.hnsw_flat.reset()
    }
}
