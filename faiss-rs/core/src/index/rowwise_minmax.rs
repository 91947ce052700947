//! Codecs that scale each vector to the range from 0 to 1 before another index encodes it. They encode and decode, and store nothing.

use std::borrow::Cow;

use faiss_derive::{Object, methods};

use super::{Index, IndexBase};
use crate::base::object::Object;
use crate::base::{Error, Handle, Result, Shared};
use crate::grammar::{Around, Grammar};
use crate::index::header::check_d;
use crate::registry::Row;
use crate::simd;

/// Base of the codecs that scale vectors.
#[derive(Object, Default, Clone)]
#[object(abstract, implements(Index), copy(index, own_fields = true))]
pub struct IndexRowwiseMinMaxBase {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// Encodes the scaled vectors.
    pub index: Option<Shared<dyn Index>>,
    /// Whether it belongs to this index. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
}

/// Scales each vector by its smallest and its largest number, which its code begins with as two f32: the range, then the smallest.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy(minmax))]
pub struct IndexRowwiseMinMax {
    /// The index inside.
    #[object(parent)]
    pub minmax: IndexRowwiseMinMaxBase,
}

/// As `IndexRowwiseMinMax`, with numbers of half precision.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy(minmax))]
pub struct IndexRowwiseMinMaxFP16 {
    /// The index inside.
    #[object(parent)]
    pub minmax: IndexRowwiseMinMaxBase,
}

pub(crate) const BASE: Row = Row::of::<IndexRowwiseMinMaxBase>();

/// The row of a type that is a `minmax` and nothing else.
macro_rules! row {
    ($ty:ident, $part:literal, $fourcc:literal) => {
        Row::of::<$ty>()
            .grammar(Grammar::Around(Around {
                name: $part,
                leads: true,
                trails: false,
                nested: false,
                make: |index, _| {
                    let mut made = $ty::new(index);
                    made.minmax.own_fields = true;
                    Ok(Handle::new(made))
                },
            }))
            .format(crate::file_format!($ty, [$fourcc], |index| {
                index.minmax;
            }))
    };
}

pub(crate) const ROW: Row = row!(IndexRowwiseMinMax, "MinMax", "IRMf");
pub(crate) const FP16: Row = row!(IndexRowwiseMinMaxFP16, "MinMaxFP16", "IRMh");

crate::stored!(IndexRowwiseMinMaxBase, |minmax| {
    minmax.base;
    minmax.index;
    read {
        minmax.own_fields = true;
        check_d(minmax.index.as_ref(), &minmax.base, "index->d == d")?;
    }
});

impl IndexRowwiseMinMaxBase {
    /// Around an index, whose dimension and metric are taken over.
    pub fn new(index: Shared<dyn Index>) -> Self {
        let (d, metric_type) = {
            let inner = index.read();
            (inner.base().d, inner.base().metric_type)
        };
        let base = IndexBase { d, metric_type, ..Default::default() };
        IndexRowwiseMinMaxBase { base, index: Some(index), own_fields: false }
    }

    fn index(&self) -> Result<&Shared<dyn Index>> {
        self.index.as_ref().ok_or_else(|| Error::failed("index", "there is no index inside"))
    }
}

/// The constructors of a type that is a `minmax` and nothing else.
macro_rules! constructors {
    ($($ty:ident),*) => {$(
        #[methods(new)]
        impl $ty {
            /// Around an index, whose dimension and metric are taken over.
            #[new]
            pub fn new(index: Shared<dyn Index>) -> Self {
                $ty { minmax: IndexRowwiseMinMaxBase::new(index) }
            }
        }
    )*};
}
constructors!(IndexRowwiseMinMax, IndexRowwiseMinMaxFP16);

/// How the two numbers of a vector are stored.
trait Numbers {
    const BYTES: usize;
    fn write(v: f32, out: &mut [u8]);
    fn read(bytes: &[u8]) -> f32;
}

