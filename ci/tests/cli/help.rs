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

/// Called where there is no checkout.
fn completions(shell: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let completions = said(program(&["completions", shell]).current_dir(&folder), folder.path());
    assert_eq!(completions.code, 0, "{completions}");
    completions.stdout
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "fish", "zsh"] {
        let text = completions(shell);
        for word in ["build-gpu-wheels", "cuda-major", "reproduce"] {
            assert!(text.contains(word), "the completions for {shell} lack {word}");
        }
    }
    assert!(completions("zsh").contains("\n_cargo-ci() {\n    _ci \"$@\"\n}\n"));
    let fish = completions("fish");
    assert!(
        fish.lines().filter(|line| line.starts_with("complete ")).all(|line| line.starts_with("complete -c cargo -n "))
    );
    assert_eq!(say(&["completions", "tcsh"]).code, 2);
}

/// What bash offers after these words, where cargo has completions of its own.
#[test]
fn bash_completes_cargo_ci() {
    let script = "_cargo() { COMPREPLY=(clippy); }\nsource /dev/stdin <<< \"$SCRIPT\"\n\
        offers() { COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)); COMPREPLY=()\n\
        _cargo_with_ci cargo \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; echo \"${COMPREPLY[*]}\"; }\n\
        complete -p cargo; offers cargo cl; offers cargo ci re; offers cargo ci build-gpu-wheels --cuda; offers cargo test ''\n";
    let output = std::process::Command::new("bash").args(["-c", script]).env("SCRIPT", completions("bash")).output();
    let Ok(output) = output else {
        println!("skipped: bash completes cargo ci: there is no bash");
        return;
    };
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r"
    complete -o bashdefault -o default -F _cargo_with_ci cargo
    clippy
    reproduce rebuild report
    --cuda-major
    clippy
    ");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn the_version_is_that_of_the_crates() {
    assert_eq!(say(&["--version"]).stdout, format!("ci {}\n", env!("CARGO_PKG_VERSION")));
}
