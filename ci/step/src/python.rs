//! The Pythons of this machine: found, asked for their version, and used to run pip and make virtual environments.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result};

/// A minor version of CPython 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Python(pub u32);

impl std::fmt::Display for Python {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "3.{}", self.0)
    }
}

/// A CPython that answered.
#[derive(Clone, Debug)]
pub struct Interpreter {
    pub path: PathBuf,
    pub python: Python,
    /// `3.12.1`
    pub full: String,
    pub pip: Option<String>,
}

const QUESTION: &str = "\
import sys, sysconfig
try:
    import pip
    pip = pip.__version__
except ImportError:
    pip = '-'
v = sys.version_info
threaded = sysconfig.get_config_var('Py_GIL_DISABLED') or 0
print(sys.implementation.name, v[0], v[1], v[2], v[3], int(threaded), pip, sys.executable)";

/// The newest of each minor version of CPython on this machine, whatever its age: on PATH, and where pyenv and uv keep theirs.
/// Free-threaded builds are left out: they load no abi3 wheel.
pub fn find_all() -> BTreeMap<Python, Interpreter> {
    let mut found: BTreeMap<Python, Interpreter> = BTreeMap::new();
    for path in candidates() {
        let Some(interpreter) = ask(&path) else { continue };
        let better =
            found.get(&interpreter.python).is_none_or(|known| known.pip.is_none() && interpreter.pip.is_some());
        if better {
            found.insert(interpreter.python, interpreter);
        }
    }
    found
}

/// The Python that runs pip: `python3` when it is new enough and has pip, else the newest that is.
pub fn for_pip(floor: Python) -> Result<Interpreter> {
    let fits = |interpreter: &Interpreter| interpreter.python >= floor && interpreter.pip.is_some();
    if let Some(usual) = which("python3").and_then(|path| ask(&path)).filter(fits) {
        return Ok(usual);
    }
    let all = find_all();
    if let Some(newest) = all.values().rev().find(|interpreter| fits(interpreter)) {
        return Ok(newest.clone());
    }
    let todo = format!(
        "Install CPython {floor} or newer with pip (Debian: python3 python3-pip), so that `python3 -m pip` works."
    );
    Err(match all.values().next_back() {
        None => Failure::machine("No Python was found.", todo),
        Some(newest) if newest.python < floor => {
            Failure::machine(format!("Python {} is too old: {floor} or newer is needed.", newest.full), todo)
        }
        Some(newest) => {
            Failure::machine(format!("Python {} at {} has no pip.", newest.full, newest.path.display()), todo)
        }
    })
}

/// Asks the program at `path` what it is. None when it is no CPython 3, or does not run.
pub fn ask(path: &Path) -> Option<Interpreter> {
    let output =
        Command::new(path).args(["-I", "-c", QUESTION]).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let words: Vec<&str> = text.trim().splitn(8, ' ').collect();
    let [name, major, minor, patch, level, threaded, pip, executable] = words.as_slice() else { return None };
    if (*name, *major, *level, *threaded) != ("cpython", "3", "final", "0") {
        return None;
    }
    Some(Interpreter {
        path: PathBuf::from(executable),
        python: Python(minor.parse().ok()?),
        full: format!("{major}.{minor}.{patch}"),
        pip: (*pip != "-").then(|| (*pip).to_owned()),
    })
}

fn candidates() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = which("python3").into_iter().collect();
    paths.extend((6..30).rev().filter_map(|minor| which(&format!("python3.{minor}"))));
    paths.extend(which("python"));
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let pyenv = env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from);
    let uv = env::var_os("XDG_DATA_HOME").map_or_else(|| home.join(".local/share"), PathBuf::from).join("uv/python");
    for folder in [pyenv.join("versions"), uv, PathBuf::from("/opt/python")] {
        let Ok(entries) = folder.read_dir() else { continue };
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path().join("bin/python3")).collect();
        found.sort();
        paths.extend(found.into_iter().filter(|path| path.is_file()));
    }
    paths
}

/// The first program of this name on PATH.
pub fn which(program: &str) -> Option<PathBuf> {
    which::which(program).ok()
}
