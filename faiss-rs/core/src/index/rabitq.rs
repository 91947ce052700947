//! RaBitQ codes, searched exhaustively.

use faiss_derive::{Object, methods};

use super::flat_codes::{FlatCodes, IndexFlatCodes};
use super::flat_scan::Scan;
use super::{Index, IndexBase, RangeSearchResult, SearchParameters};
use crate::base::object::{Object, cast};
use crate::base::threads;
use crate::base::{Error, Handle, MetricType, Result};
use crate::distance::collect::{Collector, Heap};
use crate::distance::results::{InRadius, TopK};
use crate::grammar::{Grammar, RaBitQPart};
use crate::index::selector;
use crate::quantize::codec::CodeDistances;
use crate::quantize::rabitq::Sizes;
use crate::quantize::rabitq::{self, Estimate, RaBitQuantizer, Rounding};
use crate::quantize::{Quantizer, QuantizerBase};
use crate::registry::Row;

/// Stores the signs of vectors' coordinates, less their mean, and estimates distances by them.
///
/// `d / 8` bytes a vector and a few for its factors, more with `nb_bits` above 1. Vectors should be rotated at random before: `RR64,RaBitQ`. Gao and
/// Long, RaBitQ: quantizing high-dimensional vectors with a theoretical error bound, 2024.
#[derive(Object, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexRaBitQ {
    /// The codes.
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// Makes the codes.
    pub rabitq: RaBitQuantizer,
    /// The mean of the training vectors, which is subtracted.
    pub center: Vec<f32>,
    /// Bits that queries are rounded to when they are compared with signs, up to 8; 0 for no rounding.
    #[object(default = 4)]
    pub qb: u8,
    /// Round to steps around 0, as wide as suits normal variables.
    pub centered: bool,
}

/// Parameters of one search of an [`IndexRaBitQ`].
#[derive(Object, Clone)]
#[object(fields)]
pub struct RaBitQSearchParameters {
    /// What all searches take.
    #[object(parent)]
    pub base: SearchParameters,
    /// Bits that queries are rounded to when they are compared with signs, up to 8; 0 for no rounding.
    #[object(default = 4)]
    pub qb: u8,
    /// Round to steps around 0, as wide as suits normal variables.
    pub centered: bool,
}

pub(crate) const PARAMETERS: Row = Row::of::<RaBitQSearchParameters>();

pub(crate) const ROW: Row = Row::of::<IndexRaBitQ>()
    .grammar(Grammar::Index(|d, part, metric| match RaBitQPart::parse(part) {
        Some(RaBitQPart { nb_bits, bbs: None }) => Ok(Some(Handle::new(IndexRaBitQ::new(d, metric, nb_bits)?))),
        _ => Ok(None),
    }))
    .format(crate::file_format!(IndexRaBitQ, [ONE_BIT, MORE_BITS; if index.rabitq.nb_bits == 1 { ONE_BIT } else { MORE_BITS }], |index, code| {
        index.base;
        index.rabitq => Sizes(code.is(MORE_BITS));
        index.codes;
        index.center;
        index.qb;
        read {
            index.code_size = index.rabitq.code_size;
            Error::check(index.rabitq.d == index.dim() && index.qb <= 8, "rabitq.d == d && qb <= 8")?;
            Error::check(!index.is_trained || index.center.len() == index.dim(), "center.size() == d")?;
        }
    }, index.count()));

const ONE_BIT: &str = "Ixrq";
const MORE_BITS: &str = "Ixrr";

#[methods(new)]
impl IndexRaBitQ {
    /// With codes of `nb_bits` bits a coordinate, 1 to 9.
    #[new]
    pub fn new(d: i64, #[default = MetricType::L2] metric: MetricType, #[default = 1] nb_bits: usize) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        let rabitq = RaBitQuantizer::new(base.dim(), metric, nb_bits)?;
        Ok(IndexRaBitQ { flat_codes: IndexFlatCodes::new(base, rabitq.code_size), rabitq, ..Default::default() })
    }
}

