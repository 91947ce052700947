//! Vectors cut into parts, of each of which the length and the nearest point of the integer lattice on a sphere are stored.

use faiss_derive::{Object, methods};

use super::flat_codes::{FlatCodes, IndexFlatCodes};
use super::{Index, IndexBase};
use crate::base::{Error, Handle, MetricType, Result};
use crate::grammar::{Grammar, number};
use crate::quantize::bits::{BitstringReader, BitstringWriter};
use crate::quantize::codec::{CodeDistances, check_sizes};
use crate::quantize::decoded::Decoded;
use crate::quantize::lattice::{EnumeratedVectors, ZnSphereCodecAlt};
use crate::quantize::{Quantizer, QuantizerBase};
use crate::registry::Row;
use crate::stream::fields::{Form, Stored};
use crate::stream::get_deserialization_lattice_r2_limit;
use crate::stream::{Reader, Writer};

/// Stores of each part of a vector its length, in a few bits, and the number of the lattice point in whose direction it lies.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index), copy)]
pub struct IndexLattice {
    /// The codes.
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// Number of parts.
    #[object(readonly)]
    pub nsq: i32,
    /// Dimension of a part.
    #[object(readonly)]
    pub dsq: usize,
    /// Numbers the lattice points.
    pub zn_sphere_codec: ZnSphereCodecAlt,
    /// Bits of a part's length.
    #[object(readonly)]
    pub scale_nbit: i32,
    /// Bits of a lattice point.
    #[object(readonly)]
    pub lattice_nbit: i32,
    /// The least length of each part and the largest of each, `2 * nsq` numbers.
    pub trained: Vec<f32>,
    sizes: QuantizerBase,
}

pub(crate) const ROW: Row = Row::of::<IndexLattice>()
    .grammar(Grammar::Index(|d, part, _| {
        // `ZnLattice3x10_6`: three parts, squared radius 10, six bits for lengths.
        let sizes = part.strip_prefix("ZnLattice").and_then(|sizes| sizes.split_once('x'));
        let sizes = sizes.and_then(|(nsq, rest)| Some((nsq, rest.split_once('_')?)));
        let Some((nsq, (r2, scale_nbit))) = sizes else { return Ok(None) };
        let int = |text: &str| number(text).map(|n| i32::try_from(n).unwrap_or(i32::MAX));
        let (Some(nsq), Some(r2), Some(scale_nbit)) = (int(nsq), int(r2), int(scale_nbit)) else { return Ok(None) };
        Ok(Some(Handle::new(IndexLattice::new(d, nsq, scale_nbit, r2)?)))
    }))
    .format(crate::file_format!(IndexLattice, ["IxLa"], |index| {
        index.d;
        index.nsq;
        index.scale_nbit;
        index.zn_sphere_codec.r2;
        read {
            let (d, r2, limit) = (index.d, index.zn_sphere_codec.r2, get_deserialization_lattice_r2_limit());
            Error::check(limit == 0 || r2 as usize <= limit, "r2 <= get_deserialization_lattice_r2_limit()")?;
        }
        index.base => WithoutCodes;
        index.trained;
        read {
            Error::check(index.d == d, "idxl->d == d")?;
            let (base, trained) = (index.base.clone(), std::mem::take(&mut index.trained));
            *index = IndexLattice::new(i64::from(d), index.nsq, index.scale_nbit, r2)?;
            (index.flat_codes.base, index.trained) = (base, trained);
        }
    }, index.check_codes()));

/// Files have no codes of this type.
struct WithoutCodes;

impl Form<IndexBase> for WithoutCodes {
    fn read(&self, base: &mut IndexBase, input: &mut Reader<'_>) -> Result<()> {
        base.read_from(input, "idxl")?;
        Error::check(base.ntotal == 0, "idxl->ntotal == 0")
    }
    fn write(&self, base: &IndexBase, out: &mut Writer<'_>) -> Result<()> {
        IndexBase { ntotal: 0, ..base.clone() }.write_to(out)
    }
}

