//! Training of the product quantizer.

use parking_lot::Mutex;

use super::product::*;
use crate::base::{Error, Result, progress, threads};
use crate::cluster::Clustering;
use crate::index::flat_l2::IndexFlatL2;

impl ProductQuantizer {
    /// Learns the centroids from `n * d` numbers.
    pub fn train(&mut self, x: &[f32]) -> Result<()> {
        self.check()?;
        Error::check(self.d > 0 && x.len().is_multiple_of(self.d), "x.size() % d == 0")?;
        let n = x.len() / self.d;
        let needed = if self.train_type == TRAIN_SHARED { n.saturating_mul(self.M) } else { n };
        if needed < self.ksub {
            let message = format!(
                "Number of training points ({needed}) should be at least as large as number of clusters ({})",
                self.ksub
            );
            return Err(Error::failed("nx >= static_cast<idx_t>(k)", message));
        }
        let mut train_type = self.train_type;
        match train_type {
            TRAIN_DEFAULT | TRAIN_HOT_START | TRAIN_SHARED => {}
            TRAIN_HYPERCUBE | TRAIN_HYPERCUBE_PCA => {
                if self.dsub < self.nbits {
                    println!("cannot train hypercube: nbits={} > log2(d={})", self.nbits, self.dsub);
                    train_type = TRAIN_DEFAULT;
                }
            }
            other => return Err(Error::value(format!("train_type {other} is not known; known: 0 to 4"))),
        }
        let centroids = if train_type == TRAIN_SHARED {
            let shared = self.cluster(x, Vec::new())?;
            (0..self.M).flat_map(|_| shared.iter().copied()).collect()
        } else {
            self.train_parts(x, n, train_type)?
        };
        self.centroids = centroids;
        self.transposed_centroids.clear();
        self.centroids_sq_lengths.clear();
        self.sdc_table.clear();
        Ok(())
    }

    /// The parts are independent of each other: each thread trains some of them.
    fn train_parts(&self, x: &[f32], n: usize, train_type: i32) -> Result<Vec<f32>> {
        let size = self.ksub * self.dsub;
        let parts: Vec<Mutex<Vec<f32>>> = (0..self.M).map(|_| Mutex::new(Vec::new())).collect();
        let done = Mutex::new(0);
        let train_part = |m: usize| {
            let columns = m * self.dsub..(m + 1) * self.dsub;
            let slice: Vec<f32> = x.chunks_exact(self.d).flat_map(|row| row[columns.clone()].iter().copied()).collect();
            let initial = match train_type {
                TRAIN_HOT_START => self.centroids[m * size..(m + 1) * size].to_vec(),
                TRAIN_HYPERCUBE => hypercube(&slice, n, self.dsub, self.nbits),
                TRAIN_HYPERCUBE_PCA => hypercube_pca(&slice, n, self.dsub, self.nbits)?,
                _ => Vec::new(),
            };
            if self.verbose {
                println!("Training PQ slice {m}/{}", self.M);
            }
            *parts[m].lock() = progress::within(|| self.cluster(&slice, initial))?;
            let mut done = done.lock();
            *done += 1;
            progress::report("product quantizer parts", *done, self.M);
            Ok(())
        };
        progress::report("product quantizer parts", 0, self.M);
        // An index of the user's must not be used by several threads at once; few parts leave threads idle.
        if self.assign_index.is_some() || self.M < threads::available() {
            (0..self.M).try_for_each(train_part)?;
        } else {
            threads::parallel_for(self.M, train_part)?;
        }
        Ok(parts.into_iter().flat_map(Mutex::into_inner).collect())
    }

    fn cluster(&self, x: &[f32], initial: Vec<f32>) -> Result<Vec<f32>> {
        let mut clustering = Clustering { cp: self.cp.clone(), ..Clustering::new(self.dsub, self.ksub) };
        clustering.verbose |= self.verbose;
        clustering.centroids = initial;
        match &self.assign_index {
            Some(index) => clustering.train(x, &mut *index.write(), None)?,
            None => clustering.train(x, &mut IndexFlatL2::new(self.dsub as i64)?, None)?,
        }
        Ok(clustering.centroids)
    }
}

fn mean(x: &[f32], n: usize, d: usize) -> Vec<f32> {
    let mut mean = vec![0f32; d];
    x.chunks_exact(d).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, v)| *m += v));
    mean.iter_mut().for_each(|m| *m /= n as f32);
    mean
}

/// The `2^nbits` corners of a cube around the mean, along the first `nbits` coordinates.
fn hypercube(x: &[f32], n: usize, d: usize, nbits: usize) -> Vec<f32> {
    let mean = mean(x, n, d);
    let size = mean.iter().fold(0f32, |max, v| max.max(v.abs()));
    let corner = |c: usize, j: usize| match j < nbits {
        true => mean[j] + if c >> j & 1 == 1 { size } else { -size },
        false => mean[j],
    };
    (0..1usize << nbits).flat_map(|c| (0..d).map(move |j| (c, j))).map(|(c, j)| corner(c, j)).collect()
}

/// The corners of a box around the mean, along the first `nbits` principal components, as wide as the points spread along them.
fn hypercube_pca(x: &[f32], n: usize, d: usize, nbits: usize) -> Result<Vec<f32>> {
    let pca = crate::blas::principal_components(x, n, d)?;
    let mut centroids = Vec::with_capacity(d << nbits);
    for c in 0..1usize << nbits {
        for j in 0..d {
            let offsets = (0..nbits).map(|k| {
                let side = if c >> k & 1 == 1 { 1.0 } else { -1.0 };
                side * pca.eigenvalues[k].max(0.0).sqrt() * pca.vectors[k * d + j]
            });
            centroids.push(pca.mean[j] + offsets.sum::<f32>());
        }
    }
    Ok(centroids)
}
