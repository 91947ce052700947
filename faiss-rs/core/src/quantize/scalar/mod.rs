//! Scalar quantizers: each coordinate by itself to a few bits.
//!
//! | file | what lives there |
//! |---|---|
//! | `mod.rs` | [`ScalarQuantizer`]: training, encoding, decoding, its part of files |
//! | `kind.rs` | the types, by Faiss's numbers |
//! | `ranges.rs` | how training chooses ranges |
//! | `normal.rs` | levels of the normal distribution |
//! | `turbo.rs` | TurboQuant's codes |
//! | `distances.rs`, `kernels.rs` | queries compared with codes, and the loops of that |
//! | `methods.rs` | what Python sees |

// The names of types and statistics are Faiss's.
#![allow(non_upper_case_globals)]

pub mod distances;
mod kernels;
pub mod kind;
pub mod methods;
pub mod normal;
pub mod ranges;
pub mod turbo;

use std::cmp::Ordering::Less;

use faiss_derive::Object;

use super::QuantizerBase;
use super::bits::{Unpacker, pack};
use super::codec::{CodeDistances, Quantizer, check_metric, check_sizes};
use crate::base::{Error, MetricType, Result, threads};
use crate::simd;
use distances::Shortened;
use kind::Kind;
use turbo::{Parts, Turbo};

/// Vectors of one task of encoding or decoding.
const MIN_ROWS: usize = 64;

/// Replaces each coordinate by a few bits: of its place in a range, or by the nearest of some levels, or by a shorter number.
///
/// `compute_codes` encodes (n, d) float32 to (n, code_size) uint8, and `decode` reverses it. `QT_fp16`, `QT_bf16` and the `_direct` types need no
/// training.
#[derive(Object, Default, Clone)]
#[object(copy, methods(methods::ScalarMethods))]
pub struct ScalarQuantizer {
    /// What every quantizer has.
    #[object(parent)]
    pub base: QuantizerBase,
    /// What becomes of a coordinate: one of the `QT_` constants.
    pub qtype: i32,
    /// How training chooses ranges: 0 smallest and largest number, 1 mean and standard deviation, 2 quantiles, 3 least squared error.
    pub rangestat: i32,
    /// The part of the range, the number of standard deviations or the quantile, by `rangestat`.
    pub rangestat_arg: f32,
    /// Bits of a coordinate.
    pub bits: usize,
    /// What training leaves: ranges as starts and widths, or levels and the boundaries between them.
    pub trained: Vec<f32>,
}

impl ScalarQuantizer {
    /// An error where one that was read is not for an index of dimension `d`, or lacks its training.
    pub fn check_read(&self, d: usize, is_trained: bool) -> Result<()> {
        Error::check(self.d == d, "sq.d == d")?;
        if is_trained || !self.trained.is_empty() { self.trained_kind().map(|_| ()) } else { Ok(()) }
    }

    /// An untrained quantizer of `d`-dimensional vectors. `qtype` is one of the `QT_` constants.
    pub fn new(d: usize, qtype: i32) -> Result<Self> {
        Kind::of(qtype)?;
        let mut sq = ScalarQuantizer { base: QuantizerBase { d, code_size: 0 }, qtype, ..Default::default() };
        sq.set_derived_sizes()?;
        Ok(sq)
    }

    /// Sets what follows from `d` and `qtype`.
    pub fn set_derived_sizes(&mut self) -> Result<()> {
        let kind = Kind::of(self.qtype)?;
        let size = kind.code_size(self.d);
        self.base.code_size = size.ok_or_else(|| Error::Memory("a code larger than memory".into()))?;
        self.bits = kind.bits();
        Ok(())
    }

    /// What `qtype` says, after a check that the sizes fit.
    fn kind(&self) -> Result<Kind> {
        let kind = Kind::of(self.qtype)?;
        Error::check(kind.code_size(self.d) == Some(self.code_size), "code_size is that of qtype and d")?;
        Ok(kind)
    }

