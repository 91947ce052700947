//! Times the operations of product quantization on GPU 0, without an index: random codes in lists of equal length.
//!
//!     FAISS_CUDA_DIR=DIR cargo run --release -p faiss-gpu --example pq_bench [LISTS [LENGTH [D [M]]]]

use std::sync::Arc;
use std::time::Instant;

use faiss_core::base::MetricType;
use faiss_core::quantize::ProductQuantizer;
use faiss_gpu::ops::pq::{self, CodeLists, Codebooks, PqProbes, PqScan, Residual, Strategy};
use faiss_gpu::ops::select::Best;
use faiss_gpu::{GpuResources, Result};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let number = |i: usize, default: usize| std::env::args().nth(i).map_or(Ok(default), |a| a.parse());
    let (nlist, length, d, m) = (number(1, 16_384)?, number(2, 610)?, number(3, 128)?, number(4, 32)?);
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut numbers =
        |count: usize| -> Vec<f32> { (0..count).map(|_| random() as f32 / (1u64 << 31) as f32).collect() };
    let mut pq = ProductQuantizer::new(d, m, 8)?;
    pq.centroids = numbers(pq.centroids.len());
    let centroids = numbers(nlist * d);
    let (rows_count, nq) = (1 << 20, 10_000);
    let rows = numbers(rows_count * d);
    let resources: Arc<GpuResources> = Arc::default();
    resources.set_temp_memory(3 << 30);
    resources.with(0, |c| -> Result<()> {
        let timed = |name: &str, work: &mut dyn FnMut() -> Result<()>| -> Result<()> {
            let mut times = Vec::new();
            for _ in 0..5 {
                c.sync()?;
                let start = Instant::now();
                work()?;
                c.sync()?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            println!("{name}: {:.3} ms", times[2]);
            Ok(())
        };
        let codebooks = Codebooks::new(c, &pq)?;
        let (x, centroids) = (c.upload(&rows)?, c.upload(&centroids)?);
        let of: Vec<i32> = (0..rows_count).map(|i| (i * 7919 % nlist) as i32).collect();
        let of = c.upload(&of)?;
        let count = nlist * length;
        let mut codes = c.take::<u8>(count.max(rows_count) * codebooks.code_size())?;
        let residual = Some(Residual { lists: of.ptr(), centroids: centroids.ptr() });
        timed(&format!("encode {rows_count} x {d}"), &mut || {
            pq::encode(c, &codebooks, x.ptr(), rows_count, residual, codes.ptr_mut())
        })?;
        let part = rows_count * codebooks.code_size();
        for at in (0..count * codebooks.code_size()).step_by(part).skip(1) {
            let n = part.min(count * codebooks.code_size() - at);
            c.copy(codes.ptr(), codes.ptr_mut().at(at), n)?;
        }
        let offsets: Vec<i64> = (0..nlist).map(|l| (l * length) as i64).collect();
        let (offsets, lengths) = (c.upload(&offsets)?, c.upload(&vec![length as u32; nlist])?);
        let lists = CodeLists { codes: codes.ptr(), offsets: offsets.ptr(), lengths: lengths.ptr(), nlist };
        let origin = c.upload(&vec![0.5f32; d])?;
        let mut terms = c.take::<f32>(count)?;
        timed(&format!("terms of {count}"), &mut || {
            pq::terms(c, &codebooks, &lists, centroids.ptr(), origin.ptr(), terms.ptr_mut())
        })?;
        let scan = PqScan {
            codebooks: &codebooks,
            lists,
            metric: MetricType::L2,
            by_residual: true,
            origin: origin.ptr(),
            terms: terms.ptr(),
            allowed: None,
        };
        for (queries, nprobe, k) in [
            (1, 32, 10),
            (16, 32, 10),
            (128, 32, 10),
            (nq, 8, 10),
            (nq, 32, 10),
            (nq, 32, 100),
            (nq, 128, 10),
            (nq, 128, 100),
            (nq, 128, 1000),
        ] {
            let probed: Vec<i32> = (0..queries * nprobe).map(|i| (i * 7919 % nlist) as i32).collect();
            let places: Vec<u32> = (0..queries).flat_map(|_| (0..=nprobe).map(|p| (p * length) as u32)).collect();
            let (probed, places) = (c.upload(&probed)?, c.upload(&places)?);
            let coarse = c.upload(&vec![1.0f32; queries * nprobe])?;
            let longest = nprobe * length;
            let probes =
                PqProbes { lists: probed.ptr(), coarse: coarse.ptr(), places: places.ptr(), nprobe, visits: longest };
            let (mut values, mut ids) = (c.take(queries * k)?, c.take(queries * k)?);
            let out = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
            for strategy in [Strategy::Table, Strategy::Filter] {
                timed(&format!("scan nq={queries} nprobe={nprobe} k={k} {strategy:?}"), &mut || {
                    scan.best_by(strategy, c, x.ptr(), queries, &probes, k, out)
                })?;
            }
        }
        Ok(())
    })?;
    Ok(())
}
