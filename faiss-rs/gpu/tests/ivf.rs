//! Inverted lists and inverted files of full vectors on a GPU, against definitions and the CPU's.

mod common;

use std::sync::Arc;

use common::{Random, check_results, distance, gpu, on_gpu, small};
use faiss_core::base::object::cast;
use faiss_core::base::{MetricType, Shared};
use faiss_core::index::flat::IndexFlat;
use faiss_core::index::ivf::flat::IndexIVFFlat;
use faiss_core::index::ivf::params::SearchParametersIVF;
use faiss_core::index::{Index, SearchParameters};
use faiss_core::selector::sets::IDSelectorBatch;
use faiss_core::storage::lists::{ArrayInvertedLists, InvertedLists};
use faiss_gpu::launchers::Metric;
use faiss_gpu::lists::DeviceLists;
use faiss_gpu::ops::ivf_scan::{self, Codec, Strategy};
use faiss_gpu::ops::knn::Vectors;
use faiss_gpu::ops::probe::Scan;
use faiss_gpu::ops::rows::Rows;
use faiss_gpu::resources::Context;
use faiss_gpu::{
    GpuClonerOptions, GpuIndexIVFFlat, GpuIndexIVFFlatConfig, GpuResources, IndicesOptions, MemorySpace, Result,
};

fn bytes(n: usize, random: &mut Random) -> Vec<u8> {
    (0..n).map(|_| random.next() as u8).collect()
}

/// Downloads lists and compares them with the CPU's, entry by entry.
fn check_lists(context: &Context<'_>, lists: &DeviceLists, wanted: &ArrayInvertedLists) {
    let found = lists.download(context).unwrap();
    for list in 0..lists.nlist() {
        assert_eq!(lists.lengths()[list] as usize, wanted.list_size(list), "length of list {list}");
        assert_eq!(found.ids(list), wanted.ids(list), "ids of list {list}");
        assert_eq!(found.codes(list), wanted.codes(list), "codes of list {list}");
        assert_eq!(lists.list_ids(context, list).unwrap(), &*wanted.ids(list));
        assert_eq!(lists.list_codes(context, list).unwrap(), &*wanted.codes(list));
    }
}

#[test]
fn lists_keep_what_is_appended() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(30);
    for (nlist, code_size) in [(1, 4), (7, 5), (50, 20), (300, 48), (13, 1)] {
        for indices in [IndicesOptions::Int64Bit, IndicesOptions::Int32Bit, IndicesOptions::Cpu] {
            let run = |context: &Context<'_>| -> Result<()> {
                let mut wanted = ArrayInvertedLists::new(nlist, code_size).unwrap();
                let mut lists = DeviceLists::new(context, MemorySpace::Device, nlist, code_size, indices)?;
                check_lists(context, &lists, &wanted);
                for (step, n) in [300, 0, 1, 1000, 17].into_iter().enumerate() {
                    // Some go nowhere; half of the others to one list.
                    let list_of: Vec<i32> = (0..n)
                        .map(|_| match random.below(8) {
                            0 => -1,
                            1..=4 => (nlist / 2) as i32,
                            _ => random.below(nlist) as i32,
                        })
                        .collect();
                    let ids: Vec<i64> = (0..n).map(|i| 7 * (step * 10_000 + i) as i64).collect();
                    let codes = bytes(n * code_size, &mut random);
                    let wide: Vec<i64> = list_of.iter().map(|l| i64::from(*l)).collect();
                    wanted.add_many(&wide, &ids, &codes, &mut vec![0; n]).unwrap();
                    let (device_lists, device_codes) = (context.upload(&list_of)?, context.upload(&codes)?);
                    lists.append(context, device_lists.ptr(), device_codes.ptr(), &ids, 0)?;
                    check_lists(context, &lists, &wanted);
                    match step {
                        0 => lists.reserve(context, 900)?,
                        3 => assert!(lists.compact(context)? > 0),
                        _ => {}
                    }
                    check_lists(context, &lists, &wanted);
                }
                let copy = DeviceLists::upload(context, MemorySpace::Device, &wanted, indices)?;
                check_lists(context, &copy, &wanted);
                assert_eq!(copy.count(), wanted.compute_ntotal());
                let sizes = (0..nlist).map(|list| wanted.list_size(list));
                assert_eq!(copy.largest(1), sizes.max().unwrap());
                lists.reset(context)?;
                wanted.reset().unwrap();
                check_lists(context, &lists, &wanted);
                Ok(())
            };
            let mut run = run;
            on_gpu(|| resources.with(0, |context| run(context))).unwrap();
        }
    }
    // Of larger ids the lower 32 bits stay.
    let wide = resources.with(0, |context| {
        let mut lists = DeviceLists::new(context, MemorySpace::Device, 2, 4, IndicesOptions::Int32Bit)?;
        let (list_of, codes) = (context.upload(&[0i32; 2])?, context.upload(&[0u8; 8])?);
        lists.append(context, list_of.ptr(), codes.ptr(), &[(1 << 40) + 3, 7], 0)?;
        lists.list_ids(context, 0)
    });
    assert_eq!(wide.unwrap(), [3, 7]);
}

