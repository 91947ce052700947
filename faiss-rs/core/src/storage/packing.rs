//! Codes of four bits, packed for registers as FastScan wants them.

use std::ops::Range;

use crate::simd::fast_scan::{GROUP, PLACES};

/// How packed codes lie: whole blocks of `block` vectors, in which `parts` numbers of four bits a vector, an even number, are interleaved. Behind them
/// come `aux` more bytes a vector, one vector after the other. A code by itself has `parts / 2` bytes for the numbers, and those behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub block: usize,
    pub parts: usize,
    pub aux: usize,
}

impl Layout {
    /// Bytes of a code by itself.
    pub fn code_size(&self) -> usize {
        self.parts / 2 + self.aux
    }

    /// Bytes of a block.
    pub fn stride(&self) -> usize {
        self.block * self.code_size()
    }

    /// Bytes of `n` packed codes: whole blocks.
    pub fn size(&self, n: usize) -> Option<usize> {
        n.div_ceil(self.block.max(1)).checked_mul(self.block)?.checked_mul(self.code_size())
    }

    /// Where the number of part `part` of vector `i` is: the byte, and whether it is its upper half.
    #[inline]
    fn place(&self, i: usize, part: usize) -> (usize, bool) {
        let (within, lane) = (i % self.block, i % GROUP);
        let byte = (lane % 8) * 2 + usize::from(lane % 16 >= 8);
        debug_assert_eq!(PLACES[byte], lane % 16);
        let start = (i / self.block) * self.stride() + (part / 2) * self.block + within / GROUP * GROUP;
        (start + (part % 2) * 16 + byte, lane >= 16)
    }

    /// Where the bytes behind the numbers of vector `i` are.
    #[inline]
    pub fn aux_range(&self, i: usize) -> Range<usize> {
        let start = (i / self.block) * self.stride() + self.block * self.parts / 2 + i % self.block * self.aux;
        start..start + self.aux
    }

    /// Writes a code, two numbers a byte, to place `i` of packed ones.
    pub fn pack_1(&self, code: &[u8], i: usize, packed: &mut [u8]) {
        for part in 0..self.parts {
            let number = code.get(part / 2).map_or(0, |byte| byte >> (4 * (part % 2)) & 15);
            let (at, upper) = self.place(i, part);
            let byte = &mut packed[at];
            *byte = if upper { *byte & 15 | number << 4 } else { *byte & 0xf0 | number };
        }
        if let Some(aux) = code.get(self.parts / 2..).filter(|aux| aux.len() == self.aux) {
            packed[self.aux_range(i)].copy_from_slice(aux);
        }
    }

    /// Reads the code at place `i`.
    pub fn unpack_1(&self, packed: &[u8], i: usize, code: &mut [u8]) {
        code.fill(0);
        for part in 0..self.parts.min(2 * code.len()) {
            let (at, upper) = self.place(i, part);
            let number = if upper { packed[at] >> 4 } else { packed[at] & 15 };
            code[part / 2] |= number << (4 * (part % 2));
        }
        if let Some(aux) = code.get_mut(self.parts / 2..).filter(|aux| aux.len() == self.aux) {
            aux.copy_from_slice(&packed[self.aux_range(i)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back() {
        for (parts, block, aux) in [(2, 32, 0), (6, 64, 3), (8, 96, 0), (2, 64, 8)] {
            let layout = Layout { block, parts, aux };
            let (n, size) = (2 * block + 5, layout.code_size());
            let mut codes = vec![0u8; n * size];
            crate::random::byte_rand(&mut codes, 3).unwrap();
            let mut packed = vec![0xff; layout.size(n).unwrap()];
            assert_eq!(packed.len(), 3 * block * size);
            codes.chunks_exact(size).enumerate().for_each(|(i, code)| layout.pack_1(code, i, &mut packed));
            for (i, code) in codes.chunks_exact(size).enumerate() {
                let mut back = vec![1; size];
                layout.unpack_1(&packed, i, &mut back);
                assert_eq!(back, code);
            }
        }
    }
}
