//! `index_factory`: an index from its description, and parameters by name. What a part of a description makes, the row of its type says
//! ([`Grammar`]).
//!
//! A description is a list of parts between commas: transforms, then an index (`Flat`, `PQ8`, or `IVF100,` and how its lists hold vectors),
//! then what goes around it (`RFlat`, `IDMap`).

mod parameters;

use crate::base::object::cast_mut;
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::{Around, Coarse, Grammar, number, number_after};
use crate::index::Index;
use crate::index::ivf::IndexIVF;
use crate::index::multi_index::MultiIndexQuantizer;
use crate::index::pretransform::IndexPreTransform;
use crate::registry::REGISTRY;
use crate::transform::VectorTransform;

pub use parameters::ParameterSpace;
pub(crate) use parameters::ROW as PARAMETER_SPACE;

/// How deep descriptions may be nested.
const MAX_DEPTH: usize = 16;

/// The index that `description` describes, over `d`-dimensional vectors; it may have to be trained.
pub fn index_factory(d: i64, description: &str, metric: MetricType) -> Result<Handle> {
    parse(d, description, metric, 0).map(|index| index.object())
}

fn handle(handle: Handle) -> Result<Shared<dyn Index>> {
    handle.view()
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
        let trailing = around(last).filter(|(kind, _)| kind.trails);
        let leading = around(first).filter(|(kind, nested)| kind.leads && nested.is_none());
        // ID maps in front go around all that follows, one of one way not around one of both ways behind; other things go around what is before those
        // behind.
        let outermost = |kind: &Around| match &trailing {
            Some((last, _)) => kind.trails && (kind.name, last.name) != ("IDMap", "IDMap2"),
            None => true,
        };
        if let Some((kind, _)) = leading.filter(|(kind, _)| outermost(kind)) {
            return handle((kind.make)(again(rest, d)?, None)?);
        }
        if let Some((kind, nested)) = trailing {
            let nested = nested.map(|nested| parse(d, nested, metric, depth + 1)).transpose()?;
            return handle((kind.make)(again(before, d)?, nested)?);
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
            return handle(Handle::new(index));
        }
    }
    if let Some(graph) = first.strip_prefix("HNSW") {
        return self::graph(d, graph, rest, metric)?.ok_or_else(|| unknown(description));
    }
    if let Some(lists) = first.strip_prefix("IVF") {
        return inverted_file(d, lists, rest, metric, depth)?.ok_or_else(|| unknown(description));
    }
    if let (Some(nbits), 1 | 2) = (number_after(first, "IMI2x"), rest.len()) {
        return multi_index(d, nbits as usize, &rest.join(","), metric)?.ok_or_else(|| unknown(description));
    }
    // The storage of such a graph may stand behind a comma too, and the codes of two layers do.
    let joint = match rest.len() {
        1 if first.starts_with("NSG") => Some("_"),
        1 if first.starts_with("Residual") => Some(","),
        _ => None,
    };
    let joined = joint.map(|joint| parts.join(joint)).unwrap_or_default();
    let (first, rest) = if joined.is_empty() { (first, rest) } else { (joined.as_str(), &rest[1..]) };
    if !rest.is_empty() {
        return Err(unknown(description));
    }
    let made = grammars().find_map(|grammar| match grammar {
        Grammar::Index(make) => make(d, first, metric).transpose(),
        _ => None,
    });
    handle(made.unwrap_or_else(|| Err(unknown(description)))?)
}

fn grammars() -> impl Iterator<Item = Grammar> {
    REGISTRY.iter().filter_map(|row| row.grammar)
}

/// A part that goes around an index, and the description inside it.
fn around(part: &str) -> Option<(Around, Option<&str>)> {
    grammars().find_map(|grammar| match grammar {
        Grammar::Around(kind) if kind.nested => Some((kind, Some(inside(part, kind.name)?))),
        Grammar::Around(kind) if part == kind.name => Some((kind, None)),
        _ => None,
    })
}

