//! The one nearest vector by L2 in few dimensions: what k-means of a product quantizer's parts asks for, millions of times.
//!
//! Vectors lie with the coordinate outermost, so that registers run along them and no distance is ever written. Sums are rounded as Faiss
//! rounds them, so that near ties fall the same way.

use parking_lot::Mutex;

use super::Database;
use crate::base::{MetricType, Result, threads};
use crate::simd;

/// Up to here it pays; beyond, the matrix path does.
const MAX_D: usize = 32;
/// From here on Faiss goes by products, and rounds so.
const MIN_QUERIES: usize = 20;
/// Bytes of the vectors that a query meets in one go: they stay in a first-level cache beside the query.
const BLOCK_BYTES: usize = 16 << 10;
/// Queries of one task.
const QUERIES: usize = 256;

/// Whether this is the way to search.
pub fn applies(nq: usize, db: &Database<'_>, metric: MetricType) -> bool {
    metric == MetricType::L2 && (1..=MAX_D).contains(&db.d) && nq >= MIN_QUERIES && db.selected.is_none()
}

/// Vectors of a block, the coordinate outermost.
struct Block {
    first: usize,
    columns: Vec<f32>,
    norms: Vec<f32>,
}

fn blocks(db: &Database<'_>) -> Vec<Block> {
    let d = db.d;
    let size = (BLOCK_BYTES / size_of::<f32>() / d).next_multiple_of(64);
    let block = |(i, y): (usize, &[f32])| {
        let n = y.len() / d;
        let mut columns = vec![0f32; y.len()];
        for (j, column) in columns.chunks_exact_mut(n).enumerate() {
            column.iter_mut().zip(y[j..].iter().step_by(d)).for_each(|(c, v)| *c = *v);
        }
        let mut norms = vec![0f32; n];
        simd::fvec_norms_by_coordinate(&mut norms, y, d);
        Block { first: i * size, columns, norms }
    };
    db.y.chunks(size * d).enumerate().map(block).collect()
}

/// Writes the nearest vector of each query and its squared distance; -1 and the largest number where there is none.
pub fn search(x: &[f32], nq: usize, db: &Database<'_>, distances: &mut [f32], labels: &mut [i64]) -> Result<()> {
    let d = db.d;
    let blocks = blocks(db);
    let pieces: Vec<Mutex<(&mut [f32], &mut [i64])>> =
        distances.chunks_mut(QUERIES).zip(labels.chunks_mut(QUERIES)).map(Mutex::new).collect();
    threads::parallel_for(nq.div_ceil(QUERIES), |piece| {
        let (distances, labels) = &mut *pieces[piece].lock();
        let n = labels.len();
        let x = &x[piece * QUERIES * d..(piece * QUERIES + n) * d];
        // The norm of the query comes last: it does not change which vector is the nearest.
        distances.fill(f32::INFINITY);
        labels.fill(-1);
        for block in &blocks {
            let first = block.first as i64;
            simd::nearest_rows_by_products(x, d, &block.columns, &block.norms, first, distances, labels);
        }
        let mut norms = vec![0f32; n];
        simd::fvec_norms_by_coordinate(&mut norms, x, d);
        for ((distance, label), norm) in distances.iter_mut().zip(labels.iter_mut()).zip(norms) {
            let sum = *distance + norm;
            // Rounding may lead below 0. Of infinite numbers the sum is NaN, which is no neighbour and which `max` would make 0.
            (*distance, *label) = if sum < f32::MAX && *label >= 0 { (sum.max(0.0), *label) } else { (f32::MAX, -1) };
        }
        Ok(())
    })
}
