//! Inverted files: a coarse quantizer assigns each vector to a list, and a search looks into the lists nearest to the query.
//!
//! | file | what lives there |
//! |---|---|
//! | `mod.rs` | the fields of all inverted files, and the trait [`InvertedFile`]: what one kind must define |
//! | `macro` [`inverted_file_index`](crate::inverted_file_index) | the rest of `Index`, the same for all kinds |
//! | `params.rs` | search parameters and statistics |
//! | `train.rs`, `edit.rs`, `search.rs`, `scan.rs` | what all kinds do |
//! | `format.rs` | the shared parts of files |
//! | `codec.rs` | what follows from a quantizer of the codes |
//! | `computer.rs` | distances to entries by id |
//! | `residual_levels.rs` | lists by the first codebooks of a residual quantizer |
//! | `within.rs` | functions on the inverted file inside an index |
//! | `list_scanner.rs` | a scanner in the caller's hands |
//! | `additive.rs`, `eden.rs`, `flat.rs`, `pq.rs`, `rabitq.rs`, `scalar.rs`, ... | one kind each |

pub mod additive;
pub mod additive_fast_scan;
pub mod codec;
pub mod computer;
pub mod eden;
pub mod edit;
pub mod entries;
pub mod fast_scan;
pub mod flat;
pub mod flat_dedup;
pub mod flat_panorama;
pub mod format;
pub mod independent;
pub mod list_scanner;
pub mod methods;
pub mod params;
pub mod pq;
pub mod pq_fast_scan;
pub mod pqr;
pub mod rabitq;
pub mod rabitq_fast_scan;
pub mod residual_levels;
pub mod scalar;
pub mod scan;
pub mod search;
pub mod spectral_hash;
pub mod train;
pub mod within;

use std::borrow::Cow;

use faiss_derive::Object;

use super::{Index, IndexBase};
use crate::base::object::{FieldMut, Object};
use crate::base::{Error, MetricType, ReadGuard, Result, Shared, Value};
use crate::cluster::ClusteringParameters;
use crate::distance::results::{InRadius, TopK};
use crate::index::tuning::{self, Tuned};
use crate::quantize::Quantizer;
use crate::registry::Row;
use crate::storage::direct_map::{self, DirectMap};
use crate::storage::lists::{ArrayInvertedLists, InvertedLists};

pub use scan::{Scanner, Searcher};
pub use search::Pairs;

/// Base of the inverted files: a coarse quantizer, and lists of codes.
///
/// Training finds `nlist` centroids by k-means; each vector goes to the list of its nearest one, and a search looks into the lists of the
/// `nprobe` centroids nearest to the query: more of them find more and take longer. Ids are any int64, or count up.
#[derive(Object, Clone)]
#[object(
    implements(Tuned),
    abstract,
    methods(methods::IVFMethods),
    copy(quantizer, invlists, clustering_index = None, own_fields = true, own_invlists = true)
)]
pub struct IndexIVF {
    /// What every index has.
    #[object(parent, default = IndexBase { is_trained: false, ..Default::default() })]
    pub base: IndexBase,
    /// Assigns vectors to lists.
    pub quantizer: Option<Shared<dyn Index>>,
    /// Number of lists.
    pub nlist: usize,
    /// 0: k-means trains the quantizer; 1: it trains itself; 2: k-means trains centroids, which are then added to it.
    pub quantizer_trains_alone: u8,
    /// Whether the quantizer belongs to this index. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// Parameters of the k-means of the quantizer.
    #[object(default = ClusteringParameters { niter: 10, ..Default::default() })]
    pub cp: ClusteringParameters,
    /// If set, assigns points to centroids in that k-means.
    pub clustering_index: Option<Shared<dyn Index>>,
    /// Number of lists that a search looks into.
    #[object(default = 1)]
    pub nprobe: usize,
    /// A search looks at this many codes at most; 0 for no limit.
    pub max_codes: usize,
    /// The lists.
    pub invlists: Option<Shared<dyn InvertedLists>>,
    /// Whether the lists belong to this index. Memory is managed by reference counts, whatever this says.
    pub own_invlists: bool,
    /// Bytes of one code.
    pub code_size: usize,
    /// How a search is shared among threads, 0 to 3, plus 1024; results are the same.
    pub parallel_mode: i32,
    /// From ids to entries of the lists.
    pub direct_map: DirectMap,
    /// Whether codes are of the residual to the list's centroid.
    #[object(default = true)]
    pub by_residual: bool,
}