    /// As [`ScalarQuantizer::kind`]; an error too where there was no training.
    fn trained_kind(&self) -> Result<Kind> {
        let kind = self.kind()?;
        if kind.trained_size(self.d) != Some(self.trained.len()) {
            let message = format!(
                "{} trained numbers for type {} and d = {}: not trained",
                self.trained.len(),
                self.qtype,
                self.d
            );
            return Err(Error::failed("trained.size() is that of qtype and d", message));
        }
        Ok(kind)
    }

    /// Start and width of the ranges of all coordinates: slices of one number where the range is the same for all.
    fn ranges(&self) -> (&[f32], &[f32]) {
        self.trained.split_at(self.trained.len() / 2)
    }

    /// What compares queries with the vectors that codes decode to: not by estimates, nor by bytes.
    pub fn decoded_distances(&self, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        check_metric(metric)?;
        distances::decoded(self, metric)
    }

    /// What compares queries with codes, shortened where codes are TurboQuant's.
    pub fn shortened_distances(&self, metric: MetricType, by: Shortened) -> Result<Box<dyn CodeDistances + '_>> {
        check_metric(metric)?;
        match self.trained_kind()? {
            Kind::Turbo { bits } => distances::turbo(self, bits, metric, by),
            _ => distances::new(self, metric),
        }
    }

    fn turbo(&self, bits: usize) -> Result<Turbo> {
        Turbo::new(self.d, bits, &self.trained)
    }
}

/// A number as a byte, by the conversion that processors have: its whole part, of which the lowest 8 bits count; 0 where 32 bits do not hold it.
fn to_byte(v: f32) -> u8 {
    if v.abs() < 2f32.powi(31) { v as i32 as u8 } else { 0 }
}

/// Writes a coordinate's place in its range, from 0 to `top`.
fn place(v: f32, start: f32, width: f32, top: f32) -> u32 {
    let part = if width == 0.0 { 0.0 } else { (v - start) / width };
    // A NaN becomes 0.
    (part.clamp(0.0, 1.0) * top) as u32
}

crate::stored!(ScalarQuantizer, |sq| {
    sq.qtype;
    sq.rangestat;
    sq.rangestat_arg;
    sq.d;
    sq.code_size;
    read {
        Error::check(sq.d <= 1 << 20, "d <= 1 << 20")?;
        let made = ScalarQuantizer::new(sq.d, sq.qtype)?;
        Error::check(sq.code_size == made.code_size, "sq.code_size is that of qtype and d")?;
        *sq = ScalarQuantizer { rangestat: sq.rangestat, rangestat_arg: sq.rangestat_arg, ..made };
    }
    sq.trained;
});

impl Quantizer for ScalarQuantizer {
    fn quantizer_base(&self) -> &QuantizerBase {
        self
    }

    fn check(&self) -> Result<()> {
        self.trained_kind().map(|_| ())
    }

    fn train(&mut self, x: &[f32]) -> Result<()> {
        let kind = self.kind()?;
        let d = self.d;
        Error::check(x.is_empty() || d > 0 && x.len().is_multiple_of(d), "x.size() % d == 0")?;
        Error::check(!kind.learns() || !x.is_empty(), "n > 0")?;
        let (stat, arg) = (self.rangestat, self.rangestat_arg);
        self.trained = match kind {
            Kind::Range { bits, uniform: true } => ranges::uniform(stat, arg, bits, x)?.to_vec(),
            Kind::Range { bits, uniform: false } => ranges::by_coordinate(stat, arg, bits, x, d)?,
            Kind::Levels { bits, unit } => normal::table(bits, if unit { 1.0 / (d as f32).sqrt() } else { 1.0 }),
            Kind::Turbo { bits } => turbo::table(bits),
            _ => Vec::new(),
        };
        Ok(())
    }

    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        let kind = self.trained_kind()?;
        check_sizes(self, x, codes)?;
        if codes.is_empty() {
            return Ok(());
        }
        let (d, size) = (self.d, self.code_size);
        let turbo = if let Kind::Turbo { bits } = kind { Some(self.turbo(bits)?) } else { None };
        threads::parallel_rows(codes, size, MIN_ROWS, |first, codes| {
            let rows = x[first * d..].chunks_exact(d).zip(codes.chunks_exact_mut(size));
            let mut buffer = Vec::new();
            for (x, code) in rows {
                match &turbo {
                    Some(turbo) => turbo.encode(x, code, &mut buffer),
                    None => self.encode_one(kind, x, code),
                }
            }
            Ok(())
        })
    }

    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        let kind = self.trained_kind()?;
        check_sizes(self, x, codes)?;
        if codes.is_empty() {
            x.fill(0.0);
            return Ok(());
        }
        let (d, size) = (self.d, self.code_size);
        let turbo = if let Kind::Turbo { bits } = kind { Some(self.turbo(bits)?) } else { None };
        threads::parallel_rows(x, d, MIN_ROWS, |first, rows| {
            let mut parts = Parts::default();
            for (code, x) in codes[first * size..].chunks_exact(size).zip(rows.chunks_exact_mut(d)) {
                match &turbo {
                    Some(turbo) => turbo.decode(code, x, &mut parts),
                    None => self.decode_one(kind, code, x),
                }
            }
            Ok(())
        })
    }

    fn query_is_cheap(&self) -> bool {
        !matches!(Kind::of(self.qtype), Ok(Kind::Turbo { .. }))
    }

    fn code_distances(&self, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        self.shortened_distances(metric, Shortened::default())
    }
}

