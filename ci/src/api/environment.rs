//! Virtual environments of pinned, hashed wheels, kept in the store and made anew when their pins change; and programs from such
//! wheels. uv makes the environments, in a tenth of the time that venv and pip take; where pip is to install something, they make it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Context;
use crate::pins::lock::{File, environment_set};
use crate::pins::versions::{Python, Versions};
use ci_step::digest;
use ci_step::failure::{Failure, Result};
use ci_step::pip;
use ci_step::python::Interpreter;
use ci_step::store::{Store, touch, unpack};

/// A virtual environment: the folder with its `bin`.
#[derive(Clone, Debug)]
pub struct Environment {
    pub folder: PathBuf,
}

impl Environment {
    pub fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    pub fn python(&self) -> PathBuf {
        self.bin().join("python")
    }
}

/// The environment `name` of versions.toml under `interpreter`, with exactly the wheels that versions.lock names.
pub fn locked(context: &Context, versions: &Versions, name: &str, interpreter: &Interpreter) -> Result<Environment> {
    let store = context.store()?;
    let lock = context.lock()?;
    let set = environment_set(name, interpreter.python);
    let files = lock.set(&set)?;
    let paths = fetch(&store, versions, &files, interpreter.python)?;
    let mut parts = vec![interpreter.full.clone(), interpreter.path.display().to_string()];
    parts.extend(files.iter().map(|file| file.sha256.clone()));
    let folder = store.root().join("environments").join(format!("{set}-{}", &digest::of_parts(parts)[..16]));
    // The mark is written last: without it, the environment was interrupted while it was made.
    let mark = folder.join("complete");
    if !mark.is_file() {
        let _alone = alone(&store)?;
        if !mark.is_file() {
            if folder.exists() {
                fs::remove_dir_all(&folder).map_err(Failure::io("cannot remove", &folder))?;
            }
            make(context, versions, interpreter, &folder, &paths)?;
            fs::write(&mark, "").map_err(Failure::io("cannot write", &mark))?;
        }
    }
    touch(&mark);
    Ok(Environment { folder })
}

/// Who has this makes environments; another thread or program that wants to waits until it is dropped.
fn alone(store: &Store) -> Result<fs::File> {
    let folder = store.root().join("environments");
    fs::create_dir_all(&folder).map_err(Failure::io("cannot create", &folder))?;
    let file = fs::File::open(&folder).map_err(Failure::io("cannot open", &folder))?;
    file.lock().map_err(Failure::io("cannot lock", &folder))?;
    Ok(file)
}

/// The files of a set, downloaded when they are not here yet.
pub fn fetch(store: &Store, versions: &Versions, files: &[&File], python: Python) -> Result<Vec<PathBuf>> {
    let floor = versions.python_floor();
    store.fetch(files, python, versions.wheel.glibc, &versions.wheel.platforms[0], || ci_step::python::for_pip(floor))
}

/// A new environment of these wheels as they are; what they need must be among them. It has no pip, and no network is asked.
pub fn make(
    context: &Context,
    versions: &Versions,
    interpreter: &Interpreter,
    folder: &Path,
    wheels: &[PathBuf],
) -> Result<()> {
    let program = uv(context, versions)?;
    // On the disk of the store: an environment there is links to what is unpacked here.
    let cache = context.store()?.scratch("uv")?;
    let run = |words: &[&str], paths: &[PathBuf]| {
        let mut command = Command::new(&program);
        command.args(words).args(["--quiet", "--offline", "--no-config", "--cache-dir"]).arg(cache.path()).args(paths);
        // What a person has set for their own work.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("UV_")) {
            command.env_remove(name);
        }
        let output = command.output().map_err(Failure::io("cannot run", &program))?;
        if output.status.success() {
            return Ok(());
        }
        let what = format!("uv can't make the environment {}.", folder.display());
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Failure::machine(what, "uv's own words are above.").with_log(words))
    };
    let interpreter = interpreter.path.to_string_lossy();
    run(&["venv", "--no-project", "--python", &interpreter], &[folder.to_owned()])?;
    let python = folder.join("bin/python");
    run(&["pip", "install", "--no-deps", "--no-index", "--python", &python.to_string_lossy()], wheels)
}

/// The program uv of versions.toml.
pub fn uv(context: &Context, versions: &Versions) -> Result<PathBuf> {
    program(context, versions, "uv", |version| format!("uv-{version}.data/scripts/uv"))
}

/// A program from the locked wheel of a package, which is unpacked into the store once. `member` names it, by the version.
pub fn program(
    context: &Context,
    versions: &Versions,
    package: &str,
    member: impl Fn(&str) -> String,
) -> Result<PathBuf> {
    let (store, lock) = (context.store()?, context.lock()?);
    let file = lock.tool(package)?;
    let folder = store.root().join("environments").join(format!("{package}-{}", &file.sha256[..16]));
    let program = folder.join(member(&file.version));
    if !program.is_file() {
        let wheel = fetch(&store, versions, &[file], versions.python_floor())?.remove(0);
        // Moved there when it is whole: what an interruption leaves must not be taken for the program.
        let scratch = store.scratch(package)?;
        unpack::unpack(&wheel, &[], scratch.path())?;
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(Failure::io("cannot create", parent))?;
        }
        if let Err(error) = fs::rename(scratch.path(), &folder)
            && !program.is_file()
        {
            return Err(Failure::io("cannot create", &folder)(error));
        }
    }
    touch(&program);
    Ok(program)
}

/// An empty environment with pip in it.
pub fn create(interpreter: &Interpreter, folder: &Path) -> Result<()> {
    let output = Command::new(&interpreter.path).args(["-m", "venv"]).arg(folder).output();
    let output = output.map_err(Failure::io("cannot run", &interpreter.path))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let what = format!("CPython {} can't make a virtual environment.", interpreter.full);
    Err(Failure::machine(what, "Install its venv module (Debian: python3-venv).").with_log(words))
}

/// Installs wheels as they are, without a network; what they need must be among them or there already. What is imported of them
/// gets its bytecode then: all of it at once takes longer than the rest.
pub fn install(folder: &Path, wheels: &[PathBuf]) -> Result<()> {
    let mut command = Command::new(folder.join("bin/python"));
    command.args(["-m", "pip", "install", "--no-deps", "--no-index", "--no-compile"]).args(wheels);
    pip_of(folder, &mut command)
}

/// Runs a pip command of the environment, quietly.
pub fn pip_of(folder: &Path, command: &mut Command) -> Result<()> {
    command.args(["--quiet", "--no-input", "--disable-pip-version-check"]);
    let output = command.output().map_err(Failure::io("cannot run", folder))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(pip::reason(&format!("Cannot install into {}", folder.display()), &words))
}
