//! Training of a product quantizer's codebooks, all parts at once.

use faiss_core::base::MetricType;
use faiss_core::cluster::Clustering;
use faiss_core::quantize::product::{ProductQuantizer, TRAIN_DEFAULT, TRAIN_HOT_START};

use crate::error::Result;
use crate::launchers;
use crate::memory::{Ptr, Temp};
use crate::ops::assign::Parts;
use crate::ops::kmeans::{self, Job};
use crate::resources::Context;

/// Learns the centroids of `pq` from `count` rows on the device, as core's `ProductQuantizer::train` does from the same rows. False,
/// with nothing done, where that is what has to train it: what is rare, or an error.
pub fn pq_train(context: &Context<'_>, rows: Ptr<f32>, count: usize, pq: &mut ProductQuantizer) -> Result<bool> {
    if pq.check().is_err() {
        return Ok(false);
    }
    let sampling = Clustering { cp: pq.cp.clone(), ..Clustering::new(pq.dsub, pq.ksub) };
    let chosen = sampling.subsample(count);
    let used = chosen.as_ref().map_or(count, Vec::len);
    let one_by_one = pq.cp.early_stop_threshold > 0.0;
    let plain =
        matches!(pq.train_type, TRAIN_DEFAULT | TRAIN_HOT_START) && pq.cp.init_method == 0 && !pq.cp.use_super_kmeans;
    if !plain
        || one_by_one
        || pq.assign_index.is_some()
        || used <= pq.ksub
        || pq.dsub == 0
        || !finite(context, rows, count, pq)?
    {
        return Ok(false);
    }
    let wanted = pq.ksub.saturating_mul(pq.cp.min_points_per_centroid.max(0) as usize);
    if used < wanted {
        let k = pq.ksub;
        eprintln!(
            "WARNING clustering {used} points to {k} centroids: please provide at least {wanted} training points"
        );
    }
    pq.centroids = trained(context, rows, count, chosen.as_deref(), pq)?;
    pq.transposed_centroids.clear();
    pq.centroids_sq_lengths.clear();
    pq.sdc_table.clear();
    Ok(true)
}

fn finite(context: &Context<'_>, rows: Ptr<f32>, count: usize, pq: &ProductQuantizer) -> Result<bool> {
    if !pq.cp.check_input_data_for_NaNs {
        return Ok(true);
    }
    let mut found = context.upload(&[0i32])?;
    let numbers = count * pq.d;
    launchers::find_not_finite(context.stride(numbers, 1024), rows, numbers as i64, found.ptr_mut())?;
    let mut host = [0];
    context.download(found.ptr(), &mut host)?;
    Ok(host == [0])
}

fn trained(
    context: &Context<'_>,
    rows: Ptr<f32>,
    count: usize,
    chosen: Option<&[i32]>,
    pq: &ProductQuantizer,
) -> Result<Vec<f32>> {
    let (d, used) = (pq.d, chosen.map_or(count, <[i32]>::len));
    let sample: Option<Temp<'_, f32>> = match chosen {
        None => None,
        Some(chosen) => {
            let (ids, mut sample) = (context.upload(chosen)?, context.take::<f32>(used * d)?);
            let (n, width) = (used as u32, d as u32);
            launchers::take_parts(context.stride(used, 8), rows, ids.ptr(), n, width, 1, width, n, sample.ptr_mut())?;
            Some(sample)
        }
    };
    let rows = sample.as_ref().map_or(rows, Temp::ptr);
    let given = if pq.train_type == TRAIN_HOT_START { &pq.centroids[..] } else { &[] };
    let verbose = pq.verbose || pq.cp.verbose;
    let mut centroids = context.take::<f32>(d * pq.ksub)?;
    // Items are counted by 32 bits.
    let together = ((1usize << 31) / used).clamp(1, pq.M);
    let size = pq.ksub * pq.dsub;
    for first in (0..pq.M).step_by(together) {
        let parts = together.min(pq.M - first);
        let of = Parts { rows: rows.at(first * pq.dsub), count: used, stride: d, parts, d: pq.dsub };
        let given = if given.is_empty() { given } else { &given[first * size..(first + parts) * size] };
        let what = "product quantizer";
        let job = Job { cp: &pq.cp, k: pq.ksub, metric: MetricType::L2, given, weights: None, verbose, what };
        kmeans::train(context, of, &job, centroids.ptr_mut().at(first * size))?;
    }
    let mut host = vec![0f32; d * pq.ksub];
    context.download(centroids.ptr(), &mut host)?;
    Ok(host)
}
