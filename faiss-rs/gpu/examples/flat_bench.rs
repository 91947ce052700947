//! Times exact search of 1M x 128 on GPU 0, host memory in and out:
//!
//!     FAISS_CUDA_DIR=DIR cargo run --release -p faiss-gpu --example flat_bench [VECTORS [DIMENSION]]

use std::sync::Arc;
use std::time::Instant;

use faiss_core::base::MetricType;
use faiss_core::index::Index;
use faiss_gpu::{GpuIndexFlat, GpuIndexFlatConfig, GpuResources};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = |i: usize, default: usize| std::env::args().nth(i).map_or(Ok(default), |a| a.parse());
    let (n, d) = (number(1, 1_000_000)?, number(2, 128)?);
    let resources: Arc<GpuResources> = Arc::default();
    println!("{:?}", faiss_gpu::device_properties(0)?);
    let mut state = 1u64;
    let mut numbers = |count: usize| -> Vec<f32> {
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        (0..count).map(next).collect()
    };
    let vectors = numbers(n * d);
    let queries = numbers(10_000 * d);
    for half in [false, true] {
        let config = GpuIndexFlatConfig { use_float16: half, ..Default::default() };
        let mut index = GpuIndexFlat::new(resources.clone(), d as i64, MetricType::L2, &config)?;
        let start = Instant::now();
        index.add(&vectors)?;
        println!("f16={half} add: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        for (nq, k) in [
            (1, 10),
            (8, 10),
            (16, 10),
            (32, 10),
            (33, 10),
            (64, 10),
            (128, 10),
            (10_000, 10),
            (10_000, 100),
            (10_000, 1000),
            (1, 5000),
        ] {
            let (mut values, mut ids) = (vec![0.0; nq * k], vec![0; nq * k]);
            let mut times = Vec::new();
            for _ in 0..if nq > 1000 { 3 } else { 10 } {
                let start = Instant::now();
                index.search(&queries[..nq * d], k, None, &mut values, &mut ids)?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            println!("f16={half} nq={nq} k={k}: {:.3} ms", times[times.len() / 2]);
        }
    }
    println!("{:?}", resources.memory_info());
    Ok(())
}
