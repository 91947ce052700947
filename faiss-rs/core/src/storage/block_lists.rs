//! Inverted lists whose codes are packed in blocks. To the rest of this library they are lists of codes one after the other, which are unpacked
//! when asked for; a search takes the blocks as they are.

use std::borrow::Cow;

use faiss_derive::{Object, methods};

use super::codes::Codes;
use super::lists::{InvertedLists, InvertedListsBase};
use super::packer::{CodePacker, CodePackerFlat, CodePackerPQ4};
use crate::base::object::{cast, receiver};
use crate::base::{Error, Handle, Result, Shared};
use crate::registry::{Format, Row};
use crate::selector::IDSelector;
use crate::simd::fast_scan::GROUP;
use crate::stream::{Reader, Writer};

/// The code size that files say.
const INVALID_CODE_SIZE: usize = usize::MAX;

#[derive(Default, Clone)]
struct List {
    ids: Vec<i64>,
    codes: Codes,
}

/// Inverted lists in memory whose codes are packed in blocks of several vectors.
#[derive(Object, Default, Clone)]
#[object(methods, implements(InvertedLists), copy)]
pub struct BlockInvertedLists {
    #[object(parent)]
    base: InvertedListsBase,
    /// Vectors of a block.
    #[object(readonly)]
    pub n_per_block: usize,
    /// Bytes of a block.
    #[object(readonly)]
    pub block_size: usize,
    /// Puts codes into blocks.
    #[object(readonly)]
    pub packer: Option<Shared<dyn CodePacker>>,
    /// The same, at hand.
    parts: Option<CodePackerPQ4>,
    lists: Vec<List>,
}

pub(crate) const ROW: Row = Row::of::<BlockInvertedLists>().format(Format {
    fourccs: &["ilbl"],
    read: |input, _| Ok(Handle::new(BlockInvertedLists::read(input)?)),
    write: |object, out| receiver::<BlockInvertedLists>(object)?.write(out),
});

#[methods(new)]
impl BlockInvertedLists {
    /// Empty lists. Blocks of a multiple of 32 vectors hold codes of four bits; those of one vector, its code.
    #[new]
    pub fn new(nlist: usize, vec_per_block: usize, block_size: usize) -> Result<Self> {
        let n_per_block = vec_per_block;
        Error::check(n_per_block > 0, "n_per_block > 0")?;
        let mut lists = Vec::new();
        lists.try_reserve_exact(nlist).map_err(|e| Error::Memory(format!("{nlist} lists: {e}")))?;
        lists.resize_with(nlist, List::default);
        let (parts, packer, code_size) = if n_per_block.is_multiple_of(GROUP) {
            let whole = block_size.is_multiple_of(n_per_block);
            Error::check(whole, "block_size % n_per_block == 0: a block holds codes of four bits")?;
            let parts = CodePackerPQ4::new(2 * (block_size / n_per_block), n_per_block)?;
            (Some(parts.clone()), Shared::new(parts), block_size / n_per_block)
        } else {
            Error::check(n_per_block == 1, "n_per_block % 32 == 0 || n_per_block == 1")?;
            (None, Shared::new(CodePackerFlat::new(block_size)), block_size)
        };
        let base = InvertedListsBase { nlist, code_size, use_iterator: false };
        Ok(BlockInvertedLists { base, n_per_block, block_size, packer: Some(packer), parts, lists })
    }

    /// Empty lists, of codes that are packed so.
    #[new]
    pub fn of_packer(nlist: usize, packer: &dyn CodePacker) -> Result<Self> {
        let mut lists = BlockInvertedLists::new(nlist, packer.base().nvec, packer.base().block_size)?;
        if let Some(packer) = cast::<CodePackerPQ4>(packer) {
            lists.set_packer(packer)?;
        }
        Ok(lists)
    }

    /// Removes the entries whose ids the selector has; of each list the last ones take their places. Returns how many there were.
    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let (mut removed, mut code) = (0, vec![0; self.base.code_size]);
        for list in 0..self.base.nlist {
            let (mut at, mut n) = (0, self.lists[list].ids.len());
            while at < n {
                if !sel.is_member(self.lists[list].ids[at]) {
                    at += 1;
                    continue;
                }
                n -= 1;
                if at < n {
                    let id = self.lists[list].ids[n];
                    self.unpack(list, n, &mut code);
                    self.update_entries(list, at, &[id], &code)?;
                }
                removed += 1;
            }
            self.resize(list, n)?;
        }
        Ok(removed)
    }

    /// The codes of a list as they are packed, whole blocks.
    fn packed_codes(&self, list_no: i64) -> Result<Vec<u8>> {
        Ok(self.lists[self.check_list(list_no)?].codes.as_slice().to_vec())
    }
}

impl BlockInvertedLists {
    /// For codes of four bits of `parts` parts.
    pub fn of_parts(nlist: usize, parts: usize, bbs: usize) -> Result<Self> {
        let packer = CodePackerPQ4::new(parts, bbs)?;
        BlockInvertedLists::new(nlist, bbs, packer.block_size)
    }

