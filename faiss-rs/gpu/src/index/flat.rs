//! Exact search over vectors that are kept on a GPU as they are, or as f16.

use std::sync::Arc;

use faiss_core::base::object::{cast, receiver};
use faiss_core::base::{Error, Handle, MetricType, Object, Result};
use faiss_core::cluster::Clustering;
use faiss_core::index::flat::IndexFlat;
use faiss_core::index::scalar::IndexScalarQuantizer;
use faiss_core::index::{Index, RangeSearchResult, selector};
use faiss_core::inherit_index;
use faiss_core::quantize::scalar::kind::QT_fp16;
use faiss_core::registry::Row;
use faiss_core::selector::IDSelector;
use faiss_derive::{Object, methods};
use half::f16;

use super::GpuIndex;
use crate::config::{GpuIndexConfig, GpuIndexFlatConfig};
use crate::device::device_properties;
use crate::error::check_interrupt;
use crate::given::{Input, Output};
use crate::kind::{Cloner, Target};
use crate::memory::{Ptr, PtrMut, Temp};
use crate::ops::assign::Parts;
use crate::ops::few;
use crate::ops::kmeans::{self, Job};
use crate::ops::knn::{self, Search, Strategy, Vectors};
use crate::ops::range;
use crate::ops::rows::{self, Rows};
use crate::ops::select::{Best, Values};
use crate::replay::Key;
use crate::resources::{Context, GpuResources};
use crate::standard::GpuResourcesProvider;
use crate::vectors::DeviceVectors;

/// Stores the full vectors on a GPU and searches them exhaustively, by any metric and for any k.
///
/// `metric` and `config` come last; `index_cpu_to_gpu` makes one of an `IndexFlat`. `config.useFloat16` halves the memory.
#[derive(Object, Default)]
#[object(methods, implements(Index), copy = duplicate)]
pub struct GpuIndexFlat {
    #[object(parent)]
    pub gpu: GpuIndex,
    use_float16: bool,
    /// Made with the first vectors, or when they are replaced.
    vectors: Option<DeviceVectors>,
}

/// Queries of a range search whose distances to all vectors are in memory at a time, at most.
const RANGE_QUERIES: usize = 1024;

pub const ROW: Row = Row::of::<GpuIndexFlat>();

pub const CLONER: Cloner = Cloner {
    gpu: "GpuIndexFlat",
    cpu: "IndexFlat",
    to_gpu: |target: &Target<'_>, index| {
        let (index, options) = (receiver::<IndexFlat>(index)?, target.options);
        let base = GpuIndexConfig { device: target.device, use_cuvs: options.use_cuvs, ..Default::default() };
        let (use_float16, store_transposed) = (options.use_float16, options.store_transposed);
        let config = GpuIndexFlatConfig { base, use_float16, store_transposed };
        let resources = target.resources.clone();
        let mut made = GpuIndexFlat::new(resources, index.d.into(), index.metric_type, &config)?;
        made.copy_from(index)?;
        Ok(Handle::new(made))
    },
    to_cpu: |index| {
        let mut made = IndexFlat::default();
        receiver::<GpuIndexFlat>(index)?.copy_to(&mut made)?;
        Ok(Handle::new(made))
    },
};

/// Scalar-quantized codes that are f16 are what a flat index of f16 has.
pub const HALVES: Cloner = Cloner {
    gpu: "GpuIndexFlat",
    cpu: "IndexScalarQuantizer",
    to_gpu: |target: &Target<'_>, index| {
        let index = receiver::<IndexScalarQuantizer>(index)?;
        if index.sq.qtype != QT_fp16 {
            return Err(Error::failed("", "IndexScalarQuantizer is not implemented on GPU but for QT_fp16"));
        }
        let x = all_vectors(index)?;
        let base = GpuIndexConfig { device: target.device, ..Default::default() };
        let config = GpuIndexFlatConfig { base, use_float16: true, ..Default::default() };
        let mut made = GpuIndexFlat::new(target.resources.clone(), index.d.into(), index.metric_type, &config)?;
        made.add(&x)?;
        Ok(Handle::new(made))
    },
    to_cpu: CLONER.to_cpu,
};

#[methods]
impl GpuIndexFlat {
    #[new]
    pub(super) fn of(
        provider: &GpuResourcesProvider,
        dims: i64,
        metric: MetricType,
        #[default = None] config: Option<&GpuIndexFlatConfig>,
    ) -> Result<Self> {
        Self::new(provider.resources().clone(), dims, metric, config.unwrap_or(&GpuIndexFlatConfig::default()))
    }

