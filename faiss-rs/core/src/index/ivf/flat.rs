//! Inverted file of vectors stored as they are.

use std::borrow::Cow;

use faiss_derive::{Object, methods};

use super::{IndexIVF, InvertedFile, Scanner, Search, Searcher};
use crate::base::object::cast;
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::distance::extra;
use crate::grammar::Grammar;
use crate::index::ivf::format::{Header, ListsOf};
use crate::index::{Index, dim_of};
use crate::registry::Row;
use crate::simd;

/// Stores full vectors in the lists of a coarse quantizer.
///
/// `4 * d` bytes a vector and 8 for its id. `quantizer`: an empty index that will hold the centroids, as a rule `IndexFlatL2(d)`. `nlist`: number
/// of lists; 4 to 16 times the square root of the number of vectors is usual, and 39 training vectors a list are the least that k-means takes
/// without a warning. `nprobe` (1 at first): lists that a search looks into.
#[derive(Object, Clone)]
#[object(methods, implements(Index, InvertedFile), copy(ivf))]
pub struct IndexIVFFlat {
    /// The inverted file.
    #[object(parent, default = IndexIVF { by_residual: false, ..Default::default() })]
    pub ivf: IndexIVF,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFFlat>()
    .grammar(Grammar::InvertedFile(|over, part| match part {
        "Flat" => {
            Ok(Some(Handle::new(IndexIVFFlat::new(over.quantizer.clone(), over.d, over.nlist, over.metric, true)?)))
        }
        _ => Ok(None),
    }))
    .format(crate::file_format!(IndexIVFFlat, ["IwFl", "IvFl", "IvFL"], |index, code| {
        index.ivf => Header(code);
        read { index.code_size = index.dim() * size_of::<f32>(); }
        index.ivf => ListsOf { floats: code.is("IvFl") };
    }));

#[methods(new)]
impl IndexIVFFlat {
    /// Over `nlist` lists of `quantizer`, which has dimension `d` and is or will be trained.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        let code_size = dim_of(d).saturating_mul(size_of::<f32>());
        let mut ivf = IndexIVF::new(quantizer, d, nlist, code_size, metric, own_invlists)?;
        ivf.by_residual = false;
        Ok(IndexIVFFlat { ivf })
    }
}

impl Index for IndexIVFFlat {
    crate::inverted_file_index!();
}

impl InvertedFile for IndexIVFFlat {
    crate::lists_and_codec!(ivf);
    fn encode_vectors(&self, x: &[f32], _list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
        Error::check(codes.len() == size_of_val(x), "codes.size() == n * code_size")?;
        codes.copy_from_slice(bytemuck::cast_slice(x));
        Ok(())
    }
    fn codes_of<'a>(&self, x: &'a [f32], list_nos: &[i64]) -> Result<Cow<'a, [u8]>> {
        Error::check(list_nos.len() * self.code_size == size_of_val(x), "codes.size() == n * code_size")?;
        Ok(Cow::Borrowed(bytemuck::cast_slice(x)))
    }
    fn train_encoder(&mut self, _x: &[f32], _assign: Option<&[i64]>) -> Result<()> {
        Ok(())
    }
    fn decode_vectors(&self, codes: &[u8], _list_nos: &[i64], x: &mut [f32]) -> Result<()> {
        Error::check(codes.len() == size_of_val(x), "codes.size() == n * code_size")?;
        bytemuck::cast_slice_mut(x).copy_from_slice(codes);
        Ok(())
    }
    fn searcher<'a>(&'a self, _search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        Error::check(self.code_size == self.dim() * size_of::<f32>(), "code_size == d * sizeof(float)")?;
        Ok(Some(Box::new(FlatSearcher { metric: self.metric_type, arg: self.metric_arg, d: self.dim() })))
    }
    fn check_same_codes(&self, other: &dyn InvertedFile) -> Result<()> {
        Error::check(cast::<IndexIVFFlat>(other).is_some(), "other is an IndexIVFFlat")
    }
}

/// Compares with vectors as they are.
pub struct FlatSearcher {
    /// The metric.
    pub metric: MetricType,
    /// Its argument, for metrics that have one.
    pub arg: f32,
    /// Numbers of a vector.
    pub d: usize,
}

impl Searcher for FlatSearcher {
    fn scanner(&self) -> Result<Box<dyn Scanner + '_>> {
        Ok(Box::new(FlatScanner { shared: self, query: vec![0.0; self.d], aligned: Vec::new() }))
    }
    fn list_by_list(&self) -> bool {
        true
    }
}

struct FlatScanner<'a> {
    shared: &'a FlatSearcher,
    query: Vec<f32>,
    /// Codes that do not lie as floats must, copied.
    aligned: Vec<f32>,
}

impl Scanner for FlatScanner<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.query.copy_from_slice(x);
        Ok(())
    }
    fn set_list(&mut self, _list: usize, _coarse: f32) -> Result<()> {
        Ok(())
    }
    fn keys(&mut self, _first: usize, codes: &[u8], keys: &mut [f32]) -> Result<()> {
        let codes = match bytemuck::try_cast_slice(codes) {
            Ok(floats) => floats,
            Err(_) => {
                // As they may lie in a file that is mapped.
                self.aligned.resize(codes.len() / 4, 0.0);
                bytemuck::cast_slice_mut(&mut self.aligned).copy_from_slice(codes);
                &self.aligned
            }
        };
        extra::distances_ny(self.shared.metric, self.shared.arg, keys, &self.query, codes);
        if self.shared.metric.is_similarity() {
            simd::fvec_scale(keys, -1.0);
        }
        Ok(())
    }
}
