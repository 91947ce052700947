//! Grouping, streamed upload, assignment and k-means against naive references.

mod common;

use common::{Random, distances, gpu, on_gpu, small};
use faiss_core::base::MetricType;
use faiss_core::cluster::Clustering;
use faiss_core::index::Index;
use faiss_core::index::flat::IndexFlat;
use faiss_core::quantize::product::{ProductQuantizer, TRAIN_HOT_START};
use faiss_gpu::memory::Ptr;
use faiss_gpu::ops::assign::{self, Parts, Strategy};
use faiss_gpu::ops::group;
use faiss_gpu::ops::knn::Vectors;
use faiss_gpu::ops::pq_train::pq_train;
use faiss_gpu::ops::rows::Rows;
use faiss_gpu::resources::Context;
use faiss_gpu::{Error, GpuIndexFlat, GpuIndexFlatConfig, GpuResources, Result};

fn grouped(resources: &GpuResources, keys: &[i32], groups: usize) -> (Vec<u32>, Vec<u32>) {
    let (mut offsets, mut order) = (vec![7; groups + 1], vec![7; keys.len()]);
    let work = |c: &Context<'_>| -> Result<()> {
        let keys_there = c.upload(keys)?;
        let grouped = group::group(c, keys_there.ptr(), keys.len(), groups)?;
        c.download(grouped.offsets.ptr(), &mut offsets)?;
        c.download(grouped.order.ptr(), &mut order)
    };
    on_gpu(|| resources.with(0, work)).unwrap();
    order.truncate(offsets[groups] as usize);
    (offsets, order)
}

#[test]
fn groups_hold_their_items_in_order() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(3);
    let counts: &[usize] = if small() { &[0, 1, 2049, 5000] } else { &[0, 1, 31, 2047, 2048, 2049, 70_001, 1_300_000] };
    for &count in counts {
        for groups in [1, 2, 255, 256, 257, 4096, 65_535, 65_536, 100_000] {
            // All kinds: one giant group, keys of no group, few and many groups.
            for kind in 0..3 {
                let keys: Vec<i32> = (0..count)
                    .map(|_| match (kind, random.below(10)) {
                        (0, _) => random.below(groups) as i32,
                        (1, 0) => random.below(groups) as i32,
                        (1, _) => groups as i32 / 2,
                        (_, 0) => -1 - random.below(3) as i32,
                        (_, 1) => (groups + random.below(3)) as i32,
                        _ => random.below(groups.min(5)) as i32,
                    })
                    .collect();
                let mut order: Vec<u32> =
                    (0..count as u32).filter(|i| (0..groups as i32).contains(&keys[*i as usize])).collect();
                order.sort_by_key(|i| keys[*i as usize]);
                let mut offsets = vec![0; groups + 1];
                order.iter().for_each(|i| offsets[keys[*i as usize] as usize + 1] += 1);
                (0..groups).for_each(|g| offsets[g + 1] += offsets[g]);
                assert_eq!(grouped(&resources, &keys, groups), (offsets, order), "{count} items, {groups} groups");
            }
        }
    }
}

/// Rows of the device, one stream: what a streamed upload brought, batch by batch.
fn streamed(resources: &GpuResources, x: &[f32], d: usize, chosen: Option<&[i32]>, batch: usize) -> Vec<f32> {
    let rows = chosen.map_or(x.len() / d, <[i32]>::len);
    let (mut out, mut next) = (vec![f32::NAN; rows * d], 0);
    let work = |c: &Context<'_>| -> Result<()> {
        let mut target = c.take::<f32>(rows * d)?;
        let at = target.ptr_mut();
        let each = |batch: Ptr<f32>, first: usize, count: usize| {
            assert_eq!(first, next, "batches come in order");
            next += count;
            c.copy(batch, at.at(first * d), count * d)
        };
        match chosen {
            None => c.stream_rows(x, d, batch, each)?,
            Some(chosen) => c.stream_chosen_rows(x, d, chosen, batch, each)?,
        }
        c.download(target.ptr(), &mut out)
    };
    resources.with(0, work).unwrap();
    assert_eq!(next, rows);
    out
}

