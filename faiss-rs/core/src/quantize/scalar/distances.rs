//! Queries compared with the codes of a scalar quantizer.

use std::cell::RefCell;
use std::marker::PhantomData;

use super::kernels::{self, Bf16, F16, Numbers, Operands, PlainL2, Product, ScaledL2, Step, U4, U6, U8};
use super::kind::Kind;
use super::turbo::{Parts, Turbo};
use super::{ScalarQuantizer, to_byte};
use crate::base::{Error, MetricType, Result};
use crate::quantize::codec::{CodeDistances, Quantizer};
use crate::simd;

/// Codes that are decoded at a time, where they are.
const BLOCK: usize = 64;

/// What compares a query with codes, by the kind of codes.
pub fn new(sq: &ScalarQuantizer, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
    let kind = sq.trained_kind()?;
    let similarity = metric.is_similarity();
    if sq.d == 0 {
        return Ok(Box::new(NoDistances));
    }
    Ok(match (kind, similarity) {
        (Kind::Turbo { bits }, _) => turbo(sq, bits, metric, Shortened::default())?,
        (Kind::Levels { .. }, _) => Box::new(Decoded::new(sq, kind, similarity)?),
        (Kind::Nothing, _) => Box::new(NoDistances),
        (Kind::Range { bits: 8, .. }, false) => Box::new(Fused::<U8, ScaledL2>::new(sq, kind)),
        (Kind::Range { bits: 6, .. }, false) => Box::new(Fused::<U6, ScaledL2>::new(sq, kind)),
        (Kind::Range { .. }, false) => Box::new(Fused::<U4, ScaledL2>::new(sq, kind)),
        (Kind::Range { bits: 8, .. }, true) => Box::new(Fused::<U8, Product>::new(sq, kind)),
        (Kind::Range { bits: 6, .. }, true) => Box::new(Fused::<U6, Product>::new(sq, kind)),
        (Kind::Range { .. }, true) => Box::new(Fused::<U4, Product>::new(sq, kind)),
        (Kind::Fp16, false) => Box::new(Fused::<F16, PlainL2>::new(sq, kind)),
        (Kind::Fp16, true) => Box::new(Fused::<F16, Product>::new(sq, kind)),
        (Kind::Bf16, false) => Box::new(Fused::<Bf16, PlainL2>::new(sq, kind)),
        (Kind::Bf16, true) => Box::new(Fused::<Bf16, Product>::new(sq, kind)),
        (Kind::Direct { .. }, false) => Box::new(Fused::<U8, PlainL2>::new(sq, kind)),
        (Kind::Direct { .. }, true) => Box::new(Fused::<U8, Product>::new(sq, kind)),
    })
}

/// As [`new`], by the distances to what codes decode to, whatever the type.
pub fn decoded(sq: &ScalarQuantizer, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
    let kind = sq.trained_kind()?;
    Ok(match kind {
        _ if sq.d == 0 => Box::new(NoDistances),
        Kind::Turbo { .. } | Kind::Nothing => Box::new(Decoded::new(sq, kind, metric.is_similarity())?),
        Kind::Direct { .. } if metric.is_similarity() => {
            Box::new(Fused::<U8, Product> { bytes: None, ..Fused::new(sq, kind) })
        }
        Kind::Direct { .. } => Box::new(Fused::<U8, PlainL2> { bytes: None, ..Fused::new(sq, kind) }),
        _ => new(sq, metric)?,
    })
}

fn check_query(sq: &ScalarQuantizer, x: &[f32]) -> Result<()> {
    Error::check(x.len() == sq.d, "x.size() == d")
}

/// The key of two codes: they are decoded.
fn between(sq: &ScalarQuantizer, similarity: bool, a: &[u8], b: &[u8]) -> f32 {
    let (mut x, mut y) = (vec![0f32; sq.d], vec![0f32; sq.d]);
    // Sizes and training were checked when this was made.
    if sq.decode(a, &mut x).and_then(|()| sq.decode(b, &mut y)).is_err() {
        return f32::NAN;
    }
    if similarity { -simd::fvec_inner_product(&x, &y) } else { simd::fvec_L2sqr(&x, &y) }
}

