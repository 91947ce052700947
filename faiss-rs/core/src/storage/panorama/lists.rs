//! Inverted lists of vectors cut into levels.

use std::borrow::Cow;

use faiss_derive::{Object, methods};

use super::{DEFAULT_BATCH_SIZE, LEGACY_BATCH_SIZE, Panorama, floats};
use crate::base::object::{VectorField, receiver};
use crate::base::{Error, Handle, Result};
use crate::registry::{Format, Row};
use crate::storage::lists::{ArrayInvertedLists, InvertedLists, InvertedListsBase, Layout, ListView};
use crate::storage::lists_format::{read_sizes, write_all_sizes};
use crate::stream::{FourCC, Reader, Writer};

/// Inverted lists in memory whose vectors are cut into levels, with the norms of what is left of each from each level on.
#[derive(Object, Default, Clone)]
#[object(methods, implements(InvertedLists), copy)]
pub struct ArrayInvertedListsPanorama {
    /// Ids, and codes as they lie.
    #[object(parent)]
    pub arrays: ArrayInvertedLists,
    /// Number of levels that were asked for; those that are left without coordinates are dropped.
    #[object(readonly)]
    pub n_levels: usize,
    /// Bytes of a level; the last may have fewer.
    #[object(readonly)]
    pub level_width: usize,
    /// How vectors lie.
    pub pano: Panorama,
    sums: Vec<Vec<f32>>,
}

pub(crate) const ROW: Row = Row::of::<ArrayInvertedListsPanorama>().format(Format {
    fourccs: &["ilp2", "ilpn"],
    read: |input, code| Ok(Handle::new(ArrayInvertedListsPanorama::read(input, code)?)),
    write: |object, out| receiver::<ArrayInvertedListsPanorama>(object)?.write(out),
});

#[methods(new)]
impl ArrayInvertedListsPanorama {
    /// Empty lists of vectors of `code_size` bytes.
    #[new]
    pub fn new(
        nlist: usize,
        code_size: usize,
        n_levels: usize,
        #[default = DEFAULT_BATCH_SIZE] batch_size: usize,
    ) -> Result<Self> {
        let pano = Panorama::new(code_size, n_levels, batch_size)?;
        let arrays = ArrayInvertedLists::new(nlist, code_size)?;
        let level_width = pano.level_width;
        Ok(ArrayInvertedListsPanorama { arrays, n_levels, level_width, pano, sums: vec![Vec::new(); nlist] })
    }

    /// The norms of the vectors of a list, as they lie.
    #[name = "get_cum_sums"]
    fn norms(&self, list_no: i64) -> Result<Vec<f32>> {
        Ok(self.sums[self.check_list(list_no)?].clone())
    }

    /// One code by itself.
    #[name = "get_single_code"]
    fn code(&self, list_no: i64, offset: i64) -> Result<Vec<u8>> {
        let (list, offset) = self.check_entry(list_no, offset)?;
        self.single_code(list, offset)
    }

    /// List `i` is then the one that was `map[i]`.
    pub fn permute_invlists(&mut self, map: &[i64]) -> Result<()> {
        self.arrays.permute_invlists(map)?;
        self.sums = map.iter().map(|from| std::mem::take(&mut self.sums[*from as usize])).collect();
        Ok(())
    }
}

impl ArrayInvertedListsPanorama {
    /// The vectors of a list and their norms, as they lie.
    pub fn list(&self, list: usize) -> Result<(&[f32], &[f32])> {
        let (codes, sums) = (self.arrays.lists[list].codes.as_f32(), self.sums[list].as_slice());
        let n = self.list_size(list);
        let whole = self.pano.floats(n) == Some(codes.len()) && sums.len() == self.pano.sums_len(n);
        Error::check(whole, "codes.size() == n_batches * batch_size * code_size")?;
        Ok((codes, sums))
    }

    /// Norms that files hold of `n` vectors: also of the levels that were dropped.
    fn written_sums(&self, n: usize) -> Option<usize> {
        let places = n.div_ceil(self.pano.batch_size).checked_mul(self.pano.batch_size)?;
        places.checked_mul(self.n_levels.checked_add(1)?)
    }

    fn write_entries(&mut self, list: usize, first: usize, codes: &[u8]) {
        let x = floats(codes);
        self.pano.put(self.arrays.lists[list].codes.as_f32_mut(), first, &x);
        self.pano.put_sums(&mut self.sums[list], first, &x);
    }

