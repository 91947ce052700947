//! How the parts of an index description (`PCA8,IVF100,PQ4`) make objects. Each type's row says what part it is; the factory puts the parts
//! together.

use crate::base::{Handle, MetricType, Result, Shared};
use crate::index::Index;

/// The part of a description that a type is. Functions return `None` for a part that is another type's.
#[derive(Clone, Copy)]
pub enum Grammar {
    /// `Flat`, `PQ8`: an index, from its dimension, the part and the metric.
    Index(fn(i64, &str, MetricType) -> Result<Option<Handle>>),
    /// What comes after `IVF100,`: an inverted file.
    InvertedFile(fn(&Coarse, &str) -> Result<Option<Handle>>),
    /// What comes after `HNSW32,`: a graph over such a storage, from the dimension, the links a vector, the part (empty where there is none) and the
    /// metric.
    Graph(fn(i64, i32, &str, MetricType) -> Result<Option<Handle>>),
    /// `PCA8`: a transform before an index, from its input dimension and the part.
    Transform(fn(i64, &str) -> Result<Option<Handle>>),
    /// `RFlat`: an index around the one that the parts before it describe.
    Around(Around),
}

/// What an inverted file is made over.
pub struct Coarse {
    pub quantizer: Shared<dyn Index>,
    pub d: i64,
    pub nlist: usize,
    pub metric: MetricType,
}

/// A part that goes around an index.
#[derive(Clone, Copy)]
pub struct Around {
    pub name: &'static str,
    /// Whether it may stand before that index too.
    pub leads: bool,
    /// Whether it may stand behind it.
    pub trails: bool,
    /// Whether a description of another index follows in parentheses.
    pub nested: bool,
    /// Makes it from the index and the nested one.
    pub make: fn(Shared<dyn Index>, Option<Shared<dyn Index>>) -> Result<Handle>,
}

