//! What kernels are generic over: a register of numbers and a register of bytes. The types are in `isa/`.

/// A register of `WIDTH` numbers. The operations compile to single instructions only inside a kernel that was launched.
pub trait Lanes: Copy {
    /// 4, 8 or 16.
    const WIDTH: usize;
    /// How many rows of `x` a tile of four rows of `y` has: as many as there are registers for the sums.
    const TILE_ROWS: usize;
    /// Whether `madd` rounds once.
    const FUSED: bool;

    /// All 0.
    fn zero() -> Self;
    /// The same number in every lane.
    fn splat(v: f32) -> Self;
    /// The first `WIDTH` numbers of `x`.
    fn load(x: &[f32]) -> Self;
    /// All numbers of `x`, fewer than `WIDTH`, completed by zeros.
    fn load_part(x: &[f32]) -> Self;
    /// The first `n` numbers of `x`, fewer than `WIDTH`, completed by zeros, where `x` has at least `WIDTH`: faster than `load_part` on some processors.
    #[inline(always)]
    fn load_first(x: &[f32], n: usize) -> Self {
        Self::load_part(&x[..n])
    }
    /// To the first `WIDTH` places of `out`.
    fn store(self, out: &mut [f32]);

    /// The sums.
    fn add(self, other: Self) -> Self;
    /// The differences.
    fn sub(self, other: Self) -> Self;
    /// The products.
    fn mul(self, other: Self) -> Self;
    /// `self * a + b`.
    fn madd(self, a: Self, b: Self) -> Self;
    /// The numbers without their signs.
    fn abs(self) -> Self;
    /// The larger of each pair; `other`'s number where one of them is a NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller of each pair; `other`'s number where one of them is a NaN.
    fn min(self, other: Self) -> Self;
    /// Bit `i` says whether lane `i` is below `other`'s; a NaN is not.
    fn less(self, other: Self) -> u32;

    /// The sum of the lanes, half added to half.
    #[inline(always)]
    fn total(self) -> f32 {
        let v = self.eight();
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
    /// The sums of four registers, each as `total` adds them.
    fn totals(four: [Self; 4]) -> [f32; 4];
    /// Of sixteen lanes, the upper half added to the lower; else itself.
    type Half: Lanes;
    /// The sums of the lower and the upper half.
    fn half(self) -> Self::Half;
    /// Writes number `j` of row `i` of `from`, whose rows are `stride` apart, to `to[j * to_stride + i]`: of eight rows, `width` numbers, at most
    /// eight.
    fn transpose_8(from: &[f32], stride: usize, width: usize, to: &mut [f32], to_stride: usize);
    /// The largest number; there is no NaN among them.
    fn largest(self) -> f32;
    /// The lanes, the upper half of sixteen added to the lower; beside four, zeros.
    fn eight(self) -> [f32; 8];

    /// Where a lane's number is below `least`'s, it and `group` take the places of those that are there.
    fn keep_less(self, group: Self, least: &mut Self, groups: &mut Self);
    /// The smallest of four registers' numbers and its place: `4 * WIDTH` times its group, and its position; the first of equals.
    #[inline(always)]
    fn first_least(keys: [Self; 4], groups: [Self; 4]) -> (f32, usize) {
        // Positions are whole and small enough for an f32.
        const POSITIONS: [f32; 64] = {
            let (mut all, mut i) = ([0f32; 64], 0);
            while i < 64 {
                all[i] = i as f32;
                i += 1;
            }
            all
        };
        let least = Self::smallest(keys);
        let (equal, width) = (Self::splat(least), Self::splat(4.0 * Self::WIDTH as f32));
        let mut places = groups;
        for i in 0..4 {
            let place = groups[i].madd(width, Self::load(&POSITIONS[i * Self::WIDTH..]));
            places[i] = keys[i].where_equal(equal, place);
        }
        (least, Self::smallest(places) as usize)
    }
    /// `then` in the lanes where both numbers are equal, infinity in the others.
    fn where_equal(self, other: Self, then: Self) -> Self;
    /// The smallest number of four registers, none of them a NaN.
    fn smallest(four: [Self; 4]) -> f32;

    // Numbers that are stored in fewer bits. `bytes` holds `WIDTH` of them or, for `_part`, fewer: then zeros follow.

    /// Unsigned bytes.
    fn load_u8(bytes: &[u8]) -> Self;
    /// Up to as many bytes as there are lanes, as numbers; 0 beyond.
    fn load_u8_part(bytes: &[u8]) -> Self;
    /// Signed bytes.
    fn load_i8(bytes: &[u8]) -> Self;
    /// The same of signed bytes.
    fn load_i8_part(bytes: &[u8]) -> Self;
    /// Two numbers a byte, the lower four bits first: `WIDTH / 2` bytes.
    fn load_u4(bytes: &[u8]) -> Self;
    /// The same of four bits each.
    fn load_u4_part(bytes: &[u8]) -> Self;
    /// Four numbers in three bytes, lower bits first: `WIDTH * 3 / 4` bytes.
    fn load_u6(bytes: &[u8]) -> Self;
    /// The same of six bits each.
    fn load_u6_part(bytes: &[u8]) -> Self;
    /// Half precision, two bytes each, little-endian.
    fn load_f16(bytes: &[u8]) -> Self;
    /// The same of IEEE's 16 bits each.
    fn load_f16_part(bytes: &[u8]) -> Self;
    /// bfloat16, two bytes each, little-endian.
    fn load_bf16(bytes: &[u8]) -> Self;
    /// The same of bf16.
    fn load_bf16_part(bytes: &[u8]) -> Self;
}

/// A register of `WIDTH` bytes.
pub trait Bytes: Copy {
    /// 16, 32 or 64.
    const WIDTH: usize;
    /// Running sums of 32 bits, several of them beside each other.
    type Sums: Copy;

