//! Builds the Rust extension for an old glibc with zig as linker, so that its bytes depend on the sources and the tools
//! alone: paths are mapped to fixed names, and what the environment could add is taken out of it.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Work, tool};
use crate::failure::{Failure, Result};

pub struct Tools<'a> {
    pub zig: &'a str,
    pub zigbuild: &'a str,
    pub openblas: &'a str,
}

/// Set by users or by the cargo that runs this program; each would change what is compiled.
const TAKEN_OUT: &[&str] = &[
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_INCREMENTAL",
    "CC",
    "CFLAGS",
    "CPATH",
    "CXX",
    "CXXFLAGS",
    "LD_LIBRARY_PATH",
    "LDFLAGS",
    "LIBRARY_PATH",
    "RUSTC_BOOTSTRAP",
    "RUSTFLAGS",
];

pub fn run(work: &Work, tools: &Tools, target: &str, blas: &str, prefix: &str) -> Result<()> {
    let zig = tool::find(&work.need(tools.zig)?, |path| path == "ziglang/zig")?;
    let zigbuild = tool::find(&work.need(tools.zigbuild)?, |path| path.ends_with("scripts/cargo-zigbuild"))?;
    // zig is not marked as a program in its wheel.
    executable(&zig)?;
    let target_dir = work.root.join("target").join("extension");
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .ok_or_else(|| Failure::machine("Neither CARGO_HOME nor HOME is set.", "Set one of them."))?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let sysroot = sysroot(work)?;
    same_compiler(work)?;
    let flags = [(work.root, "/faiss"), (&cargo_home, "/cargo"), (&sysroot, "/rust")]
        .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()))
        .join("\u{1f}");

    let mut command = Command::new(zigbuild);
    for name in TAKEN_OUT {
        command.env_remove(name);
    }
    for (name, _) in env::vars_os() {
        // Profiles can be changed by variables, and so can a target's flags.
        let text = name.to_string_lossy().into_owned();
        if ["CARGO_PROFILE_", "CARGO_TARGET_", "FAISS_BLAS_"].iter().any(|start| text.starts_with(start)) {
            command.env_remove(name);
        }
    }
    command
        .current_dir(work.root)
        .args(["zigbuild", "--release", "--locked", "--package", "faiss-python", "--target", target])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO", cargo)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .env("CARGO_ZIGBUILD_ZIG_PATH", &zig)
        .env("CARGO_ZIGBUILD_CACHE_DIR", target_dir.join("zigbuild"))
        .env("ZIG_GLOBAL_CACHE_DIR", target_dir.join("zig"))
        .env("ZIG_LOCAL_CACHE_DIR", target_dir.join("zig"))
        .env("FAISS_BLAS_DIR", work.need(tools.openblas)?)
        .env("FAISS_BLAS_LIB", blas)
        .env("FAISS_BLAS_PREFIX", prefix)
        // The stable ABI needs no interpreter at build time.
        .env("PYO3_NO_PYTHON", "1")
        .env("SOURCE_DATE_EPOCH", "315532800");
    tool::run(&mut command, "cargo zigbuild").map_err(explain)?;

    // The target's folder goes by its name without the version of glibc.
    let triple = target.split('.').next().unwrap_or(target);
    let built = target_dir.join(triple).join("release/lib_faiss.so");
    fs::copy(&built, work.out.join("_faiss.abi3.so")).map_err(Failure::io("cannot copy", &built))?;
    Ok(())
}

fn sysroot(work: &Work) -> Result<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc).current_dir(work.root).args(["--print", "sysroot"]).output();
    let output = output.map_err(Failure::io("cannot run", rustc.as_ref()))?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || path.is_empty() {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::machine("rustc does not say where it is installed.", "Install Rust anew.").with_log(log));
    }
    Ok(PathBuf::from(path))
}

/// Another compiler makes other bytes from the same inputs, so only that of rust-toolchain.toml, which is one of them, will do.
fn same_compiler(work: &Work) -> Result<()> {
    let path = work.root.join("rust-toolchain.toml");
    let text = fs::read_to_string(&path).map_err(Failure::io("cannot read", &path))?;
    let wanted = text.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap_or_default().trim_matches('"');
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc).current_dir(work.root).arg("--version").output();
    let words = output.map_err(Failure::io("cannot run", rustc.as_ref()))?.stdout;
    let words = String::from_utf8_lossy(&words).into_owned();
    if words.split(' ').nth(1) == Some(wanted) {
        return Ok(());
    }
    Err(Failure::machine(
        format!("The compiler is {}, and rust-toolchain.toml wants {wanted}.", words.trim()),
        "Install that release (rustup does so by itself), and unset RUSTC and RUSTUP_TOOLCHAIN.",
    ))
}

fn executable(path: &std::path::Path) -> Result<()> {
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
    } else if says(&["linker `cc` not found"]) {
        ("Rust finds no linker for its build scripts.", "Install a C compiler (Debian: gcc).")
    } else if says(&["the lock file", "cannot update the lock file"]) && says(&["--locked"]) {
        ("Cargo.lock does not agree with Cargo.toml.", "Run `cargo check` and commit Cargo.lock.")
    } else {
        ("The Rust extension does not build.", "cargo's own words are above.")
    };
    Failure { what: what.to_owned(), todo: todo.to_owned(), ..failure }
}
