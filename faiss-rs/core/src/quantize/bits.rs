//! Numbers of a few bits each, packed one after the other into bytes, lowest bits first.

/// Writes `values`, each of `nbits` bits, to the start of `code`.
pub fn pack(values: impl Iterator<Item = u32>, nbits: usize, code: &mut [u8]) {
    let (mut buffer, mut filled, mut at) = (0u64, 0, 0);
    for value in values {
        buffer |= u64::from(value) << filled;
        filled += nbits;
        while filled >= 8 {
            code[at] = buffer as u8;
            buffer >>= 8;
            filled -= 8;
            at += 1;
        }
    }
    if filled > 0 {
        code[at] = buffer as u8;
    }
}

/// Reads packed numbers of `nbits` bits from the start of `code`.
pub struct Unpacker<'a> {
    code: &'a [u8],
    nbits: usize,
    buffer: u64,
    filled: usize,
}

impl<'a> Unpacker<'a> {
    pub fn new(code: &'a [u8], nbits: usize) -> Self {
        Unpacker { code, nbits, buffer: 0, filled: 0 }
    }
}

impl Iterator for Unpacker<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.filled < self.nbits {
            let (byte, rest) = self.code.split_first()?;
            self.code = rest;
            self.buffer |= u64::from(*byte) << self.filled;
            self.filled += 8;
        }
        let value = (self.buffer & ((1 << self.nbits) - 1)) as u32;
        self.buffer >>= self.nbits;
        self.filled -= self.nbits;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(nbits in 1usize..=24, raw in prop::collection::vec(any::<u32>(), 0..40)) {
            let values: Vec<u32> = raw.iter().map(|v| v & ((1 << nbits) - 1)).collect();
            let mut code = vec![0xffu8; (values.len() * nbits).div_ceil(8)];
            pack(values.iter().copied(), nbits, &mut code);
            let read: Vec<u32> = Unpacker::new(&code, nbits).take(values.len()).collect();
            prop_assert_eq!(read, values);
        }
    }

    #[test]
    fn lowest_bits_first() {
        let mut code = [0; 2];
        pack([1, 2, 3].into_iter(), 5, &mut code);
        // 1, 2 and 3 in five bits each: 00001, 00010 and 00011, read from the right.
        assert_eq!(code, [0b0100_0001, 0b0000_1100]);
    }
}
