//! The k best values of each row: by block for k up to 2048, by radix and sort beyond. Ties go to the lower id.

use crate::error::{Error, Result};
use crate::launchers;
use crate::memory::{Ptr, PtrMut};
use crate::ops::rows::{self, Rows};
use crate::resources::Context;

/// The most results of the block kernel.
pub const BLOCK_K: usize = 2048;

/// Values to choose from: `rows` x `columns`, `stride` apart.
#[derive(Clone, Copy)]
pub struct Values {
    pub values: Ptr<f32>,
    pub stride: usize,
    pub rows: usize,
    pub columns: usize,
    /// A byte for each column: only those that are not 0 count.
    pub allowed: Option<Ptr<u8>>,
    /// The number of columns of each row, up to `columns`, where they differ.
    pub row_columns: Option<Ptr<u32>>,
    /// The id of the first column.
    pub first_id: i64,
    /// The larger value is the better one.
    pub descending: bool,
}

/// Results of k a row, best first.
#[derive(Clone, Copy)]
pub struct Best {
    pub values: PtrMut<f32>,
    pub ids: PtrMut<i64>,
}

impl Best {
    #[must_use]
    pub fn at(self, count: usize) -> Best {
        Best { values: self.values.at(count), ids: self.ids.at(count) }
    }
}

/// Bytes of shared memory beside the k keys: the kernel's buffer.
const BUFFER_KEYS: usize = 2048;
/// A part of a row that is worth a block of its own.
const COLUMNS_PER_SPLIT: usize = 4096;
/// What one block merges in a moment.
const MERGED_AT_ONCE: usize = 65_536;

fn block(
    context: &Context<'_>,
    from: &Values,
    ids: Ptr<i64>,
    earlier: Option<Best>,
    k: usize,
    splits: usize,
    out: Best,
) -> Result<()> {
    let k_size = k.next_power_of_two().max(32);
    let mut launch = context.launch(from.rows * splits);
    launch.shared = (8 * (k_size + BUFFER_KEYS)) as u32;
    let (best_values, best_ids) = earlier.map_or((Ptr::null(), Ptr::null()), |b| (b.values.read(), b.ids.read()));
    launchers::select_block(
        launch,
        from.values,
        from.stride as i64,
        from.columns as u32,
        from.allowed.unwrap_or(Ptr::null()),
        from.row_columns.unwrap_or(Ptr::null()),
        ids,
        from.first_id,
        best_values,
        best_ids,
        k as u32,
        k_size as u32,
        u32::from(from.descending),
        splits as u32,
        out.values,
        out.ids,
    )
}

/// The best `k <= 2048` of each row and of an earlier result with lower ids. `out` may not be `earlier`.
pub fn select(context: &Context<'_>, from: &Values, earlier: Option<Best>, k: usize, out: Best) -> Result<()> {
    if k == 0 || k > BLOCK_K || from.columns + k > (u32::MAX - 4096) as usize {
        return Err(Error::invalid(format!(
            "selection of {k} of {} columns is not for the block kernel",
            from.columns
        )));
    }
    // Few rows are split so that every multiprocessor has work, then merged.
    let wanted = (context.properties.multiprocessors as usize * 4).div_ceil(from.rows.max(1));
    let splits = wanted.min(from.columns / COLUMNS_PER_SPLIT).min(MERGED_AT_ONCE / k);
    if splits <= 1 {
        return block(context, from, Ptr::null(), earlier, k, 1, out);
    }
    let count = from.rows * splits * k;
    let (mut values, mut ids) = (context.take(count)?, context.take(count)?);
    let parts = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
    block(context, from, Ptr::null(), None, k, splits, parts)?;
    let merged = Values {
        values: values.ptr(),
        stride: splits * k,
        columns: splits * k,
        allowed: None,
        row_columns: None,
        first_id: 0,
        ..*from
    };
    block(context, &merged, ids.ptr(), earlier, k, 1, out)
}

/// The best `k <= 2048` of results that come with their ids: `columns` a row. Of equal ones the earlier column wins.
pub fn merge(
    context: &Context<'_>,
    parts: Best,
    rows: usize,
    columns: usize,
    k: usize,
    descending: bool,
    out: Best,
) -> Result<()> {
    let (values, ids) = (parts.values.read(), parts.ids.read());
    let from =
        Values { values, stride: columns, rows, columns, allowed: None, row_columns: None, first_id: 0, descending };
    block(context, &from, ids, None, k, 1, out)
}

