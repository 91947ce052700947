//! Random numbers, Faiss's own: the same seed gives the same numbers, so that training gives the same centroids.

use crate::base::{Error, Result, threads};

const N: usize = 624;
const M: usize = 397;

/// The Mersenne twister mt19937.
#[derive(Clone)]
struct Twister {
    state: [u32; N],
    at: usize,
}

impl Twister {
    fn new(seed: u32) -> Self {
        let mut state = [0u32; N];
        state[0] = seed;
        for i in 1..N {
            state[i] = 1812433253u32.wrapping_mul(state[i - 1] ^ (state[i - 1] >> 30)).wrapping_add(i as u32);
        }
        Twister { state, at: N }
    }

    /// The state's numbers, and how many of them were used.
    fn to_numbers(&self) -> Vec<i64> {
        self.state.iter().map(|v| i64::from(*v)).chain([self.at as i64]).collect()
    }

    fn of_numbers(numbers: &[i64]) -> Result<Self> {
        let wrong = || Error::value(format!("the state of a generator is {N} numbers of 32 bits and one up to {N}"));
        let (at, numbers) = numbers.split_last().ok_or_else(wrong)?;
        let state: Vec<u32> =
            numbers.iter().map(|v| u32::try_from(*v)).collect::<std::result::Result<_, _>>().map_err(|_| wrong())?;
        let at = usize::try_from(*at).ok().filter(|at| *at <= N).ok_or_else(wrong)?;
        Ok(Twister { state: state.try_into().map_err(|_| wrong())?, at })
    }

    fn refill(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ if y & 1 == 1 { 0x9908_b0df } else { 0 };
        }
        self.at = 0;
    }

    fn next(&mut self) -> u32 {
        if self.at == N {
            self.refill();
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }
}

/// Faiss's generator over mt19937.
#[derive(Clone)]
pub struct RandomGenerator(Twister);

impl RandomGenerator {
    /// Only the seed's low 32 bits count.
    pub fn new(seed: i64) -> Self {
        RandomGenerator(Twister::new(seed as u32))
    }
    /// Goes on where another one with this state would.
    pub fn from_state(numbers: &[i64]) -> Result<Self> {
        Twister::of_numbers(numbers).map(RandomGenerator)
    }
    /// The state: 624 numbers, and how many of them were used.
    pub fn state(&self) -> Vec<i64> {
        self.0.to_numbers()
    }
    /// In [0, 2^31).
    pub fn rand_int(&mut self) -> i32 {
        (self.0.next() & 0x7fff_ffff) as i32
    }
    /// In [0, 2^62).
    pub fn rand_int64(&mut self) -> i64 {
        i64::from(self.rand_int()) | i64::from(self.rand_int()) << 31
    }
    /// In [0, max).
    pub fn rand_int_max(&mut self, max: i32) -> i32 {
        (self.0.next() % max as u32) as i32
    }
    /// In [0, 1].
    pub fn rand_float(&mut self) -> f32 {
        self.0.next() as f32 / u32::MAX as f32
    }
    /// In [0, 1].
    pub fn rand_double(&mut self) -> f64 {
        f64::from(self.0.next()) / f64::from(u32::MAX)
    }
}

/// mt19937 as C++'s standard library draws from it (libstdc++'s distributions).
#[derive(Clone)]
pub struct StandardTwister(Twister);

impl StandardTwister {
    /// The generator of a seed.
    pub fn new(seed: u32) -> Self {
        StandardTwister(Twister::new(seed))
    }

    /// Goes on where another one with this state would: see [`RandomGenerator::state`].
    pub fn from_state(numbers: &[i64]) -> Result<Self> {
        Twister::of_numbers(numbers).map(StandardTwister)
    }

    /// The 624 numbers of the state, and how many of them were used.
    pub fn state(&self) -> Vec<i64> {
        self.0.to_numbers()
    }

