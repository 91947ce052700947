//! Points of the integer lattice on a sphere, by number: all vectors of `dim` whole numbers whose squares add up to `r2`. (Sablayrolles et al.,
//! "Spreading vectors for similarity search", 2019, appendix.)
//!
//! An atom is a point with its numbers in descending order and none below 0; all points come from atoms by permutations and signs.

use faiss_derive::{Object, methods};

use crate::base::declare::Rows;
use crate::base::object::Object;
use crate::base::{Error, Result};
use crate::registry::Row;

/// Dimensions beyond this are a mistake.
const MAX_DIM: i32 = 1 << 12;
/// The largest squared radius: beyond it the search for atoms takes minutes, in some dimensions to find few.
const MAX_R2: i32 = 1 << 20;
/// Atoms are not enumerated beyond so many numbers.
const MAX_VOC: usize = 1 << 22;

fn too_many() -> Error {
    Error::failed("nv fits into 64 bits", "the sphere has more points than 64 bits can number")
}

/// `n` over `k`, where it fits.
fn binomial(n: usize, k: usize) -> Option<u64> {
    if k > n {
        return Some(0);
    }
    let mut product = 1u128;
    for i in 0..k.min(n - k) {
        // Each prefix is a binomial coefficient, so the division leaves nothing.
        product = product.checked_mul((n - i) as u128)? / (i as u128 + 1);
    }
    u64::try_from(product).ok()
}

/// The numbers that a vector consists of, each with how often it occurs; the permutations of the vector are numbered.
#[derive(Object, Clone, Default)]
#[object(methods, copy)]
pub struct Repeats {
    /// Dimension of the vector.
    #[object(readonly)]
    pub dim: i32,
    repeats: Vec<(f32, usize)>,
}

pub(crate) const REPEATS: Row = Row::of::<Repeats>();

#[methods]
impl Repeats {
    /// Of the first `dim` numbers of `c`; of nothing without them.
    #[new]
    pub fn new(#[default = 0] dim: i32, #[default = &[]] c: &[f32]) -> Result<Self> {
        Error::check((0..=MAX_DIM).contains(&dim), "dim >= 0 && dim <= 4096")?;
        Error::check(c.is_empty() || c.len() == dim as usize, "c.size() == dim")?;
        let mut repeats: Vec<(f32, usize)> = Vec::new();
        for v in c {
            match repeats.iter_mut().find(|(known, _)| known == v) {
                Some((_, n)) => *n += 1,
                None => repeats.push((*v, 1)),
            }
        }
        Ok(Repeats { dim, repeats })
    }

    /// The numbers and how often each occurs, (n, 2).
    fn table(&self) -> Rows<f32> {
        Rows(self.repeats.iter().flat_map(|(v, n)| [*v, *n as f32]).collect(), 2)
    }

    /// Number of different permutations, 64 bits without a sign.
    #[name = "count"]
    fn count_bits(&self) -> Result<Vec<i64>> {
        Ok(vec![self.count()? as i64])
    }

    /// The number of a permutation, 64 bits without a sign.
    #[name = "encode"]
    fn encoded(&self, c: &[f32]) -> Result<Vec<i64>> {
        Error::check(c.len() == self.dim as usize, "c.size() == dim")?;
        Ok(vec![self.encode(c)? as i64])
    }

    /// The permutation of a number.
    #[name = "decode"]
    fn decoded(&self, code: &[i64]) -> Result<Vec<f32>> {
        let mut c = vec![0.0; self.dim as usize];
        self.decode(code.first().copied().unwrap_or(0) as u64, &mut c)?;
        Ok(c)
    }
}

impl Repeats {
    /// How many vectors there are.
    pub fn count(&self) -> Result<u64> {
        let mut free = self.dim as usize;
        let mut count = 1u64;
        for (_, n) in &self.repeats {
            count = binomial(free, *n).and_then(|ways| count.checked_mul(ways)).ok_or_else(too_many)?;
            free -= n;
        }
        Ok(count)
    }

