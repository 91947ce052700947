//! No symbol is newer than the glibc that the platform tag promises.

use super::{Expected, Finding, Wheel};

pub(super) fn check(wheel: &Wheel, expected: &Expected) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(floor) = expected.glibc else { return findings };
    for (member, elf) in wheel.readable_elves() {
        for (file, version) in &elf.version_needs {
            let Some(number) = version.strip_prefix("GLIBC_") else { continue };
            if parse(number).is_some_and(|number| number <= (floor.0, floor.1, 0)) {
                continue;
            }
            let symbols: Vec<&str> = elf
                .imports
                .iter()
                .filter(|import| import.version.as_ref().is_some_and(|need| need.0 == *file && need.1 == *version))
                .map(|import| import.name.as_str())
                .collect();
            let what = if symbols.is_empty() { "the library itself".to_owned() } else { symbols.join(", ") };
            let message = format!("{what} needs {version} of {file}, newer than GLIBC_{}.{}", floor.0, floor.1);
            findings.push(Finding::member("glibc.newer", member, message));
        }
    }
    findings
}

/// `2.2.5` and `2.28`; nothing for names such as `PRIVATE` and `ABI_DT_RELR`, which no tag allows.
fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let number = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    parts.next().is_none().then_some(number)
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_numbers() {
        assert_eq!(super::parse("2.28"), Some((2, 28, 0)));
        assert_eq!(super::parse("2.2.5"), Some((2, 2, 5)));
        for other in ["PRIVATE", "ABI_DT_RELR", "2", "2.2.5.1", ""] {
            assert_eq!(super::parse(other), None, "{other}");
        }
    }
}
