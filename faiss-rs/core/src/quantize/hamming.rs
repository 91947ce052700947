//! Distances between codes as they are: by bits, and by bytes.

/// Codes as words of 8 bytes, and what is left.
fn words<'a>(a: &'a [u8], b: &'a [u8]) -> (impl Iterator<Item = u64> + 'a, u64) {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let differ = a.iter().zip(b).map(|(a, b)| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b));
    (differ, word(a_rest) ^ word(b_rest))
}

/// Eight bytes as one number.
#[inline(always)]
pub fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}

/// Number of bits in which two codes of one size differ. A loop written out, so that it takes the instruction set of whoever inlines it.
#[inline(always)]
pub fn hamming(a: &[u8], b: &[u8]) -> u32 {
    let (wa, wb) = (a.chunks_exact(8), b.chunks_exact(8));
    let (ra, rb) = (wa.remainder(), wb.remainder());
    let mut ones = 0;
    for (a, b) in wa.zip(wb) {
        ones += (word(a) ^ word(b)).count_ones();
    }
    for (a, b) in ra.iter().zip(rb) {
        ones += (a ^ b).count_ones();
    }
    ones
}

/// Number of bytes in which two codes of one size differ (Faiss's generalized Hamming distance).
#[inline]
pub fn generalized_hamming(a: &[u8], b: &[u8]) -> u32 {
    // A byte that is not 0 gets its lowest bit set, all others are cleared.
    let bytes = |word: u64| {
        let word = word | word >> 4;
        let word = word | word >> 2;
        ((word | word >> 1) & 0x0101_0101_0101_0101).count_ones()
    };
    let (differ, rest) = words(a, b);
    differ.map(bytes).sum::<u32>() + bytes(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_bits_and_by_bytes() {
        let mut codes = [0u8; 40];
        crate::random::byte_rand(&mut codes, 5).unwrap();
        for n in 0..20 {
            let (a, mut b) = (codes[..n].to_vec(), codes[20..20 + n].to_vec());
            (0..n).step_by(3).for_each(|i| b[i] = a[i]);
            let bits: u32 = a.iter().zip(&b).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!(hamming(&a, &b), bits);
            assert_eq!(generalized_hamming(&a, &b) as usize, a.iter().zip(&b).filter(|(a, b)| a != b).count());
        }
    }
}
