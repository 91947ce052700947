//! What happens when the engine calls one of the pipeline's functions.

use std::num::NonZero;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use ci::api::table::{Argument, Caching, Function, Reads, Type, Values};
use ci::pins::lock::Lock;
use ci::pins::matrix::Matrix;
use ci::pins::versions::{Image, Versions};
use ci::plan::{self, Plan, Sources};
use ci::run::report::{Format, to_stderr};
use ci_step::failure::{Failure, Result};
use dagger_module::{Call, Error, Value};
use dagger_sdk::{Container, Directory, Id, Query};

use super::table::{BASE_IMAGE, RUST_IMAGE, settings_of, state};
use crate::engine::environment::volume;
use crate::engine::{Dagger, Environment, ROOT, STORE, Settings, Tree, from_dagger, from_sdk};

/// Where folders and files that were given as arguments lie.
const ARGUMENTS: &str = "/arguments";
/// The plan that was run, for the command that lays out what it made.
const PLAN: &str = "/plan.json";

/// The constructor: what was set, for the functions to find.
pub async fn settings(call: Call) -> Result<Value, Error> {
    Ok(state(&Settings {
        base_image: call.arg("base-image")?,
        base_archive: call.arg("base-archive")?,
        base_directory: call.arg("base-directory")?,
        rust_image: call.arg("rust-image")?,
        pip_config: call.arg("pip-config")?,
        certificates: call.arg("certificates")?,
    }))
}

/// Everything that a call works with.
pub struct Work {
    pub dagger: Query,
    pub tree: Tree,
    pub versions: Versions,
    pub environment: Environment,
}

impl Work {
    pub async fn open(call: &Call) -> Result<Work> {
        let source: String = argument(call, "host-directory")?;
        Work::on(call, &source).await
    }

    /// The source is the directory of this id.
    pub async fn on(call: &Call, source: &str) -> Result<Work> {
        let dagger = call.dagger.clone();
        let tree = Tree::load(&dagger, source).await?;
        let versions = Versions::load(&tree.root)?;
        let settings = settings_of(call).map_err(|error| from_dagger(&error))?;
        let base = settings.base_image.clone().map_or_else(|| image(&versions, BASE_IMAGE), Ok)?;
        let rust = settings.rust_image.clone().map_or_else(|| image(&versions, RUST_IMAGE), Ok)?;
        let environment = Environment::new(&dagger, &settings, &base, &rust).await?;
        Ok(Work { dagger, tree, versions, environment })
    }

    /// The container for what looks at the whole checkout: with everything that cargo can look with, and volumes for what it
    /// compiled and for the store.
    pub async fn workshop(&self) -> Result<Container> {
        let container = self.tree.mount_new(self.environment.with_lints().await?).await?;
        Ok(container
            .with_mounted_cache(STORE, volume(&self.dagger, "store").await?)
            .with_mounted_cache(format!("{ROOT}/target"), volume(&self.dagger, "target").await?)
            .with_workdir(ROOT))
    }

    /// The container with the whole source, the pipeline's program and a Rust toolchain.
    pub async fn container(&self) -> Result<Container> {
        let container = self.environment.commands_with_rust().await?;
        Ok(self.tree.mount_all(container).await?.with_workdir(ROOT))
    }

    pub fn plan(&self, matrix: &Matrix) -> Result<Plan> {
        let root = &self.tree.root;
        plan::build(&self.versions, &Lock::load(root)?, &Sources::read(root, &self.versions)?, matrix)
    }

    /// Builds what `matrix` asks for; the folder that `command` leaves for it.
    ///
    /// The steps come first, each in its own container. Then the command itself runs where all that they made is in the
    /// store, and so has only the folder to lay out: wheels and manifests are written by the same code as on the host.
    pub async fn build(&self, matrix: &Matrix, command: Vec<String>, jobs: Option<usize>) -> Result<Id> {
        let plan = self.plan(matrix)?;
        let targets: Vec<String> =
            plan.wheels.iter().flat_map(|wheel| [wheel.archive.clone(), wheel.verify.clone()]).collect();
        let jobs = jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
        let engine = Dagger { dagger: &self.dagger, environment: &self.environment, tree: &self.tree, jobs };
        let (outputs, _) = engine.make(&plan, &targets, &mut *to_stderr(Format::Text)).await?;
        let container = outputs.lay(self.tree.mount_all(self.environment.commands().await?).await?, &plan);
        let container = container.with_new_file(PLAN, plan.to_json());
        let container = container.with_exec(self.command(command, &["--output", "/wheels", "--plan", PLAN]));
        made(container.directory("/wheels")).await
    }

