//! The scan of inverted lists of vectors by metrics other than L2 and inner product.

use faiss_core::base::MetricType;

use crate::error::Result;
use crate::launchers;
use crate::memory::Ptr;
use crate::ops::ivf_scan::query_splits;
use crate::ops::knn::kernel_metric;
use crate::ops::probe::Scan;
use crate::resources::Context;

/// The distances of a scan; `arg` is METRIC_Lp's power.
pub fn scan(context: &Context<'_>, metric: MetricType, arg: f32, scan: &Scan) -> Result<()> {
    let splits = query_splits(context, scan);
    launchers::list_metric(
        context.launch(scan.count * scan.nprobe * splits),
        kernel_metric(metric),
        scan.queries,
        scan.d as u32,
        arg,
        scan.probes(),
        Ptr::new(scan.stored.codes.raw().cast()),
        scan.stored.starts,
        scan.distances,
        scan.stride as i64,
        splits as u32,
    )
}
