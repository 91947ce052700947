//! Indexes that store one code of fixed size a vector, one after the other. A type that names its quantizer ([`FlatCodes`]) has everything
//! else from here, by [`flat_codes_index`](crate::flat_codes_index).

use faiss_derive::{Object, methods};

use super::flat_scan::Scan;
use super::{DistanceComputer, Index, IndexBase, RangeSearchResult};
use crate::base::object::{Object, receiver_mut};
use crate::base::{Error, Result};
use crate::distance::results::{InRadius, TopK};
use crate::quantize::Quantizer;
use crate::quantize::codec::CodeComputer;
use crate::registry::Row;
use crate::selector::IDSelector;
use crate::storage::codes::Codes;

/// Base of the indexes that store one code of fixed size a vector.
#[derive(Object, Default, Clone)]
#[object(abstract, methods, implements(Index))]
pub struct IndexFlatCodes {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// Bytes of one code.
    pub code_size: usize,
    /// The codes, `ntotal * code_size` bytes.
    pub codes: Codes,
}

pub(crate) const ROW: Row = Row::of::<IndexFlatCodes>();

/// The most vectors whose codes have no bytes.
const MAX_WITHOUT_CODES: usize = 1 << 24;

#[methods]
impl IndexFlatCodes {
    /// Reorders the vectors: vector i becomes what vector perm[i] was. `perm` is a permutation of 0..ntotal.
    pub fn permute_entries(&mut self, perm: &[i64]) -> Result<()> {
        let n = self.count()?;
        self.codes.check_owned()?;
        let mut seen = vec![false; n];
        let valid = perm.len() == n
            && perm.iter().all(|p| usize::try_from(*p).is_ok_and(|p| p < n && !std::mem::replace(&mut seen[p], true)));
        Error::check(valid, "perm is a permutation of 0..ntotal")?;
        let mut codes = Codes::default();
        codes.try_reserve_exact(self.codes.len())?;
        for p in perm {
            let at = *p as usize * self.code_size;
            codes.extend_from_slice(&self.codes.as_slice()[at..at + self.code_size])?;
        }
        self.codes = codes;
        Ok(())
    }
}

impl IndexFlatCodes {
    /// Empty, of codes of so many bytes.
    pub fn new(base: IndexBase, code_size: usize) -> Self {
        IndexFlatCodes { base, code_size, codes: Codes::default() }
    }

    /// The number of vectors, after a check that the public fields still fit together.
    pub fn count(&self) -> Result<usize> {
        let n = usize::try_from(self.ntotal).ok().filter(|n| n.checked_mul(self.code_size) == Some(self.codes.len()));
        // Vectors without codes cost nothing in a file, but each costs its time in a search.
        let n = n.filter(|n| self.code_size > 0 || *n <= MAX_WITHOUT_CODES);
        n.ok_or_else(|| {
            let message =
                format!("{} bytes of codes for {} vectors of {} bytes", self.codes.len(), self.ntotal, self.code_size);
            Error::failed("codes.size() == ntotal * code_size", message)
        })
    }

    /// Stores `n` more codes.
    pub fn append(&mut self, codes: &[u8], n: usize) -> Result<()> {
        self.count()?;
        Error::check(n.checked_mul(self.code_size) == Some(codes.len()), "codes.size() == n * code_size")?;
        self.codes.extend_from_slice(codes)?;
        self.base.ntotal += n as i64;
        Ok(())
    }
}

impl Index for IndexFlatCodes {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }

    fn reset(&mut self) -> Result<()> {
        self.codes.clear();
        self.base.ntotal = 0;
        Ok(())
    }

    fn sa_code_size(&self) -> Result<usize> {
        Ok(self.code_size)
    }

    fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
        Error::check(ids.is_none(), "ids of added codes count up and can't be given")?;
        Error::check(codes.len().is_multiple_of(self.code_size), "codes.size() % code_size == 0")?;
        self.append(codes, codes.len().checked_div(self.code_size).unwrap_or(0))
    }

    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let n = self.count()?;
        self.codes.check_owned()?;
        let mut removed = vec![false; n];
        // All questions are asked before anything moves: a selector may fail or look at the index.
        sel.mark(0..n as i64, &mut removed);
        let (size, mut kept) = (self.code_size, 0);
        let codes = self.codes.as_mut_slice();
        for i in (0..n).filter(|i| !removed[*i]) {
            if i != kept {
                codes.copy_within(i * size..(i + 1) * size, kept * size);
            }
            kept += 1;
        }
        self.codes.truncate(kept * size);
        self.base.ntotal = kept as i64;
        Ok(n - kept)
    }

    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        let theirs = crate::base::object::receiver::<IndexFlatCodes>(other)?;
        Error::check(theirs.d == self.d, "other.d == d")?;
        Error::check(theirs.code_size == self.code_size, "other->code_size == code_size")
    }

    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        if add_id != 0 {
            return Err(Error::failed("!(add_id == 0)", "cannot set ids in FlatCodes index"));
        }
        self.check_compatible_for_merge(other)?;
        let theirs = receiver_mut::<IndexFlatCodes>(other)?;
        let n = theirs.count()?;
        self.append(theirs.codes.as_slice(), n)?;
        other.reset()
    }
}

