//! Inverted file of residual-quantized codes.
//!
//! Norms that codes hold are of whole vectors, centroid included: with L2 the distance is `||q||² + norm - 2 <q, c> - 2 <q, r>` for a centroid c and
//! a decoded residual r.

use faiss_derive::{Object, methods};

use super::edit::to_encode;
use super::{IndexIVF, InvertedFile, Scanner, Searcher, codec, format};
use crate::base::object::{Object, cast, receiver};
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::Grammar;
use crate::index::Index;
use crate::quantize::additive::residual::ResidualQuantizer;
use crate::quantize::additive::{RqPart, ST_DECOMPRESS, Tables, compute_codes};
use crate::quantize::{CodeDistances, Quantizer};
use crate::registry::{Format, Row};
use crate::simd;
use crate::storage::lists::InvertedLists;

/// Base of the inverted files of additive codes.
#[derive(Object, Default, Clone)]
#[object(abstract)]
pub struct IndexIVFAdditiveQuantizer {
    #[object(parent)]
    pub ivf: IndexIVF,
    /// Accepted for compatibility.
    pub use_precomputed_table: i32,
}

pub const BASE: Row = Row::of::<IndexIVFAdditiveQuantizer>();

/// Stores residual-quantized codes of vectors, or of their residuals, in the lists of a coarse quantizer.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index, InvertedFile), copy = deep_copy)]
pub struct IndexIVFResidualQuantizer {
    #[object(parent)]
    pub additive: IndexIVFAdditiveQuantizer,
    /// Makes the codes.
    pub rq: ResidualQuantizer,
}

pub const ROW: Row = Row::of::<IndexIVFResidualQuantizer>()
    .grammar(Grammar::InvertedFile(|over, part| {
        let Some(part) = RqPart::parse(part, "RQ") else { return Ok(None) };
        let quantizer = over.quantizer.clone();
        let (nbits, search_type) = (part.nbits, part.search_type);
        let index =
            IndexIVFResidualQuantizer::of_bits(quantizer, over.d, over.nlist, nbits, over.metric, search_type, true)?;
        Ok(Some(Handle::new(index)))
    }))
    .format(Format {
        fourccs: &["IwRQ"],
        read: |input, _| {
            let mut ivf = format::read_header(input)?;
            ivf.code_size = input.usize()?;
            let rq = ResidualQuantizer::read(input)?;
            ivf.by_residual = input.bool("by_residual")?;
            let use_precomputed_table = input.i32()?;
            Error::check(rq.d == ivf.dim() && rq.code_size == ivf.code_size, "rq.d == d && code_size == rq.code_size")?;
            format::read_lists(&mut ivf, input)?;
            let additive = IndexIVFAdditiveQuantizer { ivf, use_precomputed_table };
            Ok(Handle::new(IndexIVFResidualQuantizer { additive, rq }))
        },
        write: |object, out| {
            let index = receiver::<IndexIVFResidualQuantizer>(object)?;
            out.fourcc("IwRQ")?;
            format::write_header(index, out)?;
            out.usize(index.code_size)?;
            index.rq.write(out)?;
            out.bool(index.by_residual)?;
            out.i32(index.use_precomputed_table)?;
            format::write_lists(index, out)
        },
    });

#[methods(new)]
impl IndexIVFResidualQuantizer {
    /// Over `nlist` lists of `quantizer`, with `M` codebooks of `2^nbits` centroids.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        M: usize,
        nbits: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        Error::check(M <= 1 << 16, "M <= 65536")?;
        let nbits = vec![nbits; M];
        IndexIVFResidualQuantizer::of_bits(quantizer, d, nlist, nbits, metric, search_type, own_invlists)
    }
}

impl IndexIVFResidualQuantizer {
    pub fn of_bits(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        nbits: Vec<usize>,
        metric: MetricType,
        search_type: i32,
        own_invlists: bool,
    ) -> Result<Self> {
        let rq = ResidualQuantizer::of_bits(usize::try_from(d).unwrap_or(0), nbits, search_type)?;
        let mut ivf = IndexIVF::new(quantizer, d, nlist, rq.code_size, metric, own_invlists)?;
        ivf.is_trained = false;
        Ok(IndexIVFResidualQuantizer { additive: IndexIVFAdditiveQuantizer { ivf, use_precomputed_table: 0 }, rq })
    }

