//! The parts of files that all inverted files share.

use super::IndexIVF;
use crate::base::{Error, Result, Shared};
use crate::index::{Index, header};
use crate::io::{IO_FLAG_MMAP, IO_FLAG_SKIP_IVF_DATA, read_nested, write_nested};
use crate::storage::direct_map::{self, DirectMap};
use crate::storage::lists::{ArrayInvertedLists, InvertedLists};
use crate::stream::{Reader, Writer};

/// A sub-index of a file; `None` for a null one.
pub fn read_index(input: &mut Reader<'_>) -> Result<Option<Shared<dyn Index>>> {
    match read_nested(input)? {
        Some(index) => index.view().map(Some).map_err(|_| Error::failed("", "an index is wanted here")),
        None => Ok(None),
    }
}

pub fn write_index(index: Option<&Shared<dyn Index>>, out: &mut Writer<'_>) -> Result<()> {
    match index {
        Some(index) => write_nested(&*index.read(), out),
        None => out.fourcc("null"),
    }
}

pub fn write_header(ivf: &IndexIVF, out: &mut Writer<'_>) -> Result<()> {
    header::write(ivf, out)?;
    out.usize(ivf.nlist)?;
    out.usize(ivf.nprobe)?;
    write_index(ivf.quantizer.as_ref(), out)?;
    write_direct_map(&ivf.direct_map, out)
}

pub fn read_header(input: &mut Reader<'_>) -> Result<IndexIVF> {
    let base = header::read(input)?;
    let (nlist, nprobe) = (input.usize()?, input.usize()?);
    input.check_loop(nlist, "nlist")?;
    let quantizer = read_index(input)?;
    if let Some(quantizer) = &quantizer {
        Error::check(quantizer.read().base().d == base.d, "quantizer->d == d")?;
    }
    let direct_map = read_direct_map(input)?;
    Ok(IndexIVF { base, nlist, nprobe, quantizer, own_fields: true, direct_map, ..Default::default() })
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

pub fn write_lists(ivf: &IndexIVF, out: &mut Writer<'_>) -> Result<()> {
    match &ivf.invlists {
        Some(lists) => write_inverted_lists(&*lists.read(), out),
        None => out.fourcc("il00"),
    }
}

pub fn write_inverted_lists(lists: &dyn InvertedLists, out: &mut Writer<'_>) -> Result<()> {
    let nlist = lists.base().nlist;
    out.fourcc("ilar")?;
    out.usize(nlist)?;
    out.usize(lists.base().code_size)?;
    let sizes: Vec<usize> = (0..nlist).map(|list| lists.list_size(list)).collect();
    let filled = sizes.iter().filter(|n| **n > 0).count();
    if filled > nlist / 2 {
        out.fourcc("full")?;
        out.usize(nlist)?;
        sizes.iter().try_for_each(|n| out.usize(*n))?;
    } else {
        out.fourcc("sprs")?;
        out.usize(filled * 2)?;
        for (list, n) in sizes.iter().enumerate().filter(|(_, n)| **n > 0) {
            out.usize(list)?;
            out.usize(*n)?;
        }
    }
    for list in (0..nlist).filter(|list| sizes[*list] > 0) {
        out.bytes(&lists.codes(list))?;
        out.bytes(bytemuck::cast_slice(&lists.ids(list)))?;
    }
    Ok(())
}

/// Reads the lists into the index, whose code size is known.
pub fn read_lists(ivf: &mut IndexIVF, input: &mut Reader<'_>) -> Result<()> {
    let lists = read_inverted_lists(input)?;
    if let Some(lists) = lists {
        ivf.check_lists(&lists)?;
        ivf.invlists = Some(Shared::new(lists));
        ivf.own_invlists = true;
    } else {
        eprintln!("read_InvertedLists: WARN! inverted lists not stored with IVF object");
    }
    Ok(())
}

pub fn read_inverted_lists(input: &mut Reader<'_>) -> Result<Option<ArrayInvertedLists>> {
    let code = input.fourcc()?;
    if code.is("il00") {
        return Ok(None);
    }
    if !code.is("ilar") {
        return Err(Error::failed("", format!("read_InvertedLists: unsupported invlist type \"{code}\"")));
    }
    // As in Faiss, leaving out the data means to leave it to lists of another type; lists in memory need theirs. Mapping is a hint.
    if input.has_flag(IO_FLAG_SKIP_IVF_DATA) && !input.has_flag(IO_FLAG_MMAP) {
        let message =
            "read_InvertedLists: could not load ArrayInvertedLists without their data: use IO_FLAG_MMAP, or no flag";
        return Err(Error::failed("", message));
    }
    let (nlist, code_size) = (input.usize()?, input.usize()?);
    input.check_loop(nlist, "nlist")?;
    let kind = input.fourcc()?;
    let numbers: Vec<i64> = input.vec()?;
    let sizes: Vec<(usize, usize)> = if kind.is("full") {
        Error::check(numbers.len() == nlist, "sizes.size() == nlist")?;
        numbers.iter().map(|n| *n as usize).enumerate().collect()
    } else if kind.is("sprs") {
        let inside = numbers.len().is_multiple_of(2) && numbers.chunks_exact(2).all(|p| (p[0] as usize) < nlist);
        Error::check(inside, "idsizes[j] < sizes.size()")?;
        numbers.chunks_exact(2).map(|p| (p[0] as usize, p[1] as usize)).collect()
    } else {
        return Err(Error::failed("", format!("list_type \"{kind}\" not recognized")));
    };
    let mut lists = ArrayInvertedLists::new(nlist, code_size)?;
    for (list, n) in sizes.into_iter().filter(|(_, n)| *n > 0) {
        let bytes = n.checked_mul(code_size).ok_or_else(|| Error::failed("n * code_size fits", ""))?;
        let codes = input.code_bytes_of(bytes)?;
        lists.set_list(list, input.elements(n)?, codes)?;
    }
    Ok(Some(lists))
}
