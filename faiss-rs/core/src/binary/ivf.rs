//! Inverted file of binary vectors.

use faiss_derive::{Object, methods};

use super::scan::Scan;
use super::{IndexBinary, IndexBinaryBase, binary_base, flat::IndexBinaryFlat, from_float, hamming, header};
use crate::base::object::{cast, cast_mut};
use crate::base::{Error, Object, Result, Shared, interrupt, threads};
use crate::cluster::{Clustering, ClusteringParameters};
use crate::distance::RangeSearchResult;
use crate::distance::collect::{Collector, Hit};
use crate::index::Index;
use crate::index::flat_l2::IndexFlatL2;
use crate::index::ivf::format::MaybeLists;
use crate::index::ivf::methods::{Found, preassigned, ranges};
use crate::index::ivf::params::{self, SearchParametersIVF};
use crate::registry::Row;
use crate::selector::IDSelector;
use crate::storage::direct_map::{DirectMap, lo_listno, lo_offset};
use crate::storage::lists::{ArrayInvertedLists, InvertedLists};

/// Vectors that are added at a time.
const ADD_BLOCK: usize = 1 << 16;
/// Entries of a list whose distances are computed at a time.
const SCAN_BLOCK: usize = 512;

/// Stores binary vectors in the lists of a coarse quantizer.
///
/// Vectors are bits in bytes, uint8 (n, d / 8); distances are numbers of bits that differ, int32. `quantizer`: an empty `IndexBinaryFlat(d)` that
/// will hold the centroids. `nprobe`: lists that a search looks into.
#[derive(Object, Clone)]
#[object(methods, implements(IndexBinary), copy(quantizer, invlists, clustering_index = None, own_fields = true, own_invlists = true))]
pub struct IndexBinaryIVF {
    /// What every binary index has.
    #[object(parent)]
    pub base: IndexBinaryBase,
    /// The lists.
    pub invlists: Option<Shared<dyn InvertedLists>>,
    /// Whether the lists belong to this index. Memory is managed by reference counts, whatever this says.
    #[object(default = true)]
    pub own_invlists: bool,
    /// Number of lists that a search looks into.
    #[object(default = 1)]
    pub nprobe: usize,
    /// A search looks at this many vectors at most; 0 for no limit.
    pub max_codes: usize,
    /// Accepted for compatibility: one way of collecting results is best here at every k.
    #[object(default = true)]
    pub use_heap: bool,
    /// Accepted for compatibility: results are the same.
    pub per_invlist_search: bool,
    /// From ids to entries of the lists.
    pub direct_map: DirectMap,
    /// Assigns vectors to lists.
    pub quantizer: Option<Shared<dyn IndexBinary>>,
    /// Number of lists.
    pub nlist: usize,
    /// Whether the quantizer belongs to this index. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// Parameters of the k-means of the quantizer.
    #[object(default = ClusteringParameters { niter: 10, ..Default::default() })]
    pub cp: ClusteringParameters,
    /// If set, assigns points, as floats, to centroids in that k-means.
    pub clustering_index: Option<Shared<dyn Index>>,
}

pub(crate) const ROW: Row =
    Row::of::<IndexBinaryIVF>().format(crate::file_format!(IndexBinaryIVF, ["IBwF"], |index, _code, file| {
        index.base;
        index.nlist;
        index.nprobe;
        read { file.check_loop(index.nlist, "nlist")?; }
        index.quantizer;
        read {
            index.own_fields = true;
            header::check_d(index.quantizer.as_ref(), &index.base)?;
        }
        index.direct_map;
        index.invlists => MaybeLists;
        read {
            if let Some(lists) = index.invlists.take() {
                index.replace_invlists(Some(lists), true)?;
            }
        }
    }));

/// What a search was asked for, by parameters or by the index itself.
struct Limits {
    nprobe: usize,
    max_codes: usize,
}