    /// A copy of a CPU index.
    #[new]
    pub(super) fn of_index(
        provider: &GpuResourcesProvider,
        index: &IndexFlat,
        #[default = None] config: Option<&GpuIndexFlatConfig>,
    ) -> Result<Self> {
        let mut made = Self::of(provider, index.d.into(), index.metric_type, config)?;
        made.copy_from(index)?;
        Ok(made)
    }

    /// Number of vectors.
    #[name = "getNumVecs"]
    fn count(&self) -> i64 {
        self.ntotal
    }

    /// Becomes a copy of a CPU index. On an error this index stays as it was.
    #[name = "copyFrom"]
    pub fn copy_from(&mut self, index: &IndexFlat) -> Result<()> {
        let x = index.get_xb();
        Error::check(index.rows(x)? as i64 == index.ntotal, "codes.size() == ntotal * code_size")?;
        let mut vectors = self.empty_vectors(index.dim())?;
        if !x.is_empty() {
            self.with(|context| vectors.append(context, Input::Host(x)))?;
        }
        self.gpu.base = index.base().clone();
        self.gpu.is_trained = true;
        self.vectors = Some(vectors);
        Ok(())
    }

    /// Makes a CPU index a copy of this one.
    #[name = "copyTo"]
    pub fn copy_to(&self, index: &mut IndexFlat) -> Result<()> {
        let mut copy = IndexFlat::new(self.d.into(), self.metric_type)?;
        copy.metric_arg = self.metric_arg;
        copy.verbose = self.verbose;
        copy.add(&self.host_vectors()?)?;
        *index = copy;
        Ok(())
    }
}

impl GpuIndexFlat {
    pub fn new(resources: Arc<GpuResources>, d: i64, metric: MetricType, config: &GpuIndexFlatConfig) -> Result<Self> {
        let gpu = GpuIndex::new(resources, d, metric, config.base.clone())?;
        Ok(GpuIndexFlat { gpu, use_float16: config.use_float16, vectors: None })
    }

    /// Whether vectors are kept as f16.
    pub fn use_float16(&self) -> bool {
        self.use_float16
    }

    /// Bytes that the vectors take on the GPU.
    pub fn device_bytes(&self) -> usize {
        self.vectors.as_ref().map_or(0, DeviceVectors::bytes)
    }

    fn config(&self) -> &GpuIndexConfig {
        self.gpu.config()
    }

    pub(crate) fn strategy(&self, queries: usize, k: usize) -> crate::Result<Strategy> {
        let properties = device_properties(self.config().device)?;
        let (count, d) = (self.ntotal.max(0) as usize, self.dim());
        let bytes = d * if self.use_float16 { 2 } else { 4 };
        Ok(Strategy::choose(properties, self.metric_type, queries, (count, d, bytes), k))
    }

    /// Searches for queries that are on the device already.
    pub(crate) fn search_on_device(
        &self,
        context: &Context<'_>,
        queries: Ptr<f32>,
        count: usize,
        k: usize,
        strategy: Strategy,
        out: Best,
    ) -> crate::Result<()> {
        let Some(vectors) = self.vectors.as_ref() else {
            return Err(crate::Error::invalid("the flat index has no vectors"));
        };
        let search = Search { metric: self.metric_type, arg: self.metric_arg, k, strategy };
        self.with_queries(context, queries, count, |queries| {
            knn::knn(context, queries, count, &vectors.view(), search, 0, out)
        })
    }

    /// Adds vectors of the host or of the device, on a given stream where there is one.
    pub(super) fn add_from(&mut self, x: Input<'_>, stream: Option<usize>) -> Result<()> {
        self.stored()?;
        let n = x.rows(self.dim())?;
        if n == 0 {
            return Ok(());
        }
        let mut vectors = match self.vectors.take() {
            Some(vectors) => vectors,
            None => self.empty_vectors(self.dim())?,
        };
        let added = self.with_on(stream, |context| vectors.append(context, x));
        self.vectors = Some(vectors);
        added?;
        self.gpu.ntotal += n as i64;
        Ok(())
    }

