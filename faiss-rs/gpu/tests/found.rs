//! Exhaustive search by matrix units against a naive reference, and its proofs on inputs that are hard for it.

mod common;

use common::{Random, distances, gpu, on_gpu, small};
use faiss_core::base::MetricType;
use faiss_gpu::ops::few;
use faiss_gpu::ops::found::{self, Precision};
use faiss_gpu::ops::knn::{self, Search, Strategy, Vectors};
use faiss_gpu::ops::rows::Rows;
use faiss_gpu::ops::select::Best;
use faiss_gpu::resources::Context;
use faiss_gpu::{GpuResources, Result};
use half::f16;

/// What a case searches: queries, vectors and which of them are allowed.
struct Case {
    name: String,
    d: usize,
    queries: Vec<f32>,
    vectors: Vec<f32>,
    allowed: Option<Vec<u8>>,
    half: bool,
    metric: MetricType,
    k: usize,
}

/// All values of a query, and the numbers of its k best in order.
struct Reference {
    row: Vec<f64>,
    order: Vec<usize>,
}

struct Found {
    values: Vec<f32>,
    ids: Vec<i64>,
    /// How many queries one product, and three, did not prove.
    unproven: [usize; 2],
    /// How many queries the way for few of them left.
    few_left: usize,
}

fn to_half(x: &[f32]) -> Vec<f16> {
    x.iter().map(|v| f16::from_f32(*v)).collect()
}

fn rounded(x: Vec<f32>) -> Vec<f32> {
    x.into_iter().map(|v| f16::from_f32(v).to_f32()).collect()
}

impl Case {
    fn new(name: &str, d: usize, queries: Vec<f32>, vectors: Vec<f32>, metric: MetricType, k: usize) -> Case {
        Case { name: name.to_owned(), d, queries, vectors, allowed: None, half: false, metric, k }
    }

    fn is_allowed(&self, i: usize) -> bool {
        self.allowed.as_ref().is_none_or(|a| a[i] != 0)
    }

    /// Less is better.
    fn sign(&self) -> f64 {
        if self.metric.is_similarity() { -1.0 } else { 1.0 }
    }

    /// In f64, for every query: the cores share them.
    fn reference(&self) -> Vec<Reference> {
        let (d, k, sign) = (self.d, self.k, self.sign());
        let one = |query: &[f32]| {
            let row = distances(self.metric, 0.0, query, &self.vectors, d);
            let key = |i: &usize| if self.is_allowed(*i) { sign * row[*i] } else { f64::INFINITY };
            let mut order: Vec<usize> = (0..row.len()).filter(|i| key(i) < f64::from(f32::MAX)).collect();
            let rank = |a: &usize, b: &usize| key(a).total_cmp(&key(b));
            if order.len() > k {
                order.select_nth_unstable_by(k, rank);
                order.truncate(k);
            }
            order.sort_by(rank);
            Reference { row, order }
        };
        let queries: Vec<&[f32]> = self.queries.chunks(d).collect();
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let share = queries.len().div_ceil(cores).max(1);
        std::thread::scope(|scope| {
            let one = &one;
            let works: Vec<_> = queries
                .chunks(share)
                .map(|mine| scope.spawn(move || mine.iter().map(|query| one(query)).collect::<Vec<_>>()))
                .collect();
            works.into_iter().flat_map(|work| work.join().unwrap()).collect()
        })
    }