    /// The number of a vector.
    pub fn encode(&self, c: &[f32]) -> Result<u64> {
        let mut free: Vec<usize> = (0..c.len()).collect();
        let (mut code, mut unit) = (0u64, 1u64);
        for (value, n) in &self.repeats {
            // Which of the free places hold the value, as a combination.
            let (mut rank, mut found) = (0u64, 0);
            let mut left = Vec::with_capacity(free.len());
            for (at, place) in free.iter().enumerate() {
                if c[*place] == *value {
                    found += 1;
                    rank += binomial(at, found).ok_or_else(too_many)?;
                } else {
                    left.push(*place);
                }
            }
            Error::check(found == *n, "c is a permutation of the vector")?;
            code += rank * unit;
            unit = binomial(free.len(), *n).and_then(|ways| unit.checked_mul(ways)).ok_or_else(too_many)?;
            free = left;
        }
        Error::check(free.is_empty(), "c is a permutation of the vector")?;
        Ok(code)
    }

    /// The vector of a number.
    pub fn decode(&self, mut code: u64, c: &mut [f32]) -> Result<()> {
        let mut free: Vec<usize> = (0..c.len()).collect();
        for (value, n) in &self.repeats {
            let ways = binomial(free.len(), *n).ok_or_else(too_many)?;
            let mut rank = code % ways;
            code /= ways;
            // From the last place of the combination to the first.
            let mut end = free.len();
            for k in (1..=*n).rev() {
                let mut at = end - 1;
                while binomial(at, k).ok_or_else(too_many)? > rank {
                    at -= 1;
                }
                rank -= binomial(at, k).ok_or_else(too_many)?;
                c[free.remove(at)] = *value;
                end = at;
            }
        }
        Ok(())
    }
}

/// A set of vectors that have numbers.
pub trait EnumeratedVectors: Object {
    /// Coordinates of a vector.
    fn dim(&self) -> usize;
    /// How many they are.
    fn nv(&self) -> u64;
    /// The number of the vector nearest to `x`.
    fn encode(&self, x: &[f32]) -> Result<u64>;
    /// Writes the vector of a number.
    fn decode(&self, code: u64, c: &mut [f32]) -> Result<()>;
}

crate::view!(EnumeratedVectors, "EnumeratedVectors");

/// What all sets of numbered vectors have.
#[derive(Object, Clone, Default)]
#[object(name = "EnumeratedVectors", abstract, methods(VectorsMethods))]
pub struct EnumeratedVectorsBase {
    /// Dimension of the vectors.
    #[object(readonly)]
    pub dim: i32,
}

pub(crate) const ROW: Row = Row::of::<EnumeratedVectorsBase>();

/// What Python sees of all sets.
pub struct VectorsMethods;

#[methods]
impl VectorsMethods {
    /// How many vectors there are, 64 bits without a sign.
    fn count_bits(this: &dyn EnumeratedVectors) -> Vec<i64> {
        vec![this.nv() as i64]
    }

    /// The numbers of vectors (n, dim), 64 bits without a sign.
    fn encode_multi(this: &dyn EnumeratedVectors, c: &[f32]) -> Result<Vec<i64>> {
        Error::check(c.len().is_multiple_of(this.dim()), "c.size() % dim == 0")?;
        c.chunks_exact(this.dim()).map(|c| this.encode(c).map(|code| code as i64)).collect()
    }

    /// The vectors of numbers, (n, dim).
    fn decode_multi(this: &dyn EnumeratedVectors, codes: &[i64]) -> Result<Rows<f32>> {
        let dim = this.dim();
        let mut c = vec![0f32; codes.len() * dim];
        codes.iter().zip(c.chunks_exact_mut(dim)).try_for_each(|(code, c)| this.decode(*code as u64, c))?;
        Ok(Rows(c, dim))
    }
}

fn check_code(code: u64, nv: u64) -> Result<()> {
    if code < nv { Ok(()) } else { Err(Error::failed("code < nv", format!("no vector {code} among {nv}"))) }
}

/// Bytes that hold the numbers below `nv`.
fn number_bytes(nv: u64) -> usize {
    ((u64::BITS - nv.saturating_sub(1).leading_zeros()) as usize).div_ceil(8)
}

/// Finds the point of the sphere in whose direction a vector lies.
#[derive(Object, Clone, Default)]
#[object(methods, copy)]
pub struct ZnSphereSearch {
    /// Dimension of the vectors.
    #[object(readonly)]
    pub dimS: i32,
    /// Squared radius of the sphere.
    #[object(readonly)]
    pub r2: i32,
    /// Number of atoms.
    #[object(readonly)]
    pub natom: i32,
    /// The atoms, `natom * dimS` numbers.
    pub voc: Vec<f32>,
}

