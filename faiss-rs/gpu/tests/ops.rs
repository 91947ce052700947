//! Kernels against naive references, through the operations that launch them.

mod common;

use common::{Random, check_results, distances, gpu, on_gpu, small};
use faiss_core::base::MetricType;
use faiss_gpu::ops::knn::{self, Search, Strategy, Vectors};
use faiss_gpu::ops::rows::{self, Rows};
use faiss_gpu::ops::select::{self, Best, Values};
use faiss_gpu::resources::Context;
use faiss_gpu::{GpuResources, Result};
use half::f16;

/// The values that a metric is made for.
fn data(metric: MetricType, random: &mut Random, len: usize) -> Vec<f32> {
    match metric {
        MetricType::JensenShannon | MetricType::Jaccard | MetricType::Canberra => random.vector(len, 0.05, 1.0),
        MetricType::Gower => random.vector(len, 0.0, 1.0),
        MetricType::NaNEuclidean => {
            let x = random.vector(len, -1.0, 1.0);
            x.into_iter().map(|v| if random.below(5) == 0 { f32::NAN } else { v }).collect()
        }
        _ => random.vector(len, -1.0, 1.0),
    }
}

fn to_half(x: &[f32]) -> Vec<f16> {
    x.iter().map(|v| f16::from_f32(*v)).collect()
}

fn search(
    resources: &GpuResources,
    queries: &[f32],
    vectors: &[f32],
    d: usize,
    half: bool,
    search: Search,
) -> (Vec<f32>, Vec<i64>) {
    let (nq, n) = (queries.len() / d, vectors.len() / d);
    let (mut values, mut ids) = (vec![7.0; nq * search.k], vec![7; nq * search.k]);
    let work = |c: &Context<'_>| -> Result<()> {
        let (q32, v32) = (c.upload(queries)?, c.upload(vectors)?);
        let (q16, v16) = (c.upload(&to_half(queries))?, c.upload(&to_half(vectors))?);
        let (q, v) = match half {
            true => (Rows::F16(q16.ptr()), Rows::F16(v16.ptr())),
            false => (Rows::F32(q32.ptr()), Rows::F32(v32.ptr())),
        };
        let (mut out_values, mut out_ids) = (c.take(values.len())?, c.take(ids.len())?);
        let out = Best { values: out_values.ptr_mut(), ids: out_ids.ptr_mut() };
        let searched = Vectors { rows: v, count: n, d, allowed: None };
        knn::knn(c, q, nq, &searched, search, 0, out)?;
        c.download(out_values.ptr(), &mut values)?;
        c.download(out_ids.ptr(), &mut ids)
    };
    on_gpu(|| resources.with(0, work)).unwrap();
    (values, ids)
}

#[test]
fn every_metric_and_strategy_agrees_with_its_definition() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(1);
    let dims: &[usize] = if small() { &[3, 36] } else { &[1, 3, 8, 31, 64, 128, 260] };
    let sizes: &[(usize, usize)] = if small() { &[(9, 70)] } else { &[(1, 1), (1, 1000), (7, 130), (40, 999)] };
    for metric in MetricType::ALL {
        for &d in dims {
            for &(nq, n) in sizes {
                for half in [false, true] {
                    let round =
                        |x: Vec<f32>| if half { x.iter().map(|v| f16::from_f32(*v).to_f32()).collect() } else { x };
                    let (queries, vectors) =
                        (round(data(metric, &mut random, nq * d)), round(data(metric, &mut random, n * d)));
                    let arg = 3.0;
                    let reference = distances(metric, arg, &queries, &vectors, d);
                    let linear = matches!(metric, MetricType::L2 | MetricType::InnerProduct);
                    for strategy in Strategy::ALL.into_iter().filter(|s| linear || *s == Strategy::Pairwise) {
                        let k = 11;
                        let how = Search { metric, arg, k, strategy };
                        let (values, ids) = search(&resources, &queries, &vectors, d, half, how);
                        // NaN distances count as missing.
                        let reference: Vec<f64> = reference
                            .iter()
                            .map(|v| {
                                if !v.is_nan() {
                                    *v
                                } else if metric.is_similarity() {
                                    f64::NEG_INFINITY
                                } else {
                                    f64::INFINITY
                                }
                            })
                            .collect();
                        println!("{metric:?} {strategy:?} d={d} nq={nq} n={n} half={half}");
                        check_results(&reference, n, k, metric.is_similarity(), 2e-5, (&values, &ids));
                    }
                }
            }
        }
    }
}

