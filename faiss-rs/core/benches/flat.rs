//! Times of the flat index: add, search by batch size and k, range search. `cargo bench -p faiss-core --bench flat [name]`.

mod common;

use common::{D, best, vectors};
use faiss_core::base::MetricType;
use faiss_core::index::Index;
use faiss_core::index::flat::IndexFlat;

fn main() {
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with("--")).unwrap_or_default();
    let (n, nq) = (100_000, 1000);
    let (xb, xq) = (vectors(n, 1), vectors(nq, 2));
    best("add", &wanted, 3, || {
        let mut index = IndexFlat::new(D as i64, MetricType::L2).unwrap();
        index.add(&xb).unwrap();
    });
    for metric in [MetricType::L2, MetricType::InnerProduct, MetricType::L1] {
        let mut index = IndexFlat::new(D as i64, metric).unwrap();
        index.add(&xb).unwrap();
        for k in [1, 10, 100, 1000] {
            let (mut distances, mut labels) = (vec![0.0; nq * k], vec![0; nq * k]);
            best(&format!("{metric:?} nq1000 k{k}"), &wanted, 5, || {
                index.search(&xq, k, None, &mut distances, &mut labels).unwrap()
            });
        }
        for batch in [1, 8] {
            let (mut distances, mut labels) = (vec![0.0; batch * 10], vec![0; batch * 10]);
            best(&format!("{metric:?} nq{batch} k10, 20 times"), &wanted, 3, || {
                for i in 0..20 {
                    index.search(&xq[i * D..(i + batch) * D], 10, None, &mut distances, &mut labels).unwrap();
                }
            });
        }
    }
    let mut index = IndexFlat::new(D as i64, MetricType::L2).unwrap();
    index.add(&xb).unwrap();
    let (mut distances, mut labels) = (vec![0.0; nq * 50], vec![0; nq * 50]);
    index.search(&xq, 50, None, &mut distances, &mut labels).unwrap();
    let radius = distances.chunks(50).map(|row| row[49]).sum::<f32>() / nq as f32;
    best("L2 range nq200", &wanted, 3, || drop(index.range_search(&xq[..200 * D], radius, None).unwrap()));
}
