//! Every function of the pipeline, in one table: its name, arguments, documentation and what runs it. The command line is
//! made from this table, and so is whatever else offers the functions; a function is added here and nowhere else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::api::{self, Context};
use ci_step::failure::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Wheels,
    Tests,
    Look,
    House,
}

impl Group {
    pub fn heading(self) -> &'static str {
        match self {
            Group::Wheels => "Make wheels",
            Group::Tests => "Test and verify",
            Group::Look => "Look at the plan",
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
    Path,
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
}

/// What a function gives back, for callers that are no person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// Files, in the folder named by `--output`.
    Folder,
    /// Text on standard output.
    Text,
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
    pub gives: Gives,
    pub caching: Caching,
    pub run: fn(&Context, &Values) -> Result<()>,
}

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

const fn argument(name: &'static str, ty: Type, about: &'static str) -> Argument {
    Argument { name, ty, about, required: false, list: false, positional: false, default: None }
}

impl Argument {
    const fn required(self) -> Argument {
        Argument { required: true, ..self }
    }

    const fn list(self) -> Argument {
        Argument { list: true, ..self }
    }

    const fn positional(self) -> Argument {
        Argument { positional: true, ..self }
    }

    const fn default(self, text: &'static str) -> Argument {
        Argument { default: Some(text), ..self }
    }
}

const MAJOR: Argument =
    argument("cuda-major", Type::Major, "CUDA major; repeat it, or separate by commas, for several").list();
const ARCH: Argument = argument("arch", Type::Text("X.Y"), "Only these architectures, for example 8.0,9.0").list();
const PLATFORM: Argument = argument("platform", Type::Text("MACHINE"), "Processor of the wheel").default("x86_64");
const JOBS: Argument = argument("jobs", Type::Number, "Steps side by side [default: the number of processors]");
const DRY_RUN: Argument = argument("dry-run", Type::Flag, "Only say what would run");
const FORMAT: Argument = argument("format", Type::Choice(&["text", "json"]), "How the plan is printed").default("text");
const OUTPUT: Argument = argument(
    "output",
    Type::Path,
    "Where the wheel goes; a folder cudaN below it for each when there are several [default: wheelhouse/gpu/cudaN or wheelhouse/cpu]",
);
const PYTHON: Argument = argument(
    "python",
    Type::Text("3.X"),
    "Only under this CPython; repeat it for several [default: all that are found]",
)
.list();
const FIND_LINKS: Argument = argument(
    "find-links",
    Type::Path,
    "Take dependencies and the tests' own packages from this folder of wheels, without a network",
);
const CPU_TOO: Argument = argument("cpu", Type::Flag, "The CPU wheel, alone or beside those of --cuda-major");

/// Sorted by group, then by how often they are wanted.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "build-gpu-wheels",
        group: Group::Wheels,
        about: "Build, verify and describe the wheel of one or more CUDA majors",
        more: "\
Examples:
  cargo ci build-gpu-wheels --cuda-major 12
  cargo ci build-gpu-wheels --cuda-major 11 --cuda-major 12 --jobs 8
  cargo ci build-gpu-wheels --cuda-major 12 --arch 9.0a        a smaller wheel for one GPU
  cargo ci build-gpu-wheels --cuda-major 13 --dry-run --format json

