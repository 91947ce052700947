//! The part of a file that every index begins with.

use super::IndexBase;
use crate::base::{Error, MetricType, Result};
use crate::stream::{Reader, Writer};

/// Two fields of the format that nothing uses.
const DUMMY: i64 = 1 << 20;
const MAX_D: i32 = 1 << 20;

pub(crate) fn write(base: &IndexBase, out: &mut Writer<'_>) -> Result<()> {
    out.i32(base.d)?;
    out.i64(base.ntotal)?;
    out.i64(DUMMY)?;
    out.i64(DUMMY)?;
    out.bool(base.is_trained)?;
    out.i32(base.metric_type as i32)?;
    if base.metric_type as i32 > 1 {
        out.f32(base.metric_arg)?;
    }
    Ok(())
}

pub(crate) fn read(input: &mut Reader<'_>) -> Result<IndexBase> {
    let d = input.i32()?;
    if !(0..=MAX_D).contains(&d) {
        let condition = format!("(int64_t)(idx.d) >= (int64_t)(0) && (int64_t)(idx.d) < (int64_t)({})", MAX_D + 1);
        return Err(Error::failed(condition, format!("idx.d (= {d}) out of range [0, {})", MAX_D + 1)));
    }
    let ntotal = input.i64()?;
    if ntotal < 0 {
        return Err(Error::failed("idx.ntotal >= 0", format!("invalid ntotal {ntotal} read from index")));
    }
    input.i64()?;
    input.i64()?;
    let is_trained = input.bool("idx.is_trained")?;
    let metric_type = MetricType::try_from(i64::from(input.i32()?))?;
    let metric_arg = if metric_type as i32 > 1 { input.f32()? } else { 0.0 };
    Ok(IndexBase { d, ntotal, verbose: false, is_trained, metric_type, metric_arg })
}
