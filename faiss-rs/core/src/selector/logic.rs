//! Selectors made of other selectors. One without an operand has no members of that operand.

use std::ops::Range;

use faiss_derive::{Object, methods};

use super::{IDSelector, IDSelectorBase};
use crate::base::Shared;
use crate::registry::Row;

type Operand = Option<Shared<dyn IDSelector>>;

fn member(operand: &Operand, id: i64) -> bool {
    operand.as_ref().is_some_and(|s| s.read().is_member(id))
}

fn marks(operand: &Operand, ids: Range<i64>, out: &mut [bool]) {
    match operand {
        Some(s) => s.read().mark(ids, out),
        None => out.fill(false),
    }
}

/// What another selector leaves out.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IDSelector))]
pub struct IDSelectorNot {
    #[object(parent)]
    base: IDSelectorBase,
    /// The other selector.
    pub sel: Operand,
}

#[methods]
impl IDSelectorNot {
    /// Which ids another selector does not have.
    #[new]
    pub fn new(sel: Option<Shared<dyn IDSelector>>) -> Self {
        IDSelectorNot { base: IDSelectorBase {}, sel }
    }
}

impl IDSelector for IDSelectorNot {
    fn is_member(&self, id: i64) -> bool {
        !member(&self.sel, id)
    }
    fn mark(&self, ids: Range<i64>, out: &mut [bool]) {
        marks(&self.sel, ids, out);
        out.iter_mut().for_each(|m| *m = !*m);
    }
}

pub(crate) const NOT: Row = Row::of::<IDSelectorNot>();

macro_rules! binary_selector {
    ($(#[$doc:meta])* $name:ident, $row:ident, $combine:expr) => {
        $(#[$doc])*
        #[derive(Object, Default, Clone)]
        #[object(methods, implements(IDSelector))]
        pub struct $name {
            #[object(parent)]
            base: IDSelectorBase,
            /// One selector.
            pub lhs: Operand,
            /// The other.
            pub rhs: Operand,
        }

        #[methods]
        impl $name {
            /// Of two selectors.
            #[new]
            pub fn new(lhs: Option<Shared<dyn IDSelector>>, rhs: Option<Shared<dyn IDSelector>>) -> Self {
                $name { base: IDSelectorBase {}, lhs, rhs }
            }
        }

        impl IDSelector for $name {
            fn is_member(&self, id: i64) -> bool {
                let combine: fn(bool, bool) -> bool = $combine;
                combine(member(&self.lhs, id), member(&self.rhs, id))
            }
            fn mark(&self, ids: Range<i64>, out: &mut [bool]) {
                let combine: fn(bool, bool) -> bool = $combine;
                let mut right = vec![false; out.len()];
                marks(&self.lhs, ids.clone(), out);
                marks(&self.rhs, ids, &mut right);
                out.iter_mut().zip(right).for_each(|(l, r)| *l = combine(*l, r));
            }
        }

        pub(crate) const $row: Row = Row::of::<$name>();
    };
}

binary_selector! {
    /// What both selectors hold.
    IDSelectorAnd, AND, |l, r| l && r
}
binary_selector! {
    /// What either selector holds.
    IDSelectorOr, OR, |l, r| l || r
}
binary_selector! {
    /// What exactly one of two selectors holds.
    IDSelectorXOr, XOR, |l, r| l != r
}
