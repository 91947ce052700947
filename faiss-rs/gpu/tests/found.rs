//! Exhaustive search by split products against a naive reference, and its proofs on inputs that are hard for it.

mod common;

use common::{Random, check_results, distances, gpu, on_gpu, small};
use faiss_core::base::MetricType;
use faiss_gpu::ops::found;
use faiss_gpu::ops::knn::{self, Search, Strategy, Vectors};
use faiss_gpu::ops::rows::Rows;
use faiss_gpu::ops::select::Best;
use faiss_gpu::resources::Context;
use faiss_gpu::{GpuResources, Result};
use half::f16;

struct Found {
    values: Vec<f32>,
    ids: Vec<i64>,
    /// As `found::search` says; none where a device cannot do it.
    unproven: Option<Vec<usize>>,
}

fn search(resources: &GpuResources, x: &[f32], y: &[f32], d: usize, metric: MetricType, k: usize) -> Option<Found> {
    search_stored(resources, x, y, d, false, metric, k)
}

fn to_half(x: &[f32]) -> Vec<f16> {
    x.iter().map(|v| f16::from_f32(*v)).collect()
}

#[allow(clippy::too_many_arguments)]
fn search_stored(
    resources: &GpuResources,
    x: &[f32],
    y: &[f32],
    d: usize,
    half: bool,
    metric: MetricType,
    k: usize,
) -> Option<Found> {
    let nq = x.len() / d;
    let (mut values, mut ids, mut unproven) = (vec![7.0; nq * k], vec![7; nq * k], None);
    let mut applied = false;
    let work = |c: &Context<'_>| -> Result<()> {
        let (q32, v32) = (c.upload(x)?, c.upload(y)?);
        let (q16, v16) = (c.upload(&to_half(x))?, c.upload(&to_half(y))?);
        let (queries, there) = match half {
            true => (Rows::F16(q16.ptr()), Rows::F16(v16.ptr())),
            false => (Rows::F32(q32.ptr()), Rows::F32(v32.ptr())),
        };
        let vectors = Vectors { rows: there, count: y.len() / d, d, norms: None, allowed: None };
        applied = found::applies(c, queries, &vectors, metric, k);
        if !applied {
            return Ok(());
        }
        let (mut out_values, mut out_ids) = (c.take(values.len())?, c.take(ids.len())?);
        let out = Best { values: out_values.ptr_mut(), ids: out_ids.ptr_mut() };
        unproven = found::search(c, queries, nq, &vectors, (metric, k), 0, out)?;
        // What a caller gets: with what was not proven done by other means.
        let how = Search { metric, arg: 0.0, k, strategy: Strategy::Product };
        knn::knn_found(c, queries, nq, &vectors, how, 0, out)?;
        c.download(out_values.ptr(), &mut values)?;
        c.download(out_ids.ptr(), &mut ids)
    };
    on_gpu(|| resources.with(0, work)).unwrap();
    applied.then_some(Found { values, ids, unproven })
}

#[test]
fn the_best_are_found_and_proven() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(11);
    let n = 1 << 15;
    let shapes: &[(usize, usize, usize)] = if small() {
        &[(20, 130, 3)]
    } else {
        &[(16, 300, 1), (40, 70, 10), (100, 20, 100), (130, 3, 1000), (33, 5, 2048)]
    };
    for metric in [MetricType::L2, MetricType::InnerProduct] {
        for &(d, nq, k) in shapes {
            for offset in [0.0, 100.0] {
                // Numbers that are f16, for both ways of keeping them.
                let round = |x: Vec<f32>| to_half(&x).iter().map(|v| v.to_f32()).collect::<Vec<f32>>();
                let x = round(random.vector(nq * d, offset - 1.0, offset + 1.0));
                let y = round(random.vector((n + 77) * d, offset - 1.0, offset + 1.0));
                let Some(found) = search(&resources, &x, &y, d, metric, k) else { return };
                let what = format!("{metric:?} d={d} nq={nq} k={k} offset={offset}");
                let unproven = found.unproven.expect(&what);
                // Inner products of an offset differ by less than they are rounded: nothing can be proven there.
                assert!(unproven.len() * 5 <= nq || offset > 0.0, "{what}: {} not proven", unproven.len());
                let reference = distances(metric, 0.0, &x, &y, d);
                check_results(&reference, n + 77, k, metric.is_similarity(), 2e-5, (&found.values, &found.ids));
                let half = search_stored(&resources, &x, &y, d, true, metric, k).unwrap();
                let unproven = half.unproven.map_or(nq, |u| u.len());
                assert!(unproven * 5 <= nq || offset > 0.0, "{what} in f16: {unproven} not proven");
                // f16 numbers are not centred: at an offset little is proven, and products of f32, which cancel, choose instead.
                let tolerance = if offset > 0.0 { 5e-3 } else { 2e-5 };
                check_results(&reference, n + 77, k, metric.is_similarity(), tolerance, (&half.values, &half.ids));
                let again = search(&resources, &x, &y, d, metric, k).unwrap();
                assert!((again.values, again.ids) == (found.values, found.ids), "{what}: another result");
            }
        }
    }
}

#[test]
fn hard_inputs_are_not_proven_or_right() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(12);
    let (d, n, nq, k) = (24, 1 << 15, 40, 10);
    let x = random.vector(nq * d, -1.0, 1.0);
    let mut inputs: Vec<(&str, Vec<f32>)> = Vec::new();
    inputs.push(("all equal", x[..d].repeat(n)));
    inputs.push(("pairs", random.vector(n / 2 * d, -1.0, 1.0).chunks(d).flat_map(|v| v.repeat(2)).collect()));
    let scales: Vec<f32> = (0..n).map(|i| if i % 3 == 0 { 1e-9 } else { 1e6 }).collect();
    inputs.push(("two scales", (0..n * d).map(|i| scales[i / d] * (2.0 * random.unit() - 1.0)).collect()));
    // The nearest are all in one place, and come in order of distance.
    inputs.push(("sorted", (0..n * d).map(|i| (n - i / d) as f32 / n as f32 * 10.0).collect()));
    let mut odd = random.vector(n * d, -1.0, 1.0);
    (odd[5 * d + 1], odd[9 * d], odd[3000 * d + 7]) = (f32::NAN, f32::INFINITY, -f32::INFINITY);
    for (name, y) in &inputs {
        let Some(found) = search(&resources, &x, y, d, MetricType::L2, k) else { return };
        println!("{name}: {:?} not proven", found.unproven.map(|u| u.len()));
        let reference = distances(MetricType::L2, 0.0, &x, y, d);
        check_results(&reference, n, k, false, 2e-5, (&found.values, &found.ids));
        if *name == "all equal" {
            assert!(found.ids.chunks(k).all(|ids| ids.iter().copied().eq(0..k as i64)), "ties go to the lower id");
        }
    }
    let Some(found) = search(&resources, &x, &odd, d, MetricType::L2, k) else { return };
    assert!(found.ids.iter().all(|id| ![5, 9, 3000, -1].contains(id)));
    let mut queries = x;
    queries[3 * d] = f32::NAN;
    let found = search(&resources, &queries, &odd, d, MetricType::L2, k).unwrap();
    assert!(found.ids.chunks(k).enumerate().all(|(q, ids)| ids.iter().all(|id| (*id == -1) == (q == 3))));
}