    /// `ci` with what every command of it needs in a container.
    pub fn command(&self, mut command: Vec<String>, more: &[&str]) -> Vec<String> {
        command.insert(0, "ci".to_owned());
        command.extend(
            more.iter().chain(&["--root", ROOT, "--cache", STORE, "--color", "never"]).map(|&word| word.to_owned()),
        );
        command
    }

    pub async fn stdout(&self, container: Container, command: Vec<String>) -> Result<String> {
        container.with_exec(self.command(command, &[])).stdout().await.map_err(from_sdk)
    }
}

/// Makes the engine do what the directory stands for, and gives its id: a failure is told here, not where it is looked at.
async fn made(directory: Directory) -> Result<Id> {
    directory.sync().await.map_err(from_sdk)?.id().await.map_err(from_sdk)
}

fn image(versions: &Versions, name: &str) -> Result<String> {
    let image = versions.images.get(name).ok_or_else(|| {
        Failure::usage(
            format!("versions.toml names no image \"{name}\"."),
            "Add it below [images], or pass one as an argument.",
        )
    })?;
    Ok(image.to_string())
}

pub fn argument<T: serde::de::DeserializeOwned>(call: &Call, name: &str) -> Result<T> {
    call.arg(name).map_err(|error| Failure::usage(error.message().to_owned(), "Correct the argument."))
}

/// The arguments as the command line has them: values, and words. Directories, files and secrets are not among them.
pub fn given(call: &Call, function: &Function) -> Result<(Values, Vec<String>)> {
    let mut values = Values::default();
    let mut words = vec![function.name.to_owned()];
    let mut positional = Vec::new();
    for one in function.arguments {
        let Some(name) = one.served.filter(|_| !matches!(one.ty, Type::Path | Type::File | Type::Secret)) else {
            continue;
        };
        let texts = texts(one, argument(call, name)?);
        for text in &texts {
            match one.ty {
                _ if one.positional => positional.push(text.clone()),
                Type::Flag if text == "true" => words.push(format!("--{}", one.name)),
                Type::Flag => {}
                _ => words.extend([format!("--{}", one.name), text.clone()]),
            }
        }
        values.set(one.name, texts);
    }
    words.extend(positional);
    Ok((values, words))
}

fn texts(argument: &Argument, value: Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.into_iter().flat_map(|item| texts(argument, item)).collect(),
        // Members of enums are choices in capitals.
        Value::String(text) => match argument.ty {
            Type::Choice(choices) => {
                choices.iter().filter(|choice| super::table::member(choice) == text).map(|c| (*c).to_owned()).collect()
            }
            _ => vec![text],
        },
        other => vec![other.to_string()],
    }
}

/// What the wheels of a call are, by its values and versions.toml.
pub type Wanted = fn(&Versions, &Values) -> Result<Matrix>;

pub async fn build(call: Call, function: &'static Function, wanted: Wanted) -> Result<Value> {
    let work = Work::open(&call).await?;
    let Id(id) = build_with(&call, &work, function, wanted).await?;
    Ok(id.into())
}

pub async fn build_with(call: &Call, work: &Work, function: &'static Function, wanted: Wanted) -> Result<Id> {
    let (values, words) = given(call, function)?;
    let jobs = values.numbers("jobs").first().map(|&jobs| jobs as usize);
    work.build(&wanted(&work.versions, &values)?, words, jobs).await
}

/// Any function that prints: the command in a container.
pub async fn text(call: Call, function: &'static Function, reads: Reads) -> Result<Value> {
    let work = Work::open(&call).await?;
    let container = match reads {
        Reads::Checkout => work.workshop().await?,
        Reads::Sources => work.container().await?,
    };
    let (container, words) = with_arguments(&call, function, container)?;
    work.stdout(anew(container, function), words).await.map(Value::from)
}

