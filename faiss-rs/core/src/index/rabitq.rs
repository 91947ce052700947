//! RaBitQ codes, searched exhaustively.

use faiss_derive::{Object, methods};

use super::flat_codes::{FlatCodes, IndexFlatCodes};
use super::flat_scan::Scan;
use super::{Index, IndexBase, RangeSearchResult, SearchParameters, header};
use crate::base::object::{Object, cast, receiver};
use crate::base::{Error, Handle, MetricType, Result};
use crate::distance::results::{InRadius, TopK};
use crate::grammar::Grammar;
use crate::quantize::codec::{CodeDistances, check_sizes};
use crate::quantize::rabitq::{Estimate, RaBitQuantizer};
use crate::quantize::{Quantizer, QuantizerBase};
use crate::registry::{Format, Row};
use crate::simd;

/// Stores the signs of vectors' coordinates, less their mean, and estimates distances by them.
#[derive(Object, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexRaBitQ {
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// Makes the codes.
    pub rabitq: RaBitQuantizer,
    /// The mean of the training vectors, which is subtracted.
    pub center: Vec<f32>,
    /// Bits that queries are rounded to; 0 for no rounding.
    pub qb: u8,
    /// Accepted for compatibility: must be false.
    pub centered: bool,
}

/// Parameters of one search of an [`IndexRaBitQ`].
#[derive(Object, Clone)]
#[object(fields)]
pub struct RaBitQSearchParameters {
    #[object(parent)]
    pub base: SearchParameters,
    /// Bits that queries are rounded to; 0 for no rounding.
    pub qb: u8,
    /// Must be false: rounding to levels around 0 is not here.
    pub centered: bool,
}

impl Default for RaBitQSearchParameters {
    fn default() -> Self {
        RaBitQSearchParameters { base: Default::default(), qb: 4, centered: false }
    }
}

pub const PARAMETERS: Row = Row::of::<RaBitQSearchParameters>();

impl Default for IndexRaBitQ {
    fn default() -> Self {
        let (flat_codes, rabitq) = (IndexFlatCodes::default(), RaBitQuantizer::default());
        IndexRaBitQ { flat_codes, rabitq, center: Vec::new(), qb: 4, centered: false }
    }
}

pub const ROW: Row = Row::of::<IndexRaBitQ>()
    .grammar(Grammar::Index(|d, part, metric| match part {
        "RaBitQ" => Ok(Some(Handle::new(IndexRaBitQ::new(d, metric, 1)?))),
        _ => Ok(None),
    }))
    .format(Format {
        fourccs: &["Ixrq"],
        read: |input, _| {
            let base = header::read(input)?;
            let rabitq = RaBitQuantizer::read(input)?;
            let flat_codes = IndexFlatCodes { code_size: rabitq.code_size, codes: input.codes()?, base };
            let (center, qb) = (input.vec()?, input.u8()?);
            let index = IndexRaBitQ { flat_codes, rabitq, center, qb, centered: false };
            Error::check(index.rabitq.d == index.dim() && qb <= 8, "rabitq.d == d && qb <= 8")?;
            Error::check(!index.is_trained || index.center.len() == index.dim(), "center.size() == d")?;
            index.count()?;
            Ok(Handle::new(index))
        },
        write: |object, out| {
            let index = receiver::<IndexRaBitQ>(object)?;
            index.count()?;
            out.fourcc("Ixrq")?;
            header::write(index, out)?;
            index.rabitq.write(out)?;
            out.codes(index.codes.as_slice())?;
            out.vec(&index.center)?;
            out.u8(index.qb)
        },
    });

#[methods(new)]
impl IndexRaBitQ {
    #[new]
    pub fn new(d: i64, #[default = MetricType::L2] metric: MetricType, #[default = 1] nb_bits: usize) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        let rabitq = RaBitQuantizer::new(base.dim(), metric, nb_bits)?;
        Ok(IndexRaBitQ { flat_codes: IndexFlatCodes::new(base, rabitq.code_size), rabitq, ..Default::default() })
    }
}

/// The bits that queries are rounded to, after a check that they can be.
pub fn rounding(qb: u8, centered: bool) -> Result<u8> {
    if centered {
        return Err(Error::not_implemented("'centered' rounding of RaBitQ's queries"));
    }
    Error::check(qb <= 8, "qb <= 8")?;
    Ok(qb)
}

impl IndexRaBitQ {
    fn rounding(&self, params: Option<&dyn Object>) -> Result<u8> {
        match params.and_then(cast::<RaBitQSearchParameters>) {
            Some(params) => rounding(params.qb, params.centered),
            None => rounding(self.qb, self.centered),
        }
    }

    fn estimates(&self, qb: u8) -> Result<Box<dyn CodeDistances + '_>> {
        Ok(Box::new(Estimates { index: self, qb, estimate: Estimate::new(&self.rabitq) }))
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
        let (d, n) = (self.dim(), self.rows(x)?);
        let mut mean = vec![0f64; d];
        x.chunks_exact(d.max(1)).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v)));
        self.center = mean.iter().map(|m| (m / n.max(1) as f64) as f32).collect();
        Ok(())
    }
    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        self.rabitq.encode(x, &self.center, codes)
    }
    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        check_sizes(&self.rabitq, x, codes)?;
        let rows = x.chunks_exact_mut(self.dim().max(1));
        for (code, row) in codes.chunks_exact(self.rabitq.code_size).zip(rows) {
            self.rabitq.decode_one(code, &self.center, row);
        }
        Ok(())
    }
    fn code_distances(&self, _metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        self.estimates(rounding(self.qb, self.centered)?)
    }
}

struct Estimates<'a> {
    index: &'a IndexRaBitQ,
    qb: u8,
    estimate: Estimate,
}

impl CodeDistances for Estimates<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.index.dim(), "x.size() == d")?;
        self.estimate.set(x, &self.index.center, self.qb);
        Ok(())
    }
    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        for (code, key) in codes.chunks_exact(self.index.code_size).zip(keys) {
            *key = self.estimate.key(code);
        }
    }
    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        let (center, d) = (&self.index.center, self.index.dim());
        let (mut x, mut y) = (vec![0f32; d], vec![0f32; d]);
        self.index.rabitq.decode_one(a, center, &mut x);
        self.index.rabitq.decode_one(b, center, &mut y);
        if self.index.metric_type.is_similarity() {
            -simd::fvec_inner_product(&x, &y)
        } else {
            simd::fvec_L2sqr(&x, &y)
        }
    }
}

impl FlatCodes for IndexRaBitQ {
    fn flat_codes(&self) -> &IndexFlatCodes {
        &self.flat_codes
    }
    fn flat_codes_mut(&mut self) -> &mut IndexFlatCodes {
        &mut self.flat_codes
    }
    fn codec(&self) -> &dyn Quantizer {
        self
    }
    fn codec_mut(&mut self) -> &mut dyn Quantizer {
        self
    }
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
        let qb = self.rounding(params)?;
        let out = TopK::new(self.metric_type, k, distances, labels);
        Scan::new(self, x, params, || self.estimates(qb))?.search(k, &out)
    }
    fn range_search_codes(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        self.check_codes()?;
        let (n, qb) = (self.rows(x)?, self.rounding(params)?);
        let out = InRadius::new(self.metric_type, n);
        Scan::new(self, x, params, || self.estimates(qb))?.range_search(n, radius, &out)?;
        Ok(out.finish())
    }
}

impl Index for IndexRaBitQ {
    crate::flat_codes_index!();
}