#[methods]
impl IndexLattice {
    /// Of `nsq` parts, with lattice points of squared radius `r2` and lengths of `scale_nbit` bits.
    #[new]
    pub fn new(d: i64, nsq: i32, scale_nbit: i32, r2: i32) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, MetricType::L2)? };
        Error::check(nsq > 0 && base.d % nsq == 0, "d_in % nsq_in == 0")?;
        Error::check((0..=24).contains(&scale_nbit), "scale_nbit >= 0 && scale_nbit <= 24")?;
        let dsq = base.dim() / nsq as usize;
        let zn_sphere_codec = ZnSphereCodecAlt::new(dsq as i32, r2)?;
        let lattice_nbit = (u64::BITS - zn_sphere_codec.nv().saturating_sub(1).leading_zeros()) as i32;
        let code_size = ((lattice_nbit + scale_nbit) as usize * nsq as usize).div_ceil(8);
        let sizes = QuantizerBase { d: base.dim(), code_size };
        Ok(IndexLattice {
            flat_codes: IndexFlatCodes::new(base, code_size),
            nsq,
            dsq,
            zn_sphere_codec,
            scale_nbit,
            lattice_nbit,
            trained: Vec::new(),
            sizes,
        })
    }
}

impl IndexLattice {
    fn parts(&self) -> usize {
        self.nsq.max(0) as usize
    }

    /// The least and the largest length of a part, after a check that there are such.
    fn lengths(&self, part: usize) -> Result<(f32, f32)> {
        match (self.trained.get(part), self.trained.get(self.parts() + part)) {
            (Some(least), Some(most)) => Ok((*least, *most)),
            _ => Err(Error::failed("trained.size() == 2 * nsq", "the index is not trained")),
        }
    }
}

fn norm(x: &[f32]) -> f32 {
    crate::simd::fvec_norm_L2sqr(x).sqrt()
}

impl Quantizer for IndexLattice {
    fn quantizer_base(&self) -> &QuantizerBase {
        &self.sizes
    }
    fn check(&self) -> Result<()> {
        let whole = self.parts().checked_mul(self.dsq) == Some(self.sizes.d) && self.dsq == self.zn_sphere_codec.dim();
        Error::check(whole && self.sizes.d > 0, "d == nsq * dsq")?;
        let trained = !self.is_trained || self.trained.len() == 2 * self.parts();
        Error::check(trained, "trained.size() == 2 * nsq")
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        let (parts, dsq) = (self.parts(), self.dsq.max(1));
        let mut trained = vec![f32::INFINITY; parts];
        trained.resize(2 * parts, 0.0);
        for (i, part) in x.chunks_exact(dsq).enumerate() {
            let (at, length) = (i % parts, norm(part));
            trained[at] = trained[at].min(length);
            trained[parts + at] = trained[parts + at].max(length);
        }
        self.trained = trained;
        Ok(())
    }
    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        check_sizes(&self.sizes, x, codes)?;
        let (d, size, steps) = (self.sizes.d.max(1), self.sizes.code_size, (1u32 << self.scale_nbit) as f32);
        for (row, code) in x.chunks_exact(d).zip(codes.chunks_exact_mut(size.max(1))) {
            let mut bits = BitstringWriter::default();
            for (i, part) in row.chunks_exact(self.dsq).enumerate() {
                let (least, most) = self.lengths(i)?;
                // A NaN, of lengths that are all the same, becomes 0.
                let step = ((norm(part) - least) / (most - least) * steps).floor().clamp(0.0, steps - 1.0);
                bits.write(step as u64, self.scale_nbit as u32);
                bits.write(self.zn_sphere_codec.encode(part)?, self.lattice_nbit as u32);
            }
            code.copy_from_slice(&bits.finish());
        }
        Ok(())
    }
    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        check_sizes(&self.sizes, x, codes)?;
        let (d, size, steps) = (self.sizes.d.max(1), self.sizes.code_size, (1u32 << self.scale_nbit) as f32);
        let radius = (self.zn_sphere_codec.r2 as f32).sqrt();
        let short = || Error::failed("bytes.size() == n * code_size", "a code is too short");
        for (row, code) in x.chunks_exact_mut(d).zip(codes.chunks_exact(size.max(1))) {
            let mut bits = BitstringReader::new(code);
            for (i, part) in row.chunks_exact_mut(self.dsq).enumerate() {
                let (least, most) = self.lengths(i)?;
                let step = bits.read(self.scale_nbit as u32).ok_or_else(short)? as f32;
                let point = bits.read(self.lattice_nbit as u32).ok_or_else(short)?;
                self.zn_sphere_codec.decode(point, part)?;
                let length = least + (step + 0.5) * (most - least) / steps;
                part.iter_mut().for_each(|v| *v *= length / radius);
            }
        }
        Ok(())
    }
    fn code_distances(&self, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        Ok(Box::new(Decoded::new(self, metric)))
    }
}

impl FlatCodes for IndexLattice {
    crate::codes_and_codec!(flat_codes);
}

impl Index for IndexLattice {
    crate::flat_codes_index!();
}
