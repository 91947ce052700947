//! Sums of entries of small tables that packed codes of four bits name: the inner loop of FastScan (André et al., "Cache locality is not enough",
//! 2015). A table of 16 bytes is a register, and a shuffle looks sixteen codes up at once.

use super::lanes::Bytes;
use super::launch::{Isa, Kernel, launch};

/// Vectors of a group: a register of their codes of one part.
pub const GROUP: usize = 32;
/// The vector whose code is in the lower half of byte `i` of a group; that of the upper half is 16 vectors on.
pub const PLACES: [usize; 16] = [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15];
/// Queries that a group is compared with at a time.
pub const QUERIES: usize = 4;

/// How packed codes lie: `block` vectors after each other, a multiple of 32; of a block, two parts after each other; of two parts, 32 vectors after
/// each other, 32 bytes: 16 of the one part, 16 of the other.
#[derive(Clone, Copy)]
pub struct Packed<'a> {
    /// The blocks.
    pub codes: &'a [u8],
    /// Vectors of a block.
    pub block: usize,
    /// Parts of a code, an even number.
    pub parts: usize,
    /// Bytes from one block to the next: what lies behind the codes of a block is not looked at.
    pub stride: usize,
    /// What the entries of the last two parts are multiplied by: norms, whose tables are divided by as much.
    pub last_pair: u16,
}

impl Packed<'_> {
    /// The number of groups.
    fn groups(&self) -> usize {
        self.codes.len() / self.stride.max(1) * (self.block / GROUP)
    }
}

/// For each query its tables, `parts * 16` bytes, a threshold and a sum to begin with, and where the positions and sums below the threshold
/// go.
pub struct Lane<'a> {
    /// The tables, 16 numbers for each four bits of a code.
    pub tables: &'a [u8],
    /// What sums begin with.
    pub first: u16,
    /// Sums below it count.
    pub below: u16,
    /// Where larger sums are better: sums count from the largest number down.
    pub flip: bool,
    /// Where those go: the sum, and the vector's place.
    pub hits: &'a mut Vec<(u16, u32)>,
}

/// Compares the groups `from..to` of packed codes with up to four queries.
pub fn scan_packed(packed: Packed<'_>, from: usize, to: usize, lanes: &mut [Lane<'_>]) {
    assert!(packed.parts.is_multiple_of(2) && packed.block.is_multiple_of(GROUP) && packed.block > 0);
    assert!(packed.stride >= packed.block * packed.parts / 2, "a block is as long as its codes");
    assert!(to <= packed.groups() || packed.parts == 0, "a group is there");
    assert!(lanes.iter().all(|lane| lane.tables.len() >= packed.parts * 16), "a table a part");
    match lanes.len() {
        0 => {}
        1 => launch(Scan::<1> { packed, from, to, lanes }),
        2 => launch(Scan::<2> { packed, from, to, lanes }),
        3 => launch(Scan::<3> { packed, from, to, lanes }),
        _ => {
            let (four, rest) = lanes.split_at_mut(QUERIES);
            launch(Scan::<QUERIES> { packed, from, to, lanes: four });
            scan_packed(packed, from, to, rest);
        }
    }
}

struct Scan<'c, 'a, 'b, const Q: usize> {
    packed: Packed<'c>,
    from: usize,
    to: usize,
    lanes: &'b mut [Lane<'a>],
}

impl<const Q: usize> Kernel for Scan<'_, '_, '_, Q> {
    type Out = ();

    #[inline(always)]
    fn run<R: Isa>(self) {
        let Scan { packed, from, to, lanes } = self;
        let (per_block, pairs) = (packed.block / GROUP, packed.parts / 2);
        let mut tables: [&[u8]; Q] = [&[]; Q];
        for q in 0..Q {
            tables[q] = lanes[q].tables;
        }
        // The last two parts by themselves where they weigh more than the others.
        let apart = if packed.last_pair == 1 { pairs } else { pairs.saturating_sub(1) };
        let mut last = [[0u16; GROUP]; Q];
        let last_tables = tables.map(|tables| &tables[32 * apart..]);
        let mut sums = [[0u16; GROUP]; Q];
        for group in from..to {
            let at = (group / per_block) * packed.stride + (group % per_block) * GROUP;
            R::Bytes::sum_entries(&packed.codes[at..], packed.block, apart, &tables, &mut sums);
            if apart < pairs {
                let codes = &packed.codes[at + apart * packed.block..];
                R::Bytes::sum_entries(codes, packed.block, 1, &last_tables, &mut last);
                for (sum, more) in sums.iter_mut().flatten().zip(last.iter().flatten()) {
                    *sum = sum.wrapping_add(more.wrapping_mul(packed.last_pair));
                }
            }
            for q in 0..Q {
                let lane = &mut lanes[q];
                let flip = if lane.flip { u16::MAX } else { 0 };
                let row = &mut sums[q];
                // Most groups have no hit: that is asked of all sums at once.
                let mut any = 0u16;
                for sum in row.iter_mut() {
                    *sum = sum.wrapping_add(lane.first) ^ flip;
                    any |= u16::from(*sum < lane.below);
                }
                if any == 0 {
                    continue;
                }
                for (i, sum) in row.iter().enumerate() {
                    if *sum < lane.below {
                        lane.hits.push((*sum, (group * GROUP + i) as u32));
                    }
                }
            }
        }
    }
}

