//! Builds the Rust extension for an old glibc with zig as linker, so that its bytes depend on the sources and the tools
//! alone.
//!
//! Nothing of the caller reaches the compiler. `sources` lays out a copy of the files that the step names, and no others;
//! `crates` unpacks what Cargo.lock names from archives whose hashes it has just compared; `toolchain` finds the one compiler
//! that the plan names. zig links build scripts too, in place of the machine's `cc`. Cargo then runs with an empty environment, a CARGO_HOME of its own, a new build folder, and in the
//! root folder, since it reads `.cargo/config.toml` of every folder above the one that it is started in.
//!
//! `--locked` is not among its arguments: the features of the members that are left out are in Cargo.lock as well. What holds
//! the versions is that there are no others to choose from.

mod crates;
mod sources;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Work, tool};
use crate::failure::{Failure, Result};
pub use crates::{Crate, NOTICES};
use toolchain::Toolchain;

pub(super) struct Tools<'a> {
    pub zig: &'a str,
    pub zigbuild: &'a str,
    pub openblas: &'a str,
}

/// What is linked in: crates.json.
pub const CRATES: &str = "crates.json";
const PACKAGE: &str = "faiss-python";

/// The folders of one build.
struct Place {
    /// The copy of the checkout.
    root: PathBuf,
    crates: PathBuf,
    cargo_home: PathBuf,
    home: PathBuf,
    target: PathBuf,
    /// Programs that stand in for the machine's.
    programs: PathBuf,
}

pub(super) fn run(work: &Work, tools: &Tools, target: &str, blas: &str, prefix: &str, rust: &str) -> Result<()> {
    let zig = tool::find(&work.need(tools.zig)?, |path| path == "ziglang/zig")?;
    let zigbuild = tool::find(&work.need(tools.zigbuild)?, |path| path.ends_with("scripts/cargo-zigbuild"))?;
    // zig is not marked as a program in its wheel.
    executable(&zig)?;
    let toolchain = Toolchain::find(work.root, rust)?;
    no_settings_of_the_machine()?;

    let below = |name: &str| work.scratch.join(name);
    let place = Place {
        root: below("faiss"),
        crates: below("crates"),
        cargo_home: below("cargo"),
        home: below("home"),
        target: below("target"),
        programs: below("programs"),
    };
    for folder in [&place.root, &place.crates, &place.cargo_home, &place.home, &place.programs] {
        fs::create_dir_all(folder).map_err(Failure::io("cannot create", folder))?;
    }
    linker(&place, &zigbuild, target)?;
    let locked = sources::lay_out(work, &place.root)?;
    crates::provide(work, &toolchain, &place, &locked)?;

    let renamed = [
        (&place.root, "/faiss"),
        (&place.target, "/target"),
        (&place.crates, "/crates"),
        (&place.cargo_home, "/cargo"),
        (&toolchain.sysroot, "/rust"),
    ]
    .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()));
    // No branch across 32 bytes: there it costs a short loop a fifth of its rate on many processors, and where branches lie changes with every edit.
    let flags = renamed.join("\u{1f}") + "\u{1f}-Cllvm-args=-x86-branches-within-32B-boundaries";
    let mut command = bare(&zigbuild, &toolchain, &place);
    command
        .args(["zigbuild", "--release", "--offline", "--package", PACKAGE, "--target", target])
        .arg("--manifest-path")
        .arg(place.root.join("Cargo.toml"))
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("CARGO_ZIGBUILD_ZIG_PATH", &zig)
        .env("CARGO_ZIGBUILD_CACHE_DIR", below("zigbuild"))
        .env("ZIG_GLOBAL_CACHE_DIR", below("zig"))
        .env("ZIG_LOCAL_CACHE_DIR", below("zig"))
        .env("FAISS_BLAS_DIR", work.need(tools.openblas)?)
        .env("FAISS_BLAS_LIB", blas)
        .env("FAISS_BLAS_PREFIX", prefix)
        // The stable ABI needs no interpreter at build time.
        .env("PYO3_NO_PYTHON", "1");
    if let Some(jobs) = std::env::var_os("CARGO_BUILD_JOBS") {
        command.env("CARGO_BUILD_JOBS", jobs);
    }
    tool::run(&mut command, "cargo zigbuild").map_err(explain)?;

    // The target's folder goes by its name without the version of glibc.
    let triple = target.split('.').next().unwrap_or(target);
    let built = place.target.join(triple).join("release/lib_faiss.so");
    fs::copy(&built, work.out.join("_faiss.abi3.so")).map_err(Failure::io("cannot copy", &built))?;

    let linked = crates::linked(&toolchain, &place, triple, &locked)?;
    work.write(NOTICES, crates::notices(&place, &linked)?.as_bytes())?;
    work.write(CRATES, &serde_json::to_vec_pretty(&linked).expect("plain data serializes"))
}

