//! The containers that commands run in: an image, this very program, and what lets people behind a mirror reach it.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use dagger_module::{Error, Literal, Query, Session};

use super::failure::from_dagger;
use ci_step::failure::{Failure, Result};

const RUST: &str = "/opt/rust";
const CERTIFICATES: &str = "/etc/faiss-rs/certificates.pem";
/// Where module programs run, and the only folder that the engine reads back from them.
const PROGRAM: &str = "ci";
/// Where a bare file system has its programs; an image says so itself.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a caller may set. Without an image, the one of versions.toml is taken.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    pub base_image: Option<String>,
    /// The id of a file with an image in it, in place of one with a name.
    #[serde(default)]
    pub base_archive: Option<String>,
    /// The id of a directory with a root file system, likewise.
    #[serde(default)]
    pub base_directory: Option<String>,
    pub rust_image: Option<String>,
    /// The id of a secret: pip's configuration.
    #[serde(default)]
    pub pip_config: Option<String>,
    /// The id of a file: certificates that pip and cargo trust.
    #[serde(default)]
    pub certificates: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Environment {
    base: String,
    rust_image: String,
    /// Made when it is first wanted: tests of finished wheels need no Rust.
    rust: OnceLock<String>,
    /// The volume for what cargo compiled of the extension.
    pub target: String,
    /// The volume for kernel images and extensions that are finished.
    pub kept: String,
}

impl Environment {
    /// Makes the base container known to the engine, and checks that this program runs in it.
    pub fn new(session: &Session, settings: &Settings, base_image: &str, rust_image: &str) -> Result<Environment> {
        let program = own_program(session).map_err(|error| from_dagger(&error))?;
        let (mut base, base_image) = settings.base(base_image);
        base = base.call("withFile").arg("path", "/usr/local/bin/ci").arg("source", program.as_str());
        for (name, value) in [("HOME", "/root"), ("LANG", "C.UTF-8"), ("PIP_DISABLE_PIP_VERSION_CHECK", "1")] {
            base = variable(base, name, value);
        }
        base = cache(base, "/root/.cache/pip", &volume(session, "pip")?);
        if let Some(secret) = &settings.pip_config {
            base = base.call("withMountedSecret").arg("path", "/etc/pip.conf").arg("source", secret).arg("mode", 0o444);
        }
        if let Some(file) = &settings.certificates {
            base = base.call("withMountedFile").arg("path", CERTIFICATES).arg("source", file);
            for name in ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CARGO_HTTP_CAINFO"] {
                base = variable(base, name, CERTIFICATES);
            }
        }
        let ask = exec(base.clone(), ["ci", "--version"]).call("stdout");
        session.get::<String>(&ask).map_err(|error| unfit(base_image, &error))?;
        let base = session.id(&base).map_err(|error| from_dagger(&error))?;
        let (target, kept) = (volume(session, "extension")?, volume(session, "kept")?);
        Ok(Environment { base, rust_image: rust_image.to_owned(), rust: OnceLock::new(), target, kept })
    }

    /// The base image with this program.
    pub fn base(&self) -> Query {
        Query::node("Container", &self.base)
    }

    /// The same, with a Rust toolchain and cargo's caches.
    pub fn with_rust(&self, session: &Session) -> Result<Query> {
        let id = match self.rust.get() {
            Some(id) => id.clone(),
            None => {
                let id = self.add_rust(session, from(&self.rust_image))?;
                self.rust.get_or_init(|| id).clone()
            }
        };
        Ok(Query::node("Container", &id))
    }

    /// The same with clippy and rustfmt, which official images of Rust leave out.
    pub fn with_lints(&self, session: &Session) -> Result<Query> {
        let script = "cargo clippy --version && cargo fmt --version || rustup component add clippy rustfmt";
        let id = self.add_rust(session, exec(from(&self.rust_image), ["sh", "-c", script]))?;
        Ok(Query::node("Container", &id))
    }

    fn add_rust(&self, session: &Session, rust: Query) -> Result<String> {
        let ask = exec(rust.clone(), ["rustc", "--print", "sysroot"]).call("stdout");
        let sysroot: String = session.get(&ask).map_err(|error| no_rust(&self.rust_image, &error))?;
        let sysroot = rust.call("directory").arg("path", sysroot.trim());
        let sysroot = session.id(&sysroot).map_err(|error| from_dagger(&error))?;
        let mut rust = mount(self.base(), RUST, &sysroot);
        rust = rust
            .call("withEnvVariable")
            .arg("name", "PATH")
            .arg("value", format!("{RUST}/bin:${{PATH}}"))
            .arg("expand", true);
        rust = cache(variable(rust, "CARGO_HOME", "/var/cache/cargo"), "/var/cache/cargo", &volume(session, "cargo")?);
        session.id(&rust).map_err(|error| from_dagger(&error))
    }
}

impl Settings {
    /// The container that everything starts from, and what to call it.
    fn base<'a>(&self, image: &'a str) -> (Query, &'a str) {
        let empty = Query::new("container");
        if let Some(file) = &self.base_archive {
            return (empty.call("import").arg("source", file), "of --base-archive");
        }
        if let Some(directory) = &self.base_directory {
            let container = empty.call("withRootfs").arg("directory", directory);
            return (variable(container, "PATH", PATH), "of --base-directory");
        }
        (from(image), image)
    }
}

pub fn from(image: &str) -> Query {
    Query::new("container").call("from").arg("address", image)
}

/// This program as a file of the engine: the one that plans is the one that runs the steps.
fn own_program(session: &Session) -> Result<String, Error> {
    let program = env::current_exe()?;
    if !Path::new(PROGRAM).exists() {
        fs::copy(program, PROGRAM)?;
    }
    session.id(&Query::new("currentModule").call("workdirFile").arg("path", PROGRAM))
}

fn unfit(image: &str, error: &Error) -> Failure {
    let log = error.value("stderr").and_then(|text| text.as_str()).unwrap_or_default().to_owned();
    if log.contains("GLIBC_") {
        return Failure::machine(
            format!("The image {image} has an older glibc than the one that this program was built with."),
            "Choose a newer --base-image, or let dagger.json build the program in an image as old as that one.",
        )
        .with_log(log);
    }
    Failure::machine(
        format!("This program does not run in the image {image}: {}.", error.message()),
        "Check the image's name and that the engine can reach its registry, or choose another --base-image.",
    )
    .with_log(log)
}

fn no_rust(image: &str, error: &Error) -> Failure {
    Failure::machine(
        format!("The image {image} has no Rust toolchain that answers: {}.", error.message()),
        "Check the image's name and that the engine can reach its registry, or choose another --rust-image.",
    )
}

pub fn exec<const N: usize>(container: Query, command: [&str; N]) -> Query {
    run(container, command.to_vec())
}

pub fn run<T: Into<Literal>>(container: Query, command: Vec<T>) -> Query {
    container.call("withExec").arg("args", command)
}

pub fn variable(container: Query, name: &str, value: &str) -> Query {
    container.call("withEnvVariable").arg("name", name).arg("value", value)
}

pub fn mount(container: Query, path: &str, directory: &str) -> Query {
    container.call("withMountedDirectory").arg("path", path).arg("source", directory)
}

/// A folder that outlives the container. What is in it takes no part in what the engine compares.
pub fn cache(container: Query, path: &str, volume: &str) -> Query {
    container.call("withMountedCache").arg("path", path).arg("cache", volume)
}

pub fn volume(session: &Session, name: &str) -> Result<String> {
    let query = Query::new("cacheVolume").arg("key", format!("faiss-rs-{name}"));
    session.id(&query).map_err(|error| from_dagger(&error))
}
