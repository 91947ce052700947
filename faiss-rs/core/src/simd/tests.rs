//! Every kernel at every level against naive sums.

use super::*;
use crate::random::float_randn;

fn randn(n: usize, seed: i64) -> Vec<f32> {
    let mut x = vec![0.0; n];
    float_randn(&mut x, seed).unwrap();
    x
}

fn close(a: f32, b: f64) -> bool {
    (f64::from(a) - b).abs() <= 1e-5 * b.abs().max(1.0)
}

#[test]
fn every_level_computes_the_same() {
    for wanted in LEVELS {
        if !set_level(wanted) {
            println!("skipped: this machine has no {}", wanted.name());
            continue;
        }
        for d in (0..70).chain([128, 300]) {
            let rows = 7;
            let (x, y) = (randn(d, 1), randn(rows * d, 2));
            let mut dis = [[0f32; 7]; 4];
            fvec_L2sqr_ny(&mut dis[0], &x, &y);
            fvec_inner_products_ny(&mut dis[1], &x, &y);
            fvec_L1_ny(&mut dis[2], &x, &y);
            fvec_Linf_ny(&mut dis[3], &x, &y);
            for j in 0..rows {
                let y = &y[j * d..(j + 1) * d];
                let pairs = || x.iter().zip(y).map(|(a, b)| (f64::from(*a), f64::from(*b)));
                let want = [
                    pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>(),
                    pairs().map(|(a, b)| a * b).sum(),
                    pairs().map(|(a, b)| (a - b).abs()).sum(),
                    pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
                ];
                let single = [fvec_L2sqr(&x, y), fvec_inner_product(&x, y), fvec_L1(&x, y), fvec_Linf(&x, y)];
                for m in 0..4 {
                    assert!(
                        close(dis[m][j], want[m]) && close(single[m], want[m]),
                        "{wanted:?} kernel {m} d {d} row {j}"
                    );
                }
            }
        }
        for (nx, ny, d) in [(0, 3, 4), (1, 1, 1), (5, 7, 9), (8, 12, 32), (9, 6, 37), (3, 0, 8)] {
            let (x, y) = (randn(nx * d, 4), randn(ny * d, 5));
            let (mut tile, mut row) = (vec![0.0; nx * ny], vec![0.0; ny]);
            type Pair = (fn(&mut [f32], &[f32], &[f32], usize), fn(&mut [f32], &[f32], &[f32]));
            let kernels: [Pair; 3] = [
                (fvec_L2sqr_tile, fvec_L2sqr_ny),
                (fvec_inner_products_tile, fvec_inner_products_ny),
                (fvec_L1_tile, fvec_L1_ny),
            ];
            for (tile_kernel, row_kernel) in kernels {
                tile_kernel(&mut tile, &x, &y, d);
                for i in 0..nx {
                    row_kernel(&mut row, &x[i * d..(i + 1) * d], &y);
                    let same = tile[i * ny..(i + 1) * ny].iter().zip(&row).all(|(a, b)| close(*a, f64::from(*b)));
                    assert!(same, "{wanted:?} tile {nx} x {ny}, d {d}, row {i}");
                }
            }
        }
        for (n, d) in [(0, 3), (1, 1), (15, 4), (16, 2), (64, 5), (100, 4), (256, 8), (300, 33)] {
            let (x, mut yt) = (randn(d, 6), randn(n * d, 7));
            if n > 20 {
                // Two equal columns, of which the first counts, and one that is nearest to nothing.
                (0..d).for_each(|j| yt[j * n + 17] = yt[j * n + 3]);
                yt[0] = f32::NAN;
            }
            let mut rows = vec![0.0; n * d];
            fvec_transpose(&mut rows, &yt, n);
            assert!(
                (0..n * d).all(|at| rows[at].to_bits() == yt[at % d * n + at / d].to_bits()),
                "{wanted:?} {n} x {d}"
            );
            let column = |k: usize| (0..d).map(move |j| j * n + k);
            let norms: Vec<f32> = (0..n).map(|k| column(k).map(|at| yt[at] * yt[at]).sum()).collect();
            let products: Vec<f32> = (0..n).map(|k| column(k).zip(&x).map(|(at, v)| -2.0 * v * yt[at]).sum()).collect();
            let distance = |k: usize| column(k).zip(&x).map(|(at, v)| (v - yt[at]).powi(2)).sum::<f32>();
            let best = (0..n).filter(|k| !norms[*k].is_nan()).min_by(|a, b| distance(*a).total_cmp(&distance(*b)));
            let norm: f32 = x.iter().map(|v| v * v).sum();
            let found = [
                nearest_L2sqr_transposed(&x, &yt, n),
                nearest_by_products_transposed(&x, &yt, &norms),
                nearest_of_products(&products, norm, &norms),
            ];
            // Several queries at a time find what each finds alone; a smaller number that is there stays.
            let queries = [x.as_slice(), &randn(d, 8), &x, &randn(d, 9), &randn(d, 10)].concat();
            let (mut keys, mut places) = ([f32::INFINITY; 5], [-1; 5]);
            keys[4] = f32::NEG_INFINITY;
            nearest_rows_by_products(&queries, d, &yt, &norms, 100, &mut keys, &mut places);
            for q in 0..4 {
                let (at, key) = nearest_by_products_transposed(&queries[q * d..(q + 1) * d], &yt, &norms);
                let place = if at == usize::MAX { -1 } else { at as i64 + 100 };
                assert_eq!((places[q], keys[q]), (place, key), "{wanted:?} query {q} of {n} x {d}");
            }
            assert_eq!((places[4], keys[4]), (-1, f32::NEG_INFINITY));
            for (kernel, (at, key)) in found.into_iter().enumerate() {
                let key = if kernel == 1 { key + norm } else { key };
                match best {
                    Some(k) => assert!(
                        at == k && (key - distance(k)).abs() < 1e-4 * (1.0 + norm),
                        "{wanted:?} kernel {kernel} of {n} x {d}: {at} {key}, not {k}"
                    ),
                    None => assert_eq!(at, usize::MAX),
                }
            }
        }
        assert_eq!((level(), dispatched_level()), (wanted, wanted));
        launch(Operations { wanted });
        for n in [0, 1, 15, 63, 64, 65, 200, 256] {
            let mut row = randn(n, 3);
            row.iter_mut().step_by(7).for_each(|v| *v = f32::NAN);
            let mut hits = vec![0; n];
            let count = below(&row, 0.25, &mut hits);
            let want: Vec<u32> = (0..n as u32).filter(|i| row[*i as usize] < 0.25).collect();
            assert_eq!(hits[..count], want);
        }
    }
    set_level(detect());
}

