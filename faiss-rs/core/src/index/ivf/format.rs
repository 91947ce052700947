//! The parts of files that all inverted files share.

use super::IndexIVF;
use crate::base::{Error, Result, Shared};
use crate::index::{Index, header};
use crate::registry::{self, REGISTRY, read_nested, write_nested};
use crate::storage::direct_map::{self, DirectMap};
use crate::storage::ids::Ids;
use crate::storage::lists::{ArrayInvertedLists, InvertedLists};
use crate::stream::{FourCC, Reader, Writer};

/// A sub-index of a file; `None` for a null one.
pub fn read_index(input: &mut Reader<'_>) -> Result<Option<Shared<dyn Index>>> {
    match read_nested(input)? {
        Some(index) => index.view().map(Some).map_err(|_| Error::failed("", "an index is wanted here")),
        None => Ok(None),
    }
}

pub(crate) fn write_index(index: Option<&Shared<dyn Index>>, out: &mut Writer<'_>) -> Result<()> {
    match index {
        Some(index) => write_nested(&*index.read(), out),
        None => out.fourcc("null"),
    }
}

pub(crate) fn write_header(ivf: &IndexIVF, out: &mut Writer<'_>) -> Result<()> {
    header::write(ivf, out)?;
    out.usize(ivf.nlist)?;
    out.usize(ivf.nprobe)?;
    write_index(ivf.quantizer.as_ref(), out)?;
    write_direct_map(&ivf.direct_map, out)
}

pub(crate) fn read_header(input: &mut Reader<'_>) -> Result<IndexIVF> {
    Ok(read_header_and(input, |_, _| Ok(()))?.0)
}

/// The ids of lists, where files have them in the header.
pub type ListIds = Vec<Vec<i64>>;

/// As [`read_header`], of a type that the oldest files have too. Their codes begin with `Iv`, and they have the lists' ids in the header.
pub fn read_header_of(code: FourCC, input: &mut Reader<'_>) -> Result<(IndexIVF, Option<ListIds>)> {
    let old = code.0.starts_with(b"Iv");
    read_header_and(input, |input, nlist| match old {
        true => (0..nlist).map(|_| input.vec()).collect::<Result<ListIds>>().map(Some),
        false => Ok(None),
    })
}

