//! Graphs over stored vectors, and searches that follow their links. Sees base, random, distance, selector, stream and the trait of
//! all indexes: a graph knows vectors by number only, and compares them by a [`DistanceComputer`](crate::distance::DistanceComputer), which it
//! gets from its caller or, called from Python, from an index.
//!
//! - `search`: from a vertex to the nearest ones along the links of one level; any graph whose links are slots of vertex numbers
//! - `queue`: the candidates of a search; `visited`: which vertices it has seen; `keys`: what it compares by
//! - `hnsw`: the hierarchical graph, its tables, construction and files; `nsg`: the navigating spreading-out graph; `nn_descent`: nearest
//!   neighbours of all vertices

pub mod hnsw;
pub mod keys;
pub mod nn_descent;
pub mod nsg;
pub mod queue;
pub mod search;
pub mod visited;

pub use hnsw::HNSW;
pub use keys::{Given, Keys};
pub use search::{Links, Stats};
pub use visited::VisitedTable;
