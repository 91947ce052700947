//! Packs the staged package into the wheel.

use super::Work;
use crate::failure::{Failure, Result};
use crate::wheel::{self, WheelName};

pub fn run(work: &Work, stage: &str, name: &WheelName) -> Result<()> {
    let staged = work.need(stage)?;
    wheel::pack(&staged, name, &work.out)
        .map_err(|error| Failure::build(format!("The wheel can't be packed: {error}."), "Correct what it names."))?;
    Ok(())
}
