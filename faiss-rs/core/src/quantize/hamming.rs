//! Distances between codes as they are: by bits, and by bytes.

/// Codes as words of 8 bytes, and what is left.
fn words<'a>(a: &'a [u8], b: &'a [u8]) -> (impl Iterator<Item = u64> + 'a, u64) {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let differ = a.iter().zip(b).map(|(a, b)| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b));
    (differ, word(a_rest) ^ word(b_rest))
}

/// Number of bits in which two codes of one size differ.
#[inline]
pub fn hamming(a: &[u8], b: &[u8]) -> u32 {
    let (differ, rest) = words(a, b);
    differ.map(u64::count_ones).sum::<u32>() + rest.count_ones()
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
