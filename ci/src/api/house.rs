//! completions.

use super::Context;
use crate::api::table::Values;
use crate::front;
use ci_step::failure::Result;

pub fn completions(_: &Context, values: &Values) -> Result<()> {
    front::completions(values.text("shell").unwrap_or_default())
}
