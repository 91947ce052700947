//! The compiler that the plan names, and no other: its release and commit are part of the step's key.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::python::which;

#[derive(Debug)]
pub struct Toolchain {
    pub sysroot: PathBuf,
}

impl Toolchain {
    /// `wanted` is what `rustc -vV` has to say of itself: `1.95.0 (59807616e1fa...)`.
    pub fn find(root: &Path, wanted: &str) -> Result<Toolchain> {
        // The cargo that runs this program, as rustup sets it, else the one on PATH.
        let beside = env::var_os("CARGO").map(|cargo| PathBuf::from(cargo).with_file_name("rustc"));
        let rustc = beside.filter(|path| path.is_file()).or_else(|| which("rustc"));
        let rustc = rustc.ok_or_else(|| Failure::machine("There is no rustc on PATH.", "Install Rust with rustup."))?;
        let ask = |rustc: &Path, arguments: &[&str]| -> Result<String> {
            let mut command = Command::new(rustc);
            // In the checkout rustup takes the release of rust-toolchain.toml.
            command.current_dir(root).args(arguments).env_remove("RUSTUP_TOOLCHAIN").env_remove("LD_PRELOAD");
            let output = command.output().map_err(Failure::io("cannot run", rustc))?;
            if !output.status.success() {
                let log = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(Failure::machine("rustc does not say what it is.", "Install Rust anew.").with_log(log));
            }
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let sysroot = PathBuf::from(ask(&rustc, &["--print", "sysroot"])?);
        let toolchain = Toolchain { sysroot };
        let words = ask(&toolchain.program("rustc"), &["-vV"])?;
        let found = identity(&words);
        if found.as_deref() != Some(wanted) {
            let what = format!(
                "The compiler is {}, and versions.toml wants {wanted}.",
                found.unwrap_or_else(|| words.lines().next().unwrap_or_default().to_owned())
            );
            let todo = "Install that release with rustup (it does so by itself in the checkout), and unset RUSTC and RUSTUP_TOOLCHAIN.";
            return Err(Failure::machine(what, todo));
        }
        Ok(toolchain)
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.sysroot.join("bin").join(name)
    }

    /// Folders of programs: the toolchain's own, those in `programs`, and a shell.
    pub fn path(&self, programs: &Path) -> OsString {
        let own = self.sysroot.join("bin");
        let folders = [&own, programs, Path::new("/usr/bin"), Path::new("/bin")];
        env::join_paths(folders).unwrap_or_else(|_| "/usr/bin:/bin".into())
    }
}

/// Release and commit in the words of `rustc -vV`.
fn identity(words: &str) -> Option<String> {
    let field = |name: &str| words.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(format!("{} ({})", field("release: ")?, field("commit-hash: ")?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_compiler_is_known_by_release_and_commit() {
        let words =
            "rustc 1.95.0 (5980 2026)\nbinary: rustc\ncommit-hash: 5980\nhost: x\nrelease: 1.95.0\nLLVM version: 22";
        assert_eq!(super::identity(words).unwrap(), "1.95.0 (5980)");
        assert_eq!(super::identity("gcc 12"), None);
    }
}
