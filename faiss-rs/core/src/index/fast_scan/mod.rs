//! Indexes of packed codes of four bits, searched by sums of sixteen bits: FastScan.
//!
//! | file | what lives there |
//! |---|---|
//! | `mod.rs` | the fields of all, the trait [`FastScan`]: what one kind must define, and the rest of `Index` |
//! | `search.rs` | searches |
//! | `pq.rs`, `additive.rs`, `rabitq.rs` | one kind of codes each |

pub mod additive;
pub mod pq;
pub mod rabitq;
pub mod search;

use faiss_derive::{Object, methods};

use super::{Index, IndexBase};
use crate::base::object::receiver;
use crate::base::view::view_mut;
use crate::base::{Error, MetricType, Result, Shared};
use crate::index::flat_codes::check_same_type;
use crate::quantize::Quantizer;
use crate::quantize::fast_scan::KSUB;
use crate::registry::Row;
use crate::selector::IDSelector;
use crate::simd::fast_scan::{GROUP, Packed};
use crate::storage::codes::Codes;
use crate::storage::packer::{CodePacker, CodePackerPQ4};
use crate::storage::packing::Layout;

/// Base of the indexes of packed codes of four bits.
#[derive(Object, Clone, Default)]
#[object(abstract, methods(FastScanMethods))]
pub struct IndexFastScan {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// How a search goes: 0 by itself, 2 by floats, 3 by sums as they are, 4 by rounded tables one code at a time, 12 to 15 by packed codes. All but 2 and 3
    /// find the same; 2 to 4 need the codes as they were before they were packed.
    pub implem: i32,
    /// Accepted for compatibility.
    pub skip: i32,
    /// Vectors of a block, a multiple of 32.
    #[object(readonly)]
    pub bbs: i32,
    /// Accepted for compatibility: queries are taken four at a time.
    pub qbs: i32,
    /// Parts of a code.
    #[object(readonly)]
    pub M: usize,
    /// Bits of a part.
    #[object(readonly)]
    pub nbits: usize,
    /// Entries of a table.
    #[object(readonly)]
    pub ksub: usize,
    /// Bytes of a code that is not packed.
    #[object(readonly)]
    pub code_size: usize,
    /// Number of vectors, rounded up to whole blocks.
    #[object(readonly)]
    pub ntotal2: usize,
    /// `M`, rounded up to an even number.
    #[object(readonly)]
    pub M2: usize,
    /// The packed codes.
    pub codes: Codes,
    /// The codes before they were packed, where the index was made from another.
    original: Vec<u8>,
    /// Bytes behind the numbers of four bits of each code.
    #[object(skip)]
    pub aux: usize,
}

pub(crate) const ROW: Row = Row::of::<IndexFastScan>();

/// The number of vectors of a block, where it is one that FastScan can have.
pub fn check_block(bbs: i64) -> Result<i32> {
    let block = i32::try_from(bbs).ok().filter(|bbs| *bbs > 0 && *bbs % GROUP as i32 == 0 && *bbs <= 1 << 20);
    block.ok_or_else(|| Error::failed("bbs_ % 32 == 0", format!("blocks of {bbs} vectors")))
}

/// The methods of every [`FastScan`].
pub struct FastScanMethods;

#[methods]
impl FastScanMethods {
    /// What packs the codes.
    #[name = "get_CodePacker"]
    fn code_packer(this: &dyn FastScan) -> Result<Shared<dyn CodePacker>> {
        let own = this.fast_scan();
        Ok(Shared::new(CodePackerPQ4::with_aux(own.M, own.block(), own.aux)?))
    }

    /// Bytes from one block to the next.
    fn get_block_stride(this: &dyn FastScan) -> usize {
        this.fast_scan().layout().stride()
    }

    /// Bytes of the part of a code that is interleaved with those of other vectors.
    fn fast_scan_code_size(this: &dyn FastScan) -> usize {
        this.fast_scan().M2 / 2
    }

