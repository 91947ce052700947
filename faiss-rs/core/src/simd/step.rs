//! What metrics add up: names of types, as loops take them.

use super::lanes::Lanes;
use super::nearest::fused;

/// What a kernel does with a pair of numbers and what it has so far; a pair of zeros must leave that as it is.
pub trait Step {
    /// The next partial sums.
    fn step<R: Lanes>(x: R, y: R, sum: R) -> R;
    /// The same of single numbers.
    fn scalar<R: Lanes>(x: f32, y: f32, sum: f32) -> f32;
}

/// Squared differences.
pub struct L2;
impl Step for L2 {
    #[inline(always)]
    fn step<R: Lanes>(x: R, y: R, sum: R) -> R {
        let t = x.sub(y);
        t.madd(t, sum)
    }
    #[inline(always)]
    fn scalar<R: Lanes>(x: f32, y: f32, sum: f32) -> f32 {
        fused::<R>(x - y, x - y, sum)
    }
}

/// Products.
pub struct Product;
impl Step for Product {
    #[inline(always)]
    fn step<R: Lanes>(x: R, y: R, sum: R) -> R {
        x.madd(y, sum)
    }
    #[inline(always)]
    fn scalar<R: Lanes>(x: f32, y: f32, sum: f32) -> f32 {
        fused::<R>(x, y, sum)
    }
}

/// Absolute differences.
pub struct L1;
impl Step for L1 {
    #[inline(always)]
    fn step<R: Lanes>(x: R, y: R, sum: R) -> R {
        sum.add(x.sub(y).abs())
    }
    #[inline(always)]
    fn scalar<R: Lanes>(x: f32, y: f32, sum: f32) -> f32 {
        sum + (x - y).abs()
    }
}
