//! Write a [Dagger](https://dagger.io) module in Rust.
//!
//! A module is a table: objects with their functions, arguments, docs and defaults. [`serve`] answers the engine with it,
//! both when the engine asks which functions there are and when it wants one called.
//!
//! ```no_run
//! use dagger_module::{Arg, Call, Error, Function, Module, Object, Type, Value};
//!
//! async fn hello(call: Call) -> Result<Value, Error> {
//!     let name: String = call.arg("name")?;
//!     Ok(format!("Hello, {name}!").into())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let hello = Function::new("hello", "Says hello.", Type::String, hello)
//!         .arg(Arg::new("name", Type::String, "Whom to greet.").default("world"));
//!     dagger_module::serve(&Module::new("Greets.", Object::new("Greeter", "Greets.").function(hello)))
//! }
//! ```
//!
//! `table` holds the types of that table, `register` turns them into the engine's type definitions, `call` runs a function
//! and `answer` sends back what it gave. The engine's API is `dagger-sdk`'s, typed: a function finds its root in
//! [`Call::dagger`], and `client` connects it. The feature `fake-engine` has an engine for tests that holds every operation
//! against the schema of a release.

mod answer;
mod call;
mod client;
mod error;
#[cfg(feature = "fake-engine")]
pub mod fake;
mod register;
mod table;

pub use call::{Call, serve, serve_in};
pub use client::{connect, from_env};
pub use dagger_sdk;
pub use error::Error;
pub use serde_json::{Map, Value, json};
pub use table::{Arg, Cache, Enum, Field, Function, Handler, Member, Module, Object, Type};