/// The container with what was given as directories, files and secrets, and the words of the command line.
fn with_arguments(call: &Call, function: &Function, mut container: Container) -> Result<(Container, Vec<String>)> {
    let (_, mut words) = given(call, function)?;
    for one in function.arguments {
        let Some(name) = one.served else { continue };
        let Ok(Some(id)) = call.arg::<Option<String>>(name) else { continue };
        let path = format!("{ARGUMENTS}/{}", one.name);
        container = match one.ty {
            Type::Path => container.with_mounted_directory(&path, Id(id)),
            Type::File => container.with_mounted_file(&path, Id(id)),
            Type::Secret => container.with_mounted_secret(&path, Id(id)),
            _ => continue,
        };
        if !one.positional {
            words.push(format!("--{}", one.name));
        }
        words.push(path);
    }
    Ok((container, words))
}

/// What must run each time gets a variable that was never there before: nothing is answered from memory.
pub fn anew(container: Container, function: &Function) -> Container {
    if function.caching == Caching::ByInputs {
        return container;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    container.with_env_variable("FAISS_RS_CALL", now.to_string())
}

/// Runs what writes versions.toml and versions.lock, and gives what it changed.
pub async fn changes(call: Call, function: &'static Function, asks_for_digests: bool) -> Result<Value> {
    let work = Work::open(&call).await?;
    let container = work.tree.mount_all(work.environment.commands().await?).await?;
    let (container, mut words) = with_arguments(&call, function, container)?;
    if asks_for_digests {
        words.extend(digests(&call, &work).await?);
    }
    let container = anew(container, function).with_exec(work.command(words, &[]));
    let changes = container.directory(ROOT).changes(Id(work.tree.directory.clone()));
    // What the module returns is only looked at later: made here, so that a failure is told here.
    let Id(id) = changes.sync().await.map_err(from_sdk)?.id().await.map_err(from_sdk)?;
    Ok(id.into())
}

/// What the registries have under the tags of versions.toml. One that can't be asked leaves its image as it is.
async fn digests(call: &Call, work: &Work) -> Result<Vec<String>> {
    let settings = settings_of(call).map_err(|error| from_dagger(&error))?;
    let given: Vec<String> = [settings.base_image, settings.rust_image].into_iter().flatten().collect();
    let mut words = Vec::new();
    for (name, image) in &work.versions.images {
        let tag = Image { digest: None, ..image.clone() }.to_string();
        let address = addressed(&tag, &image.name, &given);
        match work.dagger.container().from(&address).image_ref().await {
            Ok(reference) => {
                words.extend(reference.split_once('@').map(|(_, digest)| format!("--digest={name}={digest}")));
            }
            Err(error) => eprintln!("The digest of {tag} stays as it is: {}", Error::from(error)),
        }
    }
    Ok(words)
}

/// The tag in the registry of the image that the caller gave in its place, where that is one of the same name.
fn addressed(tag: &str, name: &str, given: &[String]) -> String {
    // The registry's own address is another's business.
    let short = name.split_once('/').filter(|(host, _)| host.contains('.')).map_or(name, |(_, short)| short);
    let end = format!("/{short}");
    let registry = given.iter().find_map(|image| {
        let (registry, rest) = image.split_once(&end)?;
        (rest.is_empty() || rest.starts_with([':', '@'])).then_some(registry)
    });
    let short_tag = &tag[name.len() - short.len()..];
    registry.map_or_else(|| tag.to_owned(), |registry| format!("{registry}/{short_tag}"))
}

#[cfg(test)]
mod tests {
    use super::addressed;

    #[test]
    fn a_digest_is_asked_of_the_registry_that_the_image_comes_from() {
        let ask = |name: &str, given: &str| addressed(&format!("{name}:1"), name, &[given.to_owned()]);
        for name in ["pypa/manylinux", "quay.io/pypa/manylinux"] {
            assert_eq!(ask(name, "mirror/pypa/manylinux:0@sha256:1"), "mirror/pypa/manylinux:1");
            assert_eq!(ask(name, "host/mirror/pypa/manylinux"), "host/mirror/pypa/manylinux:1");
            assert_eq!(ask(name, "mirror/pypa/manylinux_other:0"), format!("{name}:1"));
            assert_eq!(ask(name, "python:3.13"), format!("{name}:1"));
        }
    }
}
