//! What went wrong, as a person reads it: one sentence of what happened, one of what to do, and the exit code.

use std::fmt;
use std::io;
use std::path::Path;

/// The reason why a command ends without success. Its number is the exit code, as `ci --help` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A test or a check failed, or two builds differ.
    Check = 1,
    /// The command line or versions.toml asks for something that does not exist.
    Usage = 2,
    /// A step of the build failed.
    Build = 3,
    /// This machine lacks something: Python, network, disk space, a permission.
    Machine = 4,
    /// Ctrl-C, or the signal that asks a program to end.
    Interrupted = 130,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    pub kind: Kind,
    pub what: String,
    pub todo: String,
    /// The end of a log, or another program's own words.
    pub log: Option<String>,
    /// What was running in a container of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub during: Option<Box<During>>,
}

/// A step of a plan, or the tests of a wheel, as an engine ran it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct During {
    pub step: String,
    pub command: String,
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn new(kind: Kind, what: impl Into<String>, todo: impl Into<String>) -> Failure {
        Failure { kind, what: what.into(), todo: todo.into(), log: None, during: None }
    }

    pub fn check(what: impl Into<String>, todo: impl Into<String>) -> Failure {
        Failure::new(Kind::Check, what, todo)
    }

    pub fn usage(what: impl Into<String>, todo: impl Into<String>) -> Failure {
        Failure::new(Kind::Usage, what, todo)
    }

    pub fn build(what: impl Into<String>, todo: impl Into<String>) -> Failure {
        Failure::new(Kind::Build, what, todo)
    }

    pub fn machine(what: impl Into<String>, todo: impl Into<String>) -> Failure {
        Failure::new(Kind::Machine, what, todo)
    }

    pub fn interrupted() -> Failure {
        Failure::new(Kind::Interrupted, "Interrupted.", "Run the same command again: finished steps are kept.")
    }

    pub fn with_log(mut self, log: impl Into<String>) -> Failure {
        let log = log.into();
        self.log = (!log.trim().is_empty()).then_some(log);
        self
    }

    /// The same for a path that the command line names: that it does not exist is a matter of usage.
    pub fn named<'a>(action: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Failure + 'a {
        move |error| match error.kind() {
            io::ErrorKind::NotFound => {
                Failure::usage(format!("There is no file or folder {}.", path.display()), "Check the path.")
            }
            _ => Failure::io(action, path)(error),
        }
    }

    /// Adapts an I/O error: `.map_err(Failure::io("cannot write", path))`.
    pub fn io<'a>(action: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Failure + 'a {
        move |error| {
            let todo = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "Free some space (`cargo ci clean --all` removes what can be made again) and run the same command again."
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "Choose a folder that you may write to, or change its permissions."
                }
                io::ErrorKind::NotFound => "Check the path.",
                _ => "Check the disk and the path, then run the same command again.",
            };
            Failure::machine(format!("{} {}: {error}.", capital(action), path.display()), todo)
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(log) = &self.log {
            writeln!(f, "{}", log.trim_end())?;
        }
        write!(f, "{}\n{}", self.what, self.todo)
    }
}

impl std::error::Error for Failure {}
