//! The pipeline that builds, verifies and tests the `faiss` wheels.
//!
//! `versions` and `lock` say what is pinned, `matrix` and `plan` turn that into a frozen list of steps without touching
//! anything, `engine` runs the list, `steps` holds what each step does. `wheel` writes archives and `audit` opens finished
//! ones; neither knows of plans or engines. `main.rs` is only the command line's doorway into `cli`.

pub mod audit;
pub mod wheel;
