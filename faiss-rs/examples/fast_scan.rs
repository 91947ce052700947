//! Codes of four bits, scanned by shuffles of registers, and their best results compared again as vectors.
//!
//! `cargo run --release -p faiss --example fast_scan`

use std::time::Instant;

use faiss::index::refine::IndexRefineSearchParameters;
use faiss::{
    Index, IndexFlatL2, IndexIVFPQFastScan, IndexRefineFlat, MetricType, Result, SearchParametersIVF, Shared, random,
};

const D: usize = 32;
const NB: usize = 20_000;
const NQ: usize = 200;
const K: usize = 10;

fn main() -> Result<()> {
    let (mut xb, mut xq) = (vec![0.0; NB * D], vec![0.0; NQ * D]);
    random::float_rand(&mut xb, 1234)?;
    random::float_rand(&mut xq, 5678)?;

    // 64 lists; a code has 16 numbers of 4 bits.
    let quantizer = Shared::new(IndexFlatL2::new(D as i64)?);
    let mut codes = IndexIVFPQFastScan::new(quantizer, D as i64, 64, 16, 4, MetricType::L2, 32, true)?;
    codes.nprobe = 16;
    let mut index = IndexRefineFlat::new(Shared::new(codes), &[])?;
    index.train(&xb)?;
    index.add(&xb)?;

    let mut exact = IndexFlatL2::new(D as i64)?;
    exact.add(&xb)?;
    let (mut distances, mut labels, mut truth) = (vec![0.0; NQ * K], vec![0; NQ * K], vec![0; NQ * K]);
    exact.search(&xq, K, None, &mut distances, &mut truth)?;

    for (k_factor, nprobe) in [(1.0, 16), (4.0, 16), (16.0, 64)] {
        let lists: Shared<SearchParametersIVF> = Shared::new(SearchParametersIVF { nprobe, ..Default::default() });
        let params =
            IndexRefineSearchParameters { k_factor, base_index_params: Some(lists.view()?), ..Default::default() };
        let start = Instant::now();
        index.search(&xq, K, Some(&params), &mut distances, &mut labels)?;
        let took = start.elapsed();
        let found = labels.chunks(K).zip(truth.chunks(K)).map(|(a, b)| a.iter().filter(|id| b.contains(id)).count());
        let recall = found.sum::<usize>() as f64 / (NQ * K) as f64;
        println!("{k_factor} candidates a result, {nprobe} lists: recall {recall:.3} in {took:.1?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs() {
        super::main().unwrap();
    }
}
