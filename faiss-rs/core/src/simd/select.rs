//! Which numbers of a row are below a threshold: the inner loop of every top-k search.

use super::lanes::Lanes;
use super::launch::{Isa, Kernel};

/// The numbers of `row` below `threshold`; see [`super::below`].
pub struct Below<'a> {
    pub row: &'a [f32],
    pub threshold: f32,
    pub hits: &'a mut [u32],
}

impl Kernel for Below<'_> {
    type Out = usize;

    #[inline(always)]
    fn run<R: Isa>(self) -> usize {
        let Below { row, threshold, hits } = self;
        let (w, limit) = (R::F32::WIDTH, R::F32::splat(threshold));
        let (mut n, mut at) = (0, 0);
        // Four registers before any number, as most of them have no hit; of sixteen lanes as of four, the mask has room.
        while at + 4 * w <= row.len() {
            let group = &row[at..at + 4 * w];
            let mut mask = u64::from(R::F32::load(group).less(limit));
            mask |= u64::from(R::F32::load(&group[w..]).less(limit)) << w;
            mask |= u64::from(R::F32::load(&group[2 * w..]).less(limit)) << (2 * w);
            mask |= u64::from(R::F32::load(&group[3 * w..]).less(limit)) << (3 * w);
            while mask != 0 {
                hits[n] = at as u32 + mask.trailing_zeros();
                n += 1;
                mask &= mask - 1;
            }
            at += 4 * w;
        }
        while at < row.len() {
            if row[at] < threshold {
                hits[n] = at as u32;
                n += 1;
            }
            at += 1;
        }
        n
    }
}