    /// `None` where the device has no such matrix units.
    fn search(&self, resources: &GpuResources, reference: &[Reference]) -> Option<Found> {
        let (d, k) = (self.d, self.k);
        let nq = self.queries.len() / d;
        let mut found = Found { values: vec![7.0; nq * k], ids: vec![7; nq * k], unproven: [0; 2], few_left: 0 };
        let mut applies = false;
        let work = |c: &Context<'_>| -> Result<()> {
            let (q32, v32) = (c.upload(&self.queries)?, c.upload(&self.vectors)?);
            let (q16, v16) = (c.upload(&to_half(&self.queries))?, c.upload(&to_half(&self.vectors))?);
            let (queries, rows) = match self.half {
                true => (Rows::F16(q16.ptr()), Rows::F16(v16.ptr())),
                false => (Rows::F32(q32.ptr()), Rows::F32(v32.ptr())),
            };
            let allowed = self.allowed.as_ref().map(|a| c.upload(a)).transpose()?;
            let allowed = allowed.as_ref().map(|a| a.ptr());
            let vectors = Vectors { rows, count: self.vectors.len() / d, d, allowed };
            applies = found::applies(c, queries, &vectors, self.metric, k);
            if !applies {
                return Ok(());
            }
            let (mut values, mut ids) = (c.take(nq * k)?, c.take(nq * k)?);
            let out = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
            for (i, precision) in [Precision::Single, Precision::Double].into_iter().enumerate() {
                let rows = found::search(c, queries, nq, &vectors, (self.metric, k), precision, 0, out)?;
                found.unproven[i] = rows.len();
                c.download(values.ptr(), &mut found.values)?;
                c.download(ids.ptr(), &mut found.ids)?;
                // What is proven is right already.
                self.check(&found, reference, |q| !rows.contains(&q));
            }
            // What a caller gets: with what was not proven done by other means.
            for strategy in [Strategy::Few, Strategy::Found] {
                let how = Search { metric: self.metric, arg: 0.0, k, strategy };
                knn::knn(c, queries, nq, &vectors, how, 0, out)?;
                c.download(values.ptr(), &mut found.values)?;
                c.download(ids.ptr(), &mut found.ids)?;
                if strategy == Strategy::Few {
                    self.check(&found, reference, |_| true);
                }
            }
            if few::reads(c.properties, self.metric, nq, (vectors.count, d), k).is_some() {
                let mut ids = vec![7; nq * k];
                few::launch(c, queries, nq, &vectors, (self.metric, k), 0, out)?;
                c.download(out.ids.read(), &mut ids)?;
                found.few_left = (0..nq).filter(|q| ids[q * k] == few::UNPROVEN).count();
            }
            Ok(())
        };
        on_gpu(|| resources.with(0, work)).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        applies.then_some(found)
    }

    /// Right up to ties within what sums of `d` numbers round in f32.
    fn check(&self, found: &Found, reference: &[Reference], wanted: impl Fn(usize) -> bool) {
        let (d, k, name, sign) = (self.d, self.k, &self.name, self.sign());
        let n = self.vectors.len() / d;
        for (q, query) in self.queries.chunks(d).enumerate().filter(|(q, _)| wanted(*q)) {
            let Reference { row, order } = &reference[q];
            let key = |i: usize| if self.is_allowed(i) { sign * row[i] } else { f64::INFINITY };
            let (values, ids) = (&found.values[q * k..][..k], &found.ids[q * k..][..k]);
            let mut seen = std::collections::HashSet::new();
            for (i, (value, id)) in values.iter().zip(ids).enumerate() {
                if i >= order.len() {
                    assert_eq!((*id, *value), (-1, sign as f32 * f32::MAX), "{name}: query {q}, place {i}");
                    continue;
                }
                assert!((0..n as i64).contains(id) && seen.insert(*id), "{name}: query {q}, place {i}: id {id}");
                let (own, best) = (key(*id as usize), key(order[i]));
                if best == f64::NEG_INFINITY {
                    assert_eq!(own, best, "{name}: query {q}, place {i}, id {id}");
                    continue;
                }
                let size = |j: usize| match self.metric.is_similarity() {
                    true => query.iter().zip(&self.vectors[j * d..]).map(|(a, b)| f64::from(a * b).abs()).sum(),
                    false => row[j],
                };
                let tolerance = (d as f64 / 32.0 + 8.0) * 1.2e-7 * f64::max(size(*id as usize), size(order[i])) + 1e-37;
                let near = |a: f64, b: f64| (a - b).abs() <= tolerance;
                assert!(near(sign * f64::from(*value), own), "{name}: query {q}, place {i}: {value} is not {own}");
                assert!(near(own, best), "{name}: query {q}, place {i}, id {id}: {own} is not the best, {best}");
            }
        }
    }

    fn run(&self, resources: &GpuResources) -> Option<Found> {
        let reference = self.reference();
        let found = self.search(resources, &reference)?;
        self.check(&found, &reference, |_| true);
        let again = self.search(resources, &reference)?;
        assert!((again.values, again.ids) == (found.values.clone(), found.ids.clone()), "{}: not the same", self.name);
        let (few, all) = (found.few_left, self.queries.len() / self.d);
        println!("{}: {:?} of {all} not proven, {few} by the way for few", self.name, found.unproven);
        Some(found)
    }
}

#[test]
fn the_best_are_found_and_proven() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(11);
    let n = if small() { 3000 } else { 33_000 };
    let shapes: &[(usize, usize, usize)] = if small() {
        &[(20, 130, 3)]
    } else {
        &[(16, 130, 1), (40, 30, 10), (100, 20, 100), (130, 3, 1000), (33, 3, 3000)]
    };
    for metric in [MetricType::L2, MetricType::InnerProduct] {
        for &(d, nq, k) in shapes {
            for half in [false, true] {
                // The largest offset is beyond what f16 tells apart.
                let offsets: &[f32] = if half { &[0.0, 100.0] } else { &[0.0, 100.0, 10_000.0] };
                for &offset in offsets {
                    let round = |x| if half { rounded(x) } else { x };
                    let x = round(random.vector(nq * d, offset - 1.0, offset + 1.0));
                    let y = round(random.vector(n * d, offset - 1.0, offset + 1.0));
                    let name = format!("{metric:?} d={d} nq={nq} k={k} offset={offset} half={half}");
                    let case = Case { half, ..Case::new(&name, d, x, y, metric, k) };
                    let Some(found) = case.run(&resources) else { return };
                    // Inner products of an offset differ by less than f32 rounds them.
                    let provable = offset == 0.0 || metric == MetricType::L2;
                    assert!(found.unproven[1] * 5 <= nq || !provable, "{name}: {:?} not proven", found.unproven);
                }
            }
        }
    }
}

