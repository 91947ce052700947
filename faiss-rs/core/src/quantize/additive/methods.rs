//! What all additive quantizers offer to Python.

use faiss_derive::methods;

use super::{Additive, AdditiveQuantizer};
use crate::base::declare::Rows;
use crate::base::{Error, Result};

/// The methods of every [`Additive`].
pub struct AdditiveMethods;

fn numbers_of(codes: &[i32]) -> Result<Vec<u32>> {
    let numbers = codes.iter().map(|c| u32::try_from(*c));
    numbers.collect::<std::result::Result<_, _>>().map_err(|_| Error::failed("codes[i] >= 0", "a code is negative"))
}

fn rows(x: &[f32], aq: &AdditiveQuantizer) -> Result<usize> {
    Error::check(aq.base.d > 0 && x.len().is_multiple_of(aq.base.d), "x.size() % d == 0")?;
    Ok(x.len() / aq.base.d)
}

#[methods]
impl AdditiveMethods {
    /// Learns the codebooks from vectors (n, d).
    fn train(this: &mut dyn Additive, x: &[f32]) -> Result<()> {
        rows(x, this.aq())?;
        this.train(x)
    }

    /// Encodes vectors (n, d) to codes (n, code_size) of uint8.
    fn compute_codes(this: &dyn Additive, x: &[f32]) -> Result<Rows<u8>> {
        let size = this.aq().base.code_size;
        let mut codes = vec![0; rows(x, this.aq())? * size];
        this.compute_codes_add_centroids(x, &mut codes, None)?;
        Ok(Rows(codes, size))
    }

    /// As compute_codes, where the norms that are stored are those of what is decoded plus centroids (n, d).
    fn compute_codes_add_centroids(this: &dyn Additive, x: &[f32], centroids: Option<&[f32]>) -> Result<Rows<u8>> {
        let size = this.aq().base.code_size;
        Error::check(centroids.is_none_or(|c| c.len() == x.len()), "centroids.size() == x.size()")?;
        let mut codes = vec![0; rows(x, this.aq())? * size];
        this.compute_codes_add_centroids(x, &mut codes, centroids)?;
        Ok(Rows(codes, size))
    }

    /// The numbers of entries (n, M) that vectors (n, d) are encoded to.
    #[name = "_unpacked_codes"]
    fn unpacked(this: &dyn Additive, x: &[f32]) -> Result<Rows<i32>> {
        this.aq().check_trained()?;
        rows(x, this.aq())?;
        let numbers = this.compute_unpacked_codes(x)?;
        Ok(Rows(numbers.into_iter().map(|number| number as i32).collect(), this.aq().M))
    }

    /// Decodes codes (n, code_size) of uint8 to vectors (n, d).
    fn decode(this: &dyn Additive, codes: &[u8]) -> Result<Rows<f32>> {
        let aq = this.aq();
        let mut x = vec![0.0; codes.len() / aq.base.code_size.max(1) * aq.base.d];
        aq.decode_codes(codes, &mut x)?;
        Ok(Rows(x, aq.base.d))
    }

    /// Packs numbers of entries (n, M) to codes (n, code_size), with the norms of what they decode to plus centroids (n, d).
    fn pack_codes(this: &dyn Additive, codes: &[i32], centroids: Option<&[f32]>) -> Result<Rows<u8>> {
        let aq = this.aq();
        Error::check(aq.M > 0 && codes.len().is_multiple_of(aq.M), "codes.size() % M == 0")?;
        let n = codes.len() / aq.M;
        Error::check(centroids.is_none_or(|c| c.len() == n * aq.base.d), "centroids.size() == n * d")?;
        let mut packed = vec![0; n * aq.base.code_size];
        aq.pack_codes(&numbers_of(codes)?, &mut packed, None, centroids)?;
        Ok(Rows(packed, aq.base.code_size))
    }

    /// The sums of the entries that numbers (n, M) name: (n, d).
    fn decode_unpacked(this: &dyn Additive, codes: &[i32]) -> Result<Rows<f32>> {
        let aq = this.aq();
        aq.check_trained()?;
        Error::check(aq.M > 0 && codes.len().is_multiple_of(aq.M), "codes.size() % M == 0")?;
        let numbers = numbers_of(codes)?;
        let valid = numbers.chunks_exact(aq.M).all(|row| row.iter().zip(&aq.nbits).all(|(n, b)| n >> b == 0));
        Error::check(valid, "codes[i * M + m] < 1 << nbits[m]")?;
        let mut x = vec![0.0; numbers.len() / aq.M * aq.base.d];
        aq.decode_unpacked(&numbers, &mut x);
        Ok(Rows(x, aq.base.d))
    }

    /// `alpha` times the products of vectors (n, d) with all entries: (n, total_codebook_size).
    fn compute_LUT(this: &dyn Additive, xq: &[f32], #[default = 1.0] alpha: f32) -> Result<Rows<f32>> {
        let aq = this.aq();
        aq.check_trained()?;
        let mut table = vec![0.0; rows(xq, aq)? * aq.total_codebook_size];
        aq.compute_LUT(xq, alpha, &mut table)?;
        Ok(Rows(table, aq.total_codebook_size))
    }

    /// The vector that the code of a number decodes to.
    fn decode_64bit(this: &dyn Additive, n: i64) -> Result<Vec<f32>> {
        this.aq().check_trained()?;
        let mut x = vec![0.0; this.aq().base.d];
        this.aq().decode_64bit(n as u64, &mut x)?;
        Ok(x)
    }

    /// Squared norms of the vectors of all codes.
    fn compute_centroid_norms(this: &dyn Additive) -> Result<Vec<f32>> {
        this.aq().compute_centroid_norms()
    }

    /// Sets what follows from M, nbits and search_type.
    fn set_derived_values(this: &mut dyn Additive) -> Result<()> {
        this.aq_mut().set_derived_values()
    }

    /// Fills the tables of norms and products of entries.
    fn compute_codebook_tables(this: &mut dyn Additive) -> Result<()> {
        this.aq().check_trained()?;
        this.aq_mut().compute_codebook_tables()
    }

    /// Learns how norms (n,) are stored.
    fn train_norm(this: &mut dyn Additive, norms: &[f32]) -> Result<()> {
        this.aq_mut().train_norm(norms)
    }

    /// The bits that are stored of a norm.
    fn encode_norm(this: &dyn Additive, norm: f32) -> Result<i64> {
        Ok(this.aq().encode_norms(&[norm])?[0] as i64)
    }

    /// The number of the value of qnorm that a norm is rounded to.
    fn encode_qcint(this: &dyn Additive, x: f32) -> Result<i64> {
        Ok(this.aq().encode_qcint(x)? as i64)
    }

    /// The value of that number.
    fn decode_qcint(this: &dyn Additive, i: i64) -> Result<f32> {
        let values = this.aq().qnorm.get_xb();
        let value = usize::try_from(i).ok().and_then(|i| values.get(i)).copied();
        value.ok_or_else(|| Error::failed("i < qnorm.ntotal", format!("there is no value {i}")))
    }
}