/// The flag of `parallel_mode` that what the arrays of a search hold counts among the results: distances of labels that are not negative.
pub const PARALLEL_MODE_NO_HEAP_INIT: i32 = 1024;

pub(crate) const ROW: Row = Row::of::<IndexIVF>();

impl IndexIVF {
    /// Over `nlist` lists of `quantizer`, of codes of `code_size` bytes.
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        code_size: usize,
        metric: MetricType,
        own_invlists: bool,
    ) -> Result<Self> {
        let mut base = IndexBase::new(d, metric)?;
        let (quantizer_d, ready) = {
            let q = quantizer.read();
            (q.base().d, q.base().is_trained && q.base().ntotal == nlist as i64)
        };
        if quantizer_d != base.d {
            let message = format!("the quantizer has dimension {quantizer_d}, the index {d}");
            return Err(Error::failed("static_cast<int>(d_in) == quantizer_in->d", message));
        }
        base.is_trained = ready;
        let spherical = metric == MetricType::InnerProduct;
        let lists = ArrayInvertedLists::new(nlist, code_size)?;
        Ok(IndexIVF {
            base,
            quantizer: Some(quantizer),
            nlist,
            cp: ClusteringParameters { niter: 10, spherical, ..Default::default() },
            invlists: own_invlists.then(|| Shared::new(lists)),
            own_invlists,
            code_size,
            ..Default::default()
        })
    }

    /// The quantizer, or an error where it was taken away.
    pub fn quantizer(&self) -> Result<&Shared<dyn Index>> {
        self.quantizer.as_ref().ok_or_else(|| Error::failed("quantizer", "the index has no quantizer"))
    }

    /// The lists' handle, or an error where they were taken away.
    pub fn lists_handle(&self) -> Result<&Shared<dyn InvertedLists>> {
        self.invlists.as_ref().ok_or_else(|| Error::failed("invlists", "the index has no inverted lists"))
    }

    /// The lists, read, after a check that they fit the index.
    pub fn lists(&self) -> Result<ReadGuard<'_, dyn InvertedLists>> {
        let lists = self.lists_handle()?.read();
        self.check_lists(&*lists)?;
        Ok(lists)
    }

    /// An error where lists are not as many, or their codes not as long, as the index says.
    pub fn check_lists(&self, lists: &dyn InvertedLists) -> Result<()> {
        let base = lists.base();
        Error::check(base.nlist == self.nlist, "invlists->nlist == nlist")?;
        Error::check(base.code_size == self.code_size, "invlists->code_size == code_size")
    }

    /// An error where the quantizer and the index differ in dimension or number of lists.
    pub fn check_quantizer(&self, quantizer: &dyn Index) -> Result<()> {
        Error::check(quantizer.base().d == self.d, "quantizer->d == d")?;
        Error::check(quantizer.base().ntotal == self.nlist as i64, "quantizer->ntotal == nlist")
    }

    /// Bytes of a list's number.
    pub fn coarse_code_size(&self) -> usize {
        let most = self.nlist.saturating_sub(1);
        (usize::BITS - most.leading_zeros()).div_ceil(8) as usize
    }

    /// Writes a list's number as the beginning of a stand-alone code.
    pub fn encode_listno(&self, list: usize, code: &mut [u8]) {
        code.iter_mut().enumerate().for_each(|(i, byte)| *byte = (list >> (8 * i)) as u8);
    }

    /// The number of a list, if there is such a one.
    pub fn decode_listno(&self, code: &[u8]) -> Result<usize> {
        let list = code.iter().enumerate().fold(0, |list, (i, byte)| list | usize::from(*byte) << (8 * i));
        if list >= self.nlist {
            return Err(Error::failed("list_no >= 0 && list_no < nlist", format!("there is no list {list}")));
        }
        Ok(list)
    }

    /// Takes other lists; those that were here are let go.
    pub fn replace_invlists(&mut self, lists: Option<Shared<dyn InvertedLists>>, own: bool) -> Result<()> {
        if let Some(lists) = &lists {
            self.check_lists(&*lists.read())?;
        }
        (self.invlists, self.own_invlists) = (lists, own);
        Ok(())
    }

    /// Makes an array from ids, which must count up from 0, to entries of the lists; or drops the map.
    pub fn make_direct_map(&mut self, on: bool) -> Result<()> {
        edit::set_direct_map_type(self, if on { direct_map::ARRAY } else { direct_map::NO_MAP })
    }
}

