//! A selector of one's own: which ids a search may return is said by a function of the program.
//!
//! `cargo run --release -p faiss --example selector`

use faiss::{
    IDSelector, IDSelectorAnd, IDSelectorFn, IDSelectorRange, Index, IndexHNSWFlat, MetricType, Object, Result,
    SearchParameters, Shared, random,
};

const D: usize = 16;
const NB: usize = 5_000;
const K: usize = 5;

fn main() -> Result<()> {
    let mut xb = vec![0.0; NB * D];
    random::float_rand(&mut xb, 1234)?;
    let mut index = IndexHNSWFlat::new(D as i64, 16, MetricType::L2)?;
    index.add(&xb)?;

    // What the program knows of its vectors; the function is called by several threads at once.
    let in_stock: Vec<bool> = (0..NB).map(|id| id % 3 == 0).collect();
    let wanted: Shared<dyn IDSelector> = Shared::new(IDSelectorFn::new(move |id| in_stock[id as usize]));

    let (mut distances, mut labels) = ([0.0; K], [0; K]);
    let params = SearchParameters { sel: Some(wanted.clone()) };
    index.search(&xb[..D], K, Some(&params as &dyn Object), &mut distances, &mut labels)?;
    println!("in stock: {labels:?}");
    assert!(labels.iter().all(|id| id % 3 == 0));

    // It goes together with those of the library.
    let first: Shared<dyn IDSelector> = Shared::new(IDSelectorRange::new(0, 1000));
    let both = IDSelectorAnd::new(Some(wanted), Some(first));
    let params = SearchParameters { sel: Some(Shared::new(both)) };
    index.search(&xb[..D], K, Some(&params as &dyn Object), &mut distances, &mut labels)?;
    println!("in stock, among the first 1000: {labels:?}");
    assert!(labels.iter().all(|id| *id < 1000 && id % 3 == 0));
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs() {
        super::main().unwrap();
    }
}
