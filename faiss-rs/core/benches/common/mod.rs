//! Data and timing for the benchmarks.

use std::time::Instant;

use cpu_time::ProcessTime;
use faiss_core::random::float_randn;

pub const D: usize = 128;
const RANK: usize = 24;

/// Vectors of low intrinsic dimension, as real embeddings are.
pub fn vectors(n: usize, seed: i64) -> Vec<f32> {
    let randn = |n: usize, seed: i64| {
        let mut x = vec![0.0; n];
        float_randn(&mut x, seed).unwrap();
        x
    };
    let (basis, z, mut noise) = (randn(RANK * D, 77), randn(n * RANK, seed), randn(n * D, seed + 1000));
    for (i, v) in noise.iter_mut().enumerate() {
        let (row, col) = (i / D, i % D);
        let dot: f32 = (0..RANK).map(|r| z[row * RANK + r] * basis[r * D + col]).sum();
        *v = (dot / (RANK as f32).sqrt()).tanh() + 0.05 * *v;
    }
    noise
}

pub fn best(name: &str, wanted: &str, repeat: usize, mut work: impl FnMut()) {
    if !name.contains(wanted) {
        return;
    }
    let (mut wall, mut cpu) = (f64::MAX, f64::MAX);
    for _ in 0..repeat {
        let (start, used) = (Instant::now(), ProcessTime::now());
        work();
        wall = wall.min(start.elapsed().as_secs_f64());
        cpu = cpu.min(used.elapsed().as_secs_f64());
    }
    println!("{name:28} {:10.3} ms, {:10.3} ms of processors", wall * 1e3, cpu * 1e3);
}