/// The part of [`Index::check_compatible_for_merge`] that only the most derived type can do.
pub fn check_same_type(this: &dyn Index, other: &dyn Index) -> Result<()> {
    Error::check(other.base().d == this.base().d, "other.d == d")?;
    if !std::ptr::eq(this.info(), other.info()) {
        return Err(Error::failed("!(typeid(*this) == typeid(*other))", "can only merge indexes of the same type"));
    }
    Ok(())
}

/// An index of the codes of one quantizer. What is not here follows from the quantizer.
pub trait FlatCodes: Index {
    /// The codes.
    fn flat_codes(&self) -> &IndexFlatCodes;
    /// The same, to be changed.
    fn flat_codes_mut(&mut self) -> &mut IndexFlatCodes;
    /// Makes and compares the codes.
    fn codec(&self) -> &dyn Quantizer;
    /// What makes codes, to be trained.
    fn codec_mut(&mut self) -> &mut dyn Quantizer;

    /// Trains what makes codes on vectors (n, d).
    fn train_codec(&mut self, x: &[f32]) -> Result<()> {
        self.codec_mut().train(x)
    }

    /// The number of vectors, after a check that the public fields fit together.
    fn check_codes(&self) -> Result<usize> {
        let (codes, codec) = (self.flat_codes(), self.codec());
        codec.check()?;
        let base = codec.quantizer_base();
        let same = base.d == codes.dim() && base.code_size == codes.code_size;
        Error::check(same, "the quantizer's d and code_size are the index's")?;
        codes.count()
    }

    /// The `k` best of each query; see [`Index::search`].
    fn search_codes(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        let codes = self.flat_codes();
        codes.queries(x, k, distances, labels)?;
        let out = TopK::new(codes.metric_type, k, distances, labels);
        self.check_codes()?;
        let (codec, metric) = (self.codec(), codes.metric_type);
        Scan::new(codes, x, params, || codec.code_distances(metric))?.search(k, &out)
    }

    /// All within a radius; see [`Index::range_search`].
    fn range_search_codes(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        self.check_codes()?;
        let (codes, codec) = (self.flat_codes(), self.codec());
        let (n, metric) = (codes.rows(x)?, codes.metric_type);
        let out = InRadius::new(metric, n);
        Scan::new(codes, x, params, || codec.code_distances(metric))?.range_search(n, radius, &out)?;
        Ok(out.finish())
    }
}

/// Inside `impl FlatCodes for T`: where the codes are, and the field that makes them, or nothing where `T` does it itself.
#[macro_export]
macro_rules! codes_and_codec {
    ($($codes:ident).+ $(, $codec:ident)?) => {
        fn flat_codes(&self) -> &$crate::index::flat_codes::IndexFlatCodes {
            &self.$($codes).+
        }
        fn flat_codes_mut(&mut self) -> &mut $crate::index::flat_codes::IndexFlatCodes {
            &mut self.$($codes).+
        }
        fn codec(&self) -> &dyn $crate::quantize::Quantizer {
            &(*self)$(.$codec)?
        }
        fn codec_mut(&mut self) -> &mut dyn $crate::quantize::Quantizer {
            &mut (*self)$(.$codec)?
        }
    };
}

