//! Inverted file of full vectors that are cut into levels.

use std::borrow::Cow;

use faiss_derive::{Object, methods};

use super::flat::{FlatSearcher, IndexIVFFlat};
use super::{InvertedFile, Scanner, Search, Searcher};
use crate::base::object::cast;
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::{Grammar, number};
use crate::index::Index;
use crate::index::ivf::format::{Header, Lists};
use crate::index::stats::count_scanned;
use crate::registry::Row;
use crate::storage::panorama::lists::ArrayInvertedListsPanorama;
use crate::storage::panorama::scan::PanoramaQuery;
use crate::storage::panorama::{DEFAULT_BATCH_SIZE, LEGACY_BATCH_SIZE, floats};

/// Levels, where a description says nothing of them.
const DEFAULT_LEVELS: i64 = 8;

/// Stores full vectors in the lists of a coarse quantizer, cut into levels: a search looks at the later ones of a vector only where it must.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index, InvertedFile), copy(flat))]
pub struct IndexIVFFlatPanorama {
    /// The lists of vectors.
    #[object(parent)]
    pub flat: IndexIVFFlat,
    /// Number of levels.
    #[object(readonly)]
    pub n_levels: usize,
    /// Vectors of a batch, which lie level by level.
    #[object(readonly)]
    pub batch_size: usize,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFFlatPanorama>()
    .grammar(Grammar::InvertedFile(|over, part| {
        let Some(sizes) = part.strip_prefix("FlatPanorama") else { return Ok(None) };
        let (levels, batch) = sizes.split_once('_').unwrap_or((sizes, ""));
        let levels = if levels.is_empty() { Some(DEFAULT_LEVELS) } else { number(levels) };
        let batch = if sizes.contains('_') { number(batch) } else { Some(DEFAULT_BATCH_SIZE as i64) };
        let (Some(levels), Some(batch)) = (levels, batch) else { return Ok(None) };
        let quantizer = over.quantizer.clone();
        let (levels, batch) = (i32::try_from(levels).unwrap_or(i32::MAX), batch as usize);
        let index = IndexIVFFlatPanorama::new(quantizer, over.d, over.nlist, levels, over.metric, true, batch)?;
        Ok(Some(Handle::new(index)))
    }))
    .format(crate::file_format!(IndexIVFFlatPanorama, ["IwP2", "IwPn"], |index, code| {
        index.ivf => Header(code);
        index.n_levels;
        old (code.is("IwPn")) { index.batch_size = LEGACY_BATCH_SIZE; } else { index.batch_size; }
        read { index.code_size = index.dim() * size_of::<f32>(); }
        index.ivf => Lists;
    }));

#[methods(new)]
impl IndexIVFFlatPanorama {
    /// Over `nlist` lists of `quantizer`, with vectors in `n_levels` levels; by L2 or inner product.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        n_levels: i32,
        #[default = MetricType::L2] metric: MetricType,
        #[default = true] own_invlists: bool,
        #[default = DEFAULT_BATCH_SIZE] batch_size: usize,
    ) -> Result<Self> {
        let known = matches!(metric, MetricType::L2 | MetricType::InnerProduct);
        Error::check(known, "metric == METRIC_L2 || metric == METRIC_INNER_PRODUCT")?;
        let mut flat = IndexIVFFlat::new(quantizer, d, nlist, metric, own_invlists)?;
        let n_levels = usize::try_from(n_levels).unwrap_or(0);
        let lists = ArrayInvertedListsPanorama::new(nlist, flat.code_size, n_levels, batch_size)?;
        if own_invlists {
            flat.ivf.invlists = Some(Shared::new(lists));
        }
        Ok(IndexIVFFlatPanorama { flat, n_levels, batch_size })
    }
}

impl Index for IndexIVFFlatPanorama {
    crate::inverted_file_index!();
}

impl InvertedFile for IndexIVFFlatPanorama {
    crate::lists_and_codec!(flat.ivf);
    fn encode_vectors(&self, x: &[f32], list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
        self.flat.encode_vectors(x, list_nos, codes)
    }
    fn codes_of<'a>(&self, x: &'a [f32], list_nos: &[i64]) -> Result<Cow<'a, [u8]>> {
        self.flat.codes_of(x, list_nos)
    }
    fn train_encoder(&mut self, _x: &[f32], _assign: Option<&[i64]>) -> Result<()> {
        Ok(())
    }
    fn decode_vectors(&self, codes: &[u8], list_nos: &[i64], x: &mut [f32]) -> Result<()> {
        self.flat.decode_vectors(codes, list_nos, x)
    }
    fn searcher<'a>(&'a self, search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        Error::check(self.code_size == self.dim() * size_of::<f32>(), "code_size == d * sizeof(float)")?;
        Ok(Some(match cast::<ArrayInvertedListsPanorama>(search.lists) {
            Some(lists) => {
                Error::check(lists.pano.d == self.dim(), "invlists->pano.d == d")?;
                Box::new(LevelSearcher { lists, similarity: self.metric_type.is_similarity() })
            }
            // Other lists, which took their place, hold vectors as they are.
            None => Box::new(FlatSearcher { metric: self.metric_type, arg: self.metric_arg, d: self.dim() }),
        }))
    }
    fn check_same_codes(&self, other: &dyn InvertedFile) -> Result<()> {
        Error::check(cast::<IndexIVFFlatPanorama>(other).is_some(), "other is an IndexIVFFlatPanorama")
    }
}

struct LevelSearcher<'a> {
    lists: &'a ArrayInvertedListsPanorama,
    similarity: bool,
}

impl Searcher for LevelSearcher<'_> {
    fn scanner(&self) -> Result<Box<dyn Scanner + '_>> {
        let query = PanoramaQuery::new(&self.lists.pano, self.similarity);
        Ok(Box::new(LevelScanner { lists: self.lists, list: 0, query }))
    }
    fn list_by_list(&self) -> bool {
        false
    }
}

struct LevelScanner<'a> {
    lists: &'a ArrayInvertedListsPanorama,
    list: usize,
    query: PanoramaQuery<'a>,
}

impl Scanner for LevelScanner<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.query.set(x)
    }
    fn set_list(&mut self, list: usize, _coarse: f32) -> Result<()> {
        self.list = list;
        Ok(())
    }
    /// Of codes that are given by themselves: vectors as they are.
    fn keys(&mut self, _first: usize, codes: &[u8], keys: &mut [f32]) -> Result<()> {
        self.query.keys_of_rows(&floats(codes), keys);
        Ok(())
    }
    fn keys_below(&mut self, first: usize, _codes: &[u8], threshold: f32, keys: &mut [f32]) -> Result<()> {
        let (codes, sums) = self.lists.list(self.list)?;
        self.query.keys(codes, sums, first..first + keys.len(), None, threshold, keys);
        Ok(())
    }
}

impl Drop for LevelScanner<'_> {
    fn drop(&mut self) {
        count_scanned(self.query.scanned);
    }
}