pub(crate) const SEARCH: Row = Row::of::<ZnSphereSearch>();

#[methods(new)]
impl ZnSphereSearch {
    /// Vectors of `dim` whole numbers whose squares sum up to `r2`.
    #[new]
    pub fn new(dim: i32, r2: i32) -> Result<Self> {
        let sizes = (1..=MAX_DIM).contains(&dim) && (0..=MAX_R2).contains(&r2);
        Error::check(sizes, "dim > 0 && r2 >= 0 && r2 <= 2^20")?;
        let mut voc = Vec::new();
        let mut atom = Vec::new();
        atoms(dim as usize, r2, r2.isqrt(), &mut atom, &mut voc)?;
        let natom = (voc.len() / dim as usize) as i32;
        Error::check(natom > 0, "natom > 0")?;
        Ok(ZnSphereSearch { dimS: dim, r2, natom, voc })
    }

    /// For vectors (n, dim) the points in whose direction they lie, (n, dim), and the inner products with them.
    #[name = "search_multi"]
    fn found(&self, x: &[f32]) -> Result<(Rows<f32>, Vec<f32>)> {
        let dim = self.dimS.max(1) as usize;
        Error::check(x.len().is_multiple_of(dim), "x.size() % dim == 0")?;
        let (mut c, mut products) = (vec![0f32; x.len()], Vec::with_capacity(x.len() / dim));
        for (x, c) in x.chunks_exact(dim).zip(c.chunks_exact_mut(dim)) {
            products.push(self.search(x, c)?.1);
        }
        Ok((Rows(c, dim), products))
    }
}

/// Appends all atoms whose numbers are at most `most`, the largest first, to `voc`; `atom` are the numbers before.
fn atoms(dim: usize, r2: i32, most: i32, atom: &mut Vec<f32>, voc: &mut Vec<f32>) -> Result<()> {
    if dim == atom.len() || r2 == 0 {
        if r2 == 0 {
            Error::check(voc.len() + dim <= MAX_VOC, "natom * dim <= 2^22")?;
            voc.extend(atom.iter().copied().chain(std::iter::repeat(0.0)).take(dim));
        }
        return Ok(());
    }
    for v in (1..=most.min(r2.isqrt())).rev() {
        // The numbers to come are no larger.
        if i64::from(v) * i64::from(v) * ((dim - atom.len()) as i64) < i64::from(r2) {
            break;
        }
        atom.push(v as f32);
        atoms(dim, r2 - v * v, v, atom, voc)?;
        atom.pop();
    }
    Ok(())
}

impl ZnSphereSearch {
    /// Writes the point nearest in direction to `c`; returns its atom and the inner product.
    pub fn search(&self, x: &[f32], c: &mut [f32]) -> Result<(usize, f32)> {
        let dim = self.dimS.max(1) as usize;
        let whole = self.natom > 0 && self.voc.len() == dim * self.natom as usize;
        Error::check(whole && x.len() == dim, "voc.size() == dim * natom && x.size() == dim")?;
        let mut order: Vec<usize> = (0..dim).collect();
        order.sort_by(|a, b| x[*b].abs().total_cmp(&x[*a].abs()));
        let sorted: Vec<f32> = order.iter().map(|i| x[*i].abs()).collect();
        let (mut best, mut product) = (0, f32::NEG_INFINITY);
        for (i, atom) in self.voc.chunks_exact(dim).enumerate() {
            let own: f32 = atom.iter().zip(&sorted).map(|(a, b)| a * b).sum();
            if own > product {
                (best, product) = (i, own);
            }
        }
        for (place, v) in order.iter().zip(&self.voc[best * dim..(best + 1) * dim]) {
            c[*place] = if x[*place] < 0.0 && *v != 0.0 { -v } else { *v };
        }
        Ok((best, product))
    }
}

/// The points that come from one atom: they have the numbers from `first` on, permutations times signs.
#[derive(Clone)]
struct Segment {
    first: u64,
    sign_bits: u32,
    repeats: Repeats,
}

