//! The containers that commands run in: an image, the worker or the pipeline's program, and what lets people behind a mirror
//! reach it.

use std::env;
use std::fs;
use std::path::Path;

use ci_step::failure::{Failure, Result};
use dagger_module::Error;
use dagger_sdk::errors::DaggerError;
use dagger_sdk::{
    Container, ContainerWithEnvVariableOpts, ContainerWithFileOptsBuilder, ContainerWithMountedSecretOptsBuilder, Id,
    Query,
};
use tokio::sync::OnceCell;

use super::failure::{from_dagger, from_sdk};

const RUST: &str = "/opt/rust";
const CERTIFICATES: &str = "/etc/faiss-rs/certificates.pem";
/// Where a bare file system has its programs; an image says so itself.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The worker's name in containers. The SDK puts the program beside the module's own; where only that was brought, it is the
/// worker under this name.
pub const WORKER: &str = "ci-step";
/// The pipeline's program in containers.
pub const PROGRAM: &str = "ci";

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

pub struct Environment {
    dagger: Query,
    base: Container,
    commands: OnceCell<Container>,
    rust_image: String,
    /// Made when it is first wanted: tests of finished wheels need no Rust.
    rust: OnceCell<Container>,
    /// The volume for kernel images and extensions that are finished.
    pub kept: Id,
}

impl Environment {
    /// Makes the base container known to the engine, and checks that the worker runs in it.
    pub async fn new(dagger: &Query, settings: &Settings, base_image: &str, rust_image: &str) -> Result<Environment> {
        let (mut base, base_image) = settings.base(dagger, base_image);
        base = with_program(dagger, base, WORKER).await?;
        for (name, value) in [("HOME", "/root"), ("LANG", "C.UTF-8"), ("PIP_DISABLE_PIP_VERSION_CHECK", "1")] {
            base = base.with_env_variable(name, value);
        }
        base = base.with_mounted_cache("/root/.cache/pip", volume(dagger, "pip").await?);
        if let Some(secret) = &settings.pip_config {
            let opts = ContainerWithMountedSecretOptsBuilder::default().mode(0o444_isize).build().map_err(unbuilt)?;
            base = base.with_mounted_secret_opts("/etc/pip.conf", Id(secret.clone()), opts);
        }
        if let Some(file) = &settings.certificates {
            base = base.with_mounted_file(CERTIFICATES, Id(file.clone()));
            for name in ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CARGO_HTTP_CAINFO"] {
                base = base.with_env_variable(name, CERTIFICATES);
            }
        }
        base.with_exec(vec![WORKER, "--version"]).stdout().await.map_err(|error| unfit(base_image, &error.into()))?;
        let base = known(dagger, &base).await?;
        let kept = volume(dagger, "kept").await?;
        let (commands, rust) = (OnceCell::new(), OnceCell::new());
        Ok(Environment { dagger: dagger.clone(), base, commands, rust_image: rust_image.to_owned(), rust, kept })
    }

    /// The base image with the worker: what a step gets.
    pub fn base(&self) -> Container {
        self.base.clone()
    }

    /// The same, with the pipeline's program.
    pub async fn commands(&self) -> Result<Container> {
        let make = async || {
            let container = with_program(&self.dagger, self.base(), PROGRAM).await?;
            known(&self.dagger, &container).await
        };
        self.commands.get_or_try_init(make).await.cloned()
    }

    /// The base image with the worker, a Rust toolchain and cargo's caches.
    pub async fn with_rust(&self) -> Result<Container> {
        let make = async || {
            let container = self.add_rust(self.base(), self.dagger.container().from(&self.rust_image)).await?;
            known(&self.dagger, &container).await
        };
        self.rust.get_or_try_init(make).await.cloned()
    }

    /// The pipeline's program, a Rust toolchain, and clippy and rustfmt, which official images of Rust leave out.
    pub async fn with_lints(&self) -> Result<Container> {
        let script = "cargo clippy --version && cargo fmt --version || rustup component add clippy rustfmt";
        let image = self.dagger.container().from(&self.rust_image).with_exec(vec!["sh", "-c", script]);
        self.add_rust(self.commands().await?, image).await
    }

    /// The pipeline's program and a Rust toolchain.
    pub async fn commands_with_rust(&self) -> Result<Container> {
        self.add_rust(self.commands().await?, self.dagger.container().from(&self.rust_image)).await
    }

    async fn add_rust(&self, base: Container, rust: Container) -> Result<Container> {
        let asked = rust.with_exec(vec!["rustc", "--print", "sysroot"]);
        let sysroot = asked.stdout().await.map_err(|error| no_rust(&self.rust_image, &error.into()))?;
        let sysroot = rust.directory(sysroot.trim()).id().await.map_err(from_sdk)?;
        let expand = ContainerWithEnvVariableOpts { expand: Some(true) };
        Ok(base
            .with_mounted_directory(RUST, sysroot)
            .with_env_variable_opts("PATH", format!("{RUST}/bin:${{PATH}}"), expand)
            .with_env_variable("CARGO_HOME", "/var/cache/cargo")
            .with_mounted_cache("/var/cache/cargo", volume(&self.dagger, "cargo").await?))
    }
}

impl Settings {
    /// The container that everything starts from, and what to call it.
    fn base<'a>(&self, dagger: &Query, image: &'a str) -> (Container, &'a str) {
        let empty = dagger.container();
        if let Some(file) = &self.base_archive {
            return (empty.import(Id(file.clone())), "of --base-archive");
        }
        if let Some(directory) = &self.base_directory {
            return (empty.with_rootfs(Id(directory.clone())).with_env_variable("PATH", PATH), "of --base-directory");
        }
        (empty.from(image), image)
    }
}

/// The same container by its id: what is asked of it later goes from there, not from its image on.
async fn known(dagger: &Query, container: &Container) -> Result<Container> {
    Ok(dagger.r#ref(container.id().await.map_err(from_sdk)?))
}

/// The container with one of the programs that the SDK put beside this one, or this one under the other's name. It goes by
/// content: one that did not change runs nothing again.
async fn with_program(dagger: &Query, container: Container, name: &str) -> Result<Container> {
    // The folder that this program runs in is the only one that the engine reads back from it.
    if !Path::new(name).exists() {
        let own = env::current_exe().map_err(Failure::io("cannot find", Path::new(name)))?;
        let beside = own.with_file_name(name);
        let from = if beside.is_file() { beside } else { own };
        fs::copy(&from, name).map_err(Failure::io("cannot copy", &from))?;
    }
    let program = dagger.current_module().workdir_file(name).id().await.map_err(from_sdk)?;
    let opts = ContainerWithFileOptsBuilder::default().permissions(0o755_isize).build().map_err(unbuilt)?;
    Ok(container.with_file_opts(format!("/usr/local/bin/{name}"), program, opts))
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
        format!("The worker does not run in the image {image}: {}.", error.message()),
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

/// Options whose every field has a default can't be refused; the builders' types do not say so.
fn unbuilt(error: impl std::error::Error + 'static) -> Failure {
    from_dagger(&Error::from(error))
}

/// A folder that outlives containers. What is in it takes no part in what the engine compares.
pub async fn volume(dagger: &Query, name: &str) -> Result<Id> {
    let volume: Result<Id, DaggerError> = dagger.cache_volume(format!("faiss-rs-{name}")).id().await;
    volume.map_err(from_sdk)
}
