//! What the GPU tests share: a GPU or the reason why there is none, reproducible numbers, and naive references in f64.
#![allow(dead_code, reason = "each test program uses a part of this")]

use faiss_core::base::MetricType;
use faiss_gpu::GpuResources;
use std::io::Write;
use std::sync::Arc;

/// Resources of GPU 0, or a line that says why the test is skipped.
pub fn gpu() -> Option<Arc<GpuResources>> {
    match faiss_gpu::check_gpus() {
        Ok(_) => Some(Arc::default()),
        Err(error) => {
            let reason = match error {
                faiss_gpu::Error::NoDriver { .. } => "no NVIDIA driver".to_owned(),
                faiss_gpu::Error::NoLibraryDir if !std::path::Path::new("/proc/driver/nvidia").exists() => {
                    "no NVIDIA driver".to_owned()
                }
                other => other.to_string(),
            };
            // Not by print: the harness would hide it from those who wonder whether anything ran.
            let _ = writeln!(std::io::stderr(), "skipped: {reason}");
            None
        }
    }
}

/// Whether the run is under a checker that makes everything a hundred times slower.
pub fn small() -> bool {
    std::env::var_os("FAISS_TEST_SMALL").is_some()
}

/// Runs some work and asserts that kernels of this crate took part.
pub fn on_gpu<R>(work: impl FnOnce() -> R) -> R {
    let before = faiss_gpu::launch_count();
    let result = work();
    assert!(faiss_gpu::launch_count() > before, "no kernel was launched");
    result
}

/// splitmix64: the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    pub fn vector(&mut self, len: usize, low: f32, high: f32) -> Vec<f32> {
        (0..len).map(|_| low + (high - low) * self.unit()).collect()
    }
}

/// A distance, by its definition.
pub fn distance(metric: MetricType, arg: f32, x: &[f32], y: &[f32]) -> f64 {
    let pairs: Vec<(f64, f64)> = x.iter().zip(y).map(|(a, b)| (f64::from(*a), f64::from(*b))).collect();
    let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(a, b)| f(*a, *b)).sum::<f64>();
    let present: Vec<(f64, f64)> = pairs.iter().copied().filter(|(a, b)| !a.is_nan() && !b.is_nan()).collect();
    match metric {
        MetricType::InnerProduct => sum(&|a, b| a * b),
        MetricType::L2 => sum(&|a, b| (a - b).powi(2)),
        MetricType::L1 => sum(&|a, b| (a - b).abs()),
        MetricType::Linf => pairs.iter().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
        MetricType::Lp => sum(&|a, b| (a - b).abs().powf(f64::from(arg))),
        MetricType::Canberra => sum(&|a, b| (a - b).abs() / (a.abs() + b.abs())),
        MetricType::BrayCurtis => sum(&|a, b| (a - b).abs()) / sum(&|a, b| (a + b).abs()),
        MetricType::JensenShannon => {
            0.5 * sum(&|a, b| {
                let m = (a + b) / 2.0;
                a * (a / m).ln() + b * (b / m).ln()
            })
        }
        MetricType::Jaccard => sum(&f64::min) / sum(&f64::max),
        MetricType::NaNEuclidean => {
            let squares: f64 = present.iter().map(|(a, b)| (a - b).powi(2)).sum();
            if present.is_empty() { f64::NAN } else { squares * x.len() as f64 / present.len() as f64 }
        }
        MetricType::Gower => {
            let category = |v: f64| v < 0.0;
            let odd = |(a, b): &(f64, f64)| category(*a) != category(*b) || *a > 1.0 || *b > 1.0;
            if present.is_empty() || present.iter().any(odd) {
                return f64::NAN;
            }
            let term = |(a, b): &(f64, f64)| if category(*a) { f64::from(u8::from(a != b)) } else { (a - b).abs() };
            present.iter().map(term).sum::<f64>() / present.len() as f64
        }
    }
}

/// All distances of queries to vectors.
pub fn distances(metric: MetricType, arg: f32, queries: &[f32], vectors: &[f32], d: usize) -> Vec<f64> {
    let row = |q: &[f32]| vectors.chunks(d).map(|v| distance(metric, arg, q, v)).collect::<Vec<_>>();
    queries.chunks(d).flat_map(row).collect()
}

/// Checks the results of a search against all distances: `columns` a query. Right up to ties within `tolerance`, relative to
/// the largest distance of the query, or to 0.1 where all are less: they are sums of numbers of about 1 that cancel.
pub fn check_results(
    reference: &[f64],
    columns: usize,
    k: usize,
    similarity: bool,
    tolerance: f64,
    got: (&[f32], &[i64]),
) {
    assert_eq!(got.0.len(), got.1.len());
    assert_eq!(got.0.len(), k * (reference.len() / columns.max(1)), "number of results");
    for (q, (values, ids)) in got.0.chunks(k).zip(got.1.chunks(k)).enumerate() {
        let row = &reference[q * columns..(q + 1) * columns];
        let sign = if similarity { -1.0 } else { 1.0 };
        let mut sorted: Vec<f64> = row.iter().map(|v| sign * v).filter(|v| *v < f64::from(f32::MAX)).collect();
        sorted.sort_by(f64::total_cmp);
        let scale = sorted.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let near = |a: f64, b: f64| (a - b).abs() <= tolerance * scale.max(0.1);
        let mut seen = std::collections::HashSet::new();
        for (i, (value, id)) in values.iter().zip(ids).enumerate() {
            if i >= sorted.len() {
                assert_eq!((*id, *value), (-1, sign as f32 * f32::MAX), "query {q}, place {i} of {}", sorted.len());
                continue;
            }
            assert!((0..columns as i64).contains(id) && seen.insert(*id), "query {q}, place {i}: id {id}");
            let own = row[*id as usize];
            assert!(near(f64::from(*value), own), "query {q}, place {i}, id {id}: {value} is not {own}");
            assert!(
                near(sign * own, sorted[i]),
                "query {q}, place {i}, id {id}: {own} is not the best, {}",
                sign * sorted[i]
            );
        }
        assert!(values.windows(2).all(|w| sign as f32 * w[0] <= sign as f32 * w[1]), "query {q} is not in order");
    }
}