#[test]
fn every_size_is_right() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(13);
    let dims: &[usize] = if small() { &[1, 37] } else { &[1, 2, 7, 33, 64, 65, 300, 4096] };
    for &d in dims {
        for (nq, n, k) in [(1, 1, 1), (3, 5, 10), (30, 100, 7), (129, 1500, 20), (2, 5000, 4)] {
            let nq = if d > 1000 { nq.min(4) } else { nq };
            let (x, y) = (random.vector(nq * d, -1.0, 1.0), random.vector(n * d, -1.0, 1.0));
            let allowed = (0..n).map(|i| u8::from(i % 3 == 1)).collect();
            for metric in [MetricType::L2, MetricType::InnerProduct] {
                let name = format!("{metric:?} d={d} nq={nq} n={n} k={k}");
                let case = Case::new(&name, d, x.clone(), y.clone(), metric, k);
                if case.run(&resources).is_none() {
                    return;
                }
                Case { allowed: Some(Vec::clone(&allowed)), ..case }.run(&resources);
            }
        }
    }
}

#[test]
fn hard_inputs_are_right() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(12);
    let (d, n, nq, k) = (24, if small() { 2000 } else { 40_000 }, 40, 10);
    let x = random.vector(nq * d, -1.0, 1.0);
    let plain = random.vector(n * d, -1.0, 1.0);
    let mut inputs: Vec<(&str, Vec<f32>)> = Vec::new();
    inputs.push(("all equal", x[..d].repeat(n)));
    inputs.push(("pairs", random.vector(n / 2 * d, -1.0, 1.0).chunks(d).flat_map(|v| v.repeat(2)).collect()));
    inputs.push(("by the thousand", (0..n).flat_map(|i| plain[i % 20 * d..][..d].to_vec()).collect()));
    let scaled = |scale: &dyn Fn(usize) -> f32| plain.iter().enumerate().map(|(i, v)| v * scale(i / d)).collect();
    inputs.push(("two scales", scaled(&|i| if i % 3 == 0 { 1e-9 } else { 1e6 })));
    inputs.push(("one outlier", scaled(&|i| if i == 77 { 1e4 } else { 1.0 })));
    inputs.push(("one far outlier", scaled(&|i| if i == 77 { 1e18 } else { 1.0 })));
    inputs.push(("subnormal", scaled(&|_| 1e-39)));
    inputs.push(("huge", scaled(&|i| if i % 2 == 0 { 1e30 } else { 1.0 })));
    // The nearest are all in one place, and come in order of distance.
    inputs.push(("sorted", (0..n * d).map(|i| (n - i / d) as f32 / n as f32 * 10.0).collect()));
    let mut odd = plain.clone();
    (odd[5 * d + 1], odd[9 * d], odd[1000 * d + 7]) = (f32::NAN, f32::INFINITY, -f32::INFINITY);
    inputs.push(("not finite", odd));
    for (name, y) in inputs {
        for metric in [MetricType::L2, MetricType::InnerProduct] {
            let case = Case::new(&format!("{name}, {metric:?}"), d, x.clone(), y.clone(), metric, k);
            let Some(found) = case.run(&resources) else { return };
            if name == "all equal" {
                assert!(found.ids.chunks(k).all(|ids| ids.iter().copied().eq(0..k as i64)), "ties go to the lower id");
            }
            if name.ends_with("outlier") {
                assert!(found.unproven[0] * 5 <= nq, "{name}: {:?} not proven", found.unproven);
                assert!(found.few_left * 5 <= nq, "{name}: {} not proven by the way for few", found.few_left);
            }
        }
    }
    let mut queries = x;
    (queries[3 * d], queries[7 * d + 2], queries[11 * d]) = (f32::NAN, f32::INFINITY, 1e30);
    queries[15 * d..16 * d].fill(1e-39);
    for metric in [MetricType::L2, MetricType::InnerProduct] {
        let case = Case::new(&format!("odd queries, {metric:?}"), d, queries.clone(), plain.clone(), metric, k);
        let found = case.run(&resources).expect("it was found before");
        assert!(found.unproven[0] * 5 <= nq, "{:?} not proven", found.unproven);
    }
}
