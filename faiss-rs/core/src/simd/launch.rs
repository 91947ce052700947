//! Kernels as values, and the one place that chooses the instruction set.

use super::isa;
use super::lanes::{Bytes, Lanes};
use super::level::{Level, level};

/// An instruction set, as its registers.
pub trait Isa: Copy + 'static {
    /// The level that it serves, and all above it up to the next.
    const LEVEL: Level;
    /// A register of numbers.
    type F32: Lanes;
    /// A register of bytes, and what is counted from them.
    type Bytes: Bytes;
}

/// A loop with its operands: see the module for an example.
///
/// `run` and all that it calls in its inner loop are `#[inline(always)]`, so that they become part of a function that enables the instruction
/// set. A closure or an iterator's body is not sure to be inlined, and would then be compiled without it: loops are written out.
pub trait Kernel: Sized {
    /// What it gives back.
    type Out;
    /// Whether it counts bits or multiplies bytes: then it is compiled for AVX-512 with VPOPCNTDQ and VNNI too, where those are one instruction.
    const INTEGER: bool = false;
    /// The work, compiled for the instructions of `R`.
    fn run<R: Isa>(self) -> Self::Out;
}

/// Runs a kernel at the level in use. One call a loop: the choice costs a few instructions, and the kernel is not inlined into the caller.
#[inline]
pub fn launch<K: Kernel>(kernel: K) -> K::Out {
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: the level is only ever one whose features were detected.
        Level::Avx512Spr | Level::Avx512Vpopcnt if K::INTEGER => return unsafe { avx512_vpopcnt(kernel) },
        // SAFETY: as above.
        Level::Avx512Spr | Level::Avx512Vpopcnt | Level::Avx512 => return unsafe { avx512(kernel) },
        // SAFETY: as above.
        Level::Avx2 => return unsafe { avx2(kernel) },
        _ => {}
    }
    #[cfg(target_arch = "aarch64")]
    if level() == Level::Neon {
        return kernel.run::<isa::Neon>();
    }
    kernel.run::<isa::Portable>()
}

/// The level that kernels find themselves compiled for: [`level`], unless this file is wrong.
pub fn dispatched_level() -> Level {
    struct Which;
    impl Kernel for Which {
        type Out = Level;
        const INTEGER: bool = true;
        #[inline(always)]
        fn run<R: Isa>(self) -> Level {
            R::LEVEL
        }
    }
    match (launch(Which), level()) {
        (Level::Avx512Vpopcnt, Level::Avx512Spr) => Level::Avx512Spr,
        (found, _) => found,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,popcnt,bmi1,bmi2")]
fn avx2<K: Kernel>(kernel: K) -> K::Out {
    kernel.run::<isa::Avx2>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c,popcnt,bmi1,bmi2")]
fn avx512<K: Kernel>(kernel: K) -> K::Out {
    kernel.run::<isa::Avx512>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(
    enable = "avx512vpopcntdq,avx512vnni,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c,popcnt,bmi1,bmi2"
)]
fn avx512_vpopcnt<K: Kernel>(kernel: K) -> K::Out {
    kernel.run::<isa::Avx512Vpopcnt>()
}