/// Numbers the points of a sphere: by atom, permutation and signs.
#[derive(Object, Clone, Default)]
#[object(methods, implements(EnumeratedVectors), copy)]
pub struct ZnSphereCodec {
    /// What all enumerations have.
    #[object(parent)]
    pub base: EnumeratedVectorsBase,
    /// Dimension of the vectors.
    #[object(readonly)]
    pub dimS: i32,
    /// Squared radius of the sphere.
    #[object(readonly)]
    pub r2: i32,
    /// Number of atoms.
    #[object(readonly)]
    pub natom: i32,
    /// The atoms, `natom * dimS` numbers.
    pub voc: Vec<f32>,
    /// Bytes of a number.
    #[object(readonly)]
    pub code_size: usize,
    search: ZnSphereSearch,
    segments: Vec<Segment>,
    count: u64,
}

pub(crate) const CODEC: Row = Row::of::<ZnSphereCodec>();

#[methods(new)]
impl ZnSphereCodec {
    /// Vectors of `dim` whole numbers whose squares sum up to `r2`.
    #[new]
    pub fn new(dim: i32, r2: i32) -> Result<Self> {
        let search = ZnSphereSearch::new(dim, r2)?;
        let (mut segments, mut count) = (Vec::new(), 0u64);
        for atom in search.voc.chunks_exact(dim as usize) {
            let repeats = Repeats::new(dim, atom)?;
            let sign_bits = atom.iter().filter(|v| **v != 0.0).count() as u32;
            let own = repeats.count()?.checked_mul(1u64.checked_shl(sign_bits).ok_or_else(too_many)?);
            segments.push(Segment { first: count, sign_bits, repeats });
            count = own.and_then(|own| count.checked_add(own)).ok_or_else(too_many)?;
        }
        Ok(ZnSphereCodec {
            base: EnumeratedVectorsBase { dim },
            dimS: dim,
            r2,
            natom: search.natom,
            voc: search.voc.clone(),
            code_size: number_bytes(count),
            search,
            segments,
            count,
        })
    }

    /// For vectors (n, dim) the points in whose direction they lie, (n, dim), and the inner products with them.
    #[name = "search_multi"]
    fn found(&self, x: &[f32]) -> Result<(Rows<f32>, Vec<f32>)> {
        self.search.found(x)
    }

    /// Where each atom's numbers begin, how many of their lowest bits are signs, and how many permutations there are: (natom, 3).
    fn segments_table(&self) -> Result<Rows<i64>> {
        let row = |s: &Segment| Ok([s.first as i64, i64::from(s.sign_bits), s.repeats.count()? as i64]);
        let rows: Result<Vec<[i64; 3]>> = self.segments.iter().map(row).collect();
        Ok(Rows(rows?.concat(), 3))
    }
}

impl EnumeratedVectors for ZnSphereCodec {
    fn dim(&self) -> usize {
        self.base.dim.max(1) as usize
    }
    fn nv(&self) -> u64 {
        self.count
    }
    fn encode(&self, x: &[f32]) -> Result<u64> {
        let mut c = vec![0f32; self.dim()];
        let (atom, _) = self.search.search(x, &mut c)?;
        let segment = &self.segments[atom];
        let (mut signs, mut bit) = (0u64, 0);
        for v in c.iter_mut().filter(|v| **v != 0.0) {
            signs |= u64::from(*v < 0.0) << bit;
            bit += 1;
            *v = v.abs();
        }
        Ok(segment.first + (segment.repeats.encode(&c)? << segment.sign_bits) + signs)
    }
    fn decode(&self, code: u64, c: &mut [f32]) -> Result<()> {
        check_code(code, self.count)?;
        let at = self.segments.partition_point(|segment| segment.first <= code) - 1;
        let segment = &self.segments[at];
        let code = code - segment.first;
        segment.repeats.decode(code >> segment.sign_bits, c)?;
        for (bit, v) in c.iter_mut().filter(|v| **v != 0.0).enumerate() {
            if code >> bit & 1 == 1 {
                *v = -*v;
            }
        }
        Ok(())
    }
}

/// Numbers the points of a sphere half by half, for a dimension that is a power of two.
#[derive(Object, Clone, Default)]
#[object(methods, implements(EnumeratedVectors), copy)]
pub struct ZnSphereCodecRec {
    /// What all enumerations have.
    #[object(parent)]
    pub base: EnumeratedVectorsBase,
    /// Squared radius of the sphere.
    #[object(readonly)]
    pub r2: i32,
    /// The dimension is two to the power of this.
    #[object(readonly)]
    pub log2_dim: i32,
    /// Bytes of a number.
    #[object(readonly)]
    pub code_size: usize,
    /// `counts[ld][r2]`: points of 2^ld dimensions on the sphere of squared radius r2.
    counts: Vec<Vec<u64>>,
}

