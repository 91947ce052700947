//! Inverted lists made of other lists, which they show in another way. They can be read only, and have no form in files.

use std::borrow::Cow;

use faiss_derive::{Object, methods};

use super::lists::{InvertedLists, InvertedListsBase, Layout};
use crate::base::{Error, Result, Shared};
use crate::registry::Row;

/// What all lists are that can be read only.
#[derive(Object, Default, Clone)]
#[object(name = "ReadOnlyInvertedLists", abstract)]
pub struct ReadOnlyInvertedListsBase {
    /// What all lists have.
    #[object(parent)]
    pub base: InvertedListsBase,
}

pub(crate) const READ_ONLY: Row = Row::of::<ReadOnlyInvertedListsBase>();

/// Other lists, as they are shared.
type Lists = Shared<dyn InvertedLists>;

fn base(nlist: usize, code_size: usize) -> ReadOnlyInvertedListsBase {
    ReadOnlyInvertedListsBase { base: InvertedListsBase { nlist, code_size, use_iterator: false } }
}

/// Several lists' size of codes, which is one.
fn common_code_size(lists: &[Lists]) -> Result<usize> {
    let Some(first) = lists.first() else { return Err(Error::failed("nil > 0", "lists of no lists")) };
    let size = first.read().base().code_size;
    for lists in lists {
        let lists = lists.read();
        Error::check(lists.base().code_size == size, "ils[i]->code_size == code_size")?;
        Error::check(
            lists.layout() == Layout::Rows,
            "the codes of lists that others are made of lie one after the other",
        )?;
    }
    Ok(size)
}

/// A list of others', copied: their lock is not held while it is used.
struct Part<'a>(&'a Lists, usize);

impl Part<'_> {
    fn size(&self) -> usize {
        self.0.read().list_size(self.1)
    }
    fn codes(&self) -> Vec<u8> {
        self.0.read().codes(self.1).into_owned()
    }
    fn ids(&self) -> Vec<i64> {
        self.0.read().ids(self.1).into_owned()
    }
    fn prefetch(&self) {
        self.0.read().prefetch_lists(&[self.1 as i64]);
    }
}

/// `impl InvertedLists` for a type whose `parts(list)` says of which lists a list consists, one after the other.
macro_rules! made_of_parts {
    ($($ty:ty),*) => {$(
        impl InvertedLists for $ty {
            fn base(&self) -> &InvertedListsBase {
                self
            }
            fn list_size(&self, list: usize) -> usize {
                self.parts(list).map(|part| part.size()).sum()
            }
            fn codes(&self, list: usize) -> Cow<'_, [u8]> {
                Cow::Owned(self.parts(list).flat_map(|part| part.codes()).collect())
            }
            fn ids(&self, list: usize) -> Cow<'_, [i64]> {
                Cow::Owned(self.parts(list).flat_map(|part| part.ids()).collect())
            }
            fn prefetch_lists(&self, lists: &[i64]) {
                for list in lists.iter().filter_map(|list| self.check_list(*list).ok()) {
                    self.parts(list).for_each(|part| part.prefetch());
                }
            }
            fn check_can_write(&self) -> Result<()> {
                Err(Error::failed("", "not implemented: these lists can be read only"))
            }
            fn add_entries(&mut self, _: usize, _: &[i64], _: &[u8]) -> Result<usize> {
                self.check_can_write().map(|()| 0)
            }
            fn update_entries(&mut self, _: usize, _: usize, _: &[i64], _: &[u8]) -> Result<()> {
                self.check_can_write()
            }
            fn resize(&mut self, _: usize, _: usize) -> Result<()> {
                self.check_can_write()
            }
        }
    )*};
}
made_of_parts!(
    HStackInvertedLists,
    VStackInvertedLists,
    SliceInvertedLists,
    MaskedInvertedLists,
    StopWordsInvertedLists
);

/// Each list is that list of several others, one after the other.
#[derive(Object, Default)]
#[object(methods, implements(InvertedLists))]
pub struct HStackInvertedLists {
    #[object(parent)]
    base: ReadOnlyInvertedListsBase,
    /// The other lists.
    #[object(readonly)]
    pub ils: Vec<Lists>,
}

#[methods]
impl HStackInvertedLists {
    /// Over lists that are as many in all.
    #[new]
    pub fn new(#[class = "list[InvertedLists]"] ils: Vec<Lists>) -> Result<Self> {
        let code_size = common_code_size(&ils)?;
        let nlist = ils[0].read().base().nlist;
        let same = ils.iter().all(|lists| lists.read().base().nlist == nlist);
        Error::check(same, "ils[i]->nlist == nlist")?;
        Ok(HStackInvertedLists { base: base(nlist, code_size), ils })
    }
}

impl HStackInvertedLists {
    fn parts(&self, list: usize) -> impl Iterator<Item = Part<'_>> {
        self.ils.iter().map(move |lists| Part(lists, list))
    }
}

/// The lists of several others, one after the other.
#[derive(Object, Default)]
#[object(methods, implements(InvertedLists))]
pub struct VStackInvertedLists {
    #[object(parent)]
    base: ReadOnlyInvertedListsBase,
    /// The other lists.
    #[object(readonly)]
    pub ils: Vec<Lists>,
    /// The number of the first list of each, and of the one past the last.
    #[object(readonly)]
    pub cumsz: Vec<usize>,
}

