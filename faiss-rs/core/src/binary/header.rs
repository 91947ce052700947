//! The part of a file that every binary index begins with, and binary indexes inside others' files.

use super::{IndexBinary, IndexBinaryBase};
use crate::base::{Error, Result, Shared};

/// The largest dimension of a file, in bits.
const MAX_D: i32 = 1 << 20;

crate::stored!(IndexBinaryBase, |index| {
    index.d;
    index.code_size;
    index.ntotal;
    index.is_trained;
    index.metric_type;
    read {
        let whole = (0..=MAX_D).contains(&index.d) && index.d % 8 == 0 && index.code_size == index.d / 8;
        Error::check(whole, "idx.d >= 0 && idx.d % 8 == 0 && idx.code_size == idx.d / 8")?;
        Error::check(index.ntotal >= 0, "idx.ntotal >= 0")?;
    }
});

/// An error where an index inside another's file has another dimension.
pub(crate) fn check_d(index: Option<&Shared<dyn IndexBinary>>, base: &IndexBinaryBase) -> Result<()> {
    Error::check(index.is_none_or(|index| index.read().base().d == base.d), "index->d == d")
}
