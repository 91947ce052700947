//! Flat indexes against naive references in f64, and at the edges.

use faiss_core::base::{Is, MetricType, Object, Shared};
use faiss_core::index::flat::IndexFlat;
use faiss_core::index::flat_1d::IndexFlat1D;
use faiss_core::index::flat_ip::IndexFlatIP;
use faiss_core::index::flat_l2::IndexFlatL2;
use faiss_core::index::{Index, SearchParameters};
use faiss_core::random::float_rand;
use faiss_core::selector::sets::IDSelectorBatch;
use faiss_core::selector::{IDSelector, IDSelectorRange};
use proptest::prelude::*;

fn rand(n: usize, seed: i64) -> Vec<f32> {
    let mut x = vec![0.0; n];
    float_rand(&mut x, seed).unwrap();
    x
}

/// Each metric as its definition has it.
fn naive(metric: MetricType, arg: f32, x: &[f32], y: &[f32]) -> f64 {
    let p = || x.iter().zip(y).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let sum = |f: &dyn Fn(f64, f64) -> f64| p().map(|(a, b)| f(a, b)).sum::<f64>();
    match metric {
        MetricType::InnerProduct => sum(&|a, b| a * b),
        MetricType::L2 | MetricType::NaNEuclidean => sum(&|a, b| (a - b).powi(2)),
        MetricType::L1 => sum(&|a, b| (a - b).abs()),
        MetricType::Linf => p().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
        MetricType::Lp => sum(&|a, b| (a - b).abs().powf(f64::from(arg))),
        MetricType::Canberra => sum(&|a, b| (a - b).abs() / (a.abs() + b.abs())),
        MetricType::BrayCurtis => sum(&|a, b| (a - b).abs()) / sum(&|a, b| (a + b).abs()),
        MetricType::JensenShannon => {
            let kl = |a: f64, b: f64| a * (a / (0.5 * (a + b))).ln();
            0.5 * sum(&|a, b| kl(a, b) + kl(b, a))
        }
        MetricType::Jaccard => sum(&f64::min) / sum(&f64::max),
        MetricType::Gower => sum(&|a, b| (a - b).abs()) / x.len() as f64,
    }
}

fn search(index: &dyn Index, x: &[f32], k: usize, sel: Option<Shared<dyn IDSelector>>) -> (Vec<f32>, Vec<i64>) {
    let n = x.len() / index.base().dim();
    let (mut distances, mut labels) = (vec![0.0; n * k], vec![0; n * k]);
    let params = sel.map(|sel| SearchParameters { sel: Some(sel) });
    index.search(x, k, params.as_ref().map(|p| p as &dyn Object), &mut distances, &mut labels).unwrap();
    (distances, labels)
}

fn selector(value: impl Is<dyn IDSelector>) -> Shared<dyn IDSelector> {
    Shared::new(value)
}

/// Distances rank by rank, each label's own distance, no label twice, and what is missing at the end.
#[allow(clippy::too_many_arguments)]
fn check(
    metric: MetricType,
    arg: f32,
    xb: &[f32],
    xq: &[f32],
    d: usize,
    k: usize,
    allowed: &dyn Fn(usize) -> bool,
    found: (Vec<f32>, Vec<i64>),
) {
    let similarity = metric.is_similarity();
    for (q, x) in xq.chunks(d).enumerate() {
        let mut truth: Vec<f64> =
            xb.chunks(d).enumerate().filter(|(i, _)| allowed(*i)).map(|(_, y)| naive(metric, arg, x, y)).collect();
        truth.sort_by(|a, b| if similarity { b.total_cmp(a) } else { a.total_cmp(b) });
        let labels = &found.1[q * k..(q + 1) * k];
        for i in 0..k {
            let (got, label) = (f64::from(found.0[q * k + i]), labels[i]);
            if i >= truth.len() {
                assert_eq!((got as f32, label), (if similarity { -f32::MAX } else { f32::MAX }, -1));
                continue;
            }
            let close = |want: f64| (got - want).abs() <= 1e-4 * want.abs().max(1.0);
            assert!(close(truth[i]), "{metric:?} query {q} rank {i}: {got}, not {}", truth[i]);
            let l = label as usize;
            assert!(close(naive(metric, arg, x, &xb[l * d..(l + 1) * d])) && allowed(l), "{metric:?} label {l}");
            assert!(!labels[..i].contains(&label), "{metric:?} label {l} twice");
        }
    }
}

