//! How codes lie in blocks: what puts one code into its place, and takes it out again.

use faiss_derive::{Object, methods};

use crate::base::declare::{Array, Shaped};
use crate::base::object::Object;
use crate::base::{Error, Result};
use crate::registry::Row;
use crate::simd::fast_scan::GROUP;
use crate::storage::packing::Layout;

/// What all packers have.
#[derive(Object, Default, Clone, Debug)]
#[object(name = "CodePacker", abstract, methods(PackerMethods))]
pub struct CodePackerBase {
    /// Bytes of a code by itself.
    #[object(readonly)]
    pub code_size: usize,
    /// Codes of a block.
    #[object(readonly)]
    pub nvec: usize,
    /// Bytes of a block.
    #[object(readonly)]
    pub block_size: usize,
}

pub(crate) const ROW: Row = Row::of::<CodePackerBase>();

/// Puts codes into blocks. `i` counts over all blocks.
pub trait CodePacker: Object {
    /// The sizes.
    fn base(&self) -> &CodePackerBase;
    /// The code's place must be there.
    fn pack_1(&self, code: &[u8], i: usize, blocks: &mut [u8]);
    /// Writes the code of vector `i` of the blocks.
    fn unpack_1(&self, blocks: &[u8], i: usize, code: &mut [u8]);

    /// The place of a vector; an error where the blocks have none such.
    fn check_place(&self, i: i64, blocks: &[u8]) -> Result<usize> {
        let base = self.base();
        let n = blocks.len().checked_div(base.block_size).unwrap_or(0).saturating_mul(base.nvec);
        usize::try_from(i)
            .ok()
            .filter(|i| *i < n)
            .ok_or_else(|| Error::failed("offset < nvec", format!("no code {i} among {n}")))
    }
}

crate::view!(CodePacker, "CodePacker");

/// What Python sees of all packers.
pub struct PackerMethods;

#[methods]
impl PackerMethods {
    /// Blocks with a code in its place.
    fn pack_1(this: &dyn CodePacker, flat_code: &[u8], offset: i64, block: Array<'_, u8>) -> Result<Shaped<u8>> {
        Error::check(flat_code.len() == this.base().code_size, "flat_code.size() == code_size")?;
        let mut blocks = block.items.to_vec();
        this.pack_1(flat_code, this.check_place(offset, &blocks)?, &mut blocks);
        Ok(Shaped(blocks, block.shape.to_vec()))
    }

    /// A code out of blocks.
    fn unpack_1(this: &dyn CodePacker, block: &[u8], offset: i64) -> Result<Vec<u8>> {
        let mut code = vec![0; this.base().code_size];
        this.unpack_1(block, this.check_place(offset, block)?, &mut code);
        Ok(code)
    }
}

/// Codes one after the other: a block is a code.
#[derive(Object, Default, Clone, Debug)]
#[object(methods, implements(CodePacker), copy)]
pub struct CodePackerFlat {
    /// The sizes.
    #[object(parent)]
    pub base: CodePackerBase,
}

pub(crate) const FLAT: Row = Row::of::<CodePackerFlat>();

#[methods]
impl CodePackerFlat {
    /// Codes of so many bytes, one after the other.
    #[new]
    pub fn new(code_size: usize) -> Self {
        CodePackerFlat { base: CodePackerBase { code_size, nvec: 1, block_size: code_size } }
    }
}

impl CodePacker for CodePackerFlat {
    fn base(&self) -> &CodePackerBase {
        self
    }
    fn pack_1(&self, code: &[u8], i: usize, blocks: &mut [u8]) {
        blocks[i * self.code_size..(i + 1) * self.code_size].copy_from_slice(code);
    }
    fn unpack_1(&self, blocks: &[u8], i: usize, code: &mut [u8]) {
        code.copy_from_slice(&blocks[i * self.code_size..(i + 1) * self.code_size]);
    }
}

/// Codes of four bits in blocks of so many vectors, as FastScan wants them.
#[derive(Object, Default, Clone, Debug)]
#[object(methods, implements(CodePacker), copy)]
pub struct CodePackerPQ4 {
    /// The sizes.
    #[object(parent)]
    pub base: CodePackerBase,
    /// Parts of a code, an even number.
    #[object(readonly)]
    pub nsq: usize,
    /// How the codes lie.
    #[object(skip)]
    pub layout: Layout,
}

pub(crate) const PQ4: Row = Row::of::<CodePackerPQ4>();

#[methods]
impl CodePackerPQ4 {
    /// Of codes of `nsq` parts in blocks of `bbs` vectors.
    #[new]
    pub fn new(nsq: usize, bbs: usize) -> Result<Self> {
        CodePackerPQ4::with_aux(nsq, bbs, 0)
    }
}

impl CodePackerPQ4 {
    /// As `new`, with `aux` bytes behind the numbers of each code.
    pub fn with_aux(nsq: usize, bbs: usize, aux: usize) -> Result<Self> {
        Error::check(bbs > 0 && bbs.is_multiple_of(GROUP), "bbs % 32 == 0")?;
        let layout = Layout { block: bbs, parts: nsq.next_multiple_of(2), aux };
        let block_size = layout.size(bbs).filter(|size| *size < 1 << 40);
        let block_size = block_size.ok_or_else(|| Error::overflow("a block is too large"))?;
        let base = CodePackerBase { code_size: layout.code_size(), nvec: bbs, block_size };
        Ok(CodePackerPQ4 { base, nsq: layout.parts, layout })
    }
}

impl CodePacker for CodePackerPQ4 {
    fn base(&self) -> &CodePackerBase {
        self
    }
    fn pack_1(&self, code: &[u8], i: usize, blocks: &mut [u8]) {
        self.layout.pack_1(code, i, blocks);
    }
    fn unpack_1(&self, blocks: &[u8], i: usize, code: &mut [u8]) {
        self.layout.unpack_1(blocks, i, code);
    }
}
