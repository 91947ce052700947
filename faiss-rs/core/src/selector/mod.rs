//! ID selectors: which ids a search may return, or a removal takes. Sees only base.

pub mod logic;
pub mod sets;
pub mod shared_ids;

use std::ops::Range;

use faiss_derive::{Object, methods};

use crate::base::{Object, Shared};
use crate::registry::Row;
use shared_ids::SharedIds;

/// Decides by id. Called from several threads at once.
pub trait IDSelector: Object {
    /// Whether an id counts.
    fn is_member(&self, id: i64) -> bool;

    /// Where all members are among `ids`, if this selector knows that those are in ascending order and where its own are.
    fn sorted_bounds(&self, _ids: &[i64]) -> Option<Range<usize>> {
        None
    }

    /// Writes to `out` which of the consecutive `ids` are members. Searches ask once for all ids instead of once a comparison.
    fn mark(&self, ids: Range<i64>, out: &mut [bool]) {
        for (id, member) in ids.zip(out) {
            *member = self.is_member(id);
        }
    }
}

crate::view!(IDSelector, "IDSelector");

/// What all selectors are.
#[derive(Object, Default, Clone)]
#[object(name = "IDSelector", abstract)]
pub struct IDSelectorBase {}

pub(crate) const ROW: Row = Row::of::<IDSelectorBase>();

/// Ids in `[imin, imax)`.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IDSelector))]
pub struct IDSelectorRange {
    #[object(parent)]
    base: IDSelectorBase,
    /// The first id that is a member.
    pub imin: i64,
    /// One past the last.
    pub imax: i64,
    /// The ids of every inverted list are in ascending order, so that a list is searched between two bounds.
    pub assume_sorted: bool,
}

#[methods]
impl IDSelectorRange {
    #[new]
    fn constructor(imin: i64, imax: i64, #[default = false] assume_sorted: bool) -> Self {
        IDSelectorRange { assume_sorted, ..IDSelectorRange::new(imin, imax) }
    }
}

impl IDSelectorRange {
    /// The ids from `imin` to `imax - 1`.
    pub fn new(imin: i64, imax: i64) -> Self {
        IDSelectorRange { imin, imax, ..Default::default() }
    }

    /// Where the members are among `ids`, which are in ascending order.
    pub fn find_sorted_ids_bounds(&self, ids: &[i64]) -> Range<usize> {
        let first = ids.partition_point(|id| *id < self.imin);
        let end = ids.partition_point(|id| *id < self.imax);
        first..end.max(first)
    }
}

impl IDSelector for IDSelectorRange {
    fn is_member(&self, id: i64) -> bool {
        self.imin <= id && id < self.imax
    }
    fn sorted_bounds(&self, ids: &[i64]) -> Option<Range<usize>> {
        self.assume_sorted.then(|| self.find_sorted_ids_bounds(ids))
    }
}

pub(crate) const RANGE: Row = Row::of::<IDSelectorRange>();

/// Every id.
#[derive(Object, Default, Clone)]
#[object(new, implements(IDSelector))]
pub struct IDSelectorAll {
    #[object(parent)]
    base: IDSelectorBase,
}

impl IDSelector for IDSelectorAll {
    fn is_member(&self, _id: i64) -> bool {
        true
    }
}

pub(crate) const ALL: Row = Row::of::<IDSelectorAll>();

/// The ids that a function of the program holds for members: a selector of one's own. It is called by several threads at once.
///
/// ```
/// # use faiss_core as faiss;
/// use faiss::selector::{IDSelector, IDSelectorFn};
///
/// let even = IDSelectorFn::new(|id| id % 2 == 0);
/// assert!(even.is_member(4) && !even.is_member(5));
/// ```
#[derive(Object, Default)]
#[object(abstract, implements(IDSelector))]
pub struct IDSelectorFn {
    #[object(parent)]
    base: IDSelectorBase,
    function: Option<Box<dyn Fn(i64) -> bool + Send + Sync>>,
}

impl IDSelectorFn {
    /// The ids for which the function is true.
    pub fn new(function: impl Fn(i64) -> bool + Send + Sync + 'static) -> Self {
        IDSelectorFn { function: Some(Box::new(function)), ..Default::default() }
    }
}

