//! The types of scalar quantizers, by the numbers and names that Faiss gives them.

use crate::base::{Error, Result};

/// 8 bits of a coordinate's place in its range.
pub const QT_8bit: i32 = 0;
/// 4 bits; each coordinate has a range of its own.
pub const QT_4bit: i32 = 1;
/// As [`QT_8bit`], with one range for all coordinates.
pub const QT_8bit_uniform: i32 = 2;
/// 4 bits; all coordinates share one range.
pub const QT_4bit_uniform: i32 = 3;
/// Half precision.
pub const QT_fp16: i32 = 4;
/// Whole numbers from 0 to 255.
pub const QT_8bit_direct: i32 = 5;
/// 6 bits; each coordinate has a range of its own.
pub const QT_6bit: i32 = 6;
/// bfloat16.
pub const QT_bf16: i32 = 7;
/// Whole numbers from -128 to 127.
pub const QT_8bit_direct_signed: i32 = 8;
/// Nothing at all: in an inverted file, a vector is its list's centroid.
pub const QT_0bit: i32 = 9;
/// Levels of the coordinates of random unit vectors, `N(0, 1 / d)`; so up to [`QT_8bit_tqmse`].
pub const QT_1bit_tqmse: i32 = 10;
/// TurboQuant's levels of 2 bits.
pub const QT_2bit_tqmse: i32 = 11;
/// TurboQuant's levels of 3 bits.
pub const QT_3bit_tqmse: i32 = 12;
/// TurboQuant's levels of 4 bits.
pub const QT_4bit_tqmse: i32 = 13;
/// TurboQuant's levels of 8 bits.
pub const QT_8bit_tqmse: i32 = 14;
/// TurboQuant: levels of the direction, then signs of what is left; so up to [`QT_5bit_tq`].
pub const QT_2bit_tq: i32 = 15;
/// TurboQuant of 3 bits: levels of 2 and a sign of what is left.
pub const QT_3bit_tq: i32 = 16;
/// TurboQuant of 4 bits: levels of 3 and a sign of what is left.
pub const QT_4bit_tq: i32 = 17;
/// TurboQuant of 5 bits: levels of 4 and a sign of what is left.
pub const QT_5bit_tq: i32 = 18;
/// Levels of `N(0, 1)`; so up to [`QT_8bit_eden`].
pub const QT_1bit_eden: i32 = 19;
/// EDEN's levels of 2 bits.
pub const QT_2bit_eden: i32 = 20;
/// EDEN's levels of 3 bits.
pub const QT_3bit_eden: i32 = 21;
/// EDEN's levels of 4 bits.
pub const QT_4bit_eden: i32 = 22;
/// EDEN's levels of 5 bits.
pub const QT_5bit_eden: i32 = 23;
/// EDEN's levels of 6 bits.
pub const QT_6bit_eden: i32 = 24;
/// EDEN's levels of 7 bits.
pub const QT_7bit_eden: i32 = 25;
/// EDEN's levels of 8 bits.
pub const QT_8bit_eden: i32 = 26;
/// The number of types.
pub const QT_count: i32 = 27;

/// What a type does with a coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its place in the range of its coordinate or, if `uniform`, of all coordinates.
    Range {
        /// Bits of a coordinate.
        bits: usize,
        /// Whether all coordinates share one range.
        uniform: bool,
    },
    /// Numbers of 16 bits, IEEE's.
    Fp16,
    /// Numbers of 16 bits, with the range of f32.
    Bf16,
    /// It is a byte already or, if `signed`, becomes one by adding 128.
    Direct {
        /// Whether -128 to 127 are stored, and not 0 to 255.
        signed: bool,
    },
    /// Codes of no bytes.
    Nothing,
    /// The nearest level of the normal distribution, of the variance of a unit vector's coordinates (`unit`) or 1.
    Levels {
        /// Bits of a coordinate.
        bits: usize,
        /// Whether vectors are made of length 1 first.
        unit: bool,
    },
    /// TurboQuant with so many bits for the level; one more is the sign of what is left.
    Turbo {
        /// Bits of a coordinate.
        bits: usize,
    },
}

impl Kind {
    /// The kind of a `QT_` constant; an error where there is no such.
    pub fn of(qtype: i32) -> Result<Kind> {
        Ok(match qtype {
            QT_8bit => Kind::Range { bits: 8, uniform: false },
            QT_6bit => Kind::Range { bits: 6, uniform: false },
            QT_4bit => Kind::Range { bits: 4, uniform: false },
            QT_8bit_uniform => Kind::Range { bits: 8, uniform: true },
            QT_4bit_uniform => Kind::Range { bits: 4, uniform: true },
            QT_fp16 => Kind::Fp16,
            QT_bf16 => Kind::Bf16,
            QT_8bit_direct => Kind::Direct { signed: false },
            QT_8bit_direct_signed => Kind::Direct { signed: true },
            QT_0bit => Kind::Nothing,
            QT_1bit_tqmse..=QT_4bit_tqmse => Kind::Levels { bits: (qtype - QT_1bit_tqmse + 1) as usize, unit: true },
            QT_8bit_tqmse => Kind::Levels { bits: 8, unit: true },
            QT_2bit_tq..=QT_5bit_tq => Kind::Turbo { bits: (qtype - QT_2bit_tq + 1) as usize },
            QT_1bit_eden..=QT_8bit_eden => Kind::Levels { bits: (qtype - QT_1bit_eden + 1) as usize, unit: false },
            _ => {
                let message = format!("scalar quantizer type {qtype} is not known; known: 0 to {}", QT_count - 1);
                return Err(Error::failed("qtype >= 0 && qtype < QT_count", message));
            }
        })
    }

    /// Bits of a coordinate.
    pub fn bits(self) -> usize {
        match self {
            Kind::Range { bits, .. } | Kind::Levels { bits, .. } => bits,
            Kind::Fp16 | Kind::Bf16 => 16,
            Kind::Direct { .. } => 8,
            Kind::Nothing => 0,
            Kind::Turbo { bits } => bits + 1,
        }
    }

    /// Bytes of a code of `d` coordinates.
    pub fn code_size(self, d: usize) -> Option<usize> {
        match self {
            // Bit planes of whole bytes, and two numbers.
            Kind::Turbo { bits } => Some((bits + 1) * d.div_ceil(8) + 8),
            _ => Some(self.bits().checked_mul(d)?.div_ceil(8)),
        }
    }

    /// How many numbers training leaves.
    pub fn trained_size(self, d: usize) -> Option<usize> {
        match self {
            Kind::Range { uniform: true, .. } => Some(2),
            Kind::Range { .. } => d.checked_mul(2),
            Kind::Levels { bits, .. } => Some((2 << bits) - 1),
            // The levels, and a seed in two numbers and the kind of projection.
            Kind::Turbo { bits } => Some((2 << bits) - 1 + 3),
            _ => Some(0),
        }
    }

    /// Whether training looks at vectors.
    pub fn learns(self) -> bool {
        matches!(self, Kind::Range { .. })
    }
}