#[test]
fn every_metric_every_path() {
    for metric in MetricType::ALL {
        let arg = if metric == MetricType::Lp { 3.0 } else { 0.0 };
        // Few and many queries, parts of the database, odd dimensions; the last ones take the matrix path.
        for (nb, nq, d, k) in [
            (1, 1, 1, 1),
            (100, 3, 1, 5),
            (300, 25, 33, 10),
            (9000, 2, 7, 1),
            (9000, 1, 5, 200),
            (2500, 70, 19, 120),
            (3, 2, 64, 7),
            (300, 40, 3200, 11),
        ] {
            if nq * d >= 128_000 && !matches!(metric, MetricType::L2 | MetricType::InnerProduct) {
                continue;
            }
            let (xb, xq) = (rand(nb * d, 1), rand(nq * d, 2));
            let mut index = IndexFlat::new(d as i64, metric).unwrap();
            index.metric_arg = arg;
            index.add(&xb).unwrap();
            check(metric, arg, &xb, &xq, d, k, &|_| true, search(&index, &xq, k, None));
            let sel = selector(IDSelectorBatch::new(&(0..nb as i64).filter(|i| i % 3 == 1).collect::<Vec<_>>()));
            check(metric, arg, &xb, &xq, d, k, &|i| i % 3 == 1, search(&index, &xq, k, Some(sel)));
        }
    }
}

/// Registers hold 4 to 16 numbers, panels twice as many vectors, blocks of queries four: sizes around all of them.
#[test]
fn every_dimension_and_sizes_around_blocks() {
    for metric in [MetricType::L2, MetricType::InnerProduct, MetricType::L1] {
        for d in (1..36).chain([47, 63, 64, 65, 100, 130]) {
            for (n, nq) in [(1, 1), (7, 3), (9, 21), (33, 4), (70, 6)] {
                let (xb, xq) = (rand(n * d, 3), rand(nq * d, 4));
                let mut index = IndexFlat::new(d as i64, metric).unwrap();
                index.add(&xb).unwrap();
                for k in [1, 5] {
                    check(metric, 0.0, &xb, &xq, d, k, &|_| true, search(&index, &xq, k, None));
                    let batch = selector(IDSelectorBatch::new(&[0, 3, 8, 20, 21]));
                    let allowed = |i: usize| [0, 3, 8, 20, 21].contains(&i);
                    check(metric, 0.0, &xb, &xq, d, k, &allowed, search(&index, &xq, k, Some(batch)));
                }
            }
        }
    }
}

#[test]
fn range_search_is_the_search_below_the_radius() {
    for metric in [MetricType::L2, MetricType::InnerProduct, MetricType::L1, MetricType::Jaccard] {
        for (nb, nq, d) in [(500, 3, 9), (9000, 30, 16)] {
            let (xb, xq) = (rand(nb * d, 3), rand(nq * d, 4));
            let mut index = IndexFlat::new(d as i64, metric).unwrap();
            index.add(&xb).unwrap();
            let (distances, labels) = search(&index, &xq, nb, None);
            let radius = distances[nb / 10];
            let result = index.range_search(&xq, radius, None).unwrap();
            assert_eq!(result.lims.len(), nq + 1);
            for q in 0..nq {
                let better = |v: f32| if metric.is_similarity() { v > radius } else { v < radius };
                let mut want: Vec<(i64, f32)> = (q * nb..(q + 1) * nb)
                    .filter(|i| better(distances[*i]))
                    .map(|i| (labels[i], distances[i]))
                    .collect();
                want.sort_by_key(|w| w.0);
                let got = result.lims[q]..result.lims[q + 1];
                let got: Vec<_> =
                    result.labels[got.clone()].iter().copied().zip(result.distances[got].iter().copied()).collect();
                assert_eq!(got, want);
            }
        }
    }
}

#[test]
fn ties_go_to_the_lower_id_on_every_path() {
    for (nq, d) in [(1, 8), (3, 8), (40, 8)] {
        let mut index = IndexFlatL2::new(d).unwrap();
        index.add(&vec![1.0; 20_000 * d as usize]).unwrap();
        for k in [1, 5, 150] {
            let (distances, labels) = search(&index, &vec![2.0; nq * d as usize], k, None);
            assert!(distances.iter().all(|v| *v == d as f32));
            assert!(labels.chunks(k).all(|row| row.iter().enumerate().all(|(i, l)| *l == i as i64)));
        }
    }
}

