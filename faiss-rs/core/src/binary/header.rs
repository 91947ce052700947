//! The part of a file that every binary index begins with, and binary indexes inside others' files.

use super::{IndexBinary, IndexBinaryBase};
use crate::base::{Error, MetricType, Result, Shared};
use crate::registry::{read_nested, write_nested};
use crate::stream::{Reader, Writer};

/// The largest dimension of a file, in bits.
const MAX_D: i32 = 1 << 20;

/// Writes the header.
pub fn write(base: &IndexBinaryBase, out: &mut Writer<'_>) -> Result<()> {
    out.i32(base.d)?;
    out.i32(base.code_size)?;
    out.i64(base.ntotal)?;
    out.bool(base.is_trained)?;
    out.i32(base.metric_type as i32)
}

/// Reads it; an error where its numbers make no sense.
pub fn read(input: &mut Reader<'_>) -> Result<IndexBinaryBase> {
    let (d, code_size, ntotal) = (input.i32()?, input.i32()?, input.i64()?);
    let whole = (0..=MAX_D).contains(&d) && d % 8 == 0 && code_size == d / 8;
    Error::check(whole, "idx.d >= 0 && idx.d % 8 == 0 && idx.code_size == idx.d / 8")?;
    Error::check(ntotal >= 0, "idx.ntotal >= 0")?;
    let is_trained = input.bool("idx.is_trained")?;
    let metric_type = MetricType::try_from(i64::from(input.i32()?))?;
    Ok(IndexBinaryBase { d, code_size, ntotal, verbose: false, is_trained, metric_type })
}

/// A binary sub-index of a file, of dimension `d`; `None` for a null one.
pub fn read_index(input: &mut Reader<'_>, d: i32) -> Result<Option<Shared<dyn IndexBinary>>> {
    let Some(handle) = read_nested(input)? else { return Ok(None) };
    let index = handle.view::<dyn IndexBinary>()?;
    Error::check(index.read().base().d == d, "index->d == d")?;
    Ok(Some(index))
}

/// Writes an index inside another's file, or that there is none.
pub fn write_index(index: Option<&Shared<dyn IndexBinary>>, out: &mut Writer<'_>) -> Result<()> {
    match index {
        Some(index) => write_nested(&*index.read(), out),
        None => out.fourcc("null"),
    }
}
