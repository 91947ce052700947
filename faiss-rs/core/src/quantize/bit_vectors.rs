//! Bits of vectors and of codes, with Faiss's argument lists. Bits are counted from the lowest of the first byte on.

use faiss_derive::functions;

use super::bits::{BitstringReader, BitstringWriter};
use super::hamming::generalized_hamming;
use crate::base::{Error, Result, threads};
use crate::distance::collect::{Collector, Reservoir};
use crate::distance::results::TopK;

pub use declared::*;

fn bit(code: &[u8], i: usize) -> bool {
    code[i / 8] >> (i % 8) & 1 != 0
}

/// Rows of bytes of `d` bits each, of which those behind are 0.
fn rows(bytes: &mut [u8], d: usize, set: impl Fn(usize, usize) -> bool) {
    for (i, row) in bytes.chunks_exact_mut(d.div_ceil(8).max(1)).enumerate() {
        row.fill(0);
        (0..d).filter(|j| set(i, *j)).for_each(|j| row[j / 8] |= 1 << (j % 8));
    }
}

/// Bytes of numbers of these numbers of bits.
fn bytes_of(nbit: &[i32]) -> Result<usize> {
    let fits = nbit.iter().all(|n| (0..=64).contains(n));
    Error::check(fits, "nbit[i] >= 0 && nbit[i] <= 64")?;
    Ok(nbit.iter().map(|n| *n as usize).sum::<usize>().div_ceil(8))
}

#[functions]
mod declared {
    use super::*;

    /// The signs of d numbers as bits, lowest first: 1 for those that are not negative.
    pub fn fvec2bitvec(#[len = d] x: &[f32], #[len = d.div_ceil(8)] b: &mut [u8], d: usize) -> Result<()> {
        rows(b, d, |_, j| x[j] >= 0.0);
        Ok(())
    }

    /// As fvec2bitvec, for n vectors.
    pub fn fvecs2bitvecs(
        #[len = n * d] x: &[f32],
        #[len = n * d.div_ceil(8)] b: &mut [u8],
        d: usize,
        n: usize,
    ) -> Result<()> {
        rows(b, d, |i, j| x[i * d + j] >= 0.0);
        Ok(())
    }

    /// Bits as numbers: 1 and -1.
    pub fn bitvecs2fvecs(
        #[len = n * d.div_ceil(8)] b: &[u8],
        #[len = n * d] x: &mut [f32],
        d: usize,
        n: usize,
    ) -> Result<()> {
        let codes = b.chunks_exact(d.div_ceil(8).max(1));
        for (row, code) in x.chunks_exact_mut(d.max(1)).zip(codes) {
            row.iter_mut().enumerate().for_each(|(j, v)| *v = if bit(code, j) { 1.0 } else { -1.0 });
        }
        Ok(())
    }

    /// For n codes: bit j of b is bit order[j] of a; they have da and db bits.
    pub fn bitvec_shuffle(
        n: usize,
        da: usize,
        db: usize,
        #[len = db] order: &[i32],
        #[len = n * da.div_ceil(8)] a: &[u8],
        #[len = n * db.div_ceil(8)] b: &mut [u8],
    ) -> Result<()> {
        let known = order.iter().all(|i| usize::try_from(*i).is_ok_and(|i| i < da));
        Error::check(known, "order[i] < da")?;
        let size = da.div_ceil(8);
        rows(b, db, |i, j| bit(&a[i * size..], order[j] as usize));
        Ok(())
    }

    /// How often each bit of n codes is 1: nbits numbers.
    pub fn bincode_hist(
        n: usize,
        nbits: usize,
        #[len = n * nbits.div_ceil(8)] codes: &[u8],
        #[len = nbits] hist: &mut [i32],
    ) -> Result<()> {
        Error::check(nbits.is_multiple_of(8), "nbits % 8 == 0")?;
        hist.fill(0);
        for code in codes.chunks_exact((nbits / 8).max(1)) {
            hist.iter_mut().enumerate().for_each(|(j, count)| *count += i32::from(bit(code, j)));
        }
        Ok(())
    }

    /// The k nearest of nb codes to each of n codes, by the number of bytes that differ, equal ones by position.
    #[name = "_generalized_hammings_knn"]
    pub fn generalized_hammings_knn(
        n: usize,
        #[len = n * code_size] a: &[u8],
        nb: usize,
        #[len = nb * code_size] b: &[u8],
        code_size: usize,
        k: usize,
        #[len = n * k] distances: &mut [i32],
        #[len = n * k] labels: &mut [i64],
    ) -> Result<()> {
        if k == 0 {
            return Ok(());
        }
        let out = TopK::whole(k, distances, labels);
        threads::parallel_for(n, |i| {
            let (query, mut best) = (&a[i * code_size..(i + 1) * code_size], Reservoir::new(k));
            for j in 0..nb {
                best.push(generalized_hamming(query, &b[j * code_size..(j + 1) * code_size]) as f32, j as i64);
            }
            out.write(i, &best.finish());
            Ok(())
        })
    }

