//! The pipeline as a Dagger module: `module` serves the table of functions that the command line is made from, `engine` runs
//! plans in containers. All of Dagger's API is here; the crates below know nothing of it.

pub mod engine;
pub mod module;
