//! Numbers of 16 bits, one by one: as Faiss rounds them. Registers of them are read by `Lanes::load_f16` and `Lanes::load_bf16`.

/// The half-precision number nearest to `x`, of two equally near ones that with the larger magnitude; beyond the largest, infinity.
#[inline(always)]
pub fn encode_fp16(x: f32) -> u16 {
    let bits = x.to_bits();
    let (sign, magnitude) = ((bits >> 16) as u16 & 0x8000, bits & 0x7fff_ffff);
    let half = match magnitude {
        0x7f80_0001.. => 0x7e00,
        // From 65520 on.
        0x477f_f000.. => 0x7c00,
        // Normal numbers: the exponent's bias falls from 127 to 15, and 13 digits go.
        0x3880_0000.. => (magnitude + 0x1000 - (112 << 23)) >> 13,
        // Less than half of the smallest.
        ..0x3300_0000 => 0,
        _ => {
            let shift = 126 - (magnitude >> 23);
            ((magnitude & 0x7f_ffff | 0x80_0000) + (1 << (shift - 1))) >> shift
        }
    };
    sign | half as u16
}

/// The value of a half-precision number.
#[inline(always)]
pub fn decode_fp16(half: u16) -> f32 {
    let (sign, magnitude) = (u32::from(half & 0x8000) << 16, u32::from(half & 0x7fff));
    let bits = match magnitude {
        0x7c01.. => magnitude << 13 | 0x7fc0_0000,
        0x7c00.. => 0x7f80_0000,
        0x400.. => (magnitude << 13) + (112 << 23),
        // A whole number of the smallest steps, 2^-24.
        _ => (magnitude as f32 * f32::from_bits(0x3380_0000)).to_bits(),
    };
    f32::from_bits(sign | bits)
}

/// The bfloat16 nearest to `x`, of two equally near ones that with the larger magnitude.
#[inline(always)]
pub fn encode_bf16(x: f32) -> u16 {
    (x.to_bits().wrapping_add(0x8000) >> 16) as u16
}

/// The value of a bfloat16.
#[inline(always)]
pub fn decode_bf16(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of all half-precision numbers, in order, and the middle between neighbours.
    #[test]
    fn every_number_of_16_bits_comes_back_and_middles_go_outward() {
        for half in 0..=0xffffu16 {
            let v = decode_fp16(half);
            if v.is_nan() {
                assert_eq!(encode_fp16(v), half & 0x8000 | 0x7e00);
            } else {
                assert_eq!(encode_fp16(v), half, "{v}");
            }
            assert_eq!(encode_bf16(decode_bf16(half)), half);
            let next = decode_fp16(half.wrapping_add(1));
            if half & 0x7fff < 0x7bff {
                let middle = ((f64::from(v) + f64::from(next)) / 2.0) as f32;
                assert_eq!(encode_fp16(middle), half + 1, "between {v} and {next}");
                let inward = f32::from_bits(middle.to_bits() - 1);
                assert_eq!(encode_fp16(inward), half, "below the middle of {v} and {next}");
            }
        }
        // Values by the definition of the format.
        assert_eq!(decode_fp16(0x3c00), 1.0);
        assert_eq!(decode_fp16(0xc500), -5.0);
        assert_eq!(decode_fp16(0x0001), 2f32.powi(-24));
        assert_eq!(decode_fp16(0x7bff), 65504.0);
        assert_eq!((encode_fp16(65519.0), encode_fp16(65520.0), encode_fp16(-1e30)), (0x7bff, 0x7c00, 0xfc00));
        assert_eq!((encode_bf16(1.0), decode_bf16(0x4049)), (0x3f80, 3.140625));
    }
}
