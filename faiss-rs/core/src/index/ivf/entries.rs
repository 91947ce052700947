//! What is stored beside vectors: the codes of what a search found, entries of equal codes, the order of ids.

use super::{IndexIVF, InvertedFile, search};
use crate::base::object::Object;
use crate::base::{Error, Result, interrupt};
use crate::storage::direct_map::{lo_listno, lo_offset};
use crate::storage::lists::Layout;

/// As a search, and the codes found, each after its list's number (in `coarse_code_size` bytes) where `include_listnos`; all bits are set where
/// there is no result.
pub fn search_and_return_codes(
    index: &dyn InvertedFile,
    x: &[f32],
    k: usize,
    params: Option<&dyn Object>,
    include_listnos: bool,
    distances: &mut [f32],
    labels: &mut [i64],
    codes: &mut [u8],
) -> Result<()> {
    let ivf = index.ivf();
    let number = if include_listnos { ivf.coarse_code_size() } else { 0 };
    let size = number + ivf.code_size;
    Error::check(labels.len().checked_mul(size) == Some(codes.len()), "codes.size() == n * k * code_size")?;
    search::search(index, x, k, params, distances, labels, true)?;
    let lists = ivf.lists()?;
    codes.fill(u8::MAX);
    for (i, label) in labels.iter_mut().enumerate().filter(|(_, label)| **label >= 0) {
        let (list, offset) = (lo_listno(*label), lo_offset(*label));
        let (number, code) = codes[i * size..(i + 1) * size].split_at_mut(number);
        number.copy_from_slice(&(list as u64).to_le_bytes()[..number.len()]);
        code.copy_from_slice(&lists.single_code(list, offset)?);
        *label = lists.ids(list)[offset];
    }
    Ok(())
}

/// The ids of entries of one list that have equal codes, group after group, and where each group begins, with the end of the last one.
pub fn find_duplicates(ivf: &IndexIVF) -> Result<(Vec<i64>, Vec<i64>)> {
    let (lists, size) = (ivf.lists()?, ivf.code_size);
    Error::check(lists.layout() == Layout::Rows && size > 0, "the codes of the lists lie one after the other")?;
    let (mut found, mut lims) = (Vec::new(), vec![0]);
    for list in 0..ivf.nlist {
        interrupt::check()?;
        let (ids, codes) = (lists.ids(list), lists.codes(list));
        let mut order: Vec<usize> = (0..ids.len()).collect();
        let code = |i: &usize| &codes[i * size..(i + 1) * size];
        // Stable: ids of one group stay in their order.
        order.sort_by(|a, b| code(a).cmp(code(b)));
        for group in order.chunk_by(|a, b| code(a) == code(b)).filter(|group| group.len() > 1) {
            found.extend(group.iter().map(|i| ids[*i]));
            lims.push(found.len() as i64);
        }
    }
    Ok((found, lims))
}

/// Whether the ids of each list grow.
pub fn ids_are_sorted(ivf: &IndexIVF) -> Result<bool> {
    let lists = ivf.lists()?;
    Ok((0..ivf.nlist).all(|list| lists.ids(list).is_sorted_by(|a, b| a < b)))
}