#[test]
fn streamed_rows_arrive_whole_and_in_order() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(4);
    for pinned in [0, 1 << 16, 1 << 20, 16 << 20] {
        let resources_now = GpuResources::default();
        resources_now.set_pinned_memory(pinned);
        let shapes: &[(usize, usize, usize)] = if small() || pinned == 1 << 16 {
            &[(1, 3, 1), (70, 13, 9), (5, 3000, 2)]
        } else {
            &[(1, 1, 1), (100_000, 96, 7000), (7, 700_000, 2), (300_001, 5, 1 << 30)]
        };
        for &(n, d, batch) in shapes {
            let x = random.vector(n * d, -1.0, 1.0);
            assert!(streamed(&resources_now, &x, d, None, batch) == x, "{n} x {d} by {batch}, {pinned} pinned");
            let chosen: Vec<i32> = (0..n + 3).map(|_| random.below(n) as i32).collect();
            let expected: Vec<f32> =
                chosen.iter().flat_map(|r| &x[*r as usize * d..(*r as usize + 1) * d]).copied().collect();
            assert!(streamed(&resources_now, &x, d, Some(&chosen), batch) == expected, "{n} x {d} chosen");
        }
    }
    let bad = resources.with(0, |c| c.stream_chosen_rows(&[0.0; 8], 2, &[4], 1, |_, _, _| Ok(())));
    assert_eq!(bad.unwrap_err().to_string(), "row 4 of 4 does not exist");
    // An error of the work ends the upload, and the next one finds everything free.
    let x = random.vector(3_000_000, 0.0, 1.0);
    let stopped = resources.with(0, |c| c.stream_rows(&x, 3, 1000, |_, _, _| Err(Error::invalid("enough"))));
    assert_eq!(stopped.unwrap_err().to_string(), "enough");
    assert!(streamed(&resources, &x, 3, None, 400_000) == x);
}

/// Those that the device can do.
fn strategies(resources: &GpuResources) -> Vec<Strategy> {
    let runs = |c: &Context<'_>| Ok(Strategy::ALL.into_iter().filter(|s| s.runs_on(c.properties)).collect());
    resources.with(0, runs).unwrap()
}

fn assigned(
    resources: &GpuResources,
    strategy: Strategy,
    x: &[f32],
    centroids: &[f32],
    d: usize,
    metric: MetricType,
) -> (Vec<i64>, Vec<f32>) {
    let n = x.len() / d;
    let (mut labels, mut distances) = (vec![7; n], vec![7.0; n]);
    let work = |c: &Context<'_>| -> Result<()> {
        let (rows, centres) = (c.upload(x)?, c.upload(centroids)?);
        let vectors = Vectors { rows: Rows::F32(centres.ptr()), count: centroids.len() / d, d, allowed: None };
        let (mut out, mut values) = (c.take(n)?, c.take(n)?);
        let to = Some(values.ptr_mut());
        assign::nearest_by(c, strategy, Parts::whole(rows.ptr(), n, d), &vectors, metric, out.ptr_mut(), to)?;
        c.download(out.ptr(), &mut labels)?;
        c.download(values.ptr(), &mut distances)
    };
    on_gpu(|| resources.with(0, work)).unwrap();
    (labels.into_iter().map(i64::from).collect(), distances)
}

