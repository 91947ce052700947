//! Numbers of any width, packed into bytes from the lowest bit up.

/// The bits of number `i` of `nbits` bits (at most 32) in `code`; those beyond its end are 0.
#[inline]
pub fn get(code: &[u8], nbits: usize, i: usize) -> usize {
    match nbits {
        8 => usize::from(code[i]),
        16 => usize::from(u16::from_le_bytes([code[2 * i], code[2 * i + 1]])),
        _ => {
            let (start, mut value) = (i * nbits, 0u64);
            for (at, byte) in code.iter().skip(start / 8).take(5).enumerate() {
                value |= u64::from(*byte) << (8 * at);
            }
            ((value >> (start % 8)) & ((1 << nbits) - 1)) as usize
        }
    }
}

/// Writes number `i` of `nbits` bits; its place must be zero.
#[inline]
pub fn put(code: &mut [u8], nbits: usize, i: usize, value: usize) {
    match nbits {
        8 => code[i] = value as u8,
        16 => code[2 * i..2 * i + 2].copy_from_slice(&(value as u16).to_le_bytes()),
        _ => {
            let start = i * nbits;
            let shifted = (value as u64) << (start % 8);
            for (at, byte) in code.iter_mut().skip(start / 8).take(5).enumerate() {
                *byte |= (shifted >> (8 * at)) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_is_got(nbits in 1usize..=24, values in prop::collection::vec(any::<u32>(), 1..40)) {
            let values: Vec<usize> = values.into_iter().map(|v| v as usize & ((1 << nbits) - 1)).collect();
            let mut code = vec![0; (values.len() * nbits).div_ceil(8)];
            values.iter().enumerate().for_each(|(i, v)| put(&mut code, nbits, i, *v));
            for (i, v) in values.iter().enumerate() {
                prop_assert_eq!(get(&code, nbits, i), *v);
            }
        }
    }
}
