//! Distances between vectors, and exhaustive search by them. Sees base, simd and blas.
//!
//! | function | what |
//! |---|---|
//! | [`knn`] | the `k` best of a database for each query |
//! | [`range_search`] | all within a radius |
//! | [`pairwise_distances`] | all distances |
//! | [`merge_knn_results`] | one result from several shards' |
//! | [`extra`] | a distance by metric |
//! | [`matrix_stats`] | what vectors are like, in words |
//! | [`computer`] | distances to stored vectors one by one, behind a trait |
//! | [`vectors`], [`by_number`], [`results_in_place`], [`heap_array`] | Faiss's functions on memory, with its argument lists |

pub mod by_number;
pub(crate) mod collect;
pub mod computer;
pub mod extra;
pub(crate) mod heap;
pub mod heap_array;
pub mod matrix_stats;
mod merge;
mod nearest;
mod norms;
mod pairwise;
mod panels;
pub(crate) mod results;
pub mod results_in_place;
mod scan;
pub mod vectors;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::{Error, MetricType, Result};
use collect::{Best1, Hit, InRange, Reservoir};
use results::{InRadius, TopK};

pub use computer::DistanceComputer;
pub use merge::merge_knn_results;
pub use norms::{fvec_norms_L2, fvec_norms_L2sqr, fvec_renorm_L2};
pub use pairwise::{distances_by_idx, pairwise_distances};

/// From how many numbers of queries (`nq * d`) on the matrix path is used. It is faster there, but loses digits where norms are much larger
/// than distances.
pub static DISTANCE_COMPUTE_BLAS_THRESHOLD: AtomicUsize = AtomicUsize::new(128_000);
/// The most queries of one block of the matrix path.
pub static DISTANCE_COMPUTE_BLAS_QUERY_BS: AtomicUsize = AtomicUsize::new(4096);
/// The vectors of one block of the matrix path.
pub static DISTANCE_COMPUTE_BLAS_DATABASE_BS: AtomicUsize = AtomicUsize::new(1024);
/// Faiss's switch between its two collectors. Kept so that it can be read and set; here one collector is best at every `k`.
pub static DISTANCE_COMPUTE_MIN_K_RESERVOIR: AtomicUsize = AtomicUsize::new(100);

struct Thresholds {
    blas_threshold: usize,
    blas_query_bs: usize,
    blas_database_bs: usize,
}

impl Thresholds {
    fn get() -> Self {
        let read = |v: &AtomicUsize| v.load(Ordering::Relaxed);
        Thresholds {
            blas_threshold: read(&DISTANCE_COMPUTE_BLAS_THRESHOLD),
            blas_query_bs: read(&DISTANCE_COMPUTE_BLAS_QUERY_BS),
            blas_database_bs: read(&DISTANCE_COMPUTE_BLAS_DATABASE_BS),
        }
    }
}

/// `n` vectors to search in, row-major, `d` wide.
#[derive(Clone, Copy)]
pub struct Database<'a> {
    /// The vectors.
    pub y: &'a [f32],
    /// How many there are.
    pub n: usize,
    /// Numbers of a vector.
    pub d: usize,
    /// Squared norms, if they are known already.
    pub norms: Option<&'a [f32]>,
    /// Which vectors count; without it, all.
    pub selected: Option<&'a [bool]>,
}

impl<'a> Database<'a> {
    /// `n` vectors of `d` numbers; an error where `y` is not so long.
    pub fn new(y: &'a [f32], n: usize, d: usize) -> Result<Self> {
        if n.checked_mul(d).is_none_or(|size| size > y.len()) {
            return Err(Error::failed(
                "y.size() >= n * d",
                format!("{n} vectors of {d} need more than {} numbers", y.len()),
            ));
        }
        Ok(Database { y: &y[..n * d], n, d, norms: None, selected: None })
    }

    fn check(&self) -> Result<()> {
        let fits = self.y.len() >= self.n * self.d
            && self.norms.is_none_or(|v| v.len() >= self.n)
            && self.selected.is_none_or(|v| v.len() >= self.n);
        Error::check(fits, "the database's arrays cover its vectors")
    }
}

/// The result of a range search over `nq` queries: query i's results are at `lims[i]..lims[i + 1]`, in ascending order of ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RangeSearchResult {
    /// Where the results of each query begin in the other two, and where the last one's end: one more than there are queries.
    pub lims: Vec<usize>,
    /// The distances.
    pub distances: Vec<f32>,
    /// The ids.
    pub labels: Vec<i64>,
}

/// The distance of a result that does not exist.
pub fn worst(metric: MetricType) -> f32 {
    if metric.is_similarity() { -f32::MAX } else { f32::MAX }
}

fn check_queries(x: &[f32], nq: usize, d: usize) -> Result<()> {
    Error::check(nq.checked_mul(d).is_some_and(|size| x.len() >= size), "x.size() >= nq * d")
}

/// The `k` best vectors of `db` for each of the `nq` queries `x`, best first; of equal distances the smaller id, of equal
/// similarities the larger one comes first. `distances` and `labels` hold
/// `nq * k`; where there are fewer results, the label is -1 and the distance the metric's worst value. A NaN or an infinite distance is no
/// result. `arg` is the exponent of Lp.
pub fn knn(
    x: &[f32],
    nq: usize,
    db: &Database<'_>,
    metric: MetricType,
    arg: f32,
    k: usize,
    distances: &mut [f32],
    labels: &mut [i64],
) -> Result<()> {
    db.check()?;
    check_queries(x, nq, db.d)?;
    let size = nq.checked_mul(k).ok_or_else(|| Error::failed("nq * k fits", "more results than can be addressed"))?;
    Error::check(
        distances.len() == size && labels.len() == size,
        "distances.size() == nq * k && labels.size() == nq * k",
    )?;
    if size == 0 {
        return Ok(());
    }
    if k == 1 && nearest::applies(nq, db, metric) {
        return nearest::search(x, nq, db, distances, labels);
    }
    let out = TopK::new(metric, k, distances, labels);
    let done = |q: usize, hits: Vec<Hit>| out.write(q, &hits);
    if k == 1 {
        scan::scan(x, nq, db, metric, arg, Best1::default, Some(1), done)
    } else {
        scan::scan(x, nq, db, metric, arg, || Reservoir::new(k), Some(k), done)
    }
}

/// All vectors of `db` nearer than `radius` to each of the `nq` queries (for a similarity: more similar than it).
pub fn range_search(
    x: &[f32],
    nq: usize,
    db: &Database<'_>,
    metric: MetricType,
    arg: f32,
    radius: f32,
) -> Result<RangeSearchResult> {
    db.check()?;
    check_queries(x, nq, db.d)?;
    let found = InRadius::new(metric, nq);
    let limit = found.limit(radius);
    scan::scan(x, nq, db, metric, arg, || InRange::new(limit), None, |q, hits| found.put(q, hits))?;
    Ok(found.finish())
}
