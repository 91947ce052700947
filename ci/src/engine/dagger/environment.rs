//! The containers that commands run in: an image, this very program, and what lets people behind a mirror reach it.

use std::env;
use std::fs;
use std::path::Path;

use dagger_module::{Error, Literal, Query, Session};

use super::failure::from_dagger;
use crate::failure::{Failure, Result};

const RUST: &str = "/opt/rust";
const CERTIFICATES: &str = "/etc/faiss-rs/certificates.pem";
/// Where module programs run, and the only folder that the engine reads back from them.
const PROGRAM: &str = "ci";

/// What a caller may set. Without an image, the one of versions.toml is taken.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    pub base_image: Option<String>,
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
    rust: String,
    /// The volume for what cargo compiled of the extension.
    pub target: String,
}

impl Environment {
    /// Makes both containers known to the engine, and checks that this program runs in the base image.
    pub fn new(session: &Session, settings: &Settings, base_image: &str, rust_image: &str) -> Result<Environment> {
        let program = own_program(session).map_err(|error| from_dagger(&error))?;
        let image = |address: &str| Query::new("container").call("from").arg("address", address);
        let mut base = image(base_image);
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

        let rust = image(rust_image);
        let ask = exec(rust.clone(), ["rustc", "--print", "sysroot"]).call("stdout");
        let sysroot: String = session.get(&ask).map_err(|error| no_rust(rust_image, &error))?;
        let sysroot = rust.call("directory").arg("path", sysroot.trim());
        let sysroot = session.id(&sysroot).map_err(|error| from_dagger(&error))?;
        let base = session.id(&base).map_err(|error| from_dagger(&error))?;
        let mut rust = mount(Query::node("Container", &base), RUST, &sysroot);
        rust = rust
            .call("withEnvVariable")
            .arg("name", "PATH")
            .arg("value", format!("{RUST}/bin:${{PATH}}"))
            .arg("expand", true);
        rust = cache(variable(rust, "CARGO_HOME", "/var/cache/cargo"), "/var/cache/cargo", &volume(session, "cargo")?);
        let rust = session.id(&rust).map_err(|error| from_dagger(&error))?;
        Ok(Environment { base, rust, target: volume(session, "extension")? })
    }

    /// The base image with this program.
    pub fn base(&self) -> Query {
        Query::node("Container", &self.base)
    }

    /// The same, with a Rust toolchain and cargo's caches.
    pub fn with_rust(&self) -> Query {
        Query::node("Container", &self.rust)
    }
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

fn volume(session: &Session, name: &str) -> Result<String> {
    let query = Query::new("cacheVolume").arg("key", format!("faiss-rs-{name}"));
    session.id(&query).map_err(|error| from_dagger(&error))
}
