//! Indexes that store one code of fixed size a vector, one after the other.

use faiss_derive::Object;

use super::{Index, IndexBase};
use crate::base::object::{Method, MethodCall, receiver_mut};
use crate::base::{Error, Result, Value};
use crate::registry::{Row, no_overload};
use crate::selector::IDSelector;
use crate::storage::codes::Codes;

/// Base of the indexes that store one code of fixed size a vector.
#[derive(Object, Default, Clone)]
#[object(abstract, methods = METHODS, implements(Index))]
pub struct IndexFlatCodes {
    #[object(parent)]
    pub base: IndexBase,
    /// Bytes of one code.
    pub code_size: usize,
    /// The codes, `ntotal * code_size` bytes.
    pub codes: Codes,
}

pub const ROW: Row = Row::of::<IndexFlatCodes>();

const METHODS: &[Method] = &[Method {
    name: "permute_entries",
    signature: "(self, perm: numpy.ndarray) -> None",
    doc: "Reorders the vectors: vector i becomes what vector perm[i] was. `perm` is a permutation of 0..ntotal.",
    call: MethodCall::Write(|object, args| {
        let [Value::I64(perm, _)] = args else {
            return Err(no_overload("permute_entries", &["(perm: numpy.ndarray)"]));
        };
        receiver_mut::<IndexFlatCodes>(object)?.permute_entries(perm)?;
        Ok(Value::None)
    }),
}];

impl IndexFlatCodes {
    pub fn new(base: IndexBase, code_size: usize) -> Self {
        IndexFlatCodes { base, code_size, codes: Codes::default() }
    }

    /// The number of vectors, after a check that the public fields still fit together.
    pub fn count(&self) -> Result<usize> {
        let n = usize::try_from(self.ntotal).ok().filter(|n| n.checked_mul(self.code_size) == Some(self.codes.len()));
        n.ok_or_else(|| {
            let message =
                format!("{} bytes of codes for {} vectors of {} bytes", self.codes.len(), self.ntotal, self.code_size);
            Error::failed("codes.size() == ntotal * code_size", message)
        })
    }

    /// Stores more codes.
    pub fn append(&mut self, codes: &[u8]) -> Result<()> {
        self.count()?;
        Error::check(codes.len().is_multiple_of(self.code_size), "codes.size() % code_size == 0")?;
        self.codes.extend_from_slice(codes)?;
        self.base.ntotal += codes.len().checked_div(self.code_size).unwrap_or(0) as i64;
        Ok(())
    }

    /// Vector `i` becomes what vector `perm[i]` was.
    pub fn permute_entries(&mut self, perm: &[i64]) -> Result<()> {
        let n = self.count()?;
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
        self.append(codes)
    }

    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let n = self.count()?;
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
        theirs.count()?;
        self.append(theirs.codes.as_slice())?;
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
