//! Exhaustive search over stored binary vectors.

use faiss_derive::{Object, methods};

use super::{IndexBinary, IndexBinaryBase, binary_base, hamming};
use crate::base::object::{cast, cast_mut};
use crate::base::{Error, Object, Result};
use crate::distance::RangeSearchResult;
use crate::index::selector;
use crate::registry::Row;
use crate::selector::IDSelector;

/// Stores binary vectors and searches them exhaustively.
///
/// Vectors are bits in bytes, uint8 (n, d / 8); distances are numbers of bits that differ, int32. Exact, no training.
#[derive(Object, Clone)]
#[object(methods, implements(IndexBinary), copy)]
pub struct IndexBinaryFlat {
    /// What every binary index has.
    #[object(parent)]
    pub base: IndexBinaryBase,
    /// The vectors, `ntotal * code_size` bytes.
    pub xb: Vec<u8>,
    /// Accepted for compatibility: one way of collecting results is best here at every k.
    #[object(default = true)]
    pub use_heap: bool,
    /// Accepted for compatibility: how many queries go through the vectors together is chosen here.
    #[object(default = 32)]
    pub query_batch_size: usize,
    /// Accepted for compatibility: results are exact.
    pub approx_topk_mode: i32,
}

pub(crate) const ROW: Row = Row::of::<IndexBinaryFlat>().format(crate::file_format!(
    IndexBinaryFlat,
    ["IBxF"],
    |index| {
        index.base;
        index.xb;
    },
    index.vectors()
));

#[methods(new)]
impl IndexBinaryFlat {
    /// An empty index over vectors of `d` bits.
    #[new]
    pub fn new(d: i64) -> Result<Self> {
        Ok(IndexBinaryFlat { base: IndexBinaryBase::new(d)?, ..Default::default() })
    }
}

impl IndexBinaryFlat {
    /// The vectors, after a check that the public fields still fit together.
    pub fn vectors(&self) -> Result<&[u8]> {
        let size = usize::try_from(self.ntotal).ok().and_then(|n| n.checked_mul(self.bytes()));
        Error::check(size == Some(self.xb.len()), "xb.size() == ntotal * code_size")?;
        Ok(&self.xb)
    }
}

impl IndexBinary for IndexBinaryFlat {
    binary_base!();

    fn add(&mut self, x: &[u8]) -> Result<()> {
        let n = self.rows(x)?;
        self.vectors()?;
        self.xb.try_reserve(x.len()).map_err(|e| Error::Memory(e.to_string()))?;
        self.xb.extend_from_slice(x);
        self.ntotal += n as i64;
        Ok(())
    }
    fn reset(&mut self) -> Result<()> {
        self.xb.clear();
        self.ntotal = 0;
        Ok(())
    }
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.queries(x, k, distances, labels)?;
        let sel = selector(params);
        let sel = sel.as_ref().map(|sel| sel.read());
        hamming::knn(x, self.vectors()?, self.bytes(), k, sel.as_deref(), distances, labels)
    }
    fn range_search(&self, x: &[u8], radius: i32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        let sel = selector(params);
        let sel = sel.as_ref().map(|sel| sel.read());
        self.rows(x)?;
        hamming::range_search(x, self.vectors()?, self.bytes(), radius, sel.as_deref())
    }
    fn reconstruct(&self, key: i64, out: &mut [u8]) -> Result<()> {
        let (at, size) = (self.position(key)?, self.bytes());
        Error::check(out.len() == size, "recons.size() == code_size")?;
        out.copy_from_slice(&self.vectors()?[at * size..(at + 1) * size]);
        Ok(())
    }
    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        self.vectors()?;
        let (n, size) = (self.ntotal as usize, self.bytes());
        let mut removed = vec![false; n];
        // All questions are asked before anything moves: a selector may fail.
        sel.mark(0..n as i64, &mut removed);
        let mut kept = 0;
        for i in (0..n).filter(|i| !removed[*i]) {
            if i != kept {
                self.xb.copy_within(i * size..(i + 1) * size, kept * size);
            }
            kept += 1;
        }
        self.xb.truncate(kept * size);
        self.ntotal = kept as i64;
        Ok(n - kept)
    }
    fn check_compatible_for_merge(&self, other: &dyn IndexBinary) -> Result<()> {
        let other = cast::<IndexBinaryFlat>(other);
        let other = other.ok_or_else(|| Error::failed("other", "the other index is no IndexBinaryFlat"))?;
        Error::check(other.d == self.d, "other->d == d")
    }
    fn merge_from(&mut self, other: &mut dyn IndexBinary, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        Error::check(add_id == 0, "add_id == 0")?;
        if let Some(flat) = cast_mut::<IndexBinaryFlat>(other) {
            self.add(flat.vectors()?)?;
        }
        other.reset()
    }
}