    /// Sets what follows from the dimension, the parts of a code, the metric and the vectors of a block. There must be no vectors.
    fn init_fastscan(
        this: &mut dyn FastScan,
        d: i64,
        M: usize,
        nbits: usize,
        metric: MetricType,
        bbs: i64,
    ) -> Result<()> {
        Error::check(nbits == 4, "nbits_init == 4")?;
        let own = this.fast_scan_mut();
        Error::check(own.base.ntotal == 0, "ntotal == 0")?;
        let made = IndexFastScan::new(d, M, metric, bbs)?.with_aux(own.aux);
        let IndexFastScan { implem, skip, qbs, .. } = *own;
        *own = IndexFastScan { implem, skip, qbs, ..made };
        Ok(())
    }

    /// The codes before they were packed, where the index was made from another that has such.
    #[name = "_orig_codes"]
    fn orig_codes(this: &dyn FastScan) -> Vec<u8> {
        this.fast_scan().original.clone()
    }

    /// The tables of queries (n, d) before they are rounded: n * M * ksub numbers.
    fn compute_float_LUT(this: &dyn FastScan, x: &[f32]) -> Result<Vec<f32>> {
        Error::check(this.base().is_trained, "is_trained")?;
        let (own, n) = (this.fast_scan(), this.base().rows(x)?);
        let mut tables = vec![0.0; n * own.M * KSUB];
        this.tables(x, &mut tables)?;
        Ok(tables)
    }
}

impl IndexFastScan {
    /// Of codes of `m` parts.
    pub fn new(d: i64, m: usize, metric: MetricType, bbs: i64) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        let bbs = check_block(bbs)?;
        Error::check(m > 0 && m <= 1 << 24, "M > 0")?;
        Ok(IndexFastScan {
            base,
            bbs,
            M: m,
            nbits: 4,
            ksub: KSUB,
            code_size: m.div_ceil(2),
            M2: m.next_multiple_of(2),
            ..Default::default()
        })
    }

    /// Takes the parts of codes that a file's quantizer has, where what the file says of them is the same.
    pub fn set_parts(&mut self, m: usize) -> Result<()> {
        let made = IndexFastScan::new(i64::from(self.d), m, self.metric_type, i64::from(self.bbs))?;
        Error::check(self.M2 == made.M2, "M2 == roundup(M, 2)")?;
        (self.M, self.nbits, self.ksub, self.code_size) = (m, made.nbits, made.ksub, made.code_size);
        Ok(())
    }

    /// With codes that have `aux` bytes behind their numbers of four bits.
    pub fn with_aux(self, aux: usize) -> Self {
        IndexFastScan { aux, code_size: self.M.div_ceil(2) + aux, ..self }
    }

    /// Vectors of a block.
    pub fn block(&self) -> usize {
        self.bbs.max(0) as usize
    }

    /// How the codes lie.
    pub fn layout(&self) -> Layout {
        Layout { block: self.block(), parts: self.M2, aux: self.aux }
    }

    /// The codes as a search takes them.
    pub fn packed(&self) -> Packed<'_> {
        let layout = self.layout();
        let (block, parts, stride) = (layout.block, layout.parts, layout.stride());
        Packed { codes: self.codes.as_slice(), block, parts, stride, last_pair: 1 }
    }

    /// The number of vectors, after a check that the fields fit together.
    pub fn count(&self) -> Result<usize> {
        let layout = self.layout();
        let sizes = layout.block > 0 && self.M2 == self.M.next_multiple_of(2) && self.code_size == layout.code_size();
        let n = usize::try_from(self.ntotal).ok();
        let n = n.filter(|n| sizes && layout.size(*n) == Some(self.codes.len()));
        n.ok_or_else(|| Error::failed("codes.size() == ntotal2 * M2 / 2", "the codes are not those of the vectors"))
    }

    /// Changes the number of codes; new ones are zero.
    fn resize(&mut self, n: usize) -> Result<()> {
        let bytes = self.layout().size(n);
        self.codes.try_resize(bytes.ok_or_else(|| Error::Memory("too many codes".into()))?)?;
        self.ntotal2 = n.next_multiple_of(self.block());
        self.base.ntotal = n as i64;
        Ok(())
    }

    /// Stores more codes, which are not packed.
    pub fn append(&mut self, codes: &[u8]) -> Result<()> {
        let (before, size) = (self.count()?, self.code_size);
        Error::check(size > 0 && codes.len().is_multiple_of(size), "codes.size() % code_size == 0")?;
        self.resize(before + codes.len() / size)?;
        let layout = self.layout();
        layout.pack(codes, before, self.codes.as_mut_slice());
        self.original.clear();
        Ok(())
    }

    /// Codes `first..first + n`, not packed.
    pub fn unpacked(&self, first: usize, n: usize) -> Vec<u8> {
        let mut codes = vec![0; n * self.code_size];
        for (i, code) in codes.chunks_exact_mut(self.code_size.max(1)).enumerate() {
            self.layout().unpack_1(self.codes.as_slice(), first + i, code);
        }
        codes
    }

    /// Takes the codes of another index, and keeps them as they are too.
    fn take(&mut self, codes: &[u8]) -> Result<()> {
        self.append(codes)?;
        self.original = codes.to_vec();
        Ok(())
    }

    fn remove(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let n = self.count()?;
        let mut removed = vec![false; n];
        sel.mark(0..n as i64, &mut removed);
        let (layout, mut kept) = (self.layout(), 0);
        let mut code = vec![0; self.code_size];
        for i in (0..n).filter(|i| !removed[*i]) {
            if i != kept {
                let packed = self.codes.as_mut_slice();
                layout.unpack_1(packed, i, &mut code);
                layout.pack_1(&code, kept, packed);
            }
            kept += 1;
        }
        self.resize(kept)?;
        self.original.clear();
        Ok(n - kept)
    }
}

