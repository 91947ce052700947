//! What a fatbin holds one of: machine code or PTX for an architecture.

use std::fmt;

use faiss_kernels::fatbin::{ImageInfo, Kind};
use faiss_kernels::{Arch, Target};
use serde::{Deserialize, Serialize};

/// Machine code or PTX for an architecture; `sm_90a` or `compute_90` in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Image(pub Target);

impl Image {
    pub fn machine_code(arch: Arch) -> Image {
        Image(Target::Cubin(arch))
    }

    pub fn ptx(arch: Arch) -> Image {
        Image(Target::Ptx(arch))
    }

    /// `machine code for 9.0a`, `PTX for 9.0`: how messages name it.
    pub fn describe(self) -> String {
        match self.0 {
            Target::Cubin(arch) => format!("machine code for {arch}"),
            Target::Ptx(arch) => format!("PTX for {arch}"),
        }
    }
}

impl From<&ImageInfo> for Image {
    fn from(info: &ImageInfo) -> Image {
        match info.kind {
            Kind::Cubin => Image::machine_code(info.arch),
            Kind::Ptx => Image::ptx(info.arch),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Image> for String {
    fn from(image: Image) -> String {
        image.to_string()
    }
}

impl TryFrom<String> for Image {
    type Error = String;

    fn try_from(text: String) -> Result<Image, String> {
        let bad = || format!("'{text}' is neither sm_ nor compute_ and an architecture, as in sm_90a");
        let (make, digits): (fn(Arch) -> Image, &str) = match text.split_once('_') {
            Some(("sm", digits)) => (Image::machine_code, digits),
            Some(("compute", digits)) => (Image::ptx, digits),
            _ => return Err(bad()),
        };
        let (number, suffix) = digits.split_at(digits.trim_end_matches(|c: char| c.is_ascii_lowercase()).len());
        let (major, minor) = number.split_at_checked(number.len().saturating_sub(1)).ok_or_else(bad)?;
        let arch: Arch = format!("{major}.{minor}{suffix}").parse().map_err(|_| bad())?;
        Ok(make(arch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_written_and_read() {
        for text in ["sm_60", "sm_90a", "sm_120", "compute_90", "compute_120f"] {
            assert_eq!(Image::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["", "sm_", "sm_9", "90", "sm_é0", "sm_90aa", "lto_90"] {
            assert!(Image::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
