//! Scalar quantizers of every type: keys at every instruction set against distances in f64, and bad input.

// The names of types are Faiss's.
#![allow(non_upper_case_globals)]

use faiss_core::base::MetricType;
use faiss_core::index::Index;
use faiss_core::index::scalar::IndexScalarQuantizer;
use faiss_core::io::{deserialize_index, serialize_index};
use faiss_core::quantize::scalar::kind::*;
use faiss_core::quantize::{CodeDistances, Quantizer, ScalarQuantizer};
use faiss_core::random::float_randn;
use faiss_core::simd::{LEVELS, detect, set_level};

fn randn(n: usize, seed: i64) -> Vec<f32> {
    let mut x = vec![0.0; n];
    float_randn(&mut x, seed).unwrap();
    x
}

/// What a quantizer made of `n` vectors: itself, the codes and what they decode to.
fn made(d: usize, qtype: i32, n: usize) -> (ScalarQuantizer, Vec<u8>, Vec<f32>) {
    let mut x = randn(n * d, 1);
    if matches!(qtype, QT_8bit_direct | QT_8bit_direct_signed) {
        x.iter_mut().for_each(|v| *v = (*v * 20.0 + 60.0).floor().clamp(0.0, 127.0));
    }
    let mut sq = ScalarQuantizer::new(d, qtype).unwrap();
    sq.train(&x).unwrap();
    let (mut codes, mut decoded) = (vec![0xff; n * sq.code_size], vec![9.0; n * d]);
    sq.compute_codes(&x, &mut codes).unwrap();
    sq.decode(&codes, &mut decoded).unwrap();
    (sq, codes, decoded)
}

fn exact(similarity: bool, x: &[f32], y: &[f32]) -> f64 {
    let pairs = x.iter().zip(y).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    if similarity { -pairs.map(|(a, b)| a * b).sum::<f64>() } else { pairs.map(|(a, b)| (a - b).powi(2)).sum() }
}

fn close(a: f32, b: f64, scale: f64) -> bool {
    (f64::from(a) - b).abs() < 1e-5 * scale.max(1.0)
}

/// One test, since the level belongs to the whole process.
#[test]
fn keys_are_distances_to_what_codes_decode_to() {
    let n = 11;
    for level in LEVELS.into_iter().filter(|level| level.is_available()) {
        assert!(set_level(level));
        for (qtype, d) in (0..QT_count).flat_map(|q| [1, 3, 7, 16, 17, 33, 64].map(|d| (q, d))) {
            let (sq, codes, y) = made(d, qtype, n);
            let size = sq.code_size;
            let code = |i: usize| &codes[i * size..(i + 1) * size];
            let x = randn(3 * d, 2);
            for metric in [MetricType::L2, MetricType::InnerProduct] {
                let similarity = metric.is_similarity();
                let mut by: Vec<Box<dyn CodeDistances + '_>> = vec![sq.decoded_distances(metric).unwrap()];
                let estimates = matches!(qtype, QT_2bit_tq..=QT_5bit_tq) && !similarity;
                let bytes = matches!(qtype, QT_8bit_direct | QT_8bit_direct_signed) && d % 16 == 0;
                if !estimates && !bytes && qtype != QT_0bit {
                    by.push(sq.code_distances(metric).unwrap());
                }
                for distances in &mut by {
                    let mut keys = vec![0.0; n];
                    for q in 0..3 {
                        let x = &x[q * d..(q + 1) * d];
                        distances.set_query(x).unwrap();
                        distances.keys(&codes, &mut keys);
                        let four = distances.keys_4([code(10), code(0), code(5), code(5)]);
                        for i in 0..n {
                            let y = &y[i * d..(i + 1) * d];
                            let want = exact(similarity, x, y);
                            let scale: f64 = x.iter().zip(y).map(|(a, b)| f64::from(a.abs() + b.abs()).powi(2)).sum();
                            let what = || format!("{level:?} type {qtype} d {d} {metric:?}: {} not {want}", keys[i]);
                            assert!(close(keys[i], want, scale), "{}", what());
                            assert!(close(distances.key(code(i)), want, scale), "{}", what());
                        }
                        for (key, i) in four.into_iter().zip([10, 0, 5, 5]) {
                            assert!((key - keys[i]).abs() <= 1e-5 * key.abs().max(1.0), "type {qtype} d {d}");
                        }
                    }
                    let pair = exact(similarity, &y[..d], &y[d..2 * d]);
                    assert!(close(distances.between(code(0), code(1)), pair, 1e2 * pair.abs()), "type {qtype} d {d}");
                    // Three queries beside each other, about vectors that lie elsewhere.
                    let origin: Vec<f32> = (0..d).map(|j| j as f32 / 10.0).collect();
                    let mut tile = vec![0.0; 3 * n];
                    if distances.tile(&x, Some(&origin), &codes, &mut tile) {
                        for (at, key) in tile.iter().enumerate() {
                            let (q, i) = (at / n, at % n);
                            let moved: Vec<f32> =
                                y[i * d..(i + 1) * d].iter().zip(&origin).map(|(a, b)| a + b).collect();
                            let x = &x[q * d..(q + 1) * d];
                            let scale: f64 =
                                moved.iter().zip(x).map(|(a, b)| f64::from(a.abs() + b.abs()).powi(2)).sum();
                            let want = exact(similarity, x, &moved);
                            assert!(close(*key, want, scale), "{level:?} tile type {qtype} d {d}: {key} not {want}");
                        }
                    }
                }
            }
        }
    }
    set_level(detect());
}