/// The mean of vectors.
pub fn mean(x: &[f32], d: usize) -> Vec<f32> {
    let mut sums = vec![0f64; d];
    x.chunks_exact(d.max(1)).for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v)));
    let n = (x.len() / d.max(1)).max(1);
    sums.iter().map(|sum| (sum / n as f64) as f32).collect()
}

/// How a search rounds its queries: by its parameters, or as the index does.
pub fn rounding(params: Option<&dyn Object>, qb: u8, centered: bool) -> Result<Rounding> {
    match params.and_then(cast::<RaBitQSearchParameters>) {
        Some(params) => Rounding::new(params.qb, params.centered),
        None => Rounding::new(qb, centered),
    }
}

impl IndexRaBitQ {
    fn rounding(&self, params: Option<&dyn Object>) -> Result<Rounding> {
        rounding(params, self.qb, self.centered)
    }

    fn estimates(&self, rounding: Rounding) -> Result<Box<dyn CodeDistances + '_>> {
        Ok(Box::new(Estimates { index: self, rounding, estimate: Estimate::new(&self.rabitq)? }))
    }

    /// A search among codes of several bits, most of which are looked at by their signs alone.
    fn search_refining(&self, x: &[f32], k: usize, params: Option<&dyn Object>, out: &TopK<'_>) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let (rounding, d, ntotal) = (self.rounding(params)?, self.dim(), self.check_codes()?);
        let sel = selector(params);
        let sel = sel.as_ref().map(|sel| sel.read());
        threads::parallel_for_with(
            out.len(),
            || Estimate::new(&self.rabitq),
            |estimate, q| {
                estimate.set(&x[q * d..(q + 1) * d], &self.center, rounding);
                let mut own = Heap::new(k);
                rabitq::scan(estimate, self.codes.as_slice(), 0..ntotal, &mut own, |i| {
                    sel.as_ref().is_none_or(|sel| sel.is_member(i as i64)).then_some(i as i64)
                })?;
                out.write(q, &own.finish());
                Ok(())
            },
        )
    }
}

impl Quantizer for IndexRaBitQ {
    fn quantizer_base(&self) -> &QuantizerBase {
        &self.rabitq
    }
    fn check(&self) -> Result<()> {
        self.rabitq.check()?;
        let fits = self.rabitq.metric_type == self.metric_type && (!self.is_trained || self.center.len() == self.dim());
        Error::check(fits, "center.size() == d")
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.rows(x)?;
        self.center = mean(x, self.dim());
        Ok(())
    }
    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        self.rabitq.encode(x, &self.center, codes)
    }
    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.rabitq.decode_all(codes, &self.center, x)
    }
    fn code_distances(&self, _metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        self.estimates(self.rounding(None)?)
    }
}

struct Estimates<'a> {
    index: &'a IndexRaBitQ,
    rounding: Rounding,
    estimate: Estimate,
}

impl CodeDistances for Estimates<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.index.dim(), "x.size() == d")?;
        self.estimate.set(x, &self.index.center, self.rounding);
        Ok(())
    }
    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        self.estimate.keys(codes, keys);
    }
    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        self.index.rabitq.key_between(a, b, &self.index.center)
    }
}

impl FlatCodes for IndexRaBitQ {
    crate::codes_and_codec!(flat_codes);
    fn search_codes(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.queries(x, k, distances, labels)?;
        self.check_codes()?;
        let rounding = self.rounding(params)?;
        let out = TopK::new(self.metric_type, k, distances, labels);
        if self.rabitq.nb_bits > 1 {
            return self.search_refining(x, k, params, &out);
        }
        Scan::new(self, x, params, || self.estimates(rounding))?.search(k, &out)
    }
    fn range_search_codes(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        self.check_codes()?;
        let (n, rounding) = (self.rows(x)?, self.rounding(params)?);
        let out = InRadius::new(self.metric_type, n);
        Scan::new(self, x, params, || self.estimates(rounding))?.range_search(n, radius, &out)?;
        Ok(out.finish())
    }
}

impl Index for IndexRaBitQ {
    crate::flat_codes_index!();
}
