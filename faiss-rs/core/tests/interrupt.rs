//! Ctrl-C ends a long search soon, on the calling thread and on its helpers. A file of its own: the callback belongs to the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use faiss_core::base::{Error, interrupt, threads};
use faiss_core::index::Index;
use faiss_core::index::flat_l2::IndexFlatL2;

#[test]
fn a_search_ends_when_the_callback_says_so() {
    let (d, n, nq) = (64, 200_000, 1500);
    let mut index = IndexFlatL2::new(d as i64).unwrap();
    index.add(&vec![0.5; n * d]).unwrap();
    let x = vec![0.25; nq * d];
    let (mut distances, mut labels) = (vec![0.0; nq * 10], vec![0; nq * 10]);
    for count in [1, 3] {
        threads::omp_set_num_threads(count);
        let calls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&calls);
        interrupt::set_callback(Some(Arc::new(move || seen.fetch_add(1, Ordering::Relaxed) >= 2)));
        let start = Instant::now();
        let result = index.search(&x, 10, None, &mut distances, &mut labels);
        assert!(matches!(result, Err(Error::Interrupted)), "{count} threads");
        assert!(start.elapsed() < Duration::from_secs(20));
        assert_eq!(calls.load(Ordering::Relaxed), 3, "asked only on the calling thread, and not again after the end");
        interrupt::set_callback(None);
    }
    // The next search is whole again.
    index.search(&x[..d], 1, None, &mut distances[..1], &mut labels[..1]).unwrap();
    assert_eq!((distances[0], labels[0]), (4.0, 0));
}
