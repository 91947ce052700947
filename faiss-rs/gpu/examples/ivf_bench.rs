//! Times an inverted file of 1M x 128 full vectors in 4096 lists on GPU 0, and the parts of its searches:
//!
//!     FAISS_CUDA_DIR=DIR cargo run --release -p faiss-gpu --example ivf_bench [VECTORS [LISTS]]

use std::sync::Arc;
use std::time::Instant;

use faiss_core::base::MetricType;
use faiss_core::base::object::cast;
use faiss_core::index::Index;
use faiss_gpu::launchers::Metric;
use faiss_gpu::ops::ivf_scan::{Codec, Strategy as By, best_by};
use faiss_gpu::ops::knn::{self, Strategy};
use faiss_gpu::ops::probe::{self, Queries, Search};
use faiss_gpu::ops::rows::Rows;
use faiss_gpu::ops::select::Best;
use faiss_gpu::{GpuIndexFlat, GpuIndexIVFFlat, GpuIndexIVFFlatConfig, GpuResources, Result};

/// Median of some runs in milliseconds.
fn time(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let number = |i: usize, default: usize| std::env::args().nth(i).map_or(Ok(default), |a| a.parse());
    let (n, nlist, d) = (number(1, 1_000_000)?, number(2, 4096)?, 128);
    let resources: Arc<GpuResources> = Arc::default();
    let mut state = 1u64;
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    // A mixture of uniform clumps.
    let centres: Vec<f32> = (0..20_000 * d).map(|_| 3.0 * unit()).collect();
    let mut vectors = |count: usize| {
        let mut x = Vec::with_capacity(count * d);
        for _ in 0..count {
            let clump = (unit() * 20_000.0) as usize * d;
            x.extend(centres[clump..clump + d].iter().map(|c| c + unit() - 0.5));
        }
        x
    };
    let (x, queries) = (vectors(n), vectors(10_000));
    let config = GpuIndexIVFFlatConfig::default();
    let mut index = GpuIndexIVFFlat::new(resources.clone(), None, d as i64, nlist, MetricType::L2, &config)?;
    let start = Instant::now();
    index.train(&x)?;
    println!("train: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    index.add(&x)?;
    println!("add: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);

    let lengths: Vec<f64> = index.lists()?.ok_or("no lists")?.lengths().iter().map(|n| f64::from(*n)).collect();
    let squares: f64 = lengths.iter().map(|n| n * n).sum();
    println!(
        "longest list {}, a vector's list {:.0}",
        lengths.iter().fold(0.0f64, |a, b| a.max(*b)),
        squares / n as f64
    );

    for (nq, nprobe, k) in [
        (1, 32, 10),
        (16, 32, 10),
        (128, 32, 10),
        (10_000, 8, 10),
        (10_000, 32, 10),
        (10_000, 32, 100),
        (10_000, 128, 10),
        (10_000, 128, 100),
    ] {
        index.ivf.nprobe = nprobe;
        let x = &queries[..nq * d];
        let (mut values, mut ids) = (vec![0.0; nq * k], vec![0; nq * k]);
        let all = time(|| {
            index.search(x, k, None, &mut values, &mut ids).map_err(|e| faiss_gpu::Error::invalid(e.to_string()))
        })?;
        let (quantizer, lists) = (index.quantizer()?.read(), index.lists()?.ok_or("no lists")?);
        let flat = cast::<GpuIndexFlat>(&*quantizer).ok_or("no flat quantizer")?;
        let centroids = flat.stored()?.ok_or("no centroids")?.view();
        let (mut coarse, mut by, mut select) = (0.0, [0.0; 3], 0.0);
        resources.with(0, |context| {
            let queries = context.upload(x)?;
            let (mut near, mut labels) = (context.take::<f32>(nq * nprobe)?, context.take::<i64>(nq * nprobe)?);
            let strategy =
                Strategy::choose(context.properties, MetricType::L2, nq, (centroids.count, d, 4 * d), nprobe);
            let search = knn::Search { metric: MetricType::L2, arg: 0.0, k: nprobe, strategy };
            let out = Best { values: near.ptr_mut(), ids: labels.ptr_mut() };
            coarse = time(|| {
                knn::knn(context, Rows::F32(queries.ptr()), nq, &centroids, search, 0, out)?;
                context.sync()
            })?;
            let (queries, labels, coarse) = (queries.ptr(), labels.ptr(), near.ptr());
            let probes = Queries { queries, count: nq, d, nprobe, labels, coarse, max_codes: usize::MAX };
            let search = Search {
                stored: lists.view(),
                centroids: Some(centroids),
                longest_row: lists.largest(nprobe),
                allowed: None,
                k,
                descending: false,
                store_pairs: false,
            };
            let (mut found, mut found_ids) = (context.take::<f32>(nq * k)?, context.take::<i64>(nq * k)?);
            let out = Best { values: found.ptr_mut(), ids: found_ids.ptr_mut() };
            for (strategy, took) in
                [By::Query, By::List, By::choose(context, &probes, &search)].into_iter().zip(&mut by)
            {
                *took = time(|| {
                    best_by(context, strategy, &Codec::floats(), Metric::L2, &probes, &search, out)?;
                    context.sync()
                })?;
            }
            // Of whatever numbers are there.
            select = time(|| {
                probe::best(context, &probes, &search, &|_| Ok(()), out)?;
                context.sync()
            })?;
            Ok(())
        })?;
        println!(
            "nq={nq} nprobe={nprobe} k={k}: {all:.3} ms; quantizer {coarse:.3}, lists by query {:.3}, by list {:.3}, as chosen \
             {:.3}, of that selection {select:.3}",
            by[0], by[1], by[2],
        );
    }
    println!("{:?}", resources.memory_info());
    Ok(())
}
