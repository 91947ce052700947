//! Product quantization on the GPU: encoding, terms and scans against naive references in f64.

mod common;

use common::{Random, check_results, gpu, on_gpu, small};
use faiss_core::base::MetricType;
use faiss_core::quantize::ProductQuantizer;
use faiss_gpu::ops::pq::{self, CodeLists, Codebooks, PqProbes, PqScan, Residual, Strategy};
use faiss_gpu::ops::rows;
use faiss_gpu::ops::select::Best;
use faiss_gpu::resources::Context;
use faiss_gpu::{GpuResources, Result};

fn quantizer(random: &mut Random, d: usize, m: usize, nbits: usize) -> ProductQuantizer {
    let mut pq = ProductQuantizer::new(d, m, nbits).unwrap();
    pq.centroids = random.vector(pq.centroids.len(), -1.0, 1.0);
    pq
}

/// d, M, nbits: one number a part, several, more than a thread keeps, M = d, d = 1, and bits that do not fill bytes.
const SHAPES: &[(usize, usize, usize)] = &[
    (8, 8, 8),
    (1, 1, 8),
    (32, 8, 8),
    (48, 16, 8),
    (40, 8, 5),
    (24, 3, 8),
    (30, 2, 4),
    (12, 12, 3),
    (70, 2, 6),
    (66, 1, 8),
    (6, 2, 12),
    (128, 32, 8),
];

#[test]
fn codes_name_the_nearest_centroids() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(31);
    for &(d, m, nbits) in SHAPES {
        for (count, residual) in [(1, false), (if small() { 70 } else { 3000 }, true), (130, false)] {
            let pq = quantizer(&mut random, d, m, nbits);
            let nlist = 5;
            let rows = random.vector(count * d, -1.0, 1.0);
            let centroids = random.vector(nlist * d, -0.5, 0.5);
            let lists: Vec<i32> = (0..count).map(|_| random.below(nlist) as i32).collect();
            let mut codes = vec![0u8; count * pq.code_size];
            let work = |c: &Context<'_>| -> Result<()> {
                let codebooks = Codebooks::new(c, &pq)?;
                let (x, centroids, lists) = (c.upload(&rows)?, c.upload(&centroids)?, c.upload(&lists)?);
                let residual = residual.then(|| Residual { lists: lists.ptr(), centroids: centroids.ptr() });
                let mut target = c.take::<u8>(codes.len())?;
                pq::encode(c, &codebooks, x.ptr(), count, residual, target.ptr_mut())?;
                c.download(target.ptr(), &mut codes)
            };
            on_gpu(|| resources.with(0, work)).unwrap();
            for (i, code) in codes.chunks(pq.code_size).enumerate() {
                let base = if residual { lists[i] as usize * d } else { 0 };
                for (part, number) in pq.numbers(code).enumerate() {
                    let x: Vec<f64> = (part * pq.dsub..(part + 1) * pq.dsub)
                        .map(|j| f64::from(rows[i * d + j] - if residual { centroids[base + j] } else { 0.0 }))
                        .collect();
                    let distance = |y: &[f32]| x.iter().zip(y).map(|(a, b)| (a - f64::from(*b)).powi(2)).sum::<f64>();
                    let all: Vec<f64> = pq.get_centroids(part).chunks(pq.dsub).map(distance).collect();
                    let best = all.iter().copied().fold(f64::INFINITY, f64::min);
                    assert!(
                        all[number] <= best + 1e-6 * (1.0 + best),
                        "d={d} M={m} nbits={nbits} residual={residual} row {i} part {part}: {number}"
                    );
                }
            }
        }
    }
}

/// Lists of random codes, queries and probes on the host.
struct Data {
    pq: ProductQuantizer,
    d: usize,
    centroids: Vec<f32>,
    origin: Vec<f32>,
    lengths: Vec<u32>,
    offsets: Vec<i64>,
    codes: Vec<u8>,
    queries: Vec<f32>,
    nprobe: usize,
    lists: Vec<i32>,
    places: Vec<u32>,
    coarse: Vec<f32>,
    longest: usize,
}