impl IDSelector for IDSelectorFn {
    fn is_member(&self, id: i64) -> bool {
        self.function.as_ref().is_some_and(|function| function(id))
    }
}

/// Members are the places of ids that another selector has: how an index with ids of the user's own asks one whose ids count up, at the cost of
/// the ids that are asked for.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IDSelector), copy)]
pub struct IDSelectorTranslated {
    #[object(parent)]
    base: IDSelectorBase,
    /// The ids by place.
    #[object(readonly)]
    pub id_map: SharedIds,
    /// Whose members count.
    pub sel: Option<Shared<dyn IDSelector>>,
}

#[methods]
impl IDSelectorTranslated {
    #[new]
    fn of(id_map: &[i64], sel: Option<Shared<dyn IDSelector>>) -> Self {
        IDSelectorTranslated { id_map: SharedIds::new(id_map.to_vec()), sel, ..Default::default() }
    }
}

impl IDSelectorTranslated {
    /// Place `i` is a member where `sel` has `ids[i]`.
    pub fn new(ids: SharedIds, sel: Shared<dyn IDSelector>) -> Self {
        IDSelectorTranslated { id_map: ids, sel: Some(sel), ..Default::default() }
    }
}

pub(crate) const TRANSLATED: Row = Row::of::<IDSelectorTranslated>();

impl IDSelector for IDSelectorTranslated {
    fn is_member(&self, id: i64) -> bool {
        let own = usize::try_from(id).ok().and_then(|at| self.id_map.get(at));
        own.zip(self.sel.as_ref()).is_some_and(|(own, sel)| sel.read().is_member(*own))
    }
    fn mark(&self, ids: Range<i64>, out: &mut [bool]) {
        let sel = self.sel.as_ref().map(|sel| sel.read());
        for (id, member) in ids.zip(out) {
            let own = usize::try_from(id).ok().and_then(|at| self.id_map.get(at));
            *member = own.zip(sel.as_ref()).is_some_and(|(own, sel)| sel.is_member(*own));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Handle;

    #[test]
    fn mark_agrees_with_is_member() {
        let shared = |h: Handle| h.view::<dyn IDSelector>().unwrap();
        let range = || shared(Handle::new(IDSelectorRange::new(3, 9)));
        let array = || shared(Handle::new(sets::IDSelectorArray::new(vec![-5, 1, 4, 4, 8, 70])));
        let all: Vec<Shared<dyn IDSelector>> = vec![
            range(),
            array(),
            shared(Handle::new(sets::IDSelectorBatch::new(&[2, 4, 6, i64::MIN, i64::MAX]))),
            shared(Handle::new(sets::IDSelectorBitmap::new(2, vec![0b1010_0101, 1]))),
            shared(Handle::new(IDSelectorAll::default())),
            shared(Handle::new(logic::IDSelectorNot::new(Some(range())))),
            shared(Handle::new(logic::IDSelectorAnd::new(Some(range()), Some(array())))),
            shared(Handle::new(logic::IDSelectorOr::new(Some(range()), Some(array())))),
            shared(Handle::new(logic::IDSelectorXOr::new(Some(range()), Some(array())))),
        ];
        for selector in all {
            let selector = selector.read();
            for start in [-7, 0, 3] {
                let mut marks = [true; 25];
                selector.mark(start..start + 25, &mut marks);
                for (i, m) in marks.iter().enumerate() {
                    assert_eq!(
                        *m,
                        selector.is_member(start + i as i64),
                        "{} at {}",
                        selector.info().name,
                        start + i as i64
                    );
                }
            }
        }
    }

    #[test]
    fn bounds_of_sorted_ids() {
        let ids = [1, 3, 5, 7];
        assert_eq!(IDSelectorRange::new(3, 7).find_sorted_ids_bounds(&ids), 1..3);
        assert_eq!(IDSelectorRange::new(7, 3).find_sorted_ids_bounds(&ids), 3..3);
        assert_eq!(IDSelectorRange::new(-9, 99).find_sorted_ids_bounds(&ids), 0..4);
    }
}