#[methods]
impl VStackInvertedLists {
    /// The lists of several, one after the other.
    #[new]
    pub fn new(#[class = "list[InvertedLists]"] ils: Vec<Lists>) -> Result<Self> {
        let code_size = common_code_size(&ils)?;
        let mut cumsz = vec![0usize];
        for lists in &ils {
            let sum = cumsz[cumsz.len() - 1].checked_add(lists.read().base().nlist);
            cumsz.push(sum.ok_or_else(|| Error::failed("nlist fits", ""))?);
        }
        Ok(VStackInvertedLists { base: base(cumsz[ils.len()], code_size), ils, cumsz })
    }
}

impl VStackInvertedLists {
    fn parts(&self, list: usize) -> impl Iterator<Item = Part<'_>> {
        let at = self.cumsz.partition_point(|first| *first <= list) - 1;
        std::iter::once(Part(&self.ils[at], list - self.cumsz[at]))
    }
}

/// The lists from one number to before another of others.
#[derive(Object, Default)]
#[object(methods, implements(InvertedLists))]
pub struct SliceInvertedLists {
    #[object(parent)]
    base: ReadOnlyInvertedListsBase,
    /// The other lists.
    #[object(readonly)]
    pub il: Option<Lists>,
    /// The first.
    #[object(readonly)]
    pub i0: i64,
    /// One past the last.
    #[object(readonly)]
    pub i1: i64,
}

#[methods]
impl SliceInvertedLists {
    /// The lists `i0` to `i1 - 1`.
    #[new]
    pub fn new(il: Lists, i0: i64, i1: i64) -> Result<Self> {
        let code_size = common_code_size(std::slice::from_ref(&il))?;
        let nlist = il.read().base().nlist as i64;
        Error::check(0 <= i0 && i0 <= i1 && i1 <= nlist, "0 <= i0 && i0 <= i1 && i1 <= il->nlist")?;
        Ok(SliceInvertedLists { base: base((i1 - i0) as usize, code_size), il: Some(il), i0, i1 })
    }
}

impl SliceInvertedLists {
    fn parts(&self, list: usize) -> impl Iterator<Item = Part<'_>> {
        self.il.iter().map(move |lists| Part(lists, list + self.i0 as usize))
    }
}

/// The first's list where it has entries, else the second's.
#[derive(Object, Default)]
#[object(methods, implements(InvertedLists))]
pub struct MaskedInvertedLists {
    #[object(parent)]
    base: ReadOnlyInvertedListsBase,
    /// The first lists.
    #[object(readonly)]
    pub il0: Option<Lists>,
    /// The second.
    #[object(readonly)]
    pub il1: Option<Lists>,
}

#[methods]
impl MaskedInvertedLists {
    /// The entries of `il0`, or of `il1` where it has none.
    #[new]
    pub fn new(il0: Lists, il1: Lists) -> Result<Self> {
        let HStackInvertedLists { base, .. } = HStackInvertedLists::new(vec![il0.clone(), il1.clone()])?;
        Ok(MaskedInvertedLists { base, il0: Some(il0), il1: Some(il1) })
    }
}

impl MaskedInvertedLists {
    fn parts(&self, list: usize) -> impl Iterator<Item = Part<'_>> {
        let of = |lists| Part(lists, list);
        self.il0.iter().chain(&self.il1).map(of).find(|part| part.size() > 0).into_iter()
    }
}

/// Lists of `maxsize` entries or more count as empty, as words that are in every text do.
#[derive(Object, Default)]
#[object(methods, implements(InvertedLists))]
pub struct StopWordsInvertedLists {
    #[object(parent)]
    base: ReadOnlyInvertedListsBase,
    /// The other lists.
    #[object(readonly, name = "il0")]
    pub il: Option<Lists>,
    /// A list that counts has fewer entries.
    pub maxsize: usize,
}

#[methods]
impl StopWordsInvertedLists {
    /// The lists of up to `maxsize` entries; others are empty.
    #[new]
    pub fn new(il: Lists, maxsize: usize) -> Result<Self> {
        let code_size = common_code_size(std::slice::from_ref(&il))?;
        let nlist = il.read().base().nlist;
        Ok(StopWordsInvertedLists { base: base(nlist, code_size), il: Some(il), maxsize })
    }
}

impl StopWordsInvertedLists {
    fn parts(&self, list: usize) -> impl Iterator<Item = Part<'_>> {
        self.il.iter().map(move |lists| Part(lists, list)).filter(|part| part.size() < self.maxsize)
    }
}

pub(crate) const HSTACK: Row = Row::of::<HStackInvertedLists>();

pub(crate) const VSTACK: Row = Row::of::<VStackInvertedLists>();

pub(crate) const SLICE: Row = Row::of::<SliceInvertedLists>();

pub(crate) const MASKED: Row = Row::of::<MaskedInvertedLists>();

pub(crate) const STOP_WORDS: Row = Row::of::<StopWordsInvertedLists>();