#[methods(new)]
impl IndexBinaryIVF {
    /// Over `nlist` lists of `quantizer`, whose vectors have `d` bits and which is or will be trained.
    #[new]
    pub fn new(
        quantizer: Shared<dyn IndexBinary>,
        d: i64,
        nlist: usize,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        let mut base = IndexBinaryBase::new(d)?;
        {
            let quantizer = quantizer.read();
            Error::check(quantizer.base().d == base.d, "d == quantizer->d")?;
            base.is_trained = quantizer.base().is_trained && quantizer.base().ntotal == nlist as i64;
        }
        let lists = ArrayInvertedLists::new(nlist, base.bytes())?;
        let invlists = own_invlists.then(|| Shared::new(lists));
        Ok(IndexBinaryIVF { base, invlists, own_invlists, quantizer: Some(quantizer), nlist, ..Default::default() })
    }

    /// The number of entries of a list.
    pub fn get_list_size(&self, list_no: i64) -> Result<usize> {
        let lists = self.lists()?.read();
        Ok(lists.list_size(lists.check_list(list_no)?))
    }

    /// Makes a map from ids to entries, by array, so that vectors can be reconstructed; or drops it.
    fn make_direct_map(&mut self, #[default = true] new_maintain_direct_map: bool) -> Result<()> {
        self.set_direct_map_type(i32::from(new_maintain_direct_map))
    }

    /// Makes a map from ids to entries: 0 none, 1 by array (ids count up from 0), 2 by hash table (any ids).
    pub fn set_direct_map_type(&mut self, r#type: i32) -> Result<()> {
        let lists = self.lists()?.clone();
        let ntotal = usize::try_from(self.ntotal).unwrap_or(0);
        self.direct_map.set_type(r#type, &*lists.read(), ntotal)
    }

    /// Takes other lists; those that were here are let go.
    pub fn replace_invlists(
        &mut self,
        il: Option<Shared<dyn InvertedLists>>,
        #[default = false] own: bool,
    ) -> Result<()> {
        if let Some(lists) = &il {
            self.check_lists(&*lists.read())?;
        }
        (self.invlists, self.own_invlists) = (il, own);
        Ok(())
    }

    /// Adds vectors to the given lists; a negative one means that the vector is counted but in no list.
    pub fn add_core(&mut self, x: &[u8], ids: Option<&[i64]>, coarse_idx: &[i64]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let n = self.rows(x)?;
        Error::check(
            coarse_idx.len() == n && ids.is_none_or(|ids| ids.len() == n),
            "coarse_idx.size() == n && ids.size() == n",
        )?;
        self.check_list_nos(coarse_idx)?;
        self.direct_map.check_can_add(ids)?;
        let counted: Vec<i64>;
        let ids = match ids {
            Some(ids) => ids,
            None => {
                counted = (self.ntotal..self.ntotal + n as i64).collect();
                &counted
            }
        };
        let mut offsets = vec![-1i64; n];
        self.lists()?.clone().write().add_many(coarse_idx, ids, x, &mut offsets)?;
        self.direct_map.add(ids, coarse_idx, &offsets);
        self.ntotal += n as i64;
        Ok(())
    }

    /// The k nearest vectors in the given lists (n, nprobe); -1 is no list.
    #[name = "search_preassigned"]
    fn found_preassigned(&self, x: &[u8], k: usize, assign: &[i64]) -> Result<Found<i32>> {
        let (n, limits) = (self.rows(x)?, self.limits(None)?);
        preassigned(n, k, |distances, labels| {
            self.search_preassigned(x, k, assign, limits.max_codes, distances, labels)
        })
    }

    /// The vectors nearer than the radius in the given lists: lims, distances and ids.
    #[name = "range_search_preassigned"]
    fn range_preassigned(&self, x: &[u8], radius: i32, assign: &[i64]) -> Result<(Vec<i64>, Vec<f32>, Vec<i64>)> {
        Ok(ranges(self.range_search_preassigned(x, radius, assign)?))
    }

    /// The vector of an entry of a list: (code_size,).
    #[name = "reconstruct_from_offset"]
    fn entry(&self, list_no: i64, offset: i64) -> Result<Vec<u8>> {
        let mut x = vec![0u8; self.bytes()];
        self.reconstruct_from_offset(list_no, offset, &mut x)?;
        Ok(x)
    }
}

impl IndexBinaryIVF {
    /// The quantizer; an error where there is none.
    pub fn quantizer(&self) -> Result<&Shared<dyn IndexBinary>> {
        self.quantizer.as_ref().ok_or_else(|| Error::failed("quantizer", "the index has no quantizer"))
    }