/// Keys of all queries `x` and all vectors `y`.
fn tile(similarity: bool, x: &[f32], y: &[f32], d: usize, keys: &mut [f32]) {
    if similarity {
        simd::fvec_inner_products_tile(keys, x, y, d);
        simd::fvec_scale(keys, -1.0);
    } else {
        simd::fvec_L2sqr_tile(keys, x, y, d);
    }
}

/// Codes whose numbers `c` stand for `c * scale + offset`, compared as they are: the query takes the scale and the offset upon itself.
struct Fused<'a, N, S> {
    sq: &'a ScalarQuantizer,
    /// Scale and offset of each coordinate.
    scales: Vec<f32>,
    offsets: Vec<f32>,
    /// Whether queries become bytes too, signed or not: Faiss compares bytes where registers are full.
    bytes: Option<bool>,
    query: Vec<f32>,
    factors: Vec<f32>,
    /// What a similarity's sum is subtracted from.
    bias: f32,
    /// Decoded vectors, and their offsets.
    vectors: RefCell<(Vec<f32>, Vec<f32>)>,
    kind: PhantomData<fn() -> (N, S)>,
}

impl<'a, N: Numbers, S: Step> Fused<'a, N, S> {
    fn new(sq: &'a ScalarQuantizer, kind: Kind) -> Self {
        let shift = if kind == (Kind::Direct { signed: true }) { -128.0 } else { 0.0 };
        let (mut scales, mut offsets) = (vec![1.0; sq.d], vec![shift; sq.d]);
        if let Kind::Range { bits, .. } = kind {
            let (starts, widths) = sq.ranges();
            let top = ((1u32 << bits) - 1) as f32;
            for (j, (scale, offset)) in scales.iter_mut().zip(&mut offsets).enumerate() {
                let (start, width) = if starts.len() == 1 { (starts[0], widths[0]) } else { (starts[j], widths[j]) };
                (*scale, *offset) = (width / top, start + 0.5 / top * width);
            }
        }
        Fused {
            sq,
            query: vec![0.0; sq.d],
            factors: if S::SCALED { scales.iter().map(|s| -s).collect() } else { Vec::new() },
            scales,
            offsets,
            bytes: match kind {
                Kind::Direct { signed } if sq.d.is_multiple_of(16) => Some(signed),
                _ => None,
            },
            bias: 0.0,
            vectors: RefCell::default(),
            kind: PhantomData,
        }
    }

    fn operands(&self) -> Operands<'_> {
        Operands { query: &self.query, factors: &self.factors }
    }
}

impl<N: Numbers, S: Step> CodeDistances for Fused<'_, N, S> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        check_query(self.sq, x)?;
        self.query.copy_from_slice(x);
        if let Some(signed) = self.bytes {
            let whole = |v: f32| if signed { f32::from(to_byte(v) as i8) } else { f32::from(to_byte(v)) };
            self.query.iter_mut().for_each(|v| *v = whole(*v));
        }
        if S::SIMILARITY {
            self.bias = -simd::fvec_inner_product(&self.query, &self.offsets);
            self.query.iter_mut().zip(&self.scales).for_each(|(v, scale)| *v *= scale);
        } else {
            self.query.iter_mut().zip(&self.offsets).for_each(|(v, offset)| *v -= offset);
        }
        Ok(())
    }

    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        kernels::rows::<N, S>(self.operands(), codes, self.sq.code_size, keys);
        if S::SIMILARITY {
            keys.iter_mut().for_each(|key| *key = self.bias - *key);
        }
    }

    fn keys_4(&self, codes: [&[u8]; 4]) -> [f32; 4] {
        let sums = kernels::four::<N, S>(self.operands(), codes);
        if S::SIMILARITY { sums.map(|sum| self.bias - sum) } else { sums }
    }

    fn tile(&self, x: &[f32], origin: Option<&[f32]>, codes: &[u8], keys: &mut [f32]) -> bool {
        if self.bytes.is_some() {
            // Residuals are rounded too, and each query has its own.
            return false;
        }
        let (vectors, offsets) = &mut *self.vectors.borrow_mut();
        let (d, size) = (self.sq.d, self.sq.code_size);
        vectors.resize(codes.len() / size * d, 0.0);
        offsets.clone_from(&self.offsets);
        if let Some(origin) = origin {
            offsets.iter_mut().zip(origin).for_each(|(offset, v)| *offset += v);
        }
        kernels::vectors::<N>(&self.scales, offsets, codes, size, vectors);
        tile(S::SIMILARITY, x, vectors, d, keys);
        true
    }

    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        between(self.sq, S::SIMILARITY, a, b)
    }
}

