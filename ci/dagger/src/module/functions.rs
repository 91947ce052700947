//! What happens when the engine calls one of the pipeline's functions.

use std::num::NonZero;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use dagger_module::{Call, Error, Query, Session, Value};

use super::table::{BASE_IMAGE, RUST_IMAGE, WHOLE, name_here, settings_of, state};
use crate::engine::environment::{cache, from, run, variable, volume};
use crate::engine::{Dagger, Environment, ROOT, STORE, Settings, Tree, from_dagger};
use ci::api::table::{Argument, Caching, Function, Type, Values};
use ci::pins::lock::Lock;
use ci::pins::matrix::Matrix;
use ci::pins::versions::{Image, Versions};
use ci::plan::{self, Plan, Sources};
use ci::run::report::{Format, to_stderr};
use ci_step::failure::{Failure, Result};

pub type Handler = fn(&Call, &'static Function) -> Result<Value>;

/// Where folders and files that were given as arguments lie.
const ARGUMENTS: &str = "/arguments";

/// The constructor: what was set, for the functions to find.
pub fn settings(call: &Call) -> Result<Value, Error> {
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
pub struct Work<'a> {
    pub session: &'a Session,
    pub tree: Tree,
    pub versions: Versions,
    pub environment: Environment,
}

impl<'a> Work<'a> {
    pub fn open(call: &Call<'a>) -> Result<Work<'a>> {
        let source: String = argument(call, "host-directory")?;
        Work::on(call, &source)
    }

    /// The source is the directory of this id.
    pub fn on(call: &Call<'a>, source: &str) -> Result<Work<'a>> {
        let session = call.session;
        let tree = Tree::load(session, source)?;
        let versions = Versions::load(&tree.root)?;
        let settings = settings_of(call).map_err(|error| from_dagger(&error))?;
        let base = settings.base_image.clone().map_or_else(|| image(&versions, BASE_IMAGE), Ok)?;
        let rust = settings.rust_image.clone().map_or_else(|| image(&versions, RUST_IMAGE), Ok)?;
        let environment = Environment::new(session, &settings, &base, &rust)?;
        Ok(Work { session, tree, versions, environment })
    }

    /// The container for what looks at the whole checkout: with everything that cargo can look with, and volumes for what it
    /// compiled and for the store.
    pub fn workshop(&self) -> Result<Query> {
        let container = self.tree.mount_new(self.session, self.environment.with_lints(self.session)?)?;
        let container = cache(container, STORE, &volume(self.session, "store")?);
        let container = cache(container, &format!("{ROOT}/target"), &volume(self.session, "target")?);
        Ok(container.call("withWorkdir").arg("path", ROOT))
    }

    /// The container with the whole source, and a Rust toolchain.
    pub fn container(&self) -> Result<Query> {
        let container = self.tree.mount_all(self.session, self.environment.with_rust(self.session)?)?;
        Ok(container.call("withWorkdir").arg("path", ROOT))
    }

    pub fn plan(&self, matrix: &Matrix) -> Result<Plan> {
        let root = &self.tree.root;
        plan::build(&self.versions, &Lock::load(root)?, &Sources::read(root, &self.versions)?, matrix)
    }

    /// Builds what `matrix` asks for; the folder that `command` leaves for it.
    ///
    /// The steps come first, each in its own container. Then the command itself runs where all that they made is in the
    /// store, and so has only the folder to lay out: wheels and manifests are written by the same code as on the host.
    pub fn build(&self, matrix: &Matrix, command: Vec<String>, jobs: Option<usize>) -> Result<String> {
        let plan = self.plan(matrix)?;
        let targets: Vec<String> =
            plan.wheels.iter().flat_map(|wheel| [wheel.archive.clone(), wheel.verify.clone()]).collect();
        let jobs = jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
        let engine = Dagger { session: self.session, environment: &self.environment, tree: &self.tree, jobs };
        let (outputs, _) = engine.make(&plan, &targets, &mut *to_stderr(Format::Text))?;
        let container = outputs.lay(self.container()?, &plan.steps);
        let command = self.command(command, &["--output", "/wheels"]);
        let query = run(container, command).call("directory").arg("path", "/wheels");
        self.session.sync(&query).map_err(|error| from_dagger(&error))
    }

    /// `ci` with what every command of it needs in a container.
    pub fn command(&self, mut command: Vec<String>, more: &[&str]) -> Vec<String> {
        command.insert(0, "ci".to_owned());
        command.extend(
            more.iter().chain(&["--root", ROOT, "--cache", STORE, "--color", "never"]).map(|&word| word.to_owned()),
        );
        command
    }

    pub fn stdout(&self, container: Query, command: Vec<String>) -> Result<String> {
        let query = run(container, self.command(command, &[])).call("stdout");
        self.session.get(&query).map_err(|error| from_dagger(&error))
    }
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

/// The arguments as the command line has them: values, and words. Directories and files are not among them.
pub fn given(call: &Call, function: &Function) -> Result<(Values, Vec<String>)> {
    let mut values = Values::default();
    let mut words = vec![function.name.to_owned()];
    let mut positional = Vec::new();
    for one in function.arguments {
        if matches!(one.ty, Type::Path) {
            continue;
        }
        let texts = texts(one, argument(call, name_here(one))?);
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

/// The wheels that a call asks for.
pub fn matrix(versions: &Versions, function: &Function, values: &Values) -> Result<Matrix> {
    let machine = values.text("platform").unwrap_or("x86_64");
    match function.name {
        "build-cpu-wheels" | "test-cpu-wheels" => Matrix::cpu(versions, machine),
        _ => Matrix::gpu(versions, &values.numbers("cuda-major"), values.list("arch"), machine),
    }
}

pub fn build(call: &Call, function: &'static Function) -> Result<Value> {
    let work = Work::open(call)?;
    build_with(call, &work, function).map(Value::from)
}

pub fn build_with(call: &Call, work: &Work, function: &'static Function) -> Result<String> {
    let (values, words) = given(call, function)?;
    let jobs = values.numbers("jobs").first().map(|&jobs| jobs as usize);
    work.build(&matrix(&work.versions, function, &values)?, words, jobs)
}

/// Any function that prints: the command in a container.
pub fn text(call: &Call, function: &'static Function) -> Result<Value> {
    let work = Work::open(call)?;
    let (container, words) = with_folders(call, &work, function)?;
    work.stdout(anew(container, function), words).map(Value::from)
}

/// Any function that leaves a folder.
pub fn folder(call: &Call, function: &'static Function) -> Result<Value> {
    let work = Work::open(call)?;
    let (container, words) = with_folders(call, &work, function)?;
    let query = run(anew(container, function), work.command(words, &["--output", "/output"]));
    work.session
        .sync(&query.call("directory").arg("path", "/output"))
        .map(Value::from)
        .map_err(|error| from_dagger(&error))
}

fn with_folders(call: &Call, work: &Work, function: &'static Function) -> Result<(Query, Vec<String>)> {
    let mut container = if WHOLE.contains(&function.name) { work.workshop()? } else { work.container()? };
    let (_, mut words) = given(call, function)?;
    for one in function.arguments.iter().filter(|one| matches!(one.ty, Type::Path)) {
        let Ok(Some(id)) = call.arg::<Option<String>>(name_here(one)) else { continue };
        let path = format!("{ARGUMENTS}/{}", one.name);
        let what = if one.name == "diff" { "withMountedFile" } else { "withMountedDirectory" };
        container = container.call(what).arg("path", &path).arg("source", id);
        if !one.positional {
            words.push(format!("--{}", one.name));
        }
        words.push(path);
    }
    Ok((container, words))
}

/// What must run each time gets a variable that was never there before: nothing is answered from memory.
pub fn anew(container: Query, function: &Function) -> Query {
    if function.caching == Caching::ByInputs {
        return container;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    variable(container, "FAISS_RS_CALL", &now.to_string())
}

/// Runs what writes versions.toml and versions.lock, and gives what it changed.
pub fn changes(call: &Call, function: &'static Function) -> Result<Value> {
    let work = Work::open(call)?;
    let (_, mut words) = given(call, function)?;
    if function.name == "lock" {
        words.extend(digests(call, &work)?);
    }
    let container = work.tree.mount_all(work.session, work.environment.base())?;
    let container = run(anew(container, function), work.command(words, &[]));
    let query = container.call("directory").arg("path", ROOT).call("changes").arg("from", &work.tree.directory);
    // What the module returns is only looked at later: made here, so that a failure is told here.
    work.session.sync(&query).map(Value::from).map_err(|error| from_dagger(&error))
}

/// What the registries have under the tags of versions.toml. One that can't be asked leaves its image as it is.
fn digests(call: &Call, work: &Work) -> Result<Vec<String>> {
    let settings = settings_of(call).map_err(|error| from_dagger(&error))?;
    let given: Vec<String> = [settings.base_image, settings.rust_image].into_iter().flatten().collect();
    let mut words = Vec::new();
    for (name, image) in &work.versions.images {
        let tag = Image { digest: None, ..image.clone() }.to_string();
        let address = addressed(&tag, &image.name, &given);
        match work.session.get::<String>(&from(&address).call("imageRef")) {
            Ok(reference) => {
                words.extend(reference.split_once('@').map(|(_, digest)| format!("--digest={name}={digest}")));
            }
            Err(error) => eprintln!("The digest of {tag} stays as it is: {error}"),
        }
    }
    Ok(words)
}

/// The tag in the registry of the image that the caller gave in its place, where that is one of the same name.
fn addressed(tag: &str, name: &str, given: &[String]) -> String {
    let end = format!("/{name}");
    let registry = given.iter().find_map(|image| {
        let (registry, rest) = image.split_once(&end)?;
        (rest.is_empty() || rest.starts_with([':', '@'])).then_some(registry)
    });
    registry.map_or_else(|| tag.to_owned(), |registry| format!("{registry}/{tag}"))
}

#[cfg(test)]
mod tests {
    use super::addressed;

    #[test]
    fn a_digest_is_asked_of_the_registry_that_the_image_comes_from() {
        let ask = |given: &str| addressed("pypa/manylinux:1", "pypa/manylinux", &[given.to_owned()]);
        assert_eq!(ask("mirror/pypa/manylinux:0@sha256:1"), "mirror/pypa/manylinux:1");
        assert_eq!(ask("host/mirror/pypa/manylinux"), "host/mirror/pypa/manylinux:1");
        assert_eq!(ask("mirror/pypa/manylinux_other:0"), "pypa/manylinux:1");
        assert_eq!(ask("python:3.13"), "pypa/manylinux:1");
    }
}
