//! The product quantizer: Faiss's codebooks and codes, every width of code, and bad input.

use faiss_core::io::{read_ProductQuantizer, write_ProductQuantizer};
use faiss_core::quantize::product::ProductQuantizer;
use faiss_core::random::float_rand;

fn rand(n: usize, seed: i64) -> Vec<f32> {
    let mut x = vec![0.0; n];
    float_rand(&mut x, seed).unwrap();
    x
}

/// Expected numbers are those of faiss-cpu 1.15.1.
#[test]
fn the_same_codebooks_and_codes_as_faiss() {
    let x = rand(600 * 8, 5);
    let mut pq = ProductQuantizer::new(8, 4, 3).unwrap();
    pq.cp.niter = 4;
    pq.train(&x).unwrap();
    let want = [0.740_460_2, 0.194_420_02, 0.349_487_5, 0.374_932, 0.516_963_36, 0.889_595_9];
    assert!(pq.centroids.iter().zip(want).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{:?}", &pq.centroids[..6]);
    let mut codes = [0; 6];
    pq.compute_codes(&x[..24], &mut codes).unwrap();
    assert_eq!(codes, [101, 0, 117, 9, 160, 14]);
}

#[test]
fn codes_are_the_nearest_centroids_at_every_width() {
    for (d, m, nbits) in
        [(4, 2, 1), (6, 3, 3), (8, 8, 4), (9, 1, 5), (12, 3, 7), (8, 2, 8), (4, 4, 9), (6, 2, 10), (4, 1, 12)]
    {
        let n = 1500.max(1 << nbits);
        let x = rand(n * d, 7);
        let mut pq = ProductQuantizer::new(d, m, nbits).unwrap();
        pq.cp.niter = 2;
        pq.cp.min_points_per_centroid = 1;
        pq.train(&x).unwrap();
        let mut codes = vec![0xff; 50 * pq.code_size];
        pq.compute_codes(&x[..50 * d], &mut codes).unwrap();
        let mut decoded = vec![0.0; 50 * d];
        pq.decode(&codes, &mut decoded).unwrap();
        let dsub = d / m;
        let square = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        for (x, y) in x[..50 * d].chunks(dsub).zip(decoded.chunks(dsub)).enumerate().map(|(i, (x, y))| ((i % m, x), y))
        {
            let best = pq.get_centroids(x.0).chunks(dsub).map(|c| square(x.1, c)).fold(f64::MAX, f64::min);
            assert!(square(x.1, y) <= best + 1e-6, "d {d} M {m} nbits {nbits}");
        }
        let mut again = vec![0; codes.len()];
        pq.compute_codes(&decoded, &mut again).unwrap();
        assert_eq!(again, codes);
        let mut tables = vec![0.0; m * pq.ksub];
        pq.compute_distance_tables(&x[..d], &mut tables).unwrap();
        assert!((f64::from(tables[1]) - square(&x[..dsub], &pq.centroids[dsub..2 * dsub])).abs() < 1e-5);
    }
}

#[test]
fn training_types_and_symmetric_tables() {
    let x = rand(600 * 4, 8);
    let mut pq = ProductQuantizer::new(4, 2, 4).unwrap();
    pq.train(&x).unwrap();
    pq.compute_sdc_table().unwrap();
    assert_eq!(pq.sdc_table.len(), 2 * 16 * 16);
    assert!((0..16).all(|k| pq.sdc_table[k * 17] == 0.0) && pq.sdc_table[1] == pq.sdc_table[16]);
    pq.train_type = 1;
    pq.train(&x).unwrap();
    pq.train_type = 2;
    pq.train(&x).unwrap();
    assert_eq!(pq.get_centroids(0), pq.get_centroids(1));
    pq.train_type = 9;
    assert!(pq.train(&x).is_err());
}

#[test]
fn files_and_bad_input() {
    let text = |e: faiss_core::base::Error| e.to_string();
    let error = |d, m, nbits| ProductQuantizer::new(d, m, nbits).map(|_| ()).map_err(text).unwrap_err();
    assert!(error(8, 3, 8).contains("should be a multiple of the number of subquantizers (M)"));
    assert!(error(8, 0, 8).contains("M must be > 0"));
    assert!(error(8, 2, 25).contains("nbits larger than 24 is not practical"));
    let mut pq = ProductQuantizer::new(8, 2, 8).unwrap();
    assert!(pq.train(&rand(100 * 8, 1)).map_err(text).unwrap_err().contains("Number of training points (100)"));
    assert!(pq.compute_codes(&[0.0; 8], &mut [0; 3]).is_err() && pq.decode(&[0; 3], &mut [0.0; 8]).is_err());
    let mut bytes = Vec::new();
    write_ProductQuantizer(&pq, &mut bytes).unwrap();
    assert_eq!(bytes.len(), 32 + 8 * 256 * 4);
    let copy = read_ProductQuantizer(&mut &bytes[..]).unwrap();
    assert_eq!((copy.d, copy.M, copy.nbits, copy.dsub, copy.ksub, copy.code_size), (8, 2, 8, 4, 256, 2));
    for cut in (0..40).chain([bytes.len() - 1]) {
        assert!(read_ProductQuantizer(&mut &bytes[..cut]).is_err());
    }
    for at in 0..32 {
        for value in [0, 1, 25, 128, 255] {
            let mut bad = bytes.clone();
            bad[at] = value;
            let _ = read_ProductQuantizer(&mut &bad[..]);
        }
    }
    // Public fields that no longer fit are noticed.
    pq.nbits = 16;
    assert!(pq.compute_codes(&[0.0; 8], &mut [0; 2]).is_err());
}