    /// A search with queries and results of the host or of the device, on a given stream where there is one.
    pub(super) fn search_for(
        &self,
        x: Input<'_>,
        k: usize,
        params: Option<&dyn Object>,
        out: &mut Output<'_>,
        stream: Option<usize>,
    ) -> Result<()> {
        let n = x.rows(self.dim())?;
        Error::check(k > 0 && n.checked_mul(k) == Some(out.room()), "k > 0 && distances.size() == n * k")?;
        let Some(vectors) = self.stored()? else {
            let worst = faiss_core::distance::worst(self.metric_type);
            let (values, ids) = (vec![worst; out.room()], vec![-1; out.room()]);
            return self.with_on(stream, |context| out.put_host(context, &values, &ids));
        };
        let (d, page) = (self.dim(), self.gpu.page_of_queries(k));
        let (metric, arg) = (self.metric_type, self.metric_arg);
        let marks = self.marks(params);
        // One choice for the whole call, so that the pages of one search do not differ in rounding.
        let search = Search { metric, arg, k, strategy: self.strategy(n, k)? };
        self.with_on(stream, |context| {
            let marks = marks.map(|marks| context.upload(&marks)).transpose()?;
            let searched = Vectors { allowed: marks.as_ref().map(|m| m.ptr()), ..vectors.view() };
            if let (None, Input::Host(host), Output::Host(distances, labels), Strategy::Scan | Strategy::Few) =
                (&marks, x, &mut *out, search.strategy)
            {
                let work = |queries: Ptr<f32>, values: PtrMut<f32>, ids: PtrMut<i64>| {
                    let best = Best { values, ids };
                    self.with_queries(context, queries, n, |queries| {
                        knn::queue(context, queries, n, &searched, search, 0, best)
                    })
                };
                let key = self.recorded_as(vectors, n, k);
                // What it leaves open is rare: then all is searched again, by what leaves nothing.
                if n > 0
                    && context.replay(&key, host, (&mut **distances, &mut **labels), work)?
                    && few::unproven(labels, k).is_empty()
                {
                    return Ok(());
                }
            }
            for first in (0..n).step_by(page) {
                let count = page.min(n - first);
                let (queries, _kept) = x.bring(context, first * d, count * d)?;
                let (mut values, mut ids) = (context.take(count * k)?, context.take(count * k)?);
                let best = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
                out.while_made(first * k, count * k, || {
                    self.with_queries(context, queries, count, |queries| {
                        knn::knn(context, queries, count, &searched, search, 0, best)
                    })
                })?;
                out.put(context, first * k, count * k, values.ptr(), ids.ptr())?;
            }
            Ok(())
        })
    }

    /// Work with queries as the vectors' type: f32 as they are, or rounded to f16.
    fn with_queries<R>(
        &self,
        context: &Context<'_>,
        queries: Ptr<f32>,
        count: usize,
        work: impl FnOnce(Rows) -> crate::Result<R>,
    ) -> crate::Result<R> {
        let len = count * self.dim();
        let mut half = self.use_float16.then(|| context.take::<f16>(len)).transpose()?;
        work(as_stored(context, queries, len, half.as_mut().map(|h| h.ptr_mut()))?)
    }

    /// What a recording of a search of few queries depends on.
    fn recorded_as(&self, vectors: &DeviceVectors, n: usize, k: usize) -> Key {
        let mut key = Key::default();
        // No generation is 0: this is no search in lists.
        key[2..9].copy_from_slice(&[
            vectors.rows().address(),
            vectors.count() as u64,
            u64::from(vectors.is_half()),
            self.metric_type as u64,
            u64::from(self.metric_arg.to_bits()),
            n as u64,
            k as u64,
        ]);
        key[15] = self.d as u64;
        key
    }

    fn empty_vectors(&self, d: usize) -> crate::Result<DeviceVectors> {
        let config = self.config();
        let mut vectors = DeviceVectors::new(config.device, config.memory_space, d, self.use_float16)?;
        vectors.report_to(self.gpu.resources().hold(config.device, "FlatData"));
        Ok(vectors)
    }

