//! Exhaustive search without an index: `bfKnn`, on arrays of the host or a GPU.

use std::ffi::c_void;

use faiss_core::base::MetricType;
use faiss_derive::Object;
use half::f16;

use crate::config::{DistanceDataType, IndicesDataType};
use crate::error::{Error, Result};
use crate::memory::{Element, Ptr, PtrMut, Temp};
use crate::ops::knn::{self, Search, Strategy, Vectors};
use crate::ops::rows::{self, Rows};
use crate::ops::select::Best;
use crate::resources::{Context, GpuResources};
use crate::sys::{self, PointerAttributes};

/// What [`bf_knn`] does and where everything is. Addresses are of the host or of the device, each as it may be.
#[derive(Object, Clone, Debug)]
#[object(new, copy)]
pub struct GpuDistanceParams {
    /// How vectors are compared.
    pub metric: MetricType,
    /// The power of METRIC_Lp.
    #[object(name = "metricArg")]
    pub metric_arg: f32,
    /// How many results; -1 for all distances, numQueries x numVectors.
    pub k: i32,
    /// Vector dimension.
    pub dims: i32,
    /// Address of the vectors.
    pub vectors: usize,
    /// Type of the vectors.
    #[object(name = "vectorType")]
    pub vector_type: DistanceDataType,
    /// Whether they are numVectors x dims; otherwise dims x numVectors.
    #[object(name = "vectorsRowMajor")]
    pub vectors_row_major: bool,
    /// Number of vectors.
    #[object(name = "numVectors")]
    pub num_vectors: i64,
    /// Accepted and not needed: the address of their squared L2 norms (f32), or 0.
    #[object(name = "vectorNorms")]
    pub vector_norms: usize,
    /// Address of the queries.
    pub queries: usize,
    /// Type of the queries; must be the vectors'.
    #[object(name = "queryType")]
    pub query_type: DistanceDataType,
    /// Whether they are numQueries x dims; otherwise dims x numQueries.
    #[object(name = "queriesRowMajor")]
    pub queries_row_major: bool,
    /// Number of queries.
    #[object(name = "numQueries")]
    pub num_queries: i64,
    /// Address of the results' distances (f32): numQueries x k, or x numVectors.
    #[object(name = "outDistances")]
    pub out_distances: usize,
    /// Whether distances are not wanted.
    #[object(name = "ignoreOutDistances")]
    pub ignore_out_distances: bool,
    /// Type of the ids.
    #[object(name = "outIndicesType")]
    pub out_indices_type: IndicesDataType,
    /// Address of the results' ids: numQueries x k.
    #[object(name = "outIndices")]
    pub out_indices: usize,
    /// GPU to use; -1 for the calling thread's current one.
    pub device: i32,
    /// Must be false: there is no cuVS here.
    pub use_cuvs: bool,
}

impl Default for GpuDistanceParams {
    fn default() -> Self {
        GpuDistanceParams {
            metric: MetricType::L2,
            metric_arg: 0.0,
            k: 0,
            dims: 0,
            vectors: 0,
            vector_type: DistanceDataType::F32,
            vectors_row_major: true,
            num_vectors: 0,
            vector_norms: 0,
            queries: 0,
            query_type: DistanceDataType::F32,
            queries_row_major: true,
            num_queries: 0,
            out_distances: 0,
            ignore_out_distances: false,
            out_indices_type: IndicesDataType::I64,
            out_indices: 0,
            device: -1,
            use_cuvs: false,
        }
    }
}

/// Searches all vectors for the best `k` of each query, and waits for the results.
///
/// # Safety
/// Every address covers as many elements as the parameters say, and outputs overlap nothing else.
pub unsafe fn bf_knn(resources: &GpuResources, params: &GpuDistanceParams) -> Result<()> {
    // SAFETY: the caller's promise; no limit means one shard.
    unsafe { bf_knn_tiling(resources, params, 0, 0) }
}

