//! From what TOML read to what the pipeline uses: every value is looked at, and every problem named with its line.

use std::collections::BTreeSet;
use std::ops::Range;

use faiss_kernels::Arch;

use super::raw::{self, Spanned, Text};
use super::requirement::{Version, normal_version, package_name, range_of};
use super::{ARCHITECTURES, Cuda, Image, Pinned, Python, Requirement, RuntimeLibrary, Rust, TOOLS, Versions, Wheel};
use ci_step::failure::{Failure, Result};

/// Collects problems, so that a person sees all of them at once.
struct Checker<'a> {
    text: &'a str,
    problems: Vec<String>,
}

impl Checker<'_> {
    fn line(&self, span: Range<usize>) -> usize {
        1 + self.text[..span.start.min(self.text.len())].matches('\n').count()
    }

    fn problem(&mut self, span: Range<usize>, what: impl AsRef<str>) {
        let line = self.line(span);
        self.problems.push(format!("versions.toml:{line}: {}", what.as_ref()));
    }

    fn text(&mut self, value: &Text, ok: impl Fn(&str) -> bool, expected: &str) -> String {
        let text = value.get_ref();
        if !ok(text) {
            self.problem(value.span(), format!("\"{text}\" is not {expected}"));
        }
        text.clone()
    }

    /// A name in its normalized form, as the lock has it.
    fn package(&mut self, value: &Text) -> String {
        package_name(value.get_ref()).unwrap_or_else(|problem| {
            self.problem(value.span(), problem);
            value.get_ref().clone()
        })
    }

    fn version(&mut self, value: &Text) -> String {
        if let Err(problem) = normal_version(value.get_ref()) {
            self.problem(value.span(), problem);
        }
        value.get_ref().clone()
    }

    /// Numbers as semantic versioning has them: `12.1` is 12.1.0.
    fn toolkit(&mut self, value: &Text, major: u32) -> Option<semver::Version> {
        let text = value.get_ref();
        let version = semver::Version::parse(&format!("{text}.0")).ok();
        let version = version.filter(|version| version.major == u64::from(major) && version.pre.is_empty());
        if version.is_none() {
            let what = format!("\"{text}\" is not a toolkit of CUDA {major}, for example \"{major}.1\"");
            self.problem(value.span(), what);
        }
        version
    }

    /// The architectures of a list, which the compiler of `toolkit` must know.
    fn archs(&mut self, list: &Spanned<Vec<Text>>, toolkit: Option<&semver::Version>) -> Vec<Arch> {
        let mut archs: Vec<Arch> = Vec::new();
        for value in list.get_ref() {
            let name = value.get_ref();
            match name.parse::<Arch>() {
                Ok(arch) if known_to(name).is_some() => {
                    if archs.contains(&arch) {
                        self.problem(value.span(), format!("arch \"{name}\" stands here twice"));
                    } else if archs.last().is_some_and(|last| *last > arch) {
                        self.problem(value.span(), format!("arch \"{name}\" is out of order; list the oldest first"));
                    }
                    archs.push(arch);
                    if let Some(problem) = toolkit.and_then(|toolkit| beyond(name, toolkit)) {
                        self.problem(value.span(), problem);
                    }
                }
                _ => {
                    let known = ARCHITECTURES.map(|(name, ..)| name).join(", ");
                    self.problem(value.span(), format!("arch \"{name}\" is not known; known: {known}"));
                }
            }
        }
        if list.get_ref().is_empty() {
            self.problem(list.span(), "this list is empty");
        }
        archs
    }

    fn pinned(&mut self, raw: &raw::Package) -> Pinned {
        Pinned { package: self.package(&raw.package), version: self.version(&raw.version) }
    }

    fn wheel(&mut self, raw: &raw::Wheel) -> Wheel {
        let version = self.version(&raw.version);
        let crates: semver::Version = env!("CARGO_PKG_VERSION").parse().expect("cargo reads it as one");
        match version.parse::<Version>() {
            Ok(four) if four == Version::new(four.release().iter().copied()) && four.release().len() == 4 => {
                if four.release()[..3] != [crates.major, crates.minor, crates.patch] {
                    let what = format!("\"{version}\" does not start with \"{crates}.\", the version of the crates");
                    self.problem(raw.version.span(), what);
                }
            }
            Ok(_) => {
                let what = format!("\"{version}\" is not A.B.C.D, for example \"{crates}.0\"");
                self.problem(raw.version.span(), what);
            }
            // Named above.
            Err(_) => {}
        }
        let template =
            |text: &str| text.matches("{major}").count() == 1 && package_name(&text.replace("{major}", "12")).is_ok();
        let gpu_name = self.text(&raw.gpu_name, template, "a package's name with {major} in it");
        let cpu_name = self.package(&raw.cpu_name);

        let mut pythons: Vec<Python> = Vec::new();
        for value in raw.pythons.get_ref() {
            match value.get_ref().strip_prefix("3.").and_then(|minor| minor.parse().ok()).map(Python) {
                Some(python) if pythons.last().is_none_or(|last| *last < python) => pythons.push(python),
                Some(python) => {
                    self.problem(value.span(), format!("\"{python}\" is out of order; list the oldest first"))
                }
                None => {
                    self.problem(value.span(), format!("\"{}\" is not a CPython such as \"3.10\"", value.get_ref()))
                }
            }
        }
        if pythons.first() != Some(&Python(10)) {
            self.problem(
                raw.pythons.span(),
                "the first of the pythons is not \"3.10\", for which the extension is compiled (abi3-py310)",
            );
        }
        let numpy = raw.numpy.get_ref().clone();
        if let Err(problem) = range_of(&numpy, "numpy") {
            self.problem(raw.numpy.span(), problem);
        }
        let glibc = raw.glibc.get_ref().split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let glibc: Option<(u32, u32)> = glibc.filter(|(major, _)| *major == 2);
        if glibc.is_none() {
            self.problem(
                raw.glibc.span(),
                format!("\"{}\" is not a version of glibc such as \"2.28\"", raw.glibc.get_ref()),
            );
        }
        let mut platforms = Vec::new();
        for value in raw.platforms.get_ref() {
            platforms.push(self.text(
                value,
                |text| text == "x86_64",
                "a platform that can be built for; known: x86_64",
            ));
        }
        let mut urls = std::collections::BTreeMap::new();
        for (label, url) in &raw.urls {
            let url = self.text(url, |text| text.starts_with("https://"), "an address that begins with https://");
            urls.insert(label.clone(), url);
        }
        if platforms.is_empty() {
            self.problem(raw.platforms.span(), "this list is empty");
        }
        Wheel {
            version,
            gpu_name,
            cpu_name,
            pythons,
            numpy,
            glibc: glibc.unwrap_or_default(),
            platforms,
            budget: *raw.budget.get_ref(),
            urls,
        }
    }

    fn rust(&mut self, raw: &raw::Rust) -> Rust {
        let release = |text: &str| semver::Version::parse(text).is_ok_and(|version| version.pre.is_empty());
        let commit = |text: &str| text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        Rust {
            release: self.text(&raw.release, release, "a release of Rust such as \"1.95.0\""),
            commit: self.text(&raw.commit, commit, "the commit that `rustc -vV` names, 40 hexadecimal digits"),
        }
    }

    fn cuda(&mut self, raw: &raw::Cuda) -> Cuda {
        let major = *raw.major.get_ref();
        let release = self.toolkit(&raw.toolkit, major);
        let toolkit = raw.toolkit.get_ref().clone();
        let architectures = self.archs(&raw.architectures, release.as_ref());
        let ptx = self.archs(&raw.ptx, release.as_ref());
        for value in raw.ptx.get_ref().iter().filter(|value| value.get_ref().ends_with(|c: char| c.is_alphabetic())) {
            self.problem(value.span(), format!("PTX for \"{}\" would serve no other architecture", value.get_ref()));
        }
        // A wheel with fewer architectures keeps the PTX of those that it has.
        let known = !architectures.is_empty() && architectures.len() == raw.architectures.get_ref().len();
        for (value, arch) in raw.ptx.get_ref().iter().zip(&ptx) {
            if known && architectures.iter().all(|code| code.base() != arch.base()) {
                self.problem(value.span(), format!("PTX for \"{arch}\" has no machine code of the same architecture"));
            }
        }
        let driver_version = *raw.driver.version.get_ref();
        if driver_version / 1000 != major {
            self.problem(raw.driver.version.span(), format!("{driver_version} is not a driver of CUDA {major}; cuDriverGetVersion gives 1000 * major + 10 * minor"));
        }
        let branch = |text: &str| text.strip_prefix('R').is_some_and(|n| n.parse::<u32>().is_ok());
        let driver_branch = self.text(&raw.driver.branch, branch, "a driver branch such as \"R530\"");
        let pinned_in = |checker: &mut Self, package: &raw::Package, need: &str| {
            let pinned = checker.pinned(package);
            if !pinned.version.starts_with(need) {
                let (version, line) = (&pinned.version, package.version.span());
                checker.problem(
                    line,
                    format!("version \"{version}\" is not of the toolkit {}", need.trim_end_matches('.')),
                );
            }
            pinned
        };
        let need = format!("{toolkit}.");
        let nvrtc = pinned_in(self, &raw.nvrtc, &need);
        let headers = raw.headers.iter().map(|package| pinned_in(self, package, &need)).collect();
        let nvfatbin = self.pinned(&raw.nvfatbin);
        let mut requires = Vec::new();
        for library in &raw.requires {
            requires.push(RuntimeLibrary {
                package: self.package(&library.package),
                from: self.version(&library.from),
                fixed: self.version(&library.fixed),
                soname: self.text(
                    &library.soname,
                    |text| text.starts_with("libcudart.so.") || text.starts_with("libcublas.so."),
                    "libcudart.so.N or libcublas.so.N",
                ),
            });
        }
        if requires.len() != 2 {
            self.problem(
                raw.major.span(),
                format!("CUDA {major} requires {} libraries; it must be two, cudart and cuBLAS", requires.len()),
            );
        }
        let mut library_paths = Vec::new();
        for path in &raw.library_paths {
            let inside =
                |text: &str| !text.starts_with('/') && !text.split('/').any(|part| matches!(part, "" | "." | ".."));
            library_paths.push(self.text(path, inside, "a folder below site-packages"));
        }
        let architecture_budget = *raw.architecture_budget.get_ref();
        Cuda {
            major,
            toolkit,
            architectures,
            ptx,
            driver_branch,
            driver_version,
            nvrtc,
            nvfatbin,
            headers,
            requires,
            library_paths,
            architecture_budget,
        }
    }

    fn image(&mut self, raw: &raw::Image) -> Image {
        let digest = |text: &str| {
            text.strip_prefix("sha256:").is_some_and(|hex| {
                let digits = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                // A stand-in that somebody meant to fill in, and not what anything hashes to.
                digits && !hex.bytes().all(|b| Some(b) == hex.bytes().next())
            })
        };
        Image {
            name: raw.name.get_ref().clone(),
            tag: raw.tag.get_ref().clone(),
            digest: raw
                .digest
                .as_ref()
                .map(|value| self.text(value, digest, "a digest: sha256: and the 64 hexadecimal digits of an image")),
        }
    }
}

