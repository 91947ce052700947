//! GPU indexes and bfKnn as a user calls them, against definitions and the CPU's indexes.

mod common;

use std::sync::Arc;

use common::{Random, check_results, distances, gpu, on_gpu, small};
use faiss_core::base::object::cast;
use faiss_core::base::{MetricType, Shared};
use faiss_core::index::flat::IndexFlat;
use faiss_core::index::{Index, SearchParameters};
use faiss_core::selector::sets::IDSelectorBatch;
use faiss_gpu::{
    DistanceDataType, GpuClonerOptions, GpuDistanceParams, GpuIndexFlat, GpuIndexFlatConfig, GpuIndexFlatIP,
    GpuIndexFlatL2, GpuMultipleClonerOptions, GpuResources, IndicesDataType,
};
use half::{bf16, f16};

fn search(index: &dyn Index, queries: &[f32], k: usize) -> (Vec<f32>, Vec<i64>) {
    let n = queries.len() / index.base().dim();
    let (mut values, mut ids) = (vec![7.0; n * k], vec![7; n * k]);
    index.search(queries, k, None, &mut values, &mut ids).unwrap();
    (values, ids)
}

fn halves(x: &[f32]) -> Vec<f32> {
    x.iter().map(|v| f16::from_f32(*v).to_f32()).collect()
}

fn config(half: bool) -> GpuIndexFlatConfig {
    GpuIndexFlatConfig { use_float16: half, ..Default::default() }
}

#[test]
fn flat_indexes_find_the_nearest() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(10);
    let n = if small() { 600 } else { 20_000 };
    for (d, metric, half) in [
        (17, MetricType::L2, false),
        (64, MetricType::L2, true),
        (64, MetricType::InnerProduct, false),
        (33, MetricType::InnerProduct, true),
        (20, MetricType::L1, false),
        (12, MetricType::Canberra, true),
    ] {
        let vectors = random.vector(n * d, 0.0, 1.0);
        let mut index = GpuIndexFlat::new(resources.clone(), d as i64, metric, &config(half)).unwrap();
        vectors.chunks(d * (n / 3)).for_each(|part| index.add(part).unwrap());
        assert_eq!(index.ntotal, n as i64);
        let stored = if half { halves(&vectors) } else { vectors.clone() };
        for (nq, k) in [(1, 1), (5, 100), (50, 10), (3, 2500)] {
            let k = if small() { k.min(700) } else { k };
            let queries = random.vector(nq * d, 0.0, 1.0);
            let rounded = if half { halves(&queries) } else { queries.clone() };
            let (values, ids) = on_gpu(|| search(&index, &queries, k));
            let reference = distances(metric, 0.0, &rounded, &stored, d);
            check_results(&reference, n, k, metric.is_similarity(), 2e-5, (&values, &ids));
        }
        let mut out = vec![0.0; 5 * d];
        index.reconstruct_n(7, 5, &mut out).unwrap();
        assert_eq!(out, stored[7 * d..12 * d]);
        index.reconstruct_batch(&[3, 3, 0, n as i64 - 1, 9], &mut out).unwrap();
        assert_eq!(out[3 * d..4 * d], stored[(n - 1) * d..]);
        let x = random.vector(2 * d, 0.0, 1.0);
        let mut residuals = vec![0.0; 2 * d];
        index.compute_residual_n(&x, &mut residuals, &[1, 4]).unwrap();
        assert!((0..d).all(|j| residuals[d + j] == x[d + j] - stored[4 * d + j]));
        index.reset().unwrap();
        assert_eq!(
            search(&index, &x, 2),
            (vec![if metric.is_similarity() { -f32::MAX } else { f32::MAX }; 4], vec![-1; 4])
        );
    }
}

#[test]
fn indexes_go_to_the_gpu_and_back() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(11);
    let (d, n) = (24, 500);
    let mut cpu = IndexFlat::new(d as i64, MetricType::InnerProduct).unwrap();
    cpu.add(&random.vector(n * d, -1.0, 1.0)).unwrap();
    let queries = random.vector(4 * d, -1.0, 1.0);
    let made = faiss_gpu::index_cpu_to_gpu(&resources, 0, &cpu, &GpuClonerOptions::default()).unwrap();
    let gpu_index: Shared<dyn Index> = made.view().unwrap();
    let (values, ids) = on_gpu(|| search(&*gpu_index.read(), &queries, 5));
    let (cpu_values, cpu_ids) = search(&cpu, &queries, 5);
    assert_eq!(ids, cpu_ids);
    assert!(values.iter().zip(&cpu_values).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs()));
    let back: Shared<dyn Index> = faiss_gpu::index_gpu_to_cpu(&*gpu_index.read()).unwrap().view().unwrap();
    assert_eq!(cast::<IndexFlat>(&*back.read()).unwrap().get_xb(), cpu.get_xb());

    let several = vec![resources.clone(), resources.clone()];
    let options = GpuMultipleClonerOptions::default();
    let error = faiss_gpu::index_cpu_to_gpu_multiple(&several, &[0, 1000], &cpu, &options).err().unwrap();
    assert!(error.to_string().contains("GPU 1000 does not exist"), "{error}");
}

