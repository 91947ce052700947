//! A wheel's file name and what it says: distribution, version and tags.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// `faiss_gpu_cu12-1.15.1.0-cp310-abi3-manylinux_2_28_x86_64.whl`
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WheelName {
    /// As users type it, for example `faiss-gpu-cu12`.
    pub distribution: String,
    pub version: String,
    /// The build tag, which wheels of this project do not have.
    pub build: Option<String>,
    /// `cp310`
    pub python: String,
    /// `abi3`
    pub abi: String,
    /// `manylinux_2_28_x86_64`
    pub platform: String,
}

impl WheelName {
    /// A wheel for CPython 3.10 and every later one. `platform` is, for example, `manylinux_2_28_x86_64`.
    pub fn abi3(distribution: &str, version: &str, platform: &str) -> Result<WheelName, Error> {
        let name = WheelName {
            distribution: distribution.to_owned(),
            version: version.to_owned(),
            build: None,
            python: "cp310".to_owned(),
            abi: "abi3".to_owned(),
            platform: platform.to_owned(),
        };
        name.check()?;
        Ok(name)
    }

    /// The name with which files in the wheel start: `faiss_gpu_cu12-1.15.1.0`.
    pub fn stem(&self) -> String {
        format!("{}-{}", normalize(&self.distribution).replace('-', "_"), self.version)
    }

    pub fn dist_info(&self) -> String {
        format!("{}.dist-info", self.stem())
    }

    /// `cp310-abi3-manylinux_2_28_x86_64`, as WHEEL's `Tag` has it.
    pub fn tag(&self) -> String {
        format!("{}-{}-{}", self.python, self.abi, self.platform)
    }

    /// One tag for each combination that the compressed tag set stands for, as WHEEL lists them.
    pub fn tags(&self) -> impl Iterator<Item = String> {
        self.python.split('.').flat_map(move |python| {
            let abis = self.abi.split('.');
            abis.flat_map(move |abi| self.platform.split('.').map(move |platform| format!("{python}-{abi}-{platform}")))
        })
    }

    /// The glibc that the platform tag promises to be enough, for example (2, 28); the oldest where there are several tags,
    /// none when it is no manylinux tag.
    pub fn glibc(&self) -> Option<(u32, u32)> {
        let numbers = self.platform.split('.').filter_map(|tag| {
            for (legacy, glibc) in [("manylinux1_", (2, 5)), ("manylinux2010_", (2, 12)), ("manylinux2014_", (2, 17))] {
                if tag.starts_with(legacy) {
                    return Some(glibc);
                }
            }
            let mut parts = tag.strip_prefix("manylinux_")?.splitn(3, '_');
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        });
        numbers.min()
    }

    fn check(&self) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::Name { name: self.to_string(), reason });
        if self.distribution.is_empty()
            || !self.distribution.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return fail(format!(
                "the distribution '{}' holds more than letters, digits, '-', '_' and '.'",
                self.distribution
            ));
        }
        if !self.version.starts_with(|c: char| c.is_ascii_digit())
            || !self.version.chars().all(|c| c.is_ascii_alphanumeric() || ".+!_".contains(c))
        {
            return fail(format!("the version '{}' is not one that PEP 440 knows", self.version));
        }
        for (what, tag) in [("Python", &self.python), ("ABI", &self.abi), ("platform", &self.platform)] {
            if tag.is_empty() || !tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c)) {
                return fail(format!("the {what} tag '{tag}' holds more than letters, digits, '_' and '.'"));
            }
        }
        Ok(())
    }
}

/// The normalized form of a distribution's name (PEP 503): lower case, runs of `-`, `_` and `.` are one `-`.
pub fn normalize(distribution: &str) -> String {
    let mut out = String::with_capacity(distribution.len());
    for c in distribution.chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            c => out.push(c.to_ascii_lowercase()),
        }
    }
    out
}

impl fmt::Display for WheelName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let build = self.build.as_ref().map(|build| format!("-{build}")).unwrap_or_default();
        write!(f, "{}{build}-{}.whl", self.stem(), self.tag())
    }
}

impl FromStr for WheelName {
    type Err = Error;

    fn from_str(file_name: &str) -> Result<WheelName, Error> {
        let fail = |reason: &str| Error::Name { name: file_name.to_owned(), reason: reason.to_owned() };
        let stem = file_name.strip_suffix(".whl").ok_or_else(|| fail("it does not end in .whl"))?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (distribution, version, build, tags) = match parts.as_slice() {
            [distribution, version, tags @ ..] if tags.len() == 3 => (*distribution, *version, None, tags),
            [distribution, version, build, tags @ ..] if tags.len() == 3 => {
                if !build.starts_with(|c: char| c.is_ascii_digit()) {
                    return Err(fail("its build tag does not start with a digit"));
                }
                (*distribution, *version, Some(build.to_string()), tags)
            }
            _ => return Err(fail("it is not DISTRIBUTION-VERSION-PYTHON-ABI-PLATFORM.whl")),
        };
        let name = WheelName {
            distribution: distribution.replace('_', "-"),
            version: version.to_owned(),
            build,
            python: tags[0].to_owned(),
            abi: tags[1].to_owned(),
            platform: tags[2].to_owned(),
        };
        name.check()?;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "faiss_gpu_cu12-1.15.1.0-cp310-abi3-manylinux_2_28_x86_64.whl";

    #[test]
    fn a_name_is_what_it_was_parsed_from() {
        let name: WheelName = NAME.parse().unwrap();
        assert_eq!(name, WheelName::abi3("faiss-gpu-cu12", "1.15.1.0", "manylinux_2_28_x86_64").unwrap());
        assert_eq!(name.to_string(), NAME);
        assert_eq!(name.dist_info(), "faiss_gpu_cu12-1.15.1.0.dist-info");
        assert_eq!(name.glibc(), Some((2, 28)));
        let name: WheelName = "a-1-2b-cp39-cp39-manylinux_2_27_x86_64.manylinux2014_x86_64.whl".parse().unwrap();
        assert_eq!(name.to_string(), "a-1-2b-cp39-cp39-manylinux_2_27_x86_64.manylinux2014_x86_64.whl");
        assert_eq!(name.glibc(), Some((2, 17)));
        assert_eq!(name.tags().count(), 2);
    }

    #[test]
    fn other_names_are_refused() {
        for (name, reason) in [
            ("faiss.zip", "it does not end in .whl"),
            ("faiss-1.0.whl", "it is not DISTRIBUTION-VERSION-PYTHON-ABI-PLATFORM.whl"),
            ("faiss-1.0-x-py3-none-any.whl", "its build tag does not start with a digit"),
            (
                "../faiss-1.0-py3-none-any.whl",
                "the distribution '../faiss' holds more than letters, digits, '-', '_' and '.'",
            ),
            ("faiss-one-py3-none-any.whl", "the version 'one' is not one that PEP 440 knows"),
        ] {
            let error = name.parse::<WheelName>().unwrap_err().to_string();
            assert!(error.ends_with(reason), "{name}: {error}");
        }
    }

    #[test]
    fn distributions_are_normalized() {
        assert_eq!(normalize("Faiss__GPU.-cu12"), "faiss-gpu-cu12");
    }
}