/// Keys that the sort kernel holds in shared memory.
const CHUNK: usize = 4096;

/// The best `k` of each row, any k; `k` may exceed the columns.
pub fn select_any(context: &Context<'_>, from: &Values, k: usize, out: Best) -> Result<()> {
    let size = k.next_power_of_two().max(32);
    if from.columns >= (u32::MAX - 4096) as usize || size > 1 << 31 {
        return Err(Error::invalid(format!("k = {k} of {} vectors is more than can be sorted", from.columns)));
    }
    let keys_count = from.rows * size;
    let mut keys = context.take::<u64>(keys_count)?;
    let descending = u32::from(from.descending);
    let at = keys.ptr_mut();
    launchers::select_radix(
        context.launch(from.rows),
        from.values,
        from.stride as i64,
        from.columns as u32,
        from.allowed.unwrap_or(Ptr::null()),
        from.row_columns.unwrap_or(Ptr::null()),
        k as u32,
        descending,
        at,
        size as u32,
    )?;
    sort(context, at, keys_count, size)?;
    unpack(context, keys.ptr(), from.rows, size, k, from.descending, from.first_id, out)
}

/// Sorts each row of `size` keys, a power of two.
fn sort(context: &Context<'_>, keys: PtrMut<u64>, count: usize, size: usize) -> Result<()> {
    // Rows are powers of two long, so the phases of one sort work on all rows at once.
    let chunk = size.min(CHUNK);
    launchers::sort_chunks(context.launch(count / chunk), keys, chunk as u32, chunk as u32)?;
    let mut run = 2 * chunk;
    while run <= size {
        let mut stride = run / 2;
        while stride >= chunk {
            launchers::sort_step(context.stride(count / 2, 256), keys, count as i64, run as u32, stride as u32)?;
            stride /= 2;
        }
        launchers::sort_chunks(context.launch(count / chunk), keys, chunk as u32, run as u32)?;
        run *= 2;
    }
    Ok(())
}

/// The first `k` keys of each row of `size`, as values and ids.
#[allow(clippy::too_many_arguments)]
pub(crate) fn unpack(
    context: &Context<'_>,
    keys: Ptr<u64>,
    rows: usize,
    size: usize,
    k: usize,
    descending: bool,
    first_id: i64,
    out: Best,
) -> Result<()> {
    let launch = context.stride(rows * k, 256);
    let (rows, size, descending) = (rows as u32, size as u32, u32::from(descending));
    launchers::unpack_keys(launch, keys, rows, size, k as u32, descending, first_id, out.values, out.ids)
}

/// Queries and the vectors that candidates are of, in one type.
#[derive(Clone, Copy)]
pub struct Compared {
    pub queries: Rows,
    pub query_count: usize,
    /// Vector `first_id` and those behind it; fewer than 2^32.
    pub vectors: Rows,
    pub d: usize,
    /// Inner products instead of squared distances.
    pub inner: bool,
    pub first_id: i64,
}

/// The best `k` of `wide >= k` candidates a query, by squared distances computed without cancellation, or inner products.
pub fn refine(context: &Context<'_>, of: Compared, candidates: Best, wide: usize, k: usize, out: Best) -> Result<()> {
    let size = wide.next_power_of_two().max(32);
    let count = of.query_count * size;
    let mut keys = context.take::<u64>(count)?;
    let at = keys.ptr_mut();
    let (launch, ids) = (context.stride(count, 8), candidates.ids.read());
    let (d, nq, k_wide, row) = (of.d as u32, of.query_count as u32, wide as u32, size as u32);
    let inner = u32::from(of.inner);
    let first_id = of.first_id;
    rows::with_both_rows!(of.queries, of.vectors, (x, y) => launchers::exact_keys(
        launch, x, y, d, nq, k_wide, row, inner, first_id, ids, at
    ))?;
    best_of_keys(context, at, (of.query_count, size), k, of.inner, of.first_id, out)
}

/// The best `k` of each of some rows of as many keys, a power of two; the keys are sorted.
pub fn best_of_keys(
    context: &Context<'_>,
    keys: PtrMut<u64>,
    (rows, size): (usize, usize),
    k: usize,
    descending: bool,
    first_id: i64,
    out: Best,
) -> Result<()> {
    sort(context, keys, rows * size, size)?;
    unpack(context, keys.read(), rows, size, k, descending, first_id, out)
}
