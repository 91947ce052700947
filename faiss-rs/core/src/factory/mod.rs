//! `index_factory`: an index from its description, and parameters by name. Sees every type.
//!
//! A description is a list of parts between commas: transforms, then an index (`Flat`, `PQ8`, or `IVF100,` and how its lists hold vectors),
//! then what goes around it (`RFlat`, `IDMap`).

mod parameters;

use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::index::Index;
use crate::index::flat::IndexFlat;
use crate::index::id_map::{IndexIDMap, IndexIDMap2};
use crate::index::ivf::flat::IndexIVFFlat;
use crate::index::ivf::pq::IndexIVFPQ;
use crate::index::pq::IndexPQ;
use crate::index::pretransform::IndexPreTransform;
use crate::index::refine::{IndexRefine, IndexRefineFlat};
use crate::transform::VectorTransform;
use crate::transform::linear::RandomRotationMatrix;
use crate::transform::opq::OPQMatrix;
use crate::transform::pca::PCAMatrix;
use crate::transform::simple::{NormalizationTransform, RemapDimensionsTransform};

pub use parameters::ROW as PARAMETER_SPACE;

/// Beginnings of parts that Faiss knows and this crate does not have yet.
const NOT_HERE: &[&str] = &[
    "HNSW",
    "NSG",
    "NNDescent",
    "SQ",
    "LSH",
    "ITQ",
    "IMI",
    "RaBitQ",
    "Residual",
    "RQ",
    "LSQ",
    "PRQ",
    "PLSQ",
    "ZnLattice",
    "Z",
    "FlatDedup",
    "HR",
    "LSHr",
];

/// How deep descriptions may be nested.
const MAX_DEPTH: usize = 16;

/// The index that `description` describes, over `d`-dimensional vectors; it may have to be trained.
pub fn index_factory(d: i64, description: &str, metric: MetricType) -> Result<Handle> {
    parse(d, description, metric, 0).map(Handle::Index)
}

fn handle(handle: Handle) -> Result<Shared<dyn Index>> {
    match handle {
        Handle::Index(index) => Ok(index),
        _ => Err(Error::type_error("an index is wanted here")),
    }
}

fn unknown(description: &str) -> Error {
    Error::failed("", format!("could not parse index string {description}"))
}

/// The parts between commas that are in no parentheses.
fn split(description: &str) -> Result<Vec<&str>> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, c) in description.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or_else(|| unknown(description))?,
            ',' if depth == 0 => {
                parts.push(&description[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&description[start..]);
    if depth > 0 { Err(unknown(description)) } else { Ok(parts) }
}

/// The number that a text is, all of it.
fn number(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

/// A number of lists, which may end in k or M.
fn list_number(text: &str) -> Option<i64> {
    match (text.strip_suffix('k'), text.strip_suffix('M')) {
        (Some(n), _) => number(n)?.checked_mul(1 << 10),
        (_, Some(n)) => number(n)?.checked_mul(1 << 20),
        _ => number(text),
    }
}

/// What is inside `name(...)`.
fn inside<'a>(part: &'a str, name: &str) -> Option<&'a str> {
    part.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
}

fn parse(d: i64, description: &str, metric: MetricType, depth: usize) -> Result<Shared<dyn Index>> {
    if depth > MAX_DEPTH {
        return Err(Error::value("the description is nested too deeply"));
    }
    let parts = split(description)?;
    let again = |parts: &[&str], d: i64| parse(d, &parts.join(","), metric, depth + 1);
    let (first, rest) = (parts[0], &parts[1..]);
    if let Some((last, before)) = parts.split_last().filter(|(_, before)| !before.is_empty()) {
        if let Some(around) = around(last, metric, d, depth, || again(before, d))? {
            return Ok(around);
        }
        if let "IDMap" | "IDMap2" = first {
            return id_map(first, again(rest, d)?);
        }
        if let Some((transform, d_out)) = transform(first, d)? {
            // Transforms that follow each other are one chain.
            let (mut chain, mut d_out, mut rest) = (vec![transform], d_out, rest);
            while let [next, behind @ ..] = rest
                && !behind.is_empty()
                && let Some((transform, d_next)) = self::transform(next, d_out)?
            {
                chain.push(transform);
                (d_out, rest) = (d_next, behind);
            }
            let mut index = IndexPreTransform::new(again(rest, d_out)?);
            chain.into_iter().rev().try_for_each(|transform| index.prepend_transform(transform))?;
            index.own_fields = true;
            return handle(Handle::index(index));
        }
    }
    if let Some(lists) = first.strip_prefix("IVF") {
        return inverted_file(d, lists, rest, metric, depth)?.ok_or_else(|| missing(description, rest));
    }
    if !rest.is_empty() {
        return Err(missing(description, &parts));
    }
    if first == "Flat" {
        return handle(Handle::index(IndexFlat::new(d, metric)?));
    }
    if let Some(pq) = PqPart::parse(first) {
        let mut index = IndexPQ::new(d, pq.m, pq.nbits, metric)?;
        index.do_polysemous_training = pq.polysemous;
        return handle(Handle::index(index));
    }
    Err(missing(description, &parts))
}

/// The error for a description with a part that is not here, or no part of Faiss at all.
fn missing(description: &str, parts: &[&str]) -> Error {
    match parts.iter().find(|part| NOT_HERE.iter().any(|known| part.starts_with(known))) {
        Some(part) => Error::not_implemented(format!("'{part}' of the index description '{description}'")),
        None => unknown(description),
    }
}