/// What a search is over: the index's coarse quantizer and lists, locked, the pairs of query and list that it visits, and its parameters.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    /// The coarse quantizer.
    pub quantizer: &'a dyn Index,
    /// The lists.
    pub lists: &'a dyn InvertedLists,
    /// Pairs of query and list.
    pub visits: usize,
    /// What the caller gave.
    pub params: Option<&'a dyn Object>,
}

/// What a kind of inverted file defines; the rest is the same for all.
pub trait InvertedFile: Index {
    /// The inverted file.
    fn ivf(&self) -> &IndexIVF;
    /// The same, to be changed.
    fn ivf_mut(&mut self) -> &mut IndexIVF;
    /// Makes and compares the codes. A type that has one needs no more than its training; one that has none defines the rest itself.
    fn codec(&self) -> Result<&dyn Quantizer> {
        Err(Error::unsupported("codec", self.info().name))
    }
    /// What makes codes, to be trained.
    fn codec_mut(&mut self) -> Result<&mut dyn Quantizer> {
        Err(Error::unsupported("codec", self.info().name))
    }
    /// Encodes vectors for their lists, to `n * code_size` bytes. Vectors of a negative list may get any code.
    fn encode_vectors(&self, x: &[f32], list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
        codec::encode_vectors(self.ivf(), self.codec()?, x, list_nos, codes)
    }
    /// The codes of vectors for their lists, `n * code_size` bytes; borrowed where vectors are their own codes.
    fn codes_of<'a>(&self, x: &'a [f32], list_nos: &[i64]) -> Result<Cow<'a, [u8]>> {
        let mut codes = vec![0; list_nos.len() * self.ivf().code_size];
        self.encode_vectors(x, list_nos, &mut codes)?;
        Ok(Cow::Owned(codes))
    }
    /// The reverse.
    fn decode_vectors(&self, codes: &[u8], list_nos: &[i64], x: &mut [f32]) -> Result<()> {
        codec::decode_vectors(self.ivf(), self.codec()?, codes, list_nos, x)
    }
    /// Learns to encode: from vectors, or from residuals if `by_residual`.
    fn train_encoder(&mut self, x: &[f32], _assign: Option<&[i64]>) -> Result<()> {
        self.codec_mut()?.train(x)
    }
    /// The most vectors that [`InvertedFile::train_encoder`] needs; 0 for all.
    fn train_encoder_num_vectors(&self) -> usize {
        0
    }
    /// What scanning needs for a search, where it is not the quantizer's.
    fn searcher<'a>(&'a self, _search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        Ok(None)
    }
    /// Searches pairs of queries and lists in a way of its own, by groups of queries as packed codes want it. False where it has none; then they
    /// are scanned one by one.
    fn search_pairs(&self, _pairs: &Pairs<'_>, _k: usize, _out: &TopK<'_>) -> Result<bool> {
        Ok(false)
    }
    /// As [`InvertedFile::search_pairs`], all within a radius.
    fn range_search_pairs(&self, _pairs: &Pairs<'_>, _radius: f32, _out: &InRadius) -> Result<bool> {
        Ok(false)
    }
    /// An error where codes of `other`, of the same type, mean something else.
    fn check_same_codes(&self, _other: &dyn InvertedFile) -> Result<()> {
        Ok(())
    }
}

crate::view!(InvertedFile, "IndexIVF");

/// Inside `impl InvertedFile for T`: where the lists are, and the field that makes the codes, where there is one.
#[macro_export]
macro_rules! lists_and_codec {
    ($($ivf:ident).+ $(, $codec:ident)?) => {
        fn ivf(&self) -> &$crate::index::ivf::IndexIVF {
            &self.$($ivf).+
        }
        fn ivf_mut(&mut self) -> &mut $crate::index::ivf::IndexIVF {
            &mut self.$($ivf).+
        }
        $(
            fn codec(&self) -> $crate::base::Result<&dyn $crate::quantize::Quantizer> {
                Ok(&self.$codec)
            }
            fn codec_mut(&mut self) -> $crate::base::Result<&mut dyn $crate::quantize::Quantizer> {
                Ok(&mut self.$codec)
            }
        )?
    };
}

