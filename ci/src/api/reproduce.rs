//! reproduce: two clean builds that have as little in common as one machine allows, compared byte by byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Context;
use crate::api::table::{ARCH, Caching, Function, Group, Served, Type, Values, argument};
use crate::pins::matrix::Matrix;
use crate::plan::{Action, Plan};
use crate::run::children;
use crate::run::local::Local;
use ci_step::digest;
use ci_step::failure::{Failure, Result};
use ci_step::store::{Found, Store};
use ci_step::wheel::Reader;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

pub static ROW: Function = Function {
    name: "reproduce",
    group: Group::Wheels,
    about: "Build twice in two folders, as two users, and compare every byte",
    more: "\
The second build has another folder, with settings of cargo's above it and in the environment that would change every
byte, and another HOME, user name, time zone, language, umask and number of jobs. Nothing but downloads is made once for
both; what both made alike is kept, for later builds to find. Where the wheels differ, the member and the offset are named.",
    arguments: &[
        argument("cuda-major", Type::Major, "CUDA major of the wheel").required(),
        ARCH,
        argument("keep", Type::Flag, "Keep the two folders, to look into them"),
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::No,
    run: |context, values| Box::pin(reproduce(context, values)),
};

/// The verdict, beside the wheel of the wheelhouse.
pub const FILE: &str = "reproduced.json";

/// Which wheel came out of both builds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reproduced {
    pub wheel: String,
    pub sha256: String,
}

/// What differs between the two builds besides their folders.
struct Manner {
    name: &'static str,
    user: &'static str,
    zone: &'static str,
    language: &'static str,
    umask: &'static str,
    jobs: &'static str,
    /// Settings of cargo's that would change every byte, in a folder above and in the environment.
    hostile: bool,
}

const MANNERS: [Manner; 2] = [
    Manner { name: "first", user: "ada", zone: "UTC", language: "C.UTF-8", umask: "022", jobs: "2", hostile: false },
    Manner {
        name: "zweite Größe/of a longer name",
        user: "grace",
        zone: "Asia/Kathmandu",
        language: "tr_TR.UTF-8",
        umask: "077",
        jobs: "3",
        hostile: true,
    },
];

