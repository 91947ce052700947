//! What a function of the pipeline is: its name, arguments, documentation, how it is served and what runs it. The row of
//! each stands beside the code that it runs; [`FUNCTIONS`] lists them. The command line is made from that list, and so is the
//! Dagger module: a function is a file and a line here, and nothing elsewhere knows it by its name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;

use ci_step::failure::Result;

use super::release::{next, page, publish, rebuild};
use super::{Context, build, clean, doctor, installed, lock, plan, reproduce, test, verify};
use crate::pins::matrix::Matrix;
use crate::pins::versions::Versions;

/// Sorted by group, then by how often they are wanted.
pub static FUNCTIONS: &[&Function] = &[
    &build::GPU,
    &build::CPU,
    &reproduce::ROW,
    &test::TEST,
    &test::LINT,
    &installed::GPU,
    &installed::CPU,
    &verify::ROW,
    &plan::PLAN,
    &plan::EXPLAIN,
    &plan::STEP,
    &next::VERSION,
    &next::CHANGELOG,
    &publish::PUBLISH,
    &publish::CHECK,
    &rebuild::ROW,
    &page::ROW,
    &lock::LOCK,
    &lock::BUMP,
    &doctor::ROW,
    &clean::ROW,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Wheels,
    Tests,
    Look,
    Release,
    House,
}

impl Group {
    pub fn heading(self) -> &'static str {
        match self {
            Group::Wheels => "Make wheels",
            Group::Tests => "Test and verify",
            Group::Look => "Look at the plan",
            Group::Release => "Release",
            Group::House => "Keep the house",
        }
    }
}

/// What an argument takes.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    Flag,
    Number,
    /// A CUDA major of versions.toml.
    Major,
    /// Shown under this name.
    Text(&'static str),
    /// A folder, or a file; where things run in containers, a folder with the file in it.
    Path,
    File,
    /// A file that nobody else may read; where things run in containers, a secret that lies there as a file.
    Secret,
    Choice(&'static [&'static str]),
}

#[derive(Debug)]
pub struct Argument {
    pub name: &'static str,
    pub ty: Type,
    pub about: &'static str,
    pub required: bool,
    pub list: bool,
    pub positional: bool,
    pub default: Option<&'static str>,
    /// Its name where the function is served by an engine. None where the engine has a way of its own for it.
    pub served: Option<&'static str>,
}

/// How an engine that runs things in containers serves a function.
#[derive(Clone, Copy)]
pub enum Served {
    /// Not: it is about this machine.
    No,
    /// By the command in a container: what it prints.
    Text(Reads),
    /// By the steps of a plan, each in a container: a folder with wheels and manifests.
    Wheels(fn(&Versions, &Values) -> Result<Matrix>),
    /// By the command in a container for each Python: the report. Wheels that are not given are built first.
    Tests { gpu: bool, build: &'static Function, wanted: fn(&Versions, &Values) -> Result<Matrix> },
    /// By the command in a container: what it changed of the checkout. With `digests`, the engine asks the registries for
    /// those of the images, for `--digest`.
    Changes { digests: bool },
}

/// Which part of a checkout a function reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// What wheels are made of.
    Sources,
    /// Everything that a person wrote.
    Checkout,
}

/// Whether an earlier result may stand for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// The same inputs give the same result.
    ByInputs,
    /// It must run each time: a test that is replayed is no test.
    Never,
}

pub struct Function {
    pub name: &'static str,
    pub group: Group,
    /// One line.
    pub about: &'static str,
    /// What a person wants to know beyond that; may be empty.
    pub more: &'static str,
    pub arguments: &'static [Argument],
    pub caching: Caching,
    /// Whether it works on a checkout, which then has to be found.
    pub checkout: bool,
    pub served: Served,
    pub run: for<'a> fn(&'a Context, &'a Values) -> Work<'a>,
}

/// A function at work.
pub type Work<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// The values of a call, by argument.
#[derive(Clone, Debug, Default)]
pub struct Values(BTreeMap<String, Vec<String>>);

impl Values {
    pub fn set(&mut self, name: &str, texts: Vec<String>) {
        self.0.insert(name.to_owned(), texts);
    }

    pub fn list(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.list(name).first().map(String::as_str)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// Numbers were checked when they were read.
    pub fn numbers(&self, name: &str) -> Vec<u32> {
        self.list(name).iter().filter_map(|text| text.parse().ok()).collect()
    }
}

pub(crate) const fn argument(name: &'static str, ty: Type, about: &'static str) -> Argument {
    Argument { name, ty, about, required: false, list: false, positional: false, default: None, served: Some(name) }
}

impl Argument {
    pub(crate) const fn required(self) -> Argument {
        Argument { required: true, ..self }
    }

    pub(crate) const fn list(self) -> Argument {
        Argument { list: true, ..self }
    }

    pub(crate) const fn positional(self) -> Argument {
        Argument { positional: true, ..self }
    }

    pub(crate) const fn default(self, text: &'static str) -> Argument {
        Argument { default: Some(text), ..self }
    }

    /// Served by an engine under this name, for what it holds there.
    pub(crate) const fn served_as(self, name: &'static str) -> Argument {
        Argument { served: Some(name), ..self }
    }

    /// Not served: the engine has a way of its own for it.
    pub(crate) const fn host_only(self) -> Argument {
        Argument { served: None, ..self }
    }
}

pub(crate) const MAJOR: Argument =
    argument("cuda-major", Type::Major, "CUDA major; repeat it, or separate by commas, for several").list();
pub(crate) const ARCH: Argument =
    argument("arch", Type::Text("X.Y"), "Only these architectures, for example 8.0,9.0").list();
pub(crate) const PLATFORM: Argument =
    argument("platform", Type::Text("MACHINE"), "Processor of the wheel").default("x86_64");
pub(crate) const JOBS: Argument =
    argument("jobs", Type::Number, "Steps side by side [default: the number of processors]");
pub(crate) const DRY_RUN: Argument = argument("dry-run", Type::Flag, "Only say what would run").host_only();
pub(crate) const FORMAT: Argument =
    argument("format", Type::Choice(&["text", "json"]), "How the plan is printed").default("text");
/// Of a build, which prints a plan only in a dry run.
pub(crate) const PLAN_FORMAT: Argument = FORMAT.host_only();
pub(crate) const WHEEL: Argument =
    argument("wheel", Type::Path, "The wheel [default: the one in the wheelhouse]").served_as("wheels");
pub(crate) const OUTPUT: Argument = argument(
    "output",
    Type::Path,
    "Where the wheel goes; a folder cudaN below it for each when there are several [default: wheelhouse/gpu/cudaN or wheelhouse/cpu]",
)
.host_only();
pub(crate) const PYTHON: Argument = argument(
    "python",
    Type::Text("3.X"),
    "Only under this CPython; repeat it for several [default: all that are found]",
)
.list();
pub(crate) const FIND_LINKS: Argument = argument(
    "find-links",
    Type::Path,
    "Take dependencies and the tests' own packages from this folder of wheels, without a network",
);
pub(crate) const CPU_TOO: Argument =
    argument("cpu", Type::Flag, "The CPU wheel, alone or beside those of --cuda-major");