    /// Packs n rows of numbers, of nbit[j] bits each, one after the other: lowest bits first, each row from a byte on.
    #[name = "_pack_bitstrings"]
    pub fn pack_bitstrings(
        n: usize,
        m: usize,
        #[len = m] nbit: &[i32],
        #[len = n * m] unpacked: &[i64],
        #[len = n * code_size] packed: &mut [u8],
        code_size: usize,
    ) -> Result<()> {
        let used = bytes_of(nbit)?;
        Error::check(used <= code_size, "code_size * 8 >= the sum of nbit")?;
        packed.fill(0);
        for (row, code) in unpacked.chunks_exact(m.max(1)).zip(packed.chunks_exact_mut(code_size.max(1))) {
            let mut writer = BitstringWriter::default();
            row.iter().zip(nbit).for_each(|(value, nbit)| writer.write(*value as u64, *nbit as u32));
            code[..used].copy_from_slice(&writer.finish());
        }
        Ok(())
    }

    /// The reverse of pack_bitstrings, for rows of code_size bytes.
    #[name = "_unpack_bitstrings"]
    pub fn unpack_bitstrings(
        n: usize,
        m: usize,
        #[len = m] nbit: &[i32],
        #[len = n * code_size] packed: &[u8],
        code_size: usize,
        #[len = n * m] unpacked: &mut [i32],
    ) -> Result<()> {
        Error::check(bytes_of(nbit)? <= code_size, "code_size * 8 >= the sum of nbit")?;
        for (row, code) in unpacked.chunks_exact_mut(m.max(1)).zip(packed.chunks_exact(code_size.max(1))) {
            let mut reader = BitstringReader::new(code);
            row.iter_mut().zip(nbit).for_each(|(v, nbit)| *v = reader.read(*nbit as u32).unwrap_or(0) as i32);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_become_bits_and_back() {
        let (d, n) = (11, 3);
        let mut x = vec![0f32; n * d];
        crate::random::float_randn(&mut x, 3).unwrap();
        let (mut bits, mut back) = (vec![0xff; n * 2], vec![0f32; n * d]);
        fvecs2bitvecs(&x, &mut bits, d, n).unwrap();
        assert!(bits.chunks(2).all(|code| code[1] >> 3 == 0));
        bitvecs2fvecs(&bits, &mut back, d, n).unwrap();
        x.iter().zip(&back).for_each(|(v, b)| assert_eq!(v.signum(), *b));
        let mut one = [0; 2];
        fvec2bitvec(&x[d..2 * d], &mut one, d).unwrap();
        assert_eq!(one, bits[2..4]);
        fvecs2bitvecs(&[], &mut [], 0, 4).unwrap();
    }

    #[test]
    fn bits_are_chosen_and_counted() {
        let (codes, mut out) = ([0b1010_0001u8, 0b0000_0011, 0b1000_0000, 0b0000_0001], [0u8; 2]);
        bitvec_shuffle(2, 16, 3, &[8, 0, 7], &codes, &mut out).unwrap();
        assert_eq!(out, [0b111, 0b101]);
        assert!(bitvec_shuffle(2, 16, 3, &[8, 16, 7], &codes, &mut out).is_err());
        assert!(bitvec_shuffle(2, 16, 3, &[8, -1, 7], &codes, &mut out).is_err());
        let mut hist = [9; 16];
        bincode_hist(2, 16, &codes, &mut hist).unwrap();
        assert_eq!(hist, [1, 0, 0, 0, 0, 1, 0, 2, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert!(bincode_hist(2, 15, &codes, &mut hist[..15]).is_err());
    }

    #[test]
    fn codes_differ_in_bytes() {
        let b = [1, 2, 3, 1, 9, 9, 1, 2, 4];
        let (mut distances, mut labels) = ([0; 4], [0; 4]);
        generalized_hammings_knn(1, &[1, 2, 3], 3, &b, 3, 4, &mut distances, &mut labels).unwrap();
        assert_eq!((distances, labels), ([0, 1, 2, i32::MAX], [0, 2, 1, -1]));
        generalized_hammings_knn(0, &[], 3, &b, 3, 4, &mut [], &mut []).unwrap();
    }

    #[test]
    fn rows_of_numbers_are_packed() {
        let (nbit, rows) = ([5, 0, 13, 1], [3i64, 0, 4097, 1, 31, 0, 8191, 0]);
        let (mut packed, mut back) = ([0u8; 6], [0i32; 8]);
        pack_bitstrings(2, 4, &nbit, &rows, &mut packed, 3).unwrap();
        unpack_bitstrings(2, 4, &nbit, &packed, 3, &mut back).unwrap();
        assert_eq!(back.map(i64::from), rows);
        assert!(unpack_bitstrings(2, 4, &nbit, &packed[..4], 2, &mut back).is_err());
        assert!(pack_bitstrings(1, 1, &[65], &[1], &mut packed, 6).is_err());
        assert!(pack_bitstrings(2, 4, &nbit, &rows, &mut packed[..4], 2).is_err());
    }
}
