//! `index_binary_factory`: a binary index from its description.
//!
//! | description | index |
//! |---|---|
//! | `BFlat` | exhaustive search |
//! | `BIVF100`, `BIVF100_HNSW32` | inverted file; the quantizer is exhaustive or a graph |
//! | `BHNSW32` | graph |
//! | `BHash16`, `BHash4x8` | one hash table of 16 bits, four of 8 |
//! | `IDMap,...` and `IDMap2,...`, before or behind one of these | ids of the user's own |

use super::IndexBinary;
use super::flat::IndexBinaryFlat;
use super::hash::IndexBinaryHash;
use super::hnsw::IndexBinaryHNSW;
use super::id_map::{IndexBinaryIDMap, IndexBinaryIDMap2};
use super::ivf::IndexBinaryIVF;
use super::multi_hash::IndexBinaryMultiHash;
use crate::base::{Error, Result, Shared};

/// The binary index that `description` describes, over vectors of `d` bits; it may have to be trained.
pub fn index_binary_factory(d: i64, description: &str, own_invlists: bool) -> Result<Shared<dyn IndexBinary>> {
    let maps = [("IDMap2", true), ("IDMap", false)];
    for (name, both_ways) in maps {
        let inner = match (description.split_once(','), description.rsplit_once(',')) {
            (Some((first, rest)), _) if first == name => rest,
            (_, Some((rest, last))) if last == name => rest,
            _ => continue,
        };
        let index = index_binary_factory(d, inner, own_invlists)?;
        return Ok(if both_ways {
            let mut map = IndexBinaryIDMap2::new(index)?;
            map.own_fields = true;
            Shared::new(map)
        } else {
            Shared::new(IndexBinaryIDMap { own_fields: true, ..IndexBinaryIDMap::new(index)? })
        });
    }
    made(d, description, own_invlists)?
        .ok_or_else(|| Error::failed("index", format!("description {description} did not generate an index")))
}

/// A number at the start of a text, and what follows it.
fn number(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn made(d: i64, description: &str, own_invlists: bool) -> Result<Option<Shared<dyn IndexBinary>>> {
    if description == "BFlat" {
        return Ok(Some(Shared::new(IndexBinaryFlat::new(d)?)));
    }
    if let Some((nlist, rest)) = description.strip_prefix("BIVF").and_then(number) {
        let quantizer: Shared<dyn IndexBinary> = match rest.strip_prefix("_HNSW") {
            Some(m) => graph(d, number(m).map_or(32, |(m, _)| m))?,
            None => Shared::new(IndexBinaryFlat::new(d)?),
        };
        let nlist = usize::try_from(nlist).map_err(|_| Error::overflow("nlist is out of range for size_t"))?;
        let mut index = IndexBinaryIVF::new(quantizer, d, nlist, own_invlists)?;
        index.own_fields = true;
        return Ok(Some(Shared::new(index)));
    }
    if let Some((m, _)) = description.strip_prefix("BHNSW").and_then(number) {
        return graph(d, m).map(Some);
    }
    if let Some((first, rest)) = description.strip_prefix("BHash").and_then(number) {
        return Ok(Some(match rest.strip_prefix('x').and_then(number) {
            Some((b, _)) => Shared::new(IndexBinaryMultiHash::new(d, first, b)?),
            None => Shared::new(IndexBinaryHash::new(d, first)?),
        }));
    }
    Ok(None)
}

/// A graph over binary vectors.
fn graph(d: i64, m: i64) -> Result<Shared<dyn IndexBinary>> {
    let m = i32::try_from(m).map_err(|_| Error::overflow("M is out of range for int"))?;
    Ok(Shared::new(IndexBinaryHNSW::new(d, m)?))
}