/// `before_map` reads what is between the quantizer and the direct map.
fn read_header_and<T>(
    input: &mut Reader<'_>,
    before_map: impl FnOnce(&mut Reader<'_>, usize) -> Result<T>,
) -> Result<(IndexIVF, T)> {
    let base = header::read(input)?;
    let (nlist, nprobe) = (input.usize()?, input.usize()?);
    input.check_loop(nlist, "nlist")?;
    let quantizer = read_index(input)?;
    if let Some(quantizer) = &quantizer {
        Error::check(quantizer.read().base().d == base.d, "quantizer->d == d")?;
    }
    let read = before_map(input, nlist)?;
    let direct_map = read_direct_map(input)?;
    Ok((IndexIVF { base, nlist, nprobe, quantizer, own_fields: true, direct_map, ..Default::default() }, read))
}

pub(crate) fn write_direct_map(map: &DirectMap, out: &mut Writer<'_>) -> Result<()> {
    out.u8(map.kind as u8)?;
    out.vec(&map.array)?;
    if map.kind == direct_map::HASHTABLE {
        let mut pairs: Vec<(i64, i64)> = map.hashtable.iter().map(|(id, lo)| (*id, *lo)).collect();
        pairs.sort_unstable();
        out.usize(pairs.len())?;
        for (id, lo) in pairs {
            out.i64(id)?;
            out.i64(lo)?;
        }
    }
    Ok(())
}

pub(crate) fn read_direct_map(input: &mut Reader<'_>) -> Result<DirectMap> {
    let mut map = DirectMap { kind: i32::from(input.u8()?), ..Default::default() };
    let known = (direct_map::NO_MAP..=direct_map::HASHTABLE).contains(&map.kind);
    Error::check(known, "dm->type >= 0 && dm->type < DMT_count")?;
    map.array = input.vec()?;
    if map.kind == direct_map::HASHTABLE {
        let n = input.usize()?;
        let pairs: Vec<i64> = input.elements(n.checked_mul(2).ok_or_else(|| Error::failed("size fits", ""))?)?;
        map.hashtable = pairs.chunks_exact(2).map(|p| (p[0], p[1])).collect();
    }
    Ok(map)
}

/// The lists as their kind has them in files.
pub fn write_lists(ivf: &IndexIVF, out: &mut Writer<'_>) -> Result<()> {
    match &ivf.invlists {
        Some(lists) => write_inverted_lists(&*lists.read(), out),
        None => out.fourcc("il00"),
    }
}

pub(crate) fn write_inverted_lists(lists: &dyn InvertedLists, out: &mut Writer<'_>) -> Result<()> {
    let name = lists.info().name;
    let format = registry::row(lists.info()).and_then(|row| row.format);
    let format = format.ok_or_else(|| {
        let message = format!("write_InvertedLists: lists of the type {name} have no form in files");
        Error::failed("", message)
    })?;
    (format.write)(lists, out)
}

/// Reads the lists into the index, whose code size is known. Their entries are what the index has.
pub fn read_lists(ivf: &mut IndexIVF, input: &mut Reader<'_>) -> Result<()> {
    let Some(lists) = read_inverted_lists(input)? else {
        eprintln!("read_InvertedLists: WARN! inverted lists not stored with IVF object");
        return Ok(());
    };
    take_lists(ivf, lists)
}

/// The lists after such a header. In the oldest files that are the codes of one list after the other; `of_floats`: counted as numbers.
pub fn read_lists_of(ivf: &mut IndexIVF, ids: Option<ListIds>, of_floats: bool, input: &mut Reader<'_>) -> Result<()> {
    let Some(ids) = ids else { return read_lists(ivf, input) };
    let mut lists = ArrayInvertedLists::new(ids.len(), ivf.code_size)?;
    for (list, ids) in ids.into_iter().enumerate() {
        let codes = if of_floats { input.codes_of_words() } else { input.codes() }?;
        lists.set_list(list, Ids::Owned(ids), codes)?;
    }
    take_lists(ivf, Shared::new(lists))
}

/// Lists as they were read, whose entries are what the index has.
pub fn take_lists(ivf: &mut IndexIVF, lists: Shared<dyn InvertedLists>) -> Result<()> {
    {
        let lists = lists.read();
        ivf.check_lists(&*lists)?;
        let entries = (0..ivf.nlist).try_fold(0usize, |sum, list| sum.checked_add(lists.list_size(list)));
        // Vectors that were in no list when they were added are counted all the same.
        let counted = entries.is_some_and(|n| n as u64 <= ivf.ntotal as u64) && ivf.ntotal < i64::MAX >> 8;
        Error::check(counted, "invlists->compute_ntotal() <= ntotal")?;
    }
    (ivf.invlists, ivf.own_invlists) = (Some(lists), true);
    Ok(())
}

/// Lists of whatever kind; `None` where there are none.
pub fn read_inverted_lists(input: &mut Reader<'_>) -> Result<Option<Shared<dyn InvertedLists>>> {
    let code = input.fourcc()?;
    if code.is("il00") {
        return Ok(None);
    }
    let format = REGISTRY.iter().filter_map(|row| row.format).find(|f| f.fourccs.iter().any(|c| code.is(c)));
    let made = format.map(|format| (format.read)(input, code)).transpose()?;
    let unknown = || Error::failed("", format!("read_InvertedLists: unsupported invlist type \"{code}\""));
    made.and_then(|made| made.view().ok()).map(Some).ok_or_else(unknown)
}