/// Inside `impl Index for T`, where `T` is a [`FlatCodes`]: all of it.
#[macro_export]
macro_rules! flat_codes_index {
    () => {
        fn base(&self) -> &$crate::index::IndexBase {
            self
        }
        fn base_mut(&mut self) -> &mut $crate::index::IndexBase {
            self
        }
        fn parent_index(&self) -> Option<&dyn $crate::index::Index> {
            Some($crate::index::flat_codes::FlatCodes::flat_codes(self))
        }
        fn parent_index_mut(&mut self) -> Option<&mut dyn $crate::index::Index> {
            Some($crate::index::flat_codes::FlatCodes::flat_codes_mut(self))
        }
        fn train(&mut self, x: &[f32]) -> $crate::base::Result<()> {
            self.rows(x)?;
            $crate::index::flat_codes::FlatCodes::train_codec(self, x)?;
            self.is_trained = true;
            Ok(())
        }
        fn add(&mut self, x: &[f32]) -> $crate::base::Result<()> {
            let codes = $crate::index::flat_codes::encode(self, x)?;
            let n = self.rows(x)?;
            $crate::index::flat_codes::FlatCodes::flat_codes_mut(self).append(&codes, n)
        }
        fn search(
            &self,
            x: &[f32],
            k: usize,
            params: Option<&dyn $crate::base::Object>,
            distances: &mut [f32],
            labels: &mut [i64],
        ) -> $crate::base::Result<()> {
            $crate::index::flat_codes::FlatCodes::search_codes(self, x, k, params, distances, labels)
        }
        fn range_search(
            &self,
            x: &[f32],
            radius: f32,
            params: Option<&dyn $crate::base::Object>,
        ) -> $crate::base::Result<$crate::index::RangeSearchResult> {
            $crate::index::flat_codes::FlatCodes::range_search_codes(self, x, radius, params)
        }
        fn reconstruct(&self, key: i64, out: &mut [f32]) -> $crate::base::Result<()> {
            self.position(key)?;
            $crate::index::flat_codes::reconstruct_n(self, key, 1, out)
        }
        fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> $crate::base::Result<()> {
            $crate::index::flat_codes::reconstruct_n(self, i0, ni, out)
        }
        fn sa_encode(&self, x: &[f32], codes: &mut [u8]) -> $crate::base::Result<()> {
            $crate::base::Error::check(self.is_trained, "is_trained")?;
            $crate::index::flat_codes::FlatCodes::codec(self).compute_codes(x, codes)
        }
        fn sa_decode(&self, codes: &[u8], x: &mut [f32]) -> $crate::base::Result<()> {
            $crate::index::flat_codes::FlatCodes::codec(self).decode(codes, x)
        }
        fn check_compatible_for_merge(&self, other: &dyn $crate::index::Index) -> $crate::base::Result<()> {
            $crate::index::flat_codes::check_same_type(self, other)?;
            $crate::index::flat_codes::FlatCodes::flat_codes(self).check_compatible_for_merge(other)
        }
        fn merge_from(&mut self, other: &mut dyn $crate::index::Index, add_id: i64) -> $crate::base::Result<()> {
            $crate::index::Index::check_compatible_for_merge(self, other)?;
            $crate::index::flat_codes::FlatCodes::flat_codes_mut(self).merge_from(other, add_id)
        }
        fn get_distance_computer(&self) -> $crate::base::Result<Box<dyn $crate::index::DistanceComputer + '_>> {
            $crate::index::flat_codes::get_distance_computer(self)
        }
    };
}

/// The codes of vectors that are to be added.
pub fn encode(index: &dyn FlatCodes, x: &[f32]) -> Result<Vec<u8>> {
    let own = index.flat_codes();
    Error::check(own.is_trained, "is_trained")?;
    index.check_codes()?;
    let size = own.rows(x)?.checked_mul(own.code_size).ok_or_else(|| Error::failed("n * code_size fits", ""))?;
    let mut codes = vec![0; size];
    index.codec().compute_codes(x, &mut codes)?;
    Ok(codes)
}

/// The vectors `i0` to `i0 + ni - 1`.
pub fn reconstruct_n(index: &dyn FlatCodes, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
    index.check_codes()?;
    let own = index.flat_codes();
    let first = own.checked_range(i0, ni, out)?;
    index.codec().decode(&own.codes.as_slice()[first * own.code_size..(first + ni) * own.code_size], out)
}

pub(crate) fn get_distance_computer(index: &dyn FlatCodes) -> Result<Box<dyn DistanceComputer + '_>> {
    index.check_codes()?;
    let own = index.flat_codes();
    Ok(Box::new(CodeComputer::new(index.codec(), own.metric_type, own.codes.as_slice())?))
}