    fn with<R>(&self, work: impl FnOnce(&Context<'_>) -> crate::Result<R>) -> Result<R> {
        self.with_on(None, work)
    }

    fn with_on<R>(&self, stream: Option<usize>, work: impl FnOnce(&Context<'_>) -> crate::Result<R>) -> Result<R> {
        Ok(self.gpu.resources().with_on(self.config().device, stream, work)?)
    }

    /// The vectors, after a check that the public fields still fit to them.
    pub fn stored(&self) -> Result<Option<&DeviceVectors>> {
        let count = self.vectors.as_ref().map_or(0, DeviceVectors::count);
        Error::check(self.ntotal == count as i64, "ntotal == number of vectors on the GPU")?;
        let same = self.vectors.as_ref().is_none_or(|v| v.dim() == self.dim());
        Error::check(same, "d == dimension of the vectors on the GPU")?;
        Ok(self.vectors.as_ref().filter(|v| v.count() > 0))
    }

    /// A byte for each vector, 1 for those that the selector of the parameters lets pass.
    fn marks(&self, params: Option<&dyn Object>) -> Option<Vec<u8>> {
        let selector = selector(params)?;
        let mut marks = vec![false; self.ntotal.max(0) as usize];
        selector.read().mark(0..self.ntotal, &mut marks);
        Some(marks.into_iter().map(u8::from).collect())
    }

    fn host_vectors(&self) -> Result<Vec<f32>> {
        let mut x = vec![0.0; self.ntotal.max(0) as usize * self.dim()];
        if let Some(vectors) = self.stored()? {
            self.with(|context| vectors.read(context, 0, &mut x))?;
        }
        Ok(x)
    }

    pub(super) fn duplicate(&self) -> Result<Self> {
        let x = self.host_vectors()?;
        let mut copy = GpuIndexFlat { gpu: self.gpu.clone(), use_float16: self.use_float16, vectors: None };
        copy.gpu.ntotal = 0;
        if !x.is_empty() {
            copy.add(&x)?;
        }
        Ok(copy)
    }
}

fn all_vectors(index: &dyn Index) -> Result<Vec<f32>> {
    let n = usize::try_from(index.base().ntotal).unwrap_or(0);
    let mut x = vec![0.0; n * index.base().dim()];
    index.reconstruct_n(0, n, &mut x)?;
    Ok(x)
}

/// Queries as the vectors' type: f32 as they are, or rounded to f16 in `half`.
fn as_stored(context: &Context<'_>, queries: Ptr<f32>, count: usize, half: Option<PtrMut<f16>>) -> crate::Result<Rows> {
    match half {
        None => Ok(Rows::F32(queries)),
        Some(target) => {
            rows::convert(context, queries, target, count)?;
            Ok(Rows::F16(target.read()))
        }
    }
}

impl Index for GpuIndexFlat {
    inherit_index!(gpu);

    fn add(&mut self, x: &[f32]) -> Result<()> {
        self.add_from(Input::Host(x), None)
    }

    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.queries(x, k, distances, labels)?;
        self.search_for(Input::Host(x), k, params, &mut Output::Host(distances, labels), None)
    }

    fn range_search(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        let n = self.rows(x)?;
        let mut found = RangeSearchResult { lims: vec![0], distances: Vec::new(), labels: Vec::new() };
        let Some(vectors) = self.stored()? else {
            found.lims.resize(n + 1, 0);
            return Ok(found);
        };
        let (d, count) = (self.dim(), vectors.count());
        let marks = self.marks(params);
        let search = Search { metric: self.metric_type, arg: self.metric_arg, k: 1, strategy: Strategy::Pairwise };
        self.with(|context| {
            let marks = marks.map(|marks| context.upload(&marks)).transpose()?;
            // All distances of some queries are in memory at once.
            let page = (context.room / 16 / count).clamp(1, RANGE_QUERIES);
            for x in x.chunks(page * d) {
                context.sync()?;
                check_interrupt()?;
                let rows = x.len() / d;
                let queries = context.upload(x)?;
                let mut half = vectors.is_half().then(|| context.take::<f16>(x.len())).transpose()?;
                let queries = as_stored(context, queries.ptr(), x.len(), half.as_mut().map(|h| h.ptr_mut()))?;
                let mut all = context.take::<f32>(rows * count)?;
                knn::all_distances(context, queries, rows, &vectors.view(), search, all.ptr_mut())?;
                let values = Values {
                    values: all.ptr(),
                    stride: count,
                    rows,
                    columns: count,
                    allowed: marks.as_ref().map(|m| m.ptr()),
                    row_columns: None,
                    first_id: 0,
                    descending: self.metric_type.is_similarity(),
                };
                let within = range::within(context, &values, radius)?;
                let before = found.labels.len();
                found.lims.extend(within.offsets.iter().skip(1).map(|at| before + at));
                found.distances.resize(before + within.count(), 0.0);
                found.labels.resize(before + within.count(), -1);
                let (values, labels) = (within.values.ptr(), within.positions.ptr());
                let out = ((values, &mut found.distances[before..]), (labels, &mut found.labels[before..]));
                context.download_both(out.0, out.1)?;
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let x = self.host_vectors()?;
        let (n, d) = (self.ntotal.max(0) as usize, self.dim());
        let mut removed = vec![false; n];
        sel.mark(0..n as i64, &mut removed);
        let kept: Vec<f32> = x
            .chunks_exact(d.max(1))
            .zip(&removed)
            .filter(|(_, gone)| !**gone)
            .flat_map(|(row, _)| row)
            .copied()
            .collect();
        let count = removed.iter().filter(|gone| **gone).count();
        if count > 0 {
            let mut vectors = self.empty_vectors(d)?;
            if !kept.is_empty() {
                self.with(|context| vectors.append(context, Input::Host(&kept)))?;
            }
            self.vectors = Some(vectors);
            self.gpu.ntotal -= count as i64;
        }
        Ok(count)
    }

    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        let other = cast::<GpuIndexFlat>(other);
        let other = other.ok_or_else(|| Error::failed("", "can only merge indexes of the same type"))?;
        Error::check(other.d == self.d, "other->d == d")?;
        Error::check(other.metric_type == self.metric_type, "other->metric_type == metric_type")
    }

    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        Error::check(add_id == 0, "add_id == 0: cannot set ids in a flat index")?;
        let x = all_vectors(other)?;
        self.add(&x)?;
        other.reset()
    }

    fn cluster(
        &mut self,
        clustering: &mut Clustering,
        x: &[f32],
        chosen: Option<&[i32]>,
        weights: Option<&[f32]>,
    ) -> Result<bool> {
        let (d, k) = (self.dim(), clustering.k);
        let used = chosen.map_or(x.len() / d, <[i32]>::len);
        let linear = matches!(self.metric_type, MetricType::L2 | MetricType::InnerProduct);
        if !linear || !kmeans::fits(self.config().device, used, d, k)? {
            return Ok(false);
        }
        let mut centroids = vec![0f32; k * d];
        let stats = self.with(|context| {
            let mut rows = context.take::<f32>(used * d)?;
            let at = rows.ptr_mut();
            match chosen {
                None => context.upload_to(x, at)?,
                Some(chosen) => context.upload_chosen_rows(x, d, chosen, at)?,
            }
            let weights = weights.map(|w| match chosen {
                None => context.upload(w),
                Some(chosen) => context.upload(&chosen.iter().map(|p| w[*p as usize]).collect::<Vec<f32>>()),
            });
            let weights = weights.transpose()?;
            let job = Job {
                cp: &clustering.cp,
                k,
                metric: self.metric_type,
                given: &clustering.centroids,
                weights: weights.as_ref().map(Temp::ptr),
                verbose: clustering.verbose,
                what: "k-means",
            };
            let mut trained = context.take::<f32>(k * d)?;
            let stats = kmeans::train(context, Parts::whole(at.read(), used, d), &job, trained.ptr_mut())?;
            context.download(trained.ptr(), &mut centroids)?;
            Ok(stats)
        })?;
        self.reset()?;
        self.add(&centroids)?;
        clustering.centroids = centroids;
        clustering.iteration_stats.extend(stats);
        Ok(true)
    }

    fn reset(&mut self) -> Result<()> {
        self.vectors = None;
        self.gpu.ntotal = 0;
        Ok(())
    }

    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.position(key)?;
        self.reconstruct_n(key, 1, out)
    }

    fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
        let end = i64::try_from(ni).ok().and_then(|n| i0.checked_add(n));
        let inside = i0 >= 0 && end.is_some_and(|end| end <= self.ntotal);
        Error::check(ni == 0 || inside, "ni == 0 || (i0 >= 0 && i0 + ni <= ntotal)")?;
        Error::check(ni.checked_mul(self.dim()) == Some(out.len()), "recons.size() == ni * d")?;
        match self.stored()? {
            Some(vectors) if ni > 0 => self.with(|context| vectors.read(context, i0 as usize, out)),
            _ => Ok(()),
        }
    }

    fn reconstruct_batch(&self, keys: &[i64], out: &mut [f32]) -> Result<()> {
        Error::check(keys.len().checked_mul(self.dim()) == Some(out.len()), "recons.size() == n * d")?;
        keys.iter().try_for_each(|key| self.position(*key).map(|_| ()))?;
        match self.stored()? {
            Some(vectors) if !keys.is_empty() => self.with(|context| vectors.gather(context, keys, out)),
            _ => Ok(()),
        }
    }

    fn compute_residual_n(&self, x: &[f32], residuals: &mut [f32], keys: &[i64]) -> Result<()> {
        let size = keys.len().checked_mul(self.dim());
        let agree = size == Some(x.len()) && size == Some(residuals.len());
        Error::check(agree, "xs.size() == n * d && residuals.size() == n * d")?;
        keys.iter().try_for_each(|key| self.position(*key).map(|_| ()))?;
        match self.stored()? {
            Some(vectors) if !keys.is_empty() => self.with(|context| vectors.residuals(context, x, keys, residuals)),
            _ => Ok(()),
        }
    }

    fn compute_residual(&self, x: &[f32], residual: &mut [f32], key: i64) -> Result<()> {
        self.compute_residual_n(x, residual, &[key])
    }
}