#[test]
fn nan_and_infinity_are_no_results() {
    let mut index = IndexFlatL2::new(2).unwrap();
    index.add(&[f32::NAN, 0.0, f32::INFINITY, 0.0, 1.0, 1.0, 3e38, 0.0]).unwrap();
    for repeat in [1, 30] {
        let (distances, labels) = search(&index, &[0.0, 0.0].repeat(repeat), 4, None);
        assert_eq!((&distances[..4], &labels[..4]), (&[2.0, f32::MAX, f32::MAX, f32::MAX][..], &[2, -1, -1, -1][..]));
        let (_, labels) = search(&index, &[f32::NAN, 0.0].repeat(repeat), 4, None);
        assert!(labels.iter().all(|l| *l == -1));
    }
    assert_eq!(index.range_search(&[f32::NAN, 0.0], 1e9, None).unwrap().labels, []);
    assert_eq!(index.range_search(&[0.0, 0.0], f32::NAN, None).unwrap().labels, []);
}

#[test]
fn empty_indexes_and_empty_batches() {
    let mut index = IndexFlatIP::new(3).unwrap();
    assert_eq!(search(&index, &[1.0; 6], 2, None), (vec![-f32::MAX; 4], vec![-1; 4]));
    assert_eq!(index.range_search(&[1.0; 6], 0.0, None).unwrap().lims, [0, 0, 0]);
    index.add(&[]).unwrap();
    assert_eq!(index.ntotal, 0);
    assert_eq!(search(&index, &[], 2, None), (vec![], vec![]));
    let mut zero = IndexFlat::new(0, MetricType::L2).unwrap();
    zero.add(&[]).unwrap();
    zero.search(&[], 2, None, &mut [0.0; 4], &mut [0; 4]).unwrap();
}

#[test]
fn bad_input_changes_nothing() {
    let mut index = IndexFlatL2::new(4).unwrap();
    index.add(&[1.0; 8]).unwrap();
    assert!(index.add(&[1.0; 7]).is_err());
    assert!(index.search(&[1.0; 4], 0, None, &mut [], &mut []).is_err());
    assert!(index.search(&[1.0; 4], 2, None, &mut [0.0; 1], &mut [0; 2]).is_err());
    assert!(index.search(&[1.0; 3], 1, None, &mut [0.0; 1], &mut [0; 1]).is_err());
    assert_eq!(
        index.reconstruct(2, &mut [0.0; 4]).unwrap_err().to_string(),
        "Error: 'key < ntotal' failed: no vector 2 among 2"
    );
    assert!(index.reconstruct(-1, &mut [0.0; 4]).is_err());
    assert!(index.reconstruct_n(1, 2, &mut [0.0; 8]).is_err());
    assert!(index.reconstruct_n(i64::MAX, 2, &mut [0.0; 8]).is_err());
    assert!(index.add_with_ids(&[0.0; 4], &[7]).unwrap_err().to_string().contains("add_with_ids not implemented"));
    assert!(index.merge_from(&mut IndexFlatL2::new(4).unwrap(), 1).is_err());
    assert!(index.merge_from(&mut IndexFlatIP::new(4).unwrap(), 0).unwrap_err().to_string().contains("same type"));
    assert!(index.merge_from(&mut IndexFlatL2::new(5).unwrap(), 0).unwrap_err().to_string().contains("other.d == d"));
    assert!(index.permute_entries(&[0, 0]).is_err());
    assert!(IndexFlatL2::new(-1).is_err() && IndexFlatL2::new(1 << 31).is_err());
    assert_eq!((index.ntotal, index.codes.len()), (2, 32));
    // Public fields that no longer fit are noticed, not followed.
    index.d = 5;
    assert!(index.add(&[1.0; 5]).is_err() && index.search(&[1.0; 5], 1, None, &mut [0.0], &mut [0]).is_err());
    index.d = 4;
    index.ntotal = 1000;
    assert!(
        index.search(&[1.0; 4], 1, None, &mut [0.0], &mut [0]).is_err()
            && index.reconstruct(900, &mut [0.0; 4]).is_err()
    );
}