    /// In [0, range), by Lemire's method ("Fast random integer generation in an interval", 2019); `range` is above 0.
    pub fn below(&mut self, range: u32) -> u32 {
        loop {
            let product = u64::from(self.0.next()) * u64::from(range);
            if product as u32 >= range.wrapping_neg() % range {
                return (product >> 32) as u32;
            }
        }
    }

    /// Normal, by Marsaglia's polar method, whose numbers come in pairs: the second waits in `kept`.
    pub fn normal(&mut self, kept: &mut Option<f32>) -> f32 {
        if let Some(number) = kept.take() {
            return number;
        }
        loop {
            let mut side = || 2.0 * (self.0.next() as f32 / 4_294_967_296.0).min(1.0f32.next_down()) - 1.0;
            let (x, y) = (side(), side());
            let r2 = x * x + y * y;
            if r2 <= 1.0 && r2 != 0.0 {
                let scale = (-2.0 * r2.ln() / r2).sqrt();
                *kept = Some(x * scale);
                return y * scale;
            }
        }
    }
}

const N64: usize = 312;
const M64: usize = 156;

/// The Mersenne twister of 64 bits, mt19937-64 (Nishimura 2000), as C++'s standard library draws from it.
#[derive(Clone)]
pub struct StandardTwister64 {
    state: [u64; N64],
    at: usize,
}

impl StandardTwister64 {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        let mut state = [seed; N64];
        for i in 1..N64 {
            let before = state[i - 1];
            state[i] = 6364136223846793005u64.wrapping_mul(before ^ (before >> 62)).wrapping_add(i as u64);
        }
        StandardTwister64 { state, at: N64 }
    }

    fn next(&mut self) -> u64 {
        if self.at == N64 {
            for i in 0..N64 {
                let y = (self.state[i] & 0xffff_ffff_8000_0000) | (self.state[(i + 1) % N64] & 0x7fff_ffff);
                let low = if y & 1 == 1 { 0xb502_6f5a_a966_19e9 } else { 0 };
                self.state[i] = self.state[(i + M64) % N64] ^ (y >> 1) ^ low;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= (y >> 29) & 0x5555_5555_5555_5555;
        y ^= (y << 17) & 0x71d6_7fff_eda6_0000;
        y ^= (y << 37) & 0xfff7_eee0_0000_0000;
        y ^ (y >> 43)
    }

    /// In [0, range), by Lemire's method; `range` is above 0.
    pub fn below(&mut self, range: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(range);
            if product as u64 >= range.wrapping_neg() % range {
                return (product >> 64) as u64;
            }
        }
    }

    /// In [0, 1).
    pub fn real(&mut self) -> f64 {
        (self.next() as f64 / 18_446_744_073_709_551_616.0).min(1.0f64.next_down())
    }
}

/// Faiss's smaller generator.
#[derive(Clone)]
pub struct SplitMix64RandomGenerator(u64);

impl SplitMix64RandomGenerator {
    /// The generator of a seed.
    pub fn new(seed: i64) -> Self {
        SplitMix64RandomGenerator(seed as u64)
    }
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number from 0 to 2^31 - 1.
    pub fn rand_int(&mut self) -> i32 {
        (self.next() & 0x7fff_ffff) as i32
    }
    /// A number from 0 to 2^63 - 1.
    pub fn rand_int64(&mut self) -> i64 {
        (self.next() & 0x7fff_ffff_ffff_ffff) as i64
    }
    /// A number from 0 to `max - 1`.
    pub fn rand_int_max(&mut self, max: i32) -> i32 {
        (self.next() % max as u64) as i32
    }
    /// A number from 0 to 1.
    pub fn rand_float(&mut self) -> f32 {
        self.next() as f32 / u64::MAX as f32
    }
    /// A number from 0 to 1.
    pub fn rand_double(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }
}

/// Long arrays are filled in this many blocks, each with a generator of its own: the numbers don't depend on the number of threads.
const BLOCKS: usize = 1024;

