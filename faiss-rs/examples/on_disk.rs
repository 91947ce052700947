//! An index larger than memory: parts of it are filled one by one, their lists go together into one file, and the index is searched from there.
//!
//! `cargo run --release -p faiss --example on_disk`

use faiss::storage::lists::InvertedLists;
use faiss::storage::on_disk::OnDiskInvertedLists;
use faiss::{
    Error, Index, IndexFlatL2, IndexIVFScalarQuantizer, MetricType, Result, Shared, random, read_index_file,
    scalar_quantizer_kind, write_index_file,
};

const D: usize = 16;
const NB: usize = 6_000;
const PARTS: usize = 3;
const K: usize = 5;

fn main() -> Result<()> {
    let mut xb = vec![0.0; NB * D];
    random::float_rand(&mut xb, 1234)?;
    let folder = std::env::temp_dir().join(format!("faiss-on-disk-example-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(e.to_string()))?;
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();

    // Trained once; every part starts from that.
    let quantizer = Shared::new(IndexFlatL2::new(D as i64)?);
    let kind = scalar_quantizer_kind::QT_8bit;
    let mut trained = IndexIVFScalarQuantizer::new(quantizer, D as i64, 20, kind, MetricType::L2, true, true)?;
    trained.train(&xb)?;
    write_index_file(&trained, &path("trained.index"), 0)?;

    // Each part could be made on another machine. Here one after the other is, and only its file is left.
    for (i, rows) in xb.chunks(NB / PARTS * D).enumerate() {
        let part: Shared<dyn Index> = read_index_file(&path("trained.index"), 0)?.view()?;
        let first = (i * (NB / PARTS)) as i64;
        let ids: Vec<i64> = (first..first + (rows.len() / D) as i64).collect();
        part.write().add_with_ids(rows, &ids)?;
        write_index_file(&*part.read(), &path(&format!("part{i}.index")), 0)?;
    }

    // The parts' lists are read from their files as they are copied to the one file.
    let parts = (0..PARTS).map(|i| -> Result<Shared<IndexIVFScalarQuantizer>> {
        read_index_file(&path(&format!("part{i}.index")), faiss::io::IO_FLAG_MMAP)?.view()
    });
    let parts: Vec<_> = parts.collect::<Result<_>>()?;
    let parts: Vec<_> = parts.iter().map(|part| part.read()).collect();
    let lists = parts.iter().map(|part| part.invlists.clone().ok_or_else(|| Error::failed("invlists", "")));
    let lists: Vec<Shared<dyn InvertedLists>> = lists.collect::<Result<_>>()?;
    let lists: Vec<_> = lists.iter().map(|lists| lists.read()).collect();
    let mut merged = OnDiskInvertedLists::create(trained.nlist, trained.code_size, &path("merged.ivfdata"))?;
    let ntotal = merged.merge_from_multiple(lists.iter().map(|lists| &**lists).collect(), false, false)?;
    trained.replace_invlists(Some(Shared::new(merged)), true)?;
    trained.ntotal = ntotal as i64;
    write_index_file(&trained, &path("merged.index"), 0)?;

    // The index's file names that of the lists, of which only what a search looks at is read.
    let size = |name: &str| std::fs::metadata(path(name)).map_or(0, |about| about.len());
    println!("{ntotal} vectors: {} bytes of index, {} of lists", size("merged.index"), size("merged.ivfdata"));
    let index: Shared<IndexIVFScalarQuantizer> = read_index_file(&path("merged.index"), 0)?.view()?;
    index.write().nprobe = 20;
    let (mut distances, mut labels) = ([0.0; K], [0; K]);
    for id in [7, NB - 1] {
        index.read().search(&xb[id * D..(id + 1) * D], K, None, &mut distances, &mut labels)?;
        println!("nearest to vector {id}: {labels:?}");
        assert_eq!(labels[0], id as i64);
    }
    std::fs::remove_dir_all(&folder).map_err(|e| Error::io(e.to_string()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs() {
        super::main().unwrap();
    }
}
