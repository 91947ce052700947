//! Downloads a pinned wheel into the store, and unpacks what is wanted of it.

use super::Work;
use crate::failure::Result;
use crate::pip::File;
use crate::python;
use crate::python::Python;
use crate::store::unpack::unpack;

pub fn run(work: &Work, file: &File, floor: u32, glibc: (u32, u32), machine: &str, keep: &[String]) -> Result<()> {
    let floor = Python(floor);
    let paths = work.store.fetch(&[file], floor, glibc, machine, || python::for_pip(floor))?;
    unpack(&paths[0], keep, &work.out)
}
