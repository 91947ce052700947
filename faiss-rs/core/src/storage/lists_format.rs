//! How files hold lists in memory: sizes, then codes and ids list by list. Such a file can be mapped instead of read.

use super::lists::{ArrayInvertedLists, InvertedLists};
use super::on_disk::{OnDiskInvertedLists, OnDiskOneList};
use crate::base::object::{Object, receiver};
use crate::base::{Error, Handle, Result};
use crate::stream::{FourCC, IO_FLAG_MMAP, IO_FLAG_SKIP_IVF_DATA, Reader, Writer};

pub(super) fn write_array(object: &dyn Object, out: &mut Writer<'_>) -> Result<()> {
    let lists = receiver::<ArrayInvertedLists>(object)?;
    let nlist = lists.nlist;
    out.fourcc("ilar")?;
    out.usize(nlist)?;
    out.usize(lists.code_size)?;
    let sizes: Vec<usize> = (0..nlist).map(|list| lists.list_size(list)).collect();
    let filled = sizes.iter().filter(|n| **n > 0).count();
    if filled > nlist / 2 {
        write_all_sizes(&sizes, out)?;
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

/// The sizes of all lists, empty ones too.
pub(super) fn write_all_sizes(sizes: &[usize], out: &mut Writer<'_>) -> Result<()> {
    out.fourcc("full")?;
    out.usize(sizes.len())?;
    sizes.iter().try_for_each(|n| out.usize(*n))
}

/// Lists in memory; or, with `IO_FLAG_MMAP`, lists that stay in the file.
pub(super) fn read_array(input: &mut Reader<'_>, _: FourCC) -> Result<Handle> {
    let map = input.has_flag(IO_FLAG_MMAP);
    // As in Faiss, leaving out the data means to leave it to lists of another type; lists in memory need theirs.
    if input.has_flag(IO_FLAG_SKIP_IVF_DATA) && !map {
        let message =
            "read_InvertedLists: could not load ArrayInvertedLists without their data: use IO_FLAG_MMAP, or no flag";
        return Err(Error::failed("", message));
    }
    let (nlist, code_size) = (input.usize()?, input.usize()?);
    input.check_loop(nlist, "nlist")?;
    let sizes = read_sizes(input, nlist)?;
    if map {
        let too_long = || Error::failed("n * (code_size + sizeof(idx_t)) fits", "");
        let entry = code_size.checked_add(size_of::<i64>()).ok_or_else(too_long)?;
        let ends = sizes.iter().try_fold(0usize, |end, (_, n)| end.checked_add(n.checked_mul(entry)?));
        if let Some(body) = input.map(ends.ok_or_else(too_long)?)? {
            let mut lists = vec![OnDiskOneList::default(); nlist];
            let mut offset = body.start();
            for (list, n) in sizes {
                lists[list] = OnDiskOneList { size: n, capacity: n, offset };
                offset += n * entry;
            }
            return Ok(Handle::new(OnDiskInvertedLists::mapped(code_size, lists, body.whole())));
        }
    }
    let mut lists = ArrayInvertedLists::new(nlist, code_size)?;
    for (list, n) in sizes {
        let bytes = n.checked_mul(code_size).ok_or_else(|| Error::failed("n * code_size fits", ""))?;
        let codes = input.code_bytes_of(bytes)?;
        lists.set_list(list, input.ids(n)?, codes)?;
    }
    Ok(Handle::new(lists))
}

/// The lists that are not empty, and their sizes.
pub(super) fn read_sizes(input: &mut Reader<'_>, nlist: usize) -> Result<Vec<(usize, usize)>> {
    let kind = input.fourcc()?;
    let numbers: Vec<i64> = input.vec()?;
    let mut sizes: Vec<(usize, usize)> = if kind.is("full") {
        Error::check(numbers.len() == nlist, "sizes.size() == nlist")?;
        numbers.iter().map(|n| *n as usize).enumerate().collect()
    } else if kind.is("sprs") {
        let inside = numbers.len().is_multiple_of(2) && numbers.chunks_exact(2).all(|p| (p[0] as usize) < nlist);
        Error::check(inside, "idsizes[j] < sizes.size()")?;
        numbers.chunks_exact(2).map(|p| (p[0] as usize, p[1] as usize)).collect()
    } else {
        return Err(Error::failed("", format!("list_type \"{kind}\" not recognized")));
    };
    sizes.retain(|(_, n)| *n > 0);
    Ok(sizes)
}
