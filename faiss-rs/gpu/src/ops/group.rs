//! Items by group: which items have each key, in the order of the input. The same from run to run.

use crate::error::{Error, Result};
use crate::launchers;
use crate::memory::{Ptr, Temp};
use crate::resources::Context;

/// Items of one block, as the kernels have it.
const TILE: usize = 2048;
const DIGITS: usize = 256;

/// Which items belong to each group.
pub struct Grouped<'a> {
    /// `groups + 1` numbers: group g has places `offsets[g]..offsets[g + 1]` of `order`.
    pub offsets: Temp<'a, u32>,
    /// Item numbers, those of one group ascending. What stands behind the last group is no part of any.
    pub order: Temp<'a, u32>,
}

/// Groups items `0..count` by their keys, of which those outside `0..groups` (negative ones, too) go nowhere.
pub fn group<'a>(context: &'a Context<'_>, keys: Ptr<i32>, count: usize, groups: usize) -> Result<Grouped<'a>> {
    if count > u32::MAX as usize - TILE || groups >= i32::MAX as usize {
        return Err(Error::invalid(format!("{count} items in {groups} groups are too many to be grouped at once")));
    }
    let (mut offsets, mut order) = (context.take::<u32>(groups + 1)?, context.take::<u32>(count)?);
    let tiles = count.div_ceil(TILE);
    let (mut counts, mut totals) = (context.take::<u32>(DIGITS * tiles)?, context.take::<u32>(DIGITS)?);
    // As unsigned numbers, negative keys are past the groups.
    let keys = Ptr::new(keys.raw().cast::<u32>());
    let passes = (usize::BITS - groups.leading_zeros()).div_ceil(8) as usize;
    let mut sorted = [context.take::<u32>(count)?, context.take::<u32>(if passes > 1 { count } else { 0 })?];
    let mut other = context.take::<u32>(if passes > 1 { count } else { 0 })?;
    let (mut from_keys, mut from_items) = (keys, Ptr::null());
    let (total, end) = (count as u32, groups as u32);
    for pass in 0..passes {
        let shift = 8 * pass as u32;
        // The last pass ends in `order`.
        let to_items = if (passes - 1 - pass).is_multiple_of(2) { order.ptr_mut() } else { other.ptr_mut() };
        let to_keys = sorted[pass % 2].ptr_mut();
        let at = counts.ptr_mut();
        launchers::group_count(context.launch(tiles), from_keys, total, end, shift, at)?;
        launchers::group_sum(context.launch(DIGITS), at, tiles as u32, totals.ptr_mut())?;
        let launch = context.launch(tiles);
        launchers::group_scatter(
            launch,
            from_keys,
            from_items,
            total,
            end,
            shift,
            at.read(),
            totals.ptr(),
            to_keys,
            to_items,
        )?;
        (from_keys, from_items) = (to_keys.read(), to_items.read());
    }
    launchers::group_offsets(context.stride(groups + 1, 256), from_keys, total, end, offsets.ptr_mut())?;
    Ok(Grouped { offsets, order })
}
