//! Product-quantized codes, searched exhaustively.

use std::sync::atomic::{AtomicUsize, Ordering};

use faiss_derive::Object;
use parking_lot::Mutex;

use super::flat_codes::{IndexFlatCodes, check_same_type};
use super::stats::{INDEX_PQ_STATS, IndexPQStats};
use super::{Index, IndexBase, RangeSearchResult, SearchParameters, header, selector};
use crate::base::object::{Object, cast, receiver};
use crate::base::{Error, Handle, MetricType, Result, Value, threads};
use crate::distance::collect::{Best1, Collector, Hit, InRange, Reservoir};
use crate::distance::worst;
use crate::grammar::{Grammar, PqPart};
use crate::quantize::hamming::{generalized_hamming, hamming};
use crate::quantize::{PolysemousTraining, ProductQuantizer};
use crate::registry::{Format, Row, no_overload};
use crate::simd;
use crate::stream::FourCC;

/// Queries are compared with the codes as they are.
pub const ST_PQ: i32 = 0;
/// Hamming distances of codes.
pub const ST_HE: i32 = 1;
/// Numbers of bytes in which codes differ.
pub const ST_GENERALIZED_HE: i32 = 2;
/// Queries are encoded too, and codes compared with codes.
pub const ST_SDC: i32 = 3;
/// As [`ST_PQ`], among the codes whose Hamming distance to the query's is below `polysemous_ht`.
pub const ST_POLYSEMOUS: i32 = 4;
/// The same with numbers of bytes.
pub const ST_POLYSEMOUS_GENERALIZE: i32 = 5;

/// Codes whose keys are computed at a time.
const BLOCK: usize = 1024;

/// Stores product-quantized codes and searches them exhaustively.
#[derive(Object, Default, Clone)]
#[object(implements(Index), copy)]
pub struct IndexPQ {
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// Makes the codes.
    pub pq: ProductQuantizer,
    /// Whether training ends with polysemous training.
    pub do_polysemous_training: bool,
    /// Parameters of the polysemous training.
    pub polysemous_training: PolysemousTraining,
    /// How codes are compared with queries: 0 as they are, 1 by Hamming distance, 2 by differing bytes, 3 with queries encoded too, 4 and 5
    /// as 0 among the codes that are near by 1 or 2.
    pub search_type: i32,
    /// In searches by Hamming distance, queries are encoded by the signs of their coordinates.
    pub encode_signs: bool,
    /// Polysemous searches pass over codes whose Hamming distance is not below this.
    pub polysemous_ht: i32,
}

/// Parameters of one search among product-quantized codes.
#[derive(Object, Default, Clone)]
pub struct SearchParametersPQ {
    #[object(parent)]
    pub base: SearchParameters,
    /// As the index's.
    pub search_type: i32,
    /// As the index's.
    pub polysemous_ht: i32,
}

const PARAMETER_SIGNATURES: &[&str] =
    &["(*, sel: IDSelector | None = None, search_type: int = 0, polysemous_ht: int = 0)"];

pub const PARAMETERS: Row = Row::of::<SearchParametersPQ>().construct(
    |args| match args {
        [] => Ok(Handle::new(SearchParametersPQ::default())),
        _ => Err(no_overload("SearchParametersPQ", PARAMETER_SIGNATURES)),
    },
    PARAMETER_SIGNATURES,
);

const SIGNATURES: &[&str] = &["()", "(d: int, M: int, nbits: int, metric: int = METRIC_L2)"];

