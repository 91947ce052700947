//! Product-quantized codes, searched exhaustively.

use faiss_derive::Object;
use parking_lot::Mutex;

use super::flat_codes::{IndexFlatCodes, check_same_type};
use super::{Index, IndexBase, RangeSearchResult, header, selector};
use crate::base::object::{Object, receiver};
use crate::base::{Error, Handle, MetricType, Result, Value, threads};
use crate::distance::collect::{Best1, Collector, Hit, InRange, Reservoir};
use crate::distance::worst;
use crate::grammar::{Grammar, PqPart};
use crate::quantize::ProductQuantizer;
use crate::registry::{Format, Row, no_overload};
use crate::simd;
use crate::stream::FourCC;

/// Queries are compared with the codes as they are.
pub const ST_PQ: i32 = 0;
/// Queries are encoded too, and codes compared with codes.
pub const ST_SDC: i32 = 3;

/// Codes whose keys are computed at a time.
const BLOCK: usize = 1024;

/// Stores product-quantized codes and searches them exhaustively.
#[derive(Object, Default, Clone)]
pub struct IndexPQ {
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// Makes the codes.
    pub pq: ProductQuantizer,
    /// Accepted for compatibility: polysemous training would only renumber centroids, which these searches don't see.
    pub do_polysemous_training: bool,
    /// 0: queries as they are; 3: encoded too. The polysemous and Hamming searches are not here.
    pub search_type: i32,
    /// Accepted for compatibility.
    pub encode_signs: bool,
    /// Hamming threshold of polysemous searches.
    pub polysemous_ht: i32,
}

const SIGNATURES: &[&str] = &["()", "(d: int, M: int, nbits: int, metric: int = METRIC_L2)"];

pub const ROW: Row = Row::of::<IndexPQ>()
    .grammar(Grammar::Index(|d, part, metric| {
        let Some(part) = PqPart::parse(part) else { return Ok(None) };
        let mut index = IndexPQ::new(d, part.m, part.nbits, metric)?;
        index.do_polysemous_training = part.polysemous;
        Ok(Some(Handle::index(index)))
    }))
    .construct(
        |args| {
            let (d, m, nbits, metric) = match args {
                [] => return Ok(Handle::index(IndexPQ::default())),
                [Value::Int(d), Value::Int(m), Value::Int(nbits)] => (*d, *m, *nbits, MetricType::L2),
                [Value::Int(d), Value::Int(m), Value::Int(nbits), Value::Int(metric)] => {
                    (*d, *m, *nbits, MetricType::try_from(*metric)?)
                }
                _ => return Err(no_overload("IndexPQ", SIGNATURES)),
            };
            let size =
                |v: i64| usize::try_from(v).map_err(|_| Error::overflow("the number is out of range for size_t"));
            Ok(Handle::index(IndexPQ::new(d, size(m)?, size(nbits)?, metric)?))
        },
        SIGNATURES,
    )
    .clone(|object| Ok(Handle::index(receiver::<IndexPQ>(object)?.clone())))
    .format(Format {
        fourccs: &["IxPq", "IxPQ", "IxPo"],
        read: |input, code: FourCC| {
            let base = header::read(input)?;
            let pq = ProductQuantizer::read(input)?;
            let codes = input.codes()?;
            let mut index = IndexPQ { pq, ..Default::default() };
            index.flat_codes = IndexFlatCodes { base, code_size: index.pq.code_size, codes };
            if !code.is("IxPQ") {
                index.search_type = input.i32()?;
                index.encode_signs = input.bool("encode_signs")?;
                index.polysemous_ht = input.i32()?;
            }
            if !code.is("IxPq") {
                index.flat_codes.base.metric_type = MetricType::L2;
            }
            Error::check(index.pq.d == index.dim(), "pq.d == d")?;
            index.count()?;
            Ok(Handle::index(index))
        },
        write: |object, out| {
            let index = receiver::<IndexPQ>(object)?;
            index.count()?;
            out.fourcc("IxPq")?;
            header::write(index, out)?;
            index.pq.write(out)?;
            out.codes(index.codes.as_slice())?;
            out.i32(index.search_type)?;
            out.bool(index.encode_signs)?;
            out.i32(index.polysemous_ht)
        },
    });