/// Vectors in clumps of different sizes, one of them far the largest, and `nlist` centroids of which some have no vector.
fn clumps(random: &mut Random, n: usize, d: usize, nlist: usize) -> (Vec<f32>, Vec<f32>) {
    let centroids = random.vector(nlist * d, -1.0, 1.0);
    let mut x = Vec::with_capacity(n * d);
    for _ in 0..n {
        let clump = if random.below(3) == 0 { 0 } else { random.below(nlist.div_ceil(2)) };
        x.extend(centroids[clump * d..(clump + 1) * d].iter().map(|c| c + 0.2 * (random.unit() - 0.5)));
    }
    (x, centroids)
}

fn flat_quantizer(centroids: &[f32], d: usize, metric: MetricType) -> Shared<dyn Index> {
    let mut quantizer = IndexFlat::new(d as i64, metric).unwrap();
    quantizer.add(centroids).unwrap();
    Shared::new(quantizer)
}

fn config(indices: IndicesOptions) -> GpuIndexIVFFlatConfig {
    let mut config = GpuIndexIVFFlatConfig::default();
    config.ivf.indices_options = indices;
    config
}

fn search(index: &dyn Index, queries: &[f32], k: usize) -> (Vec<f32>, Vec<i64>) {
    let n = queries.len() / index.base().dim();
    let (mut values, mut ids) = (vec![7.0; n * k], vec![7; n * k]);
    index.search(queries, k, None, &mut values, &mut ids).unwrap();
    (values, ids)
}

/// All distances, but those to vectors that are in none of the lists nearest to the query: infinite (or minus infinite).
fn reference(index: &IndexIVFFlat, x: &[f32], queries: &[f32], nprobe: usize) -> Vec<f64> {
    let (d, n) = (index.dim(), x.len() / index.dim());
    let nq = queries.len() / d;
    let (mut coarse, mut probes) = (vec![0.0; nq * nprobe], vec![0; nq * nprobe]);
    index.quantizer().unwrap().read().search(queries, nprobe, None, &mut coarse, &mut probes).unwrap();
    let none = if index.metric_type.is_similarity() { f64::NEG_INFINITY } else { f64::INFINITY };
    let mut all = vec![none; nq * n];
    let lists = index.lists().unwrap();
    for (q, query) in queries.chunks(d).enumerate() {
        for list in &probes[q * nprobe..(q + 1) * nprobe] {
            for id in lists.ids(*list as usize).iter() {
                let at = *id as usize;
                all[q * n + at] = distance(index.metric_type, 0.0, query, &x[at * d..(at + 1) * d]);
            }
        }
    }
    all
}