impl Data {
    fn new(
        random: &mut Random,
        (d, m, nbits): (usize, usize, usize),
        lengths: &[u32],
        nq: usize,
        nprobe: usize,
    ) -> Data {
        let pq = quantizer(random, d, m, nbits);
        let nlist = lengths.len();
        let centroids = random.vector(nlist * d, 3.0, 5.0);
        // Room behind every list, and lists out of order.
        let mut offsets = vec![0i64; nlist];
        let mut end = 0;
        for list in (0..nlist).rev() {
            offsets[list] = end;
            end += i64::from(lengths[list]) + 3;
        }
        let mut codes = vec![0u8; end as usize * pq.code_size];
        codes.iter_mut().for_each(|c| *c = random.next() as u8);
        let queries = random.vector(nq * d, 2.0, 6.0);
        let (mut lists, mut places, mut longest) = (Vec::new(), Vec::new(), 0);
        for _ in 0..nq {
            let mut order: Vec<i32> = (0..nlist as i32).collect();
            (0..nlist).for_each(|i| order.swap(i, random.below(nlist)));
            order.truncate(nprobe);
            if random.below(3) == 0 {
                order[random.below(nprobe)] = -1;
            }
            let mut at = 0;
            for list in &order {
                places.push(at);
                at += usize::try_from(*list).map_or(0, |list| lengths[list]);
            }
            places.push(at);
            longest = longest.max(at as usize);
            lists.extend(order);
        }
        let origin = vec![4.0; d];
        let coarse = vec![0.0; lists.len()];
        Data {
            pq,
            d,
            centroids,
            origin,
            lengths: lengths.to_vec(),
            offsets,
            codes,
            queries,
            nprobe,
            lists,
            places,
            coarse,
            longest,
        }
    }

    fn row<'a>(&self, x: &'a [f32], i: usize) -> &'a [f32] {
        &x[i * self.d..(i + 1) * self.d]
    }

    /// All distances by definition, `longest` a query, and the coarse ones.
    fn reference(&mut self, metric: MetricType, by_residual: bool) -> Vec<f64> {
        let similarity = metric.is_similarity();
        let none = if similarity { f64::NEG_INFINITY } else { f64::INFINITY };
        let nq = self.queries.len() / self.d;
        let mut all = vec![none; nq * self.longest];
        let mut coarse = vec![0.0; self.lists.len()];
        let to_centroids = common::distances(metric, 0.0, &self.queries, &self.centroids, self.d);
        for q in 0..nq {
            let x = self.row(&self.queries, q);
            for p in 0..self.nprobe {
                let Ok(list) = usize::try_from(self.lists[q * self.nprobe + p]) else { continue };
                let centre = self.row(&self.centroids, list);
                coarse[q * self.nprobe + p] = to_centroids[q * self.lengths.len() + list] as f32;
                for i in 0..self.lengths[list] as usize {
                    let at = self.offsets[list] as usize + i;
                    let mut y = vec![0.0; self.d];
                    self.pq.decode_one(&self.codes[at * self.pq.code_size..(at + 1) * self.pq.code_size], &mut y);
                    let pairs = (0..self.d).map(|j| {
                        let base = if by_residual { f64::from(centre[j]) } else { 0.0 };
                        (f64::from(x[j]), f64::from(y[j]) + base)
                    });
                    all[q * self.longest + self.places[q * (self.nprobe + 1) + p] as usize + i] = match similarity {
                        true => pairs.map(|(a, b)| a * b).sum(),
                        false => pairs.map(|(a, b)| (a - b).powi(2)).sum(),
                    };
                }
            }
        }
        self.coarse = coarse;
        all
    }

    fn search(
        &self,
        resources: &GpuResources,
        metric: MetricType,
        by_residual: bool,
        k: usize,
        visits: usize,
        allowed: Option<&[u8]>,
        strategy: Option<Strategy>,
    ) -> (Vec<f32>, Vec<i64>) {
        let nq = self.queries.len() / self.d;
        let size = if k == ALL { nq * self.longest } else { nq * k };
        let (mut values, mut ids) = (vec![7.0; size], vec![7; size]);
        let work = |c: &Context<'_>| -> Result<()> {
            let codebooks = Codebooks::new(c, &self.pq)?;
            let (codes, offsets, lengths) =
                (c.upload(&self.codes)?, c.upload(&self.offsets)?, c.upload(&self.lengths)?);
            let (centroids, origin) = (c.upload(&self.centroids)?, c.upload(&self.origin)?);
            let mut terms = c.take::<f32>(self.codes.len() / self.pq.code_size)?;
            let lists = CodeLists {
                codes: codes.ptr(),
                offsets: offsets.ptr(),
                lengths: lengths.ptr(),
                nlist: self.lengths.len(),
            };
            pq::terms(c, &codebooks, &lists, centroids.ptr(), origin.ptr(), terms.ptr_mut())?;
            let (queries, probed, places, coarse) =
                (c.upload(&self.queries)?, c.upload(&self.lists)?, c.upload(&self.places)?, c.upload(&self.coarse)?);
            let allowed = allowed.map(|a| c.upload(a)).transpose()?;
            let scan = PqScan {
                codebooks: &codebooks,
                lists,
                metric,
                by_residual,
                origin: origin.ptr(),
                terms: terms.ptr(),
                allowed: allowed.as_ref().map(|a| a.ptr()),
            };
            let probes = PqProbes {
                lists: probed.ptr(),
                coarse: coarse.ptr(),
                places: places.ptr(),
                nprobe: self.nprobe,
                visits,
            };
            if k == ALL {
                let mut distances = c.take::<f32>(values.len())?;
                rows::fill(c, distances.ptr_mut(), 7.0, values.len())?;
                scan.distances(c, queries.ptr(), nq, &probes, distances.ptr_mut(), self.longest)?;
                return c.download(distances.ptr(), &mut values);
            }
            let (mut out_values, mut out_ids) = (c.take(size)?, c.take(size)?);
            let out = Best { values: out_values.ptr_mut(), ids: out_ids.ptr_mut() };
            let strategy = strategy.unwrap_or_else(|| scan.choose(c, nq, &probes, k));
            scan.best_by(strategy, c, queries.ptr(), nq, &probes, k, out)?;
            c.download(out_values.ptr(), &mut values)?;
            c.download(out_ids.ptr(), &mut ids)
        };
        on_gpu(|| resources.with(0, work)).unwrap();
        (values, ids)
    }
}

