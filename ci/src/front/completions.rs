//! completions: a function of the command line alone, since that is what it completes. People type `cargo ci`, so each script
//! adds to the completions of cargo.

use clap::Command;
use clap_complete::Shell;

use ci_step::failure::Result;

use super::command::command;
use crate::api::table::{Caching, Function, Group, Served, Type, Values, argument};

pub static ROW: Function = Function {
    name: "completions",
    group: Group::House,
    about: "Print completions of `cargo ci` for a shell",
    more: "\
They add to cargo's own (`rustup completions SHELL cargo`), and so are read after those:
  bash  source <(cargo ci completions bash)       in ~/.bashrc
  zsh   source <(cargo ci completions zsh)        in ~/.zshrc, after compinit
  fish  cargo ci completions fish | source        in ~/.config/fish/config.fish

These lines start cargo in each new shell; a file that they are written to once does as well.",
    arguments: &[argument("shell", Type::Choice(&["bash", "fish", "zsh"]), "The shell that they are for")
        .positional()
        .required()],
    caching: Caching::Never,
    checkout: false,
    served: Served::No,
    run: |_, values| Box::pin(completions(values)),
};

async fn completions(values: &Values) -> Result<()> {
    let text = match values.text("shell") {
        Some("fish") => fish(),
        Some("zsh") => zsh(),
        _ => bash(),
    };
    print!("{text}");
    Ok(())
}

fn generated(shell: Shell, mut command: Command, name: &str) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The function for a program `ci`, without the lines that register it: those begin with `end`.
fn functions(shell: Shell, end: &str) -> String {
    let script = generated(shell, command(), "ci");
    script.split(end).next().unwrap_or_default().trim_end().to_owned()
}

/// The line as if `ci` were the program; before that word, and for all other commands, cargo's own function is asked.
const BASH: &str = r#"
_cargo_with_ci() {
    if [[ ${COMP_CWORD} -gt 1 && ${COMP_WORDS[1]} == ci ]]; then
        local words=(ci "${COMP_WORDS[@]:2}") place=$((COMP_CWORD - 1))
        local COMP_WORDS=("${words[@]}") COMP_CWORD=${place}
        _ci ci "$2" "$3"
    elif declare -F _cargo >/dev/null; then
        _cargo "$@"
    fi
}

complete -F _cargo_with_ci -o bashdefault -o default cargo
"#;

fn bash() -> String {
    functions(Shell::Bash, "\nif [[ \"${BASH_VERSINFO[0]}\"") + "\n" + BASH
}

/// cargo's function calls `_cargo-NAME` for a command that it does not know.
const ZSH: &str = r#"
_cargo-ci() {
    _ci "$@"
}
"#;

fn zsh() -> String {
    let script = functions(Shell::Zsh, "\nif [ \"$funcstack[1]\"");
    script.trim_start_matches("#compdef ci").trim_start().to_owned() + "\n" + ZSH
}

/// fish adds up all that is said of cargo, so that only what is said of `ci` may be in it.
fn fish() -> String {
    let cargo = Command::new("cargo").disable_help_flag(true).subcommand(command().name("ci").bin_name("ci"));
    let script = generated(Shell::Fish, cargo, "cargo").replace("__fish_cargo_", "__fish_cargo_ci_");
    let lines = script.lines().filter(|line| !line.contains("__fish_cargo_ci_needs_command\" -f -a \"help\""));
    lines.fold(String::new(), |all, line| all + line + "\n")
}