/// A transform and the dimension after it.
fn transform(part: &str, d: i64) -> Result<Option<(Shared<dyn VectorTransform>, i64)>> {
    let made = grammars().find_map(|grammar| match grammar {
        Grammar::Transform(make) => make(d, part).transpose(),
        _ => None,
    });
    let Some(made) = made.transpose()? else { return Ok(None) };
    let made: Shared<dyn VectorTransform> = made.view()?;
    let d_out = i64::from(made.read().base().d_out);
    Ok(Some((made, d_out)))
}

/// What `graph` (after `HNSW`) and the part behind it describe: the links a vector, 32 where no number is there, and the storage.
fn graph(d: i64, graph: &str, rest: &[&str], metric: MetricType) -> Result<Option<Shared<dyn Index>>> {
    let end = graph.find(|c: char| !c.is_ascii_digit()).unwrap_or(graph.len());
    let (links, storage) = (&graph[..end], &graph[end..]);
    let storage = match (storage.strip_prefix('_'), rest) {
        (Some(storage), []) => storage,
        (None, []) if storage.is_empty() => "",
        (None, [part]) if storage.is_empty() => part,
        _ => return Ok(None),
    };
    let m = if links.is_empty() { 32 } else { number(links).unwrap_or(i64::MAX) };
    let m = i32::try_from(m).map_err(|_| Error::overflow("the number of links is out of range for int"))?;
    let made = grammars().find_map(|grammar| match grammar {
        Grammar::Graph(make) => make(d, m, storage, metric).transpose(),
        _ => None,
    });
    made.transpose()?.map(handle).transpose()
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
    let (count, graph) = match count.find("_HNSW").or_else(|| count.find("_NSG")) {
        Some(at) => (&count[..at], Some(&count[at + 1..])),
        None => (count, None),
    };
    // A graph that is a quantizer is one of full vectors; the links of an NSG are not left open there.
    if graph.is_some_and(|graph| {
        nested.is_some()
            || graph == "NSG"
            || graph.trim_start_matches(|c: char| c.is_ascii_uppercase()).chars().any(|c| !c.is_ascii_digit())
    }) {
        return Ok(None);
    }
    // What is in the lists may be of two parts: a transform, and the bits that it gives.
    let (Some(nlist), 1 | 2) = (list_number(count), rest.len()) else { return Ok(None) };
    let quantizer = parse(d, nested.or(graph).unwrap_or("Flat"), metric, depth + 1)?;
    let over = Coarse { quantizer, d, nlist: nlist as usize, metric };
    // A quantizer that is not flat gets its centroids when they are known; one whose centroids are sums trains by itself.
    let trains_alone = match over.quantizer.read().info() {
        info if info.is_a("AdditiveCoarseQuantizer") => 1,
        info if info.is_a("IndexFlat") => 0,
        _ => 2,
    };
    over_lists(&over, &rest.join(","), trains_alone)
}

/// What `IMI2x8` and the part behind it describe.
fn multi_index(d: i64, nbits: usize, part: &str, metric: MetricType) -> Result<Option<Shared<dyn Index>>> {
    Error::check(metric == MetricType::L2, "MultiIndex not implemented for inner prod search")?;
    let quantizer = MultiIndexQuantizer::new(d, 2, nbits)?;
    // It has all its centroids once it is trained, which it does by itself.
    let over = Coarse { quantizer: Shared::new(quantizer), d, nlist: 1 << (2 * nbits), metric };
    over_lists(&over, part, 1)
}

/// The inverted file that a part describes.
fn over_lists(over: &Coarse, part: &str, trains_alone: u8) -> Result<Option<Shared<dyn Index>>> {
    let made = grammars().find_map(|grammar| match grammar {
        Grammar::InvertedFile(make) => make(over, part).transpose(),
        _ => None,
    });
    let Some(made) = made.transpose()? else { return Ok(None) };
    let index = handle(made)?;
    if let Some(ivf) = cast_mut::<IndexIVF>(&mut *index.write()) {
        (ivf.own_fields, ivf.quantizer_trains_alone) = (true, trains_alone);
    }
    Ok(Some(index))
}
