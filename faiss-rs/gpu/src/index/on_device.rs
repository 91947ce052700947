//! Indexes called with arrays of their GPU, in order with a stream of the caller's. Addresses come as numbers from the Python layer, which holds the
//! arrays that they are of.

use faiss_core::base::object::{Object, cast, cast_mut};
use faiss_core::base::view::{seen_as, seen_as_mut};
use faiss_core::base::{Error, Result};
use faiss_core::index::Index;

use super::GpuIndex;
use super::flat::GpuIndexFlat;
use super::ivf::{GpuInvertedFile, edit, search as ivf_search};
use crate::given::{Input, Output, check_address};
use crate::memory::{Ptr, PtrMut};

/// The queries of a search on the device, and where its results go.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub x: usize,
    pub distances: usize,
    pub labels: usize,
    /// A `cudaStream_t` that the arrays are made and used on; a lane's own where none is given.
    pub stream: Option<usize>,
}

fn no_device_arrays(index: &dyn Index) -> Error {
    Error::not_implemented(format!("{} takes no arrays of a GPU", index.info().name))
}

/// Whether [`search`] and [`add`] know the type.
pub fn takes_arrays(index: &dyn Index) -> bool {
    cast::<GpuIndexFlat>(index).is_some() || seen_as::<dyn GpuInvertedFile>(index).is_some()
}

fn check(index: &dyn Index, addresses: &[usize], stream: Option<usize>) -> Result<()> {
    let gpu = cast::<GpuIndex>(index).ok_or_else(|| no_device_arrays(index))?;
    let device = gpu.config().device;
    Ok(gpu.resources().with_on(device, stream, |context| {
        addresses.iter().filter(|address| **address != 0).try_for_each(|address| check_address(context, *address))
    })?)
}

/// The `k` nearest of `n` queries.
pub fn search(index: &dyn Index, n: usize, k: usize, params: Option<&dyn Object>, at: Addresses) -> Result<()> {
    check(index, &[at.x, at.distances, at.labels], at.stream)?;
    let size = |count: usize, each: usize| {
        count.checked_mul(each).ok_or_else(|| Error::overflow("the number of elements is out of range"))
    };
    let x = Input::Device(Ptr::new(at.x as *const f32), size(n, index.base().dim())?);
    let (distances, labels) = (PtrMut::new(at.distances as *mut f32), PtrMut::new(at.labels as *mut i64));
    let mut out = Output::Device(distances, labels, size(n, k)?);
    if let Some(flat) = cast::<GpuIndexFlat>(index) {
        return flat.search_for(x, k, params, &mut out, at.stream);
    }
    match seen_as::<dyn GpuInvertedFile>(index) {
        Some(file) => ivf_search::search_for(file, x, k, params, false, &mut out, at.stream),
        None => Err(no_device_arrays(index)),
    }
}

/// Adds `n` vectors of the device, with ids of the host or counted up.
pub fn add(index: &mut dyn Index, x: usize, n: usize, ids: Option<&[i64]>, stream: Option<usize>) -> Result<()> {
    check(index, &[x], stream)?;
    let len = n.checked_mul(index.base().dim());
    let len = len.ok_or_else(|| Error::overflow("the number of elements is out of range"))?;
    let x = Input::Device(Ptr::new(x as *const f32), len);
    if let Some(flat) = cast_mut::<GpuIndexFlat>(index) {
        return match ids {
            None => flat.add_from(x, stream),
            Some(_) => Err(Error::failed("", "add_with_ids not implemented for this type of index")),
        };
    }
    if let Some(file) = seen_as_mut::<dyn GpuInvertedFile>(index) {
        return edit::add(file, x, ids, stream);
    }
    Err(no_device_arrays(index))
}