impl IndexPQ {
    pub fn new(d: i64, m: usize, nbits: usize, metric: MetricType) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        let pq = ProductQuantizer::new(base.dim(), m, nbits)?;
        let flat_codes = IndexFlatCodes::new(base, pq.code_size);
        let polysemous_ht = i32::try_from(m * nbits + 1).unwrap_or(i32::MAX);
        Ok(IndexPQ { flat_codes, pq, polysemous_ht, ..Default::default() })
    }

    fn check(&self) -> Result<usize> {
        self.pq.check()?;
        Error::check(
            self.pq.d == self.dim() && self.pq.code_size == self.code_size,
            "pq.d == d && pq.code_size == code_size",
        )?;
        self.count()
    }

    /// Goes through all codes for each query; `done` gets the query's results.
    fn scan<C: Collector>(
        &self,
        x: &[f32],
        params: Option<&dyn Object>,
        collector: impl Fn() -> C + Sync,
        done: impl Fn(usize, Vec<Hit>) + Sync,
    ) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let total = self.check()?;
        let n = self.rows(x)?;
        let symmetric = match self.search_type {
            ST_PQ => false,
            ST_SDC => true,
            other => return Err(Error::not_implemented(format!("search_type {other} of IndexPQ"))),
        };
        if !matches!(self.metric_type, MetricType::L2 | MetricType::InnerProduct) {
            return Err(Error::failed("metric_type == METRIC_L2 || metric_type == METRIC_INNER_PRODUCT", ""));
        }
        let sel = selector(params);
        let sel = sel.as_ref().map(|sel| sel.read());
        let (d, size, similarity) = (self.dim(), self.pq.M * self.pq.ksub, self.metric_type.is_similarity());
        let encoded = if symmetric {
            // A code compared with codes is the vector it decodes to compared with them.
            let mut codes = vec![0u8; n * self.code_size];
            self.pq.compute_codes(x, &mut codes)?;
            let mut decoded = vec![0f32; x.len()];
            self.pq.decode(&codes, &mut decoded)?;
            Some(decoded)
        } else {
            None
        };
        let x = encoded.as_deref().unwrap_or(x);
        let transposed = self.pq.transposed();
        threads::parallel_for(n, |q| {
            let mut table = vec![0f32; size];
            let query = &x[q * d..(q + 1) * d];
            if similarity {
                self.pq.inner_prod_table_with(&transposed, query, &mut table);
                simd::fvec_scale(&mut table, -1.0);
            } else {
                self.pq.distance_table_with(&transposed, query, &mut table);
            }
            let mut own = collector();
            let (mut keys, mut hits) = (vec![0f32; BLOCK], vec![0u32; BLOCK]);
            for first in (0..total).step_by(BLOCK) {
                let end = (first + BLOCK).min(total);
                let keys = &mut keys[..end - first];
                self.pq.lookup(&table, &self.codes.as_slice()[first * self.code_size..end * self.code_size], keys);
                let count = simd::below(keys, own.threshold(), &mut hits);
                for hit in hits[..count].iter().map(|hit| *hit as usize) {
                    let id = (first + hit) as i64;
                    if keys[hit] < own.threshold() && sel.as_ref().is_none_or(|sel| sel.is_member(id)) {
                        own.push(keys[hit], id);
                    }
                }
            }
            done(q, own.finish());
            Ok(())
        })
    }
}

impl Index for IndexPQ {
    crate::inherit_index!(flat_codes);

    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.rows(x)?;
        self.pq.train(x)?;
        self.is_trained = true;
        Ok(())
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        self.check()?;
        let mut codes = vec![0u8; self.rows(x)? * self.code_size];
        self.pq.compute_codes(x, &mut codes)?;
        self.append(&codes)
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.queries(x, k, distances, labels)?;
        let (similarity, worst) = (self.metric_type.is_similarity(), worst(self.metric_type));
        let out: Vec<Mutex<(&mut [f32], &mut [i64])>> =
            distances.chunks_exact_mut(k).zip(labels.chunks_exact_mut(k)).map(Mutex::new).collect();
        let done = |q: usize, hits: Vec<Hit>| {
            let (distances, labels) = &mut *out[q].lock();
            for (i, (key, id)) in hits.iter().enumerate() {
                distances[i] = if similarity { -key } else { *key };
                labels[i] = *id;
            }
            distances[hits.len()..].fill(worst);
            labels[hits.len()..].fill(-1);
        };
        if k == 1 {
            self.scan(x, params, Best1::default, done)
        } else {
            self.scan(x, params, || Reservoir::new(k), done)
        }
    }
    fn range_search(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        let similarity = self.metric_type.is_similarity();
        let limit = if similarity { -radius } else { radius };
        let found: Vec<Mutex<Vec<Hit>>> = (0..self.rows(x)?).map(|_| Mutex::new(Vec::new())).collect();
        self.scan(x, params, || InRange::new(limit), |q, hits| *found[q].lock() = hits)?;
        let mut result = RangeSearchResult { lims: vec![0], ..Default::default() };
        for hits in found {
            for (key, id) in hits.into_inner() {
                result.distances.push(if similarity { -key } else { key });
                result.labels.push(id);
            }
            result.lims.push(result.labels.len());
        }
        Ok(result)
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.check()?;
        let at = self.position(key)?;
        self.pq.decode(&self.codes.as_slice()[at * self.code_size..(at + 1) * self.code_size], out)
    }
    fn sa_encode(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        self.pq.compute_codes(x, codes)
    }
    fn sa_decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.pq.decode(codes, x)
    }
    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        check_same_type(self, other)?;
        self.flat_codes.check_compatible_for_merge(other)
    }
    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        self.flat_codes.merge_from(other, add_id)
    }
}