/// In place of k: all distances.
const ALL: usize = usize::MAX;

const KINDS: [(MetricType, bool); 4] = [
    (MetricType::L2, true),
    (MetricType::L2, false),
    (MetricType::InnerProduct, true),
    (MetricType::InnerProduct, false),
];

#[test]
fn scans_find_the_nearest_codes() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(32);
    let long = if small() { 300 } else { 4000 };
    // Ordinary lists with empty ones between, all in one, nothing at all, and one code each.
    let lists: &[&[u32]] = &[&[40, 0, 130, 7, 0, 256, 33], &[0, long, 0], &[0, 0], &[1; 40]];
    for &shape in SHAPES {
        for lengths in lists {
            for (metric, by_residual) in KINDS {
                let nprobe = lengths.len().min(if shape.0 % 16 == 0 { 3 } else { 40 });
                let mut data = Data::new(&mut random, shape, lengths, 5, nprobe);
                let reference = data.reference(metric, by_residual);
                for k in [1, 10, 200] {
                    println!("{shape:?} {lengths:?} {metric:?} by_residual={by_residual} nprobe={nprobe} k={k}");
                    let (values, ids) = data.search(&resources, metric, by_residual, k, 0, None, None);
                    if data.longest == 0 {
                        assert!(ids.iter().all(|id| *id == -1));
                        continue;
                    }
                    check_results(&reference, data.longest, k, metric.is_similarity(), 1e-5, (&values, &ids));
                }
            }
        }
    }
}