    fn lists(&self) -> Result<&Shared<dyn InvertedLists>> {
        let lists =
            self.invlists.as_ref().ok_or_else(|| Error::failed("invlists", "the index has no inverted lists"))?;
        self.check_lists(&*lists.read())?;
        Ok(lists)
    }

    fn check_lists(&self, lists: &dyn InvertedLists) -> Result<()> {
        Error::check(lists.base().nlist == self.nlist, "invlists->nlist == nlist")?;
        Error::check(lists.base().code_size == self.bytes(), "invlists->code_size == code_size")
    }

    /// The vector of an entry.
    pub fn reconstruct_from_offset(&self, list: i64, offset: i64, out: &mut [u8]) -> Result<()> {
        Error::check(out.len() == self.bytes(), "recons.size() == code_size")?;
        let lists = self.lists()?.read();
        let (list, offset) = lists.check_entry(list, offset)?;
        out.copy_from_slice(&lists.codes(list)[offset * out.len()..(offset + 1) * out.len()]);
        Ok(())
    }

    fn check_list_nos(&self, list_nos: &[i64]) -> Result<()> {
        match list_nos.iter().find(|list| **list >= self.nlist as i64) {
            Some(list) => Err(Error::failed("key < nlist", format!("Invalid key={list} nlist={}", self.nlist))),
            None => Ok(()),
        }
    }

    fn add_blocks(&mut self, x: &[u8], ids: Option<&[i64]>) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let (n, size) = (self.rows(x)?, self.bytes());
        Error::check(ids.is_none_or(|ids| ids.len() == n), "ids.size() == n")?;
        self.direct_map.check_can_add(ids)?;
        self.lists()?;
        for first in (0..n).step_by(ADD_BLOCK) {
            interrupt::check()?;
            let end = (first + ADD_BLOCK).min(n);
            let x = &x[first * size..end * size];
            let mut list_nos = vec![-1; end - first];
            self.quantizer()?.read().assign(x, 1, &mut list_nos)?;
            self.add_core(x, ids.map(|ids| &ids[first..end]), &list_nos)?;
        }
        Ok(())
    }

    fn limits(&self, params: Option<&dyn Object>) -> Result<Limits> {
        let params: Option<&SearchParametersIVF> = params::of_search(params)?;
        if params.is_some_and(|p| p.sel.is_some()) {
            return Err(Error::failed("!params->sel", "IDSelector is not supported for IndexBinaryIVF"));
        }
        let nprobe = params.map_or(self.nprobe, |p| p.nprobe).min(self.nlist);
        Error::check(nprobe > 0, "nprobe > 0")?;
        let max_codes = params.map_or(self.max_codes, |p| p.max_codes);
        Ok(Limits { nprobe, max_codes: if max_codes == 0 { usize::MAX } else { max_codes } })
    }

    /// The lists nearest to each query.
    fn probe(&self, x: &[u8], nprobe: usize) -> Result<Vec<i64>> {
        let mut list_nos = vec![-1; self.rows(x)? * nprobe];
        self.quantizer()?.read().assign(x, nprobe, &mut list_nos)?;
        Ok(list_nos)
    }

    /// The `k` nearest vectors in the given lists: `list_nos` holds `n * nprobe`; a negative number is none.
    pub fn search_preassigned(
        &self,
        x: &[u8],
        k: usize,
        list_nos: &[i64],
        max_codes: usize,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        let n = self.queries(x, k, distances, labels)?;
        Preassigned { index: self, list_nos, max_codes }.nearest(x, n, k, distances, labels)
    }

