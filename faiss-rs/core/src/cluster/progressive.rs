//! K-means in more and more dimensions: first along the strongest components, each time beginning where the last ended.

use faiss_derive::Object;

use super::{Clustering, ClusteringParameters};
use crate::base::{Error, Result};
use crate::blas::{Product, principal_components};
use crate::index::flat_l2::IndexFlatL2;
use crate::registry::Row;

/// Vectors that the components come from at most, for each dimension.
const MAX_POINTS_PER_D: usize = 1000;

/// How a clustering in steps is trained.
#[derive(Object, Clone)]
#[object(new, copy)]
pub struct ProgressiveDimClusteringParameters {
    #[object(parent)]
    pub cp: ClusteringParameters,
    /// Number of steps; the dimensions grow geometrically.
    pub progressive_dim_steps: i32,
    /// Whether vectors are rotated to their principal components before.
    pub apply_pca: bool,
}

pub const PARAMETERS: Row = Row::of::<ProgressiveDimClusteringParameters>();

impl Default for ProgressiveDimClusteringParameters {
    fn default() -> Self {
        let cp = ClusteringParameters { niter: 10, ..Default::default() };
        ProgressiveDimClusteringParameters { cp, progressive_dim_steps: 10, apply_pca: true }
    }
}

impl ProgressiveDimClusteringParameters {
    /// `k` centroids of `x`, vectors of `d` numbers.
    pub fn train(&self, d: usize, k: usize, x: &[f32]) -> Result<Vec<f32>> {
        Error::check(d > 0 && x.len().is_multiple_of(d) && self.progressive_dim_steps > 0, "d > 0")?;
        let n = x.len() / d;
        let mut rotation = None;
        let mut rotated = Vec::new();
        if self.apply_pca {
            Error::check(n >= d, "n >= d: there are fewer vectors than components")?;
            let sampled = crate::random::rand_perm_prefix(n, n.min(MAX_POINTS_PER_D * d), 1234);
            let some: Vec<f32> = if n > MAX_POINTS_PER_D * d {
                sampled.iter().flat_map(|i| &x[*i as usize * d..(*i as usize + 1) * d]).copied().collect()
            } else {
                x.to_vec()
            };
            let found = principal_components(&some, some.len() / d, d)?;
            let rows = found.vectors.chunks_exact(d);
            let bias: Vec<f32> =
                rows.map(|row| row.iter().zip(&found.mean).fold(0f32, |sum, (a, m)| sum - m * a)).collect();
            rotated = bias.iter().copied().cycle().take(n * d).collect();
            Product { transpose_b: true, beta: 1.0, ..Product::of(x, &found.vectors) }.write(n, d, d, &mut rotated)?;
            rotation = Some((found.vectors, bias));
        }
        let x = if rotation.is_some() { &rotated } else { x };
        let (mut centroids, mut before) = (Vec::new(), 0);
        for step in 0..self.progressive_dim_steps {
            let power = (1.0 + f64::from(step)) / f64::from(self.progressive_dim_steps);
            let now = ((d as f64).powf(power) as usize).clamp(1, d);
            let mut clustering = Clustering { cp: self.cp.clone(), ..Clustering::new(now, k) };
            if before > 0 {
                clustering.centroids = columns(&centroids, before, now);
            }
            clustering.train(&columns(x, d, now), &mut IndexFlatL2::new(now as i64)?, None)?;
            (centroids, before) = (clustering.centroids, now);
        }
        let Some((vectors, bias)) = rotation else { return Ok(centroids) };
        let centered: Vec<f32> =
            centroids.chunks_exact(d).flat_map(|row| row.iter().zip(&bias).map(|(v, b)| v - b)).collect();
        Product::of(&centered, &vectors).write(k, d, d, &mut centroids)?;
        Ok(centroids)
    }
}

/// The first columns of rows of `from` numbers, completed by zeros.
fn columns(x: &[f32], from: usize, to: usize) -> Vec<f32> {
    let kept = from.min(to);
    x.chunks_exact(from).flat_map(|row| row[..kept].iter().copied().chain((kept..to).map(|_| 0.0))).collect()
}
