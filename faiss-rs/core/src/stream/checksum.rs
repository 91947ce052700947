//! Checksums of memory: a polynomial modulo 2^64 whose coefficients are the elements, weighted modulo 2^32. Quick to compute and compare.

use faiss_derive::functions;

use crate::base::Result;

pub use declared::*;

const FACTOR: u64 = 65713;
const WEIGHT: u32 = 1_686_049;
const START: u64 = 112_909;

fn checksum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(4);
    let tail = words.remainder();
    let (mut power, mut sum) = (1u64, 0u64);
    for word in words {
        let number = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        sum = sum.wrapping_add(u64::from(number.wrapping_mul(WEIGHT)).wrapping_mul(power));
        power = power.wrapping_mul(FACTOR);
    }
    sum = sum.wrapping_add(START.wrapping_mul(power));
    tail.iter()
        .fold(sum, |sum, byte| sum.wrapping_mul(FACTOR).wrapping_add(u64::from(*byte).wrapping_mul(u64::from(WEIGHT))))
}

#[functions]
mod declared {
    use super::*;

    /// The checksum of n integers.
    pub fn ivec_checksum(n: usize, #[len = n] a: &[i32]) -> Result<u64> {
        Ok(checksum(bytemuck::cast_slice(a)))
    }

    /// The checksum of n bytes.
    pub fn bvec_checksum(n: usize, #[len = n] a: &[u8]) -> Result<u64> {
        Ok(checksum(a))
    }

    /// The checksums of n rows of d bytes.
    pub fn bvecs_checksum(n: usize, d: usize, #[len = n * d] a: &[u8], #[len = n] cs: &mut [usize]) -> Result<()> {
        for (i, out) in cs.iter_mut().enumerate() {
            *out = checksum(&a[i * d..(i + 1) * d]) as usize;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Horner's scheme has the polynomial, from the highest power on.
    #[test]
    fn is_the_polynomial() {
        let bytes: Vec<u8> = (0..23u8).map(|i| i.wrapping_mul(37)).collect();
        for n in 0..bytes.len() {
            let words: Vec<u32> =
                bytes[..n].chunks_exact(4).map(|w| u32::from_le_bytes(w.try_into().unwrap())).collect();
            let mut sum = START;
            for word in words.iter().rev() {
                sum = sum.wrapping_mul(FACTOR).wrapping_add(u64::from(word.wrapping_mul(WEIGHT)));
            }
            for byte in &bytes[n / 4 * 4..n] {
                sum = sum.wrapping_mul(FACTOR).wrapping_add(u64::from(*byte) * u64::from(WEIGHT));
            }
            assert_eq!(bvec_checksum(n, &bytes[..n]).unwrap(), sum);
        }
        let mut rows = [0usize; 2];
        bvecs_checksum(2, 5, &bytes[..10], &mut rows).unwrap();
        assert_eq!(rows[1] as u64, bvec_checksum(5, &bytes[5..10]).unwrap());
        assert_eq!(
            ivec_checksum(1, &[i32::from_le_bytes([0, 37, 74, 111])]).unwrap(),
            bvec_checksum(4, &bytes[..4]).unwrap()
        );
        bvecs_checksum(2, 0, &[], &mut rows).unwrap();
    }
}
