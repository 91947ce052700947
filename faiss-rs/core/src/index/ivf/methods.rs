//! What Python sees of inverted files beyond their fields and the methods of all indexes.

use faiss_derive::methods;

use super::{IndexIVF, InvertedFile, edit, entries, search};
use crate::base::declare::{Rows, Shaped};
use crate::base::memory::filled;
use crate::base::{Error, Object, Result, Shared};
use crate::distance::RangeSearchResult;
use crate::storage::lists::InvertedLists;

/// Distances and labels of `search_preassigned`, `n * k` each.
pub type Found<D = f32> = (Shaped<D>, Shaped<i64>);

/// Has `search` fill distances and labels, `n * k` each, and returns them.
pub fn preassigned<D: Copy + Default>(
    n: usize,
    k: usize,
    search: impl FnOnce(&mut [D], &mut [i64]) -> Result<()>,
) -> Result<Found<D>> {
    Error::check(k > 0, "k > 0")?;
    let (mut distances, mut labels) = (filled(&[n, k], D::default())?, filled(&[n, k], -1i64)?);
    search(&mut distances, &mut labels)?;
    Ok((Shaped(distances, vec![n, k]), Shaped(labels, vec![n, k])))
}

/// What a range search found, as arrays: where each query's results begin, distances and ids.
pub fn ranges(found: RangeSearchResult) -> (Vec<i64>, Vec<f32>, Vec<i64>) {
    (found.lims.iter().map(|l| *l as i64).collect(), found.distances, found.labels)
}

/// One number of an existing list for each of `n` vectors.
fn check_list_nos(ivf: &IndexIVF, n: usize, list_nos: &[i64]) -> Result<()> {
    Error::check(list_nos.len() == n, "list_nos.size() == n")?;
    match list_nos.iter().find(|list| !(0..ivf.nlist as i64).contains(*list)) {
        Some(list) => Err(Error::failed("list_no < nlist", format!("there is no list {list} among {}", ivf.nlist))),
        None => Ok(()),
    }
}

/// The methods of all inverted files.
pub struct IVFMethods;

#[methods]
impl IVFMethods {
    /// Makes a map from ids to entries, by array, so that vectors can be reconstructed; or drops it.
    fn make_direct_map(this: &mut IndexIVF, #[default = true] new_maintain_direct_map: bool) -> Result<()> {
        this.make_direct_map(new_maintain_direct_map)
    }

