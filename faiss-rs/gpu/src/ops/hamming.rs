//! Exhaustive search by Hamming distance.

use crate::error::{Result, check_interrupt};
use crate::launchers;
use crate::memory::Ptr;
use crate::ops::select::{self, BLOCK_K, Best, Values};
use crate::resources::Context;

/// Binary vectors as rows of whole 32-bit words, zeros behind the last byte.
#[derive(Clone, Copy)]
pub struct Binary {
    pub words: Ptr<u32>,
    pub count: usize,
    pub words_each: usize,
    /// A byte for each vector: only those that are not 0 are found.
    pub allowed: Option<Ptr<u8>>,
}

/// Queries that share a block.
const QUERIES: usize = 8;
const THREADS: usize = 256;
/// Queries whose distances are in memory at a time.
const TILE_QUERIES: usize = 1024;

/// Distances of `nq` queries to `count` vectors from `first` on, as f32, `stride` apart.
fn distances(
    context: &Context<'_>,
    queries: Ptr<u32>,
    nq: usize,
    vectors: &Binary,
    (first, count): (usize, usize),
    out: crate::memory::PtrMut<f32>,
    stride: usize,
) -> Result<()> {
    let words = vectors.words_each;
    let mut launch = context.launch(nq.div_ceil(QUERIES) * count.div_ceil(THREADS));
    launch.shared = (4 * QUERIES * words) as u32;
    let at = vectors.words.at(first * words);
    launchers::hamming(launch, queries, nq as u32, at, count as u32, words as u32, out, stride as i64)
}

/// The `k` nearest vectors of each query, nearest first, ties by lower id. Where there are fewer, the id is -1 and the distance the largest
/// f32. `out` holds `nq * k` of each.
pub fn knn(context: &Context<'_>, queries: Ptr<u32>, nq: usize, vectors: &Binary, k: usize, out: Best) -> Result<()> {
    let tile = (context.room / 8 * 3).clamp(32 << 20, 1 << 30) / 4;
    let large = k > BLOCK_K;
    // Beyond the block kernel a row's distances and its keys, which may be four times as long, are all in memory at once.
    let most = if large { (tile / vectors.count.max(4 * k).max(1)).clamp(1, TILE_QUERIES) } else { TILE_QUERIES };
    for first_query in (0..nq).step_by(most) {
        context.sync()?;
        check_interrupt()?;
        let nq = most.min(nq - first_query);
        let queries = queries.at(first_query * vectors.words_each);
        let out = out.at(first_query * k);
        let columns = if large { vectors.count } else { (tile / nq / 256 * 256).max(1024).min(vectors.count) }.max(1);
        let mut values = context.take::<f32>(nq * columns)?;
        let tiles = vectors.count.div_ceil(columns).max(1);
        // The running result goes back and forth between two places and ends in `out`.
        let spare = if tiles > 1 { nq * k } else { 0 };
        let (mut spare_values, mut spare_ids) = (context.take(spare)?, context.take(spare)?);
        let spare = Best { values: spare_values.ptr_mut(), ids: spare_ids.ptr_mut() };
        let mut earlier = None;
        for t in 0..tiles {
            let first = t * columns;
            let count = columns.min(vectors.count - first);
            distances(context, queries, nq, vectors, (first, count), values.ptr_mut(), columns)?;
            let from = Values {
                values: values.ptr(),
                stride: columns,
                rows: nq,
                columns: count,
                allowed: vectors.allowed.map(|a| a.at(first)),
                row_columns: None,
                first_id: first as i64,
                descending: false,
            };
            let target = if (tiles - 1 - t).is_multiple_of(2) { out } else { spare };
            if large {
                select::select_any(context, &from, k, target)?;
            } else {
                select::select(context, &from, earlier, k, target)?;
            }
            earlier = Some(target);
        }
    }
    Ok(())
}