/// What selection must give, exactly.
fn select_reference(values: &[f32], columns: usize, k: usize, descending: bool) -> (Vec<f32>, Vec<i64>) {
    let worst = if descending { -f32::MAX } else { f32::MAX };
    let (mut out_values, mut out_ids) = (Vec::new(), Vec::new());
    for row in values.chunks(columns) {
        let better = |v: f32| if descending { v > worst } else { v < worst };
        let mut order: Vec<usize> = (0..columns).filter(|i| better(row[*i])).collect();
        order.sort_by(|a, b| {
            let (x, y) = (row[*a], row[*b]);
            let values = if descending { y.partial_cmp(&x) } else { x.partial_cmp(&y) };
            values.unwrap().then(a.cmp(b))
        });
        order.truncate(k);
        out_values.extend(order.iter().map(|i| row[*i]).chain(std::iter::repeat_n(worst, k - order.len())));
        out_ids.extend(order.iter().map(|i| *i as i64).chain(std::iter::repeat_n(-1, k - order.len())));
    }
    (out_values, out_ids)
}

fn run_select(
    resources: &GpuResources,
    input: &[f32],
    columns: usize,
    k: usize,
    descending: bool,
    tiles: usize,
) -> (Vec<f32>, Vec<i64>) {
    let rows = input.len() / columns;
    let (mut values, mut ids) = (vec![7.0; rows * k], vec![7; rows * k]);
    let work = |c: &Context<'_>| -> Result<()> {
        let device = c.upload(input)?;
        let (mut va, mut ia) = (c.take::<f32>(rows * k)?, c.take::<i64>(rows * k)?);
        let (mut vb, mut ib) = (c.take::<f32>(rows * k)?, c.take::<i64>(rows * k)?);
        let places =
            [Best { values: va.ptr_mut(), ids: ia.ptr_mut() }, Best { values: vb.ptr_mut(), ids: ib.ptr_mut() }];
        let from = |first: usize, columns_here: usize| Values {
            values: device.ptr().at(first),
            stride: columns,
            rows,
            columns: columns_here,

            allowed: None,
            row_columns: None,
            first_id: first as i64,
            descending,
        };
        if k > select::BLOCK_K {
            select::select_any(c, &from(0, columns), k, places[0])?;
        } else {
            let width = columns.div_ceil(tiles);
            let mut earlier = None;
            for (i, first) in (0..columns).step_by(width).enumerate() {
                let target = places[i % 2];
                select::select(c, &from(first, width.min(columns - first)), earlier, k, target)?;
                earlier = Some(target);
            }
            if columns.div_ceil(width).is_multiple_of(2) {
                c.download(vb.ptr(), &mut values)?;
                return c.download(ib.ptr(), &mut ids);
            }
        }
        c.download(va.ptr(), &mut values)?;
        c.download(ia.ptr(), &mut ids)
    };
    on_gpu(|| resources.with(0, work)).unwrap();
    (values, ids)
}

#[test]
fn selection_is_exact_on_hard_inputs() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(2);
    let shapes: &[(usize, usize)] =
        if small() { &[(2, 9000)] } else { &[(1, 1), (3, 100), (5, 5000), (1, 300_000), (700, 40)] };
    let ks: &[usize] = if small() { &[7, 2048, 3000] } else { &[1, 2, 31, 100, 1000, 2048, 2049, 5000] };
    for &(rows, columns) in shapes {
        let len = rows * columns;
        let uniform = random.vector(len, -1.0, 1.0);
        let falling: Vec<f32> = (0..len).map(|i| -((i % columns) as f32)).collect();
        let few: Vec<f32> = (0..len).map(|_| [0.0, -0.0, 1.0, -1.0][random.below(4)]).collect();
        let odd: Vec<f32> = (0..len)
            .map(|_| [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -f32::MAX, 1e-40, 0.5][random.below(7)])
            .collect();
        for (name, input) in [("uniform", uniform), ("falling", falling), ("few", few), ("odd", odd)] {
            for &k in ks {
                for descending in [false, true] {
                    let (values, ids) = select_reference(&input, columns, k, descending);
                    for tiles in [1, 3] {
                        let got = run_select(&resources, &input, columns, k, descending, tiles);
                        let what = format!("{name} {rows}x{columns} k={k} descending={descending} tiles={tiles}");
                        assert!(got.1 == ids, "{what}: ids");
                        assert!(got.0 == values, "{what}: values");
                    }
                }
            }
        }
    }
}