/// Codes that are decoded to be compared.
struct Decoded<'a> {
    sq: &'a ScalarQuantizer,
    kind: Kind,
    turbo: Option<Turbo>,
    similarity: bool,
    query: Vec<f32>,
    memory: RefCell<(Vec<f32>, Parts)>,
}

impl<'a> Decoded<'a> {
    fn new(sq: &'a ScalarQuantizer, kind: Kind, similarity: bool) -> Result<Self> {
        let turbo = if let Kind::Turbo { bits } = kind { Some(sq.turbo(bits)?) } else { None };
        Ok(Decoded { sq, kind, turbo, similarity, query: vec![0.0; sq.d], memory: RefCell::default() })
    }

    /// The vectors of `n` codes, each plus `origin`.
    fn vectors<'v>(
        &self,
        codes: &[u8],
        n: usize,
        origin: Option<&[f32]>,
        (vectors, parts): &'v mut (Vec<f32>, Parts),
    ) -> &'v [f32] {
        let (d, size) = (self.sq.d, self.sq.code_size);
        vectors.resize(n * d, 0.0);
        for (i, x) in vectors.chunks_exact_mut(d).enumerate() {
            let code = &codes[i * size..(i + 1) * size];
            match &self.turbo {
                Some(turbo) => turbo.decode(code, x, parts),
                None => self.sq.decode_one(self.kind, code, x),
            }
            x.iter_mut().zip(origin.unwrap_or_default()).for_each(|(v, o)| *v += o);
        }
        vectors
    }
}

impl CodeDistances for Decoded<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        check_query(self.sq, x)?;
        self.query.copy_from_slice(x);
        Ok(())
    }
    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        let memory = &mut *self.memory.borrow_mut();
        for (i, keys) in keys.chunks_mut(BLOCK).enumerate() {
            let y = self.vectors(&codes[i * BLOCK * self.sq.code_size..], keys.len(), None, memory);
            if self.similarity {
                simd::fvec_inner_products_ny(keys, &self.query, y);
                simd::fvec_scale(keys, -1.0);
            } else {
                simd::fvec_L2sqr_ny(keys, &self.query, y);
            }
        }
    }
    fn tile(&self, x: &[f32], origin: Option<&[f32]>, codes: &[u8], keys: &mut [f32]) -> bool {
        let n = (keys.len() * self.sq.d).checked_div(x.len()).unwrap_or(0);
        let memory = &mut *self.memory.borrow_mut();
        tile(self.similarity, x, self.vectors(codes, n, origin, memory), self.sq.d, keys);
        true
    }
    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        between(self.sq, self.similarity, a, b)
    }
}

/// How queries are rounded before they are compared with TurboQuant's codes; not at all by default.
#[derive(Clone, Copy, Default)]
pub struct Shortened {
    /// To so many bits a coordinate, between the query's smallest and largest number, where levels are one bit; 0 for not.
    pub bits: u8,
    /// Projections too, whatever the levels.
    pub projections: bool,
}