#[test]
fn rows_go_to_their_nearest_centroid() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(5);
    let dims: &[usize] = if small() { &[1, 20, 130] } else { &[1, 7, 16, 31, 64, 128, 300] };
    let sizes: &[(usize, usize)] = if small() {
        &[(130, 70), (3, 1)]
    } else {
        &[(1, 1), (1, 300), (129, 127), (500, 128), (300, 1030), (20, 140_000)]
    };
    for metric in [MetricType::L2, MetricType::InnerProduct] {
        for &d in dims {
            for &(n, k) in sizes.iter().filter(|s| s.1 < 10_000 || d < 20) {
                for (low, high) in [(-1.0, 1.0), (1000.0, 1001.0), (0.0, 1e-4)] {
                    let (x, c) = (random.vector(n * d, low, high), random.vector(k * d, low, high));
                    let reference = distances(metric, 0.0, &x, &c, d);
                    for strategy in strategies(&resources) {
                        // A large offset makes norms and products of f32 cancel; the other strategies know better.
                        let cancels = low == 1000.0 && metric == MetricType::L2 && strategy == Strategy::Product;
                        let tolerance = if cancels { f64::INFINITY } else { 1e-5 };
                        println!("{strategy:?} {metric:?} d={d} n={n} k={k} {low}..{high}");
                        let (labels, values) = assigned(&resources, strategy, &x, &c, d, metric);
                        assert_eq!(assigned(&resources, strategy, &x, &c, d, metric), (labels.clone(), values.clone()));
                        for (row, (label, value)) in labels.iter().zip(&values).enumerate() {
                            let row = &reference[row * k..(row + 1) * k];
                            let own = row[usize::try_from(*label).unwrap()];
                            assert!(
                                (f64::from(*value) - own).abs() <= 2e-5 * own.abs().max(1e-9),
                                "{value} is not {own}"
                            );
                            let best = row
                                .iter()
                                .copied()
                                .fold(f64::NAN, if metric == MetricType::L2 { f64::min } else { f64::max });
                            let scale = row.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                            assert!((own - best).abs() <= tolerance * scale, "{own} is not the best, {best}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn equal_centroids_and_rows_that_are_near_to_none() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(6);
    let (n, k, d) = (300, 260, 24);
    let one = random.vector(d, -1.0, 1.0);
    let mut x = random.vector(n * d, -1.0, 1.0);
    x[5 * d + 3] = f32::NAN;
    for strategy in strategies(&resources) {
        for metric in [MetricType::L2, MetricType::InnerProduct] {
            let (labels, values) = assigned(&resources, strategy, &x, &one.repeat(k), d, metric);
            for (row, label) in labels.iter().enumerate() {
                assert_eq!(*label, if row == 5 { -1 } else { 0 }, "{strategy:?} {metric:?}: row {row}");
            }
            assert_eq!(values[5], if metric == MetricType::L2 { f32::MAX } else { -f32::MAX });
            let (labels, _) = assigned(&resources, strategy, &x, &[], d, metric);
            assert!(labels.iter().all(|l| *l == -1));
        }
    }
}

/// Hard inputs for one product: it must leave to three what it can't tell, and say the same where it can.
#[test]
fn what_one_product_proves_three_find() {
    let Some(resources) = gpu() else { return };
    if !strategies(&resources).contains(&Strategy::Proven) {
        return;
    }
    let mut random = Random(15);
    let (n, k, d) = (if small() { 300 } else { 5000 }, 200, 40);
    let x = random.vector(n * d, -1.0, 1.0);
    let c = random.vector(k * d, -1.0, 1.0);
    let scaled = |of: &[f32], scale: &dyn Fn(usize) -> f32| -> Vec<f32> {
        of.iter().enumerate().map(|(i, v)| v * scale(i / d)).collect()
    };
    let mut odd = x.clone();
    (odd[5 * d], odd[7 * d + 1]) = (f32::NAN, f32::INFINITY);
    let mut none = c.clone();
    none[3 * d + 2] = f32::NAN;
    let inputs: [(&str, Vec<f32>, Vec<f32>); 10] = [
        ("plain", x.clone(), c.clone()),
        ("rows far from all", scaled(&x, &|i| if i % 100 == 7 { 1e6 } else { 1.0 }), c.clone()),
        ("a centroid far from all", x.clone(), scaled(&c, &|i| if i == 11 { 1e9 } else { 1.0 })),
        ("tiny", scaled(&x, &|_| 1e-30), scaled(&c, &|_| 1e-30)),
        ("huge", scaled(&x, &|_| 1e15), scaled(&c, &|_| 1e15)),
        ("centroids in pairs", x.clone(), c.chunks(2 * d).flat_map(|two| two[..d].repeat(2)).collect()),
        (
            "almost in pairs",
            x.clone(),
            c.chunks(2 * d)
                .flat_map(|two| {
                    let near: Vec<f32> = two[..d].iter().map(|v| v * 1.0005).collect();
                    [&two[..d], &near].concat()
                })
                .collect(),
        ),
        ("rows that are centroids", c.repeat(n / k + 1), c.clone()),
        ("not finite", odd, c.clone()),
        ("a centroid that is none", x.clone(), none),
    ];
    for (name, x, c) in &inputs {
        for metric in [MetricType::L2, MetricType::InnerProduct] {
            let by = |strategy| assigned(&resources, strategy, x, c, d, metric);
            let ((three, its_values), (one, values)) = (by(Strategy::Split), by(Strategy::Proven));
            let same = |a: &[f32], b: &[f32]| a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()));
            assert!(same(&its_values, &values), "{name}, {metric:?}: distances differ");
            assert_eq!(one, three, "{name}, {metric:?}");
        }
    }
}

/// Rows around some centres.
fn blobs(random: &mut Random, n: usize, d: usize, centres: usize, spread: f32) -> Vec<f32> {
    let centres_at = random.vector(centres * d, -1.0, 1.0);
    (0..n)
        .flat_map(|_| {
            let c = random.below(centres) * d;
            let noise = random.vector(d, -spread, spread);
            (0..d).map(|j| centres_at[c + j] + noise[j]).collect::<Vec<_>>()
        })
        .collect()
}

fn near(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-4 * scale, "{what}: number {i} is {a}, not {b}");
    }
}

#[test]
fn clustering_on_the_device_is_the_hosts() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(7);
    type Change = fn(&mut Clustering);
    let variants: &[(&str, MetricType, usize, Change)] = &[
        ("plain", MetricType::L2, 900, |_| ()),
        ("subsampled", MetricType::L2, 900, |c| c.max_points_per_centroid = 20),
        ("subsampled with repetition", MetricType::L2, 900, |c| {
            (c.max_points_per_centroid, c.use_faster_subsampling) = (20, true);
        }),
        ("spherical", MetricType::InnerProduct, 900, |c| c.spherical = true),
        ("whole numbers", MetricType::L2, 900, |c| c.int_centroids = true),
        ("given", MetricType::L2, 900, |c| c.centroids = vec![0.25; 3 * c.d]),
        ("frozen", MetricType::L2, 900, |c| (c.centroids, c.frozen_centroids) = (vec![0.25; 3 * c.d], true)),
        ("redone", MetricType::L2, 900, |c| c.nredo = 3),
        ("stopped early", MetricType::L2, 900, |c| (c.niter, c.early_stop_threshold) = (50, 1e-3)),
        ("few points", MetricType::L2, 31, |_| ()),
        ("as many points as centroids", MetricType::L2, 25, |_| ()),
        ("equal points", MetricType::L2, 0, |_| ()),
        ("no round", MetricType::L2, 900, |c| c.niter = 0),
    ];
    for d in [5, 40] {
        for &(name, metric, n, change) in variants {
            let x = match n {
                0 => random.vector(d, -1.0, 1.0).repeat(100),
                n if name == "whole numbers" => blobs(&mut random, n, d, 30, 0.3).iter().map(|v| v * 50.0).collect(),
                n => blobs(&mut random, n, d, 30, 0.3),
            };
            for weighted in [false, true] {
                let what = format!("{name}, d={d}, weighted={weighted}");
                let weights = weighted.then(|| random.vector(x.len() / d, 0.5, 2.0));
                let mut clustering = Clustering::new(d, 25);
                (clustering.niter, clustering.seed) = (6, 5);
                change(&mut clustering);
                let mut there = clustering.clone();
                let mut host = IndexFlat::new(d as i64, metric).unwrap();
                clustering.train(&x, &mut host, weights.as_deref()).unwrap();
                let config = GpuIndexFlatConfig::default();
                let mut device = GpuIndexFlat::new(resources.clone(), d as i64, metric, &config).unwrap();
                let before = faiss_gpu::launch_count();
                there.train(&x, &mut device, weights.as_deref()).unwrap();
                assert!(n == 25 || faiss_gpu::launch_count() > before);
                assert_eq!(device.ntotal, 25, "{what}");
                let mut held = vec![0.0; 25 * d];
                device.reconstruct_n(0, 25, &mut held).unwrap();
                assert_eq!(held, there.centroids, "{what}");
                if n == 0 {
                    // Every choice is a tie; only the splits move the centroids, by a thousandth.
                    let moved = there.centroids.iter().zip(&clustering.centroids).map(|(a, b)| (a - b).abs());
                    assert!(moved.fold(0.0, f32::max) < 0.01, "{what}");
                    continue;
                }
                near(&there.centroids, &clustering.centroids, &what);
                let rounds = |c: &Clustering| c.iteration_stats.iter().map(|s| s.nsplit).collect::<Vec<_>>();
                assert_eq!(rounds(&there), rounds(&clustering), "{what}");
                for (a, b) in there.iteration_stats.iter().zip(&clustering.iteration_stats) {
                    assert!(
                        (a.obj - b.obj).abs() <= 1e-4 * b.obj.abs().max(1e-3),
                        "{what}: {} is not {}",
                        a.obj,
                        b.obj
                    );
                    assert!((a.imbalance_factor - b.imbalance_factor).abs() < 1e-6, "{what}");
                }
            }
        }
    }
}

#[test]
fn clustering_on_the_device_refuses_what_the_host_refuses() {
    let Some(resources) = gpu() else { return };
    let config = GpuIndexFlatConfig::default();
    let mut device = GpuIndexFlat::new(resources, 4, MetricType::L2, &config).unwrap();
    let mut x = vec![0.5; 400];
    x[77] = f32::INFINITY;
    let error = Clustering::new(4, 3).train(&x, &mut device, None).unwrap_err();
    assert!(error.to_string().contains("input contains NaN's or Inf's"), "{error}");
    let error = Clustering::new(4, 101).train(&x, &mut device, None).unwrap_err();
    assert!(error.to_string().contains("should be at least as large as number of clusters"), "{error}");
}

#[test]
fn codebooks_of_all_parts_are_the_hosts() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(8);
    let shapes: &[(usize, usize, usize, usize)] = if small() {
        &[(12, 3, 4, 400), (6, 6, 3, 300)]
    } else {
        &[
            (12, 3, 4, 400),
            (6, 6, 3, 300),
            (40, 5, 8, 3000),
            (64, 2, 6, 40_000),
            (7, 1, 5, 500),
            (8, 2, 4, 16),
            (8, 2, 4, 17),
        ]
    };
    for &(d, m, nbits, n) in shapes {
        for hot in [false, true] {
            let x = blobs(&mut random, n, d, 50, 0.5);
            let mut host = ProductQuantizer::new(d, m, nbits).unwrap();
            host.cp.niter = 4;
            if hot {
                (host.train_type, host.centroids) = (TRAIN_HOT_START, random.vector(d << nbits, -1.0, 1.0));
            }
            let mut device = host.clone();
            host.train(&x).unwrap();
            resources
                .with(0, |c| {
                    let rows = c.upload(&x)?;
                    pq_train(c, rows.ptr(), n, &mut device)
                })
                .map(|trained| trained || device.train(&x).is_ok())
                .map(|trained| assert!(trained))
                .unwrap();
            near(&device.centroids, &host.centroids, &format!("d={d} M={m} nbits={nbits} n={n} hot={hot}"));
        }
    }
}
