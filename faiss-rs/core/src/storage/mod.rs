//! How vectors and codes lie in memory and in files. Sees base and stream.

pub mod block_lists;
pub mod capped;
pub mod codes;
pub mod direct_map;
pub mod hashtable;
pub mod ids;
pub mod lists;
mod lists_format;
pub mod lists_methods;
pub mod on_disk;
pub mod packer;
pub mod packing;
pub mod panorama;
pub mod stacked;