    /// Makes a map from ids to entries: 0 none, 1 by array (ids count up from 0), 2 by hash table (any ids).
    fn set_direct_map_type(this: &mut IndexIVF, r#type: i32) -> Result<()> {
        edit::set_direct_map_type(this, r#type)
    }

    /// Number of entries of a list.
    fn get_list_size(this: &IndexIVF, list_no: i64) -> Result<usize> {
        let lists = this.lists()?;
        Ok(lists.list_size(lists.check_list(list_no)?))
    }

    /// The k best of the given lists: list numbers `Iq` (n, nprobe) and distances to their centroids `Dq`; -1 is no list.
    fn search_preassigned(
        this: &dyn InvertedFile,
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
            search::search_preassigned(this, x, k, Iq, Dq, params, distances, labels, store_pairs)
        })
    }

    /// All entries nearer than the radius in the given lists; lists as for `search_preassigned`. Returns lims, distances and ids.
    fn range_search_preassigned(
        this: &dyn InvertedFile,
        x: &[f32],
        radius: f32,
        keys: &[i64],
        coarse_dis: &[f32],
        #[class = "SearchParameters"]
        #[default = None]
        params: Option<&dyn Object>,
    ) -> Result<(Vec<i64>, Vec<f32>, Vec<i64>)> {
        search::range_search_preassigned(this, x, radius, keys, coarse_dis, params).map(ranges)
    }

    /// The k best, and their codes: (n, k, code_size) of uint8, after the numbers of their lists where `include_listnos`.
    fn search_and_return_codes(
        this: &dyn InvertedFile,
        x: &[f32],
        k: usize,
        #[default = false] include_listnos: bool,
        #[class = "SearchParametersIVF"]
        #[default = None]
        params: Option<&dyn Object>,
    ) -> Result<(Shaped<f32>, Shaped<i64>, Shaped<u8>)> {
        let (ivf, mut codes) = (this.ivf(), Vec::new());
        let size = ivf.code_size + if include_listnos { ivf.coarse_code_size() } else { 0 };
        let n = ivf.rows(x)?;
        let (distances, labels) = preassigned(n, k, |distances, labels| {
            codes = filled(&[labels.len(), size], 0u8)?;
            entries::search_and_return_codes(this, x, k, params, include_listnos, distances, labels, &mut codes)
        })?;
        Ok((distances, labels, Shaped(codes, vec![n, k, size])))
    }

    /// Entries of one list that have equal codes: their ids, group after group, and where each group begins, with the end of the last one.
    fn duplicates(this: &IndexIVF) -> Result<(Vec<i64>, Vec<i64>)> {
        entries::find_duplicates(this)
    }

    /// True where the ids of each list grow.
    fn check_ids_sorted(this: &IndexIVF) -> Result<bool> {
        entries::ids_are_sorted(this)
    }

    /// The codes of vectors (n, d) for their lists (n,): (n, code_size) of uint8.
    fn encode_vectors(this: &dyn InvertedFile, x: &[f32], list_nos: &[i64]) -> Result<Rows<u8>> {
        let ivf = this.ivf();
        Error::check(ivf.is_trained, "is_trained")?;
        let n = ivf.rows(x)?;
        check_list_nos(ivf, n, list_nos)?;
        let mut codes = filled(&[n, ivf.code_size], 0u8)?;
        this.encode_vectors(x, list_nos, &mut codes)?;
        Ok(Rows(codes, ivf.code_size))
    }

    /// The vectors (n, d) that codes (n, code_size) in their lists (n,) stand for.
    fn decode_vectors(this: &dyn InvertedFile, codes: &[u8], list_nos: &[i64]) -> Result<Rows<f32>> {
        let (ivf, n) = (this.ivf(), list_nos.len());
        Error::check(ivf.is_trained, "is_trained")?;
        check_list_nos(ivf, n, list_nos)?;
        Error::check(codes.len() == n * ivf.code_size, "codes.size() == n * code_size")?;
        let mut x = filled(&[n, ivf.dim()], 0f32)?;
        this.decode_vectors(codes, list_nos, &mut x)?;
        Ok(Rows(x, ivf.dim()))
    }

    /// Trains what encodes vectors, on vectors (n, d) or, if `by_residual`, on their residuals to the centroids of the lists `assign`.
    fn train_encoder(this: &mut dyn InvertedFile, x: &[f32], #[default = None] assign: Option<&[i64]>) -> Result<()> {
        let n = this.ivf().rows(x)?;
        if let Some(assign) = assign {
            check_list_nos(this.ivf(), n, assign)?;
        }
        this.train_encoder(x, assign)
    }

    /// The most vectors that the training of the encoder uses; 0 for none.
    fn train_encoder_num_vectors(this: &dyn InvertedFile) -> usize {
        this.train_encoder_num_vectors()
    }

    /// Gives existing ids (n,) other vectors (n, d). Needs a direct map.
    fn update_vectors(this: &mut dyn InvertedFile, keys: &[i64], x: &[f32]) -> Result<()> {
        edit::update_vectors(this, keys, x)
    }

    /// Adds vectors (n, d) to the given lists (n,); -1 means that the vector is counted but in no list.
    fn add_core(this: &mut dyn InvertedFile, x: &[f32], ids: Option<&[i64]>, coarse_idx: &[i64]) -> Result<()> {
        edit::add_core(this, x, ids, coarse_idx)
    }

    /// The vector of an entry of a list, as its code gives it: (d,).
    fn reconstruct_from_offset(this: &dyn InvertedFile, list_no: i64, offset: i64) -> Result<Vec<f32>> {
        let mut x = vec![0f32; this.ivf().dim()];
        edit::reconstruct_from_offset(this, list_no, offset, &mut x)?;
        Ok(x)
    }

    /// Copies entries to another index: by id from a1 to before a2 (0), by id modulo a1 being a2 (1), by number of entry (2), the part a2 of a1
    /// of each list (3), by number of list (4).
    fn copy_subset_to(this: &IndexIVF, other: &mut dyn InvertedFile, subset_type: i32, a1: i64, a2: i64) -> Result<()> {
        edit::copy_subset_to(this, other.ivf_mut(), subset_type, a1, a2).map(|_| ())
    }

    /// Takes other lists.
    fn replace_invlists(
        this: &mut IndexIVF,
        il: Option<Shared<dyn InvertedLists>>,
        #[default = false] own: bool,
    ) -> Result<()> {
        this.replace_invlists(il, own)
    }

    /// Bytes of a list's number in standalone codes.
    fn coarse_code_size(this: &IndexIVF) -> usize {
        this.coarse_code_size()
    }

    /// Trains the quantizer only.
    fn train_q1(this: &mut dyn InvertedFile, x: &[f32]) -> Result<()> {
        super::train::train_quantizer(this, x)
    }
}