/// Rounds numbers to so many bits between the smallest and the largest, and returns how much their sum grew.
fn shorten(x: &mut [f32], bits: u8) -> f32 {
    let (least, largest) = x.iter().fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    let step = (largest - least) / (2f32.powi(i32::from(bits)) - 1.0);
    if step.is_nan() || step <= 0.0 {
        return 0.0;
    }
    let mut grown = 0.0;
    for v in x {
        let rounded = least + step * ((*v - least) / step + 0.5).floor();
        grown += rounded - *v;
        *v = rounded;
    }
    grown
}

/// TurboQuant's estimates for levels of so many bits, with queries as they are or shortened.
pub fn turbo(
    sq: &ScalarQuantizer,
    bits: usize,
    metric: MetricType,
    shortened: Shortened,
) -> Result<Box<dyn CodeDistances + '_>> {
    let turbo = sq.turbo(bits)?;
    // One bit's levels are a factor and a sign.
    let level = if bits == 1 { sq.trained[1] } else { 0.0 };
    Ok(Box::new(TurboDistances {
        sq,
        turbo,
        similarity: metric.is_similarity(),
        shortened,
        level,
        query: vec![0.0; sq.d],
        projected: Vec::new(),
        grown: [0.0; 2],
        norm: 0.0,
        parts: RefCell::default(),
    }))
}

/// TurboQuant's estimate of inner products, and by it and the norms of squared distances.
struct TurboDistances<'a> {
    sq: &'a ScalarQuantizer,
    turbo: Turbo,
    similarity: bool,
    shortened: Shortened,
    /// The level of a set bit where there is one bit, else 0.
    level: f32,
    /// The query over `sqrt(d)`.
    query: Vec<f32>,
    /// Its projections, times what a sign is worth.
    projected: Vec<f32>,
    /// What is added to the products of levels and of signs: by how much the sums of numbers grew by rounding. As Faiss does, who rounds what is
    /// summed over set bits and not the sum of all.
    grown: [f32; 2],
    norm: f32,
    parts: RefCell<Parts>,
}

impl CodeDistances for TurboDistances<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        check_query(self.sq, x)?;
        self.norm = simd::fvec_norm_L2sqr(x);
        self.turbo.project(x, &mut self.projected);
        simd::fvec_scale(&mut self.projected, self.turbo.sign_factor());
        let scale = 1.0 / (self.sq.d as f32).sqrt();
        self.query.iter_mut().zip(x).for_each(|(q, v)| *q = v * scale);
        let Shortened { bits, projections } = self.shortened;
        if bits > 0 && self.level != 0.0 {
            self.grown[0] = shorten(&mut self.query, bits) * self.level;
        }
        if bits > 0 && projections {
            self.grown[1] = shorten(&mut self.projected, bits);
        }
        Ok(())
    }
    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        let mut parts = self.parts.borrow_mut();
        for (code, key) in codes.chunks_exact(self.sq.code_size).zip(keys) {
            self.turbo.take_apart(code, &mut parts);
            let levels = simd::fvec_inner_product(&self.query, &parts.levels);
            let signs = simd::fvec_inner_product(&self.projected, &parts.signs);
            let product = parts.norm * (levels + self.grown[0] + parts.rest * (signs + self.grown[1]));
            *key = if self.similarity { -product } else { self.norm + parts.norm * parts.norm - 2.0 * product };
        }
    }
    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        between(self.sq, self.similarity, a, b)
    }
}

/// Codes that say nothing: every key is 0.
struct NoDistances;

impl CodeDistances for NoDistances {
    fn set_query(&mut self, _x: &[f32]) -> Result<()> {
        Ok(())
    }
    fn keys(&self, _codes: &[u8], keys: &mut [f32]) {
        keys.fill(0.0);
    }
    fn between(&self, _a: &[u8], _b: &[u8]) -> f32 {
        0.0
    }
}