#[test]
fn searches_find_the_nearest_of_the_lists() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(31);
    for (d, nlist, metric) in [
        (1, 5, MetricType::L2),
        (16, 40, MetricType::L2),
        (31, 9, MetricType::InnerProduct),
        (128, 30, MetricType::L2),
        (260, 3, MetricType::InnerProduct),
    ] {
        let n = if small() { 400 } else { 6000 };
        let (x, centroids) = clumps(&mut random, n, d, nlist);
        let mut cpu = IndexIVFFlat::new(flat_quantizer(&centroids, d, metric), d as i64, nlist, metric, true).unwrap();
        cpu.add(&x).unwrap();
        let mut index =
            GpuIndexIVFFlat::new(resources.clone(), None, d as i64, nlist, metric, &config(IndicesOptions::Int64Bit))
                .unwrap();
        assert!(!index.is_trained && index.add(&x).is_err() && index.ntotal == 0);
        index.quantizer().unwrap().write().add(&centroids).unwrap();
        index.train(&x).unwrap();
        x.chunks(d * (n / 3)).for_each(|part| on_gpu(|| index.add(part)).unwrap());
        assert_eq!(index.ntotal, n as i64);
        let lists = cpu.lists().unwrap();
        for list in 0..nlist {
            assert_eq!(index.list_length(list).unwrap(), lists.list_size(list));
        }
        drop(lists);
        for (nq, k, nprobe) in [(1, 1, 1), (1, 10, 3), (3, 100, 2), (200, 10, 3), (40, 7, nlist), (2, 2500, nlist + 5)]
        {
            let k = if small() { k.min(60) } else { k };
            let queries = random.vector(nq * d, -1.0, 1.0);
            index.ivf.nprobe = nprobe;
            let got = on_gpu(|| search(&index, &queries, k));
            let wanted = reference(&cpu, &x, &queries, nprobe.min(nlist));
            check_results(&wanted, n, k, metric.is_similarity(), 2e-5, (&got.0, &got.1));
            assert!(got == search(&index, &queries, k), "another run gives other results");
        }
        index.reset().unwrap();
        let worst = if metric.is_similarity() { -f32::MAX } else { f32::MAX };
        assert_eq!(search(&index, &x[..d], 2), (vec![worst; 2], vec![-1; 2]));
    }
}

#[test]
fn all_kernels_compute_every_distance() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(32);
    for (d, nq, nprobe, nlist) in [(3, 5, 4, 6), (64, 70, 3, 4), (130, 33, 9, 9)] {
        let n = if small() { 300 } else { 3000 };
        let (x, queries) = (random.vector(n * d, -1.0, 1.0), random.vector(nq * d, -1.0, 1.0));
        // List 1 is empty, list 0 has most.
        let list_of: Vec<i32> =
            (0..n).map(|i| if i % 3 > 0 { 0 } else { [0, 2, 3][random.below(3)].min(nlist as i32 - 1) }).collect();
        let probes: Vec<i64> = (0..nq * nprobe).map(|i| (i % (nlist + 1)) as i64 - 1).collect();
        for (kind, metric) in [(Metric::L2, MetricType::L2), (Metric::InnerProduct, MetricType::InnerProduct)] {
            let run = |context: &Context<'_>| -> Result<()> {
                let mut lists = DeviceLists::new(context, MemorySpace::Device, nlist, 4 * d, IndicesOptions::Int64Bit)?;
                let (device_lists, codes) = (context.upload(&list_of)?, context.upload(&x)?);
                let ids: Vec<i64> = (0..n as i64).collect();
                let codes = faiss_gpu::memory::Ptr::new(codes.ptr().raw().cast());
                lists.append(context, device_lists.ptr(), codes, &ids, 0)?;
                let of: Vec<Vec<i64>> = (0..nlist).map(|l| lists.list_ids(context, l)).collect::<Result<_>>()?;
                let narrow: Vec<i32> = probes.iter().map(|l| *l as i32).collect();
                let (mut places, mut wanted) = (Vec::new(), Vec::new());
                let stride = nprobe * n;
                for q in 0..nq {
                    let mut row = vec![f64::NAN; stride];
                    let mut at = 0;
                    for list in &narrow[q * nprobe..(q + 1) * nprobe] {
                        places.push(at as u32);
                        for id in usize::try_from(*list).map_or(&[][..], |l| &of[l][..]) {
                            let y = &x[*id as usize * d..(*id as usize + 1) * d];
                            row[at] = distance(metric, 0.0, &queries[q * d..(q + 1) * d], y);
                            at += 1;
                        }
                    }
                    places.push(at as u32);
                    wanted.extend(row);
                }
                let (device_queries, device_places) = (context.upload(&queries)?, context.upload(&places)?);
                let device_probes = context.upload(&narrow)?;
                let centroids = context.upload(&x[..nlist * d])?;
                let centroids = Vectors { rows: Rows::F32(centroids.ptr()), count: nlist, d, allowed: None };
                for strategy in [Strategy::Query, Strategy::List] {
                    let nan = context.upload(&vec![f32::NAN; nq * stride])?;
                    let mut out = nan;
                    let scan = Scan {
                        queries: device_queries.ptr(),
                        count: nq,
                        d,
                        nprobe,
                        lists: device_probes.ptr(),
                        coarse: faiss_gpu::memory::Ptr::null(),
                        places: device_places.ptr(),
                        lengths: faiss_gpu::memory::Ptr::null(),
                        stored: lists.view(),
                        centroids: Some(centroids),
                        distances: out.ptr_mut(),
                        stride,
                    };
                    match strategy {
                        Strategy::Query => ivf_scan::scan_by_query(context, &Codec::floats(), kind, &scan)?,
                        _ => ivf_scan::scan_by_list(context, &Codec::floats(), kind, &scan)?,
                    }
                    let mut got = vec![0.0; nq * stride];
                    context.download(out.ptr(), &mut got)?;
                    for (i, (a, b)) in got.iter().zip(&wanted).enumerate() {
                        let near = (f64::from(*a) - b).abs() <= 1e-5 * d as f64;
                        assert!(near || a.is_nan() && b.is_nan(), "{strategy:?}, place {i}: {a} is not {b}");
                    }
                }
                Ok(())
            };
            on_gpu(|| resources.with(0, run)).unwrap();
        }
    }
}

