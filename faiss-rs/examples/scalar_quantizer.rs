//! What scalar quantizers cost and lose: the size of codes, the share of true neighbours that they find, and the time of a search.
//!
//! `cargo run --release -p faiss --example scalar_quantizer`

use std::time::Instant;

use faiss::{Index, IndexFlatL2, Result, Shared, index_factory, random};

const D: usize = 64;
const K: usize = 10;

fn main() -> Result<()> {
    let (mut vectors, mut queries) = (vec![0.0; 20_000 * D], vec![0.0; 100 * D]);
    random::float_randn(&mut vectors, 1)?;
    random::float_randn(&mut queries, 2)?;
    let mut flat = IndexFlatL2::new(D as i64)?;
    flat.add(&vectors)?;
    let (truth, _) = search(&flat, &queries)?;
    println!("type          bytes  recall@10      ms");
    for description in ["SQfp16", "SQ8", "SQ6", "SQ4", "SQtq4", "SQtqmse2", "IVF64,SQ8"] {
        let index: Shared<dyn Index> = index_factory(D as i64, description, faiss::MetricType::L2)?.view()?;
        index.write().train(&vectors)?;
        index.write().add(&vectors)?;
        let (found, ms) = search(&*index.read(), &queries)?;
        let shared = found.chunks(K).zip(truth.chunks(K)).map(|(a, b)| a.iter().filter(|id| b.contains(id)).count());
        let recall = shared.sum::<usize>() as f64 / truth.len() as f64;
        println!("{description:<12} {:>6} {recall:>10.3} {ms:>7.1}", index.read().sa_code_size()?);
    }
    Ok(())
}

/// The nearest of each query, and how long it took.
fn search(index: &dyn Index, queries: &[f32]) -> Result<(Vec<i64>, f64)> {
    let n = queries.len() / D;
    let (mut distances, mut labels) = (vec![0.0; n * K], vec![0; n * K]);
    let started = Instant::now();
    index.search(queries, K, None, &mut distances, &mut labels)?;
    Ok((labels, started.elapsed().as_secs_f64() * 1e3))
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs() {
        super::main().unwrap();
    }
}