#[test]
fn remove_merge_permute_reconstruct() {
    let d = 3;
    let x = rand(50 * d, 5);
    let mut index = IndexFlatL2::new(d as i64).unwrap();
    index.add(&x).unwrap();
    index.sync_l2norms().unwrap();
    assert_eq!(index.remove_ids(&IDSelectorRange::new(10, 20)).unwrap(), 10);
    assert!(index.cached_l2norms.is_empty());
    let mut rest = vec![0.0; 40 * d];
    index.reconstruct_n(0, 40, &mut rest).unwrap();
    assert_eq!(rest, [&x[..10 * d], &x[20 * d..]].concat());

    let mut other = IndexFlatL2::new(d as i64).unwrap();
    other.add(&x[10 * d..20 * d]).unwrap();
    index.merge_from(&mut other, 0).unwrap();
    assert_eq!((index.ntotal, other.ntotal), (50, 0));
    let perm: Vec<i64> = (0..10).chain(40..50).chain(10..40).collect();
    index.permute_entries(&perm).unwrap();
    assert_eq!(index.get_xb(), &x[..]);

    let keys = [49, 0, 7];
    let mut out = vec![0.0; 3 * d];
    index.reconstruct_batch(&keys, &mut out).unwrap();
    assert_eq!(out, keys.map(|k| x[k as usize * d..][..d].to_vec()).concat());
    let (mut distances, mut labels, mut recons) = (vec![0.0; 60], vec![0; 60], vec![0.0; 60 * d]);
    index.search_and_reconstruct(&x[..d], 60, None, &mut distances, &mut labels, &mut recons).unwrap();
    assert_eq!(recons[..d], x[..d]);
    assert!(recons[50 * d..].iter().all(|v| v.is_nan()));
    let mut residuals = vec![0.0; 2 * d];
    index.compute_residual_n(&x[..2 * d], &mut residuals, &[1, 1]).unwrap();
    assert_eq!(residuals[d..], [0.0; 3]);
    let (mut distances, mut labels) = ([0.0; 3], [0; 3]);
    index.search_subset(&x[..d], 4, &[9, 0, -1, 3], 3, &mut distances, &mut labels).unwrap();
    assert_eq!((distances[0], labels[0]), (0.0, 0));
    let mut codes = vec![0; index.sa_code_size().unwrap()];
    index.sa_encode(&x[..d], &mut codes).unwrap();
    let mut decoded = vec![0.0; d];
    index.sa_decode(&codes, &mut decoded).unwrap();
    assert_eq!(decoded, x[..d]);
}

#[test]
fn cached_norms_change_no_result() {
    let (xb, xq) = (rand(2000 * 24, 6), rand(50 * 24, 7));
    let mut index = IndexFlatL2::new(24).unwrap();
    index.add(&xb).unwrap();
    let before = search(&index, &xq, 10, None);
    index.sync_l2norms().unwrap();
    assert_eq!(search(&index, &xq, 10, None), before);
}

#[test]
fn scalars_in_order() {
    let mut index = IndexFlat1D::new(true);
    index.add(&[3.0, 1.0, 2.0]).unwrap();
    assert_eq!(index.perm, [1, 2, 0]);
    let inf = f32::INFINITY;
    assert_eq!(
        search(&index, &[2.25, -5.0], 4, None),
        (vec![0.25, 0.75, 1.25, inf, 6.0, 7.0, 8.0, inf], vec![2, 0, 1, -1, 1, 2, 0, -1])
    );
    let mut late = IndexFlat1D::new(false);
    late.add(&[3.0, 1.0]).unwrap();
    assert!(late.search(&[1.0], 1, None, &mut [0.0], &mut [0]).unwrap_err().to_string().contains("update_permutation"));
    late.update_permutation().unwrap();
    assert_eq!(search(&late, &[1.0], 1, None), (vec![0.0], vec![1]));
    late.perm = vec![77, -3];
    search(&late, &[1.0], 5, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn scalars_agree_with_the_scan(xb in prop::collection::vec(-9i32..9, 0..40), q in -100i32..100, k in 1usize..10) {
        let xb: Vec<f32> = xb.into_iter().map(|v| v as f32).collect();
        let q = q as f32 / 10.0;
        let mut index = IndexFlat1D::new(true);
        index.add(&xb).unwrap();
        let mut want: Vec<f32> = xb.iter().map(|v| (v - q).abs()).collect();
        want.sort_by(f32::total_cmp);
        want.resize(k.max(want.len()), f32::INFINITY);
        let (distances, labels) = search(&index, &[q], k, None);
        prop_assert_eq!(&distances, &want[..k]);
        for (d, l) in distances.iter().zip(labels) {
            prop_assert!(l < 0 || (xb[l as usize] - q).abs() == *d);
        }
    }
}