impl ScalarQuantizer {
    fn encode_one(&self, kind: Kind, x: &[f32], code: &mut [u8]) {
        let halves = |code: &mut [u8], of: fn(f32) -> u16| {
            code.chunks_exact_mut(2).zip(x).for_each(|(c, v)| c.copy_from_slice(&of(*v).to_le_bytes()));
        };
        match kind {
            Kind::Range { bits, uniform } => {
                let (starts, widths) = self.ranges();
                let top = ((1u32 << bits) - 1) as f32;
                if bits == 8 {
                    kernels::encode_8bit(x, starts, widths, code);
                } else if uniform {
                    pack(x.iter().map(|v| place(*v, starts[0], widths[0], top)), bits, code);
                } else {
                    let ranges = starts.iter().zip(widths);
                    pack(x.iter().zip(ranges).map(|(v, (start, width))| place(*v, *start, *width, top)), bits, code);
                }
            }
            Kind::Fp16 => halves(code, simd::encode_fp16),
            Kind::Bf16 => halves(code, simd::encode_bf16),
            Kind::Direct { signed } => {
                let offset = if signed { 128.0 } else { 0.0 };
                code.iter_mut().zip(x).for_each(|(c, v)| *c = to_byte(v + offset));
            }
            Kind::Levels { bits, .. } => {
                let boundaries = &self.trained[1 << bits..];
                // What lies on a boundary goes up, and a NaN to the last level; but down and to the first where Faiss counts boundaries in registers.
                if bits <= 2 && self.d.is_multiple_of(8) {
                    pack(x.iter().map(|v| boundaries.iter().filter(|b| v > b).count() as u32), bits, code);
                } else {
                    let level = |v: &f32| boundaries.partition_point(|b| v.partial_cmp(b) != Some(Less)) as u32;
                    pack(x.iter().map(level), bits, code);
                }
            }
            Kind::Nothing | Kind::Turbo { .. } => {}
        }
    }

    fn decode_one(&self, kind: Kind, code: &[u8], x: &mut [f32]) {
        let halves = |x: &mut [f32], of: fn(u16) -> f32| {
            code.chunks_exact(2).zip(x).for_each(|(c, v)| *v = of(u16::from_le_bytes([c[0], c[1]])));
        };
        match kind {
            Kind::Range { bits, .. } => {
                let (starts, widths) = self.ranges();
                kernels::decode_range(code, bits, starts, widths, x);
            }
            Kind::Fp16 => halves(x, simd::decode_fp16),
            Kind::Bf16 => halves(x, simd::decode_bf16),
            Kind::Direct { signed } => {
                let offset = if signed { 128.0 } else { 0.0 };
                x.iter_mut().zip(code).for_each(|(v, c)| *v = f32::from(*c) - offset);
            }
            Kind::Levels { bits, .. } => {
                x.iter_mut().zip(Unpacker::new(code, bits)).for_each(|(v, n)| *v = self.trained[n as usize]);
            }
            Kind::Nothing | Kind::Turbo { .. } => x.fill(0.0),
        }
    }
}