#[test]
fn small_temporary_memory_and_pages_change_nothing() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(12);
    let (d, n, nq) = (16, if small() { 300 } else { 30_000 }, 200);
    let (vectors, queries) = (random.vector(n * d, -1.0, 1.0), random.vector(nq * d, -1.0, 1.0));
    let mut index = GpuIndexFlatL2::new(resources.clone(), d as i64, &config(false)).unwrap();
    index.add(&vectors).unwrap();
    // Other sizes of tiles may round products otherwise, so results are right rather than equal.
    let reference = distances(MetricType::L2, 0.0, &queries, &vectors, d);
    let check = |index: &GpuIndexFlatL2| {
        let (values, ids) = on_gpu(|| search(index, &queries, 20));
        check_results(&reference, n, 20, false, 2e-5, (&values, &ids));
    };
    check(&index);
    resources.set_temp_memory(1 << 16);
    check(&index);
    let info = resources.memory_info();
    assert!(info[0].temp_limit == 1 << 16 && info[0].lanes.overflows > 0, "{info:?}");
    resources.set_temp_memory(0);
    resources.set_pinned_memory(0);
    resources.set_default_null_stream_all_devices();
    check(&index);
    assert_eq!(resources.default_stream(0).unwrap(), 0);
    index.set_min_paging_size(1000);
    check(&index);
}

#[test]
fn a_selector_says_which_vectors_count() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(16);
    let (d, n) = (12, 5000);
    let mut index = GpuIndexFlatL2::new(resources, d as i64, &config(false)).unwrap();
    let vectors = random.vector(n * d, -1.0, 1.0);
    index.add(&vectors).unwrap();
    let allowed: Vec<i64> = (0..n as i64).filter(|i| i % 7 == 3).collect();
    let sel = Shared::new(IDSelectorBatch::new(&allowed));
    let params = SearchParameters { sel: Some(sel) };
    for (nq, k) in [(2, 5), (60, 30), (2, 2100)] {
        let queries = random.vector(nq * d, -1.0, 1.0);
        let (mut values, mut ids) = (vec![0.0; nq * k], vec![0; nq * k]);
        on_gpu(|| index.search(&queries, k, Some(&params), &mut values, &mut ids)).unwrap();
        let all = distances(MetricType::L2, 0.0, &queries, &vectors, d);
        let reference: Vec<f64> =
            all.iter().enumerate().map(|(i, v)| if i % n % 7 == 3 { *v } else { f64::INFINITY }).collect();
        check_results(&reference, n, k, false, 2e-5, (&values, &ids));
    }
}

#[test]
fn threads_share_an_index() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(13);
    let (d, n) = (32, 3000);
    let mut index = GpuIndexFlatIP::new(resources, d as i64, &config(false)).unwrap();
    index.add(&random.vector(n * d, -1.0, 1.0)).unwrap();
    let queries = random.vector(10 * d, -1.0, 1.0);
    let expected = search(&index, &queries, 8);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| assert!(search(&index, &queries, 8) == expected)));
        }
    });
}

fn brute(resources: &Arc<GpuResources>, params: GpuDistanceParams, limits: (usize, usize)) -> (Vec<f32>, Vec<i64>) {
    let size = params.num_queries as usize * if params.k < 0 { params.num_vectors as usize } else { params.k as usize };
    let (mut values, mut wide, mut narrow) = (vec![7.0f32; size], vec![7i64; size], vec![7i32; size]);
    let is_wide = params.out_indices_type == IndicesDataType::I64;
    let ids = if is_wide { wide.as_mut_ptr() as usize } else { narrow.as_mut_ptr() as usize };
    let params =
        GpuDistanceParams { out_distances: values.as_mut_ptr() as usize, out_indices: ids, device: 0, ..params };
    // SAFETY: every array has the size that the parameters say.
    on_gpu(|| unsafe { faiss_gpu::bf_knn_tiling(resources, &params, limits.0, limits.1) }).unwrap();
    let ids = if is_wide { wide } else { narrow.into_iter().map(i64::from).collect() };
    (values, ids)
}