#[test]
fn several_queries_find_what_each_finds() {
    for qtype in [QT_8bit, QT_4bit, QT_fp16, QT_3bit_tqmse, QT_4bit_tq, QT_8bit_direct_signed] {
        let (n, d, k) = (700, 20, 5);
        let mut index = IndexScalarQuantizer::new(d, qtype, MetricType::L2).unwrap();
        let x = randn(n * d as usize, 3);
        index.train(&x).unwrap();
        index.add(&x).unwrap();
        let queries = randn(9 * d as usize, 4);
        let (mut distances, mut labels) = (vec![0.0; 9 * k], vec![0; 9 * k]);
        index.search(&queries, k, None, &mut distances, &mut labels).unwrap();
        for (q, x) in queries.chunks_exact(d as usize).enumerate() {
            let (mut own, mut own_labels) = (vec![0.0; k], vec![0; k]);
            index.search(x, k, None, &mut own, &mut own_labels).unwrap();
            for i in 0..k {
                let other = distances[q * k + i];
                assert!((own[i] - other).abs() < 1e-4 * other.abs().max(1.0), "type {qtype}: {} {other}", own[i]);
            }
        }
    }
}

#[test]
fn bad_input_is_an_error() {
    assert!(ScalarQuantizer::new(4, 27).is_err() && ScalarQuantizer::new(4, -1).is_err());
    let mut sq = ScalarQuantizer::new(4, QT_8bit).unwrap();
    assert!(sq.compute_codes(&[0.0; 4], &mut [0; 4]).is_err(), "not trained");
    assert!(sq.train(&[]).is_err() && sq.train(&[0.0; 3]).is_err());
    sq.train(&[1.0; 8]).unwrap();
    assert!(sq.compute_codes(&[0.0; 4], &mut [0; 3]).is_err() && sq.decode(&[0; 4], &mut [0.0; 5]).is_err());
    assert!(sq.code_distances(MetricType::L1).is_err());
    assert!(sq.code_distances(MetricType::L2).unwrap().set_query(&[0.0; 3]).is_err());
    sq.trained.pop();
    assert!(sq.code_distances(MetricType::L2).is_err());
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let mut index = IndexScalarQuantizer::new(3, QT_6bit, MetricType::L2).unwrap();
    index.train(&randn(30, 5)).unwrap();
    index.add(&randn(12, 6)).unwrap();
    let bytes = serialize_index(&index, 0).unwrap();
    for n in 0..bytes.len() {
        assert!(deserialize_index(&bytes[..n], 0).is_err(), "{n} bytes");
    }
    assert!(deserialize_index(&bytes, 0).is_ok());
}