Leaves the wheel and manifest.json in wheelhouse/gpu/cudaN; a wheel of some architectures only says so in its version and
lies in wheelhouse/gpu/partial. Needs no GPU and no CUDA toolkit. Everything that is
downloaded or finished is kept, so that an interrupted build goes on where it was, and an unchanged one is done at once.",
        arguments: &[
            MAJOR.required(),
            ARCH,
            PLATFORM,
            OUTPUT,
            JOBS,
            DRY_RUN,
            FORMAT,
        ],
        gives: Gives::Folder,
        caching: Caching::ByInputs,
        run: api::build::gpu,
    },
    Function {
        name: "build-cpu-wheels",
        group: Group::Wheels,
        about: "Build, verify and describe the wheel for machines without a GPU",
        more: "",
        arguments: &[PLATFORM, OUTPUT, JOBS, DRY_RUN, FORMAT],
        gives: Gives::Folder,
        caching: Caching::ByInputs,
        run: api::build::cpu,
    },
    Function {
        name: "reproduce",
        group: Group::Wheels,
        about: "Build twice in two folders, as two users, and compare every byte",
        more: "\
The second build has another folder, with settings of cargo's above it and in the environment that would change every
byte, and another HOME, user name, time zone, language, umask and number of jobs. Nothing but downloads is made once for
both. Where the wheels differ, the member and the offset are named.",
        arguments: &[
            argument("cuda-major", Type::Major, "CUDA major of the wheel").required(),
            argument("keep", Type::Flag, "Keep the two folders, to look into them"),
        ],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::reproduce::reproduce,
    },
    Function {
        name: "test",
        group: Group::Tests,
        about: "Run every test that this machine can run, and say what was skipped and why",
        more: "\
Formatting, lints and licences of the Rust code, lints and types of the Python code, the tests of every crate, the wheels
of every CUDA major and the CPU one, what the field's own tools say of them, and the Python tests against the installed
wheel under every CPython that is found. The last line counts: N passed, N failed, N skipped.",
        arguments: &[
            argument(
                "only",
                Type::Choice(&["rust", "python", "crates", "wheels", "engines", "audit", "installed"]),
                "Only these parts; repeat it for several",
            )
            .list(),
            argument(
                "engine",
                Type::Choice(&["host", "dagger"]),
                "With dagger, its engine builds the GPU wheels as well, which must be the host's byte by byte",
            )
            .default("host"),
            JOBS,
        ],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::test::all,
    },
    Function {
        name: "lint",
        group: Group::Tests,
        about: "Formatting, lints, licences and types of the code in every language, as `test` looks at them first",
        more: "",
        arguments: &[JOBS],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::test::lint,
    },
    Function {
        name: "test-gpu-wheels",
        group: Group::Tests,
        about: "Install a GPU wheel with its dependencies into a clean environment and test it",
        more: "A run in which no test ran on a GPU fails; with --no-gpu, the CPU part of the wheel is tested alone.",
        arguments: &[
            argument("cuda-major", Type::Major, "CUDA major of the wheel").required(),
            argument("wheel", Type::Path, "The wheel [default: the one in the wheelhouse]"),
            PYTHON,
            argument("fix-cuda", Type::Flag, "Install the extra fix_cuda: the toolkit of the build"),
            argument("no-gpu", Type::Flag, "Test the CPU part alone, as on a machine without a GPU"),
            FIND_LINKS,
        ],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::installed::gpu,
    },
    Function {
        name: "test-cpu-wheels",
        group: Group::Tests,
        about: "Install the CPU wheel into clean environments and run its tests",
        more: "",
        arguments: &[argument("wheel", Type::Path, "The wheel [default: the one in the wheelhouse]"), PYTHON, FIND_LINKS],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::installed::cpu,
    },
    Function {
        name: "verify-wheels",
        group: Group::Tests,
        about: "Prove what any wheel claims: tags, RECORD, metadata, symbols, libraries, images",
        more: "\
A wheel of this project is compared with versions.toml and the kernel catalogue; of a foreign wheel only what its name
promises can be checked. A folder stands for the wheels in it.",
        arguments: &[
            argument("path", Type::Path, "Wheels, or folders with wheels").list().positional().required(),
            argument("format", Type::Choice(&["text", "json"]), "How the reports are printed").default("text"),
            argument("gates", Type::Flag, "Run auditwheel, abi3audit, check-wheel-contents and twine check as well"),
        ],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::verify::verify,
    },
    Function {
        name: "plan",
        group: Group::Look,
        about: "Print the steps of a build with their keys, or compare them with another plan",
        more: "\
Examples:
  cargo ci plan --cuda-major 12
  cargo ci plan --format json > before.json; (edit something); cargo ci plan --diff before.json",
        arguments: &[
            MAJOR,
            CPU_TOO,
            ARCH,
            PLATFORM,
            FORMAT,
            argument("diff", Type::Path, "Say what would run again since this plan (JSON) was made, and which input changed"),
        ],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::plan::plan,
    },
    Function {
        name: "explain",
        group: Group::Look,
        about: "Say what a step reads and makes, its key, and whether it would run and why",
        more: "",
        arguments: &[
            argument("step", Type::Text("STEP"), "For example extension or cuda12:pack:rows").positional().required(),
            MAJOR,
            CPU_TOO,
            ARCH,
            PLATFORM,
        ],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::plan::explain,
    },
    Function {
        name: "step",
        group: Group::Look,
        about: "Run one step of a plan; what it needs must have run before",
        more: "",
        arguments: &[
            argument("step", Type::Text("STEP"), "Its name in the plan").positional().required(),
            argument("plan", Type::Path, "A plan in JSON").required(),
            argument("kept", Type::Path, "Take from this folder what was made there before, and leave there what is made"),
        ],
        gives: Gives::Folder,
        caching: Caching::ByInputs,
        run: api::plan::step,
    },
    Function {
        name: "lock",
        group: Group::House,
        about: "Resolve versions.toml into versions.lock: the hash of every file that takes part",
        more: "uv does the resolving with pip's settings, so your own mirror and proxy are honoured. versions.lock holds no address.",
        arguments: &[
            argument("check", Type::Flag, "Fail when versions.toml and versions.lock disagree; write nothing, ask nobody"),
            argument("fresh", Type::Flag, "Resolve all anew, also what versions.toml asks for as before"),
            argument("upgrade", Type::Flag, "Print newer versions than versions.toml has; write nothing"),
            argument("digest", Type::Text("IMAGE=DIGEST"), "Pin an image of versions.toml: rust=sha256:...").list(),
        ],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::lock::lock,
    },
    Function {
        name: "bump",
        group: Group::House,
        about: "Raise pinned versions in versions.toml, and lock what they lead to",
        more: "\
Without a version, the package's newest release is taken. A package of a toolkit keeps to the toolkit that versions.toml
names. What nobody asked for stays as it was locked, and nothing is written unless everything resolves.",
        arguments: &[argument("package", Type::Text("PACKAGE[==VERSION]"), "What to raise, by its name on PyPI")
            .list()
            .positional()
            .required()],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::lock::bump,
    },
    Function {
        name: "doctor",
        group: Group::House,
        about: "Say what this machine has and lacks: Pythons, driver, GPUs, toolkits, disk",
        more: "",
        arguments: &[],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::doctor::doctor,
    },
    Function {
        name: "clean",
        group: Group::House,
        about: "Remove what builds leave in the checkout, or the cache",
        more: "\
Without an option, the wheelhouse and the build folders in target/ go; downloads and finished steps stay. The others are
for the cache, which every clone shares; with both --older-than and --keep, what is old goes but for the newest of each.
What goes, and how much room it takes, is said first.",
        arguments: &[
            argument("all", Type::Flag, "Remove all downloads, finished steps and environments"),
            argument("older-than", Type::Number, "Of the cache, remove what was not used for this many days"),
            argument("keep", Type::Number, "Of the cache, keep this many of each step, package and environment"),
            argument("dry-run", Type::Flag, "Only say what would go"),
        ],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::clean::clean,
    },
    Function {
        name: "completions",
        group: Group::House,
        about: "Print completions for a shell",
        more: "",
        arguments: &[argument(
            "shell",
            Type::Choice(&["bash", "elvish", "fish", "powershell", "zsh"]),
            "The shell that they are for",
        )
        .positional()
        .required()],
        gives: Gives::Text,
        caching: Caching::Never,
        run: api::house::completions,
    },
];