/// What registers can do, by the definition of each operation.
struct Operations {
    wanted: Level,
}

fn lanes<F: Lanes>(v: F) -> Vec<f32> {
    let mut out = vec![0.0; F::WIDTH];
    v.store(&mut out);
    out
}

fn array<B: Bytes>(v: B) -> Vec<u8> {
    let mut out = vec![0; B::WIDTH];
    v.store(&mut out);
    out
}

/// Two ways of reading numbers, of `WIDTH` and of fewer, against their values one by one.
fn check_read<F: Lanes>(
    bytes: &[u8],
    bits: usize,
    whole: fn(&[u8]) -> F,
    part: fn(&[u8]) -> F,
    value: impl Fn(&[u8], usize) -> f32,
) {
    let size = |n: usize| (n * bits).div_ceil(8);
    let same = |a: &[f32], n: usize| {
        let padded: Vec<u8> = bytes[..size(n)].iter().copied().chain(std::iter::repeat_n(0, 64)).collect();
        (0..F::WIDTH)
            .all(|i| a[i].to_bits() == value(&padded, i).to_bits() || (a[i].is_nan() && value(&padded, i).is_nan()))
    };
    assert!(same(&lanes(whole(&bytes[..size(F::WIDTH)])), F::WIDTH), "{bits} bits");
    for n in 0..F::WIDTH {
        assert!(same(&lanes(part(&bytes[..size(n)])), n), "{n} numbers of {bits} bits");
    }
}

impl Kernel for Operations {
    type Out = ();
    const INTEGER: bool = true;

