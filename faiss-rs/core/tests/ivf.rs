//! Inverted files: against a naive search, editing, files whole and cut, and what goes around them.

use faiss_core::base::object::cast;
use faiss_core::base::object::copy;
use faiss_core::base::view::{seen_as, view, view_mut};
use faiss_core::base::{Handle, MetricType, Shared};
use faiss_core::factory::index_factory;
use faiss_core::index::Index;
use faiss_core::index::id_map::IndexIDMap;
use faiss_core::index::ivf::pq::IndexIVFPQ;
use faiss_core::index::ivf::{IndexIVF, InvertedFile, edit, entries};
use faiss_core::io::{deserialize_index, serialize_index};
use faiss_core::random::float_rand;
use faiss_core::selector::IDSelectorRange;

const D: usize = 16;

fn rand(n: usize, seed: i64) -> Vec<f32> {
    let mut x = vec![0.0; n * D];
    float_rand(&mut x, seed).unwrap();
    x
}

fn index(handle: Handle) -> Shared<dyn Index> {
    handle.view().unwrap()
}

fn build(description: &str, metric: MetricType) -> Shared<dyn Index> {
    index(index_factory(D as i64, description, metric).unwrap())
}

fn with_ivf<T>(index: &Shared<dyn Index>, work: impl FnOnce(&mut IndexIVF) -> T) -> T {
    let mut index = index.write();
    work(faiss_core::base::object::cast_mut::<IndexIVF>(&mut *index).expect("an inverted file"))
}

fn search(index: &Shared<dyn Index>, x: &[f32], k: usize) -> (Vec<f32>, Vec<i64>) {
    let n = x.len() / D;
    let (mut distances, mut labels) = (vec![0.0; n * k], vec![0; n * k]);
    index.read().search(x, k, None, &mut distances, &mut labels).unwrap();
    (distances, labels)
}

fn exact(metric: MetricType, x: &[f32], y: &[f32]) -> f64 {
    let pairs = x.iter().zip(y).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    match metric {
        MetricType::L2 => pairs.map(|(a, b)| (a - b).powi(2)).sum(),
        _ => pairs.map(|(a, b)| a * b).sum(),
    }
}

/// With all lists probed, results are those of a naive search among the vectors as the index decodes them.
#[test]
fn all_lists_give_the_best_of_the_decoded_vectors() {
    let (x, xq) = (rand(1500, 1), rand(40, 2));
    for metric in [MetricType::L2, MetricType::InnerProduct] {
        for description in ["IVF10,Flat", "IVF10,PQ4np", "IVF10,PQ8x5np", "IVF10,PQ2x9np", "PQ4np"] {
            for (residual, table, probes) in [(true, 0, 10), (false, 0, 10), (true, -1, 10)] {
                let ix = build(description, metric);
                let flat = description.contains("Flat");
                if description.starts_with("IVF") && !flat {
                    with_ivf(&ix, |ivf| ivf.by_residual = residual);
                    let mut guard = ix.write();
                    faiss_core::base::object::cast_mut::<IndexIVFPQ>(&mut *guard).unwrap().use_precomputed_table =
                        table;
                }
                ix.write().train(&x).unwrap();
                ix.write().add(&x).unwrap();
                if description.starts_with("IVF") {
                    with_ivf(&ix, |ivf| ivf.nprobe = probes);
                }
                let mut decoded = vec![0.0; x.len()];
                ix.read().reconstruct_n(0, 1500, &mut decoded).unwrap();
                // Many queries and one query take different ways through the lists.
                let (mut distances, mut labels) = search(&ix, &xq, 5);
                let one = search(&ix, &xq[..D], 5);
                distances.extend(one.0);
                labels.extend(one.1);
                for (q, (distances, labels)) in distances.chunks(5).zip(labels.chunks(5)).enumerate() {
                    let query = &xq[q % 40 * D..(q % 40 + 1) * D];
                    let mut all: Vec<f64> = decoded.chunks(D).map(|y| exact(metric, query, y)).collect();
                    for (dis, label) in distances.iter().zip(labels) {
                        assert!((f64::from(*dis) - all[*label as usize]).abs() < 2e-4, "{description} {metric:?}");
                    }
                    all.sort_by(f64::total_cmp);
                    if metric == MetricType::InnerProduct {
                        all.reverse();
                    }
                    for (dis, want) in distances.iter().zip(&all) {
                        assert!((f64::from(*dis) - want).abs() < 2e-4, "{description} {metric:?}: {dis} {want}");
                    }
                }
            }
        }
    }
}

#[test]
fn range_search_finds_all_within() {
    let (x, xq) = (rand(1000, 1), rand(10, 2));
    let ix = build("IVF8,Flat", MetricType::L2);
    ix.write().train(&x).unwrap();
    ix.write().add(&x).unwrap();
    with_ivf(&ix, |ivf| ivf.nprobe = 8);
    let found = ix.read().range_search(&xq, 1.5, None).unwrap();
    for q in 0..10 {
        let near = |i: &usize| exact(MetricType::L2, &xq[q * D..(q + 1) * D], &x[i * D..(i + 1) * D]) < 1.5;
        let want: Vec<i64> = (0..1000).filter(near).map(|i| i as i64).collect();
        let mut got = found.labels[found.lims[q]..found.lims[q + 1]].to_vec();
        got.sort_unstable();
        assert_eq!(got, want);
    }
}