fn fill<T: Send>(x: &mut [T], seed: i64, fill_block: impl Fn(&mut RandomGenerator, &mut [T]) + Sync) -> Result<()> {
    let n = x.len();
    let blocks = if n < BLOCKS { 1 } else { BLOCKS };
    let mut first = RandomGenerator::new(seed);
    let (a0, b0) = (i64::from(first.rand_int()), i64::from(first.rand_int()));
    let mut pieces = Vec::with_capacity(blocks);
    let mut rest = x;
    for j in 0..blocks {
        let (piece, tail) = rest.split_at_mut((j + 1) * n / blocks - j * n / blocks);
        pieces.push(parking_lot::Mutex::new(piece));
        rest = tail;
    }
    threads::parallel_for(blocks, |j| {
        fill_block(&mut RandomGenerator::new(a0 + j as i64 * b0), &mut pieces[j].lock());
        Ok(())
    })
}

/// Uniform in [0, 1].
pub fn float_rand(x: &mut [f32], seed: i64) -> Result<()> {
    fill(x, seed, |rng, x| x.iter_mut().for_each(|v| *v = rng.rand_float()))
}

/// Normal, by Marsaglia's polar method.
pub fn float_randn(x: &mut [f32], seed: i64) -> Result<()> {
    fill(x, seed, |rng, x| {
        // A point in the unit disc gives two numbers.
        for pair in x.chunks_mut(2) {
            let (a, b, s) = loop {
                let (a, b) = (2.0 * rng.rand_double() - 1.0, 2.0 * rng.rand_double() - 1.0);
                let s = a * a + b * b;
                if s < 1.0 {
                    break (a, b, s);
                }
            };
            for (v, side) in pair.iter_mut().zip([a, b]) {
                *v = (side * (-2.0 * s.ln() / s).sqrt()) as f32;
            }
        }
    })
}

/// Uniform in [0, 2^62).
pub fn int64_rand(x: &mut [i64], seed: i64) -> Result<()> {
    fill(x, seed, |rng, x| x.iter_mut().for_each(|v| *v = rng.rand_int64()))
}

/// Uniform in [0, max); `max` is above 0.
pub fn int64_rand_max(x: &mut [i64], max: u64, seed: i64) -> Result<()> {
    crate::base::Error::check(max > 0, "max > 0")?;
    fill(x, seed, |rng, x| x.iter_mut().for_each(|v| *v = (rng.rand_int64() as u64 % max) as i64))
}

/// Uniform bytes.
pub fn byte_rand(x: &mut [u8], seed: i64) -> Result<()> {
    fill(x, seed, |rng, x| x.iter_mut().for_each(|v| *v = rng.rand_int64() as u8))
}

/// A permutation of `0..perm.len()`.
pub fn rand_perm(perm: &mut [i32], seed: i64) {
    let mut rng = RandomGenerator::new(seed);
    shuffle(perm, perm.len(), |max| rng.rand_int_max(max));
}

/// The first `count` numbers of [`rand_perm`]'s permutation of `0..n`, without the work for the others.
pub fn rand_perm_prefix(n: usize, count: usize, seed: i64) -> Vec<i32> {
    let mut perm = vec![0; n];
    let mut rng = RandomGenerator::new(seed);
    shuffle(&mut perm, count, |max| rng.rand_int_max(max));
    perm.truncate(count);
    perm
}

/// A permutation of `0..perm.len()` by the smaller generator.
pub fn rand_perm_splitmix64(perm: &mut [i32], seed: i64) {
    let mut rng = SplitMix64RandomGenerator::new(seed);
    shuffle(perm, perm.len(), |max| rng.rand_int_max(max));
}