    fn run<R: Isa>(self) {
        let w = R::F32::WIDTH;
        let (x, y) = (randn(w, 8), randn(w, 9));
        let (a, b) = (R::F32::load(&x), R::F32::load(&y));
        let same = |v: R::F32, f: fn(f32, f32) -> f32| {
            let want = x.iter().zip(&y).map(|(a, b)| f(*a, *b));
            assert!(lanes(v).into_iter().zip(want).all(|(v, w)| close(v, f64::from(w))), "{:?}", self.wanted);
        };
        same(a.add(b), |a, b| a + b);
        same(a.sub(b), |a, b| a - b);
        same(a.mul(b), |a, b| a * b);
        same(a.madd(b, a), |a, b| a * b + a);
        same(a.max(b), f32::max);
        same(a.min(b), f32::min);
        same(a.abs(), |a, _| a.abs());
        assert_eq!(a.less(b), (0..w).map(|i| u32::from(x[i] < y[i]) << i).sum());
        assert_eq!(a.less(R::F32::splat(f32::NAN)), 0);
        assert!(close(a.total(), x.iter().map(|v| f64::from(*v)).sum()));
        assert_eq!(lanes(R::F32::load_part(&x[..w - 1])), [&x[..w - 1], &[0.0]].concat());

        let mut bytes = vec![0u8; 256];
        let pair = |b: &[u8], i: usize| u16::from_le_bytes([b[2 * i], b[2 * i + 1]]);
        for seed in 0..20 {
            crate::random::byte_rand(&mut bytes, seed).unwrap();
            check_read::<R::F32>(&bytes, 8, R::F32::load_u8, R::F32::load_u8_part, |b, i| f32::from(b[i]));
            check_read::<R::F32>(&bytes, 8, R::F32::load_i8, R::F32::load_i8_part, |b, i| f32::from(b[i] as i8));
            check_read::<R::F32>(&bytes, 4, R::F32::load_u4, R::F32::load_u4_part, |b, i| {
                f32::from(b[i / 2] >> (4 * (i % 2)) & 15)
            });
            check_read::<R::F32>(&bytes, 6, R::F32::load_u6, R::F32::load_u6_part, |b, i| {
                (0..6).map(|j| f32::from(b[(6 * i + j) / 8] >> ((6 * i + j) % 8) & 1) * (1 << j) as f32).sum()
            });
            check_read::<R::F32>(&bytes, 16, R::F32::load_f16, R::F32::load_f16_part, |b, i| decode_fp16(pair(b, i)));
            check_read::<R::F32>(&bytes, 16, R::F32::load_bf16, R::F32::load_bf16_part, |b, i| decode_bf16(pair(b, i)));

            let w = R::Bytes::WIDTH;
            let (x, y) = (&bytes[..w], &bytes[w..2 * w]);
            let (a, b) = (R::Bytes::load(x), R::Bytes::load(y));
            let same = |v: R::Bytes, f: &dyn Fn(u8, u8) -> u8| {
                assert_eq!(array(v), x.iter().zip(y).map(|(a, b)| f(*a, *b)).collect::<Vec<_>>());
            };
            same(a.and(b), &|a, b| a & b);
            same(a.or(b), &|a, b| a | b);
            same(a.xor(b), &|a, b| a ^ b);
            same(a.add_saturating(b), &u8::saturating_add);
            same(a.high_nibbles(), &|a, _| a >> 4);
            let entries: [u8; 16] = bytes[200..216].try_into().unwrap();
            same(a.high_nibbles().lookup(R::Bytes::table(&entries)), &|a, _| entries[usize::from(a >> 4)]);
            for n in 0..w {
                assert_eq!(array(R::Bytes::load_part(&x[..n])), [&x[..n], &vec![0; w - n]].concat());
            }
            let sum =
                |f: fn(u32, u32) -> u32| x.iter().zip(y).map(|(a, b)| f(u32::from(*a), u32::from(*b))).sum::<u32>();
            let twice = |add: fn(R::Bytes, R::Bytes, <R::Bytes as Bytes>::Sums) -> <R::Bytes as Bytes>::Sums| {
                R::Bytes::sum(add(a, b, add(a, b, R::Bytes::no_sums())))
            };
            assert_eq!(twice(|a, _, s| a.add_ones(s)), 2 * sum(|a, _| a.count_ones()));
            assert_eq!(twice(R::Bytes::add_products), 2 * sum(|a, b| a * b));
            assert_eq!(twice(R::Bytes::add_squared_differences), 2 * sum(|a, b| a.abs_diff(b).pow(2)));
        }
    }
}