#[test]
fn parameters_of_a_search() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(33);
    let (d, nlist, n, nq) = (8, 12, 2000, 9);
    let (x, centroids) = clumps(&mut random, n, d, nlist);
    let mut cpu =
        IndexIVFFlat::new(flat_quantizer(&centroids, d, MetricType::L2), d as i64, nlist, MetricType::L2, true)
            .unwrap();
    cpu.add(&x).unwrap();
    let queries = random.vector(nq * d, -1.0, 1.0);
    for indices in [IndicesOptions::Int64Bit, IndicesOptions::Int32Bit, IndicesOptions::Cpu] {
        let index = GpuIndexIVFFlat::from_cpu(resources.clone(), &cpu, &config(indices)).unwrap();
        let allowed: Vec<i64> = (0..n as i64).filter(|i| i % 5 == 2).collect();
        let sel = Shared::new(IDSelectorBatch::new(&allowed));
        for (nprobe, max_codes, k, sel) in
            [(4, 0, 20, Some(sel.clone())), (nlist, 0, 2100, Some(sel)), (6, 300, 15, None)]
        {
            let base = SearchParameters { sel };
            let params = SearchParametersIVF { base, nprobe, max_codes, ..Default::default() };
            let run = |index: &dyn Index| {
                let (mut values, mut ids) = (vec![0.0; nq * k], vec![0; nq * k]);
                index.search(&queries, k, Some(&params), &mut values, &mut ids).unwrap();
                (values, ids)
            };
            let (got, wanted) = (on_gpu(|| run(&index)), run(&cpu));
            assert_eq!(got.1, wanted.1, "nprobe {nprobe}, max_codes {max_codes}");
            assert!(got.0.iter().zip(&wanted.0).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1e-2)));
        }
    }
}

#[test]
fn indexes_go_to_the_gpu_and_back() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(34);
    let (d, nlist, n) = (12, 8, 900);
    let (x, centroids) = clumps(&mut random, n, d, nlist);
    let mut cpu =
        IndexIVFFlat::new(flat_quantizer(&centroids, d, MetricType::L2), d as i64, nlist, MetricType::L2, true)
            .unwrap();
    let ids: Vec<i64> = (0..n as i64).map(|i| 1_000_000 - 3 * i).collect();
    cpu.add_with_ids(&x, &ids).unwrap();
    cpu.ivf.nprobe = 3;
    let made = faiss_gpu::index_cpu_to_gpu(&resources, 0, &cpu, &GpuClonerOptions::default()).unwrap();
    let made: Shared<dyn Index> = made.view().unwrap();
    let queries = random.vector(20 * d, -1.0, 1.0);
    assert_eq!(on_gpu(|| search(&*made.read(), &queries, 5)).1, search(&cpu, &queries, 5).1);
    let back: Shared<dyn Index> = faiss_gpu::index_gpu_to_cpu(&*made.read()).unwrap().view().unwrap();
    let back = back.read();
    let back = cast::<IndexIVFFlat>(&*back).unwrap();
    assert_eq!((back.ntotal, back.nprobe, back.is_trained), (n as i64, 3, true));
    let (ours, theirs) = (back.lists().unwrap(), cpu.lists().unwrap());
    for list in 0..nlist {
        assert_eq!((ours.ids(list), ours.codes(list)), (theirs.ids(list), theirs.codes(list)));
    }
}

