//! Matrices of vectors on a device, and the kernels of family `rows`.

use half::f16;

use crate::error::Result;
use crate::launchers;
use crate::memory::{Element, Ptr, PtrMut, Temp};
use crate::resources::Context;

/// Vectors as rows, in one of the types that kernels read.
#[derive(Clone, Copy)]
pub enum Rows {
    F32(Ptr<f32>),
    F16(Ptr<f16>),
}

impl Rows {
    /// The rows from `first` on.
    #[must_use]
    pub fn skip(self, first: usize, d: usize) -> Rows {
        match self {
            Rows::F32(p) => Rows::F32(p.at(first * d)),
            Rows::F16(p) => Rows::F16(p.at(first * d)),
        }
    }

    pub fn element_bytes(self) -> usize {
        match self {
            Rows::F32(_) => 4,
            Rows::F16(_) => 2,
        }
    }

    pub fn address(self) -> u64 {
        match self {
            Rows::F32(p) => p.raw() as u64,
            Rows::F16(p) => p.raw() as u64,
        }
    }

    /// Whether four elements of any row can be loaded at once.
    pub fn aligned(self, d: usize) -> bool {
        d.is_multiple_of(4) && self.address().is_multiple_of(4 * self.element_bytes() as u64)
    }

    /// Whether 16 bytes of any row can be loaded at once.
    pub fn wide_aligned(self, d: usize) -> bool {
        (d * self.element_bytes()).is_multiple_of(16) && self.address().is_multiple_of(16)
    }
}

/// Calls a generic launcher with the type that the rows have.
macro_rules! with_rows {
    ($rows:expr, $p:ident => $call:expr) => {
        match $rows {
            crate::ops::rows::Rows::F32($p) => $call,
            crate::ops::rows::Rows::F16($p) => $call,
        }
    };
}

pub(crate) use with_rows;

/// Calls a generic launcher with the one type that two rows have; an error where they have two.
macro_rules! with_both_rows {
    ($first:expr, $second:expr, ($p:ident, $q:ident) => $call:expr) => {
        match ($first, $second) {
            (crate::ops::rows::Rows::F32($p), crate::ops::rows::Rows::F32($q)) => $call,
            (crate::ops::rows::Rows::F16($p), crate::ops::rows::Rows::F16($q)) => $call,
            _ => Err(crate::error::Error::invalid("queries and vectors must have the same type")),
        }
    };
}

pub(crate) use with_both_rows;

pub fn convert<S: Element, D: Element>(
    context: &Context<'_>,
    source: Ptr<S>,
    target: PtrMut<D>,
    count: usize,
) -> Result<()> {
    launchers::convert(context.stride(count, 1024), source, target, count as i64)
}

/// `source` holds the bits of bf16 numbers.
pub fn widen_bf16(context: &Context<'_>, source: Ptr<u16>, target: PtrMut<f32>, count: usize) -> Result<()> {
    launchers::widen_bf16(context.stride(count, 1024), source, target, count as i64)
}

pub fn fill<T: Element>(context: &Context<'_>, target: PtrMut<T>, value: T, count: usize) -> Result<()> {
    launchers::fill(context.stride(count, 1024), target, value, count as i64)
}

/// Squared L2 norms.
pub fn norms(context: &Context<'_>, rows: Rows, norms: PtrMut<f32>, count: usize, d: usize) -> Result<()> {
    with_rows!(rows, p => launchers::row_norms(context.stride(count, 8), p, norms, count as i64, d as u32))
}

/// `target[i] = rows[ids[i]]`, NaN for an id that is not in `0..rows_count`.
pub fn gather(
    context: &Context<'_>,
    (rows, rows_count): (Rows, usize),
    ids: Ptr<i64>,
    target: PtrMut<f32>,
    count: usize,
    d: usize,
) -> Result<()> {
    let launch = context.stride(count, 8);
    with_rows!(rows, p => launchers::gather_rows(launch, p, rows_count as i64, ids, target, count as i64, d as u32))
}

/// `residuals[i] = vectors[i] - rows[ids[i]]`.
pub fn residuals(
    context: &Context<'_>,
    (rows, rows_count): (Rows, usize),
    ids: Ptr<i64>,
    vectors: Ptr<f32>,
    residuals: PtrMut<f32>,
    count: usize,
    d: usize,
) -> Result<()> {
    let (launch, n) = (context.stride(count, 8), rows_count as i64);
    with_rows!(rows, p => launchers::row_residuals(launch, p, n, ids, vectors, residuals, count as i64, d as u32))
}

/// `target` (columns x rows) becomes the transpose of `source` (rows x columns).
pub fn transpose<T: Element>(
    context: &Context<'_>,
    source: Ptr<T>,
    target: PtrMut<T>,
    rows: usize,
    columns: usize,
) -> Result<()> {
    let tiles = rows.div_ceil(32) * columns.div_ceil(32);
    launchers::transpose(context.stride(tiles, 1), source, target, rows as i64, columns as i64)
}

/// Rows as f32: themselves, or converted into temporary memory that lives as long as the second value.
pub fn as_f32<'a>(
    context: &'a Context<'_>,
    rows: Rows,
    count: usize,
    d: usize,
) -> Result<(Ptr<f32>, Option<Temp<'a, f32>>)> {
    match rows {
        Rows::F32(p) => Ok((p, None)),
        Rows::F16(p) => {
            let mut temp = context.take(count * d)?;
            convert(context, p, temp.ptr_mut(), count * d)?;
            Ok((temp.ptr(), Some(temp)))
        }
    }
}