/// As [`bf_knn`], for arrays of the host that exceed the GPU's memory: at most `vectors_limit` bytes of vectors and
/// `queries_limit` bytes of queries are on the GPU at a time; 0 means no limit.
///
/// # Safety
/// As [`bf_knn`].
pub unsafe fn bf_knn_tiling(
    resources: &GpuResources,
    params: &GpuDistanceParams,
    vectors_limit: usize,
    queries_limit: usize,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { bf_knn_on(resources, params, vectors_limit, queries_limit, None) }
}

/// As [`bf_knn_tiling`], in order with what a `cudaStream_t` was given before, where one is named: arrays of a device may still be in
/// the making there.
///
/// # Safety
/// As [`bf_knn`]; the stream lives, and is of the search's device.
pub unsafe fn bf_knn_on(
    resources: &GpuResources,
    params: &GpuDistanceParams,
    vectors_limit: usize,
    queries_limit: usize,
    stream: Option<usize>,
) -> Result<()> {
    if params.use_cuvs {
        return Err(Error::NotImplemented("use_cuvs: there is no cuVS here, leave it false".to_owned()));
    }
    let shape = Shape::of(params)?;
    let mut device = params.device;
    if device < 0 {
        let runtime = &sys::cuda()?.runtime;
        // SAFETY: the pointer is valid for the call.
        runtime.check("cudaGetDevice", unsafe { (runtime.get_device)(&mut device) })?;
    }
    resources.with_on(device, stream, |context| shape.run(context, params, vectors_limit, queries_limit))
}

/// The `k` nearest of `vectors` for each of `queries`, both of the host.
#[allow(clippy::too_many_arguments)]
pub fn knn_gpu(
    resources: &GpuResources,
    device: i32,
    queries: &[f32],
    vectors: &[f32],
    d: usize,
    k: usize,
    metric: MetricType,
    metric_arg: f32,
) -> Result<(Vec<f32>, Vec<i64>)> {
    let nq = crate::vectors::count_vectors(queries, d)?;
    let n = crate::vectors::count_vectors(vectors, d)?;
    let (mut distances, mut ids) = (vec![0.0; nq * k], vec![0; nq * k]);
    let params = GpuDistanceParams {
        metric,
        metric_arg,
        k: i32::try_from(k).map_err(|_| Error::invalid(format!("k = {k} is too large")))?,
        dims: d as i32,
        vectors: vectors.as_ptr() as usize,
        num_vectors: n as i64,
        queries: queries.as_ptr() as usize,
        num_queries: nq as i64,
        out_distances: distances.as_mut_ptr() as usize,
        out_indices: ids.as_mut_ptr() as usize,
        device,
        ..Default::default()
    };
    // SAFETY: the slices have the lengths that the parameters say.
    unsafe { bf_knn(resources, &params)? };
    Ok((distances, ids))
}

/// The checked sizes of a call.
struct Shape {
    d: usize,
    n: usize,
    nq: usize,
    /// `None`: all distances.
    k: Option<usize>,
}

/// An array by its address.
struct Array {
    address: usize,
    on_device: bool,
}

impl Array {
    /// An array of the host, or of the device that the call is for.
    fn at(context: &Context<'_>, address: usize) -> Result<Array> {
        let runtime = &sys::cuda()?.runtime;
        let mut attributes = PointerAttributes::default();
        // SAFETY: the struct is at least as large as any major's; any address may be asked about.
        let status = unsafe { (runtime.pointer_get_attributes)(&mut attributes, address as *const c_void) };
        runtime.check("cudaPointerGetAttributes", status)?;
        if attributes.kind == 2 && attributes.device != context.device {
            let (there, here) = (attributes.device, context.device);
            return Err(Error::invalid(format!("bfKnn: an array is on GPU {there}, the search on GPU {here}")));
        }
        Ok(Array { address, on_device: matches!(attributes.kind, 2 | 3) })
    }

