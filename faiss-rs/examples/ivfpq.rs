//! An inverted file of product-quantized codes: train, add, and what recall costs. Saved, and read again.
//!
//! `cargo run --release -p faiss --example ivfpq`

use std::time::Instant;

use faiss::{
    Index, IndexFlatL2, IndexIVFPQ, MetricType, Result, SearchParametersIVF, Shared, deserialize_index, random,
    serialize_index,
};

const D: usize = 32;
const NB: usize = 20_000;
const NQ: usize = 200;
const K: usize = 10;

fn main() -> Result<()> {
    let (mut xb, mut xq) = (vec![0.0; NB * D], vec![0.0; NQ * D]);
    random::float_rand(&mut xb, 1234)?;
    random::float_rand(&mut xq, 5678)?;

    // 64 lists; a code has 16 numbers of 8 bits, an eighth of the vector's bytes.
    let quantizer = Shared::new(IndexFlatL2::new(D as i64)?);
    let mut index = IndexIVFPQ::new(quantizer, D as i64, 64, 16, 8, MetricType::L2, true)?;
    index.train(&xb)?;
    index.add(&xb)?;

    let mut exact = IndexFlatL2::new(D as i64)?;
    exact.add(&xb)?;
    let (mut distances, mut labels, mut truth) = (vec![0.0; NQ * K], vec![0; NQ * K], vec![0; NQ * K]);
    exact.search(&xq, K, None, &mut distances, &mut truth)?;

    for nprobe in [1, 8, 64] {
        // Of one search; `index.nprobe` is for all.
        let params = SearchParametersIVF { nprobe, ..Default::default() };
        let start = Instant::now();
        index.search(&xq, K, Some(&params), &mut distances, &mut labels)?;
        let took = start.elapsed();
        let found = labels.chunks(K).zip(truth.chunks(K)).map(|(a, b)| a.iter().filter(|id| b.contains(id)).count());
        let recall = found.sum::<usize>() as f64 / (NQ * K) as f64;
        println!("{nprobe} of {} lists: recall {recall:.3} in {took:.1?}", index.nlist);
        assert!(nprobe < 64 || recall > 0.5);
    }

    let bytes = serialize_index(&index, 0)?;
    println!("{NB} vectors in {} bytes", bytes.len());
    let again: Shared<IndexIVFPQ> = deserialize_index(&bytes, 0)?.view()?;
    let (before, params) = (labels.clone(), SearchParametersIVF { nprobe: 64, ..Default::default() });
    again.read().search(&xq, K, Some(&params), &mut distances, &mut labels)?;
    assert_eq!(labels, before);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs() {
        super::main().unwrap();
    }
}
