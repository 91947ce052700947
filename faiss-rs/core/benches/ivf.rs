//! Times of inverted files: assignment, add, search by nprobe and of one query, write, read.
//! `cargo bench -p faiss-core --bench ivf [name]`.

mod common;

use common::{D, best, vectors};
use faiss_core::base::threads::omp_set_num_threads;
use faiss_core::base::{Handle, MetricType, Shared, Value};
use faiss_core::factory::index_factory;
use faiss_core::index::Index;
use faiss_core::io::{read_index_file, write_index_file};

const NB: usize = 100_000;
const NQ: usize = 1000;

fn index(handle: Handle) -> Shared<dyn Index> {
    handle.view().expect("an index")
}

fn run(key: &str, wanted: &str, threads: i32) {
    omp_set_num_threads(threads);
    let (xb, xq, xt) = (vectors(NB, 1), vectors(NQ, 2), vectors(50_000, 3));
    let made = index(index_factory(D as i64, key, MetricType::L2).unwrap());
    let name = |what: &str| format!("{key} {what}, {threads} threads");
    best(&name("train"), wanted, 1, || made.write().train(&xt).unwrap());
    if !made.read().base().is_trained {
        made.write().train(&xt).unwrap();
    }
    best(&name("add"), wanted, 4, || {
        made.write().reset().unwrap();
        made.write().add(&xb).unwrap();
    });
    if made.read().base().ntotal == 0 {
        made.write().add(&xb).unwrap();
    }
    let (mut dis, mut ids) = (vec![0.0; NQ * 10], vec![0; NQ * 10]);
    for nprobe in [4, 16, 64] {
        made.write().field_mut("nprobe").unwrap().set(Value::Int(nprobe)).unwrap();
        best(&name(&format!("search, nprobe {nprobe}")), wanted, 5, || {
            made.read().search(&xq, 10, None, &mut dis, &mut ids).unwrap();
        });
    }
    best(&name("search of one query, 100 times"), wanted, 5, || {
        for q in 0..100 {
            let at = q * D..(q + 1) * D;
            made.read().search(&xq[at], 10, None, &mut dis[..10], &mut ids[..10]).unwrap();
        }
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    best(&name("write"), wanted, 5, || write_index_file(&*made.read(), &path, 0).unwrap());
    best(&name("read"), wanted, 5, || drop(read_index_file(&path, 0).unwrap()));
}

fn main() {
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    for key in ["IVF1024,Flat", "IVF1024,PQ32"] {
        run(key, &wanted, 1);
    }
}