    /// `count` elements from `first` on: the device's own, or uploaded.
    fn bring<'a, T: Element>(
        &self,
        context: &'a Context<'_>,
        first: usize,
        count: usize,
    ) -> Result<(Ptr<T>, Option<Temp<'a, T>>)> {
        let address = (self.address as *const T).wrapping_add(first);
        if self.on_device {
            return Ok((Ptr::new(address), None));
        }
        // SAFETY: bf_knn's caller vouches for the array; this is a part of it.
        let temp = context.upload(unsafe { std::slice::from_raw_parts(address, count) })?;
        Ok((temp.ptr(), Some(temp)))
    }

    fn store<T: Element>(&self, context: &Context<'_>, first: usize, source: Ptr<T>, count: usize) -> Result<()> {
        let address = (self.address as *mut T).wrapping_add(first);
        if self.on_device {
            return context.copy(source, PtrMut::new(address), count);
        }
        // SAFETY: as above.
        context.download(source, unsafe { std::slice::from_raw_parts_mut(address, count) })
    }

    fn write<T: Element>(&self, context: &Context<'_>, first: usize, source: &[T]) -> Result<()> {
        let address = (self.address as *mut T).wrapping_add(first);
        if self.on_device {
            return context.upload_to(source, PtrMut::new(address));
        }
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(address, source.len()) }.copy_from_slice(source);
        Ok(())
    }
}

/// A matrix of vectors on the device, and the temporary memory that it is in, if any.
struct Brought<'a> {
    rows: Rows,
    _wide: Option<Temp<'a, f32>>,
    _half: Option<Temp<'a, f16>>,
}

impl Shape {
    fn of(params: &GpuDistanceParams) -> Result<Shape> {
        let positive = |name: &str, value: i64, from: i64| match usize::try_from(value) {
            Ok(v) if value >= from => Ok(v),
            _ => Err(Error::invalid(format!("bfKnn: {name} must be at least {from}, not {value}"))),
        };
        let d = positive("dims", params.dims.into(), 1)?;
        let n = positive("numVectors", params.num_vectors, 0)?;
        let nq = positive("numQueries", params.num_queries, 0)?;
        let k = if params.k == -1 { None } else { Some(positive("k", params.k.into(), 1)?) };
        if params.vector_type != params.query_type {
            return Err(Error::invalid("bfKnn: vectorType and queryType must be the same"));
        }
        for (name, address, wanted) in [
            ("vectors", params.vectors, n > 0),
            ("queries", params.queries, nq > 0),
            ("outDistances", params.out_distances, nq > 0 && (k.is_none() || !params.ignore_out_distances)),
            ("outIndices", params.out_indices, nq > 0 && k.is_some()),
        ] {
            if wanted && address == 0 {
                return Err(Error::invalid(format!("bfKnn: {name} must be given")));
            }
        }
        if params.out_indices_type == IndicesDataType::I32 && n > i32::MAX as usize {
            return Err(Error::invalid(format!("bfKnn: ids of {n} vectors need outIndicesType IndicesDataType_I64")));
        }
        Ok(Shape { d, n, nq, k })
    }

