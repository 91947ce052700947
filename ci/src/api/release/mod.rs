//! From finished wheels to an index that anybody can install from, and back: what is said of the wheels is proven before
//! anything is sent, and again from what the index has.
//!
//! `candidates` are the wheels of a release with what vouches for each; `proof` is what the tests on a GPU leave; `index` is
//! a package index, which uv alone speaks to; `publish`, `next`, `rebuild` and `page` are the functions, one file each;
//! `rehearsal` goes the whole way on an index of this machine, and breaks each thing once. Sees all of `api`.

pub mod candidates;
pub mod index;
pub mod next;
pub mod page;
pub mod proof;
pub mod publish;
pub mod rebuild;
pub mod rehearsal;