/// The first toolkit whose NVRTC compiles for an architecture, and the last major that does.
fn known_to(name: &str) -> Option<((u64, u64), u64)> {
    ARCHITECTURES.iter().find(|(known, ..)| *known == name).map(|(_, first, last)| (*first, *last))
}

/// Why NVRTC of `toolkit` does not compile for an architecture.
fn beyond(name: &str, toolkit: &semver::Version) -> Option<String> {
    let ((major, minor), last) = known_to(name)?;
    let compiler = format!("NVRTC of CUDA {}.{}", toolkit.major, toolkit.minor);
    if (toolkit.major, toolkit.minor) < (major, minor) {
        return Some(format!("arch \"{name}\" is not known to {compiler}; it begins with CUDA {major}.{minor}"));
    }
    (toolkit.major > last).then(|| format!("arch \"{name}\" is not known to {compiler}; it ends with CUDA {last}"))
}

pub fn check(text: &str) -> Result<Versions> {
    let todo = "Correct versions.toml; its comments say what each line is for.";
    let raw: raw::File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        Failure::usage(format!("versions.toml:{line}: {}", error.message()), todo)
    })?;
    let mut checker = Checker { text, problems: Vec::new() };
    let wheel = checker.wheel(&raw.wheel);
    let rust = checker.rust(&raw.rust);
    let mut cuda: Vec<Cuda> = Vec::new();
    let mut majors = BTreeSet::new();
    for table in &raw.cuda {
        let next = checker.cuda(table);
        if !majors.insert(next.major) {
            checker.problem(table.major.span(), format!("CUDA {} stands here twice", next.major));
        }
        cuda.push(next);
    }
    cuda.sort_by_key(|cuda| cuda.major);
    let mut tools = std::collections::BTreeMap::new();
    for (name, version) in &raw.tools {
        let package = checker.package(name);
        if !TOOLS.contains(&package.as_str()) {
            checker.problem(
                name.span(),
                format!("{package} is pinned here and used by nothing; known: {}", TOOLS.join(", ")),
            );
        }
        tools.insert(package, checker.version(version));
    }
    for needed in TOOLS.iter().filter(|needed| !tools.contains_key(**needed)) {
        checker.problems.push(format!("versions.toml: [tools] lacks {needed}, which the pipeline needs"));
    }
    let mut environments = std::collections::BTreeMap::new();
    for (name, list) in &raw.environments {
        let mut requirements = Vec::new();
        for value in list {
            match value.get_ref().parse::<Requirement>() {
                Ok(requirement) => requirements.push(requirement),
                Err(problem) => checker.problem(value.span(), problem),
            }
        }
        environments.insert(name.clone(), requirements);
    }
    let images = raw.images.iter().map(|(name, image)| (name.clone(), checker.image(image))).collect();
    if !checker.problems.is_empty() {
        return Err(Failure::usage(checker.problems.join("\n"), todo));
    }
    Ok(Versions { wheel, rust, cuda, tools, environments, images, text: text.to_owned() })
}
