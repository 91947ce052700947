//! How codes lie in blocks: what puts one code into its place, and takes it out again.

use faiss_derive::Object;

use crate::base::object::{Method, MethodCall, Object};
use crate::base::view::view;
use crate::base::{Error, Handle, Result, Value};
use crate::quantize::fast_scan::{pack_1, packed_size, unpack_1};
use crate::registry::{Row, no_overload};
use crate::simd::fast_scan::GROUP;

/// What all packers have.
#[derive(Object, Default, Clone, Debug)]
#[object(name = "CodePacker", abstract, methods = METHODS)]
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

pub const ROW: Row = Row::of::<CodePackerBase>();

/// Puts codes into blocks. `i` counts over all blocks.
pub trait CodePacker: Object {
    fn base(&self) -> &CodePackerBase;
    /// The code's place must be there.
    fn pack_1(&self, code: &[u8], i: usize, blocks: &mut [u8]);
    fn unpack_1(&self, blocks: &[u8], i: usize, code: &mut [u8]);

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

const PACK: &str = "(self, flat_code: numpy.ndarray, offset: int, block: numpy.ndarray) -> numpy.ndarray";
const UNPACK: &str = "(self, block: numpy.ndarray, offset: int) -> numpy.ndarray";

const METHODS: &[Method] = &[
    Method {
        name: "pack_1",
        signature: PACK,
        doc: "Blocks with a code in its place.",
        call: MethodCall::Read(|object, args| {
            let [Value::U8(code, _), Value::Int(i), Value::U8(blocks, shape)] = args else {
                return Err(no_overload("pack_1", &[PACK]));
            };
            let packer: &dyn CodePacker = view(object)?;
            Error::check(code.len() == packer.base().code_size, "flat_code.size() == code_size")?;
            let mut blocks = blocks.clone();
            packer.pack_1(code, packer.check_place(*i, &blocks)?, &mut blocks);
            Ok(Value::U8(blocks, shape.clone()))
        }),
    },
    Method {
        name: "unpack_1",
        signature: UNPACK,
        doc: "A code out of blocks.",
        call: MethodCall::Read(|object, args| {
            let [Value::U8(blocks, _), Value::Int(i)] = args else { return Err(no_overload("unpack_1", &[UNPACK])) };
            let packer: &dyn CodePacker = view(object)?;
            let mut code = vec![0; packer.base().code_size];
            packer.unpack_1(blocks, packer.check_place(*i, blocks)?, &mut code);
            let n = code.len();
            Ok(Value::U8(code, vec![n]))
        }),
    },
];

fn size(v: i64) -> Result<usize> {
    usize::try_from(v).map_err(|_| Error::overflow("the number is out of range for size_t"))
}

/// Codes one after the other: a block is a code.
#[derive(Object, Default, Clone, Debug)]
#[object(implements(CodePacker), copy)]
pub struct CodePackerFlat {
    #[object(parent)]
    pub base: CodePackerBase,
}

pub const FLAT: Row = Row::of::<CodePackerFlat>().construct(
    |args| match args {
        [Value::Int(code_size)] => Ok(Handle::new(CodePackerFlat::new(size(*code_size)?))),
        _ => Err(no_overload("CodePackerFlat", &["(code_size: int)"])),
    },
    &["(code_size: int)"],
);

impl CodePackerFlat {
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
#[object(implements(CodePacker), copy)]
pub struct CodePackerPQ4 {
    #[object(parent)]
    pub base: CodePackerBase,
    /// Parts of a code, an even number.
    #[object(readonly)]
    pub nsq: usize,
}

const PQ4_SIGNATURES: &[&str] = &["(nsq: int, bbs: int)"];

pub const PQ4: Row = Row::of::<CodePackerPQ4>().construct(
    |args| match args {
        [Value::Int(nsq), Value::Int(bbs)] => Ok(Handle::new(CodePackerPQ4::new(size(*nsq)?, size(*bbs)?)?)),
        _ => Err(no_overload("CodePackerPQ4", PQ4_SIGNATURES)),
    },
    PQ4_SIGNATURES,
);

impl CodePackerPQ4 {
    /// Of codes of `nsq` parts in blocks of `bbs` vectors.
    pub fn new(nsq: usize, bbs: usize) -> Result<Self> {
        Error::check(bbs > 0 && bbs.is_multiple_of(GROUP), "bbs % 32 == 0")?;
        let parts = nsq.next_multiple_of(2);
        let block_size = packed_size(bbs, bbs, parts).filter(|size| *size < 1 << 40);
        let block_size = block_size.ok_or_else(|| Error::overflow("a block is too large"))?;
        Ok(CodePackerPQ4 { base: CodePackerBase { code_size: nsq.div_ceil(2), nvec: bbs, block_size }, nsq: parts })
    }
}

impl CodePacker for CodePackerPQ4 {
    fn base(&self) -> &CodePackerBase {
        self
    }
    fn pack_1(&self, code: &[u8], i: usize, blocks: &mut [u8]) {
        pack_1(code, i, self.nvec, self.nsq, blocks);
    }
    fn unpack_1(&self, blocks: &[u8], i: usize, code: &mut [u8]) {
        unpack_1(blocks, i, self.nvec, self.nsq, code);
    }
}