/// Inside `impl Index for T`, where `T` is an [`InvertedFile`]: all of it.
#[macro_export]
macro_rules! inverted_file_index {
    () => {
        fn base(&self) -> &$crate::index::IndexBase {
            self
        }
        fn base_mut(&mut self) -> &mut $crate::index::IndexBase {
            self
        }
        fn train(&mut self, x: &[f32]) -> $crate::base::Result<()> {
            $crate::index::ivf::train::train(self, x)
        }
        fn add(&mut self, x: &[f32]) -> $crate::base::Result<()> {
            $crate::index::ivf::edit::add(self, x, None)
        }
        fn add_with_ids(&mut self, x: &[f32], ids: &[i64]) -> $crate::base::Result<()> {
            $crate::index::ivf::edit::add(self, x, Some(ids))
        }
        fn search(
            &self,
            x: &[f32],
            k: usize,
            params: Option<&dyn $crate::base::Object>,
            distances: &mut [f32],
            labels: &mut [i64],
        ) -> $crate::base::Result<()> {
            $crate::index::ivf::search::search(self, x, k, params, distances, labels, false)
        }
        fn range_search(
            &self,
            x: &[f32],
            radius: f32,
            params: Option<&dyn $crate::base::Object>,
        ) -> $crate::base::Result<$crate::index::RangeSearchResult> {
            $crate::index::ivf::search::range_search(self, x, radius, params)
        }
        fn reset(&mut self) -> $crate::base::Result<()> {
            $crate::index::ivf::edit::reset(self)
        }
        fn reconstruct(&self, key: i64, out: &mut [f32]) -> $crate::base::Result<()> {
            $crate::index::ivf::edit::reconstruct(self, key, out)
        }
        fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> $crate::base::Result<()> {
            $crate::index::ivf::edit::reconstruct_n(self, i0, ni, out)
        }
        fn search_and_reconstruct(
            &self,
            x: &[f32],
            k: usize,
            params: Option<&dyn $crate::base::Object>,
            distances: &mut [f32],
            labels: &mut [i64],
            recons: &mut [f32],
        ) -> $crate::base::Result<()> {
            $crate::index::ivf::search::search_and_reconstruct(self, x, k, params, distances, labels, recons)
        }
        fn remove_ids(&mut self, sel: &dyn $crate::selector::IDSelector) -> $crate::base::Result<usize> {
            $crate::index::ivf::edit::remove_ids(self, sel)
        }
        fn sa_code_size(&self) -> $crate::base::Result<usize> {
            Ok(self.coarse_code_size() + self.code_size)
        }
        fn sa_encode(&self, x: &[f32], codes: &mut [u8]) -> $crate::base::Result<()> {
            $crate::index::ivf::edit::sa_encode(self, x, codes)
        }
        fn sa_decode(&self, codes: &[u8], x: &mut [f32]) -> $crate::base::Result<()> {
            $crate::index::ivf::edit::sa_decode(self, codes, x)
        }
        fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> $crate::base::Result<()> {
            $crate::index::ivf::edit::add_sa_codes(self, codes, ids)
        }
        fn check_compatible_for_merge(&self, other: &dyn $crate::index::Index) -> $crate::base::Result<()> {
            $crate::index::ivf::edit::check_compatible_for_merge(self, other)
        }
        fn merge_from(&mut self, other: &mut dyn $crate::index::Index, add_id: i64) -> $crate::base::Result<()> {
            $crate::index::ivf::edit::merge_from(self, other, add_id)
        }
    };
}

impl Tuned for IndexIVF {
    fn set_parameter(&mut self, name: &str, value: f64) -> Option<Result<()>> {
        match name {
            "nprobe" => Some(self.nprobe.set(Value::Int(value as i64))),
            // No limit is none.
            "max_codes" => Some(self.max_codes.set(Value::Int(if value.is_finite() { value as i64 } else { 0 }))),
            _ => None,
        }
    }
    fn parameter_ranges(&self) -> Vec<(&'static str, Vec<f64>)> {
        vec![("nprobe", tuning::powers(self.nlist as f64))]
    }
}
