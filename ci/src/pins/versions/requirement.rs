//! One package with its exact version and, where it needs one, a marker: `numpy==2.2.6; python_version < '3.14'`.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub package: String,
    pub version: String,
    /// As pip reads it; empty when the package is always wanted.
    pub marker: String,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=={}", self.package, self.version)?;
        if self.marker.is_empty() { Ok(()) } else { write!(f, "; {}", self.marker) }
    }
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Requirement, String> {
        let (pin, marker) = text.split_once(';').unwrap_or((text, ""));
        let bad = || format!("\"{text}\" is not an exact requirement; write it as \"package==1.2.3\"");
        let (package, version) = pin.trim().split_once("==").ok_or_else(bad)?;
        if !is_package(package) || !is_version(version) {
            return Err(bad());
        }
        Ok(Requirement { package: package.into(), version: version.into(), marker: marker.trim().into() })
    }
}

/// A name as PyPI takes it.
pub fn is_package(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(word) && text.ends_with(word) && text.chars().all(|c| word(c) || "-_.".contains(c))
}

/// A release: digits, dots and a suffix such as `.post1`.
pub fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
}
