//! The quantizer of an inverted file: on the index's own GPU it works on the device's memory, elsewhere vectors pass through the host.

use faiss_core::base::object::{Object, cast};
use faiss_core::base::{Error, MetricType, Result};
use faiss_core::index::Index;

use super::{GpuIndexIVF, GpuInvertedFile};
use crate::given::Input;
use crate::index::flat::GpuIndexFlat;
use crate::memory::Ptr;
use crate::ops::knn::{Strategy, Vectors};
use crate::ops::select::Best;
use crate::resources::Context;
use crate::vectors::DeviceVectors;

/// A quantizer, locked, as an inverted file sees it.
#[derive(Clone, Copy)]
pub enum Coarse<'a> {
    /// On the GPU of the inverted file.
    Device(&'a GpuIndexFlat),
    Other(&'a dyn Index),
}

impl<'a> Coarse<'a> {
    /// After a check that the quantizer fits to the index.
    pub fn of(ivf: &GpuIndexIVF, quantizer: &'a dyn Index) -> Result<Coarse<'a>> {
        Error::check(quantizer.base().d == ivf.d, "quantizer->d == d")?;
        Error::check(quantizer.base().ntotal == ivf.nlist as i64, "quantizer->ntotal == nlist")?;
        match cast::<GpuIndexFlat>(quantizer) {
            Some(flat) if flat.gpu.config().device == ivf.config().base.device && is_linear(flat.metric_type) => {
                Ok(Coarse::Device(flat))
            }
            _ => Ok(Coarse::Other(quantizer)),
        }
    }

    /// The centroids, where they are on the device.
    pub fn centroids(&self, ivf: &'a GpuIndexIVF) -> Result<Option<Vectors>> {
        match self {
            Coarse::Device(flat) => Ok(flat.stored()?.map(DeviceVectors::view)),
            Coarse::Other(_) => Ok(ivf.centroids.as_ref().map(DeviceVectors::view)),
        }
    }

    /// How a quantizer on the device is searched for so many queries: one choice for a call, so that its pages do not differ in rounding.
    pub fn strategy(&self, queries: usize, nprobe: usize) -> crate::Result<Strategy> {
        match self {
            Coarse::Device(flat) => flat.strategy(queries, nprobe),
            Coarse::Other(_) => Ok(Strategy::Pairwise),
        }
    }

    /// Distances and labels of the `nprobe` nearest lists, by a quantizer on the device.
    pub fn probe(
        &self,
        context: &Context<'_>,
        queries: Ptr<f32>,
        count: usize,
        nprobe: usize,
        strategy: Strategy,
        out: Best,
    ) -> crate::Result<()> {
        match self {
            Coarse::Device(flat) => flat.search_on_device(context, queries, count, nprobe, strategy, out),
            Coarse::Other(_) => Err(crate::Error::invalid("the quantizer is not on this GPU")),
        }
    }

    /// The list of each vector of the host, by a quantizer that is elsewhere.
    pub fn assign_on_host(&self, x: &[f32], nlist: usize) -> Result<Option<Vec<i32>>> {
        let Coarse::Other(quantizer) = self else { return Ok(None) };
        let mut labels = vec![-1i64; quantizer.base().rows(x)?];
        if !labels.is_empty() {
            quantizer.assign(x, 1, &mut labels)?;
        }
        check_lists(&labels, nlist)?;
        Ok(Some(labels.into_iter().map(|list| list.max(-1) as i32).collect()))
    }

    /// Distances and labels of the `nprobe` nearest lists, by a quantizer that is elsewhere or where parameters are given.
    pub fn probe_on_host(
        &self,
        x: &[f32],
        nprobe: usize,
        params: Option<&dyn Object>,
    ) -> Result<Option<(Vec<f32>, Vec<i64>)>> {
        let quantizer: &dyn Index = match (self, params) {
            (Coarse::Device(_), None) => return Ok(None),
            (Coarse::Device(flat), Some(_)) => *flat,
            (Coarse::Other(quantizer), _) => *quantizer,
        };
        let n = quantizer.base().rows(x)?;
        let (mut coarse, mut labels) = (vec![0f32; n * nprobe], vec![-1i64; n * nprobe]);
        quantizer.search(x, nprobe, params, &mut coarse, &mut labels)?;
        Ok(Some((coarse, labels)))
    }
}

/// Whether it is one of those that products of matrices tell.
pub(super) fn is_linear(metric: MetricType) -> bool {
    matches!(metric, MetricType::L2 | MetricType::InnerProduct)
}

/// An error unless all are numbers of lists, or negative.
pub(super) fn check_lists(labels: &[i64], nlist: usize) -> Result<()> {
    match labels.iter().find(|list| **list >= nlist as i64) {
        Some(list) => Err(Error::failed("key < nlist", format!("Invalid key={list} nlist={nlist}"))),
        None => Ok(()),
    }
}

/// Takes the centroids of a quantizer that is not on the GPU to it, if the family wants them there.
pub fn update_quantizer(index: &mut dyn GpuInvertedFile) -> Result<()> {
    let handle = index.ivf().quantizer()?.clone();
    let quantizer = handle.read();
    let ready = quantizer.base().is_trained && quantizer.base().ntotal == index.ivf().nlist as i64;
    let mut centroids = None;
    if ready
        && index.needs_centroids()
        && let Coarse::Other(quantizer) = Coarse::of(index.ivf(), &*quantizer)?
    {
        let ivf = index.ivf();
        let mut x = vec![0f32; ivf.nlist * ivf.dim()];
        quantizer.reconstruct_n(0, ivf.nlist, &mut x)?;
        let config = &ivf.config.base;
        let mut vectors = DeviceVectors::new(config.device, config.memory_space, ivf.dim(), false)?;
        vectors.report_to(ivf.gpu.resources().hold(config.device, "Quantizer"));
        ivf.with(|context| vectors.append(context, Input::Host(&x)))?;
        centroids = Some(vectors);
    }
    index.ivf_mut().centroids = centroids;
    Ok(())
}
