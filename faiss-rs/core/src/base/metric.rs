//! The metrics, with Faiss's numbers.

use super::error::{Error, Result};
use super::object::{Field, FieldMut, FieldRef, Kind, Value};

/// How two vectors are compared. The numbers are those of the file format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum MetricType {
    /// The inner product, a similarity: larger is nearer.
    InnerProduct = 0,
    /// Squared L2.
    #[default]
    L2 = 1,
    /// Sum of absolute differences.
    L1 = 2,
    /// Largest absolute difference.
    Linf = 3,
    /// Sum of |x - y|^metric_arg.
    Lp = 4,
    /// Canberra distance.
    Canberra = 20,
    /// Bray-Curtis distance.
    BrayCurtis = 21,
    /// Jensen-Shannon divergence.
    JensenShannon = 22,
    /// Jaccard similarity: larger is nearer.
    Jaccard = 23,
    /// Squared L2 distance over the coordinates that neither vector lacks, scaled to all.
    NaNEuclidean = 24,
    /// Gower's distance.
    Gower = 25,
}

impl MetricType {
    /// All of them.
    pub const ALL: [MetricType; 11] = [
        MetricType::InnerProduct,
        MetricType::L2,
        MetricType::L1,
        MetricType::Linf,
        MetricType::Lp,
        MetricType::Canberra,
        MetricType::BrayCurtis,
        MetricType::JensenShannon,
        MetricType::Jaccard,
        MetricType::NaNEuclidean,
        MetricType::Gower,
    ];

    /// True where a larger value is a better one.
    pub fn is_similarity(self) -> bool {
        matches!(self, MetricType::InnerProduct | MetricType::Jaccard)
    }
}

impl TryFrom<i64> for MetricType {
    type Error = Error;
    fn try_from(number: i64) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|m| *m as i64 == number)
            .ok_or_else(|| Error::failed("metric_type is known", format!("metric type {number} is not known")))
    }
}

impl Field for MetricType {
    const KIND: Kind = Kind::I32;
    fn get(&self) -> FieldRef<'_> {
        FieldRef::Value(Value::Int(*self as i64))
    }
}
impl FieldMut for MetricType {
    fn set(&mut self, value: Value) -> Result<()> {
        let Value::Int(v) = value else { return Err(Error::type_error("a metric type is an integer")) };
        *self = MetricType::try_from(v)?;
        Ok(())
    }
}
