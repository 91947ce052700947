//! Inverted file of product-quantized codes, and of codes of what they leave, by which the nearest are ordered anew.

use faiss_derive::{Object, methods};
use rustc_hash::FxHashMap;

use super::edit::{self, to_encode};
use super::pq::{self, IndexIVFPQ};
use super::{IndexIVF, InvertedFile, Search, Searcher, search};
use crate::base::object::{FieldMut, Object, cast_mut};
use crate::base::{Error, Handle, MetricType, Result, Shared, Value, threads};
use crate::cluster::ClusteringParameters;
use crate::distance::collect::order;
use crate::distance::results::TopK;
use crate::grammar::{Grammar, number};
use crate::index::Index;
use crate::index::tuning::{self, Tuned};
use crate::quantize::{ProductQuantizer, Quantizer};
use crate::registry::Row;
use crate::selector::IDSelector;
use crate::simd;
use crate::storage::direct_map::{lo_listno, lo_offset};

/// Stores product-quantized codes of residuals, and of the residuals of these; the former find, the latter order.
#[derive(Object, Clone)]
#[object(methods, implements(Index, InvertedFile, Tuned), copy(first))]
pub struct IndexIVFPQR {
    /// The lists of codes.
    #[object(parent)]
    pub first: IndexIVFPQ,
    /// Makes the second codes.
    pub refine_pq: ProductQuantizer,
    /// The second codes, by id.
    pub refine_codes: Vec<u8>,
    /// A search orders so many times `k` vectors.
    #[object(default = 1.0)]
    pub k_factor: f32,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFPQR>()
    .grammar(Grammar::InvertedFile(|over, part| {
        let Some((m, refine)) = part.strip_prefix("PQ").and_then(|sizes| sizes.split_once('+')) else {
            return Ok(None);
        };
        let (Some(m), Some(refine)) = (number(m), number(refine)) else { return Ok(None) };
        Error::check(over.metric == MetricType::L2, "metric == METRIC_L2")?;
        let (quantizer, d, nlist) = (over.quantizer.clone(), over.d, over.nlist);
        Ok(Some(Handle::new(IndexIVFPQR::new(quantizer, d, nlist, m as usize, 8, refine as usize, 8, true)?)))
    }))
    .format(crate::file_format!(IndexIVFPQR, ["IwQR", "IvQR"], |index, code| {
        index.first => pq::Fields(code);
        if (index.is_trained) {
            index.refine_pq;
            index.refine_codes;
            index.k_factor;
            read {
                Error::check(index.refine_pq.d == index.dim(), "refine_pq.d == d")?;
                Error::check((1.0..=1000.0).contains(&index.k_factor), "k_factor >= 1 && k_factor <= 1000")?;
            }
        }
    }));

#[methods(new)]
impl IndexIVFPQR {
    /// With first codes of `M` numbers of `nbits_per_idx` bits, and second ones of `M_refine` of `nbits_per_idx_refine`.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        M: usize,
        nbits_per_idx: usize,
        M_refine: usize,
        nbits_per_idx_refine: usize,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        let first = IndexIVFPQ::new(quantizer, d, nlist, M, nbits_per_idx, MetricType::L2, own_invlists)?;
        let mut refine_pq = ProductQuantizer::new(first.dim(), M_refine, nbits_per_idx_refine)?;
        refine_pq.cp = ClusteringParameters { max_points_per_centroid: 1000, ..refine_pq.cp };
        Ok(IndexIVFPQR { first, refine_pq, refine_codes: Vec::new(), k_factor: 4.0 })
    }
}

impl IndexIVFPQR {
    /// What the first codes leave of vectors in given lists.
    fn second_residuals(&self, x: &[f32], list_nos: &[i64], codes: &[u8]) -> Result<Vec<f32>> {
        let mut decoded = vec![0f32; x.len()];
        self.pq.decode(codes, &mut decoded)?;
        let firsts = to_encode(self, x, list_nos)?;
        Ok(firsts.iter().zip(&decoded).map(|(r, c)| r - c).collect())
    }

    /// Adds what the second code of a vector says.
    fn refine(&self, id: i64, x: &mut [f32]) -> Result<()> {
        let size = self.refine_pq.code_size;
        let code = usize::try_from(id).ok().and_then(|id| self.refine_codes.get(id * size..(id + 1) * size));
        let code = code.ok_or_else(|| Error::failed("id < refine_codes.size()", format!("id {id}")))?;
        let mut rest = vec![0f32; x.len()];
        self.refine_pq.decode_one(code, &mut rest);
        x.iter_mut().zip(&rest).for_each(|(x, rest)| *x += rest);
        Ok(())
    }

    /// Writes the vectors with these ids, NaN where there is none.
    fn write_vectors(&self, ids: &[i64], out: &mut [f32]) -> Result<()> {
        let (d, lists) = (self.dim(), self.lists()?);
        let mut wanted: FxHashMap<i64, Vec<usize>> = FxHashMap::default();
        let known = ids.iter().enumerate().filter(|(_, id)| **id >= 0);
        known.for_each(|(row, id)| wanted.entry(*id).or_default().push(row));
        out.fill(f32::NAN);
        let mut x = vec![0f32; d];
        for list in 0..self.nlist {
            for (offset, id) in lists.ids(list).iter().enumerate() {
                let Some(rows) = wanted.get(id) else { continue };
                self.first.decode_vectors(&lists.single_code(list, offset)?, &[list as i64], &mut x)?;
                self.refine(*id, &mut x)?;
                rows.iter().for_each(|row| out[row * d..(row + 1) * d].copy_from_slice(&x));
            }
        }
        Ok(())
    }

