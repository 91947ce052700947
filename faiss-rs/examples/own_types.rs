//! Types of one's own, beside the library's and inside them: a selector with its own way to know its ids, and an index around another that counts what
//! is asked of it. `#[derive(Object)]` describes a type; its public fields can then be read by name, as those of every type.
//!
//! `cargo run --release -p faiss --example own_types`

use std::sync::atomic::{AtomicUsize, Ordering};

use faiss::base::FieldRef;
use faiss::selector::IDSelectorBase;
use faiss::{
    IDSelector, Index, IndexBase, IndexFlatL2, IndexShards, Object, Result, SearchParameters, Shared, Value, random,
};

const D: usize = 16;
const NB: usize = 2_000;
const K: usize = 5;

/// The ids that leave a remainder.
#[derive(Object, Default, Clone)]
#[object(implements(IDSelector), copy)]
struct Remainder {
    #[object(parent)]
    base: IDSelectorBase,
    /// What ids are divided by.
    pub divisor: i64,
    /// What is left of them.
    pub remainder: i64,
}

impl IDSelector for Remainder {
    fn is_member(&self, id: i64) -> bool {
        id.rem_euclid(self.divisor) == self.remainder
    }
}

/// An index that hands everything on to another, and counts the queries.
#[derive(Object, Default)]
#[object(implements(Index))]
struct Counted {
    #[object(parent)]
    base: IndexBase,
    /// Holds the vectors.
    pub index: Option<Shared<dyn Index>>,
    queries: AtomicUsize,
}

impl Counted {
    fn new(index: Shared<dyn Index>) -> Self {
        let base = index.read().base().clone();
        Counted { base, index: Some(index), queries: AtomicUsize::new(0) }
    }

    fn inner(&self) -> Result<&Shared<dyn Index>> {
        self.index.as_ref().ok_or_else(|| faiss::Error::failed("index", "no index is set"))
    }
}

impl Index for Counted {
    fn base(&self) -> &IndexBase {
        &self.base
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        &mut self.base
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.inner()?.write().train(x)?;
        self.base.is_trained = true;
        Ok(())
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        self.inner()?.write().add(x)?;
        let ntotal = self.inner()?.read().base().ntotal;
        self.base.ntotal = ntotal;
        Ok(())
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.queries.fetch_add(self.base.rows(x)?, Ordering::Relaxed);
        self.inner()?.read().search(x, k, params, distances, labels)
    }
}

fn main() -> Result<()> {
    let mut xb = vec![0.0; NB * D];
    random::float_rand(&mut xb, 1234)?;
    let (mut distances, mut labels) = ([0.0; K], [0; K]);

    // Where the library wants an index or a selector, those are as good as its own.
    let parts: Vec<Shared<Counted>> = (0..2)
        .map(|_| Ok(Shared::new(Counted::new(Shared::new(IndexFlatL2::new(D as i64)?)))))
        .collect::<Result<_>>()?;
    let mut index = IndexShards::new(D as i64, false, true)?;
    parts.iter().try_for_each(|part| index.add_shard(part.view()?))?;
    index.add(&xb)?;
    let sel: Shared<Remainder> = Shared::new(Remainder { divisor: 7, remainder: 3, ..Default::default() });
    let params = SearchParameters { sel: Some(sel.view()?) };
    let first: Shared<dyn Index> = parts[0].view()?;
    first.read().search(&xb[..D], K, Some(&params), &mut distances, &mut labels)?;
    println!("ids that leave 3: {labels:?}");
    assert!(labels.iter().all(|id| id % 7 == 3));
    index.search(&xb[..D], K, None, &mut distances, &mut labels)?;
    assert_eq!((labels[0], distances[0]), (0, 0.0));
    let counts: Vec<usize> = parts.iter().map(|part| part.read().queries.load(Ordering::Relaxed)).collect();
    println!("queries of each part: {counts:?}");
    assert_eq!(counts, [2, 1]);

    // Fields by name.
    let sel = sel.read();
    let Some(FieldRef::Value(Value::Int(divisor))) = sel.field("divisor") else {
        unreachable!("public fields are described")
    };
    println!("{}: divisor = {divisor}", sel.info().name);
    assert_eq!((sel.info().name, divisor), ("Remainder", 7));
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs() {
        super::main().unwrap();
    }
}
