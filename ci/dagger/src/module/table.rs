//! From the pipeline's table of functions to the module's: names, docs, arguments, defaults, enums and caching come from
//! there. What only an engine has is said here: where files come from, and what a function gives back.

use dagger_module::{Arg, Cache, Call, Enum, Error, Function, Module, Object, Type, Value, json};

use super::{checks, functions, test, wheels};
use crate::engine::{Settings, to_dagger};
use ci::api::table::{self, Argument, Caching, FUNCTIONS, Reads, Served};
use ci_step::failure::Failure;

/// The module's name in dagger.json, in CamelCase.
pub const MAIN: &str = "FaissWheels";
pub const BASE_IMAGE: &str = "manylinux";
pub const RUST_IMAGE: &str = "rust";

/// What builds and tests read of a checkout: as little as possible, so that as much as possible is answered from memory.
pub const SOURCE_IGNORE: &[&str] = &[
    "*",
    "!.cargo/config.toml",
    "!CHANGELOG.md",
    "!Cargo.lock",
    "!Cargo.toml",
    "!LICENSE",
    "!ci/Cargo.toml",
    "!ci/dagger/Cargo.toml",
    "!ci/step/Cargo.toml",
    "!ci/step/src",
    "!dagger.json",
    "!dagger-module/**/Cargo.toml",
    "!docs/python-api.md",
    "!faiss-rs",
    "!kernels",
    "!rust-toolchain.toml",
    "!versions.lock",
    "!versions.toml",
    "**/target",
    "**/__pycache__",
    "**/*.pyc",
    "**/*.so",
];

/// What nobody wrote.
const WHOLE_IGNORE: &[&str] =
    &[".git", "wheelhouse", "**/target", "**/__pycache__", "**/*.pyc", "**/*.so", "**/.venv", "**/node_modules"];

pub fn module() -> Module {
    let mut main =
        Object::new(MAIN, "Builds, verifies and tests the faiss wheels, each step in a container of its own.")
            .constructor(Function::new("", "", Type::object(MAIN), functions::settings).args(settings()));
    let mut enums: Vec<Enum> = Vec::new();
    for function in FUNCTIONS {
        if let Some(function) = convert(function, &mut enums) {
            main = main.function(function);
        }
    }
    main = wheels::more(main, &mut enums);
    main = checks::more(main);
    let module = Module::new("Reproducible GPU wheels of faiss.", main).object(wheels::object(&mut enums));
    enums.into_iter().fold(module, Module::enumeration)
}

fn settings() -> [Arg; 6] {
    let image = |name, which: &str| {
        Arg::new(name, Type::String.optional(), format!("{which} Empty for the one that versions.toml names"))
    };
    [
        image("base-image", "Image that steps and tests run in: Linux with Python 3.10 or newer and pip."),
        Arg::new(
            "base-archive",
            Type::object("File").optional(),
            "The same image as a file, as `docker save` and `skopeo copy` to docker-archive or oci-archive write it",
        ),
        Arg::new(
            "base-directory",
            Type::object("Directory").optional(),
            "The same image as a folder with its root file system",
        ),
        image("rust-image", "Image whose Rust toolchain builds the extension."),
        Arg::new(
            "pip-config",
            Type::object("Secret").optional(),
            "pip's configuration, for those behind a mirror: file://pip.conf",
        ),
        Arg::new(
            "certificates",
            Type::object("File").optional(),
            "Certificates (PEM) that pip and cargo trust, in place of the image's",
        ),
    ]
}

pub fn host_directory() -> Arg {
    checkout(SOURCE_IGNORE)
}

/// The same with everything in it that a person wrote.
pub fn whole_directory() -> Arg {
    checkout(WHOLE_IGNORE)
}

fn checkout(ignore: &[&str]) -> Arg {
    Arg::new("host-directory", Type::object("Directory"), "The checkout to build from; the module's own when left out")
        .default_path("/")
        .ignore(ignore.iter().copied())
}