impl Index for IndexFastScan {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }
}

/// What a kind of packed codes defines; the rest is the same for all.
pub trait FastScan: Index {
    /// The packed codes.
    fn fast_scan(&self) -> &IndexFastScan;
    /// The same, to be changed.
    fn fast_scan_mut(&mut self) -> &mut IndexFastScan;
    /// Makes the codes.
    fn codec(&self) -> &dyn Quantizer;
    /// What makes codes, to be trained.
    fn codec_mut(&mut self) -> &mut dyn Quantizer;
    /// Learns from vectors `(n, d)`.
    fn train_codec(&mut self, x: &[f32]) -> Result<()> {
        self.codec_mut().train(x)
    }
    /// What the sums of the last two parts are multiplied by, where they are norms whose tables were divided by it.
    fn norm_factor(&self) -> u16 {
        1
    }
    /// The tables of queries, `n * M * 16` numbers.
    fn tables(&self, x: &[f32], tables: &mut [f32]) -> Result<()>;

    /// The number of vectors; an error where the codes are not so many.
    fn check_codes(&self) -> Result<usize> {
        let (own, codec) = (self.fast_scan(), self.codec());
        codec.check()?;
        let base = codec.quantizer_base();
        Error::check(base.d == own.dim() && base.code_size == own.code_size, "the quantizer's d and code_size")?;
        own.count()
    }
}

crate::view!(FastScan, "IndexFastScan");

pub(crate) fn train(index: &mut dyn FastScan, x: &[f32]) -> Result<()> {
    if index.base().is_trained {
        return Ok(());
    }
    index.base().rows(x)?;
    index.train_codec(x)?;
    index.base_mut().is_trained = true;
    Ok(())
}

pub(crate) fn sa_encode(index: &dyn FastScan, x: &[f32], codes: &mut [u8]) -> Result<()> {
    Error::check(index.base().is_trained, "is_trained")?;
    index.codec().compute_codes(x, codes)
}

pub(crate) fn add(index: &mut dyn FastScan, x: &[f32]) -> Result<()> {
    index.check_codes()?;
    let n = index.base().rows(x)?;
    let mut codes = vec![0; n * index.fast_scan().code_size];
    sa_encode(index, x, &mut codes)?;
    index.fast_scan_mut().append(&codes)
}

pub(crate) fn add_sa_codes(index: &mut dyn FastScan, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
    Error::check(ids.is_none(), "ids of added codes count up and can't be given")?;
    index.check_codes()?;
    index.fast_scan_mut().append(codes)
}

pub(crate) fn reconstruct_n(index: &dyn FastScan, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
    index.check_codes()?;
    let first = index.base().checked_range(i0, ni, out)?;
    index.codec().decode(&index.fast_scan().unpacked(first, ni), out)
}