    fn add_both(&mut self, x: &[f32], ids: Option<&[i64]>) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let n = self.rows(x)?;
        let list_nos = edit::assign(self, x)?;
        let mut codes = vec![0; n * self.code_size];
        self.first.encode_vectors(x, &list_nos, &mut codes)?;
        let mut second = vec![0; n * self.refine_pq.code_size];
        self.refine_pq.compute_codes(&self.second_residuals(x, &list_nos, &codes)?, &mut second)?;
        edit::add_core(&mut self.first, x, ids, &list_nos)?;
        self.refine_codes.extend_from_slice(&second);
        Ok(())
    }
}

impl Index for IndexIVFPQR {
    crate::inherit_index!(first);

    fn train(&mut self, x: &[f32]) -> Result<()> {
        super::train::train(self, x)
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        self.add_both(x, None)
    }
    fn add_with_ids(&mut self, x: &[f32], ids: &[i64]) -> Result<()> {
        self.add_both(x, Some(ids))
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        let n = self.queries(x, k, distances, labels)?;
        Error::check((1.0..=1e6).contains(&self.k_factor), "k_factor >= 1")?;
        let wide = ((k as f64 * f64::from(self.k_factor)) as usize).max(k);
        let total = n.checked_mul(wide).ok_or_else(|| Error::overflow("n * k * k_factor"))?;
        let (mut found, mut places) = (vec![0f32; total], vec![-1i64; total]);
        search::search(&self.first, x, wide, params, &mut found, &mut places, true)?;
        let lists = self.lists()?;
        let quantizer = self.quantizer()?.read();
        let d = self.dim();
        let out = TopK::new(self.metric_type, k, distances, labels);
        threads::parallel_for(n, |q| {
            let query = &x[q * d..(q + 1) * d];
            let (mut residual, mut one) = (vec![0f32; d], vec![0f32; d]);
            let mut hits = Vec::with_capacity(wide);
            for place in places[q * wide..(q + 1) * wide].iter().filter(|place| **place >= 0) {
                let (list, offset) = (lo_listno(*place), lo_offset(*place));
                let id = lists.ids(list)[offset];
                residual.copy_from_slice(query);
                if self.by_residual {
                    quantizer.compute_residual(query, &mut residual, list as i64)?;
                }
                self.pq.decode_one(&lists.single_code(list, offset)?, &mut one);
                self.refine(id, &mut one)?;
                hits.push((simd::fvec_L2sqr(&residual, &one), id));
            }
            hits.sort_unstable_by(order);
            hits.truncate(k);
            out.write(q, &hits);
            Ok(())
        })
    }
    fn reset(&mut self) -> Result<()> {
        self.refine_codes.clear();
        self.first.reset()
    }
    fn remove_ids(&mut self, _sel: &dyn IDSelector) -> Result<usize> {
        Err(Error::failed("", "not implemented"))
    }
    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        let not_same = || Error::failed("other", "the other index is no IndexIVFPQR");
        let other = cast_mut::<IndexIVFPQR>(other).ok_or_else(not_same)?;
        let same = other.refine_pq.M == self.refine_pq.M && other.refine_pq.nbits == self.refine_pq.nbits;
        Error::check(same, "other->refine_pq.M == refine_pq.M && other->refine_pq.nbits == refine_pq.nbits")?;
        edit::merge_from(&mut self.first, &mut other.first, add_id)?;
        self.refine_codes.append(&mut other.refine_codes);
        Ok(())
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.first.reconstruct(key, out)?;
        self.refine(key, out)
    }
    fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
        self.checked_range(i0, ni, out)?;
        self.write_vectors(&(i0..i0 + ni as i64).collect::<Vec<_>>(), out)
    }
    fn search_and_reconstruct(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
        recons: &mut [f32],
    ) -> Result<()> {
        self.search(x, k, params, distances, labels)?;
        Error::check(labels.len().checked_mul(self.dim()) == Some(recons.len()), "recons.size() == n * k * d")?;
        self.write_vectors(labels, recons)
    }
}

impl InvertedFile for IndexIVFPQR {
    fn ivf(&self) -> &IndexIVF {
        self.first.ivf()
    }
    fn ivf_mut(&mut self) -> &mut IndexIVF {
        self.first.ivf_mut()
    }
    fn codec(&self) -> Result<&dyn Quantizer> {
        self.first.codec()
    }
    fn codec_mut(&mut self) -> Result<&mut dyn Quantizer> {
        self.first.codec_mut()
    }
    fn train_encoder_num_vectors(&self) -> usize {
        let most =
            |pq: &ProductQuantizer| usize::try_from(pq.cp.max_points_per_centroid).unwrap_or(0).saturating_mul(pq.ksub);
        most(&self.pq).max(most(&self.refine_pq))
    }
    /// First the codes, then those of what they leave.
    fn train_encoder(&mut self, x: &[f32], assign: Option<&[i64]>) -> Result<()> {
        self.first.train_encoder(x, assign)?;
        let mut codes = vec![0; x.len() / self.dim().max(1) * self.pq.code_size];
        self.pq.compute_codes(x, &mut codes)?;
        let mut decoded = vec![0f32; x.len()];
        self.pq.decode(&codes, &mut decoded)?;
        let residuals: Vec<f32> = x.iter().zip(&decoded).map(|(r, c)| r - c).collect();
        self.refine_pq.train(&residuals)
    }
    fn searcher<'a>(&'a self, search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        self.first.searcher(search)
    }
}

impl Tuned for IndexIVFPQR {
    fn set_parameter(&mut self, name: &str, value: f64) -> Option<Result<()>> {
        (name == "k_factor").then(|| self.k_factor.set(Value::Float(value)))
    }
    fn parameter_ranges(&self) -> Vec<(&'static str, Vec<f64>)> {
        vec![("k_factor", tuning::powers(128.0))]
    }
}
