//! Training: first the coarse quantizer, then the encoder.

use super::InvertedFile;
use crate::base::{Error, MetricType, Result, Shared, threads};
use crate::cluster::{Clustering, ClusteringParameters};
use crate::index::flat_l2::IndexFlatL2;
use crate::index::{Index, IndexBase};
use crate::transform::maybe_subsample;

pub(crate) fn train(index: &mut dyn InvertedFile, x: &[f32]) -> Result<()> {
    let ivf = index.ivf();
    let (d, verbose) = (ivf.dim(), ivf.verbose);
    ivf.rows(x)?;
    Error::check(d > 0, "d > 0")?;
    if verbose {
        println!("Training level-1 quantizer");
    }
    train_quantizer(index, x)?;
    if verbose {
        println!("Training IVF residual");
    }
    let most = match index.train_encoder_num_vectors() {
        0 => usize::MAX,
        most => most,
    };
    let x = maybe_subsample(x, d, most, 1234)?;
    if index.ivf().by_residual {
        let mut assign = vec![0i64; x.len() / d];
        let mut residuals = vec![0f32; x.len()];
        {
            let quantizer = index.ivf().quantizer()?.read();
            quantizer.assign(&x, 1, &mut assign)?;
            compute_residuals(&*quantizer, &x, &assign, &mut residuals)?;
        }
        index.train_encoder(&residuals, Some(&assign))?;
    } else {
        index.train_encoder(&x, None)?;
    }
    index.ivf_mut().is_trained = true;
    Ok(())
}

/// `residuals[i] = x[i] - centroid of list_nos[i]`; 0 where that is negative.
pub fn compute_residuals(quantizer: &dyn Index, x: &[f32], list_nos: &[i64], residuals: &mut [f32]) -> Result<()> {
    let d = quantizer.base().dim();
    threads::parallel_rows(residuals, d, 256, |first, rows| {
        for (i, row) in rows.chunks_exact_mut(d).enumerate() {
            let at = first + i;
            if list_nos[at] < 0 {
                row.fill(0.0);
            } else {
                quantizer.compute_residual(&x[at * d..(at + 1) * d], row, list_nos[at])?;
            }
        }
        Ok(())
    })
}

/// The quantizer's centroids, by k-means or however it trains itself.
pub fn train_quantizer(index: &mut dyn InvertedFile, x: &[f32]) -> Result<()> {
    let ivf = index.ivf();
    Level1 {
        quantizer: ivf.quantizer()?,
        nlist: ivf.nlist,
        trains_alone: ivf.quantizer_trains_alone,
        cp: &ivf.cp,
        clustering_index: ivf.clustering_index.as_ref(),
        base: ivf,
    }
    .train(x)
}

/// A coarse quantizer and how it is trained: the part of an inverted file that is the same on every device.
pub struct Level1<'a> {
    /// What finds the lists.
    pub quantizer: &'a Shared<dyn Index>,
    /// How many lists there are.
    pub nlist: usize,
    /// As [`IndexIVF::quantizer_trains_alone`](super::IndexIVF::quantizer_trains_alone).
    pub trains_alone: u8,
    /// How they are found.
    pub cp: &'a ClusteringParameters,
    /// Assigns points to centroids in place of the quantizer.
    pub clustering_index: Option<&'a Shared<dyn Index>>,
    /// The inverted file's.
    pub base: &'a IndexBase,
}

impl Level1<'_> {
    /// Trains the quantizer on vectors (n, d), unless it has its centroids.
    pub fn train(&self, x: &[f32]) -> Result<()> {
        let n = self.base.rows(x)?;
        let (d, nlist, metric, verbose) = (self.base.dim(), self.nlist, self.base.metric_type, self.base.verbose);
        let mut quantizer = self.quantizer.write();
        if quantizer.base().is_trained && quantizer.base().ntotal == nlist as i64 {
            if verbose {
                println!("IVF quantizer does not need training.");
            }
            return Ok(());
        }
        let mut clustering = Clustering { cp: self.cp.clone(), ..Clustering::new(d, nlist) };
        clustering.verbose |= verbose;
        match self.trains_alone {
            1 => {
                if verbose {
                    println!("IVF quantizer trains alone...");
                }
                quantizer.base_mut().verbose = verbose;
                quantizer.train(x)?;
                if quantizer.base().ntotal != nlist as i64 {
                    return Err(Error::failed(
                        "quantizer->ntotal == nlist",
                        "nlist not consistent with quantizer size",
                    ));
                }
            }
            0 => {
                if verbose {
                    println!("Training level-1 quantizer on {n} vectors in {d}D");
                }
                quantizer.reset()?;
                match self.clustering_index {
                    Some(assigner) => {
                        clustering.train(x, &mut *assigner.write(), None)?;
                        quantizer.add(&clustering.centroids)?;
                    }
                    None => clustering.train(x, &mut *quantizer, None)?,
                }
                quantizer.base_mut().is_trained = true;
            }
            2 => {
                let l2 = metric == MetricType::L2 || (metric == MetricType::InnerProduct && clustering.spherical);
                Error::check(l2, "metric_type == METRIC_L2 || (metric_type == METRIC_INNER_PRODUCT && cp.spherical)")?;
                match self.clustering_index {
                    Some(assigner) => clustering.train(x, &mut *assigner.write(), None)?,
                    None => clustering.train(x, &mut IndexFlatL2::new(d as i64)?, None)?,
                }
                if !quantizer.base().is_trained {
                    quantizer.train(&clustering.centroids)?;
                }
                quantizer.add(&clustering.centroids)?;
            }
            other => return Err(Error::value(format!("quantizer_trains_alone {other} is not known; known: 0, 1, 2"))),
        }
        Ok(())
    }
}