    /// The vectors at a distance below `radius` in the given lists.
    pub fn range_search_preassigned(&self, x: &[u8], radius: i32, list_nos: &[i64]) -> Result<RangeSearchResult> {
        Preassigned { index: self, list_nos, max_codes: usize::MAX }.within(x, self.rows(x)?, radius)
    }
}

/// A search in given lists, `n * nprobe` of them; a negative number is none.
struct Preassigned<'a> {
    index: &'a IndexBinaryIVF,
    list_nos: &'a [i64],
    max_codes: usize,
}

impl Scan for Preassigned<'_> {
    /// Goes through the lists of each query, nearest first; `done` gets the query's results.
    fn scan<C: Collector>(
        &self,
        x: &[u8],
        n: usize,
        collector: impl Fn() -> C + Sync,
        done: impl Fn(usize, Vec<Hit>) + Sync,
    ) -> Result<()> {
        let Preassigned { index, list_nos, max_codes } = *self;
        Error::check(n == 0 || list_nos.len().is_multiple_of(n), "assign.size() == n * nprobe")?;
        index.check_list_nos(list_nos)?;
        let (nprobe, size) = (list_nos.len().checked_div(n).unwrap_or(0), index.bytes());
        let lists = index.lists()?.read();
        threads::parallel_for(n, |q| {
            interrupt::check()?;
            let (mut own, mut seen) = (collector(), 0);
            let (mut keys, mut hits) = ([0f32; SCAN_BLOCK], [0u32; SCAN_BLOCK]);
            let own_lists =
                list_nos[q * nprobe..(q + 1) * nprobe].iter().filter_map(|list| usize::try_from(*list).ok());
            for list in own_lists {
                let (codes, ids) = (lists.codes(list), lists.ids(list));
                let entries = ids.len().min(max_codes - seen);
                for first in (0..entries).step_by(SCAN_BLOCK) {
                    let end = (first + SCAN_BLOCK).min(entries);
                    let keys = &mut keys[..end - first];
                    hamming::hamming_ny(&x[q * size..(q + 1) * size], &codes[first * size..end * size], keys);
                    hamming::offer(keys, |at| Some(ids[first + at]), &mut own, &mut hits);
                }
                seen += entries;
                if seen >= max_codes {
                    break;
                }
            }
            done(q, own.finish());
            Ok(())
        })
    }
}

impl IndexBinary for IndexBinaryIVF {
    binary_base!();