    /// Says how the codes of blocks of this size lie; by themselves blocks do not tell whether there is something behind the numbers of four bits.
    pub fn set_packer(&mut self, packer: &CodePackerPQ4) -> Result<()> {
        let fits = packer.block_size == self.block_size && packer.nvec == self.n_per_block;
        Error::check(fits, "packer->block_size == block_size && packer->nvec == n_per_block")?;
        self.base.code_size = packer.code_size;
        self.packer = Some(Shared::new(packer.clone()));
        self.parts = Some(packer.clone());
        Ok(())
    }

    /// Puts behind the numbers of each code, of which older files have blocks, the bytes that `behind` has for its id.
    pub fn join<'a>(&mut self, packer: &CodePackerPQ4, behind: impl Fn(i64) -> Result<&'a [u8]>) -> Result<()> {
        for list in &mut self.lists {
            list.codes = packer.layout.joined(list.ids.len(), list.codes.as_slice(), |i| behind(list.ids[i]))?;
        }
        (self.n_per_block, self.block_size) = (packer.nvec, packer.block_size);
        self.set_packer(packer)
    }

    fn pack(&mut self, list: usize, first: usize, codes: &[u8]) {
        let size = self.base.code_size;
        let (parts, blocks) = (self.parts.as_ref(), self.lists[list].codes.as_mut_slice());
        match parts {
            Some(packer) => packer.layout.pack(codes, first, blocks),
            None => blocks[first * size..first * size + codes.len()].copy_from_slice(codes),
        }
    }

    fn unpack(&self, list: usize, i: usize, code: &mut [u8]) {
        let (blocks, size) = (self.lists[list].codes.as_slice(), code.len());
        match &self.parts {
            Some(packer) => packer.unpack_1(blocks, i, code),
            None => code.copy_from_slice(&blocks[i * size..(i + 1) * size]),
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let (nlist, _code_size) = (input.usize()?, input.usize()?);
        let (n_per_block, block_size) = (input.usize()?, input.usize()?);
        input.check_loop(nlist, "nlist")?;
        let mut made = BlockInvertedLists::new(nlist, n_per_block, block_size)?;
        for list in 0..nlist {
            let ids: Vec<i64> = input.vec()?;
            let codes = input.codes()?;
            let blocks = ids.len().div_ceil(n_per_block).checked_mul(block_size);
            Error::check(blocks == Some(codes.len()), "codes[i].size() == n_block * block_size")?;
            made.lists[list] = List { ids, codes };
        }
        Ok(made)
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<()> {
        out.fourcc("ilbl")?;
        out.usize(self.base.nlist)?;
        out.usize(INVALID_CODE_SIZE)?;
        out.usize(self.n_per_block)?;
        out.usize(self.block_size)?;
        for list in &self.lists {
            out.vec(&list.ids)?;
            out.codes(list.codes.as_slice())?;
        }
        Ok(())
    }
}

impl InvertedLists for BlockInvertedLists {
    fn base(&self) -> &InvertedListsBase {
        self
    }
    fn list_size(&self, list: usize) -> usize {
        self.lists[list].ids.len()
    }
    fn codes(&self, list: usize) -> Cow<'_, [u8]> {
        let size = self.base.code_size;
        let mut codes = vec![0; self.lists[list].ids.len() * size];
        for (i, code) in codes.chunks_exact_mut(size.max(1)).enumerate() {
            self.unpack(list, i, code);
        }
        Cow::Owned(codes)
    }
    fn ids(&self, list: usize) -> Cow<'_, [i64]> {
        Cow::Borrowed(&self.lists[list].ids)
    }
    fn packed(&self, list: usize) -> Option<(&[u8], usize)> {
        self.parts.as_ref().map(|_| (self.lists[list].codes.as_slice(), self.n_per_block))
    }
    fn single_code(&self, list: usize, offset: usize) -> Result<Vec<u8>> {
        let mut code = vec![0; self.base.code_size];
        self.unpack(list, offset, &mut code);
        Ok(code)
    }
    fn add_entries(&mut self, list: usize, ids: &[i64], codes: &[u8]) -> Result<usize> {
        Error::check(codes.len() == ids.len() * self.base.code_size, "codes.size() == n * code_size")?;
        let first = self.lists[list].ids.len();
        self.resize(list, first + ids.len())?;
        self.lists[list].ids[first..].copy_from_slice(ids);
        self.pack(list, first, codes);
        Ok(first)
    }
    fn update_entries(&mut self, list: usize, offset: usize, ids: &[i64], codes: &[u8]) -> Result<()> {
        let fits = offset.checked_add(ids.len()).is_some_and(|end| end <= self.lists[list].ids.len());
        let sized = codes.len() == ids.len() * self.base.code_size;
        Error::check(fits && sized, "n_entry + offset <= ids[list_no].size()")?;
        self.lists[list].ids[offset..offset + ids.len()].copy_from_slice(ids);
        self.pack(list, offset, codes);
        Ok(())
    }
    fn resize(&mut self, list: usize, n: usize) -> Result<()> {
        let bytes = n.div_ceil(self.n_per_block).checked_mul(self.block_size);
        let bytes = bytes.ok_or_else(|| Error::Memory("a list too long".into()))?;
        let own = &mut self.lists[list];
        own.codes.try_resize(bytes)?;
        own.ids.try_reserve(n.saturating_sub(own.ids.len())).map_err(|e| Error::Memory(e.to_string()))?;
        own.ids.resize(n, 0);
        Ok(())
    }
}