/// What rustc calls to link what runs on this machine, build scripts and macros: zig, which brings all that it links.
fn linker(place: &Place, zigbuild: &Path, target: &str) -> Result<()> {
    let path = place.programs.join("cc");
    // zig names targets without the vendor: x86_64-linux-gnu.2.28.
    let target = target.replace("-unknown", "");
    let program = zigbuild.display().to_string().replace('\'', "'\\''");
    let script = format!("#!/bin/sh\nexec '{program}' zig cc -- -target {target} \"$@\"\n");
    fs::write(&path, script).map_err(Failure::io("cannot write", &path))?;
    executable(&path)
}

/// A program of cargo's with nothing in its environment but what is said here, and in [`run`].
fn bare(program: &Path, toolchain: &Toolchain, place: &Place) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .current_dir("/")
        .env("PATH", toolchain.path(&place.programs))
        .env("HOME", &place.home)
        .env("TMPDIR", &place.home)
        .env("CARGO", toolchain.program("cargo"))
        .env("RUSTC", toolchain.program("rustc"))
        .env("CARGO_HOME", &place.cargo_home)
        .env("CARGO_TARGET_DIR", &place.target)
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .env("LC_ALL", "C.UTF-8")
        .env("SOURCE_DATE_EPOCH", "315532800");
    command
}

/// The one folder whose settings cargo reads wherever it runs.
fn no_settings_of_the_machine() -> Result<()> {
    for path in ["/.cargo/config.toml", "/.cargo/config"] {
        if Path::new(path).exists() {
            let what = format!("{path} would change what cargo builds here, and is no input of this step.");
            return Err(Failure::machine(
                what,
                "Move what is in it to your own .cargo/config.toml; downloads heed that.",
            ));
        }
    }
    Ok(())
}

fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let meta = fs::metadata(path).map_err(Failure::io("cannot read", path))?;
    if meta.permissions().mode() & 0o100 == 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Failure::io("cannot change", path))?;
    }
    Ok(())
}

/// Cargo's own words are many; some of them have a short answer.
fn explain(failure: Failure) -> Failure {
    let log = failure.log.as_deref().unwrap_or_default();
    let says = |words: &[&str]| words.iter().any(|word| log.contains(word));
    let (what, todo) = if says(&[
        "failed to download",
        "Could not resolve host",
        "failed to get successful HTTP",
        "failed to query replaced source",
    ]) {
        (
            "cargo can't reach its registry.",
            "Check the network, or cargo's own settings for a mirror (.cargo/config.toml in your home).",
        )
    } else if says(&["No space left on device", "StorageFull"]) {
        (
            "The disk is full.",
            "Free some space (`cargo ci clean --all` removes what can be made again) and run the same command again.",
        )
    } else if says(&["no matching package", "failed to select a version"]) {
        ("Cargo.lock does not agree with Cargo.toml.", "Run `cargo check` and commit Cargo.lock.")
    } else {
        ("The Rust extension does not build.", "cargo's own words are above.")
    };
    Failure { what: what.to_owned(), todo: todo.to_owned(), ..failure }
}