/// What a person may have set for their own work.
const CARGO_SETTINGS: &str = "\
[build]
rustflags = [\"-C\", \"opt-level=0\"]
rustc-wrapper = \"false\"

[profile.release]
opt-level = 1
lto = \"off\"
debug = true
";
const VARIABLES: &[(&str, &str)] = &[
    ("RUSTFLAGS", "-C opt-level=0"),
    ("RUSTC_WRAPPER", "false"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_BUILD_RUSTFLAGS", "-C debuginfo=2"),
    ("CARGO_ENCODED_RUSTFLAGS", "-Copt-level=0"),
    ("CFLAGS", "-O0"),
    ("ZIG_LOCAL_CACHE_DIR", "/nowhere"),
];

async fn reproduce(context: &Context, values: &Values) -> Result<()> {
    let versions = context.versions()?;
    let majors = values.numbers("cuda-major");
    let archs = values.list(ARCH.name);
    let matrix = Matrix::gpu(versions, &majors, archs, &versions.wheel.platforms[0])?;
    let plan = context.plan(versions, &matrix)?;
    let store = context.store()?;
    // Both builds start from the same downloads, so that neither asks the network.
    prepare(context, &plan, &store).await?;

    let inside = context.root.join("target/ci");
    fs::create_dir_all(&inside).map_err(Failure::io("cannot create", &inside))?;
    let (mut places, mut caches) = (Vec::new(), Vec::new());
    // What ends one ends the other.
    let stop = context.stop.child_token();
    let mut running = Vec::new();
    for manner in &MANNERS {
        // One below the checkout, and one where nothing above it is the same.
        let parent = if manner.hostile { std::env::temp_dir() } else { inside.clone() };
        let place = tempfile::Builder::new().prefix("reproduce-").tempdir_in(&parent);
        let place = place.map_err(Failure::io("cannot write into", &parent))?;
        let folder = place.path().join(manner.name);
        copy_checkout(&context.root, &folder.join("checkout"))?;
        if manner.hostile {
            let settings = place.path().join(".cargo/config.toml");
            super::write_whole(&settings, CARGO_SETTINGS.as_bytes())?;
        }
        let cache = folder.join("cache");
        lend(&plan, &store, &cache)?;
        context.say(&format!("building in {}", folder.display()));
        let command = command(manner, &folder, &cache, &majors, archs)?;
        caches.push(cache);
        running.push(built(command, folder, &stop));
        places.push(place);
    }
    let wheels = try_join_all(running).await?;
    let outcome = compare(&wheels[0], &wheels[1]);
    if values.flag("keep") || outcome.is_err() {
        for place in places {
            context.say(&format!("kept: {}", place.keep().display()));
        }
    }
    let sha256 = outcome?;
    take_over(&store, &caches[0])?;
    let wheel = &plan.wheels[0];
    println!("{}  {sha256}", wheel.file_name);
    let verdict = Reproduced { wheel: wheel.file_name.clone(), sha256 };
    let text = serde_json::to_vec_pretty(&verdict).expect("plain data serializes");
    super::write_whole(&context.wheelhouse(&wheel.folder).join(FILE), &[text.as_slice(), b"\n"].concat())?;
    println!(
        "The same bytes from two folders, users, homes, time zones, languages, umasks, numbers of jobs and settings of cargo; all but the downloads was made twice."
    );
    Ok(())
}

/// The wheel that a build leaves in its folder.
async fn built(command: Command, folder: PathBuf, stop: &CancellationToken) -> Result<PathBuf> {
    let log = folder.join("log");
    let status = children::logged(command.into(), &log, stop).await?;
    if status.success() {
        return Ok(super::verify::wheels_at(&folder.join("out"))?.remove(0));
    }
    stop.cancel();
    let words = fs::read_to_string(&log).unwrap_or_default();
    let what = format!("The build in {} failed ({status}).", folder.display());
    Err(Failure::build(what, "Its own words are above.").with_log(words))
}

/// Downloads what the builds are lent, into the usual store.
async fn prepare(context: &Context, plan: &Plan, store: &Store) -> Result<()> {
    let lent = plan.steps.iter().filter(|step| matches!(step.action, Action::Fetch { .. }));
    let targets: Vec<String> = lent.map(|step| step.name.clone()).collect();
    let mut reporter = context.reporter();
    let engine = Local { root: &context.root, store, jobs: super::jobs(&[]), stop: &context.stop };
    engine.run(plan, &targets, reporter.as_mut()).await?;
    Ok(())
}

/// Gives a new store a copy of what was downloaded, hashed once more; nothing that was made of it.
fn lend(plan: &Plan, store: &Store, cache: &Path) -> Result<()> {
    let lent = Store::open(cache)?;
    for step in &plan.steps {
        if let Action::Fetch { file, .. } = &step.action
            && let Some(folder) = store.file(file).parent()
        {
            // One that is not there is downloaded anew.
            lent.adopt(&[file], folder)?;
        }
    }
    Ok(())
}

/// Gives the usual store what the first build made, now that the second made the same: no later build makes it a third time.
/// Images of kernels are kept by keys of their own, and are of use to a wheel for more architectures.
fn take_over(store: &Store, cache: &Path) -> Result<()> {
    let made = Store::at(cache);
    for kept in made.contents().iter().filter(|kept| kept.folder == "steps" && !kept.name.starts_with("fetch:")) {
        let key = kept.path.file_name().unwrap_or_default().to_string_lossy();
        if let (Found::Entry(entry), Found::Nothing) = (made.peek(&key)?, store.peek(&key)?) {
            store.copy(&made, &key, &entry)?;
        }
    }
    Ok(())
}

/// The build command under another name, home, zone, language and umask.
fn command(manner: &Manner, folder: &Path, cache: &Path, majors: &[u32], archs: &[String]) -> Result<Command> {
    let program = std::env::current_exe().map_err(Failure::io("cannot find", Path::new("ci")))?;
    let home = folder.join("home");
    fs::create_dir_all(&home).map_err(Failure::io("cannot create", &home))?;
    let old_home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let usual = |name: &str, below: &str| std::env::var_os(name).map_or_else(|| old_home.join(below), PathBuf::from);
    // cargo's folder differs too; the crates that were downloaded are the same.
    let cargo_home = home.join("cargo");
    let registry = cargo_home.join("registry");
    fs::create_dir_all(&cargo_home).map_err(Failure::io("cannot create", &cargo_home))?;
    let usual_cargo = usual("CARGO_HOME", ".cargo");
    for name in ["registry", "git", "config.toml"] {
        let from = usual_cargo.join(name);
        if from.exists() {
            std::os::unix::fs::symlink(&from, cargo_home.join(name)).map_err(Failure::io("cannot link", &registry))?;
        }
    }
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {} && exec \"$0\" \"$@\"", manner.umask)]).arg(program);
    command.arg("build-gpu-wheels");
    for major in majors {
        command.arg("--cuda-major").arg(major.to_string());
    }
    for arch in archs {
        command.arg("--arch").arg(arch);
    }
    command.args(["--jobs", manner.jobs]).arg("--root").arg(folder.join("checkout")).arg("--cache").arg(cache);
    command.arg("--output").arg(folder.join("out"));
    command
        .env("RUSTUP_HOME", usual("RUSTUP_HOME", ".rustup"))
        .env("PYENV_ROOT", usual("PYENV_ROOT", ".pyenv"))
        .env("CARGO_HOME", cargo_home)
        .env("HOME", home)
        .env("USER", manner.user)
        .env("LOGNAME", manner.user)
        .env("TZ", manner.zone)
        .env("LANG", manner.language)
        .env("LC_ALL", manner.language)
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(folder.join("checkout"));
    if manner.hostile {
        command.envs(VARIABLES.iter().copied());
    }
    Ok(command)
}

