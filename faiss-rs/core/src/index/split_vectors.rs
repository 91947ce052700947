//! One index made of several, each of which holds a part of the coordinates: an id is a combination of theirs.

use faiss_derive::{Object, methods};

use super::{Index, IndexBase};
use crate::base::object::Object;
use crate::base::{Error, Result, Shared};
use crate::registry::Row;

/// Splits queries among indexes of parts of the coordinates. Vector `i_0 + i_1 * ntotal + ...` is the one whose parts are those numbers of the
/// indexes; only the nearest one is found.
#[derive(Object, Default, Clone)]
#[object(implements(Index), methods)]
pub struct IndexSplitVectors {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// Whether the indexes belong to this one. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// Accepted for compatibility: indexes are asked one after the other, each by all threads.
    pub threaded: bool,
    /// The dimensions of all indexes together; a search needs `d` of them.
    #[object(readonly)]
    pub sum_d: i32,
    /// The indexes.
    #[object(readonly, name = "sub_indexes")]
    pub parts: Vec<Shared<dyn Index>>,
}

pub(crate) const ROW: Row = Row::of::<IndexSplitVectors>();

#[methods]
impl IndexSplitVectors {
    /// Over `d`-dimensional vectors.
    #[new]
    pub fn new(d: i64, #[default = false] threaded: bool) -> Result<Self> {
        Ok(IndexSplitVectors { base: IndexBase::new(d, Default::default())?, threaded, ..Default::default() })
    }

    /// Takes an index for the next coordinates, with as many vectors as the others and the same metric.
    pub fn add_sub_index(&mut self, index: Shared<dyn Index>) -> Result<()> {
        let mut parts = self.parts.clone();
        parts.push(index);
        self.take(parts)
    }

    /// Takes notice of changes that the indexes went through by themselves.
    pub fn sync_with_sub_indexes(&mut self) -> Result<()> {
        self.take(self.parts.clone())
    }
}

impl IndexSplitVectors {
    fn take(&mut self, parts: Vec<Shared<dyn Index>>) -> Result<()> {
        let bases: Vec<IndexBase> = parts.iter().map(|part| part.read().base().clone()).collect();
        let Some(first) = bases.first() else { return Ok(()) };
        for base in &bases {
            Error::check(base.metric_type == first.metric_type, "metric_type == index->metric_type")?;
            Error::check(base.ntotal == first.ntotal, "ntotal == index->ntotal")?;
        }
        let sum = bases.iter().try_fold(0i32, |sum, base| sum.checked_add(base.d));
        self.sum_d = sum.ok_or_else(|| Error::overflow("sum_d is out of range for int"))?;
        self.base = IndexBase {
            metric_type: first.metric_type,
            ntotal: first.ntotal,
            is_trained: bases.iter().all(|base| base.is_trained),
            ..self.base.clone()
        };
        self.parts = parts;
        Ok(())
    }
}

impl Index for IndexSplitVectors {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }

    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        if params.is_some() {
            return Err(Error::failed("!params", "search params not supported for this index"));
        }
        if k != 1 {
            return Err(Error::failed("!(k == 1)", "search implemented only for k=1"));
        }
        if self.sum_d != self.d {
            return Err(Error::failed("!(sum_d == d)", "not enough indexes compared to # dimensions"));
        }
        let n = self.queries(x, k, distances, labels)?;
        distances.fill(0.0);
        labels.fill(0);
        let (d, mut from, mut factor) = (self.dim(), 0, 1i64);
        for part in &self.parts {
            let part = part.read();
            let width = part.base().dim();
            Error::check(from + width <= d, "sum_d == d")?;
            let own: Vec<f32> = x.chunks_exact(d).flat_map(|row| &row[from..from + width]).copied().collect();
            let (mut own_distances, mut own_labels) = (vec![0f32; n], vec![-1i64; n]);
            part.search(&own, 1, None, &mut own_distances, &mut own_labels)?;
            for i in 0..n {
                distances[i] += own_distances[i];
                // Where a part has no result, the whole has none.
                let known = labels[i] >= 0 && own_labels[i] >= 0;
                let label = own_labels[i].checked_mul(factor).and_then(|label| label.checked_add(labels[i]));
                labels[i] = label.filter(|_| known).unwrap_or(-1);
            }
            from += width;
            factor = factor.saturating_mul(part.base().ntotal);
        }
        Ok(())
    }
}
