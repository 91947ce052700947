//! completions.

use super::Context;
use crate::cli::{self, table::Values};
use crate::failure::Result;

pub fn completions(_: &Context, values: &Values) -> Result<()> {
    cli::completions(values.text("shell").unwrap_or_default())
}