pub const ROW: Row = Row::of::<IndexPQ>()
    .grammar(Grammar::Index(|d, part, metric| {
        let Some(part) = PqPart::parse(part) else { return Ok(None) };
        let mut index = IndexPQ::new(d, part.m, part.nbits, metric)?;
        index.do_polysemous_training = part.polysemous;
        Ok(Some(Handle::new(index)))
    }))
    .construct(
        |args| {
            let (d, m, nbits, metric) = match args {
                [] => return Ok(Handle::new(IndexPQ::default())),
                [Value::Int(d), Value::Int(m), Value::Int(nbits)] => (*d, *m, *nbits, MetricType::L2),
                [Value::Int(d), Value::Int(m), Value::Int(nbits), Value::Int(metric)] => {
                    (*d, *m, *nbits, MetricType::try_from(*metric)?)
                }
                _ => return Err(no_overload("IndexPQ", SIGNATURES)),
            };
            let size =
                |v: i64| usize::try_from(v).map_err(|_| Error::overflow("the number is out of range for size_t"));
            Ok(Handle::new(IndexPQ::new(d, size(m)?, size(nbits)?, metric)?))
        },
        SIGNATURES,
    )
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
            Ok(Handle::new(index))
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

/// A distance of two codes.
type Measure = fn(&[u8], &[u8]) -> u32;

#[derive(Clone, Copy)]
enum Compare {
    /// Codes with queries as they are.
    Distances,
    /// Codes with queries that were encoded and decoded.
    Encoded,
    /// Codes with the codes of queries.
    Codes(Measure),
}

/// How a search compares.
struct Plan {
    compare: Compare,
    /// Only codes whose measure is below this count.
    filter: Option<(Measure, u32)>,
}

impl Plan {
    fn needs_codes(&self) -> bool {
        self.filter.is_some() || !matches!(self.compare, Compare::Distances)
    }
}

