//! Many callers of one GPU: calls of several threads run beside each other and give what one alone gives.

mod common;

use std::sync::Arc;

use common::{Random, gpu, on_gpu, small};
use faiss_core::base::{MetricType, Shared};
use faiss_core::index::Index;
use faiss_gpu::{
    GpuIndexFlat, GpuIndexFlatConfig, GpuIndexIVFFlat, GpuIndexIVFFlatConfig, GpuIndexIVFPQ, GpuIndexIVFPQConfig,
    GpuResources,
};

const D: usize = 32;

type Results = (Vec<u32>, Vec<i64>);

fn search(index: &dyn Index, x: &[f32], k: usize) -> Results {
    let n = x.len() / D;
    let (mut distances, mut labels) = (vec![0.0; n * k], vec![0; n * k]);
    index.search(x, k, None, &mut distances, &mut labels).unwrap();
    (distances.into_iter().map(f32::to_bits).collect(), labels)
}

fn flat(resources: &Arc<GpuResources>, vectors: &[f32]) -> Box<dyn Index> {
    let mut index =
        GpuIndexFlat::new(resources.clone(), D as i64, MetricType::L2, &GpuIndexFlatConfig::default()).unwrap();
    index.add(vectors).unwrap();
    Box::new(index)
}

fn indexes(resources: &Arc<GpuResources>, vectors: &[f32]) -> Vec<Box<dyn Index>> {
    let (r, d, metric) = (resources.clone(), D as i64, MetricType::L2);
    let mut ivf = GpuIndexIVFFlat::new(r.clone(), None, d, 20, metric, &GpuIndexIVFFlatConfig::default()).unwrap();
    let mut pq = GpuIndexIVFPQ::new(r, None, d, 20, (8, 8), metric, &GpuIndexIVFPQConfig::default()).unwrap();
    (ivf.ivf.nprobe, pq.ivf.nprobe) = (5, 5);
    for index in [&mut ivf as &mut dyn Index, &mut pq] {
        index.train(vectors).unwrap();
        index.add(vectors).unwrap();
    }
    vec![flat(resources, vectors), Box::new(ivf), Box::new(pq)]
}

#[test]
fn searches_beside_each_other_give_what_one_alone_gives() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(31);
    let vectors = random.vector(if small() { 1500 } else { 20_000 } * D, -1.0, 1.0);
    let queries = random.vector(60 * D, -1.0, 1.0);
    // Two resources of one device share its modules.
    let all: Vec<Vec<Box<dyn Index>>> =
        [resources, Arc::default()].iter().map(|resources| indexes(resources, &vectors)).collect();
    let wanted = |index: &dyn Index, turn: usize| {
        // Few and many queries, small and large k: all strategies, and kernels with little and much shared memory.
        let (n, k) = ([1, 7, 60][turn % 3], [1, 10, 300, 2048, 3000][turn % 5]);
        search(index, &queries[..n * D], k)
    };
    let turns = if small() { 5 } else { 15 };
    let alone: Vec<Vec<Results>> =
        all[0].iter().map(|index| (0..turns).map(|turn| wanted(&**index, turn)).collect()).collect();
    on_gpu(|| {
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (all, alone, wanted) = (&all, &alone, &wanted);
                scope.spawn(move || {
                    for turn in 0..3 * turns {
                        let (which, turn) = ((turn + thread) % 3, (turn * 7 + thread) % turns);
                        // The codes of a PQ depend on its training, which is the same for both resources.
                        let index = &all[thread % 2][which];
                        assert!(wanted(&**index, turn) == alone[which][turn], "index {which}, turn {turn}");
                    }
                });
            }
        });
    });
}

#[test]
fn a_quantizer_may_be_trained_by_an_index_of_the_same_gpu() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(32);
    let vectors = random.vector(3000 * D, -1.0, 1.0);
    let mut pq = GpuIndexIVFPQ::new(
        resources.clone(),
        None,
        D as i64,
        8,
        (4, 4),
        MetricType::L2,
        &GpuIndexIVFPQConfig::default(),
    )
    .unwrap();
    let assign = GpuIndexFlat::new(resources, 8, MetricType::L2, &GpuIndexFlatConfig::default()).unwrap();
    pq.pq.assign_index = Some(Shared::new(assign));
    on_gpu(|| pq.train(&vectors).unwrap());
    assert!(pq.is_trained);
}

#[test]
fn temporary_memory_grows_by_need_and_is_not_needed() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(33);
    let vectors = random.vector(if small() { 1500 } else { 40_000 } * D, -1.0, 1.0);
    let queries = random.vector(100 * D, -1.0, 1.0);
    let index = flat(&resources, &vectors);
    let first = search(&*index, &queries, 10);
    let report = resources.memory_info()[0].lanes;
    assert!(report.overflows > 0 && report.temp_bytes > 0, "{report:?}");
    assert!(search(&*index, &queries, 10) == first);
    let later = resources.memory_info()[0].lanes;
    assert_eq!((later.overflows, later.temp_bytes), (report.overflows, report.temp_bytes), "it knows what it needs");
    resources.set_temp_memory(0);
    assert!(search(&*index, &queries, 10) == first);
}

#[test]
fn a_panic_in_a_call_leaves_the_device_to_others() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(34);
    let rows = random.vector(1000 * D, -1.0, 1.0);
    for round in 0..3 {
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            resources.with(0, |c| c.stream_rows(&rows, D, 100, |_, first, _| panic!("at row {first}, round {round}")))
        }));
        assert!(panics.is_err());
    }
    let index = flat(&resources, &rows);
    assert_eq!(search(&*index, &rows[..D], 1).1, [0]);
}
