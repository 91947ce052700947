//! The pipeline that plans, builds, verifies and tests the `faiss` wheels. What one step does is in the crate `ci-step`.
//!
//! Each folder sees those before it: `pins` says what is pinned and what a command asks for; `plan` turns that into a
//! frozen list of steps without touching anything; `run` runs the list on this machine, or says what would run; `api` is
//! what a person asks for, one file a function, with the table of them; `front` is the command line made from that table.
//! The crate `ci-dagger` makes a Dagger module from the same table, and runs plans in containers.

pub mod api;
pub mod front;
pub mod pins;
pub mod plan;
pub mod run;