impl IndexPQ {
    pub fn new(d: i64, m: usize, nbits: usize, metric: MetricType) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        let pq = ProductQuantizer::new(base.dim(), m, nbits)?;
        let flat_codes = IndexFlatCodes::new(base, pq.code_size);
        let polysemous_ht = i32::try_from(m * nbits + 1).unwrap_or(i32::MAX);
        Ok(IndexPQ { flat_codes, pq, polysemous_ht, ..Default::default() })
    }

    /// Whether larger keys would be better: never where codes are compared.
    fn is_similarity(&self, plan: &Plan) -> bool {
        self.metric_type.is_similarity() && !matches!(plan.compare, Compare::Codes(_))
    }

    fn check(&self) -> Result<usize> {
        self.pq.check()?;
        Error::check(
            self.pq.d == self.dim() && self.pq.code_size == self.code_size,
            "pq.d == d && pq.code_size == code_size",
        )?;
        self.count()
    }

    /// How a search compares, by parameters or by the index itself.
    fn plan(&self, params: Option<&dyn Object>) -> Result<Plan> {
        let params = params.and_then(cast::<SearchParametersPQ>);
        let search_type = params.map_or(self.search_type, |p| p.search_type);
        let threshold = params.map_or(self.polysemous_ht, |p| p.polysemous_ht);
        let unfiltered = |compare| Plan { compare, filter: None };
        let measure = if search_type == ST_GENERALIZED_HE || search_type == ST_POLYSEMOUS_GENERALIZE {
            generalized_hamming
        } else {
            hamming
        };
        match search_type {
            ST_PQ => Ok(unfiltered(Compare::Distances)),
            ST_SDC => Ok(unfiltered(Compare::Encoded)),
            ST_HE | ST_GENERALIZED_HE => Ok(unfiltered(Compare::Codes(measure))),
            ST_POLYSEMOUS | ST_POLYSEMOUS_GENERALIZE => {
                Error::check(self.metric_type == MetricType::L2, "metric_type == METRIC_L2")?;
                Error::check(self.pq.nbits == 8, "pq.nbits == 8")?;
                let below = u32::try_from(threshold).unwrap_or(0);
                Ok(Plan { compare: Compare::Distances, filter: Some((measure, below)) })
            }
            other => Err(Error::value(format!("search_type {other} of IndexPQ is not known; known: 0 to 5"))),
        }
    }

    /// The codes of queries that are compared with codes.
    fn encode_queries(&self, x: &[f32]) -> Result<Vec<u8>> {
        let mut codes = vec![0u8; self.rows(x)? * self.code_size];
        if !self.encode_signs {
            self.pq.compute_codes(x, &mut codes)?;
            return Ok(codes);
        }
        Error::check(self.dim() == self.pq.nbits * self.pq.M, "d == pq.nbits * pq.M")?;
        for (row, code) in x.chunks_exact(self.dim()).zip(codes.chunks_exact_mut(self.code_size)) {
            row.iter().enumerate().for_each(|(i, v)| code[i / 8] |= u8::from(*v >= 0.0) << (i % 8));
        }
        Ok(codes)
    }

    /// Goes through all codes for each query; `done` gets the query's results.
    fn scan<C: Collector>(
        &self,
        x: &[f32],
        params: Option<&dyn Object>,
        plan: &Plan,
        collector: impl Fn() -> C + Sync,
        done: impl Fn(usize, Vec<Hit>) + Sync,
    ) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let total = self.check()?;
        let n = self.rows(x)?;
        if !matches!(self.metric_type, MetricType::L2 | MetricType::InnerProduct) {
            return Err(Error::failed("metric_type == METRIC_L2 || metric_type == METRIC_INNER_PRODUCT", ""));
        }
        let sel = selector(params);
        let sel = sel.as_ref().map(|sel| sel.read());
        let (d, size, similarity) = (self.dim(), self.pq.M * self.pq.ksub, self.metric_type.is_similarity());
        let code_size = self.code_size;
        let query_codes = if plan.needs_codes() { self.encode_queries(x)? } else { Vec::new() };
        let decoded = if let Compare::Encoded = plan.compare {
            // A code compared with codes is the vector it decodes to compared with them.
            let mut decoded = vec![0f32; x.len()];
            self.pq.decode(&query_codes, &mut decoded)?;
            Some(decoded)
        } else {
            None
        };
        let x = decoded.as_deref().unwrap_or(x);
        let passed = AtomicUsize::new(0);
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
                let codes = &self.codes.as_slice()[first * code_size..end * code_size];
                let each = || codes.chunks_exact(code_size.max(1));
                let own_code = query_codes.get(q * code_size..(q + 1) * code_size).unwrap_or_default();
                match (plan.compare, plan.filter) {
                    (Compare::Codes(measure), _) => {
                        keys.iter_mut().zip(each()).for_each(|(key, code)| *key = measure(own_code, code) as f32);
                    }
                    (_, Some((measure, below))) => {
                        passed.fetch_add(
                            self.pq.lookup_near(&table, codes, own_code, measure, below, keys),
                            Ordering::Relaxed,
                        );
                    }
                    _ => self.pq.lookup(&table, codes, keys),
                }
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
        })?;
        let n_hamming_pass = passed.into_inner();
        INDEX_PQ_STATS.write().add(&IndexPQStats { nq: n, ncode: n * total, n_hamming_pass });
        Ok(())
    }
}

impl Index for IndexPQ {
    crate::inherit_index!(flat_codes);

    fn train(&mut self, x: &[f32]) -> Result<()> {
        let n = self.rows(x)?;
        if self.do_polysemous_training {
            let training = self.polysemous_training.clone();
            self.pq.train(&x[..training.points_for_centroids(n) * self.dim()])?;
            training.optimize_pq_for_hamming(&mut self.pq)?;
        } else {
            self.pq.train(x)?;
        }
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
        let plan = self.plan(params)?;
        let (similarity, worst) = (self.is_similarity(&plan), worst(self.metric_type));
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
            self.scan(x, params, &plan, Best1::default, done)
        } else {
            self.scan(x, params, &plan, || Reservoir::new(k), done)
        }
    }
    fn range_search(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        let similarity = self.metric_type.is_similarity();
        let limit = if similarity { -radius } else { radius };
        let found: Vec<Mutex<Vec<Hit>>> = (0..self.rows(x)?).map(|_| Mutex::new(Vec::new())).collect();
        // As in Faiss, whatever the type of search.
        let plan = Plan { compare: Compare::Distances, filter: None };
        self.scan(x, params, &plan, || InRange::new(limit), |q, hits| *found[q].lock() = hits)?;
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