pub(crate) const RECURSIVE: Row = Row::of::<ZnSphereCodecRec>();

#[methods(new)]
impl ZnSphereCodecRec {
    /// Vectors of `dim` whole numbers whose squares sum up to `r2`; `dim` is a power of two.
    #[new]
    pub fn new(dim: i32, r2: i32) -> Result<Self> {
        let power = (1..=MAX_DIM).contains(&dim) && (dim as u32).is_power_of_two();
        Error::check(power && (0..=MAX_DIM).contains(&r2), "dim == 1 << log2_dim")?;
        let log2_dim = dim.ilog2();
        let mut counts: Vec<Vec<u64>> = vec![(0..=r2).map(squares).collect()];
        for ld in 0..log2_dim as usize {
            let halves = &counts[ld];
            let whole: Option<Vec<u64>> = (0..=r2 as usize)
                .map(|r| (0..=r).try_fold(0u64, |sum, a| sum.checked_add(halves[a].checked_mul(halves[r - a])?)))
                .collect();
            counts.push(whole.ok_or_else(too_many)?);
        }
        let code_size = number_bytes(counts[log2_dim as usize][r2 as usize]);
        Ok(ZnSphereCodecRec { base: EnumeratedVectorsBase { dim }, r2, log2_dim: log2_dim as i32, code_size, counts })
    }

    /// Number of points of 2^ld dimensions on the sphere of squared radius r2a, 64 bits without a sign.
    #[name = "get_nv"]
    fn counted(&self, ld: usize, r2a: usize) -> Result<Vec<i64>> {
        let count = self.counts.get(ld).and_then(|counts| counts.get(r2a));
        Ok(vec![*count.ok_or_else(|| Error::failed("ld <= log2_dim && r2a <= r2", ""))? as i64])
    }
}

/// Whole numbers whose square this is.
fn squares(r2: i32) -> u64 {
    match r2.isqrt().pow(2) == r2 {
        true if r2 == 0 => 1,
        true => 2,
        false => 0,
    }
}

impl ZnSphereCodecRec {
    /// The squared length and the number of a part of a point.
    fn part(&self, c: &[f32]) -> Result<(usize, u64)> {
        if let [v] = c {
            let square = v * v;
            let whole = v.fract() == 0.0 && square <= self.r2 as f32;
            Error::check(whole, "c is a point of the sphere")?;
            return Ok((square as usize, u64::from(*v < 0.0)));
        }
        let (left, right) = c.split_at(c.len() / 2);
        let ((a, code_a), (b, code_b)) = (self.part(left)?, self.part(right)?);
        let r2 = a + b;
        Error::check(r2 <= self.r2 as usize, "c is a point of the sphere")?;
        let halves = &self.counts[left.len().ilog2() as usize];
        let before: u64 = (0..a).map(|a| halves[a] * halves[r2 - a]).sum();
        Ok((r2, before + code_a * halves[b] + code_b))
    }

    fn fill(&self, r2: usize, mut code: u64, c: &mut [f32]) {
        if let [v] = c {
            let root = (r2 as f32).sqrt();
            *v = if code == 1 { -root } else { root };
            return;
        }
        let half = c.len() / 2;
        let halves = &self.counts[half.ilog2() as usize];
        let mut a = 0;
        while a < r2 && code >= halves[a] * halves[r2 - a] {
            code -= halves[a] * halves[r2 - a];
            a += 1;
        }
        let (left, right) = c.split_at_mut(half);
        let seconds = halves[r2 - a].max(1);
        self.fill(a, code / seconds, left);
        self.fill(r2 - a, code % seconds, right);
    }
}

impl EnumeratedVectors for ZnSphereCodecRec {
    fn dim(&self) -> usize {
        self.base.dim.max(1) as usize
    }
    fn nv(&self) -> u64 {
        self.counts.last().and_then(|counts| counts.last()).copied().unwrap_or(0)
    }
    /// Of a point of the sphere.
    fn encode(&self, x: &[f32]) -> Result<u64> {
        Error::check(x.len() == self.dim(), "c.size() == dim")?;
        let (r2, code) = self.part(x)?;
        Error::check(r2 == self.r2 as usize, "c is a point of the sphere")?;
        Ok(code)
    }
    fn decode(&self, code: u64, c: &mut [f32]) -> Result<()> {
        check_code(code, self.nv())?;
        self.fill(self.r2 as usize, code, c);
        Ok(())
    }
}

