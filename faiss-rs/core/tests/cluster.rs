//! k-means: Faiss's numbers from Faiss's seeds, and its rules at the edges.

use faiss_core::cluster::{Clustering, kmeans_clustering};
use faiss_core::index::Index;
use faiss_core::index::flat_ip::IndexFlatIP;
use faiss_core::index::flat_l2::IndexFlatL2;
use faiss_core::random::float_rand;

fn rand(n: usize, seed: i64) -> Vec<f32> {
    let mut x = vec![0.0; n];
    float_rand(&mut x, seed).unwrap();
    x
}

fn l2(d: usize) -> IndexFlatL2 {
    IndexFlatL2::new(d as i64).unwrap()
}

/// Expected numbers are those of faiss-cpu 1.15.1.
#[test]
fn the_same_centroids_as_faiss() {
    let mut clustering = Clustering::new(2, 4);
    clustering.niter = 6;
    let mut index = l2(2);
    clustering.train(&rand(400, 5), &mut index, None).unwrap();
    let want = CENTROIDS;
    assert!(clustering.centroids.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{:?}", clustering.centroids);
    let objectives: Vec<f32> = clustering.iteration_stats.iter().map(|s| s.obj).collect();
    assert!(objectives.iter().zip(OBJECTIVES).all(|(a, b)| (a - b).abs() < 1e-4), "{objectives:?}");
    assert_eq!(index.get_xb(), clustering.centroids);
}

#[test]
fn the_objective_falls_and_centroids_are_means() {
    let (n, d, k) = (3000, 5, 12);
    let x = rand(n * d, 1);
    let mut clustering = Clustering::new(d, k);
    clustering.train(&x, &mut l2(d), None).unwrap();
    let stats = &clustering.iteration_stats;
    assert!(stats.len() == 25 && stats.windows(2).all(|w| w[1].obj <= w[0].obj * 1.000_01));
    let mut index = l2(d);
    index.add(&clustering.centroids).unwrap();
    let mut labels = vec![0; n];
    index.assign(&x, 1, &mut labels).unwrap();
    for c in 0..k {
        let members: Vec<usize> = (0..n).filter(|i| labels[*i] == c as i64).collect();
        for j in 0..d {
            let mean = members.iter().map(|i| f64::from(x[i * d + j])).sum::<f64>() / members.len() as f64;
            assert!((mean - f64::from(clustering.centroids[c * d + j])).abs() < 0.05);
        }
    }
}

#[test]
fn edges() {
    let x = rand(50 * 3, 2);
    let train = |k: usize, x: &[f32], change: &dyn Fn(&mut Clustering)| {
        let mut clustering = Clustering::new(3, k);
        clustering.min_points_per_centroid = 1;
        clustering.niter = 5;
        change(&mut clustering);
        clustering.train(x, &mut l2(3), None).map(|()| clustering)
    };
    assert_eq!(train(50, &x, &|_| ()).unwrap().centroids, x);
    let text = train(51, &x, &|_| ()).map(|_| ()).unwrap_err().to_string();
    assert!(
        text.contains("Number of training points (50) should be at least as large as number of clusters (51)"),
        "{text}"
    );
    assert!(train(2, &[f32::NAN; 30], &|_| ()).map(|_| ()).unwrap_err().to_string().contains("NaN's or Inf's"));
    assert!(train(2, &x[..32], &|_| ()).is_err());
    assert!(train(0, &x, &|_| ()).is_err());
    assert!(Clustering::new(3, 2).train(&x, &mut l2(4), None).is_err());
    assert!(Clustering::new(3, 2).train(&x, &mut l2(3), Some(&[1.0; 3])).is_err());
    // All points equal: empty clusters split, nothing hangs, everything stays finite.
    assert!(train(7, &[0.5; 90], &|_| ()).unwrap().centroids.iter().all(|v| v.is_finite()));
    // Input centroids are the first ones, and stay where they are if they are frozen.
    let frozen = train(4, &x, &|c| (c.frozen_centroids, c.centroids) = (true, vec![9.0; 6])).unwrap();
    assert_eq!(frozen.centroids[..6], [9.0; 6]);
    let spherical = train(4, &x, &|c| c.spherical = true).unwrap();
    assert!(spherical.centroids.chunks(3).all(|c| (c.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5));
    let rounded = train(4, &x.iter().map(|v| v * 100.0).collect::<Vec<_>>(), &|c| c.int_centroids = true).unwrap();
    assert!(rounded.centroids.iter().all(|v| v.fract() == 0.0));
    // The rounds up to the end of the best redo are told.
    let redone = train(4, &x, &|c| (c.nredo, c.early_stop_threshold) = (3, -1.0)).unwrap().iteration_stats;
    let last: Vec<f32> = redone.chunks(5).map(|redo| redo[4].obj).collect();
    assert!(last.iter().all(|obj| obj >= last.last().unwrap()), "{last:?}");
    // It ends when a round changes nothing.
    let stats = train(4, &x, &|c| c.niter = 1000).unwrap().iteration_stats;
    assert!(matches!(&stats[..], [.., before, last] if before.obj == last.obj) && stats.len() < 100, "{}", stats.len());
    assert_eq!(train(2, &x, &|c| c.max_points_per_centroid = 5).unwrap().centroids.len(), 6);
    let mut ip = IndexFlatIP::new(3).unwrap();
    let mut clustering = Clustering::new(3, 4);
    clustering.spherical = true;
    clustering.train(&x, &mut ip, Some(&rand(50, 3))).unwrap();
    assert_eq!(ip.ntotal, 4);
    let mut centroids = vec![0.0; 6];
    assert!(kmeans_clustering(3, &x, 2, &mut centroids).unwrap() > 0.0);
    assert!(kmeans_clustering(3, &x, 3, &mut centroids).is_err());
}

const CENTROIDS: [f32; 8] =
    [0.229_366_65, 0.760_500_1, 0.273_222_18, 0.266_672_25, 0.679_077, 0.743_250_1, 0.763_851_7, 0.281_691_5];
const OBJECTIVES: [f32; 6] = [23.712_73, 11.211_517, 9.702_063, 9.031_01, 8.319_726, 7.880_451_7];