pub(crate) fn remove_ids(index: &mut dyn FastScan, sel: &dyn IDSelector) -> Result<usize> {
    index.fast_scan_mut().remove(sel)
}

pub(crate) fn reset(index: &mut dyn FastScan) -> Result<()> {
    let own = index.fast_scan_mut();
    own.codes.clear();
    own.original.clear();
    (own.base.ntotal, own.ntotal2) = (0, 0);
    Ok(())
}

pub(crate) fn check_compatible_for_merge(index: &dyn Index, other: &dyn Index) -> Result<()> {
    check_same_type(index, other)?;
    let (ours, theirs) = (receiver::<IndexFastScan>(index)?, receiver::<IndexFastScan>(other)?);
    Error::check(theirs.M == ours.M, "other->M == M")?;
    Error::check(theirs.bbs == ours.bbs, "other->bbs == bbs")
}

pub(crate) fn merge_from(index: &mut dyn FastScan, other: &mut dyn Index, add_id: i64) -> Result<()> {
    Error::check(add_id == 0, "cannot set ids in FastScan index")?;
    check_compatible_for_merge(index, other)?;
    let other: &mut dyn FastScan = view_mut(other)?;
    let n = other.check_codes()?;
    let codes = other.fast_scan().unpacked(0, n);
    index.fast_scan_mut().append(&codes)?;
    reset(other)
}

/// Inside `impl Index for T`, where `T` is a [`FastScan`]: all of it, or all but `search`.
#[macro_export]
macro_rules! fast_scan_index {
    () => {
        $crate::fast_scan_index!(but search);
        fn search(
            &self,
            x: &[f32],
            k: usize,
            params: Option<&dyn $crate::base::Object>,
            distances: &mut [f32],
            labels: &mut [i64],
        ) -> $crate::base::Result<()> {
            $crate::index::fast_scan::search::search(self, x, k, params, distances, labels)
        }
    };
    (but search) => {
        fn base(&self) -> &$crate::index::IndexBase {
            self
        }
        fn base_mut(&mut self) -> &mut $crate::index::IndexBase {
            self
        }
        fn train(&mut self, x: &[f32]) -> $crate::base::Result<()> {
            $crate::index::fast_scan::train(self, x)
        }
        fn add(&mut self, x: &[f32]) -> $crate::base::Result<()> {
            $crate::index::fast_scan::add(self, x)
        }
        fn reset(&mut self) -> $crate::base::Result<()> {
            $crate::index::fast_scan::reset(self)
        }
        fn reconstruct(&self, key: i64, out: &mut [f32]) -> $crate::base::Result<()> {
            self.position(key)?;
            $crate::index::fast_scan::reconstruct_n(self, key, 1, out)
        }
        fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> $crate::base::Result<()> {
            $crate::index::fast_scan::reconstruct_n(self, i0, ni, out)
        }
        fn remove_ids(&mut self, sel: &dyn $crate::selector::IDSelector) -> $crate::base::Result<usize> {
            $crate::index::fast_scan::remove_ids(self, sel)
        }
        fn sa_code_size(&self) -> $crate::base::Result<usize> {
            Ok(self.code_size)
        }
        fn sa_encode(&self, x: &[f32], codes: &mut [u8]) -> $crate::base::Result<()> {
            $crate::index::fast_scan::sa_encode(self, x, codes)
        }
        fn sa_decode(&self, codes: &[u8], x: &mut [f32]) -> $crate::base::Result<()> {
            $crate::index::fast_scan::FastScan::codec(self).decode(codes, x)
        }
        fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> $crate::base::Result<()> {
            $crate::index::fast_scan::add_sa_codes(self, codes, ids)
        }
        fn check_compatible_for_merge(&self, other: &dyn $crate::index::Index) -> $crate::base::Result<()> {
            $crate::index::fast_scan::check_compatible_for_merge(self, other)
        }
        fn merge_from(&mut self, other: &mut dyn $crate::index::Index, add_id: i64) -> $crate::base::Result<()> {
            $crate::index::fast_scan::merge_from(self, other, add_id)
        }
    };
}
