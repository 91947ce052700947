//! Graphs against brute force, and what is left of them after work that was cut short or files that lie.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use faiss_core::base::{interrupt, threads};
use faiss_core::graph::search::Links;
use faiss_core::index::hnsw::flat::IndexHNSWFlat;
use faiss_core::io::{deserialize_index, serialize_index};
use faiss_core::{base::MetricType, index::Index, random::float_rand};

const D: usize = 12;

fn vectors(n: usize, seed: i64) -> Vec<f32> {
    let mut x = vec![0.0; n * D];
    float_rand(&mut x, seed).unwrap();
    x
}

fn index(x: &[f32], metric: MetricType) -> IndexHNSWFlat {
    let mut index = IndexHNSWFlat::new(D as i64, 8, metric).unwrap();
    index.add(x).unwrap();
    index
}

fn search(index: &dyn Index, q: &[f32], k: usize) -> (Vec<f32>, Vec<i64>) {
    let n = q.len() / D * k;
    let (mut distances, mut labels) = (vec![0.0; n], vec![0; n]);
    index.search(q, k, None, &mut distances, &mut labels).unwrap();
    (distances, labels)
}

#[test]
fn nearly_all_nearest_are_found_and_distances_are_true() {
    let (x, q) = (vectors(3000, 1), vectors(50, 2));
    for metric in [MetricType::L2, MetricType::InnerProduct, MetricType::L1] {
        let mut index = index(&x, metric);
        index.hnsw.efSearch = 100;
        let (distances, labels) = search(&index, &q, 10);
        let mut found = 0;
        for (i, q) in q.chunks(D).enumerate() {
            let measure = |y: &[f32]| -> f64 {
                let pairs = q.iter().zip(y).map(|(a, b)| (f64::from(*a), f64::from(*b)));
                match metric {
                    MetricType::InnerProduct => -pairs.map(|(a, b)| a * b).sum::<f64>(),
                    MetricType::L1 => pairs.map(|(a, b)| (a - b).abs()).sum(),
                    _ => pairs.map(|(a, b)| (a - b).powi(2)).sum(),
                }
            };
            let mut all: Vec<(f64, i64)> = x.chunks(D).map(measure).zip(0..).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            let row = i * 10..(i + 1) * 10;
            for (distance, label) in distances[row.clone()].iter().zip(&labels[row]) {
                let sign = if metric == MetricType::InnerProduct { -1.0 } else { 1.0 };
                let wanted = sign * measure(&x[*label as usize * D..][..D]);
                assert!((f64::from(*distance) - wanted).abs() < 1e-5 * (1.0 + wanted.abs()));
                found += usize::from(all[..10].iter().any(|hit| hit.1 == *label));
            }
        }
        // Inner products lead a graph less well.
        assert!(found >= 450, "{metric:?}: {found} of 500");
    }
}

#[test]
fn the_graph_does_not_depend_on_the_number_of_threads() {
    let x = vectors(2000, 3);
    let before = threads::omp_get_max_threads();
    let graphs = [1, 4].map(|n| {
        threads::omp_set_num_threads(n);
        index(&x, MetricType::L2)
    });
    threads::omp_set_num_threads(before as i32);
    assert_eq!(graphs[0].hnsw.neighbors, graphs[1].hnsw.neighbors);
    assert_eq!(graphs[0].hnsw.levels, graphs[1].hnsw.levels);
    let top = graphs[0].hnsw.level(graphs[0].hnsw.max_level as usize).unwrap();
    assert!(top.slots(graphs[0].hnsw.entry_point as u32).is_ok() && top.slots(2000).is_err());
}

/// Links of an index that was interrupted after any number of looks at the callback are those it had.
#[test]
fn an_interrupted_add_leaves_graph_and_storage_as_they_were() {
    let (x, more) = (vectors(600, 4), vectors(900, 5));
    for allowed in [0, 1, 2, 5, 9] {
        let mut index = index(&x, MetricType::L2);
        let before = serialize_index(&index, 0).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let caller = std::thread::current().id();
        interrupt::set_callback(Some(Arc::new(move || {
            std::thread::current().id() == caller && counter.fetch_add(1, Ordering::Relaxed) >= allowed
        })));
        let added = index.add(&more);
        interrupt::set_callback(None);
        if added.is_err() {
            assert!(serialize_index(&index, 0).unwrap() == before, "after {allowed} questions");
        }
        // Work that goes on gives what it gives without interruption: the levels that were drawn are drawn again.
        if index.ntotal == 600 {
            index.add(&more).unwrap();
        }
        let mut whole = self::index(&x, MetricType::L2);
        whole.add(&more).unwrap();
        assert!(whole.hnsw.neighbors == index.hnsw.neighbors, "after {allowed} questions");
    }
}

/// Whatever a byte of a file says, reading it fails, or gives an index that can be searched.
#[test]
fn files_with_wrong_bytes_are_refused_or_searchable() {
    let (x, q) = (vectors(60, 6), vectors(3, 7));
    let bytes = serialize_index(&index(&x, MetricType::L2), 0).unwrap();
    let mut refused = 0;
    for at in 0..bytes.len() {
        for change in [1u8, 0x80, 0xff] {
            let mut wrong = bytes.clone();
            wrong[at] ^= change;
            match deserialize_index(&wrong, 0) {
                Err(_) => refused += 1,
                Ok(index) => {
                    let index = index.view::<dyn Index>().unwrap();
                    let mut index = index.write();
                    let d = index.base().dim();
                    if d == D {
                        let (mut distances, mut labels) = (vec![0.0; 15], vec![0; 15]);
                        let _ = index.search(&q, 5, None, &mut distances, &mut labels);
                        let _ = index.add(&q);
                    }
                }
            }
        }
    }
    assert!(refused > bytes.len() / 2, "{refused}");
    for n in 0..bytes.len() {
        assert!(deserialize_index(&bytes[..n], 0).is_err());
    }
}

#[test]
fn permuted_vectors_are_found_under_their_new_numbers() {
    let x = vectors(300, 8);
    let mut index = index(&x, MetricType::L2);
    let (distances, labels) = search(&index, &x, 4);
    let perm: Vec<i64> = (0..300).map(|i| (i * 7 + 3) % 300).collect();
    index.permute_entries(&perm).unwrap();
    let (moved_distances, moved_labels) = search(&index, &x, 4);
    assert_eq!(distances, moved_distances);
    let old: Vec<i64> = moved_labels.iter().map(|label| perm[*label as usize]).collect();
    assert_eq!(labels, old);
    assert!(index.permute_entries(&perm[1..]).is_err() && index.permute_entries(&[0; 300]).is_err());
}
