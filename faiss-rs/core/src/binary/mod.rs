//! Indexes over binary vectors, compared by Hamming distance: the trait, what all have in common, and one file a type. Sees all that `index`
//! sees, and `index`.

pub mod factory;
pub mod flat;
pub mod from_float;
pub mod hamming;
pub mod hash;
pub mod header;
pub mod hnsw;
pub mod id_map;
pub mod ivf;
pub mod list_scanner;
pub mod multi_hash;
mod scan;
pub mod shards;

use faiss_derive::Object;

use crate::base::{Error, MetricType, Object, Result};
use crate::distance::RangeSearchResult;
use crate::registry::Row;
use crate::selector::IDSelector;

/// The distance of a result that does not exist.
pub const WORST: i32 = i32::MAX;

/// The fields that every binary index has.
#[derive(Object, Clone, Debug)]
#[object(name = "IndexBinary", abstract)]
pub struct IndexBinaryBase {
    /// Vector dimension, in bits: a multiple of 8.
    pub d: i32,
    /// Bytes of one vector.
    pub code_size: i32,
    /// Number of indexed vectors.
    pub ntotal: i64,
    /// Verbosity.
    pub verbose: bool,
    /// Whether the index needs no training, or has been trained.
    #[object(default = true)]
    pub is_trained: bool,
    /// Kept for files; vectors are compared by Hamming distance.
    pub metric_type: MetricType,
}

pub(crate) const ROW: Row = Row::of::<IndexBinaryBase>();

impl IndexBinaryBase {
    /// An empty index over vectors of `d` bits.
    pub fn new(d: i64) -> Result<Self> {
        if d % 8 != 0 {
            return Err(Error::failed("d_ % 8 == 0", format!("a dimension of {d} bits is no whole number of bytes")));
        }
        let d = i32::try_from(d).ok().filter(|d| *d >= 0);
        let d = d.ok_or_else(|| Error::failed("d >= 0 && d <= INT_MAX", "the dimension is out of range"))?;
        Ok(IndexBinaryBase { d, code_size: d / 8, ..Default::default() })
    }

    /// Bytes of one vector, for arithmetic: a negative number counts as 0.
    pub fn bytes(&self) -> usize {
        self.code_size.max(0) as usize
    }

    /// The number of vectors that `x` holds; an error if it is not whole.
    pub fn rows(&self, x: &[u8]) -> Result<usize> {
        let size = self.bytes();
        match x.len().checked_rem(size) {
            Some(0) => Ok(x.len() / size),
            None if x.is_empty() => Ok(0),
            _ => Err(Error::failed(
                "x.size() % code_size == 0",
                format!("{} bytes are no whole vectors of {size}", x.len()),
            )),
        }
    }

    /// The number of queries of a search, whose arrays must agree.
    pub fn queries(&self, x: &[u8], k: usize, distances: &[i32], labels: &[i64]) -> Result<usize> {
        Error::check(k > 0, "k > 0")?;
        let n = if self.bytes() == 0 { labels.len() / k } else { self.rows(x)? };
        let agree = n.checked_mul(k).is_some_and(|size| distances.len() == size && labels.len() == size);
        Error::check(agree, "distances.size() == n * k && labels.size() == n * k")?;
        Ok(n)
    }

    /// `key` as an offset, if there is such a vector.
    pub fn position(&self, key: i64) -> Result<usize> {
        if key < 0 || key >= self.ntotal {
            return Err(Error::failed("key < ntotal", format!("no vector {key} among {}", self.ntotal)));
        }
        Ok(key as usize)
    }
}

/// An index over binary vectors of `d` bits, `d / 8` bytes each; they come as slices of `n * code_size` bytes, row-major.
///
/// `params` is a [`SearchParameters`](crate::index::SearchParameters) or a type derived from it. Results are ordered by Hamming distance, nearest
/// first; where fewer than `k` exist, the label is -1 and the distance [`WORST`].
pub trait IndexBinary: Object {
    /// What every binary index has.
    fn base(&self) -> &IndexBinaryBase;
    /// The same, to be changed.
    fn base_mut(&mut self) -> &mut IndexBinaryBase;