impl Numbers for IndexRowwiseMinMax {
    const BYTES: usize = 4;
    fn write(v: f32, out: &mut [u8]) {
        out.copy_from_slice(&v.to_ne_bytes());
    }
    fn read(bytes: &[u8]) -> f32 {
        f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl Numbers for IndexRowwiseMinMaxFP16 {
    const BYTES: usize = 2;
    fn write(v: f32, out: &mut [u8]) {
        out.copy_from_slice(&simd::encode_fp16(v).to_le_bytes());
    }
    fn read(bytes: &[u8]) -> f32 {
        simd::decode_fp16(u16::from_le_bytes([bytes[0], bytes[1]]))
    }
}

/// Scales a vector in place, by numbers as they are stored, and writes them.
fn scale<N: Numbers>(x: &mut [f32], numbers: &mut [u8]) {
    let first = x.first().copied().unwrap_or(0.0);
    let (least, largest) =
        x.iter().fold((first, first), |(a, b), v| (if *v < a { *v } else { a }, if *v > b { *v } else { b }));
    let (range, start) = numbers.split_at_mut(N::BYTES);
    N::write(largest - least, range);
    N::write(least, start);
    let (range, start) = (N::read(range), N::read(start));
    let inverse = if range == 0.0 { 0.0 } else { 1.0 / range };
    x.iter_mut().for_each(|v| *v = (*v - start) * inverse);
}

fn train<N: Numbers>(minmax: &IndexRowwiseMinMaxBase, x: &[f32]) -> Result<()> {
    minmax.rows(x)?;
    let mut scaled = x.to_vec();
    let mut numbers = vec![0; 2 * N::BYTES];
    scaled.chunks_exact_mut(minmax.dim().max(1)).for_each(|row| scale::<N>(row, &mut numbers));
    minmax.index()?.write().train(&scaled)
}

fn encode<N: Numbers>(minmax: &IndexRowwiseMinMaxBase, x: &[f32], codes: &mut [u8]) -> Result<()> {
    let index = minmax.index()?.read();
    let (n, size) = (minmax.rows(x)?, index.sa_code_size()?);
    let whole = size + 2 * N::BYTES;
    Error::check(n.checked_mul(whole) == Some(codes.len()), "bytes.size() == n * sa_code_size()")?;
    let (mut scaled, mut inner) = (x.to_vec(), vec![0; n * size]);
    for (row, code) in scaled.chunks_exact_mut(minmax.dim().max(1)).zip(codes.chunks_exact_mut(whole)) {
        scale::<N>(row, &mut code[..2 * N::BYTES]);
    }
    index.sa_encode(&scaled, &mut inner)?;
    for (code, inner) in codes.chunks_exact_mut(whole).zip(inner.chunks_exact(size.max(1))) {
        code[2 * N::BYTES..].copy_from_slice(inner);
    }
    Ok(())
}

fn decode<N: Numbers>(minmax: &IndexRowwiseMinMaxBase, codes: &[u8], x: &mut [f32]) -> Result<()> {
    let index = minmax.index()?.read();
    let (n, whole) = (minmax.rows(x)?, index.sa_code_size()? + 2 * N::BYTES);
    Error::check(n.checked_mul(whole) == Some(codes.len()), "bytes.size() == n * sa_code_size()")?;
    let inner: Cow<'_, [u8]> =
        codes.chunks_exact(whole).flat_map(|code| &code[2 * N::BYTES..]).copied().collect::<Vec<u8>>().into();
    index.sa_decode(&inner, x)?;
    for (row, code) in x.chunks_exact_mut(minmax.dim().max(1)).zip(codes.chunks_exact(whole)) {
        let (range, start) = (N::read(&code[..N::BYTES]), N::read(&code[N::BYTES..2 * N::BYTES]));
        row.iter_mut().for_each(|v| *v = *v * range + start);
    }
    Ok(())
}

impl Index for IndexRowwiseMinMaxBase {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }
    fn add(&mut self, _x: &[f32]) -> Result<()> {
        Err(Error::unsupported("add", self.info().name))
    }
    fn reset(&mut self) -> Result<()> {
        Err(Error::unsupported("reset", self.info().name))
    }
}

macro_rules! codec {
    ($ty:ident) => {
        impl Index for $ty {
            crate::inherit_index!(minmax);

            fn train(&mut self, x: &[f32]) -> Result<()> {
                train::<Self>(&self.minmax, x)
            }
            fn sa_code_size(&self) -> Result<usize> {
                Ok(self.minmax.index()?.read().sa_code_size()? + 2 * <Self as Numbers>::BYTES)
            }
            fn sa_encode(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
                encode::<Self>(&self.minmax, x, codes)
            }
            fn sa_decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
                decode::<Self>(&self.minmax, codes, x)
            }
        }
    };
}
codec!(IndexRowwiseMinMax);
codec!(IndexRowwiseMinMaxFP16);
