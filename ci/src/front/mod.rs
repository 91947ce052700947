//! The command line: made from the table of functions, as every other way to call them is.

mod command;
mod completions;
mod report;

pub use command::command;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::api::Context;
use crate::api::table::{FUNCTIONS, Function, Type, Values};
use crate::run::children;
use crate::run::report::Format;
use ci_step::failure::{Failure, Result};
use tokio::runtime::Runtime;

pub fn main() -> ExitCode {
    // `cargo ci plan | head` ends this program as it ends any other, instead of by a panic in println!.
    // SAFETY: no handler is installed, and no thread runs yet.
    let _ =
        unsafe { nix::sys::signal::signal(nix::sys::signal::Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) };
    let matches = command().get_matches();
    let json = matches.get_one::<String>("log-format").is_some_and(|format| format == "json");
    let colour = match matches.get_one::<String>("color").map(String::as_str) {
        Some("always") => true,
        Some("never") => false,
        _ => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    report::install(colour);
    match call(&matches, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            tell(&report, json);
            ExitCode::from(report::exit_code(&report))
        }
    }
}

fn call(matches: &clap::ArgMatches, json: bool) -> eyre::Result<()> {
    let (function, values) = command::chosen(matches)?;
    Ok(runtime()?.block_on(run(function, &values, matches, json))?)
}

async fn run(function: &Function, values: &Values, matches: &clap::ArgMatches, json: bool) -> Result<()> {
    let root = match matches.get_one::<PathBuf>("root") {
        _ if !function.checkout => PathBuf::new(),
        Some(root) if root.join("versions.toml").is_file() => {
            std::path::absolute(root).map_err(Failure::io("cannot find", root))?
        }
        Some(root) => {
            let what = format!("{} is no checkout: there is no versions.toml in it.", root.display());
            return Err(Failure::usage(what, "Name the checkout's own folder."));
        }
        None => find_root()?,
    };
    let format = if json { Format::Json } else { Format::Text };
    let stop = children::stop_on_signals();
    let context = Context::new(root, matches.get_one::<PathBuf>("cache").cloned(), format, stop);
    majors(function, values, &context)?;
    (function.run)(&context, values).await
}

/// One thread beside this one hears signals, whatever this one is busy with.
fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(|error| {
        Failure::machine(format!("No thread can be started: {error}."), "Check the limits of this user.")
    })
}

/// Every function of the pipeline, and those of the command line alone.
pub fn functions() -> impl Iterator<Item = &'static Function> {
    FUNCTIONS.iter().copied().chain([&completions::ROW])
}

/// Refuses what is no number where a CUDA major stands: `12.1` is a toolkit.
fn majors(function: &Function, values: &Values, context: &Context) -> Result<()> {
    let majors = function.arguments.iter().filter(|argument| matches!(argument.ty, Type::Major));
    let mut given = majors.flat_map(|argument| values.list(argument.name).iter().map(|text| (argument.name, text)));
    let Some((name, text)) = given.find(|(_, text)| text.parse::<u32>().is_err()) else { return Ok(()) };
    let known: Vec<String> = context.versions()?.cuda.iter().map(|cuda| cuda.major.to_string()).collect();
    let known = match known.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => known.concat(),
    };
    let what = format!("--{name} takes a major: {known}; \"{text}\" is none.");
    Err(Failure::usage(what, "The toolkit of each major is named in versions.toml."))
}

/// The checkout that the current folder is in, else the one that this program was built from.
fn find_root() -> Result<PathBuf> {
    let here = std::env::current_dir().map_err(Failure::io("cannot find", Path::new(".")))?;
    let is_root = |folder: &&Path| folder.join("versions.toml").is_file() && folder.join("ci/Cargo.toml").is_file();
    if let Some(root) = here.ancestors().find(is_root) {
        return Ok(root.to_owned());
    }
    let built = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = built.as_deref().and_then(Path::parent).filter(is_root);
    root.map(Path::to_owned).ok_or_else(|| {
        Failure::usage(
            "This folder is in no checkout: there is no versions.toml above it.",
            "Go to the checkout, or name it with --root.",
        )
    })
}

fn tell(report: &eyre::Report, json: bool) {
    let text = match report.downcast_ref::<Failure>() {
        Some(failure) if json => serde_json::json!({ "event": "failure", "failure": failure }).to_string(),
        _ => format!("{report:?}"),
    };
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}
