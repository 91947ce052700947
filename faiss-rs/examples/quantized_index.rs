//! A quantized index: 300-dimensional vectors in 20 bytes each, trained, filled, saved, and searched from its file.
//!
//! `cargo run --release -p faiss --example quantized_index` is a small run on the CPU; `--help` tells the sizes. With
//! `--gpu --nb 5000000 --nlist 10000`, 6 GB of vectors become a file of about 190 MB; `--read index.ivfpq` searches it, without a GPU too.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use faiss::base::object::cast_mut;
use faiss::base::progress;
use faiss::gpu::{self, GpuClonerOptions, GpuResources};
use faiss::{Error, Index, IndexFlatL2, IndexIVF, IndexIVFPQ, MetricType, Result, Shared, random};

/// Build a quantized index, save it and search it.
#[derive(Parser)]
struct Arguments {
    /// Number of vectors
    #[arg(long, default_value_t = 20_000)]
    nb: usize,
    /// Their dimension
    #[arg(long, default_value_t = 300)]
    d: usize,
    /// Number of inverted lists
    #[arg(long, default_value_t = 100)]
    nlist: usize,
    /// Bytes a vector becomes; divides d
    #[arg(long, default_value_t = 20)]
    m: usize,
    /// Number of queries
    #[arg(long, default_value_t = 1000)]
    nq: usize,
    /// Neighbours of each
    #[arg(long, default_value_t = 10)]
    k: usize,
    /// Lists looked into
    #[arg(long, default_value_t = 16)]
    nprobe: usize,
    /// Train and add on GPU 0
    #[arg(long)]
    gpu: bool,
    /// Where the wheel's kernels and libfaiss_cuda.so are, for --gpu
    #[arg(long, value_name = "FOLDER")]
    library_dir: Option<PathBuf>,
    /// Where to save
    #[arg(long, default_value = "index.ivfpq")]
    file: PathBuf,
    /// Build nothing: search this file
    #[arg(long, value_name = "FILE")]
    read: Option<PathBuf>,
    /// No progress bar, even on a terminal
    #[arg(long)]
    no_progress: bool,
}

fn main() -> Result<()> {
    let args = Arguments::parse();
    progress::show_bar(!args.no_progress);
    if args.read.is_none() {
        build(&args)?;
    }
    search(&args).map(|_| ())
}

fn build(args: &Arguments) -> Result<()> {
    let vectors = random_vectors(args.nb, args.d)?;
    let index_flat = Shared::new(IndexFlatL2::new(args.d as i64)?);
    let index = IndexIVFPQ::new(index_flat, args.d as i64, args.nlist, args.m, 8, MetricType::L2, true)?;
    let index: Shared<dyn Index> = if args.gpu {
        if let Some(folder) = &args.library_dir {
            gpu::set_library_dir(folder);
        }
        let resources = Arc::new(GpuResources::default());
        gpu::index_cpu_to_gpu(&resources, 0, &index, &GpuClonerOptions::default())?.view()?
    } else {
        Shared::new(index)
    };

    let started = Instant::now();
    index.write().train(&vectors)?;
    let trained = started.elapsed().as_secs_f64();
    index.write().add(&vectors)?;
    let added = started.elapsed().as_secs_f64() - trained;
    println!("train: {trained:.2} s, add: {added:.2} s, {} vectors", index.read().base().ntotal);

    let index = if args.gpu { gpu::index_gpu_to_cpu(&*index.read())?.view()? } else { index };
    // Where each vector is, so that it can be decoded by its id.
    ivf(&mut *index.write())?.make_direct_map(true)?;
    let key = 42.min(args.nb - 1);
    let mut decoded = vec![0.0; args.d];
    index.read().reconstruct(key as i64, &mut decoded)?;
    let vector = &vectors[key * args.d..(key + 1) * args.d];
    let error: f32 = vector.iter().zip(&decoded).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f32 = vector.iter().map(|a| a.powi(2)).sum();
    println!("vector {key} comes back with an error of {:.1}%", (error / norm).sqrt() * 100.0);

    faiss::write_index_file(&*index.read(), path(&args.file)?, 0)?;
    let size = std::fs::metadata(&args.file).map_err(|e| Error::io(e.to_string()))?.len();
    let (before, after) = (size_of_val(&vectors[..]) as f64 / 1e6, size as f64 / 1e6);
    println!("{before:.1} MB of vectors became {}: {after:.1} MB", args.file.display());
    Ok(())
}

/// Searches the file; returns the share of queries that found themselves.
fn search(args: &Arguments) -> Result<f64> {
    let index: Shared<dyn Index> =
        faiss::read_index_file(path(args.read.as_ref().unwrap_or(&args.file))?, 0)?.view()?;
    ivf(&mut *index.write())?.nprobe = args.nprobe;
    // The first of the vectors that were added, so that the answer is known.
    let queries = random_vectors(args.nq, index.read().base().dim())?;
    let (mut distances, mut ids) = (vec![0.0; args.nq * args.k], vec![0; args.nq * args.k]);
    let started = Instant::now();
    index.read().search(&queries, args.k, None, &mut distances, &mut ids)?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    let found = ids.chunks(args.k).enumerate().filter(|(i, row)| row.contains(&(*i as i64))).count();
    let share = found as f64 / args.nq as f64;
    println!("{} queries in {ms:.1} ms; {:.1}% found themselves among {}", args.nq, share * 100.0, args.k);
    Ok(share)
}

fn ivf(index: &mut dyn Index) -> Result<&mut IndexIVF> {
    let name = index.info().name;
    cast_mut(index).ok_or_else(|| Error::value(format!("{name} is no inverted file")))
}

fn path(path: &std::path::Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::value(format!("{} is not text", path.display())))
}

/// The first vectors are the same whatever their number.
fn random_vectors(n: usize, d: usize) -> Result<Vec<f32>> {
    let (mut vectors, mut block) = (vec![0.0; n * d], vec![0.0; 10_000 * d.max(1)]);
    for (i, rows) in vectors.chunks_mut(block.len()).enumerate() {
        random::float_rand(&mut block, 1234 + i as i64)?;
        rows.copy_from_slice(&block[..rows.len()]);
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_run_builds_a_file_that_answers() {
        let file = std::env::temp_dir().join(format!("quantized_index-{}.ivfpq", std::process::id()));
        let sizes = "example --nb 3000 --d 24 --nlist 8 --m 6 --nq 100 --nprobe 8 --no-progress --file";
        let words = sizes.split(' ').map(Into::into).chain([file.clone().into_os_string()]);
        let args = Arguments::parse_from(words);
        build(&args).unwrap();
        let share = search(&args).unwrap();
        let index: Shared<dyn Index> = faiss::read_index_file(path(&file).unwrap(), 0).unwrap().view().unwrap();
        assert_eq!(cast_mut::<IndexIVFPQ>(&mut *index.write()).unwrap().pq.M, 6);
        // Ids, codes and the direct map, 8 + 256 centroids, and a little.
        let expected = 3000 * (8 + 6 + 8) + (8 + 256) * 24 * 4;
        let size = std::fs::metadata(&file).unwrap().len();
        std::fs::remove_file(&file).unwrap();
        assert!(size > expected && size < expected + 1000, "{size} bytes");
        assert!(share > 0.9, "{share} of the queries found themselves");
    }
}
