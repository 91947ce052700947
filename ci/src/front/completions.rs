//! completions: a function of the command line alone, since that is what it completes.

use clap_complete::Shell;

use ci_step::failure::{Failure, Result};

use super::command::command;
use crate::api::table::{Caching, Function, Group, Served, Type, Values, argument};

pub static ROW: Function = Function {
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
    caching: Caching::Never,
    served: Served::No,
    run: |_, values| Box::pin(completions(values)),
};

async fn completions(values: &Values) -> Result<()> {
    let shell = values.text("shell").unwrap_or_default();
    let shell: Shell = shell.parse().map_err(|_| {
        Failure::usage(format!("Shell \"{shell}\" is not known."), "Known: bash, elvish, fish, powershell, zsh.")
    })?;
    clap_complete::generate(shell, &mut command(), "ci", &mut std::io::stdout());
    Ok(())
}