/// The number that a text is, all of it.
pub fn number(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

/// The number that follows a name.
pub fn number_after(part: &str, name: &str) -> Option<i64> {
    number(part.strip_prefix(name)?)
}

/// A product quantizer: `PQ8`, `PQ8x6`, and `PQ8np` without polysemous training.
pub struct PqPart {
    pub m: usize,
    pub nbits: usize,
    pub polysemous: bool,
}

impl PqPart {
    pub(crate) fn parse(part: &str) -> Option<PqPart> {
        let sizes = part.strip_prefix("PQ")?;
        let (sizes, polysemous) = sizes.strip_suffix("np").map_or((sizes, true), |sizes| (sizes, false));
        let (m, nbits) = sizes.split_once('x').unwrap_or((sizes, "8"));
        Some(PqPart { m: number(m)? as usize, nbits: number(nbits)? as usize, polysemous })
    }
}

/// An additive quantizer with its search type: `RQ8x8`, `RQ1x16_6x8_Nqint8`, `LSQ4x8`, `PRQ2x4x8`, `PLSQ2x4x8`. Without `_N`, codes are decoded
/// for L2 and looked up in tables for inner products.
pub enum AdditivePart {
    Residual { nbits: Vec<usize>, norm: i32 },
    LocalSearch { m: usize, nbits: usize, norm: i32 },
    ProductResidual { nsplits: usize, m: usize, nbits: usize, norm: i32 },
    ProductLocalSearch { nsplits: usize, m: usize, nbits: usize, norm: i32 },
}

impl AdditivePart {
    pub(crate) fn parse(part: &str, metric: MetricType) -> Option<AdditivePart> {
        let (sizes, norm) = match part.split_once("_N") {
            Some((sizes, name)) => {
                let names = ["", "none", "", "float", "qint8", "qint4", "cqint8", "cqint4", "lsq2x4", "rq2x4"];
                (sizes, names.iter().position(|known| !known.is_empty() && *known == name)? as i32)
            }
            None => (part, i32::from(metric.is_similarity())),
        };
        let of = |text: &str| number(text).map(|n| n as usize);
        let two = |text: &str| text.split_once('x').and_then(|(m, nbits)| Some((of(m)?, of(nbits)?)));
        let three = |text: &str| {
            let (nsplits, rest) = text.split_once('x')?;
            two(rest).and_then(|(m, nbits)| Some((of(nsplits)?, m, nbits)))
        };
        // The longer names first: a shorter one is a part of them.
        if let Some(sizes) = sizes.strip_prefix("PRQ") {
            let (nsplits, m, nbits) = three(sizes)?;
            return Some(AdditivePart::ProductResidual { nsplits, m, nbits, norm });
        }
        if let Some(sizes) = sizes.strip_prefix("PLSQ") {
            let (nsplits, m, nbits) = three(sizes)?;
            return Some(AdditivePart::ProductLocalSearch { nsplits, m, nbits, norm });
        }
        if let Some(sizes) = sizes.strip_prefix("LSQ") {
            let (m, nbits) = two(sizes)?;
            return Some(AdditivePart::LocalSearch { m, nbits, norm });
        }
        let mut nbits = Vec::new();
        for group in sizes.strip_prefix("RQ")?.split('_') {
            let (m, bits) = two(group).filter(|(m, _)| *m <= 1 << 16)?;
            nbits.extend(std::iter::repeat_n(bits, m));
        }
        Some(AdditivePart::Residual { nbits, norm })
    }
}

/// Packed codes of an additive quantizer of four bits: `RQ8x4fs_Nrq2x4`, `LSQ8x4fs_64_Nlsq2x4`, `PRQ2x4x4fsr` of residuals.
pub struct AdditiveFastScanPart {
    pub quantizer: AdditivePart,
    pub by_residual: bool,
    pub bbs: i64,
}

impl AdditiveFastScanPart {
    pub(crate) fn parse(part: &str, metric: MetricType) -> Option<AdditiveFastScanPart> {
        let (sizes, rest) = part.split_once("x4fs").filter(|(sizes, _)| !sizes.contains('_'))?;
        let form = rest.split_once("_N").map_or(rest, |(form, _)| form);
        let (by_residual, bbs) = fast_scan_form(form)?;
        let quantizer = AdditivePart::parse(&format!("{sizes}x4{}", &rest[form.len()..]), metric)?;
        Some(AdditiveFastScanPart { quantizer, by_residual, bbs })
    }
}

/// A scalar quantizer's type: `SQ8`, `SQfp16`, `SQtq4`.
pub fn sq_part(part: &str) -> Option<i32> {
    use crate::quantize::scalar::kind::*;
    Some(match part.strip_prefix("SQ")? {
        "8" => QT_8bit,
        "4" => QT_4bit,
        "6" => QT_6bit,
        "fp16" => QT_fp16,
        "bf16" => QT_bf16,
        "8_direct" => QT_8bit_direct,
        "8_direct_signed" => QT_8bit_direct_signed,
        "0" => QT_0bit,
        "tqmse1" => QT_1bit_tqmse,
        "tqmse2" => QT_2bit_tqmse,
        "tqmse3" => QT_3bit_tqmse,
        "tqmse4" => QT_4bit_tqmse,
        "tqmse8" => QT_8bit_tqmse,
        "tq2" => QT_2bit_tq,
        "tq3" => QT_3bit_tq,
        "tq4" => QT_4bit_tq,
        "tq5" => QT_5bit_tq,
        _ => return None,
    })
}

/// Packed codes of four bits: `PQ8x4fs`, `PQ8x4fsr` of residuals, `PQ8x4fs_64` in blocks of 64.
pub struct FastScanPart {
    pub m: usize,
    pub by_residual: bool,
    pub bbs: i64,
}

impl FastScanPart {
    /// `name` is what stands before the number of parts.
    pub fn parse(part: &str, name: &str) -> Option<FastScanPart> {
        let (m, form) = part.strip_prefix(name)?.split_once("x4fs")?;
        let (by_residual, bbs) = fast_scan_form(form)?;
        Some(FastScanPart { m: number(m)? as usize, by_residual, bbs })
    }
}

/// What may follow `fs`: whether codes are of residuals, and how many vectors a block has.
fn fast_scan_form(form: &str) -> Option<(bool, i64)> {
    let (by_residual, form) = form.strip_prefix('r').map_or((false, form), |form| (true, form));
    Some((by_residual, if form.is_empty() { 32 } else { number(form.strip_prefix('_')?)? }))
}

/// RaBitQ codes of 1 to 9 bits: `RaBitQ`, `RaBitQ4`; packed `RaBitQfs`, `RaBitQfs4`, and `RaBitQfs4_64` in blocks of 64.
pub struct RaBitQPart {
    pub nb_bits: usize,
    /// Vectors of a block, where codes are packed.
    pub bbs: Option<i64>,
}

impl RaBitQPart {
    pub(crate) fn parse(part: &str) -> Option<RaBitQPart> {
        let form = part.strip_prefix("RaBitQ")?;
        let (form, packed) = form.strip_prefix("fs").map_or((form, false), |form| (form, true));
        let (bits, bbs) = match form.split_once('_') {
            Some((bits, bbs)) if packed => (bits, Some(number(bbs)?)),
            Some(_) => return None,
            None => (form, packed.then_some(32)),
        };
        let nb_bits = bits_of(bits, 9)?;
        Some(RaBitQPart { nb_bits, bbs })
    }
}

/// A number of bits of one digit, 1 to `most`; 1 where there is none.
pub fn bits_of(text: &str, most: usize) -> Option<usize> {
    let bits = if text.is_empty() { 1 } else { number(text).filter(|_| text.len() == 1)? as usize };
    (1..=most).contains(&bits).then_some(bits)
}