#[test]
fn all_distances_filters_and_parts_agree() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(33);
    let lengths: Vec<u32> = (0..20).map(|_| random.below(if small() { 60 } else { 1200 }) as u32).collect();
    for (metric, by_residual) in KINDS {
        let mut data = Data::new(&mut random, (32, 8, 8), &lengths, 3, 15);
        let reference = data.reference(metric, by_residual);
        let similarity = metric.is_similarity();
        let few = data.search(&resources, metric, by_residual, 50, 0, None, None);
        // However many blocks share a query, the result is the same to the bit; and so it is from run to run.
        assert!(few == data.search(&resources, metric, by_residual, 50, 1 << 20, None, None));
        assert!(few == data.search(&resources, metric, by_residual, 50, 5000, None, None));
        let all = data.search(&resources, metric, by_residual, ALL, 0, None, None).0;
        for (q, (row, exact)) in all.chunks(data.longest).zip(reference.chunks(data.longest)).enumerate() {
            let length = data.places[q * (data.nprobe + 1) + data.nprobe] as usize;
            // Inner products may cancel, so the row's largest number is the measure.
            let scale = exact[..length].iter().fold(0.0f64, |m, v| m.max(v.abs()));
            assert!((0..length).all(|i| (f64::from(row[i]) - exact[i]).abs() <= 1e-5 * scale), "query {q}");
            assert!(row[length..].iter().all(|v| *v == 7.0), "query {q}: written beyond its row");
            let best: Vec<f32> = few.1[q * 50..(q + 1) * 50].iter().map(|id| row[*id as usize]).collect();
            assert_eq!(best, few.0[q * 50..(q + 1) * 50]);
        }
        let allowed: Vec<u8> = (0..data.codes.len() / 8).map(|i| u8::from(i % 3 == 1)).collect();
        let mut filtered = reference.clone();
        for q in 0..3 {
            for p in 0..data.nprobe {
                let Ok(list) = usize::try_from(data.lists[q * data.nprobe + p]) else { continue };
                for i in 0..data.lengths[list] as usize {
                    if allowed[data.offsets[list] as usize + i] == 0 {
                        let place = data.places[q * (data.nprobe + 1) + p] as usize + i;
                        filtered[q * data.longest + place] = if similarity { f64::NEG_INFINITY } else { f64::INFINITY };
                    }
                }
            }
        }
        for k in [10, 2048] {
            let got = data.search(&resources, metric, by_residual, k, 0, Some(&allowed), None);
            check_results(&filtered, data.longest, k, similarity, 1e-5, (&got.0, &got.1));
        }
    }
}

#[test]
fn tables_beyond_shared_memory_give_the_same() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(34);
    // 200 and 256 kB a query, and 1 MB.
    let shapes: &[(usize, usize, usize)] =
        if small() { &[(256, 256, 8)] } else { &[(256, 256, 8), (8, 4, 14), (1024, 1024, 8)] };
    for &shape in shapes {
        for (metric, by_residual) in KINDS {
            let mut data = Data::new(&mut random, shape, &[30, 0, 70], 4, 3);
            let reference = data.reference(metric, by_residual);
            let (values, ids) = data.search(&resources, metric, by_residual, 20, 0, None, None);
            check_results(&reference, data.longest, 20, metric.is_similarity(), 2e-5, (&values, &ids));
        }
    }
}

#[test]
fn the_filter_changes_no_bit() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(35);
    let most = if small() { 60 } else { 900 };
    // Parts of four and of other even widths, few and many numbers, a code that is no whole words.
    let shapes = [(32, 8, 8), (128, 32, 8), (128, 64, 8), (48, 3, 8), (126, 21, 8), (4, 1, 8), (68, 17, 8), (16, 8, 8)];
    for shape in shapes.into_iter().step_by(if small() { 3 } else { 1 }) {
        for (metric, by_residual) in KINDS.into_iter().filter(|kind| !small() || kind.1) {
            let mut lengths: Vec<u32> = (0..12).map(|_| random.below(most) as u32).collect();
            lengths[3] = 0;
            lengths[7] = 8 * most as u32;
            let nq = if small() { 20 } else { 300 };
            let mut data = Data::new(&mut random, shape, &lengths, nq, 8);
            data.reference(metric, by_residual);
            let allowed: Vec<u8> =
                (0..data.codes.len() / data.pq.code_size).map(|_| (random.below(4) > 0).into()).collect();
            // Few and many codes give the limit; and at last it is a bad one, so that some queries have too many candidates.
            for (k, visits, far) in [(1, 1 << 16, 0.0), (100, 1 << 12, 0.0), (10, 1 << 20, 0.0), (10, 1 << 10, 1e4)] {
                let sign = if metric.is_similarity() { -1.0 } else { 1.0 };
                data.coarse.iter_mut().step_by(2 * data.nprobe).for_each(|first| *first += sign * far);
                for allowed in [None, Some(&allowed[..])] {
                    let by =
                        |strategy| data.search(&resources, metric, by_residual, k, visits, allowed, Some(strategy));
                    assert!(
                        by(Strategy::Table) == by(Strategy::Filter),
                        "{shape:?} {metric:?} by_residual={by_residual} k={k} filtered={}",
                        allowed.is_some()
                    );
                }
            }
        }
    }
}
