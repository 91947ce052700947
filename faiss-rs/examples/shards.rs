//! An index whose lists lie in a file, and two such indexes searched as one.
//!
//! `cargo run --release -p faiss --example shards`

use faiss::storage::on_disk::OnDiskInvertedLists;
use faiss::{Index, IndexFlatL2, IndexIVFFlat, IndexShards, MetricType, Result, Shared, random};

const D: usize = 16;
const NB: usize = 5_000;
const K: usize = 5;

fn main() -> Result<()> {
    let mut xb = vec![0.0; NB * D];
    random::float_rand(&mut xb, 1234)?;

    // Half of the vectors each. The lists of both are files that grow; only what a search looks at is read.
    let mut shards = IndexShards::new(D as i64, true, true)?;
    let mut files = Vec::new();
    for (i, half) in xb.chunks(NB / 2 * D).enumerate() {
        let quantizer = Shared::new(IndexFlatL2::new(D as i64)?);
        let mut index = IndexIVFFlat::new(quantizer, D as i64, 20, MetricType::L2, true)?;
        index.train(half)?;
        let file = std::env::temp_dir().join(format!("faiss-shards-example-{}-{i}.ivfdata", std::process::id()));
        let lists = OnDiskInvertedLists::create(index.nlist, index.code_size, file.to_str().unwrap_or_default())?;
        index.replace_invlists(Some(Shared::new(lists)), true)?;
        index.add(half)?;
        index.nprobe = 5;
        println!("{}: {} bytes", file.display(), std::fs::metadata(&file).map_or(0, |about| about.len()));
        files.push(file);
        shards.add_shard(Shared::new(index))?;
    }

    // The ids of the second half follow those of the first: a vector finds itself.
    let (mut distances, mut labels) = ([0.0; K], [0; K]);
    for id in [7, NB - 1] {
        shards.search(&xb[id * D..(id + 1) * D], K, None, &mut distances, &mut labels)?;
        println!("nearest to vector {id}: {labels:?}");
        assert_eq!((labels[0], distances[0]), (id as i64, 0.0));
    }
    drop(shards);
    files.into_iter().try_for_each(std::fs::remove_file).map_err(|e| faiss::Error::io(e.to_string()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs() {
        super::main().unwrap();
    }
}