    /// k-means over the vectors as floats; centroids are rounded to bits.
    fn train(&mut self, x: &[u8]) -> Result<()> {
        self.rows(x)?;
        let quantizer = self.quantizer()?.clone();
        let mut quantizer = quantizer.write();
        if quantizer.base().is_trained && quantizer.base().ntotal == self.nlist as i64 {
            if self.verbose {
                println!("IVF quantizer does not need training.");
            }
            self.is_trained = true;
            return Ok(());
        }
        let d = self.d as usize;
        let mut clustering = Clustering { cp: self.cp.clone(), ..Clustering::new(d, self.nlist) };
        clustering.verbose |= self.verbose;
        let x = from_float::floats(x)?;
        match &self.clustering_index {
            Some(assigner) => clustering.train(&x, &mut *assigner.write(), None)?,
            None => clustering.train(&x, &mut IndexFlatL2::new(i64::from(self.d))?, None)?,
        }
        let mut centroids = vec![0u8; self.nlist * self.bytes()];
        from_float::real_to_binary(&clustering.centroids, &mut centroids)?;
        quantizer.reset()?;
        quantizer.train(&centroids)?;
        quantizer.add(&centroids)?;
        quantizer.base_mut().is_trained = true;
        self.is_trained = true;
        Ok(())
    }
    fn add(&mut self, x: &[u8]) -> Result<()> {
        self.add_blocks(x, None)
    }
    fn add_with_ids(&mut self, x: &[u8], ids: &[i64]) -> Result<()> {
        self.add_blocks(x, Some(ids))
    }
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.queries(x, k, distances, labels)?;
        let limits = self.limits(params)?;
        let list_nos = self.probe(x, limits.nprobe)?;
        self.search_preassigned(x, k, &list_nos, limits.max_codes, distances, labels)
    }
    fn range_search(&self, x: &[u8], radius: i32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        super::no_params(params)?;
        let list_nos = self.probe(x, self.limits(None)?.nprobe)?;
        self.range_search_preassigned(x, radius, &list_nos)
    }
    fn reset(&mut self) -> Result<()> {
        self.lists()?.clone().write().reset()?;
        self.direct_map.clear();
        self.ntotal = 0;
        Ok(())
    }
    fn reconstruct(&self, key: i64, out: &mut [u8]) -> Result<()> {
        let lo = self.direct_map.get(key)?;
        self.reconstruct_from_offset(lo_listno(lo) as i64, lo_offset(lo) as i64, out)
    }
    fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [u8]) -> Result<()> {
        let size = self.bytes();
        let end = i64::try_from(ni).ok().and_then(|ni| i0.checked_add(ni));
        let inside = i0 >= 0 && end.is_some_and(|end| end <= self.ntotal);
        Error::check(ni == 0 || inside, "ni == 0 || (i0 >= 0 && i0 + ni <= ntotal)")?;
        Error::check(ni.checked_mul(size) == Some(out.len()), "recons.size() == ni * code_size")?;
        let lists = self.lists()?.read();
        for list in 0..self.nlist {
            let (ids, codes) = (lists.ids(list), lists.codes(list));
            for (id, code) in ids.iter().zip(codes.chunks_exact(size.max(1))) {
                let at = id.checked_sub(i0).and_then(|at| usize::try_from(at).ok()).filter(|at| *at < ni);
                if let Some(at) = at {
                    out[at * size..(at + 1) * size].copy_from_slice(code);
                }
            }
        }
        Ok(())
    }
    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let lists = self.lists()?.clone();
        let removed = self.direct_map.remove_ids(sel, &mut *lists.write())?;
        self.ntotal -= removed as i64;
        Ok(removed)
    }
    fn check_compatible_for_merge(&self, other: &dyn IndexBinary) -> Result<()> {
        let other = cast::<IndexBinaryIVF>(other);
        let other = other.ok_or_else(|| Error::failed("other", "the other index is no IndexBinaryIVF"))?;
        Error::check(other.d == self.d, "other->d == d")?;
        Error::check(other.nlist == self.nlist, "other->nlist == nlist")?;
        Error::check(other.code_size == self.code_size, "other->code_size == code_size")?;
        if !self.direct_map.no() || !other.direct_map.no() {
            return Err(Error::failed("direct_map.no() && other->direct_map.no()", "direct map copy not implemented"));
        }
        let (ours, theirs) = (self.quantizer()?, other.quantizer()?);
        if ours.same(theirs) {
            return Ok(());
        }
        let (ours, theirs) = (ours.read(), theirs.read());
        let same = match (cast::<IndexBinaryFlat>(&*ours), cast::<IndexBinaryFlat>(&*theirs)) {
            (Some(a), Some(b)) => a.xb == b.xb,
            _ => std::ptr::eq(ours.info(), theirs.info()) && ours.base().ntotal == theirs.base().ntotal,
        };
        Error::check(same, "coarse quantizers should be the same")
    }
    fn merge_from(&mut self, other: &mut dyn IndexBinary, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        let Some(other) = cast_mut::<IndexBinaryIVF>(other) else { return Ok(()) };
        let (from, to) = (other.lists()?.clone(), self.lists()?.clone());
        if from.same(&to) {
            return Err(Error::value("both indexes have the same lists"));
        }
        to.write().merge_from(&mut *from.write(), add_id)?;
        self.ntotal += other.ntotal;
        other.ntotal = 0;
        Ok(())
    }
}
