//! Times k-means of 1M x 128 to 4096 centroids on GPU 0 and its parts, host memory in and out:
//!
//!     FAISS_CUDA_DIR=DIR cargo run --release -p faiss-gpu --example kmeans_bench [ROWS [DIMENSION [CENTROIDS]]]

use std::sync::Arc;
use std::time::Instant;

use faiss_core::base::MetricType;
use faiss_core::cluster::Clustering;
use faiss_core::quantize::product::ProductQuantizer;
use faiss_gpu::ops::assign::{self, Parts, Points, Strategy};
use faiss_gpu::ops::group;
use faiss_gpu::ops::knn::Vectors;
use faiss_gpu::ops::pq_train::pq_train;
use faiss_gpu::ops::rows::Rows;
use faiss_gpu::resources::Context;
use faiss_gpu::{GpuIndexFlat, GpuIndexFlatConfig, GpuResources};

/// The median of five, in milliseconds, after one to warm up.
fn time(context: &Context<'_>, name: &str, mut work: impl FnMut() -> faiss_gpu::Result<()>) -> faiss_gpu::Result<()> {
    let mut times = Vec::new();
    for _ in 0..6 {
        context.sync()?;
        let start = Instant::now();
        work()?;
        context.sync()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let first = times.remove(0);
    times.sort_by(f64::total_cmp);
    println!("{name}: {:.3} ms (first {first:.3})", times[2]);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = |i: usize, default: usize| std::env::args().nth(i).map_or(Ok(default), |a| a.parse());
    let (n, d, k) = (number(1, 1_000_000)?, number(2, 128)?, number(3, 4096)?);
    let resources: Arc<GpuResources> = Arc::default();
    println!("{:?}", faiss_gpu::device_properties(0)?);
    let mut state = 1u64;
    let x: Vec<f32> = (0..n * d)
        .map(|_| {
            // A sum of uniform numbers, nearly normal.
            let mut sum = 0.0;
            for _ in 0..4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                sum += (state >> 40) as f32 / (1 << 24) as f32;
            }
            sum - 2.0
        })
        .collect();
    resources.with(0, |c| {
        let mut rows = c.take::<f32>(n * d)?;
        let at = rows.ptr_mut();
        time(c, "upload", || c.upload_to(&x, at))?;
        let batch = (n / 16).max(1);
        time(c, "stream_rows, 16 batches", || {
            c.stream_rows(&x, d, batch, |rows, first, count| c.copy(rows, at.at(first * d), count * d))
        })?;
        let (mut labels, mut distances) = (c.take::<i32>(n)?, c.take::<f32>(n)?);
        let centroids = Vectors { rows: Rows::F32(at.read()), count: k, d, allowed: None };
        let of = Parts::whole(at.read(), n, d);
        for strategy in Strategy::ALL {
            let to = labels.ptr_mut();
            time(c, &format!("nearest by {strategy:?}"), || {
                assign::nearest_by(c, strategy, of, &centroids, MetricType::L2, to, None)
            })?;
        }
        let points = Points::new(c, Strategy::choose(c, of, k), of, k, MetricType::L2)?;
        let (to, near) = (labels.ptr_mut(), distances.ptr_mut());
        time(c, "nearest, prepared, with distances", || points.nearest(at.read(), to, Some(near)))?;
        time(c, "group", || group::group(c, to.read(), n, k).map(|_| ()))?;
        Ok(())
    })?;
    for round in 0..3 {
        let config = GpuIndexFlatConfig::default();
        let mut index = GpuIndexFlat::new(resources.clone(), d as i64, MetricType::L2, &config)?;
        let mut clustering = Clustering::new(d, k);
        (clustering.niter, clustering.max_points_per_centroid, clustering.seed) = (10, 1_000_000_000, 1);
        let start = Instant::now();
        clustering.train(&x, &mut index, None)?;
        let obj = clustering.iteration_stats.last().map_or(0.0, |s| s.obj);
        println!("k-means, 10 rounds, run {round}: {:.3} s, objective {obj}", start.elapsed().as_secs_f64());
        let times: Vec<String> = clustering.iteration_stats.iter().map(|s| format!("{:.4}", s.time)).collect();
        println!("  rounds end at {}", times.join(" "));
    }
    let mut pq = ProductQuantizer::new(d, d / 4, 8)?;
    let start = Instant::now();
    resources.with(0, |c| {
        let rows = c.upload(&x[..n.min(65_536) * d])?;
        pq_train(c, rows.ptr(), n.min(65_536), &mut pq).map(drop)
    })?;
    println!("codebooks of {} parts, 25 rounds: {:.3} s", d / 4, start.elapsed().as_secs_f64());
    Ok(())
}