/// Copies the files that git knows or would add; all sources, where there is no git.
pub(super) fn copy_checkout(root: &Path, to: &Path) -> Result<()> {
    let listed = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output();
    let names: Vec<String> = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        _ => walk(root).map_err(Failure::io("cannot list", root))?,
    };
    for name in names.iter().filter(|name| root.join(name).is_file()) {
        let target = to.join(name);
        let parent = target.parent().unwrap_or(to);
        fs::create_dir_all(parent).map_err(Failure::io("cannot create", parent))?;
        fs::copy(root.join(name), &target).map_err(Failure::io("cannot copy", &target))?;
    }
    Ok(())
}

fn walk(root: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut left = vec![String::new()];
    while let Some(prefix) = left.pop() {
        for entry in fs::read_dir(root.join(&prefix))?.flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                if !["target", "wheelhouse", ".git"].contains(&name.as_str()) {
                    left.push(format!("{name}/"));
                }
            } else {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// The hash that both share, or where they differ first.
fn compare(first: &Path, second: &Path) -> Result<String> {
    let read = |path: &Path| fs::read(path).map_err(Failure::io("cannot read", path));
    let (a, b) = (read(first)?, read(second)?);
    if a == b {
        return Ok(digest::of_bytes(&a));
    }
    let members = |path: &Path| -> Result<BTreeMap<String, Vec<u8>>> {
        let bad = |error: ci_step::wheel::Error| {
            Failure::check(format!("{} can't be read: {error}.", path.display()), "Build it again.")
        };
        let mut reader = Reader::open(path).map_err(bad)?;
        let names: Vec<String> = reader.members().iter().map(|member| member.name.clone()).collect();
        names.into_iter().map(|name| Ok((name.clone(), reader.read(&name).map_err(bad)?))).collect()
    };
    let (a, b) = (members(first)?, members(second)?);
    let mut lines = Vec::new();
    for (name, content) in &a {
        match b.get(name) {
            None => lines.push(format!("{name}: only in the first")),
            Some(other) if other != content => {
                let offset =
                    content.iter().zip(other).position(|(x, y)| x != y).unwrap_or(content.len().min(other.len()));
                lines.push(format!(
                    "{name}: differs from byte {offset} on ({} and {} bytes)",
                    content.len(),
                    other.len()
                ));
            }
            Some(_) => {}
        }
    }
    lines.extend(b.keys().filter(|name| !a.contains_key(*name)).map(|name| format!("{name}: only in the second")));
    if lines.is_empty() {
        lines.push("the members are the same, the archives around them are not".to_owned());
    }
    Err(Failure::check("The two builds differ.", "Compare what is named above in the two folders.")
        .with_log(lines.join("\n")))
}
