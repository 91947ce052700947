//! The library that alone has CUDA's as NEEDED. It holds two numbers and no code; opening it opens cudart and cuBLAS.
//!
//! It is linked against stand-ins that carry nothing but the right SONAME, so that neither library is needed to build.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Work, tool};
use crate::failure::{Failure, Result};

const SONAME: &str = "libfaiss_cuda.so";

pub fn run(work: &Work, zig: &str, target: &str, numbers: (u32, u32), needed: &[String], runpath: &str) -> Result<()> {
    let zig = tool::find(&work.need(zig)?, |path| path == "ziglang/zig")?;
    let (version, minimum_driver) = numbers;
    let shim =
        format!("const int faiss_cuda_version = {version};\nconst int faiss_cuda_minimum_driver = {minimum_driver};\n");
    // zig names targets without the vendor: x86_64-linux-gnu.2.28.
    let target = target.replace("-unknown", "");
    let link = |source: &Path, soname: &str, out: &Path| {
        let mut command = Command::new(&zig);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &work.scratch)
            .current_dir(&work.scratch)
            .args([
                "cc",
                "-target",
                &target,
                "-shared",
                "-nostdlib",
                "-O2",
                "-g0",
                "-fno-ident",
                "-Wl,--build-id=none",
                "-s",
            ])
            .arg(format!("-Wl,-soname,{soname}"))
            .arg("-o")
            .arg(out)
            .arg(source.file_name().unwrap_or_default())
            .env("ZIG_GLOBAL_CACHE_DIR", work.scratch.join("zig"))
            .env("ZIG_LOCAL_CACHE_DIR", work.scratch.join("zig"));
        command
    };
    let source = work.scratch.join("shim.c");
    fs::write(&source, shim).map_err(Failure::io("cannot write", &source))?;
    let mut command = link(&source, SONAME, &work.out.join(SONAME));
    command.args(["-Wl,--no-as-needed", "-Wl,--enable-new-dtags"]).arg(format!("-Wl,-rpath,{runpath}"));
    for soname in needed {
        let source = work.scratch.join("stand-in.c");
        let function = soname.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        fs::write(&source, format!("void faiss_stand_in_{function}(void) {{}}\n"))
            .map_err(Failure::io("cannot write", &source))?;
        let library = work.scratch.join(soname);
        tool::run(&mut link(&source, soname, &library), "zig cc")?;
        command.arg(format!("./{soname}"));
    }
    tool::run(&mut command, "zig cc")
}
