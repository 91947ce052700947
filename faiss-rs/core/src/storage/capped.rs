//! Inverted lists of which no more than so many entries are seen.

use std::borrow::Cow;

use faiss_derive::{Object, methods};

use super::lists::{InvertedLists, InvertedListsBase, Layout};
use crate::base::{Error, Result, Shared};
use crate::registry::Row;

/// Shows the first `maxsize` entries of each of other lists; what changes them goes through.
#[derive(Object, Default)]
#[object(methods, implements(InvertedLists))]
pub struct CappedInvertedLists {
    #[object(parent)]
    base: InvertedListsBase,
    /// The lists.
    #[object(readonly)]
    pub il0: Option<Shared<dyn InvertedLists>>,
    /// The most entries of a list that are seen.
    pub maxsize: usize,
}

pub(crate) const ROW: Row = Row::of::<CappedInvertedLists>();

#[methods]
impl CappedInvertedLists {
    /// The first `maxsize` entries of each list of `il0`.
    #[new]
    pub fn new(il0: Shared<dyn InvertedLists>, maxsize: usize) -> Result<Self> {
        let base = {
            let lists = il0.read();
            Error::check(lists.layout() == Layout::Rows, "codes lie one after the other")?;
            InvertedListsBase { nlist: lists.base().nlist, code_size: lists.base().code_size, use_iterator: false }
        };
        Ok(CappedInvertedLists { base, il0: Some(il0), maxsize })
    }

    /// Number of entries of a list, those that are not seen too.
    fn real_list_size(&self, list_no: i64) -> Result<usize> {
        Ok(self.inner()?.read().list_size(self.check_list(list_no)?))
    }
}

impl CappedInvertedLists {
    fn inner(&self) -> Result<&Shared<dyn InvertedLists>> {
        self.il0.as_ref().ok_or_else(|| Error::failed("il0", "there are no lists"))
    }
}

impl InvertedLists for CappedInvertedLists {
    fn base(&self) -> &InvertedListsBase {
        self
    }
    fn list_size(&self, list: usize) -> usize {
        self.il0.as_ref().map_or(0, |lists| lists.read().list_size(list)).min(self.maxsize)
    }
    fn codes(&self, list: usize) -> Cow<'_, [u8]> {
        let Some(lists) = &self.il0 else { return Cow::Borrowed(&[]) };
        let mut codes = lists.read().codes(list).into_owned();
        codes.truncate(self.maxsize.saturating_mul(self.base.code_size));
        Cow::Owned(codes)
    }
    fn ids(&self, list: usize) -> Cow<'_, [i64]> {
        let Some(lists) = &self.il0 else { return Cow::Borrowed(&[]) };
        let mut ids = lists.read().ids(list).into_owned();
        ids.truncate(self.maxsize);
        Cow::Owned(ids)
    }
    fn check_can_write(&self) -> Result<()> {
        self.inner()?.read().check_can_write()
    }
    fn add_entries(&mut self, list: usize, ids: &[i64], codes: &[u8]) -> Result<usize> {
        self.inner()?.write().add_entries(list, ids, codes)
    }
    fn update_entries(&mut self, list: usize, offset: usize, ids: &[i64], codes: &[u8]) -> Result<()> {
        self.inner()?.write().update_entries(list, offset, ids, codes)
    }
    fn resize(&mut self, list: usize, n: usize) -> Result<()> {
        self.inner()?.write().resize(list, n)
    }
}
