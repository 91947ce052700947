//! Instruction sets by name, and which one is in use.

use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set. The order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// What every processor has.
    Portable = 1,
    /// On 64-bit ARM, where it is always there.
    Neon,
    /// AVX2 with FMA, F16C, POPCNT and BMI: Haswell, Zen and later.
    Avx2,
    /// AVX-512 F, VL, DQ and BW: Skylake-X and later.
    Avx512,
    /// And VPOPCNTDQ and VNNI: Ice Lake, Zen 4 and later.
    Avx512Vpopcnt,
    /// And FP16 and BF16: Sapphire Rapids and later. No kernel is different there; it is a level because Faiss has it.
    Avx512Spr,
}

/// All levels, lowest first.
pub const LEVELS: [Level; 6] =
    [Level::Portable, Level::Neon, Level::Avx2, Level::Avx512, Level::Avx512Vpopcnt, Level::Avx512Spr];

impl Level {
    /// As Faiss names it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "NONE",
            Level::Neon => "ARM_NEON",
            Level::Avx2 => "AVX2",
            Level::Avx512 => "AVX512",
            Level::Avx512Vpopcnt => "AVX512_VPOPCNT",
            Level::Avx512Spr => "AVX512_SPR",
        }
    }

    /// The number that Faiss gives it.
    pub fn number(self) -> i32 {
        match self {
            Level::Portable => 0,
            Level::Avx2 => 1,
            Level::Avx512 => 2,
            Level::Avx512Spr => 3,
            Level::Neon => 4,
            Level::Avx512Vpopcnt => 7,
        }
    }

    /// Whether this build has code for it.
    pub fn is_compiled(self) -> bool {
        match self {
            Level::Portable => true,
            Level::Neon => cfg!(target_arch = "aarch64"),
            _ => cfg!(target_arch = "x86_64"),
        }
    }

    /// Whether this build has code for it and this machine can run it.
    pub fn is_available(self) -> bool {
        // A processor with a level has all lower ones.
        self.is_compiled() && self <= detect()
    }
}

/// The best level of this machine.
pub fn detect() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        let avx2 = has!("avx2") && has!("fma") && has!("f16c") && has!("popcnt") && has!("bmi1") && has!("bmi2");
        let avx512 = avx2 && has!("avx512f") && has!("avx512vl") && has!("avx512dq") && has!("avx512bw");
        let vpopcnt = avx512 && has!("avx512vpopcntdq") && has!("avx512vnni");
        match (avx2, avx512, vpopcnt) {
            (_, _, true) if has!("avx512fp16") && has!("avx512bf16") => Level::Avx512Spr,
            (_, _, true) => Level::Avx512Vpopcnt,
            (_, true, _) => Level::Avx512,
            (true, ..) => Level::Avx2,
            _ => Level::Portable,
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    if cfg!(target_arch = "aarch64") { Level::Neon } else { Level::Portable }
}

/// The environment's choice, a level's name, else the best of this machine.
fn initial() -> Level {
    let best = detect();
    let Some(name) = std::env::var_os("FAISS_SIMD_LEVEL") else { return best };
    match LEVELS.into_iter().find(|level| name == level.name()) {
        Some(level) if level.is_available() => level,
        _ => {
            eprintln!(
                "faiss: FAISS_SIMD_LEVEL={} is not available here, using {} instead",
                name.display(),
                best.name()
            );
            best
        }
    }
}

/// Whether this processor works through a register of AVX-512 in two halves, as AMD's family 0x19 does.
pub fn avx512_split() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        let (vendor, version) = (__cpuid(0), __cpuid(1).eax);
        let amd = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD";
        let family = (version >> 8 & 15) + (version >> 20 & 255);
        amd && family == 0x19 && detect() >= Level::Avx512
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Where the level is kept: one for the whole process. Unit tests have one for each thread, so that a test that goes through the levels
/// changes nothing below the tests that run beside it.
#[cfg(not(test))]
fn kept<T>(f: impl FnOnce(&AtomicU8) -> T) -> T {
    static LEVEL: AtomicU8 = AtomicU8::new(0);
    f(&LEVEL)
}

#[cfg(test)]
fn kept<T>(f: impl FnOnce(&AtomicU8) -> T) -> T {
    thread_local!(static LEVEL: AtomicU8 = const { AtomicU8::new(0) });
    LEVEL.with(f)
}

/// The level in use: the one that was set, else what FAISS_SIMD_LEVEL names, else the best of this machine.
#[inline]
pub fn level() -> Level {
    let stored = kept(|level| level.load(Ordering::Relaxed));
    // The discriminants count from 1.
    match LEVELS.get(usize::from(stored).wrapping_sub(1)) {
        Some(level) => *level,
        None => {
            let level = initial();
            kept(|kept| kept.store(level as u8, Ordering::Relaxed));
            level
        }
    }
}

/// Uses this level from now on, in the whole process. One that this build or this machine lacks is refused: false, and nothing changes.
pub fn set_level(level: Level) -> bool {
    let usable = level.is_available();
    if usable {
        kept(|kept| kept.store(level as u8, Ordering::Relaxed));
    }
    usable
}