    fn deep_copy(&self) -> Result<Self> {
        let ivf = self.ivf().deep_copy()?;
        let additive = IndexIVFAdditiveQuantizer { ivf, ..self.additive.clone() };
        Ok(IndexIVFResidualQuantizer { additive, rq: self.rq.clone() })
    }
}

impl Index for IndexIVFResidualQuantizer {
    crate::inverted_file_index!();
}

impl InvertedFile for IndexIVFResidualQuantizer {
    fn ivf(&self) -> &IndexIVF {
        &self.additive.ivf
    }
    fn ivf_mut(&mut self) -> &mut IndexIVF {
        &mut self.additive.ivf
    }
    fn codec(&self) -> Result<&dyn Quantizer> {
        Ok(&self.rq)
    }
    fn codec_mut(&mut self) -> Result<&mut dyn Quantizer> {
        Ok(&mut self.rq)
    }
    fn train_encoder_num_vectors(&self) -> usize {
        let most = usize::try_from(self.rq.cp.max_points_per_centroid).unwrap_or(0);
        let largest = self.rq.nbits.iter().max().map_or(1, |bits| 1usize << bits);
        most.saturating_mul(largest)
    }
    /// Norms are of the vectors, not of their residuals.
    fn encode_vectors(&self, x: &[f32], list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
        codec::check(self, &self.rq)?;
        let encoded = to_encode(self, x, list_nos)?;
        if !self.by_residual {
            return compute_codes(&self.rq, &encoded, codes, None);
        }
        let centroids: Vec<f32> = x.iter().zip(&*encoded).map(|(x, r)| x - r).collect();
        compute_codes(&self.rq, &encoded, codes, Some(&centroids))
    }
    fn check_same_codes(&self, other: &dyn InvertedFile) -> Result<()> {
        let other = cast::<IndexIVFResidualQuantizer>(other);
        Error::check(other.is_some_and(|other| other.rq.nbits == self.rq.nbits), "other->rq.nbits == rq.nbits")
    }
    fn searcher<'a>(
        &'a self,
        quantizer: &'a dyn Index,
        _lists: &'a dyn InvertedLists,
        _visits: usize,
        _params: Option<&dyn Object>,
    ) -> Result<Option<Box<dyn Searcher + 'a>>> {
        codec::check(self, &self.rq)?;
        if self.rq.search_type == ST_DECOMPRESS || !self.by_residual {
            return Ok(None);
        }
        Ok(Some(Box::new(BySums { index: self, quantizer })))
    }
}

/// Compares queries by tables of products, the centroid's product apart.
struct BySums<'a> {
    index: &'a IndexIVFResidualQuantizer,
    quantizer: &'a dyn Index,
}

impl Searcher for BySums<'_> {
    fn scanner(&self) -> Result<Box<dyn Scanner + '_>> {
        let similarity = self.index.metric_type.is_similarity();
        let d = self.index.dim();
        let tables = Tables::new(&self.index.rq, similarity);
        Ok(Box::new(SumScanner { shared: self, tables, query: vec![0.0; d], centroid: vec![0.0; d], norm: 0.0 }))
    }
    fn list_by_list(&self) -> bool {
        false
    }
}

struct SumScanner<'a> {
    shared: &'a BySums<'a>,
    tables: Tables<'a>,
    query: Vec<f32>,
    centroid: Vec<f32>,
    norm: f32,
}

impl Scanner for SumScanner<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.query.copy_from_slice(x);
        self.tables.set_query(x)?;
        self.norm = self.tables.bias;
        Ok(())
    }
    fn set_list(&mut self, list: usize, _coarse: f32) -> Result<()> {
        self.shared.quantizer.reconstruct(list as i64, &mut self.centroid)?;
        let product = simd::fvec_inner_product(&self.query, &self.centroid);
        let similarity = self.shared.index.metric_type.is_similarity();
        self.tables.bias = if similarity { -product } else { self.norm - 2.0 * product };
        Ok(())
    }
    fn keys(&mut self, _first: usize, codes: &[u8], keys: &mut [f32]) -> Result<()> {
        self.tables.keys(codes, keys);
        Ok(())
    }
}
