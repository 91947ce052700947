//! The pipeline that builds, verifies and tests the `faiss` wheels.
//!
//! `versions` and `lock` say what is pinned, `matrix` and `plan` turn that into a frozen list of steps without touching
//! anything, `engine` runs the list, `steps` holds what each step does and `store` keeps what they made. `functions` is
//! what a person asks for, `cli` the command line of it, `module` the same for a Dagger engine. `wheel` writes archives and `audit` opens finished ones; neither
//! knows of plans or engines.

pub mod audit;
pub mod cli;
pub mod describe;
pub mod digest;
pub mod engine;
pub mod expect;
pub mod failure;
pub mod functions;
pub mod lock;
pub mod matrix;
pub mod module;
pub mod plan;
pub mod python;
pub mod steps;
pub mod store;
pub mod versions;
pub mod wheel;
