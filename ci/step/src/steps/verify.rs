//! Opens the finished wheel, proves what it holds, and keeps the report and the inventory for the manifest.

use serde::{Deserialize, Serialize};

use super::Work;
use crate::audit::{self, Expected, Inventory, Report};
use crate::failure::{Failure, Result};

/// report.json
#[derive(Debug, Serialize, Deserialize)]
pub struct Verified {
    pub report: Report,
    pub inventory: Inventory,
}

pub(super) fn run(work: &Work, archive: &str, file_name: &str, expected: &Expected) -> Result<()> {
    let wheel = work.need(archive)?.join(file_name);
    let (report, inventory) = audit::verify_and_inspect(&wheel, expected);
    let Some(inventory) = inventory.filter(|_| report.passed()) else {
        return Err(Failure::check(
            format!("{file_name} is not what it should be."),
            "Each finding above names the member and what is wrong; the wheel was not put into the wheelhouse.",
        )
        .with_log(report.to_string()));
    };
    let text = serde_json::to_vec_pretty(&Verified { report, inventory }).expect("plain data serializes");
    work.write("report.json", &text)
}