/// Its first `count` numbers are final.
fn shuffle(perm: &mut [i32], count: usize, mut below: impl FnMut(i32) -> i32) {
    let n = perm.len();
    perm.iter_mut().enumerate().for_each(|(i, p)| *p = i as i32);
    for i in 0..count.min(n.saturating_sub(1)) {
        perm.swap(i, i + below((n - i) as i32) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twister_of_64_bits_is_the_standard_one() {
        // The standard says what the 10,000th number from the seed 5489 is.
        let mut twister = StandardTwister64::new(5489);
        assert_eq!((0..10_000).map(|_| twister.next()).last(), Some(9_981_545_732_273_789_042));
        assert!((0..1000).all(|_| twister.below(7) < 7 && (0.0..1.0).contains(&twister.real())));
    }

    /// Expected numbers are those of faiss-cpu 1.15.1.
    #[test]
    fn the_same_numbers_as_faiss() {
        let mut rng = RandomGenerator::new(123);
        assert_eq!([rng.rand_int(), rng.rand_int()], [843828734, 914636141]);
        assert_eq!([rng.rand_int64(), rng.rand_int64()], [3951946749131648382, 1760602001497059292]);
        assert_eq!([rng.rand_int_max(100), rng.rand_int_max(100)], [86, 57]);
        assert_eq!([rng.rand_float(), rng.rand_float()], [0.719_468_95, 0.491_118_94]);
        assert_eq!([rng.rand_double(), rng.rand_double()], [0.4231064606977409, 0.7800277606071969]);

        let mut rng = SplitMix64RandomGenerator::new(123);
        assert_eq!([rng.rand_int(), rng.rand_int()], [1658732843, 1886369660]);
        assert_eq!([rng.rand_int64(), rng.rand_int64()], [6634597274585517032, 3445821116903883263]);
        assert_eq!([rng.rand_int_max(100), rng.rand_int_max(100)], [22, 96]);
        assert_eq!([rng.rand_float(), rng.rand_float()], [0.999_939_6, 0.482_356_94]);
        assert_eq!([rng.rand_double(), rng.rand_double()], [0.6198402433042899, 0.1407353579805007]);

        let mut perm = [0; 20];
        rand_perm(&mut perm, 123);
        assert_eq!(perm, [2, 9, 14, 15, 16, 7, 8, 5, 19, 0, 11, 18, 10, 17, 12, 6, 1, 13, 3, 4]);
        rand_perm_splitmix64(&mut perm, 123);
        assert_eq!(perm, [15, 0, 18, 13, 6, 16, 4, 1, 9, 11, 7, 8, 12, 19, 10, 2, 14, 5, 3, 17]);

        let mut bytes = [0; 20];
        byte_rand(&mut bytes, 123).unwrap();
        assert_eq!(
            bytes,
            [4, 254, 189, 54, 111, 202, 92, 138, 70, 132, 159, 164, 254, 228, 138, 201, 203, 244, 250, 127]
        );
        let mut ints = vec![0; 3000];
        int64_rand(&mut ints, 123).unwrap();
        assert_eq!([ints[0], ints[1500], ints[2999]], [2433325387659357700, 1280193165959826560, 2255700625888977916]);
        int64_rand_max(&mut ints, 1000, 123).unwrap();
        assert_eq!([ints[0], ints[1], ints[1500], ints[2999]], [700, 774, 560, 916]);
    }

    #[test]
    fn the_same_floats_as_faiss() {
        for (n, first, last) in
            [(5, 0.7280301f32, 0.23715077f32), (1025, 0.7280301, 0.7978125), (3000, 0.7280301, 0.9832953)]
        {
            let mut x = vec![0.0; n];
            float_rand(&mut x, 123).unwrap();
            assert_eq!((x[0], x[n - 1]), (first, last));
        }
        for (n, first, last) in
            [(5, 0.7851029f32, -1.382278f32), (1025, 0.7851029, 1.4329375), (3000, 0.7851029, -0.5172347)]
        {
            let mut x = vec![0.0; n];
            float_randn(&mut x, 123).unwrap();
            assert_eq!((x[0], x[n - 1]), (first, last));
        }
    }
}