    /// The first `WIDTH` bytes of `x`.
    fn load(x: &[u8]) -> Self;
    /// All bytes of `x`, fewer than `WIDTH`, completed by zeros.
    fn load_part(x: &[u8]) -> Self;
    /// The same byte everywhere.
    fn splat(v: u8) -> Self;
    /// To the first `WIDTH` places of `out`.
    fn store(self, out: &mut [u8]);
    /// Bits that are set in both.
    fn and(self, other: Self) -> Self;
    /// Bits that are set in one or both.
    fn or(self, other: Self) -> Self;
    /// Bits that are set in one.
    fn xor(self, other: Self) -> Self;
    /// The upper four bits of each byte.
    fn high_nibbles(self) -> Self;
    /// A table of 16 entries, for `lookup`.
    fn table(entries: &[u8; 16]) -> Self;
    /// For each byte, below 16, the entry of that number.
    fn lookup(self, table: Self) -> Self;
    /// The sums of two bytes, at most 255.
    fn add_saturating(self, other: Self) -> Self;

    /// No sums yet.
    fn no_sums() -> Self::Sums;
    /// Adds the number of bits that are set.
    fn add_ones(self, sums: Self::Sums) -> Self::Sums;
    /// Adds the products of unsigned bytes.
    fn add_products(self, other: Self, sums: Self::Sums) -> Self::Sums;
    /// Adds the squared differences of unsigned bytes.
    fn add_squared_differences(self, other: Self, sums: Self::Sums) -> Self::Sums;
    /// All sums together.
    fn sum(sums: Self::Sums) -> u32;

    /// Sums of table entries for a group of packed codes of four bits, as [`Packed`](super::fast_scan::Packed) describes them: `pairs` pairs of
    /// parts, `stride` bytes from one to the next; each part has a table of 16 bytes.
    #[inline(always)]
    fn sum_entries<const Q: usize>(
        codes: &[u8],
        stride: usize,
        pairs: usize,
        tables: &[&[u8]; Q],
        sums: &mut [[u16; 32]; Q],
    ) {
        super::fast_scan::sum_entries(codes, stride, pairs, tables, sums);
    }
}

/// The first bytes of `x`, at most eight, as a number; zeros follow. Without a loop, and without a read beyond them.
#[inline(always)]
pub(super) fn head(x: &[u8]) -> u64 {
    let n = x.len();
    if n >= 8 {
        u64::from_le_bytes([x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]])
    } else if n >= 4 {
        let low = u32::from_le_bytes([x[0], x[1], x[2], x[3]]);
        let high = u32::from_le_bytes([x[n - 4], x[n - 3], x[n - 2], x[n - 1]]);
        u64::from(low) | u64::from(high) << (8 * (n - 4))
    } else if n > 0 {
        u64::from(x[0]) | u64::from(x[n / 2]) << (8 * (n / 2)) | u64::from(x[n - 1]) << (8 * (n - 1))
    } else {
        0
    }
}

/// The bytes of `x` from position 8 on, as [`head`].
#[inline(always)]
pub(super) fn second(x: &[u8]) -> u64 {
    if x.len() > 8 { head(&x[8..]) } else { 0 }
}
