//! Calls the finished program as a person does, and compares what it says, leaves behind and ends with.
//!
//! Most tests work on a small checkout that `support` writes, without a network, a compiler or the usual cache. Those of
//! `toolchain`, `hermetic` and `killed` work on a copy of this checkout and with what a build has downloaded; where that is missing they
//! say so.

mod clean;
mod failures;
mod help;
mod hermetic;
mod killed;
mod locks;
mod plans;
mod release;
mod support;
mod toolchain;
mod versions;