    fn read(input: &mut Reader<'_>, code: FourCC) -> Result<Self> {
        let (nlist, code_size, n_levels) = (input.usize()?, input.usize()?, input.usize()?);
        let batch_size = if code.is("ilp2") { input.usize()? } else { LEGACY_BATCH_SIZE };
        input.check_loop(nlist, "nlist")?;
        // Before memory is taken for the lists, as many sizes as there are lists must be in the file.
        let sizes = read_sizes(input, nlist)?;
        let mut made = ArrayInvertedListsPanorama::new(nlist, code_size, n_levels, batch_size)?;
        for (list, n) in sizes {
            let too_long = || Error::failed("n * code_size fits", "");
            let floats = made.pano.floats(n).ok_or_else(too_long)?;
            let codes: Vec<f32> = input.elements(floats)?;
            made.arrays.lists[list].codes.extend_from_f32(&codes)?;
            drop(codes);
            made.arrays.lists[list].ids = input.ids(n)?;
            let sums = made.written_sums(n).ok_or_else(too_long)?;
            made.sums[list] = input.elements(sums)?;
            made.sums[list].truncate(made.pano.sums_len(n));
        }
        Ok(made)
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<()> {
        out.fourcc("ilp2")?;
        out.usize(self.nlist)?;
        out.usize(self.code_size)?;
        out.usize(self.n_levels)?;
        out.usize(self.pano.batch_size)?;
        let sizes: Vec<usize> = (0..self.nlist).map(|list| self.list_size(list)).collect();
        write_all_sizes(&sizes, out)?;
        for list in (0..self.nlist).filter(|list| sizes[*list] > 0) {
            let (codes, sums) = self.list(list)?;
            out.bytes(bytemuck::cast_slice(codes))?;
            out.bytes(bytemuck::cast_slice(&self.arrays.ids(list)))?;
            out.bytes(bytemuck::cast_slice(sums))?;
            let missing = self.written_sums(sizes[list]).unwrap_or(0).saturating_sub(sums.len());
            (0..missing).try_for_each(|_| out.f32(0.0))?;
        }
        Ok(())
    }
}

impl InvertedLists for ArrayInvertedListsPanorama {
    fn base(&self) -> &InvertedListsBase {
        self.arrays.base()
    }
    fn list_size(&self, list: usize) -> usize {
        self.arrays.list_size(list)
    }
    fn layout(&self) -> Layout {
        let n_per_block = self.pano.batch_size;
        Layout::Blocks { n_per_block, block_size: n_per_block.saturating_mul(self.code_size) }
    }
    /// Vector after vector.
    fn codes(&self, list: usize) -> Cow<'_, [u8]> {
        let n = self.list_size(list);
        let mut x = vec![0f32; n * self.pano.d];
        if let Ok((codes, _)) = self.list(list) {
            x.chunks_exact_mut(self.pano.d).enumerate().for_each(|(i, row)| self.pano.get(codes, i, row));
        }
        Cow::Owned(bytemuck::cast_slice(&x).to_vec())
    }
    fn view(&self, list: usize) -> ListView<'_> {
        ListView { ids: self.ids(list), codes: self.arrays.codes(list), layout: self.layout() }
    }
    fn single_code(&self, list: usize, offset: usize) -> Result<Vec<u8>> {
        let mut x = vec![0f32; self.pano.d];
        self.pano.get(self.list(list)?.0, offset, &mut x);
        Ok(bytemuck::cast_slice(&x).to_vec())
    }
    fn ids(&self, list: usize) -> Cow<'_, [i64]> {
        self.arrays.ids(list)
    }
    fn ids_field(&mut self, list: usize) -> Option<&mut dyn VectorField> {
        self.arrays.ids_field(list)
    }
    fn codes_field(&mut self, list: usize) -> Option<&mut dyn VectorField> {
        self.arrays.codes_field(list)
    }
    fn add_entries(&mut self, list: usize, ids: &[i64], codes: &[u8]) -> Result<usize> {
        Error::check(codes.len() == ids.len() * self.code_size, "codes.size() == n * code_size")?;
        let first = self.list_size(list);
        self.resize(list, first + ids.len())?;
        self.arrays.lists[list].ids.owned()?[first..].copy_from_slice(ids);
        self.write_entries(list, first, codes);
        Ok(first)
    }
    fn update_entries(&mut self, list: usize, offset: usize, ids: &[i64], codes: &[u8]) -> Result<()> {
        let fits = offset.checked_add(ids.len()).is_some_and(|end| end <= self.list_size(list));
        Error::check(fits && codes.len() == ids.len() * self.code_size, "n_entry + offset <= ids[list_no].size()")?;
        self.arrays.lists[list].ids.owned()?[offset..offset + ids.len()].copy_from_slice(ids);
        self.write_entries(list, offset, codes);
        Ok(())
    }
    fn resize(&mut self, list: usize, n: usize) -> Result<()> {
        let before = self.list_size(list);
        let bytes = self.pano.bytes(n).ok_or_else(|| Error::Memory("a list too long".into()))?;
        let own = &mut self.arrays.lists[list];
        own.codes.try_resize(bytes)?;
        own.ids.owned()?.resize(n, 0);
        self.sums[list].resize(self.pano.sums_len(n), 0.0);
        // In the batch that was the last, others may have been before.
        let last = n.min(before.next_multiple_of(self.pano.batch_size));
        if last > before {
            self.write_entries(list, before, &vec![0; (last - before) * self.code_size]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behave_as_lists_of_rows(steps in prop::collection::vec((0..4u8, 0..2usize, 0..6usize), 1..30), batch in 1..5usize) {
            let (mut rows, mut cut) = (ArrayInvertedLists::new(2, 12).unwrap(), ArrayInvertedListsPanorama::new(2, 12, 2, batch).unwrap());
            for (step, (kind, list, n)) in steps.into_iter().enumerate() {
                let ids: Vec<i64> = (0..n as i64).map(|i| i + 100 * step as i64).collect();
                let x: Vec<f32> = (0..n * 3).map(|i| (i + step) as f32).collect();
                let size = rows.list_size(list);
                for lists in [&mut rows as &mut dyn InvertedLists, &mut cut] {
                    match kind {
                        0 | 1 => prop_assert_eq!(lists.add_entries(list, &ids, bytemuck::cast_slice(&x)).unwrap(), size),
                        2 if size >= n => lists.update_entries(list, size - n, &ids, bytemuck::cast_slice(&x)).unwrap(),
                        _ => lists.resize(list, n).unwrap(),
                    }
                }
                for list in 0..2 {
                    prop_assert_eq!(&*rows.ids(list), &*cut.ids(list));
                    prop_assert_eq!(&*rows.codes(list), &*cut.codes(list));
                    let (_, sums) = cut.list(list).unwrap();
                    for i in 0..rows.list_size(list) {
                        let code = floats(&cut.single_code(list, i).unwrap());
                        prop_assert_eq!(sums[cut.pano.sum_place(i, 0)], code.iter().rev().map(|v| v * v).sum::<f32>().sqrt());
                    }
                }
            }
        }
    }
}