#[test]
fn brute_force_takes_every_type_and_layout() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(14);
    let (d, n, nq, k) = (19, if small() { 200 } else { 4000 }, 45, 12);
    // Numbers of few bits are the same in all three types.
    let few =
        |random: &mut Random, len: usize| (0..len).map(|_| random.below(64) as f32 / 32.0 - 1.0).collect::<Vec<_>>();
    let (vectors, queries) = (few(&mut random, n * d), few(&mut random, nq * d));
    let transposed = |x: &[f32]| (0..d).flat_map(|j| x.chunks(d).map(move |row| row[j])).collect::<Vec<f32>>();
    let reference = distances(MetricType::L2, 0.0, &queries, &vectors, d);
    let base = GpuDistanceParams {
        k: k as i32,
        dims: d as i32,
        num_vectors: n as i64,
        num_queries: nq as i64,
        ..Default::default()
    };
    for row_major in [true, false] {
        let (v, q) =
            if row_major { (vectors.clone(), queries.clone()) } else { (transposed(&vectors), transposed(&queries)) };
        let base = GpuDistanceParams { vectors_row_major: row_major, queries_row_major: row_major, ..base.clone() };
        let f16s: (Vec<f16>, Vec<f16>) =
            (v.iter().map(|x| f16::from_f32(*x)).collect(), q.iter().map(|x| f16::from_f32(*x)).collect());
        let bf16s: (Vec<bf16>, Vec<bf16>) =
            (v.iter().map(|x| bf16::from_f32(*x)).collect(), q.iter().map(|x| bf16::from_f32(*x)).collect());
        for (kind, v, q) in [
            (DistanceDataType::F32, v.as_ptr() as usize, q.as_ptr() as usize),
            (DistanceDataType::F16, f16s.0.as_ptr() as usize, f16s.1.as_ptr() as usize),
            (DistanceDataType::BF16, bf16s.0.as_ptr() as usize, bf16s.1.as_ptr() as usize),
        ] {
            let params =
                GpuDistanceParams { vector_type: kind, query_type: kind, vectors: v, queries: q, ..base.clone() };
            let got = brute(&resources, params.clone(), (0, 0));
            check_results(&reference, n, k, false, 1e-6, (&got.0, &got.1));
            let narrow = GpuDistanceParams { out_indices_type: IndicesDataType::I32, ..params.clone() };
            assert!(brute(&resources, narrow, (0, 0)) == got);
            if row_major {
                let parts = brute(&resources, params.clone(), (70 * d * 4, 10 * d * 4));
                check_results(&reference, n, k, false, 1e-6, (&parts.0, &parts.1));
            }
            let (all, _) = brute(&resources, GpuDistanceParams { k: -1, ..params }, (0, 0));
            assert!(all.iter().zip(&reference).all(|(a, b)| (f64::from(*a) - b).abs() <= 1e-6 * (1.0 + b)));
        }
    }
    let (values, ids) = faiss_gpu::knn_gpu(&resources, 0, &queries, &vectors, d, 3, MetricType::L1, 0.0).unwrap();
    check_results(&distances(MetricType::L1, 0.0, &queries, &vectors, d), n, 3, false, 1e-6, (&values, &ids));
}

#[test]
fn brute_force_takes_device_memory() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(15);
    let (d, n, nq, k) = (8, 300, 6, 4);
    let (vectors, queries) = (random.vector(n * d, -1.0, 1.0), random.vector(nq * d, -1.0, 1.0));
    let expected = faiss_gpu::knn_gpu(&resources, 0, &queries, &vectors, d, k, MetricType::L2, 0.0).unwrap();
    let other: Arc<GpuResources> = Arc::default();
    let (mut values, mut ids) = (vec![0.0f32; nq * k], vec![0i64; nq * k]);
    other
        .with(0, |c| {
            let (v, q) = (c.upload(&vectors)?, c.upload(&queries)?);
            let (mut out_values, mut out_ids) = (c.take::<f32>(nq * k)?, c.take::<i64>(nq * k)?);
            let params = GpuDistanceParams {
                k: k as i32,
                dims: d as i32,
                num_vectors: n as i64,
                num_queries: nq as i64,
                vectors: v.ptr().raw() as usize,
                queries: q.ptr().raw() as usize,
                out_distances: out_values.ptr_mut().raw() as usize,
                out_indices: out_ids.ptr_mut().raw() as usize,
                ..Default::default()
            };
            c.sync()?;
            // SAFETY: every array has the size that the parameters say.
            unsafe { faiss_gpu::bf_knn(&resources, &params)? };
            c.download(out_values.ptr(), &mut values)?;
            c.download(out_ids.ptr(), &mut ids)
        })
        .unwrap();
    assert!((values, ids) == expected);
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let Some(resources) = gpu() else { return };
    let mut index = GpuIndexFlatL2::new(resources.clone(), 4, &config(false)).unwrap();
    index.add(&[1.0; 12]).unwrap();
    assert!(index.add(&[1.0; 5]).is_err());
    assert!(index.reconstruct(3, &mut [0.0; 4]).is_err());
    assert!(index.reconstruct(-1, &mut [0.0; 4]).is_err());
    assert!(index.reconstruct_batch(&[0, 9], &mut [0.0; 8]).is_err());
    assert!(index.search(&[0.0; 4], 0, None, &mut [], &mut []).is_err());
    assert!(index.search(&[0.0; 4], 2, None, &mut [0.0; 1], &mut [0; 1]).is_err());
    assert_eq!(index.ntotal, 3);
    let (values, ids) = search(&index, &[1.0; 4], 5);
    assert_eq!((values, ids), (vec![0.0, 0.0, 0.0, f32::MAX, f32::MAX], vec![0, 1, 2, -1, -1]));
    let mut nowhere = config(false);
    nowhere.base.device = 99;
    let error = GpuIndexFlatL2::new(resources, 4, &nowhere).err().unwrap();
    assert!(error.to_string().contains("GPU 99 does not exist"), "{error}");
}
