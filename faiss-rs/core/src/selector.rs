//! ID selectors: which ids a search may return, or a removal takes. Sees only base.

use crate::base::Object;

/// Decides by id. Called from several threads at once.
pub trait IDSelector: Object {
    fn is_member(&self, id: i64) -> bool;
}
