//! What Python sees of inverted files on a GPU beyond their fields and the methods of all indexes.

use faiss_core::base::{Object, Result};
use faiss_core::index::ivf::methods::{Found, preassigned};
use faiss_derive::methods;

use super::{GpuIndexIVF, GpuInvertedFile, coarse, edit, entries, search};

/// The methods of all inverted files on a GPU.
pub struct GpuIVFMethods;

#[methods]
impl GpuIVFMethods {
    /// Number of lists.
    #[name = "getNumLists"]
    fn lists(this: &GpuIndexIVF) -> usize {
        this.nlist
    }

    /// Number of entries of a list.
    #[name = "getListLength"]
    fn list_length(this: &GpuIndexIVF, listId: i64) -> Result<usize> {
        this.list_length(this.check_list(listId)?)
    }

    /// The ids of a list, int64.
    #[name = "getListIndices"]
    fn list_ids(this: &GpuIndexIVF, listId: i64) -> Result<Vec<i64>> {
        let list = this.check_list(listId)?;
        match this.lists()? {
            Some(lists) => this.with(|context| lists.list_ids(context, list)),
            None => Ok(Vec::new()),
        }
    }

    /// The codes of a list, `getListLength` times the bytes of a code, as on the CPU. The GPU's format is the same.
    #[name = "getListVectorData"]
    fn list_codes(this: &GpuIndexIVF, listId: i64, #[default = false] _gpuFormat: bool) -> Result<Vec<u8>> {
        let list = this.check_list(listId)?;
        match this.lists()? {
            Some(lists) => this.with(|context| lists.list_codes(context, list)),
            None => Ok(Vec::new()),
        }
    }

    /// The k best of the given lists: list numbers `Iq` (n, nprobe) and distances to their centroids `Dq`; -1 is no list.
    fn search_preassigned(
        this: &dyn GpuInvertedFile,
        x: &[f32],
        k: usize,
        Iq: &[i64],
        Dq: &[f32],
        #[class = "SearchParametersIVF"]
        #[default = None]
        params: Option<&dyn Object>,
        #[default = false] store_pairs: bool,
    ) -> Result<Found> {
        preassigned(this.ivf().rows(x)?, k, |distances, labels| {
            search::search_preassigned(this, x, k, Iq, Dq, params, store_pairs, distances, labels)
        })
    }

    /// Adds vectors (n, d) to the given lists (n,); -1 means that the vector is counted but in no list.
    fn add_core(this: &mut dyn GpuInvertedFile, x: &[f32], ids: Option<&[i64]>, coarse_idx: &[i64]) -> Result<()> {
        edit::add_core(this, x, ids, coarse_idx)
    }

    /// Gives existing ids (n,) other vectors (n, d).
    fn update_vectors(this: &mut dyn GpuInvertedFile, keys: &[i64], x: &[f32]) -> Result<()> {
        entries::update_vectors(this, keys, x)
    }

    /// Makes room for as many vectors in all.
    #[name = "reserveMemory"]
    fn reserve_memory(this: &mut dyn GpuInvertedFile, numVecs: usize) -> Result<()> {
        edit::reserve_memory(this, numVecs)
    }

    /// Gives back memory of the GPU that no vector needs; returns how many bytes.
    #[name = "reclaimMemory"]
    fn reclaim_memory(this: &mut dyn GpuInvertedFile) -> Result<usize> {
        edit::reclaim_memory(this)
    }

    /// Says that the quantizer was changed by others than this index.
    #[name = "updateQuantizer"]
    fn update_quantizer(this: &mut dyn GpuInvertedFile) -> Result<()> {
        coarse::update_quantizer(this)
    }
}
