//! Distances of a query to stored vectors, one by one: what graph searches and re-ranking need.

use super::extra;
use crate::base::{Error, MetricType, Result};
use crate::simd;

/// Holds a query and computes its distance to vectors by number.
pub trait DistanceComputer: Send {
    /// `x` has as many numbers as a stored vector.
    fn set_query(&mut self, x: &[f32]) -> Result<()>;
    /// The distance of the query to vector `i`, which must exist.
    fn distance(&self, i: usize) -> f32;
    /// The distances of the query to four vectors, which must exist.
    fn batch_4(&self, ids: [usize; 4]) -> [f32; 4] {
        ids.map(|i| self.distance(i))
    }
    /// The distance between two stored vectors, which must exist.
    fn symmetric_distance(&self, i: usize, j: usize) -> f32;
    /// The distances between a stored vector and four others.
    fn symmetric_batch_4(&self, i: usize, others: [usize; 4]) -> [f32; 4] {
        others.map(|j| self.symmetric_distance(i, j))
    }
    /// Hints that vector `i`, which must exist, is compared soon.
    fn prefetch(&self, _i: usize) {}
}

/// Compares in two steps, of which the first costs less. Distances are keys, of which the smaller is the better.
pub trait StagedComputer: DistanceComputer {
    /// An estimate of the distance of the query to vector `i`, which must exist, and what that distance is, all but certainly, not below.
    fn estimate(&self, i: usize) -> (f32, f32);
}

impl<T: DistanceComputer + ?Sized> DistanceComputer for Box<T> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        (**self).set_query(x)
    }
    fn distance(&self, i: usize) -> f32 {
        (**self).distance(i)
    }
    fn batch_4(&self, ids: [usize; 4]) -> [f32; 4] {
        (**self).batch_4(ids)
    }
    fn symmetric_distance(&self, i: usize, j: usize) -> f32 {
        (**self).symmetric_distance(i, j)
    }
    fn symmetric_batch_4(&self, i: usize, others: [usize; 4]) -> [f32; 4] {
        (**self).symmetric_batch_4(i, others)
    }
    fn prefetch(&self, i: usize) {
        (**self).prefetch(i);
    }
}

/// How two vectors are compared: the metric is looked up once, when a computer is made.
enum Pairs {
    Kernels { one: fn(&[f32], &[f32]) -> f32, four: fn(&[f32], [&[f32]; 4]) -> [f32; 4] },
    Other { metric: MetricType, arg: f32 },
}

impl Pairs {
    fn new(metric: MetricType, arg: f32) -> Pairs {
        match metric {
            MetricType::L2 => Pairs::Kernels { one: simd::fvec_L2sqr, four: simd::fvec_L2sqr_batch_4 },
            MetricType::InnerProduct => {
                Pairs::Kernels { one: simd::fvec_inner_product, four: simd::fvec_inner_product_batch_4 }
            }
            _ => Pairs::Other { metric, arg },
        }
    }

    #[inline]
    fn one(&self, x: &[f32], y: &[f32]) -> f32 {
        match self {
            Pairs::Kernels { one, .. } => one(x, y),
            Pairs::Other { metric, arg } => extra::distance(*metric, *arg, x, y),
        }
    }

    #[inline]
    fn four(&self, x: &[f32], y: [&[f32]; 4]) -> [f32; 4] {
        match self {
            Pairs::Kernels { four, .. } => four(x, y),
            Pairs::Other { metric, arg } => y.map(|y| extra::distance(*metric, *arg, x, y)),
        }
    }
}

/// Over vectors that are stored as they are.
pub struct FlatDistanceComputer<'a> {
    y: &'a [f32],
    d: usize,
    pairs: Pairs,
    query: Vec<f32>,
}

impl<'a> FlatDistanceComputer<'a> {
    /// Over vectors `y` of `d` numbers; `arg` is the metric's, for those that have one.
    pub fn new(y: &'a [f32], d: usize, metric: MetricType, arg: f32) -> Self {
        FlatDistanceComputer { y, d, pairs: Pairs::new(metric, arg), query: vec![0.0; d] }
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.y[i * self.d..(i + 1) * self.d]
    }
}

impl DistanceComputer for FlatDistanceComputer<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.d, "x.size() == d")?;
        self.query.copy_from_slice(x);
        Ok(())
    }
    fn distance(&self, i: usize) -> f32 {
        self.pairs.one(&self.query, self.row(i))
    }
    fn batch_4(&self, ids: [usize; 4]) -> [f32; 4] {
        self.pairs.four(&self.query, ids.map(|i| self.row(i)))
    }
    fn symmetric_distance(&self, i: usize, j: usize) -> f32 {
        self.pairs.one(self.row(i), self.row(j))
    }
    fn symmetric_batch_4(&self, i: usize, others: [usize; 4]) -> [f32; 4] {
        self.pairs.four(self.row(i), others.map(|j| self.row(j)))
    }
    fn prefetch(&self, i: usize) {
        simd::prefetch(bytemuck::cast_slice(self.row(i)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_fours_are_what_the_metric_says() {
        let (n, d) = (9, 21);
        let mut y = vec![0.0; n * d];
        crate::random::float_rand(&mut y, 3).unwrap();
        for metric in [MetricType::L2, MetricType::InnerProduct, MetricType::L1, MetricType::Lp] {
            let mut computer = FlatDistanceComputer::new(&y, d, metric, 3.0);
            computer.set_query(&y[2 * d..3 * d]).unwrap();
            let want = |i: usize, j: usize| {
                let pairs = (0..d).map(|c| (f64::from(y[i * d + c]), f64::from(y[j * d + c])));
                match metric {
                    MetricType::L2 => pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>(),
                    MetricType::InnerProduct => pairs.map(|(a, b)| a * b).sum(),
                    MetricType::L1 => pairs.map(|(a, b)| (a - b).abs()).sum(),
                    _ => pairs.map(|(a, b)| (a - b).abs().powi(3)).sum(),
                }
            };
            let same = |got: f32, want: f64| assert!((f64::from(got) - want).abs() < 1e-5 * want.max(1.0));
            for i in 0..n {
                same(computer.distance(i), want(2, i));
                same(computer.symmetric_distance(i, 5), want(i, 5));
                let ids = [i, 0, (i + 3) % n, 2];
                computer.batch_4(ids).into_iter().zip(ids).for_each(|(got, id)| same(got, want(2, id)));
                computer.symmetric_batch_4(4, ids).into_iter().zip(ids).for_each(|(got, id)| same(got, want(4, id)));
            }
        }
        assert!(FlatDistanceComputer::new(&y, d, MetricType::L2, 0.0).set_query(&y[..d - 1]).is_err());
    }
}
