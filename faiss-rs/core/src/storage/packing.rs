//! Codes of four bits, packed for registers as FastScan wants them.

use std::ops::Range;

use super::codes::Codes;
use crate::base::{Error, Result};
use crate::simd::fast_scan::{GROUP, PLACES};

/// How packed codes lie: whole blocks of `block` vectors, in which `parts` numbers of four bits a vector, an even number, are interleaved. Behind them
/// come `aux` more bytes a vector, one vector after the other. A code by itself has `parts / 2` bytes for the numbers, and those behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Vectors of a block.
    pub block: usize,
    /// Parts of a code.
    pub parts: usize,
    /// Bytes of each vector behind its block's codes.
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

    /// Where the first part of vector `i` is, two parts further `block` bytes on, and whether it is the upper half of that byte.
    #[inline]
    fn place(&self, i: usize) -> (usize, bool) {
        let (within, lane) = (i % self.block, i % GROUP);
        let byte = (lane % 8) * 2 + usize::from(lane % 16 >= 8);
        debug_assert_eq!(PLACES[byte], lane % 16);
        ((i / self.block) * self.stride() + within / GROUP * GROUP + byte, lane >= 16)
    }

    /// Where the bytes behind the numbers of vector `i` are.
    #[inline]
    pub fn aux_range(&self, i: usize) -> Range<usize> {
        let start = (i / self.block) * self.stride() + self.block * self.parts / 2 + i % self.block * self.aux;
        start..start + self.aux
    }

    /// Writes a code, two numbers a byte, to place `i` of packed ones.
    pub fn pack_1(&self, code: &[u8], i: usize, packed: &mut [u8]) {
        let (mut at, upper) = self.place(i);
        let (shift, kept) = if upper { (4, 15) } else { (0, 0xf0) };
        for pair in 0..self.parts / 2 {
            let numbers = code.get(pair).copied().unwrap_or(0);
            let (first, second) = (numbers & 15, numbers >> 4);
            packed[at] = packed[at] & kept | first << shift;
            packed[at + 16] = packed[at + 16] & kept | second << shift;
            at += self.block;
        }
        if let Some(aux) = code.get(self.parts / 2..).filter(|aux| aux.len() == self.aux) {
            packed[self.aux_range(i)].copy_from_slice(aux);
        }
    }

    /// As [`Layout::pack_1`] for several codes, from place `first` on: whole groups together.
    pub fn pack(&self, codes: &[u8], first: usize, packed: &mut [u8]) {
        let size = self.code_size();
        let n = codes.len().checked_div(size).unwrap_or(0);
        let mut i = 0;
        while i < n {
            if (first + i).is_multiple_of(GROUP) && i + GROUP <= n {
                self.pack_group(&codes[i * size..(i + GROUP) * size], first + i, packed);
                i += GROUP;
            } else {
                self.pack_1(&codes[i * size..(i + 1) * size], first + i, packed);
                i += 1;
            }
        }
    }

    /// A whole group, whose places begin at `first`.
    fn pack_group(&self, codes: &[u8], first: usize, packed: &mut [u8]) {
        let (size, start) = (self.code_size(), self.place(first).0);
        for pair in 0..self.parts / 2 {
            let to = &mut packed[start + pair * self.block..][..GROUP];
            let (firsts, seconds) = to.split_at_mut(16);
            for (j, place) in PLACES.iter().enumerate() {
                let (low, high) = (codes[place * size + pair], codes[(place + 16) * size + pair]);
                firsts[j] = low & 15 | high << 4;
                seconds[j] = low >> 4 | high & 0xf0;
            }
        }
        if self.aux > 0 {
            for (i, code) in codes.chunks_exact(size).enumerate() {
                packed[self.aux_range(first + i)].copy_from_slice(&code[self.parts / 2..]);
            }
        }
    }

    /// Packed codes of `n` vectors, from blocks that have only the numbers of four bits and from the bytes behind them, which `behind` knows.
    pub fn joined<'a>(&self, n: usize, blocks: &[u8], behind: impl Fn(usize) -> Result<&'a [u8]>) -> Result<Codes> {
        let numbers = Layout { aux: 0, ..*self };
        Error::check(numbers.size(n) == Some(blocks.len()), "codes.size() == ntotal2 * M2 / 2")?;
        let size = self.size(n).ok_or_else(|| Error::Memory("too many codes".into()))?;
        let (mut packed, mut code) = (Codes::default(), vec![0; self.code_size()]);
        packed.try_resize(size)?;
        for i in 0..n {
            numbers.unpack_1(blocks, i, &mut code[..self.parts / 2]);
            code[self.parts / 2..].copy_from_slice(behind(i)?);
            self.pack_1(&code, i, packed.as_mut_slice());
        }
        Ok(packed)
    }

    /// Reads the code at place `i`.
    pub fn unpack_1(&self, packed: &[u8], i: usize, code: &mut [u8]) {
        code.fill(0);
        let (mut at, upper) = self.place(i);
        let shift = if upper { 4 } else { 0 };
        for numbers in code.iter_mut().take(self.parts / 2) {
            *numbers = packed[at] >> shift & 15 | (packed[at + 16] >> shift & 15) << 4;
            at += self.block;
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
            // Whole groups and single codes lie alike, wherever a piece begins.
            for cut in [0, 1, 31, 32, 50] {
                let mut pieces = vec![0xff; packed.len()];
                layout.pack(&codes[..cut * size], 0, &mut pieces);
                layout.pack(&codes[cut * size..], cut, &mut pieces);
                assert_eq!(pieces, packed);
            }
            for (i, code) in codes.chunks_exact(size).enumerate() {
                let mut back = vec![1; size];
                layout.unpack_1(&packed, i, &mut back);
                assert_eq!(back, code);
            }
        }
    }
}