#[test]
fn direct_maps_updates_and_removals() {
    let (x, y) = (rand(600, 1), rand(3, 9));
    for kind in [1, 2] {
        let ix = build("IVF8,Flat", MetricType::L2);
        ix.write().train(&x).unwrap();
        ix.write().add(&x).unwrap();
        let mut out = vec![0.0; D];
        assert!(ix.read().reconstruct(3, &mut out).unwrap_err().to_string().contains("direct map not initialized"));
        with_ivf(&ix, |ivf| edit::set_direct_map_type(ivf, kind)).unwrap();
        let mut guard = ix.write();
        let file = view_mut::<dyn InvertedFile>(&mut *guard).unwrap();
        edit::update_vectors(file, &[5, 0, 599], &y).unwrap();
        assert!(edit::update_vectors(file, &[1000], &y[..D]).is_err());
        for (at, id) in [5i64, 0, 599].into_iter().enumerate() {
            guard.reconstruct(id, &mut out).unwrap();
            assert_eq!(out, y[at * D..(at + 1) * D]);
        }
        guard.reconstruct(77, &mut out).unwrap();
        assert_eq!(out, x[77 * D..78 * D]);
        assert!(guard.reconstruct(-1, &mut out).is_err() && guard.reconstruct(600, &mut out).is_err());
        assert_eq!(guard.remove_ids(&IDSelectorRange::new(10, 20)).is_ok(), kind == 2);
        assert_eq!(guard.add_with_ids(&y, &[900, 901, 902]).is_ok(), kind == 2);
        assert_eq!(guard.base().ntotal, if kind == 2 { 593 } else { 600 });
    }
}

#[test]
fn merging_moves_everything() {
    let x = rand(800, 1);
    for description in ["IVF6,Flat", "IVF6,PQ4x4np", "IDMap2,IVF6,Flat"] {
        let one = build(description, MetricType::L2);
        one.write().train(&x).unwrap();
        let two = index(copy(&*one.read()).unwrap());
        let add = |ix: &Shared<dyn Index>, x: &[f32]| match description.starts_with("IDMap") {
            true => ix.write().add_with_ids(x, &(0..(x.len() / D) as i64).collect::<Vec<_>>()),
            false => ix.write().add(x),
        };
        add(&one, &x[..300 * D]).unwrap();
        add(&two, &x[300 * D..]).unwrap();
        if description.starts_with("IDMap") {
            assert!(one.write().add(&x).unwrap_err().to_string().contains("use add_with_ids"));
        }
        one.write().merge_from(&mut *two.write(), 300).unwrap();
        assert_eq!((one.read().base().ntotal, two.read().base().ntotal), (800, 0));
        let (_, labels) = search(&one, &x[500 * D..510 * D], 1);
        if description.contains("Flat") {
            assert_eq!(labels, (500..510).collect::<Vec<i64>>());
        }
        if description.starts_with("IDMap2") {
            // The map back knows those that came; an inverted file finds its entries by a map of its own.
            let inner = cast::<IndexIDMap>(&*one.read()).unwrap().index.clone().unwrap();
            with_ivf(&inner, |ivf| ivf.make_direct_map(true)).unwrap();
            let mut vector = vec![0f32; D];
            one.read().reconstruct(799, &mut vector).unwrap();
            assert_eq!(vector, x[799 * D..]);
            assert!(two.read().reconstruct(0, &mut vector).is_err());
        }
        let other = build("IVF7,Flat", MetricType::L2);
        assert!(one.write().merge_from(&mut *other.write(), 0).is_err());
    }
}

#[test]
fn files_and_clones_of_everything() {
    let x = rand(700, 3);
    for description in [
        "IVF6,Flat",
        "IVF6,PQ4x4np",
        "PQ4x5np",
        "IDMap,Flat",
        "IDMap2,IVF6,Flat",
        "PCA8,IVF6,Flat",
        "OPQ4_8,PQ4x4np",
        "RR,L2norm,Flat",
        "Pad20,Flat",
        "PCAWR8,Flat,RFlat",
        "IVF6(PCA4,Flat),Flat",
        "IVF6,PQ4x4np,Refine(Flat)",
    ] {
        let ix = build(description, MetricType::L2);
        let untrained = serialize_index(&*ix.read(), 0).unwrap();
        assert_eq!(serialize_index(&*index(deserialize_index(&untrained, 0).unwrap()).read(), 0).unwrap(), untrained);
        ix.write().train(&x).unwrap();
        if description.starts_with("IDMap") {
            ix.write().add_with_ids(&x[..40 * D], &(100..140).collect::<Vec<_>>()).unwrap();
        } else {
            ix.write().add(&x[..40 * D]).unwrap();
        }
        let bytes = serialize_index(&*ix.read(), 0).unwrap();
        let want = search(&ix, &x[..4 * D], 3);
        for copy in [deserialize_index(&bytes, 0).unwrap(), copy(&*ix.read()).unwrap()] {
            let copy = index(copy);
            assert_eq!(search(&copy, &x[..4 * D], 3), want, "{description}");
            let again = serialize_index(&*copy.read(), 0).unwrap();
            // An OPQ matrix is a linear transform in files.
            assert_eq!(again, bytes, "{description}");
            // The copy shares nothing with the original.
            copy.write().reset().unwrap();
            assert_eq!(search(&ix, &x[..4 * D], 3), want);
        }
        let step = (bytes.len() / 400).max(1);
        for cut in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            assert!(deserialize_index(&bytes[..cut], 0).is_err(), "{description} cut at {cut}");
        }
        for at in (0..bytes.len()).step_by(step) {
            let mut bad = bytes.clone();
            bad[at] ^= 0x81;
            let _ = deserialize_index(&bad, 0);
        }
    }
}