/// Numbers the points of a sphere half by half where the dimension is a power of two, by atoms where it is not.
#[derive(Object, Clone, Default)]
#[object(methods, implements(EnumeratedVectors), copy)]
pub struct ZnSphereCodecAlt {
    /// The sphere.
    #[object(parent)]
    pub codec: ZnSphereCodec,
    /// Whether it is half by half.
    #[object(readonly)]
    pub use_rec: bool,
    /// What does that.
    pub znc_rec: ZnSphereCodecRec,
}

pub(crate) const ALTERNATIVE: Row = Row::of::<ZnSphereCodecAlt>();

#[methods(new)]
impl ZnSphereCodecAlt {
    /// Vectors of `dim` whole numbers whose squares sum up to `r2`.
    #[new]
    pub fn new(dim: i32, r2: i32) -> Result<Self> {
        let codec = ZnSphereCodec::new(dim, r2)?;
        let use_rec = (dim as u32).is_power_of_two();
        let znc_rec = if use_rec { ZnSphereCodecRec::new(dim, r2)? } else { ZnSphereCodecRec::default() };
        Ok(ZnSphereCodecAlt { codec, use_rec, znc_rec })
    }
}

impl EnumeratedVectors for ZnSphereCodecAlt {
    fn dim(&self) -> usize {
        self.codec.dim()
    }
    fn nv(&self) -> u64 {
        self.codec.count
    }
    fn encode(&self, x: &[f32]) -> Result<u64> {
        if !self.use_rec {
            return self.codec.encode(x);
        }
        let mut c = vec![0f32; self.dim()];
        self.codec.search.search(x, &mut c)?;
        self.znc_rec.encode(&c)
    }
    fn decode(&self, code: u64, c: &mut [f32]) -> Result<()> {
        if self.use_rec { self.znc_rec.decode(code, c) } else { self.codec.decode(code, c) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All points, by trying every vector.
    fn points(dim: usize, r2: i32) -> usize {
        let side = r2.isqrt();
        let mut sums = vec![0i32];
        for _ in 0..dim {
            sums = sums.iter().flat_map(|s| (-side..=side).map(move |v| s + v * v)).filter(|s| *s <= r2).collect();
        }
        sums.iter().filter(|s| **s == r2).count()
    }

    #[test]
    fn every_point_has_one_number() {
        for (dim, r2) in [(1, 4), (2, 5), (3, 6), (4, 6), (8, 5), (5, 9)] {
            let codec = ZnSphereCodec::new(dim, r2).unwrap();
            let alternative = ZnSphereCodecAlt::new(dim, r2).unwrap();
            assert_eq!(codec.nv() as usize, points(dim as usize, r2), "{dim} {r2}");
            let mut seen = std::collections::HashSet::new();
            for code in 0..codec.nv() {
                let mut c = vec![0f32; dim as usize];
                codec.decode(code, &mut c).unwrap();
                assert_eq!(c.iter().map(|v| v * v).sum::<f32>(), r2 as f32);
                assert_eq!(codec.encode(&c).unwrap(), code);
                seen.insert(c.iter().map(|v| *v as i32).collect::<Vec<i32>>());
                alternative.decode(code, &mut c).unwrap();
                assert_eq!(alternative.encode(&c).unwrap(), code);
            }
            assert_eq!(seen.len() as u64, codec.nv());
            assert!(codec.decode(codec.nv(), &mut vec![0.0; dim as usize]).is_err());
        }
        assert!(ZnSphereCodec::new(0, 3).is_err() && ZnSphereCodec::new(1, 3).is_err());
        assert!(ZnSphereCodecRec::new(6, 3).is_err() && ZnSphereCodec::new(200, 500).is_err());
    }

    #[test]
    fn the_point_in_the_direction_is_found() {
        let search = ZnSphereSearch::new(4, 6).unwrap();
        let mut c = [0f32; 4];
        assert_eq!(search.search(&[0.1, -5.0, 2.0, 1.9], &mut c).unwrap().0, 0);
        assert_eq!(c, [0.0, -2.0, 1.0, 1.0]);
        assert_eq!(ZnSphereSearch::new(5, 9).unwrap().voc, [3.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0, 0.0]);
    }
}
