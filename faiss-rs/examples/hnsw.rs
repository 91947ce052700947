//! Search along the links of a graph: build it, trade recall for time, restrict a search, save the index and load it again.
//!
//! `cargo run --release -p faiss --example hnsw`

use std::time::Instant;

use faiss::{
    IDSelectorRange, Index, IndexFlatL2, IndexHNSWFlat, MetricType, Result, SearchParameters, SearchParametersHNSW,
    Shared, random,
};

const D: usize = 32;
const NB: usize = 20_000;
const NQ: usize = 500;
const K: usize = 10;

fn main() -> Result<()> {
    let (mut xb, mut xq) = (vec![0.0; NB * D], vec![0.0; NQ * D]);
    random::float_rand(&mut xb, 1234)?;
    random::float_rand(&mut xq, 5678)?;

    // 32 links a vector, 64 at the lowest level.
    let mut index = IndexHNSWFlat::new(D as i64, 32, MetricType::L2)?;
    index.hnsw.efConstruction = 80;
    let start = Instant::now();
    index.add(&xb)?;
    println!("{} vectors linked at {} levels in {:.1?}", index.ntotal, index.hnsw.max_level + 1, start.elapsed());

    // What an exhaustive search finds.
    let mut exact = IndexFlatL2::new(D as i64)?;
    exact.add(&xb)?;
    let (mut distances, mut labels, mut truth) = (vec![0.0; NQ * K], vec![0; NQ * K], vec![0; NQ * K]);
    exact.search(&xq, K, None, &mut distances, &mut truth)?;

    for ef in [16, 64, 256] {
        let params = SearchParametersHNSW { efSearch: ef, ..Default::default() };
        let start = Instant::now();
        index.search(&xq, K, Some(&params), &mut distances, &mut labels)?;
        let took = start.elapsed();
        let found = labels.chunks(K).zip(truth.chunks(K)).map(|(a, b)| a.iter().filter(|id| b.contains(id)).count());
        println!("efSearch {ef}: recall {:.3} in {took:.1?}", found.sum::<usize>() as f64 / (NQ * K) as f64);
    }

    // The graph is followed everywhere, and ids below 1000 are returned.
    let base = SearchParameters { sel: Some(Shared::new(IDSelectorRange::new(0, 1000))) };
    let params = SearchParametersHNSW { base, efSearch: 256, ..Default::default() };
    index.search(&xq, K, Some(&params), &mut distances, &mut labels)?;
    println!("of ids below 1000: {:?}", &labels[..K]);

    let path = std::env::temp_dir().join("faiss-hnsw-example.index");
    let path = path.to_str().unwrap_or_default();
    faiss::write_index_file(&index, path, 0)?;
    let again = faiss::read_index_file(path, 0)?.view::<dyn Index>()?;
    println!("read back: {} with {} vectors", again.read().info().name, again.read().base().ntotal);
    std::fs::remove_file(path).map_err(|e| faiss::Error::io(e.to_string()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs() {
        super::main().unwrap();
    }
}