fn id_map(name: &str, index: Shared<dyn Index>) -> Result<Shared<dyn Index>> {
    let mut map = IndexIDMap::new(index)?;
    map.own_fields = true;
    handle(if name == "IDMap" { Handle::index(map) } else { Handle::index(IndexIDMap2::from(map)) })
}

/// An index that goes around the one before it.
fn around(
    part: &str,
    metric: MetricType,
    d: i64,
    depth: usize,
    inner: impl FnOnce() -> Result<Shared<dyn Index>>,
) -> Result<Option<Shared<dyn Index>>> {
    if let "IDMap" | "IDMap2" = part {
        return id_map(part, inner()?).map(Some);
    }
    if part == "RFlat" {
        let mut index = IndexRefineFlat::new(inner()?, &[])?;
        index.refine.own_fields = true;
        return handle(Handle::index(index)).map(Some);
    }
    if let Some(refine) = inside(part, "Refine") {
        let refine = parse(d, refine, metric, depth + 1)?;
        let mut index = IndexRefine::new(inner()?, refine)?;
        (index.own_fields, index.own_refine_index) = (true, true);
        return handle(Handle::index(index)).map(Some);
    }
    Ok(None)
}

/// A transform and the dimension after it.
fn transform(part: &str, d: i64) -> Result<Option<(Shared<dyn VectorTransform>, i64)>> {
    let after = |name: &str| part.strip_prefix(name).and_then(number);
    let made = if let Some(d_out) = after("PCAWR") {
        Handle::transform(PCAMatrix::new(d, d_out, -0.5, true)?)
    } else if let Some(d_out) = after("PCAW") {
        Handle::transform(PCAMatrix::new(d, d_out, -0.5, false)?)
    } else if let Some(d_out) = after("PCAR") {
        Handle::transform(PCAMatrix::new(d, d_out, 0.0, true)?)
    } else if let Some(d_out) = after("PCA") {
        Handle::transform(PCAMatrix::new(d, d_out, 0.0, false)?)
    } else if part == "RR" {
        Handle::transform(RandomRotationMatrix::new(d, d)?)
    } else if let Some(d_out) = after("RR") {
        Handle::transform(RandomRotationMatrix::new(d, d_out)?)
    } else if part == "L2norm" {
        Handle::transform(NormalizationTransform::new(d, 2.0)?)
    } else if let Some(d_out) = after("Pad") {
        Handle::transform(RemapDimensionsTransform::new(d, d_out.max(d), false)?)
    } else if let Some(sizes) = part.strip_prefix("OPQ") {
        let (m, d_out) = sizes.split_once('_').map_or((sizes, None), |(m, d_out)| (m, Some(d_out)));
        let (Some(m), Some(d_out)) = (number(m), d_out.map_or(Some(d), number)) else { return Ok(None) };
        Handle::transform(OPQMatrix::new(d, m, d_out)?)
    } else {
        return Ok(None);
    };
    let Handle::Transform(made) = made else { return Ok(None) };
    let d_out = i64::from(made.read().base().d_out);
    Ok(Some((made, d_out)))
}

struct PqPart {
    m: usize,
    nbits: usize,
    polysemous: bool,
}

impl PqPart {
    /// `PQ8`, `PQ8x6`, `PQ8np`.
    fn parse(part: &str) -> Option<PqPart> {
        let sizes = part.strip_prefix("PQ")?;
        let (sizes, polysemous) = sizes.strip_suffix("np").map_or((sizes, true), |sizes| (sizes, false));
        let (m, nbits) = sizes.split_once('x').unwrap_or((sizes, "8"));
        Some(PqPart { m: number(m)? as usize, nbits: number(nbits)? as usize, polysemous })
    }
}

/// What `lists` (after `IVF`) and the part behind it describe.
fn inverted_file(
    d: i64,
    lists: &str,
    rest: &[&str],
    metric: MetricType,
    depth: usize,
) -> Result<Option<Shared<dyn Index>>> {
    let (count, nested) = match lists.find('(') {
        Some(at) => (&lists[..at], lists[at + 1..].strip_suffix(')')),
        None => (lists, None),
    };
    let (Some(nlist), [codec]) = (list_number(count), rest) else { return Ok(None) };
    let nlist = nlist as usize;
    let quantizer = match nested {
        Some(nested) => parse(d, nested, metric, depth + 1)?,
        None => handle(Handle::index(IndexFlat::new(d, metric)?))?,
    };
    // A quantizer that is not flat gets its centroids when they are known.
    let trains_alone = if nested.is_some() { 2 } else { 0 };
    if *codec == "Flat" {
        let mut index = IndexIVFFlat::new(quantizer, d, nlist, metric, true)?;
        (index.own_fields, index.quantizer_trains_alone) = (true, trains_alone);
        return handle(Handle::index(index)).map(Some);
    }
    let Some(pq) = PqPart::parse(codec) else { return Ok(None) };
    let mut index = IndexIVFPQ::new(quantizer, d, nlist, pq.m, pq.nbits, metric, true)?;
    (index.own_fields, index.quantizer_trains_alone) = (true, trains_alone);
    index.do_polysemous_training = pq.polysemous;
    handle(Handle::index(index)).map(Some)
}
