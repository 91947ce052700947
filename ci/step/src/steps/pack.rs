//! Packs the images of one kernel family into a compressed fatbin with nvFatbin.

use std::fs;

use faiss_kernels::Target;

use super::{Work, tool};
use crate::failure::{Failure, Result};
use crate::task::Image;

pub fn run(work: &Work, family: &str, nvfatbin: &str, images: &[Image]) -> Result<()> {
    let mut read = Vec::new();
    for image in images {
        let arch = image.arch.parse().map_err(|error| Failure::usage(format!("{error}."), "Write the plan anew."))?;
        let path = work.need(&image.step)?.join("image");
        let bytes = fs::read(&path).map_err(Failure::io("cannot read", &path))?;
        read.push((if image.ptx { Target::Ptx(arch) } else { Target::Cubin(arch) }, bytes));
    }
    let library = tool::find(&work.need(nvfatbin)?, |path| path.contains("/libnvfatbin.so"))?;
    let fatbin = faiss_kernels::pack(&library, &read).map_err(|error| {
        Failure::build(format!("{family}: {error}."), "Check the version of nvFatbin in versions.toml.")
    })?;
    work.write(&format!("{family}.fatbin"), &fatbin)
}
