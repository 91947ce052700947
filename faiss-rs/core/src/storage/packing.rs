//! Codes of four bits, packed for registers as FastScan wants them.

use crate::simd::fast_scan::{GROUP, PLACES};

/// Where the number of part `part` of vector `i` is, in packed codes of `parts` parts, an even number, and blocks of `block` vectors: the byte, and
/// whether it is its upper half.
#[inline]
fn place(i: usize, part: usize, block: usize, parts: usize) -> (usize, bool) {
    let (within, lane) = (i % block, i % GROUP);
    let byte = (lane % 8) * 2 + usize::from(lane % 16 >= 8);
    debug_assert_eq!(PLACES[byte], lane % 16);
    let start = (i / block) * block * parts / 2 + (part / 2) * block + within / GROUP * GROUP;
    (start + (part % 2) * 16 + byte, lane >= 16)
}

/// Bytes of `n` packed codes: whole blocks.
pub fn packed_size(n: usize, block: usize, parts: usize) -> Option<usize> {
    n.div_ceil(block.max(1)).checked_mul(block)?.checked_mul(parts)?.checked_div(2)
}

/// Writes a code, two numbers a byte, to place `i` of packed ones.
pub fn pack_1(code: &[u8], i: usize, block: usize, parts: usize, packed: &mut [u8]) {
    for part in 0..parts {
        let number = code.get(part / 2).map_or(0, |byte| byte >> (4 * (part % 2)) & 15);
        let (at, upper) = place(i, part, block, parts);
        let byte = &mut packed[at];
        *byte = if upper { *byte & 15 | number << 4 } else { *byte & 0xf0 | number };
    }
}

/// Reads the code at place `i`; `code` has a byte for two parts.
pub fn unpack_1(packed: &[u8], i: usize, block: usize, parts: usize, code: &mut [u8]) {
    code.fill(0);
    for part in 0..parts.min(2 * code.len()) {
        let (at, upper) = place(i, part, block, parts);
        let number = if upper { packed[at] >> 4 } else { packed[at] & 15 };
        code[part / 2] |= number << (4 * (part % 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back() {
        for (parts, block) in [(2, 32), (6, 64), (8, 96)] {
            let (n, size) = (2 * block + 5, parts / 2);
            let mut codes = vec![0u8; n * size];
            crate::random::byte_rand(&mut codes, 3).unwrap();
            let mut packed = vec![0xff; packed_size(n, block, parts).unwrap()];
            assert_eq!(packed.len(), 3 * block * parts / 2);
            codes.chunks_exact(size).enumerate().for_each(|(i, code)| pack_1(code, i, block, parts, &mut packed));
            for (i, code) in codes.chunks_exact(size).enumerate() {
                let mut back = vec![1; size];
                unpack_1(&packed, i, block, parts, &mut back);
                assert_eq!(back, code);
            }
        }
    }
}
