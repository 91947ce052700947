//! How vectors and codes lie in memory. Sees base only.

pub mod codes;