    fn run(
        &self,
        context: &Context<'_>,
        params: &GpuDistanceParams,
        vectors_limit: usize,
        queries_limit: usize,
    ) -> Result<()> {
        if self.nq == 0 {
            return Ok(());
        }
        let vectors = Array::at(context, params.vectors)?;
        let queries = Array::at(context, params.queries)?;
        let element = if params.vector_type == DistanceDataType::F32 { 4 } else { 2 };
        let shard = |limit: usize, array: &Array, row_major: bool, count: usize| -> Result<usize> {
            if limit == 0 || count * self.d * element <= limit {
                return Ok(count.max(1));
            }
            if array.on_device || !row_major {
                return Err(Error::invalid("bfKnn: only row-major arrays of the host can be searched in parts"));
            }
            Ok((limit / (self.d * element)).max(1))
        };
        let vectors_page = shard(vectors_limit, &vectors, params.vectors_row_major, self.n)?;
        let queries_page = shard(queries_limit, &queries, params.queries_row_major, self.nq)?;
        for first in (0..self.nq).step_by(queries_page) {
            let count = queries_page.min(self.nq - first);
            let batch =
                self.bring(context, &queries, params.query_type, params.queries_row_major, first, count, self.nq)?;
            match self.k {
                Some(k) => self.search(context, params, &vectors, vectors_page, batch.rows, first, count, k)?,
                None => self.distances(context, params, &vectors, batch.rows, first, count)?,
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn bring<'a>(
        &self,
        context: &'a Context<'_>,
        array: &Array,
        kind: DistanceDataType,
        row_major: bool,
        first: usize,
        count: usize,
        total: usize,
    ) -> Result<Brought<'a>> {
        let (at, size) = (first * self.d, count * self.d);
        let transposed = |wide: Ptr<f32>| -> Result<Temp<'a, f32>> {
            let mut target = context.take(size)?;
            rows::transpose(context, wide, target.ptr_mut(), self.d, total)?;
            Ok(target)
        };
        let wide = match kind {
            DistanceDataType::F16 => {
                let (mut pointer, mut half) = array.bring::<f16>(context, at, size)?;
                if !row_major {
                    let mut target = context.take(size)?;
                    rows::transpose(context, pointer, target.ptr_mut(), self.d, total)?;
                    (pointer, half) = (target.ptr(), Some(target));
                }
                return Ok(Brought { rows: Rows::F16(pointer), _wide: None, _half: half });
            }
            DistanceDataType::F32 => array.bring::<f32>(context, at, size)?,
            DistanceDataType::BF16 => {
                let (narrow, _kept) = array.bring::<u16>(context, at, size)?;
                let mut target = context.take(size)?;
                rows::widen_bf16(context, narrow, target.ptr_mut(), size)?;
                (target.ptr(), Some(target))
            }
        };
        let (pointer, temp) = match wide {
            (pointer, temp) if row_major => (pointer, temp),
            (pointer, _kept) => {
                let target = transposed(pointer)?;
                (target.ptr(), Some(target))
            }
        };
        Ok(Brought { rows: Rows::F32(pointer), _wide: temp, _half: None })
    }

    #[allow(clippy::too_many_arguments)]
    fn search(
        &self,
        context: &Context<'_>,
        params: &GpuDistanceParams,
        vectors: &Array,
        page: usize,
        queries: Rows,
        first_query: usize,
        count: usize,
        k: usize,
    ) -> Result<()> {
        let bytes = self.d * if matches!(queries, Rows::F16(_)) { 2 } else { 4 };
        let of = (page.min(self.n), self.d, bytes);
        let search = Search {
            metric: params.metric,
            arg: params.metric_arg,
            k,
            strategy: Strategy::choose(context.properties, params.metric, count, of, k),
        };
        let size = count * k;
        let (mut values, mut ids) = (context.take(size)?, context.take(size)?);
        let best = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
        // With several shards, the host merges what each one gives.
        let mut merged: Option<(Vec<f32>, Vec<i64>)> = None;
        let shards = self.n.div_ceil(page).max(1);
        for first in (0..shards).map(|i| i * page) {
            let n = page.min(self.n - first);
            let part = self.bring(context, vectors, params.vector_type, params.vectors_row_major, first, n, self.n)?;
            let searched = Vectors { rows: part.rows, count: n, d: self.d, allowed: None };
            knn::knn(context, queries, count, &searched, search, first as i64, best)?;
            if shards > 1 {
                let (mut new_values, mut new_ids) = (vec![0.0; size], vec![0; size]);
                context.download(values.ptr(), &mut new_values)?;
                context.download(ids.ptr(), &mut new_ids)?;
                merged = Some(match merged {
                    None => (new_values, new_ids),
                    Some(old) => merge(old, (new_values, new_ids), k, params.metric.is_similarity()),
                });
            }
        }
        let at = first_query * k;
        if !params.ignore_out_distances {
            let out = Array::at(context, params.out_distances)?;
            match &merged {
                None => out.store(context, at, values.ptr(), size)?,
                Some((values, _)) => out.write(context, at, values)?,
            }
        }
        let out = Array::at(context, params.out_indices)?;
        match (&merged, params.out_indices_type) {
            (None, IndicesDataType::I64) => out.store(context, at, ids.ptr(), size),
            (Some((_, ids)), IndicesDataType::I64) => out.write(context, at, ids),
            (_, IndicesDataType::I32) => {
                let wide = match merged {
                    Some((_, ids)) => ids,
                    None => {
                        let mut host = vec![0i64; size];
                        context.download(ids.ptr(), &mut host)?;
                        host
                    }
                };
                let narrow: Vec<i32> = wide.into_iter().map(|id| id as i32).collect();
                out.write(context, at, &narrow)
            }
        }
    }