#[test]
fn rows_are_converted_gathered_and_transposed() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(3);
    for (count, d) in [(1, 1), (33, 7), (100, 40), (257, 129)] {
        let x = random.vector(count * d, -100.0, 100.0);
        let ids: Vec<i64> = (0..50).map(|_| random.below(count + 2) as i64 - 1).collect();
        let y = random.vector(ids.len() * d, -1.0, 1.0);
        let mut half = vec![f16::ZERO; x.len()];
        let (mut back, mut transposed, mut norms) = (vec![0.0f32; x.len()], vec![0.0f32; x.len()], vec![0.0f32; count]);
        let (mut gathered, mut residuals, mut filled) =
            (vec![0.0f32; y.len()], vec![0.0f32; y.len()], vec![0i64; 1000]);
        let work = |c: &Context<'_>| -> Result<()> {
            let source = c.upload(&x)?;
            let mut narrow = c.take::<f16>(x.len())?;
            rows::convert(c, source.ptr(), narrow.ptr_mut(), x.len())?;
            c.download(narrow.ptr(), &mut half)?;
            let mut target = c.take::<f32>(x.len().max(y.len()))?;
            rows::convert(c, narrow.ptr(), target.ptr_mut(), x.len())?;
            c.download(target.ptr(), &mut back)?;
            rows::transpose(c, source.ptr(), target.ptr_mut(), count, d)?;
            c.download(target.ptr(), &mut transposed)?;
            rows::norms(c, Rows::F32(source.ptr()), target.ptr_mut(), count, d)?;
            c.download(target.ptr(), &mut norms)?;
            let (device_ids, device_y) = (c.upload(&ids)?, c.upload(&y)?);
            let from = (Rows::F32(source.ptr()), count);
            rows::gather(c, from, device_ids.ptr(), target.ptr_mut(), ids.len(), d)?;
            c.download(target.ptr(), &mut gathered)?;
            rows::residuals(c, from, device_ids.ptr(), device_y.ptr(), target.ptr_mut(), ids.len(), d)?;
            c.download(target.ptr(), &mut residuals)?;
            let mut numbers = c.take::<i64>(filled.len())?;
            rows::fill(c, numbers.ptr_mut(), -5i64, filled.len())?;
            c.download(numbers.ptr(), &mut filled)
        };
        on_gpu(|| resources.with(0, work)).unwrap();
        assert_eq!(half, to_half(&x));
        assert!(back.iter().zip(&half).all(|(b, h)| *b == h.to_f32()));
        assert!(filled.iter().all(|v| *v == -5));
        for i in 0..count {
            assert!((0..d).all(|j| transposed[j * count + i] == x[i * d + j]));
            let norm: f64 = x[i * d..(i + 1) * d].iter().map(|v| f64::from(*v).powi(2)).sum();
            assert!((f64::from(norms[i]) - norm).abs() <= 1e-6 * norm);
        }
        for (i, id) in ids.iter().enumerate() {
            for j in 0..d {
                let (g, r) = (gathered[i * d + j], residuals[i * d + j]);
                match usize::try_from(*id).ok().filter(|id| *id < count) {
                    Some(id) => assert_eq!((g, r), (x[id * d + j], y[i * d + j] - x[id * d + j])),
                    None => assert!(g.is_nan() && r.is_nan()),
                }
            }
        }
    }
}

#[test]
fn products_lose_no_digits_where_vectors_are_near() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(5);
    let (d, nq, n, k) = (32, 40, 700, 9);
    // Clusters of a few vectors, far from the origin and near each other: the squared norms are 10^6 times the distances.
    let centres = random.vector(n / 7 * d, -10.0, 10.0);
    let vectors: Vec<f32> = (0..n * d).map(|i| centres[i / d % (n / 7) * d + i % d] + 0.05 * random.unit()).collect();
    let queries: Vec<f32> = vectors[..nq * d].iter().map(|v| v + 0.001).collect();
    let reference = distances(MetricType::L2, 0.0, &queries, &vectors, d);
    let how = Search { metric: MetricType::L2, arg: 0.0, k, strategy: Strategy::Found };
    let (values, ids) = search(&resources, &queries, &vectors, d, false, how);
    for (q, (values, ids)) in values.chunks(k).zip(ids.chunks(k)).enumerate() {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| reference[q * n + a].total_cmp(&reference[q * n + b]));
        for i in 0..k {
            let exact = reference[q * n + order[i]];
            assert_eq!(ids[i], order[i] as i64, "query {q}, place {i}");
            assert!(
                (f64::from(values[i]) - exact).abs() <= 1e-5 * exact,
                "query {q}, place {i}: {} is not {exact}",
                values[i]
            );
        }
    }
}

#[test]
fn results_are_the_same_bits_on_every_run() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(4);
    let (d, nq, n) = (48, 70, if small() { 500 } else { 60_000 });
    let (queries, vectors) = (random.vector(nq * d, -1.0, 1.0), random.vector(n * d, -1.0, 1.0));
    for strategy in Strategy::ALL {
        for k in [50, 3000] {
            let how = Search { metric: MetricType::L2, arg: 0.0, k, strategy };
            let first = search(&resources, &queries, &vectors, d, false, how);
            for _ in 0..3 {
                assert!(search(&resources, &queries, &vectors, d, false, how) == first, "{strategy:?} k={k}");
            }
        }
    }
}
