//! The pipeline as a Dagger module: the same program, started by an engine, serves the same table of functions that the
//! command line is made from.
//!
//! `table` turns that table into the module's types; `functions` answers calls with the engine in `engine`;
//! `test` runs tests of wheels; `wheels` is the object that a build can be asked further things of; `checks` is what
//! `dagger check` runs.

mod checks;
mod functions;
mod table;
mod test;
mod wheels;

use std::process::ExitCode;

pub use table::module;

/// What the SDK starts this program with.
pub const ARGUMENT: &str = "dagger";

/// Answers the call of the engine that started this program.
pub fn main() -> ExitCode {
    dagger_module::serve(&module())
}
