//! Parameters of indexes by name, whatever goes around the index that has them.

use faiss_derive::{Object, methods};

use crate::base::{Error, Result, Shared, Value};
use crate::index::{Index, tuning};
use crate::registry::Row;

/// Sets parameters of indexes by name, and finds good values for them.
///
/// `set_index_parameters(index, "nprobe=16,k_factor_rf=4")` finds the index within others that has each. `initialize` and `explore` try settings and
/// keep the best for each time.
#[derive(Object, Clone)]
#[object(methods)]
pub struct ParameterSpace {
    /// What `explore` prints: nothing (0), or a line for each setting.
    #[object(default = 1)]
    pub verbose: i32,
}

pub(crate) const ROW: Row = Row::of::<ParameterSpace>();

#[methods(new)]
impl ParameterSpace {
    /// Sets the parameter of that name of the index, or of one within it. `quantizer_nprobe` is the quantizer's `nprobe`.
    #[name = "set_index_parameter"]
    fn set_one(&self, index: Shared<dyn Index>, name: &str, value: f64) -> Result<()> {
        set_index_parameter(&index, name, value)
    }

    /// Sets several, as in `nprobe=16,k_factor_rf=4`.
    fn set_index_parameters(&self, index: Shared<dyn Index>, param_string: &str) -> Result<()> {
        for part in param_string.split(',').filter(|part| !part.is_empty()) {
            let pair = part.split_once('=').and_then(|(name, value)| Some((name, value.parse().ok()?)));
            let wrong = || Error::failed("", format!("could not interpret parameters {part}"));
            let (name, value) = pair.ok_or_else(wrong)?;
            set_index_parameter(&index, name, value)?;
        }
        Ok(())
    }

    /// The parameters of the index that are worth exploring: pairs of a name and values.
    fn ranges_of(&self, index: Shared<dyn Index>) -> Value {
        let pair = |(name, values): (String, Vec<f64>)| {
            let n = values.len();
            Value::List(vec![Value::Str(name), Value::F64(values, vec![n])])
        };
        Value::List(tuning::ranges(&index).into_iter().map(pair).collect())
    }
}

/// Sets the parameter of that name of the index, or of one within it.
pub fn set_index_parameter(index: &Shared<dyn Index>, name: &str, value: f64) -> Result<()> {
    if !tuning::set(index, name, value)? {
        return Err(Error::failed("", format!("ParameterSpace::set_index_parameter: could not set parameter {name}")));
    }
    Ok(())
}
