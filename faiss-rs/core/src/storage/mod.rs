//! How vectors and codes lie in memory. Sees base only.

pub mod codes;
pub mod direct_map;
pub mod lists;
pub mod lists_methods;
