//! Training, adding and forgetting vectors.

use faiss_core::base::{Error, Result, progress};
use faiss_core::index::ivf::train::Level1;

use super::coarse::{Coarse, check_lists, update_quantizer};
use super::{Batch, Codes, GpuIndexIVF, GpuInvertedFile};
use crate::config::GpuClonerOptions;
use crate::error::check_interrupt;
use crate::given::Input;
use crate::lists::DeviceLists;
use crate::memory::{Ptr, Temp};
use crate::ops::assign;
use crate::resources::{Context, Held};

/// Bytes of vectors that are on their way through the device at a time.
const BATCH_BYTES: usize = 96 << 20;

pub fn train(index: &mut dyn GpuInvertedFile, x: &[f32]) -> Result<()> {
    let ivf = index.ivf();
    ivf.rows(x)?;
    Error::check(ivf.dim() > 0, "d > 0")?;
    Level1 {
        quantizer: ivf.quantizer()?,
        nlist: ivf.nlist,
        trains_alone: ivf.quantizer_trains_alone,
        cp: &ivf.cp,
        clustering_index: ivf.clustering_index.as_ref(),
        base: ivf,
    }
    .train(x)?;
    update_quantizer(index)?;
    index.train_encoder(x)?;
    index.ivf_mut().is_trained = true;
    Ok(())
}

/// Adds vectors of the host; see [`add`].
pub fn add_host(index: &mut dyn GpuInvertedFile, x: &[f32], ids: Option<&[i64]>) -> Result<()> {
    add(index, Input::Host(x), ids, None)
}

/// Adds vectors, on a given stream where there is one; without `ids`, theirs count up from `ntotal`. Those that the quantizer gives no list are
/// counted, but in none.
pub(in crate::index) fn add(
    index: &mut dyn GpuInvertedFile,
    x: Input<'_>,
    ids: Option<&[i64]>,
    stream: Option<usize>,
) -> Result<()> {
    add_to(index, x, ids, None, stream)
}

/// Adds vectors of the host to the given lists; a negative one means that the vector is counted but in no list.
pub fn add_core(index: &mut dyn GpuInvertedFile, x: &[f32], ids: Option<&[i64]>, list_nos: &[i64]) -> Result<()> {
    check_lists(list_nos, index.ivf().nlist)?;
    let list_nos = list_nos.iter().map(|list| (*list).max(-1) as i32).collect();
    add_to(index, Input::Host(x), ids, Some(list_nos), None)
}

fn add_to(
    index: &mut dyn GpuInvertedFile,
    x: Input<'_>,
    ids: Option<&[i64]>,
    list_nos: Option<Vec<i32>>,
    stream: Option<usize>,
) -> Result<()> {
    let ivf = index.ivf();
    Error::check(ivf.is_trained, "is_trained")?;
    let n = x.rows(ivf.dim())?;
    Error::check(ids.is_none_or(|ids| ids.len() == n), "ids.size() == n")?;
    Error::check(list_nos.as_ref().is_none_or(|lists| lists.len() == n), "coarse_idx.size() == n")?;
    ivf.lists()?;
    if n == 0 {
        return Ok(());
    }
    let handle = ivf.quantizer()?.clone();
    let quantizer = handle.read();
    let coarse = Coarse::of(ivf, &*quantizer)?;
    let list_nos = match (list_nos, coarse) {
        (Some(list_nos), _) => Some(list_nos),
        (None, Coarse::Device(_)) => None,
        (None, Coarse::Other(_)) => {
            let x = ivf.with_on(stream, |context| x.on_host(context))?;
            coarse.assign_on_host(&x, ivf.nlist)?
        }
    };
    let mut lists = take_lists(index)?;
    let mut added = 0;
    let batches = Batches { x, ids, list_nos: list_nos.as_deref(), stream };
    let done = append_all(&*index, &coarse, &batches, &mut lists, &mut added);
    let ivf = index.ivf_mut();
    ivf.lists = Some(lists);
    // What an interrupted addition brought is there, and counted.
    ivf.gpu.ntotal += added as i64;
    done
}

/// What is added.
struct Batches<'a> {
    x: Input<'a>,
    ids: Option<&'a [i64]>,
    list_nos: Option<&'a [i32]>,
    stream: Option<usize>,
}

