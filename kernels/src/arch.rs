//! Names of GPU architectures and of what a compiler makes for them.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// A compute capability, with the letter of an architecture-specific target: `9.0`, `9.0a`, `12.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arch {
    pub major: u8,
    pub minor: u8,
    pub suffix: Option<char>,
}

impl Arch {
    pub const fn new(major: u8, minor: u8) -> Arch {
        Arch { major, minor, suffix: None }
    }

    /// The real architecture, as NVRTC and cuobjdump write it: `sm_90a`.
    pub fn sm(self) -> String {
        format!("sm_{}", self.digits())
    }

    /// The virtual architecture: `compute_90a`.
    pub fn compute(self) -> String {
        format!("compute_{}", self.digits())
    }

    /// Number and letter alone, as nvFatbin wants them: `90a`.
    pub fn digits(self) -> String {
        let letter = self.suffix.map(String::from).unwrap_or_default();
        format!("{}{}{letter}", self.major, self.minor)
    }

    /// The same capability without its letter: what `__CUDA_ARCH__ / 10` is.
    pub fn base(self) -> Arch {
        Arch { suffix: None, ..self }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.suffix.map_or(Ok(()), |letter| write!(f, "{letter}"))
    }
}

impl FromStr for Arch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Arch, Error> {
        let bad = || Error::Arch(text.to_owned());
        let suffix = text.chars().last().filter(|c| matches!(c, 'a' | 'f'));
        let number = &text[..text.len() - suffix.map_or(0, char::len_utf8)];
        let (major, minor) = number.split_once('.').ok_or_else(bad)?;
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<u8>().ok()).flatten();
        let (Some(major), Some(minor)) = (digits(major), digits(minor)) else { return Err(bad()) };
        if major == 0 || minor > 9 { Err(bad()) } else { Ok(Arch { major, minor, suffix }) }
    }
}

/// What NVRTC makes of a translation unit: machine code for one architecture, or PTX that a newer driver translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    Cubin(Arch),
    Ptx(Arch),
}

impl Target {
    pub fn arch(self) -> Arch {
        match self {
            Target::Cubin(arch) | Target::Ptx(arch) => arch,
        }
    }
}

impl fmt::Display for Target {
    /// As in NVRTC's `--gpu-architecture`: `sm_90a` or `compute_90`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Target::Cubin(arch) => arch.sm(),
            Target::Ptx(arch) => arch.compute(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_are_read_written_and_ordered() {
        let names = ["6.0", "7.5", "9.0", "9.0a", "10.0", "12.0", "12.1a"];
        let archs: Vec<Arch> = names.iter().map(|n| n.parse().unwrap()).collect();
        assert_eq!(archs.iter().map(Arch::to_string).collect::<Vec<_>>(), names);
        assert!(archs.is_sorted());
        assert_eq!(archs[3].sm(), "sm_90a");
        assert_eq!(Target::Ptx(archs[5]).to_string(), "compute_120");
    }

    #[test]
    fn other_text_is_refused() {
        for bad in ["", "9", "90", "9.", ".0", "9.0b", "9.0aa", "+9.0", "9.10", "0.1", "9.0 ", "é"] {
            assert!(bad.parse::<Arch>().is_err(), "{bad}");
        }
    }
}