#[test]
fn a_quantizer_may_stay_on_the_cpu() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(35);
    let (d, nlist, n) = (10, 6, 500);
    let (x, centroids) = clumps(&mut random, n, d, nlist);
    let quantizer = flat_quantizer(&centroids, d, MetricType::L2);
    let make = |quantizer: Shared<dyn Index>| {
        let made = GpuIndexIVFFlat::new(
            resources.clone(),
            Some(quantizer),
            d as i64,
            nlist,
            MetricType::L2,
            &config(IndicesOptions::Ivf),
        );
        let mut made = made.unwrap();
        assert!(made.is_trained);
        made.add(&x).unwrap();
        made.ivf.nprobe = 2;
        made
    };
    let index = make(quantizer.clone());
    let mut on_device =
        faiss_gpu::GpuIndexFlat::new(resources.clone(), d as i64, MetricType::L2, &Default::default()).unwrap();
    on_device.add(&centroids).unwrap();
    let other = make(Shared::new(on_device));
    let queries = random.vector(30 * d, -1.0, 1.0);
    // The kernels may be others, and with them the order of sums.
    let (got, wanted) = (on_gpu(|| search(&index, &queries, 9)), on_gpu(|| search(&other, &queries, 9)));
    assert_eq!(got.1, wanted.1);
    assert!(got.0.iter().zip(&wanted.0).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs()));
    // Nobody keeps the ids: results are places, and there is no way back.
    let (_, labels) = search(&index, &queries, 1);
    assert!(labels.iter().any(|l| *l >= 0));
    assert!(labels.iter().filter(|l| **l >= 0).all(|l| (l >> 32) < nlist as i64 && (l & 0xffff_ffff) < n as i64));
    assert!(index.to_cpu().err().unwrap().to_string().contains("INDICES_IVF"));
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let Some(resources) = gpu() else { return };
    let plain = config(IndicesOptions::Int64Bit);
    let make =
        |d, nlist, metric| GpuIndexIVFFlat::new(Arc::<GpuResources>::clone(&resources), None, d, nlist, metric, &plain);
    for (d, nlist, metric) in [(0, 1, MetricType::L2), (4, 0, MetricType::L2), (4, 2, MetricType::L1)] {
        assert!(make(d, nlist, metric).is_err());
    }
    let mut index = make(2, 2, MetricType::L2).unwrap();
    assert!(index.search(&[0.0; 2], 1, None, &mut [0.0], &mut [0]).is_err());
    index.train(&[0.0, 0.0, 1.0, 1.0, 0.1, 0.1, 0.9, 0.9]).unwrap();
    index.add_with_ids(&[0.0, 0.0, f32::NAN, 0.0, 1.0, 1.0], &[5, 6, 7]).unwrap();
    assert_eq!(index.ntotal, 3); // the one with NaN is in no list
    assert!(index.add(&[0.0; 3]).is_err());
    assert!(index.add_with_ids(&[0.0; 4], &[1]).is_err());
    index.ivf.nprobe = 0;
    assert!(index.search(&[0.0; 2], 1, None, &mut [0.0], &mut [0]).is_err());
    index.ivf.nprobe = 2;
    assert_eq!(on_gpu(|| search(&index, &[0.9, 0.9, f32::NAN, 1.0], 3)).1, [7, 5, -1, -1, -1, -1]);
    assert!(index.check_list(2).is_err() && index.check_list(-1).is_err());
}
