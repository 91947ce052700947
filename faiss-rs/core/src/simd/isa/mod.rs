//! The registers of each instruction set. Only `launch.rs` names these types, inside functions that enable the set.

use super::launch::Isa;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

/// For every processor.
#[derive(Clone, Copy)]
pub struct Portable;
impl Isa for Portable {
    type F32 = portable::F32x4;
    type Bytes = portable::Bytes16;
}

/// The portable types: compilers make NEON instructions of them, which every 64-bit ARM has.
#[cfg(target_arch = "aarch64")]
pub use Portable as Neon;

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx2;
#[cfg(target_arch = "x86_64")]
impl Isa for Avx2 {
    type F32 = avx2::F32x8;
    type Bytes = avx2::Bytes32;
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx512;
#[cfg(target_arch = "x86_64")]
impl Isa for Avx512 {
    type F32 = avx512::F32x16;
    type Bytes = avx512::Bytes64;
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx512Vpopcnt;
#[cfg(target_arch = "x86_64")]
impl Isa for Avx512Vpopcnt {
    type F32 = avx512::F32x16;
    type Bytes = avx512::Bytes64Vpopcnt;
}
