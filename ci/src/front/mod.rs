//! The command line: made from the table of functions, as every other way to call them is.

mod command;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::api::Context;
use crate::api::table::{Function, Type, Values};
use crate::run::report::Format;
use ci_step::failure::{Failure, Kind, Result};

pub fn main() -> ExitCode {
    // `cargo ci plan | head` ends this program as it ends any other, instead of by a panic in println!.
    // SAFETY: no handler is installed, and no thread runs yet.
    let _ =
        unsafe { nix::sys::signal::signal(nix::sys::signal::Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) };
    let matches = command::command().get_matches();
    let json = matches.get_one::<String>("log-format").is_some_and(|format| format == "json");
    let colour = match matches.get_one::<String>("color").map(String::as_str) {
        Some("always") => true,
        Some("never") => false,
        _ => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let outcome = command::chosen(&matches).and_then(|(function, values)| run(function, &values, &matches, json));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure, json, colour);
            ExitCode::from(failure.kind as u8)
        }
    }
}

fn run(function: &Function, values: &Values, matches: &clap::ArgMatches, json: bool) -> Result<()> {
    let root = match matches.get_one::<PathBuf>("root") {
        // A step reads its plan, and of the checkout what that plan names: engines give it no more.
        Some(root) if root.join("versions.toml").is_file() || function.name == "step" => {
            std::path::absolute(root).map_err(Failure::io("cannot find", root))?
        }
        Some(root) => {
            let what = format!("{} is no checkout: there is no versions.toml in it.", root.display());
            return Err(Failure::usage(what, "Name the checkout's own folder."));
        }
        None => find_root()?,
    };
    let format = if json { Format::Json } else { Format::Text };
    let context = Context { root, cache: matches.get_one::<PathBuf>("cache").cloned(), format };
    majors(function, values, &context)?;
    (function.run)(&context, values)
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

/// The last line is what to do, the one before it what happened; logs come first.
fn tell(failure: &Failure, json: bool, colour: bool) {
    let mut stderr = std::io::stderr();
    let text = if json {
        serde_json::to_string(&serde_json::json!({ "event": "failure", "failure": failure }))
            .expect("plain data serializes")
    } else {
        let log = failure.log.as_deref().map(|log| format!("{}\n", log.trim_end())).unwrap_or_default();
        let error = match (failure.kind, colour) {
            (Kind::Interrupted, _) => String::new(),
            (_, true) => "\u{1b}[1;31merror:\u{1b}[0m ".to_owned(),
            (_, false) => "error: ".to_owned(),
        };
        format!("{log}{error}{}\n{}", failure.what, failure.todo)
    };
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(stderr, "{text}");
}

/// Completions for a shell, as its own program would print them.
pub fn completions(shell: &str) -> Result<()> {
    use clap_complete::Shell;
    let shell: Shell = shell.parse().map_err(|_| {
        Failure::usage(format!("Shell \"{shell}\" is not known."), "Known: bash, elvish, fish, powershell, zsh.")
    })?;
    clap_complete::generate(shell, &mut command::command(), "ci", &mut std::io::stdout());
    Ok(())
}
