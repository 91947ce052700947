//! What is pinned: `versions` is versions.toml, `lock` is versions.lock, `matrix` what a command asks for, judged against
//! versions.toml. Sees only what finds Pythons and runs pip.

pub mod lock;
pub mod matrix;
pub mod versions;
