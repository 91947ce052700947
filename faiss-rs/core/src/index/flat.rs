//! Exact search over vectors stored as they are, by any metric.

use faiss_derive::{Object, methods};

use super::flat_codes::{IndexFlatCodes, check_same_type};
use super::{DistanceComputer, Index, IndexBase, RangeSearchResult, selector};
use crate::base::declare::{Array, Inside, Shaped};
use crate::base::{ElementKind, Error, Handle, MetricType, Object, Result};
use crate::distance::{self, Database, computer::FlatDistanceComputer};
use crate::grammar::Grammar;
use crate::registry::Row;
use crate::stream::fields::Words;

/// Stores the full vectors and searches them exhaustively.
///
/// `4 * d` bytes a vector, no training, exact. `metric`: how vectors are compared, `METRIC_L2` (squared distances) unless another is given.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexFlat {
    /// The codes.
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
}

pub(crate) const ROW: Row = Row::of::<IndexFlat>()
    .grammar(Grammar::Index(|d, part, metric| match part {
        "Flat" => Ok(Some(Handle::new(IndexFlat::new(d, metric)?))),
        _ => Ok(None),
    }))
    .format(crate::file_format!(
        IndexFlat,
        ["IxFl"; code_of(index.metric_type)],
        |index| {
            *index;
        },
        index.vectors()
    ));

/// As Faiss does: what is read back is an IndexFlatL2 or IndexFlatIP where the metric is theirs.
fn code_of(metric: MetricType) -> &'static str {
    match metric {
        MetricType::L2 => "IxF2",
        MetricType::InnerProduct => "IxFI",
        _ => "IxFl",
    }
}

crate::stored!(IndexFlat, |index| {
    index.base;
    index.codes => Words;
    read {
        index.code_size = index.dim() * size_of::<f32>();
        index.vectors()?;
    }
});

#[methods(new)]
impl IndexFlat {
    /// Over `d`-dimensional vectors.
    #[new]
    pub fn new(d: i64, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        let base = IndexBase::new(d, metric)?;
        let code_size = base.dim() * size_of::<f32>();
        Ok(IndexFlat { flat_codes: IndexFlatCodes::new(base, code_size) })
    }

    /// A pointer to the stored vectors, `ntotal * d` floats.
    #[name = "get_xb"]
    fn pointer(&self) -> Inside {
        Inside("codes", ElementKind::F32)
    }

    /// Distances of each of `n` queries (n, d) to its own `k` stored vectors (n, k); where a label is -1, the distance is 0.
    #[name = "compute_distance_subset"]
    fn distances_to(&self, x: &[f32], labels: Array<'_, i64>) -> Result<Shaped<f32>> {
        let mut distances = vec![0.0; labels.items.len()];
        self.compute_distance_subset(x, labels.items, &mut distances)?;
        Ok(Shaped(distances, labels.shape.to_vec()))
    }
}

impl IndexFlat {
    /// The number of vectors, after a check that the public fields still fit together.
    pub(super) fn vectors(&self) -> Result<usize> {
        Error::check(self.code_size == self.dim() * size_of::<f32>(), "code_size == d * sizeof(float)")?;
        self.count()
    }

    /// The stored vectors, `ntotal * d` numbers.
    pub fn get_xb(&self) -> &[f32] {
        self.codes.as_f32()
    }

    /// Distances of each query to its own stored vectors, as many for each; where a label is negative, the distance is left as it is.
    pub fn compute_distance_subset(&self, x: &[f32], labels: &[i64], distances: &mut [f32]) -> Result<()> {
        self.vectors()?;
        let n = self.rows(x)?;
        distance::distances_by_idx(
            x,
            n,
            self.get_xb(),
            self.dim(),
            labels,
            self.metric_type,
            self.metric_arg,
            distances,
        )
    }

    /// Calls `with` with the stored vectors and, if a selector is among the parameters, which of them count.
    pub(super) fn with_database<T>(
        &self,
        params: Option<&dyn Object>,
        norms: Option<&[f32]>,
        with: impl FnOnce(&Database<'_>) -> Result<T>,
    ) -> Result<T> {
        let n = self.vectors()?;
        let mut database = Database::new(self.get_xb(), n, self.dim())?;
        database.norms = norms;
        let Some(sel) = selector(params) else { return with(&database) };
        let mut marks = vec![false; n];
        sel.read().mark(0..n as i64, &mut marks);
        database.selected = Some(&marks);
        with(&database)
    }

    /// Compares queries with the stored vectors.
    pub(super) fn computer(&self) -> Result<FlatDistanceComputer<'_>> {
        self.vectors()?;
        Ok(FlatDistanceComputer::new(self.get_xb(), self.dim(), self.metric_type, self.metric_arg))
    }

    pub(super) fn search_with_norms(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        norms: Option<&[f32]>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        let n = self.queries(x, k, distances, labels)?;
        self.with_database(params, norms, |db| {
            distance::knn(x, n, db, self.metric_type, self.metric_arg, k, distances, labels)
        })
    }
}

impl Index for IndexFlat {
    crate::inherit_index!(flat_codes);

    fn add(&mut self, x: &[f32]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        self.vectors()?;
        let n = self.rows(x)?;
        self.codes.extend_from_f32(x)?;
        self.ntotal += n as i64;
        Ok(())
    }

    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.search_with_norms(x, k, params, None, distances, labels)
    }

    fn range_search(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        let n = self.rows(x)?;
        self.with_database(params, None, |db| {
            distance::range_search(x, n, db, self.metric_type, self.metric_arg, radius)
        })
    }

    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.position(key)?;
        self.reconstruct_n(key, 1, out)
    }

    fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
        self.vectors()?;
        let d = self.dim();
        let first = self.checked_range(i0, ni, out)?;
        out.copy_from_slice(&self.get_xb()[first * d..(first + ni) * d]);
        Ok(())
    }

    fn sa_encode(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        self.rows(x)?;
        Error::check(codes.len() == size_of_val(x), "bytes.size() == n * code_size")?;
        for (code, v) in codes.chunks_exact_mut(size_of::<f32>()).zip(x) {
            code.copy_from_slice(&v.to_ne_bytes());
        }
        Ok(())
    }

    fn sa_decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.rows(x)?;
        Error::check(codes.len() == size_of_val(x), "bytes.size() == n * code_size")?;
        for (code, v) in codes.chunks_exact(size_of::<f32>()).zip(x) {
            *v = f32::from_ne_bytes(code.try_into().expect("chunks of 4 bytes"));
        }
        Ok(())
    }

    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        check_same_type(self, other)?;
        self.flat_codes.check_compatible_for_merge(other)
    }

    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        self.flat_codes.merge_from(other, add_id)
    }

    fn get_distance_computer(&self) -> Result<Box<dyn DistanceComputer + '_>> {
        Ok(Box::new(self.computer()?))
    }
}
