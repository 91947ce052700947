//! Help, completions and the version.

use crate::support::{program, said};
use std::path::Path;

fn say(arguments: &[&str]) -> crate::support::Said {
    said(&mut program(arguments), Path::new("/nowhere"))
}

#[test]
fn the_help_of_the_program() {
    let help = say(&["--help"]);
    assert_eq!(help.code, 0);
    insta::assert_snapshot!(help.stdout);
}

#[test]
fn the_help_of_every_function() {
    for function in ci::front::functions() {
        let help = say(&[function.name, "--help"]);
        assert_eq!(help.code, 0, "{help}");
        insta::assert_snapshot!(format!("help_{}", function.name), help.stdout);
    }
}

#[test]
fn no_line_of_the_help_is_broken_by_the_terminal() {
    let overview = |columns: &str| {
        let help = said(program(&["--help"]).env("COLUMNS", columns), Path::new("/nowhere")).stdout;
        let (start, end) = (help.find("Make wheels:").unwrap(), help.find("Options:").unwrap());
        help[start..end].to_owned()
    };
    assert_eq!(overview("80"), overview("120"));
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let completions = say(&["completions", shell]);
        assert_eq!(completions.code, 0, "{completions}");
        for word in ["build-gpu-wheels", "cuda-major", "reproduce"] {
            assert!(completions.stdout.contains(word), "the completions for {shell} lack {word}");
        }
    }
    assert_eq!(say(&["completions", "tcsh"]).code, 2);
}

#[test]
fn the_version_is_that_of_the_crates() {
    assert_eq!(say(&["--version"]).stdout, format!("ci {}\n", env!("CARGO_PKG_VERSION")));
}