#[test]
fn bad_input_changes_nothing() {
    let x = rand(300, 1);
    let ix = build("IVF8,PQ4x4np", MetricType::L2);
    assert!(ix.write().add(&x).unwrap_err().to_string().contains("is_trained"));
    let (mut distances, mut labels) = (vec![0.0; 300], vec![0; 300]);
    assert!(ix.read().search(&x, 1, None, &mut distances, &mut labels).is_err());
    assert!(ix.write().train(&x[..5 * D]).unwrap_err().to_string().contains("Number of training points (5)"));
    ix.write().train(&x).unwrap();
    assert!(ix.write().add(&x[..D + 1]).is_err());
    assert!(ix.write().add_with_ids(&x, &[1, 2]).is_err());
    assert_eq!(ix.read().base().ntotal, 0);
    with_ivf(&ix, |ivf| ivf.nprobe = 0);
    assert!(ix.read().search(&x, 1, None, &mut distances, &mut labels).is_err());
    for bad in ["", "IVF8", "IVF8,", "PQ3", "Foo", "IVF8,PQ4,PQ4", "PCA8", "IVF8(Flat,Flat", "NNDescent32"] {
        assert!(index_factory(D as i64, bad, MetricType::L2).is_err(), "{bad}");
    }
    let guard = ix.read();
    let file: &dyn InvertedFile = view(&*guard).unwrap();
    assert!(edit::reconstruct_from_offset(file, 99, 0, &mut [0.0; D]).is_err());
    assert!(cast::<IndexIVFPQ>(&*guard).is_some());
}

#[test]
fn codes_of_what_was_found_and_entries_of_equal_codes() {
    let x = rand(300, 5);
    let ix = build("IVF6,PQ2x4np", MetricType::L2);
    ix.write().train(&x).unwrap();
    ix.write().add(&x).unwrap();
    let guard = ix.read();
    let file = seen_as::<dyn InvertedFile>(&*guard).unwrap();
    let lists = file.ivf().lists().unwrap();
    // Every entry: its list, its code and its id.
    let entries: Vec<(usize, Vec<u8>, i64)> = (0..6)
        .flat_map(|list| {
            let (ids, codes) = (lists.ids(list).into_owned(), lists.codes(list).into_owned());
            let rows: Vec<Vec<u8>> = codes.chunks_exact(1).map(<[u8]>::to_vec).collect();
            ids.into_iter().zip(rows).map(move |(id, code)| (list, code, id))
        })
        .collect();
    let (n, k) = (5, 7);
    let (mut distances, mut labels, mut codes) = (vec![0f32; n * k], vec![0i64; n * k], vec![0u8; n * k * 2]);
    entries::search_and_return_codes(file, &x[..n * D], k, None, true, &mut distances, &mut labels, &mut codes)
        .unwrap();
    assert_eq!((distances, labels.clone()), search(&ix, &x[..n * D], k));
    for (label, code) in labels.iter().zip(codes.chunks_exact(2)) {
        match entries.iter().find(|(_, _, id)| id == label) {
            Some((list, own, _)) => assert_eq!(code, [*list as u8, own[0]]),
            None => assert_eq!((*label, code), (-1, &[u8::MAX; 2][..])),
        }
    }
    let mut groups = std::collections::BTreeMap::<(usize, &[u8]), Vec<i64>>::new();
    entries.iter().for_each(|(list, code, id)| groups.entry((*list, code.as_slice())).or_default().push(*id));
    let want: Vec<Vec<i64>> = groups.into_values().filter(|group| group.len() > 1).collect();
    let (ids, lims) = entries::find_duplicates(file.ivf()).unwrap();
    let found: Vec<Vec<i64>> = lims.windows(2).map(|ends| ids[ends[0] as usize..ends[1] as usize].to_vec()).collect();
    assert!(!want.is_empty());
    assert_eq!(found, want);
    assert!(entries::ids_are_sorted(file.ivf()).unwrap());
}
