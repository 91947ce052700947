//! versions.lock: names, versions and hashes of every file that versions.toml leads to. Holds no URL: the user's own pip
//! knows where files come from, and the hash says whether they are the right ones.

mod resolve;
mod uv;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::pins::versions::{Python, Versions};
use ci_step::failure::{Failure, Result};
use ci_step::wheel::WheelName;

pub use ci_step::pip::File;
pub use resolve::{newest, resolve};

/// Files that are wanted together: the tools and toolkits of the build, or a virtual environment for one CPython.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    pub name: String,
    /// What versions.toml asks for.
    pub requirements: Vec<String>,
    /// Names of files.
    pub files: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    #[serde(default, rename = "file")]
    pub files: Vec<File>,
    #[serde(default, rename = "set")]
    pub sets: Vec<Set>,
}

/// A set that should be in the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub requirements: Vec<String>,
    /// For which CPython its files are.
    pub python: Python,
    /// Whether what the packages need in turn belongs to it.
    pub dependencies: bool,
}

/// The set of everything that a build uses.
pub const BUILD: &str = "build";

pub fn environment_set(environment: &str, python: Python) -> String {
    format!("{environment}-{python}")
}

/// Every set that versions.toml asks for.
pub fn wanted(versions: &Versions) -> Vec<Wanted> {
    let mut build: BTreeSet<String> =
        versions.tools.iter().map(|(name, version)| format!("{name}=={version}")).collect();
    for cuda in &versions.cuda {
        let packages = [&cuda.nvrtc, &cuda.nvfatbin].into_iter().chain(&cuda.headers);
        build.extend(packages.map(|pinned| format!("{}=={}", pinned.package, pinned.version)));
    }
    let python = versions.python_floor();
    let build = Wanted { name: BUILD.into(), requirements: build.into_iter().collect(), python, dependencies: false };
    let mut all = vec![build];
    for (environment, requirements) in &versions.environments {
        for &python in &versions.wheel.pythons {
            let requirements = requirements.iter().map(ToString::to_string).collect();
            all.push(Wanted { name: environment_set(environment, python), requirements, python, dependencies: true });
        }
    }
    all
}

impl Lock {
    pub fn load(root: &Path) -> Result<Lock> {
        let path = root.join("versions.lock");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::usage("versions.lock is missing.", "Run `cargo ci lock`."));
            }
            Err(error) => return Err(Failure::io("cannot read", &path)(error)),
        };
        Lock::parse(&text)
    }

    pub fn parse(text: &str) -> Result<Lock> {
        let lock: Lock = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            Failure::usage(
                format!("versions.lock:{line}: {}", error.message()),
                "Run `cargo ci lock` to write it anew.",
            )
        })?;
        let known: BTreeSet<&str> = lock.files.iter().map(|file| file.name.as_str()).collect();
        for set in &lock.sets {
            if let Some(missing) = set.files.iter().find(|name| !known.contains(name.as_str())) {
                let what = format!("versions.lock: the set {} names {missing}, which has no [[file]].", set.name);
                return Err(Failure::usage(what, "Run `cargo ci lock` to write it anew."));
            }
        }
        Ok(lock)
    }

    /// As it is written to versions.lock.
    pub fn render(&self) -> String {
        let mut text = String::from("# Written by `cargo ci lock` from versions.toml; never by hand.\n");
        for file in &self.files {
            let File { package, version, name, sha256 } = file;
            write!(text, "\n[[file]]\npackage = \"{package}\"\nversion = \"{version}\"\nname = \"{name}\"\nsha256 = \"{sha256}\"\n")
                .expect("a String takes any text");
        }
        let list = |items: &[String]| items.iter().map(|item| format!("    \"{item}\",\n")).collect::<String>();
        for set in &self.sets {
            let (requirements, files) = (list(&set.requirements), list(&set.files));
            write!(
                text,
                "\n[[set]]\nname = \"{}\"\nrequirements = [\n{requirements}]\nfiles = [\n{files}]\n",
                set.name
            )
            .expect("a String takes any text");
        }
        text
    }

    /// What versions.toml asks for and this lock does not have, or the other way round; one line each.
    pub fn differences(&self, versions: &Versions) -> Vec<String> {
        let wanted: BTreeMap<String, Vec<String>> =
            wanted(versions).into_iter().map(|wanted| (wanted.name, wanted.requirements)).collect();
        let mut lines = Vec::new();
        for (name, requirements) in &wanted {
            let Some(set) = self.sets.iter().find(|set| set.name == *name) else {
                lines.push(format!("the set {name} is not locked"));
                continue;
            };
            for asked in requirements.iter().filter(|asked| !set.requirements.contains(asked)) {
                lines.push(format!("{name}: {asked} is in versions.toml and not in versions.lock"));
            }
            for locked in set.requirements.iter().filter(|locked| !requirements.contains(locked)) {
                lines.push(format!("{name}: {locked} is in versions.lock and not in versions.toml"));
            }
        }
        for set in self.sets.iter().filter(|set| !wanted.contains_key(&set.name)) {
            lines.push(format!("the set {} is locked and not in versions.toml", set.name));
        }
        let (major, minor) = versions.wheel.glibc;
        for file in &self.files {
            match file.name.parse::<WheelName>().map(|name| name.glibc()) {
                Ok(Some(needed)) if needed > (major, minor) => lines.push(format!(
                    "{} needs glibc {}.{}, and versions.toml promises {major}.{minor}",
                    file.name, needed.0, needed.1
                )),
                Ok(_) => {}
                Err(error) => lines.push(error.to_string()),
            }
        }
        lines
    }

    /// What is left of it where versions.toml asks for less than it did.
    pub fn narrowed(mut self, versions: &Versions) -> Lock {
        let wanted = wanted(versions);
        for set in &mut self.sets {
            if let Some(wanted) = wanted.iter().find(|wanted| wanted.name == set.name) {
                set.requirements.retain(|requirement| wanted.requirements.contains(requirement));
            }
        }
        self
    }

    pub fn require_fresh(&self, versions: &Versions) -> Result<()> {
        let lines = self.differences(versions);
        if lines.is_empty() {
            return Ok(());
        }
        Err(Failure::usage("versions.lock does not agree with versions.toml.", "Run `cargo ci lock`.")
            .with_log(lines.join("\n")))
    }

    /// The one file of a package in the set of the build.
    pub fn tool(&self, package: &str) -> Result<&File> {
        let files = self.set(BUILD)?;
        files
            .into_iter()
            .find(|file| file.package == package)
            .ok_or_else(|| Failure::usage(format!("versions.lock has no file of {package}."), "Run `cargo ci lock`."))
    }

    pub fn version_of(&self, package: &str, version: &str) -> Result<&File> {
        let files = self.set(BUILD)?;
        files.into_iter().find(|file| file.package == package && file.version == version).ok_or_else(|| {
            Failure::usage(format!("versions.lock has no file of {package} {version}."), "Run `cargo ci lock`.")
        })
    }

    /// The files of a set, in the lock's order.
    pub fn set(&self, name: &str) -> Result<Vec<&File>> {
        let set = self
            .sets
            .iter()
            .find(|set| set.name == name)
            .ok_or_else(|| Failure::usage(format!("versions.lock has no set {name}."), "Run `cargo ci lock`."))?;
        Ok(self.files.iter().filter(|file| set.files.contains(&file.name)).collect())
    }
}