    fn distances(
        &self,
        context: &Context<'_>,
        params: &GpuDistanceParams,
        vectors: &Array,
        queries: Rows,
        first_query: usize,
        count: usize,
    ) -> Result<()> {
        let part = self.bring(context, vectors, params.vector_type, params.vectors_row_major, 0, self.n, self.n)?;
        let searched = Vectors { rows: part.rows, count: self.n, d: self.d, allowed: None };
        let search = Search { metric: params.metric, arg: params.metric_arg, k: 0, strategy: Strategy::Pairwise };
        let out = Array::at(context, params.out_distances)?;
        // Rows of the result at a time, as many as are small beside the device's memory.
        let page = ((64 << 20) / self.n.max(1)).clamp(1, count);
        for first in (0..count).step_by(page) {
            let rows = page.min(count - first);
            let mut distances = context.take::<f32>(rows * self.n)?;
            knn::all_distances(context, queries.skip(first, self.d), rows, &searched, search, distances.ptr_mut())?;
            out.store(context, (first_query + first) * self.n, distances.ptr(), rows * self.n)?;
        }
        Ok(())
    }
}

/// The best k of two results a row; the first one's ids are lower, so it wins ties.
fn merge(
    (a_values, a_ids): (Vec<f32>, Vec<i64>),
    (b_values, b_ids): (Vec<f32>, Vec<i64>),
    k: usize,
    similarity: bool,
) -> (Vec<f32>, Vec<i64>) {
    let (mut values, mut ids) = (Vec::with_capacity(a_ids.len()), Vec::with_capacity(a_ids.len()));
    for row in (0..a_ids.len()).step_by(k) {
        let (mut i, mut j) = (row, row);
        for _ in 0..k {
            let better = if similarity { b_values[j] > a_values[i] } else { b_values[j] < a_values[i] };
            let from_b = b_ids[j] >= 0 && (a_ids[i] < 0 || better);
            let (value, id) = if from_b { (b_values[j], b_ids[j]) } else { (a_values[i], a_ids[i]) };
            values.push(value);
            ids.push(id);
            if from_b { j += 1 } else { i += 1 }
        }
    }
    (values, ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_the_best_and_lets_the_first_win_ties() {
        let a = (vec![1.0, 3.0, f32::MAX], vec![4, 2, -1]);
        let b = (vec![1.0, 2.0, 9.0], vec![10, 11, 12]);
        assert_eq!(merge(a, b, 3, false), (vec![1.0, 1.0, 2.0], vec![4, 10, 11]));
        let a = (vec![3.0, -f32::MAX], vec![4, -1]);
        let b = (vec![5.0, -f32::MAX], vec![10, -1]);
        assert_eq!(merge(a, b, 2, true), (vec![5.0, 3.0], vec![10, 4]));
    }

    #[test]
    fn bad_parameters_are_named() {
        let good = GpuDistanceParams { k: 1, dims: 4, num_queries: 1, queries: 8, ..Default::default() };
        let text = |p: GpuDistanceParams| Shape::of(&p).err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(text(GpuDistanceParams { dims: 0, ..good.clone() }), "bfKnn: dims must be at least 1, not 0");
        assert_eq!(text(GpuDistanceParams { k: -2, ..good.clone() }), "bfKnn: k must be at least 1, not -2");
        assert_eq!(text(good), "bfKnn: outDistances must be given");
    }
}
