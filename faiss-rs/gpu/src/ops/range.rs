//! All values of rows that are within a radius.

use crate::error::Result;
use crate::launchers;
use crate::memory::{Ptr, Temp};
use crate::ops::select::Values;
use crate::resources::Context;

/// What was found of some rows: those of row r are `offsets[r]..offsets[r + 1]`, in order of their columns.
pub struct Within<'a> {
    pub offsets: Vec<usize>,
    pub values: Temp<'a, f32>,
    pub rows: Temp<'a, u32>,
    /// Columns, counted from the rows' first id.
    pub positions: Temp<'a, i64>,
}

impl Within<'_> {
    pub fn count(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }
}

/// Values below the radius or, where larger is better, above it.
pub fn within<'a>(context: &'a Context<'_>, from: &Values, radius: f32) -> Result<Within<'a>> {
    let launch = context.launch(from.rows);
    let (stride, columns) = (from.stride as i64, from.columns as u32);
    let row_columns = from.row_columns.unwrap_or(Ptr::null());
    let allowed = from.allowed.unwrap_or(Ptr::null());
    let greater = u32::from(from.descending);
    let mut host = vec![0u32; from.rows];
    {
        let mut counts = context.take::<u32>(from.rows)?;
        let at = counts.ptr_mut();
        launchers::range_count(launch, from.values, stride, columns, row_columns, allowed, radius, greater, at)?;
        context.download(counts.ptr(), &mut host)?;
    }
    let mut offsets = vec![0usize];
    offsets.extend(host.iter().scan(0usize, |sum, n| {
        *sum += *n as usize;
        Some(*sum)
    }));
    let count = offsets.last().copied().unwrap_or(0);
    let (mut values, mut rows, mut positions) = (context.take(count)?, context.take(count)?, context.take(count)?);
    if count > 0 {
        let starts: Vec<i64> = offsets.iter().map(|at| *at as i64).collect();
        let starts = context.upload(&starts)?;
        let (first, v, r, p) = (from.first_id, values.ptr_mut(), rows.ptr_mut(), positions.ptr_mut());
        let at = starts.ptr();
        launchers::range_fill(
            launch,
            from.values,
            stride,
            columns,
            row_columns,
            allowed,
            radius,
            greater,
            at,
            first,
            v,
            r,
            p,
        )?;
    }
    Ok(Within { offsets, values, rows, positions })
}