    /// Learns from `x` what the index needs before vectors can be added.
    fn train(&mut self, _x: &[u8]) -> Result<()> {
        Ok(())
    }
    /// Adds vectors; their ids count up from `ntotal`.
    fn add(&mut self, x: &[u8]) -> Result<()>;
    /// Adds vectors (n, d / 8) with ids of their own.
    fn add_with_ids(&mut self, _x: &[u8], _ids: &[i64]) -> Result<()> {
        Err(Error::unsupported("add_with_ids", self.info().name))
    }
    /// `distances` and `labels` hold `n * k` numbers each.
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()>;
    /// All vectors at a Hamming distance below `radius`.
    fn range_search(&self, _x: &[u8], _radius: i32, _params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        Err(Error::unsupported("range search", self.info().name))
    }
    /// Forgets all vectors, not the training.
    fn reset(&mut self) -> Result<()>;
    /// Writes the vector of that id to `out`, of `code_size` bytes.
    fn reconstruct(&self, _key: i64, _out: &mut [u8]) -> Result<()> {
        Err(Error::unsupported("reconstruct", self.info().name))
    }
    /// Removes the vectors that `sel` names and returns how many they were.
    fn remove_ids(&mut self, _sel: &dyn IDSelector) -> Result<usize> {
        Err(Error::unsupported("remove_ids", self.info().name))
    }
    /// An error that says why `other`'s vectors can't be moved here.
    fn check_compatible_for_merge(&self, _other: &dyn IndexBinary) -> Result<()> {
        Err(Error::unsupported("check_compatible_for_merge", self.info().name))
    }
    /// Moves all vectors of `other` here and leaves it empty; `add_id` is added to their ids.
    fn merge_from(&mut self, _other: &mut dyn IndexBinary, _add_id: i64) -> Result<()> {
        Err(Error::unsupported("merge_from", self.info().name))
    }
    /// Adds vectors, which are their own codes.
    fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
        match ids {
            Some(ids) => self.add_with_ids(codes, ids),
            None => self.add(codes),
        }
    }

    // What follows from the methods above.

    /// Bytes of one vector's code.
    fn sa_code_size(&self) -> usize {
        self.base().bytes()
    }
    /// The labels of a search, without the distances: `n * k`.
    fn assign(&self, x: &[u8], k: usize, labels: &mut [i64]) -> Result<()> {
        let mut distances = vec![0; labels.len()];
        self.search(x, k, None, &mut distances, labels)
    }
    /// The vectors `i0` to `i0 + ni - 1`.
    fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [u8]) -> Result<()> {
        let (ntotal, size) = (self.base().ntotal, self.base().bytes());
        let inside = i0 >= 0 && i64::try_from(ni).ok().and_then(|n| i0.checked_add(n)).is_some_and(|end| end <= ntotal);
        Error::check(ni == 0 || inside, "ni == 0 || (i0 >= 0 && i0 + ni <= ntotal)")?;
        Error::check(ni.checked_mul(size) == Some(out.len()), "recons.size() == ni * code_size")?;
        (0..ni).try_for_each(|i| self.reconstruct(i0 + i as i64, &mut out[i * size..(i + 1) * size]))
    }
    /// A search, and the vectors found: `n * k * code_size` bytes, of which all bits are set where there is no result.
    fn search_and_reconstruct(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
        recons: &mut [u8],
    ) -> Result<()> {
        let size = self.base().bytes();
        Error::check(labels.len().checked_mul(size) == Some(recons.len()), "recons.size() == n * k * code_size")?;
        self.search(x, k, params, distances, labels)?;
        for (label, out) in labels.iter().zip(recons.chunks_exact_mut(size.max(1))) {
            if *label < 0 {
                out.fill(u8::MAX);
            } else {
                self.reconstruct(*label, out)?;
            }
        }
        Ok(())
    }
}

crate::view!(IndexBinary, "IndexBinary");

/// An error where search parameters were given to an index that takes none.
fn no_params(params: Option<&dyn Object>) -> Result<()> {
    match params {
        Some(_) => Err(Error::failed("!params", "search params not supported for this index")),
        None => Ok(()),
    }
}

/// Inside `impl IndexBinary for T`, where `T` dereferences to its base.
macro_rules! binary_base {
    () => {
        fn base(&self) -> &$crate::binary::IndexBinaryBase {
            self
        }
        fn base_mut(&mut self) -> &mut $crate::binary::IndexBinaryBase {
            self
        }
    };
}
use binary_base;
