//! The registers of each instruction set. Only `launch.rs` names these types, inside functions that enable the set.

use super::launch::Isa;
use super::level::Level;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

/// For every processor.
#[derive(Clone, Copy)]
pub struct Portable;
impl Isa for Portable {
    const LEVEL: Level = Level::Portable;
    type F32 = portable::F32x4;
    type Bytes = portable::Bytes16;
}

/// The portable types: compilers make NEON instructions of them, which every 64-bit ARM has.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy)]
pub struct Neon;
#[cfg(target_arch = "aarch64")]
impl Isa for Neon {
    const LEVEL: Level = Level::Neon;
    type F32 = portable::F32x4;
    type Bytes = portable::Bytes16;
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx2;
#[cfg(target_arch = "x86_64")]
impl Isa for Avx2 {
    const LEVEL: Level = Level::Avx2;
    type F32 = avx2::F32x8;
    type Bytes = avx2::Bytes32;
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx512;
#[cfg(target_arch = "x86_64")]
impl Isa for Avx512 {
    const LEVEL: Level = Level::Avx512;
    type F32 = avx512::F32x16;
    type Bytes = avx512::Bytes64;
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx512Vpopcnt;
#[cfg(target_arch = "x86_64")]
impl Isa for Avx512Vpopcnt {
    const LEVEL: Level = Level::Avx512Vpopcnt;
    type F32 = avx512::F32x16;
    type Bytes = avx512::Bytes64Vpopcnt;
}