fn convert(function: &'static table::Function, enums: &mut Vec<Enum>) -> Option<Function> {
    let made = match function.served {
        Served::No => return None,
        Served::Wheels(wanted) => {
            new(function, Type::object("Directory"), move |call| functions::build(call, function, wanted))
        }
        Served::Tests { gpu, build, wanted } => {
            new(function, Type::String, move |call| test::test(call, function, gpu, build, wanted))
        }
        Served::Changes { digests } => {
            new(function, Type::object("Changeset"), move |call| functions::changes(call, function, digests))
        }
        Served::Text(reads) => new(function, Type::String, move |call| functions::text(call, function, reads)),
    };
    Some(made.args(arguments(function, enums)))
}

/// A function with the docs and caching of `function`.
fn new<F: Future<Output = Result<Value, Failure>> + 'static>(
    function: &'static table::Function,
    returns: Type,
    handler: impl Fn(Call) -> F + Copy + 'static,
) -> Function {
    let cache = match function.caching {
        Caching::ByInputs => Cache::Default,
        Caching::Never => Cache::Never,
    };
    let mut docs = function.about.to_owned();
    // The examples there are for a shell of the host.
    if !function.more.is_empty() && !function.more.contains("cargo ci") {
        docs = format!("{docs}\n\n{}", function.more);
    }
    plain(function.name, &docs, returns, handler).cache(cache)
}

/// The arguments that are served, and the checkout.
pub fn arguments(function: &table::Function, enums: &mut Vec<Enum>) -> Vec<Arg> {
    let served = function.arguments.iter().filter_map(|argument| Some((argument, argument.served?)));
    let mut args: Vec<Arg> = served.map(|(argument, name)| convert_argument(function, argument, name, enums)).collect();
    let whole = matches!(function.served, Served::Text(Reads::Checkout));
    args.push(if whole { whole_directory() } else { host_directory() });
    args
}

fn convert_argument(function: &table::Function, argument: &Argument, name: &str, enums: &mut Vec<Enum>) -> Arg {
    let docs = argument.about.split(" [default:").next().unwrap_or(argument.about);
    let of = match argument.ty {
        table::Type::Flag => return Arg::new(name, Type::Boolean, docs).default(false),
        table::Type::Number | table::Type::Major => Type::Integer,
        table::Type::Text(_) => Type::String,
        // A folder is the one thing that stands for one file as well as for several.
        table::Type::Path => Type::object("Directory"),
        table::Type::File => Type::object("File"),
        table::Type::Secret => Type::object("Secret"),
        table::Type::Choice(choices) => Type::Enum(choice(function, argument, choices, enums)),
    };
    let of = if argument.list && !matches!(argument.ty, table::Type::Path) { of.list() } else { of };
    let arg = Arg::new(name, if argument.required { of } else { of.optional() }, docs);
    match (argument.default, argument.ty) {
        (Some(default), table::Type::Choice(_)) => arg.default(member(default)),
        (Some(default), _) => arg.default(default),
        (None, _) => arg,
    }
}

/// The enum of a choice: named after the argument, and after its function too where another one has that name.
fn choice(function: &table::Function, argument: &Argument, choices: &[&str], enums: &mut Vec<Enum>) -> String {
    let same = |known: &Enum| known.members.iter().map(|member| member.value.as_str()).eq(choices.iter().copied());
    let short = title(argument.name);
    let name = match enums.iter().find(|known| known.name == short) {
        Some(known) if same(known) => return short,
        Some(_) => format!("{}{short}", title(function.name)),
        None => short,
    };
    if enums.iter().all(|known| known.name != name) {
        let members =
            choices.iter().fold(Enum::new(&name, argument.about), |all, one| all.member(&member(one), one, ""));
        enums.push(members);
    }
    name
}

/// `all-of-it` as `ALL_OF_IT`, as enums have it.
pub fn member(choice: &str) -> String {
    choice.to_uppercase().replace('-', "_")
}

fn title(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + rest
    });
    words.collect()
}

/// A function whose failures are the pipeline's.
pub fn plain<F: Future<Output = Result<Value, Failure>> + 'static>(
    name: &str,
    docs: &str,
    returns: Type,
    handler: impl Fn(Call) -> F + Copy + 'static,
) -> Function {
    let handler = move |call| async move { handler(call).await.map_err(|failure| to_dagger(&failure)) };
    Function::new(name, docs, returns, handler)
}

/// The settings that the main object or one made by it carries.
pub fn settings_of(call: &Call) -> Result<Settings, Error> {
    call.state("settings")
}

pub fn state(settings: &Settings) -> Value {
    json!({ "settings": settings })
}