/// [`Bytes::sum_entries`] without registers.
#[inline(always)]
pub(super) fn sum_entries<const Q: usize>(
    codes: &[u8],
    stride: usize,
    pairs: usize,
    tables: &[&[u8]; Q],
    sums: &mut [[u16; GROUP]; Q],
) {
    for q in 0..Q {
        sums[q] = [0; GROUP];
        for pair in 0..pairs {
            for side in 0..2 {
                let table = &tables[q][(2 * pair + side) * 16..(2 * pair + side + 1) * 16];
                let bytes = &codes[pair * stride + side * 16..pair * stride + side * 16 + 16];
                for i in 0..16 {
                    let (low, high) = (usize::from(bytes[i] & 15), usize::from(bytes[i] >> 4));
                    let place = PLACES[i];
                    sums[q][place] = sums[q][place].wrapping_add(u16::from(table[low]));
                    sums[q][place + 16] = sums[q][place + 16].wrapping_add(u16::from(table[high]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::byte_rand;
    use crate::simd::{LEVELS, level, set_level};

    /// All levels find what a loop over single codes finds.
    #[test]
    fn every_level_sums_as_a_loop_does() {
        let before = level();
        for (parts, block, last_pair) in
            [(2, 32, 1), (2, 32, 3), (4, 32, 1), (6, 64, 5), (16, 32, 1), (34, 96, 2), (8, 128, 1)]
        {
            let n = 3 * block;
            let mut codes = vec![0u8; n * parts / 2];
            byte_rand(&mut codes, parts as i64).unwrap();
            let mut tables = vec![0u8; 5 * parts * 16];
            byte_rand(&mut tables, 9).unwrap();
            let code = |v: usize, m: usize| {
                let at = (v / block) * block * parts / 2 + (m / 2) * block + (v % block) / 32 * 32 + (m % 2) * 16;
                let place = PLACES.iter().position(|p| *p == v % 16).unwrap();
                usize::from(codes[at + place] >> (if v % 32 < 16 { 0 } else { 4 }) & 15)
            };
            let wanted: Vec<Vec<(u16, u32)>> = (0..5)
                .map(|q| {
                    let sum = |v: usize| {
                        let weight = |m: usize| if m + 2 < parts { 1 } else { last_pair };
                        let entry = |m: usize| u16::from(tables[(q * parts + m) * 16 + code(v, m)]);
                        7 + (0..parts).map(|m| weight(m) * entry(m)).sum::<u16>()
                    };
                    let keys = (0..n).map(|v| (if q == 2 { !sum(v) } else { sum(v) }, v as u32));
                    keys.filter(|(key, _)| *key < if q == 1 { 700 } else { 65535 }).collect()
                })
                .collect();
            for level in LEVELS.into_iter().filter(|level| set_level(*level)) {
                let mut hits = vec![Vec::new(); 5];
                let mut lanes: Vec<Lane<'_>> = hits
                    .iter_mut()
                    .enumerate()
                    .map(|(q, hits)| Lane {
                        tables: &tables[q * parts * 16..(q + 1) * parts * 16],
                        first: 7,
                        below: if q == 1 { 700 } else { 65535 },
                        flip: q == 2,
                        hits,
                    })
                    .collect();
                let packed = Packed { codes: &codes, block, parts, stride: block * parts / 2, last_pair };
                scan_packed(packed, 0, n / 32, &mut lanes);
                drop(lanes);
                assert_eq!(hits, wanted, "{level:?} {parts} {block} {last_pair}");
            }
        }
        set_level(before);
    }
}
