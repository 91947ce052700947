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
    /// Numbers of `nbits` bits, one after the other.
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

/// Writes numbers of any sizes up to 64 bits one after the other, lowest bits first.
#[derive(Default)]
pub struct BitstringWriter {
    code: Vec<u8>,
    /// Bits written so far.
    at: usize,
}

impl BitstringWriter {
    /// Writes the lower `nbits` bits of `value`.
    pub fn write(&mut self, value: u64, nbits: u32) {
        let mut left = nbits as usize;
        // Bits from 64 on would be shifted out.
        let mut value = if nbits >= 64 { value } else { value & ((1 << nbits) - 1) };
        while left > 0 {
            let used = self.at % 8;
            if used == 0 {
                self.code.push(0);
            }
            let now = left.min(8 - used);
            if let Some(last) = self.code.last_mut() {
                *last |= (value << used) as u8;
            }
            value >>= now;
            left -= now;
            self.at += now;
        }
    }

    /// The bytes; the last is completed by zeros.
    pub fn finish(self) -> Vec<u8> {
        self.code
    }
}

/// Reads what [`BitstringWriter`] wrote.
pub struct BitstringReader<'a> {
    code: &'a [u8],
    at: usize,
}

impl<'a> BitstringReader<'a> {
    /// From the first bit of a code on.
    pub fn new(code: &'a [u8]) -> Self {
        BitstringReader { code, at: 0 }
    }

    /// The next `nbits` bits, at most 64; `None` where fewer are left.
    pub fn read(&mut self, nbits: u32) -> Option<u64> {
        let (mut value, mut got, nbits) = (0u64, 0, nbits as usize);
        if nbits > 64 || self.at.checked_add(nbits)? > self.code.len() * 8 {
            return None;
        }
        while got < nbits {
            let used = self.at % 8;
            let now = (nbits - got).min(8 - used);
            let bits = u64::from(self.code[self.at / 8] >> used) & ((1 << now) - 1);
            value |= bits << got;
            got += now;
            self.at += now;
        }
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

    #[test]
    fn numbers_of_all_sizes_follow_each_other() {
        let numbers: Vec<(u64, u32)> = (0..=64).map(|n| (0x9e37_79b9_7f4a_7c15 ^ u64::from(n), n)).collect();
        let mut writer = BitstringWriter::default();
        numbers.iter().for_each(|(value, nbits)| writer.write(*value, *nbits));
        let code = writer.finish();
        assert_eq!(code.len(), (0..=64usize).sum::<usize>().div_ceil(8));
        let mut reader = BitstringReader::new(&code);
        for (value, nbits) in numbers {
            let want = if nbits == 64 { value } else { value & ((1 << nbits) - 1) };
            assert_eq!(reader.read(nbits), Some(want), "{nbits} bits");
        }
        assert_eq!(reader.read(8), None);
    }
}
