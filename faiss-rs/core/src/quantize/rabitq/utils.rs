//! The numbers of codes and queries as Faiss names them.

use faiss_derive::{Object, methods};

use super::estimate::{QueryFactors, Rounding};
use crate::base::{Error, MetricType, Result};
use crate::registry::Row;

/// Numbers that a code's signs have beside them.
#[derive(Object, Default, Clone)]
#[object(new, copy)]
pub struct SignBitFactors {
    /// The squared length of the vector less the centroid; for inner products, less that of the vector.
    pub or_minus_c_l2sqr: f32,
    /// By what the product of signs and query is multiplied.
    pub dp_multiplier: f32,
}

/// As [`SignBitFactors`], with an error.
#[derive(Object, Default, Clone)]
#[object(new, copy)]
pub struct SignBitFactorsWithError {
    /// What stands beside the signs of a code of one bit.
    #[object(parent)]
    pub factors: SignBitFactors,
    /// How far off the estimate may be, for a query at distance 1 from the centroid.
    pub f_error: f32,
}

/// Numbers of the second part of a code: a distance is `f_add_ex`, and `f_rescale_ex` times the product of query and code, beyond what the query alone
/// gives.
#[derive(Object, Default, Clone)]
#[object(new, copy)]
pub struct ExtraBitsFactors {
    /// What is added to a distance.
    pub f_add_ex: f32,
    /// By what the product with a code is multiplied.
    pub f_rescale_ex: f32,
}

/// What is computed of a query and a centroid.
#[derive(Object, Default, Clone)]
#[object(methods, copy)]
pub struct QueryFactorsData {
    /// The product with signs is `c1` times the sum of the rounded coordinates of positive ones, plus `c2` times their number, less `c34`.
    pub c1: f32,
    /// By what the number of positive signs is multiplied.
    pub c2: f32,
    /// What is subtracted.
    pub c34: f32,
    /// The squared length of the query less the centroid.
    pub qr_to_c_L2sqr: f32,
    /// The squared length of the query, and its product with the centroid; 0 where vectors are compared by L2.
    pub qr_norm_L2sqr: f32,
    /// The product of the query with the centroid.
    pub q_dot_c: f32,
    /// What a step of the product of signs and centered numbers is.
    pub int_dot_scale: f32,
    /// By what errors of codes are multiplied.
    pub g_error: f32,
    /// The query less the centroid.
    pub rotated_q: Vec<f32>,
}

pub(crate) const SIGN_BITS: Row = Row::of::<SignBitFactors>();
pub(crate) const SIGN_BITS_WITH_ERROR: Row = Row::of::<SignBitFactorsWithError>();
pub(crate) const EXTRA_BITS: Row = Row::of::<ExtraBitsFactors>();
pub(crate) const QUERY: Row = Row::of::<QueryFactorsData>();

#[methods(new)]
impl QueryFactorsData {
    /// Of a query (d,) and a centroid (d,), or 0, rounded to `qb` bits. Returns the rounded query.
    #[name = "_set"]
    fn set(
        &mut self,
        x: &[f32],
        centroid: Option<&[f32]>,
        qb: u8,
        centered: bool,
        metric_type: MetricType,
    ) -> Result<Vec<u8>> {
        Error::check(qb > 0, "qb > 0")?;
        Error::check(centroid.is_none_or(|c| c.len() == x.len()), "centroid.size() == d")?;
        let mut own = QueryFactors::default();
        let zero;
        let centroid = match centroid {
            Some(centroid) => centroid,
            None => {
                zero = vec![0.0; x.len()];
                &zero
            }
        };
        own.set(x, centroid, Rounding::new(qb, centered)?);
        (self.c1, self.c2, self.c34) = (own.c1, own.c2, own.c34);
        (self.qr_to_c_L2sqr, self.int_dot_scale, self.g_error) = (own.to_centroid, own.scale, own.error);
        let similarity = metric_type.is_similarity();
        (self.qr_norm_L2sqr, self.q_dot_c) = if similarity { (own.norm, own.dot) } else { (0.0, 0.0) };
        self.rotated_q = own.rest;
        Ok(own.rounded.iter().map(|v| *v as u8).collect())
    }
}
