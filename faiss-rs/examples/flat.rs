//! Exact search: build an index, search it, restrict a search to some ids, save it and load it again.
//!
//! `cargo run --release -p faiss --example flat`

use std::time::Instant;

use faiss::{IDSelectorRange, Index, IndexFlatL2, Object, Result, SearchParameters, Shared, random};

const D: usize = 64;
const NB: usize = 100_000;
const NQ: usize = 1_000;
const K: usize = 5;

fn main() -> Result<()> {
    let (mut xb, mut xq) = (vec![0.0; NB * D], vec![0.0; NQ * D]);
    random::float_rand(&mut xb, 1234)?;
    random::float_rand(&mut xq, 5678)?;

    let mut index = IndexFlatL2::new(D as i64)?;
    index.add(&xb)?;
    println!("{} vectors of {D} numbers, {} MB", index.ntotal, index.codes.len() >> 20);

    // A vector's nearest neighbour is itself, at distance 0.
    let (mut distances, mut labels) = (vec![0.0; NQ * K], vec![0; NQ * K]);
    index.search(&xb[..3 * D], K, None, &mut distances[..3 * K], &mut labels[..3 * K])?;
    for row in labels[..3 * K].chunks(K) {
        println!("  {row:?}");
    }

    let start = Instant::now();
    index.search(&xq, K, None, &mut distances, &mut labels)?;
    println!(
        "{NQ} queries in {:.0} ms; the first: {:?} {:?}",
        start.elapsed().as_secs_f64() * 1e3,
        &labels[..K],
        &distances[..K]
    );

    // Parameters of one search: here, only ids below 1000 may be returned.
    let params = SearchParameters { sel: Some(Shared::new(IDSelectorRange::new(0, 1000))) };
    index.search(&xq, K, Some(&params as &dyn Object), &mut distances, &mut labels)?;
    println!("among the first 1000: {:?}", &labels[..K]);

    let near = index.range_search(&xq[..D], 1.2 * distances[0], None)?;
    println!("{} vectors within {:.3} of the first query", near.labels.len(), 1.2 * distances[0]);

    let path = std::env::temp_dir().join("flat.index");
    let path = path.to_str().expect("the path is text");
    faiss::write_index_file(&index, path, 0)?;
    let loaded: Shared<dyn Index> = faiss::read_index_file(path, 0)?.view()?;
    println!("{path}: {} with {} vectors", loaded.read().info().name, loaded.read().base().ntotal);
    std::fs::remove_file(path).map_err(|e| faiss::Error::io(e.to_string()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs() {
        super::main().unwrap();
    }
}
