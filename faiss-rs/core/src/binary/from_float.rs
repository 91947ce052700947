//! Binary vectors in an index over floats.

use faiss_derive::{Object, methods};

use super::{IndexBinary, IndexBinaryBase, binary_base, no_params};
use crate::base::{Error, Object, Result, Shared};
use crate::index::Index;
use crate::registry::Row;

/// Vectors that are converted at a time.
const BLOCK: usize = 4096;

/// Stores each bit as +1 or -1 in an index over floats, whose squared L2 distances are four times Hamming distances.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IndexBinary), copy(index, own_fields = true))]
pub struct IndexBinaryFromFloat {
    /// What every binary index has.
    #[object(parent)]
    pub base: IndexBinaryBase,
    /// The index over floats.
    pub index: Option<Shared<dyn Index>>,
    /// Whether that index belongs to this one. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
}

pub(crate) const ROW: Row =
    Row::of::<IndexBinaryFromFloat>().format(crate::file_format!(IndexBinaryFromFloat, ["IBFf"], |index| {
        index.base;
        index.index;
        read {
            index.own_fields = true;
            let same = index.index.as_ref().is_none_or(|inner| inner.read().base().d == index.d);
            Error::check(same, "index->d == d")?;
        }
    }));

#[methods(new)]
impl IndexBinaryFromFloat {
    /// Over an index of as many dimensions as vectors have bits.
    #[new]
    pub fn new(index: Shared<dyn Index>) -> Result<Self> {
        let mut base = IndexBinaryBase::new(i64::from(index.read().base().d))?;
        (base.is_trained, base.ntotal) = (index.read().base().is_trained, index.read().base().ntotal);
        Ok(IndexBinaryFromFloat { base, index: Some(index), own_fields: false })
    }
}

impl IndexBinaryFromFloat {
    fn inner(&self) -> Result<&Shared<dyn Index>> {
        self.index.as_ref().ok_or_else(|| Error::failed("index", "the index over floats was taken away"))
    }
}

/// Bits to floats: +1 for one that is set, -1 for one that is not, the lowest bit of a byte first.
pub fn binary_to_real(bits: &[u8], x: &mut [f32]) -> Result<()> {
    Error::check(bits.len().checked_mul(8) == Some(x.len()), "x_out.size() == x_in.size() * 8")?;
    for (byte, x) in bits.iter().zip(x.chunks_exact_mut(8)) {
        x.iter_mut().enumerate().for_each(|(i, x)| *x = if byte >> i & 1 == 1 { 1.0 } else { -1.0 });
    }
    Ok(())
}

/// The reverse: bits are set where numbers are above 0.
pub fn real_to_binary(x: &[f32], bits: &mut [u8]) -> Result<()> {
    Error::check(bits.len().checked_mul(8) == Some(x.len()), "x_in.size() == x_out.size() * 8")?;
    for (byte, x) in bits.iter_mut().zip(x.chunks_exact(8)) {
        *byte = x.iter().enumerate().fold(0, |byte, (i, x)| byte | u8::from(*x > 0.0) << i);
    }
    Ok(())
}

/// All vectors as floats.
pub(super) fn floats(x: &[u8]) -> Result<Vec<f32>> {
    let size = x.len().checked_mul(8).ok_or_else(|| Error::Memory("too many vectors".into()))?;
    let mut out = Vec::new();
    out.try_reserve_exact(size).map_err(|e| Error::Memory(e.to_string()))?;
    out.resize(size, 0.0);
    binary_to_real(x, &mut out)?;
    Ok(out)
}

impl IndexBinary for IndexBinaryFromFloat {
    binary_base!();

    fn train(&mut self, x: &[u8]) -> Result<()> {
        self.rows(x)?;
        let index = self.inner()?.clone();
        let mut index = index.write();
        index.train(&floats(x)?)?;
        (self.is_trained, self.ntotal) = (index.base().is_trained, index.base().ntotal);
        Ok(())
    }
    fn add(&mut self, x: &[u8]) -> Result<()> {
        self.rows(x)?;
        let index = self.inner()?.clone();
        let mut index = index.write();
        let mut result = Ok(());
        for block in x.chunks((BLOCK * self.bytes()).max(1)) {
            result = floats(block).and_then(|x| index.add(&x));
            if result.is_err() {
                break;
            }
        }
        self.ntotal = index.base().ntotal;
        result
    }
    fn reset(&mut self) -> Result<()> {
        let index = self.inner()?.clone();
        index.write().reset()?;
        self.ntotal = 0;
        Ok(())
    }
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        no_params(params)?;
        self.queries(x, k, distances, labels)?;
        let index = self.inner()?.read();
        let rows = distances.chunks_mut(BLOCK * k).zip(labels.chunks_mut(BLOCK * k));
        for (x, (distances, labels)) in x.chunks((BLOCK * self.bytes()).max(1)).zip(rows) {
            let mut squared = vec![0f32; distances.len()];
            index.search(&floats(x)?, k, None, &mut squared, labels)?;
            for ((distance, squared), label) in distances.iter_mut().zip(&squared).zip(&*labels) {
                *distance = if *label < 0 { super::WORST } else { (squared / 4.0).round() as i32 };
            }
        }
        Ok(())
    }
}