fn append_all(
    index: &dyn GpuInvertedFile,
    coarse: &Coarse<'_>,
    given: &Batches<'_>,
    lists: &mut DeviceLists,
    added: &mut usize,
) -> Result<()> {
    let ivf = index.ivf();
    let d = ivf.dim();
    let n = given.x.rows(d)?;
    let centroids = coarse.centroids(ivf)?;
    let expected = lists.count() + n;
    let first_id = ivf.ntotal;
    ivf.with_on(given.stream, |context| {
        let mut one = |rows: Ptr<f32>, first: usize, count: usize| -> crate::Result<()> {
            let list_of = match (given.list_nos, coarse) {
                (Some(list_nos), _) => context.upload(&list_nos[first..first + count])?,
                (None, Coarse::Device(flat)) => {
                    let mut list_of = context.take::<i32>(count)?;
                    let Some(centroids) = &centroids else { return Err(no_centroids()) };
                    assign::nearest(context, rows, count, centroids, flat.metric_type, list_of.ptr_mut(), None)?;
                    list_of
                }
                (None, Coarse::Other(_)) => return Err(no_centroids()),
            };
            let batch = Batch { rows, count, lists: list_of.ptr(), centroids };
            let counted: Vec<i64>;
            let ids = match given.ids {
                Some(ids) => &ids[first..first + count],
                None => {
                    counted = (first_id + first as i64..first_id + (first + count) as i64).collect();
                    &counted
                }
            };
            append(context, index, &batch, ids, lists, expected)?;
            *added += count;
            progress::report("adding vectors", first + count, n);
            Ok(())
        };
        let page = (BATCH_BYTES / 4 / d).max(1);
        match given.x {
            Input::Host(x) => context.stream_rows(x, d, page, one),
            Input::Device(at, _) => (0..n).step_by(page).try_for_each(|first| {
                check_interrupt()?;
                one(at.at(first * d), first, page.min(n - first))
            }),
        }
    })
}

pub(super) fn no_centroids() -> crate::Error {
    crate::Error::invalid("the quantizer has no centroids on this GPU")
}

fn append(
    context: &Context<'_>,
    index: &dyn GpuInvertedFile,
    batch: &Batch,
    ids: &[i64],
    lists: &mut DeviceLists,
    expected: usize,
) -> crate::Result<()> {
    let kept: Temp<'_, u8>;
    let codes = match index.encode(context, batch)? {
        Codes::Rows => Ptr::new(batch.rows.raw().cast()),
        Codes::Bytes(codes) => {
            kept = codes;
            kept.ptr()
        }
    };
    lists.append(context, batch.lists, codes, ids, expected)
}

/// The lists to change, out of the index; new ones where there are none.
fn take_lists(index: &mut dyn GpuInvertedFile) -> Result<DeviceLists> {
    let code_size = index.code_size();
    let ivf = index.ivf_mut();
    match ivf.lists.take() {
        Some(lists) => Ok(lists),
        None => ivf.empty_lists(code_size),
    }
}

impl GpuIndexIVF {
    /// Residuals of vectors to the centroids of their lists; 0 for those of none.
    pub(super) fn residuals(&self, x: &[f32]) -> Result<Vec<f32>> {
        let d = self.dim();
        let quantizer = self.quantizer()?.read();
        let mut lists = vec![-1i64; x.len() / d];
        quantizer.assign(x, 1, &mut lists)?;
        let known: Vec<i64> = lists.iter().map(|list| (*list).max(0)).collect();
        let mut residuals = vec![0f32; x.len()];
        quantizer.compute_residual_n(x, &mut residuals, &known)?;
        let rows = residuals.chunks_exact_mut(d).zip(&lists);
        rows.filter(|(_, list)| **list < 0).for_each(|(row, _)| row.fill(0.0));
        Ok(residuals)
    }

    fn empty_lists(&self, code_size: usize) -> Result<DeviceLists> {
        let (space, indices) = (self.config.base.memory_space, self.config.indices_options);
        let mut lists = self.with(|context| DeviceLists::new(context, space, self.nlist, code_size, indices))?;
        lists.report_to(self.hold_lists());
        Ok(lists)
    }

    /// The lists' entry in the memory report.
    pub(super) fn hold_lists(&self) -> Held {
        self.gpu.resources().hold(self.config.base.device, "IVFLists")
    }

    /// Changes the lists where there are any.
    fn change_lists<R>(
        &mut self,
        work: impl FnOnce(&mut DeviceLists, &Context<'_>) -> crate::Result<R>,
    ) -> Result<Option<R>> {
        let Some(mut lists) = self.lists.take() else { return Ok(None) };
        let done = self.with(|context| work(&mut lists, context));
        self.lists = Some(lists);
        done.map(Some)
    }
}

/// Makes room for as many vectors in all.
pub fn reserve_memory(index: &mut dyn GpuInvertedFile, vectors: usize) -> Result<()> {
    let lists = take_lists(index)?;
    index.ivf_mut().lists = Some(lists);
    index.ivf_mut().change_lists(|lists, context| lists.reserve(context, vectors)).map(drop)
}

/// Makes the room that cloner options ask for, in an index without vectors.
pub fn reserve_for(index: &mut dyn GpuInvertedFile, options: &GpuClonerOptions) -> Result<()> {
    match usize::try_from(options.reserve_vecs) {
        Ok(vectors) if vectors > 0 && index.ivf().ntotal == 0 => reserve_memory(index, vectors),
        _ => Ok(()),
    }
}

/// Gives back memory that no vector needs; how many bytes that are.
pub fn reclaim_memory(index: &mut dyn GpuInvertedFile) -> Result<usize> {
    Ok(index.ivf_mut().change_lists(|lists, context| lists.compact(context))?.unwrap_or(0))
}

/// Forgets all vectors, not the training nor the memory.
pub fn reset(index: &mut dyn GpuInvertedFile) -> Result<()> {
    let ivf = index.ivf_mut();
    ivf.change_lists(|lists, context| lists.reset(context))?;
    ivf.gpu.ntotal = 0;
    Ok(())
}
