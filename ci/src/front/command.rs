//! From the table of functions to clap's commands, and from what clap read back to values.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::functions;
use crate::api::table::{Argument, Function, Group, Type, Values};
use ci_step::failure::{Failure, Result};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    a test or a check failed, or two builds differ
  2    the command line, versions.toml or versions.lock asks for something that does not exist
  3    a step of the build failed
  4    this machine lacks something: Python, the network, disk space, a permission
  130  interrupted; run the same command again, finished steps are kept";

const TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}{after-help}\n";

pub fn command() -> Command {
    let mut command = Command::new("ci")
        .bin_name("cargo ci")
        .about("Builds, verifies and tests the faiss wheels: pinned, reproducible, on any x86_64 Linux machine with Rust and Python.")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .help_template(TEMPLATE)
        .before_help(overview())
        .after_help(EXIT_CODES)
        .max_term_width(120);
    for option in globals() {
        command = command.arg(option.global(true).help_heading("Everywhere"));
    }
    for function in functions() {
        command = command.subcommand(subcommand(function));
    }
    command
}

fn globals() -> [Arg; 4] {
    [
        Arg::new("log-format")
            .long("log-format")
            .value_name("FORMAT")
            .value_parser(PossibleValuesParser::new(["text", "json"]))
            .default_value("text")
            .help("How progress and failures are told on standard error"),
        Arg::new("color")
            .long("color")
            .value_name("WHEN")
            .value_parser(PossibleValuesParser::new(["auto", "always", "never"]))
            .default_value("auto")
            .help("Colour; auto is: on a terminal, unless NO_COLOR is set"),
        Arg::new("cache")
            .long("cache")
            .value_name("DIR")
            .value_parser(value_parser!(PathBuf))
            .help("Where downloads and finished steps are kept [default: $XDG_CACHE_HOME/faiss-rs]"),
        Arg::new("root")
            .long("root")
            .value_name("DIR")
            .value_parser(value_parser!(PathBuf))
            .help("The checkout to work on [default: the one around the current folder]"),
    ]
}

/// All functions under the headings of their groups, in lines that a terminal of 80 columns does not break.
fn overview() -> String {
    const COLUMNS: usize = 80;
    let width = functions().map(|function| function.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for group in [Group::Wheels, Group::Tests, Group::Look, Group::Release, Group::House] {
        let _ = writeln!(text, "{}:", group.heading());
        for function in functions().filter(|function| function.group == group) {
            let mut line = format!("  {:<width$} ", function.name);
            for word in function.about.split(' ') {
                if line.len() + 1 + word.len() > COLUMNS {
                    let _ = writeln!(text, "{line}");
                    line = " ".repeat(width + 3);
                }
                line = line + " " + word;
            }
            let _ = writeln!(text, "{line}");
        }
        text.push('\n');
    }
    text
}

fn subcommand(function: &Function) -> Command {
    let mut command = Command::new(function.name).about(function.about);
    if !function.more.is_empty() {
        command = command.after_help(unwrapped(function.more));
    }
    for argument in function.arguments {
        command = command.arg(arg(argument));
    }
    command
}

/// Joins the lines of each paragraph, since clap wraps them to the terminal's width. Indented lines stay as they are, and so
/// do those before them.
fn unwrapped(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        let ends = line.is_empty()
            || line.starts_with(' ')
            || lines.peek().is_none_or(|next| next.is_empty() || next.starts_with(' '));
        out.push(if ends { '\n' } else { ' ' });
    }
    out.trim_end().to_owned()
}

fn arg(argument: &Argument) -> Arg {
    let mut arg = Arg::new(argument.name).help(argument.about).required(argument.required);
    if !argument.positional {
        arg = arg.long(argument.name);
    }
    if let Some(default) = argument.default {
        arg = arg.default_value(default);
    }
    arg = match argument.ty {
        Type::Flag => return arg.action(ArgAction::SetTrue),
        Type::Number => arg.value_name("N").value_parser(value_parser!(u32).range(1..)),
        // Which there are is said by versions.toml, which is not read yet.
        Type::Major => arg.value_name("N"),
        Type::Text(name) => arg.value_name(name),
        Type::Path | Type::File | Type::Secret => arg.value_name("PATH").value_hint(clap::ValueHint::AnyPath),
        Type::Choice(choices) => arg.value_name("WHICH").value_parser(PossibleValuesParser::new(choices)),
    };
    if argument.list {
        arg = arg.action(ArgAction::Append);
        if argument.positional {
            arg = arg.num_args(1..);
        } else {
            arg = arg.value_delimiter(',');
        }
    }
    arg
}

/// The function that was called, and its values.
pub fn chosen(matches: &ArgMatches) -> Result<(&'static Function, Values)> {
    let named = matches.subcommand().and_then(|(name, matches)| {
        let function = functions().find(|function| function.name == name)?;
        Some((function, matches))
    });
    let Some((function, matches)) = named else {
        return Err(Failure::usage("No function was named.", "`cargo ci --help` lists them."));
    };
    let mut values = Values::default();
    for argument in function.arguments {
        let texts: Vec<String> = match argument.ty {
            Type::Flag => matches.get_flag(argument.name).then(|| "true".to_owned()).into_iter().collect(),
            Type::Number => {
                matches.get_many::<u32>(argument.name).into_iter().flatten().map(ToString::to_string).collect()
            }
            _ => matches.get_many::<String>(argument.name).into_iter().flatten().cloned().collect(),
        };
        values.set(argument.name, texts);
    }
    Ok((function, values))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_commands_are_well_formed() {
        super::command().debug_assert();
    }
}
