//! test: every test that this machine can run. What it can't run is named, with the reason.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::thread;

use tokio::process::Command;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::installed::{self, Dependencies, Suite};
use super::release::rehearsal;
use super::tally::{Ended, Tally, quiet};
use super::{Context, build, engines, environment, jobs, manifest, verify};
use crate::api::table::{Caching, Function, Group, JOBS, Reads, Served, Type, Values, argument};
use crate::pins::matrix::Matrix;
use crate::pins::versions::Versions;
use crate::plan::Plan;
use crate::run::local::Local;
use ci_step::audit::gates;
use ci_step::failure::{Failure, Kind, Result};
use ci_step::python;
use ci_step::task::OPENBLAS;

pub static TEST: Function = Function {
    name: "test",
    group: Group::Tests,
    about: "Run the tests that this machine can run, and say what was skipped and why",
    more: "\
Formatting, lints and licences of the Rust code, lints and types of the Python code, the tests of every crate, the wheels
of every CUDA major and the CPU one, what the field's own tools say of them, the Python tests against the installed
wheel under every CPython that is found, the documentation site, and the dress rehearsal of a release on a package index
of this machine. Without --complete, the wheels of all CUDA majors but 12 have their newest architecture alone, and the
tests over a BLAS of 64-bit integers are left out. The last line counts: N passed, N failed, N skipped.",
    arguments: &[
        argument(
            "only",
            Type::Choice(&["rust", "python", "crates", "wheels", "engines", "audit", "installed", "release", "docs", "clients"]),
            "Only these parts; repeat it for several. clients, programs of others that use faiss, runs only when it is named",
        )
        .list(),
        argument(
            "engine",
            Type::Choice(&["host", "dagger"]),
            "With dagger, its engine builds the GPU wheels as well, which must be the host's byte by byte",
        )
        .default("host"),
        argument("complete", Type::Flag, "Every wheel for every architecture, and what else a single change is spared"),
        JOBS,
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::Text(Reads::Checkout),
    run: |context, values| Box::pin(all(context, values)),
};

pub static LINT: Function = Function {
    name: "lint",
    group: Group::Tests,
    about: "Formatting, lints, licences and types of the code in every language, as `test` looks at them first",
    more: "",
    arguments: &[JOBS],
    caching: Caching::Never,
    checkout: true,
    served: Served::Text(Reads::Checkout),
    run: |context, values| Box::pin(lint(context, values)),
};

const BLAS64: &str = "cargo test of blas64";

/// The CUDA major whose wheel is always complete, and which the whole Python suite and the rehearsal use.
const MAJOR: u32 = 12;

struct Run<'a> {
    context: &'a Context,
    versions: &'a Versions,
    plan: Plan,
    jobs: usize,
    complete: bool,
    /// What tells cargo which BLAS the crates link.
    blas: Vec<(&'static str, OsString)>,
    tally: Tally,
}

/// The parts that only read the code.
async fn lint(context: &Context, values: &Values) -> Result<()> {
    let mut values = values.clone();
    values.set("only", vec!["rust".to_owned(), "python".to_owned()]);
    all(context, &values).await
}

async fn all(context: &Context, values: &Values) -> Result<()> {
    let context = &context.in_lines();
    let versions = context.versions()?;
    let complete = values.flag("complete");
    let matrix = Matrix::all(versions, (!complete).then_some(MAJOR))?;
    let plan = context.plan(versions, &matrix)?;
    let jobs = jobs(&values.numbers("jobs"));
    let mut run = Run { context, versions, plan, jobs, complete, blas: Vec::new(), tally: Tally::default() };
    let only = values.list("only");
    let wanted = |part: &str| only.is_empty() || only.iter().any(|name| name == part);
    if wanted("rust") || wanted("crates") {
        run.blas = run.blas().await?;
    }
    let run = run;
    // Side by side, since neither keeps every processor busy: what reads, compiles and tests the code here, and the wheels.
    let built = CancellationToken::new();
    let code = async || {
        if wanted("rust") {
            run.rust().await?;
        }
        if wanted("python") {
            run.python().await?;
        }
        if wanted("crates") && run.compile().await? {
            // Some of these tests work with what the wheels left in the cache.
            built.cancelled().await;
            run.crates().await?;
            if complete {
                run.blas64().await?;
            } else {
                run.spared(BLAS64).await?;
            }
        }
        Ok(())
    };
    let wheels = async || {
        if wanted("wheels") {
            run.wheels().await?;
            for (cuda, full) in matrix.cuda.iter().zip(&versions.cuda) {
                let lacks = full.architectures.iter().filter(|arch| !cuda.architectures.contains(arch));
                let lacks: Vec<String> = lacks.map(ToString::to_string).collect();
                if !lacks.is_empty() {
                    run.spared(&format!("kernels of CUDA {} for {}", cuda.toolkit, lacks.join(", "))).await?;
                }
            }
        }
        built.cancel();
        if wanted("engines") {
            let dagger = values.text("engine") == Some("dagger");
            let work = async || engines::compare(context, dagger, jobs).await;
            run.tally.part("the same wheels from the Dagger engine", work).await?;
        }
        if wanted("audit") {
            run.audit().await?;
        }
        if wanted("installed") {
            run.installed().await?;
        }
        if wanted("release") {
            let work = async || match python::which("git") {
                Some(_) => rehearsal::run(context, (!complete).then_some(MAJOR)).await.map(Ended::Passed),
                None => Ok(Ended::Skipped("there is no git".into())),
            };
            run.tally.part("the dress rehearsal of a release", work).await?;
        }
        if wanted("docs") {
            run.docs().await?;
        }
        Ok(())
    };
    // What ends one ends the other.
    let lane = |ended: Result<()>| {
        if ended.is_err() {
            context.stop.cancel();
            built.cancel();
        }
        ended
    };
    // On threads of their own, since parts of both wait without giving way.
    let runtime = Handle::current();
    let ended = thread::scope(|scope| {
        let code = scope.spawn(|| lane(runtime.block_on(code())));
        let wheels = scope.spawn(|| lane(runtime.block_on(wheels())));
        [code, wheels].map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    first_reason(ended)?;
    // Minutes, and packages from the network that nothing else needs.
    if only.iter().any(|name| name == "clients") {
        run.clients().await?;
    }
    run.tally.close()
}

/// Of two lanes that ended badly, the one that was not merely stopped tells why.
fn first_reason([code, wheels]: [Result<()>; 2]) -> Result<()> {
    match (code, wheels) {
        (Err(stopped), Err(reason)) if stopped.kind == Kind::Interrupted => Err(reason),
        (code, wheels) => code.and(wheels),
    }
}

impl Run<'_> {
    fn log(&self, name: &str) -> PathBuf {
        self.context.root.join("target/ci/logs").join(format!("{name}.log"))
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.context.root).args(arguments).env("CARGO_BUILD_JOBS", self.jobs.to_string());
        command
    }

    /// Names what only a complete run does.
    async fn spared(&self, name: &str) -> Result<bool> {
        let why = "a change is spared it (`cargo ci test --complete`)";
        self.tally.part(name, async || Ok(Ended::Skipped(why.into()))).await
    }

    /// A command that passes or fails as a whole; says which.
    async fn command(&self, name: &str, command: Command) -> Result<bool> {
        let log = self.log(&name.replace(' ', "-"));
        let stop = self.context.stop.clone();
        let work = async || quiet(command, &log, name, &stop).await.map(|_| Ended::Passed(1));
        self.tally.part(name, work).await
    }

    async fn rust(&self) -> Result<()> {
        let (context, versions) = (self.context, self.versions);
        self.tally
            .part("versions.lock", async || context.lock()?.require_fresh(versions).map(|()| Ended::Passed(1)))
            .await?;
        self.command("cargo fmt", self.cargo(&["fmt", "--all", "--check"])).await?;
        let mut clippy = self.cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
        clippy.envs(self.blas.iter().cloned());
        self.command("cargo clippy", clippy).await?;
        // Advisories need a database from the network; the other checks need the crates of every system, which cargo fetches.
        self.tool("cargo deny", "cargo-deny", &["--locked", "check", "bans", "licenses", "sources"]).await?;
        Ok(())
    }

    async fn python(&self) -> Result<()> {
        self.tool("ruff check", "ruff", &["check", "--no-cache", "."]).await?;
        self.tool("ruff format", "ruff", &["format", "--no-cache", "--check", "."]).await?;
        self.tool("mypy", "mypy", &["--cache-dir", "target/ci/mypy"]).await?;
        self.tool("pyright", "basedpyright", &["--project", "pyrightconfig.json"]).await?;
        // Files by their names: without a .git around them it finds none by itself.
        let workflows = self.context.root.join(".github/workflows");
        let listed = std::fs::read_dir(&workflows).map_err(Failure::io("cannot list", &workflows))?;
        let mut files: Vec<String> = listed.flatten().map(|entry| entry.path().display().to_string()).collect();
        files.sort();
        let mut words = vec!["-config-file", ".github/actionlint.yaml"];
        words.extend(files.iter().map(String::as_str));
        self.tool("actionlint", "actionlint", &words).await?;
        // Without a network: what it finds does not depend on the day.
        self.tool("zizmor", "zizmor", &["--offline", "--no-progress", "--pedantic", ".github/workflows"]).await?;
        Ok(())
    }

    /// A program from the pinned wheels of the environment `lint`.
    async fn tool(&self, title: &str, program: &str, arguments: &[&str]) -> Result<bool> {
        let interpreter = python::for_pip(self.versions.python_floor())?;
        let bin = environment::locked(self.context, self.versions, "lint", &interpreter)?.bin();
        let path = bin.join(program);
        if !path.is_file() {
            let why = format!("there is none for CPython {}", interpreter.python);
            return self.tally.part(title, async || Ok(Ended::Skipped(why))).await;
        }
        let mut command = Command::new(path);
        command.current_dir(&self.context.root).args(arguments);
        // As in an activated environment: pyright asks the `python` that it finds where numpy is.
        let search = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(bin).chain(std::env::split_paths(&search));
        command.env("PATH", std::env::join_paths(folders).unwrap_or(search.clone()));
        self.command(title, command).await
    }

    /// What BLAS the crates link when they are tested: the very library that the wheels hold.
    async fn blas(&self) -> Result<Vec<(&'static str, OsString)>> {
        let store = self.context.store()?;
        let step = "openblas".to_owned();
        let mut reporter = self.context.reporter();
        let engine = Local { root: &self.context.root, store: &store, jobs: self.jobs, stop: &self.context.stop };
        engine.run(&self.plan, std::slice::from_ref(&step), reporter.as_mut()).await?;
        let folder = store.output(&self.plan.step(&step)?.key);
        let name = OPENBLAS.trim_start_matches("lib").trim_end_matches(".so");
        Ok(vec![
            ("FAISS_BLAS_DIR", folder.clone().into()),
            ("FAISS_BLAS_LIB", name.into()),
            ("FAISS_BLAS_PREFIX", "scipy_".into()),
            ("LD_LIBRARY_PATH", folder.into()),
        ])
    }

    /// The tests of every crate, but for those in documentation, which cargo compiles when it runs them.
    async fn compile(&self) -> Result<bool> {
        let mut command = self.cargo(&["test", "--workspace", "--locked", "--no-run"]);
        command.envs(self.blas.iter().cloned());
        self.command("cargo test --no-run", command).await
    }

    async fn crates(&self) -> Result<()> {
        // What a passed test prints is shown, since a test that skips something says so there.
        let mut command = self.cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--", "--show-output"]);
        command.envs(self.blas.iter().cloned());
        let interpreter = python::for_pip(self.versions.python_floor())?;
        let audit = environment::locked(self.context, self.versions, "audit", &interpreter)?;
        command.env("FAISS_GATES_BIN", audit.bin()).env("FAISS_CUOBJDUMP", self.cuobjdump()?);
        let log = self.log("cargo-test");
        let stop = self.context.stop.clone();
        let work = async || {
            let words = quiet(command, &log, "cargo test", &stop).await?;
            for line in words.lines().filter(|line| line.trim_start().starts_with("skipped: ")) {
                eprintln!("{line}");
            }
            match counted(&words) {
                0 => Err(Failure::check("cargo test ran no test.", format!("Its log is {}.", log.display()))),
                count => Ok(Ended::Passed(count)),
            }
        };
        self.tally.part("cargo test", work).await?;
        Ok(())
    }

    /// The library's own tests over a BLAS whose integers have 64 bits.
    async fn blas64(&self) -> Result<()> {
        let interpreter = python::for_pip(self.versions.python_floor())?;
        let environment = environment::locked(self.context, self.versions, "blas64", &interpreter)?;
        let packages = environment.folder.join(format!("lib/python{}/site-packages", interpreter.python));
        let folder: OsString = packages.join("scipy_openblas64/lib").into();
        let mut command = self.cargo(&["test", "--package", "faiss-core", "--lib", "--features", "blas64", "--locked"]);
        // Its symbols are as `scipy_sgemm_64_`.
        command.envs([
            ("FAISS_BLAS_DIR", folder.clone()),
            ("FAISS_BLAS_LIB", "scipy_openblas64_".into()),
            ("FAISS_BLAS_PREFIX", "scipy_".into()),
            ("FAISS_BLAS_SUFFIX", "64_".into()),
            ("LD_LIBRARY_PATH", folder),
        ]);
        self.command(BLAS64, command).await?;
        Ok(())
    }

    async fn wheels(&self) -> Result<()> {
        let (context, plan, jobs) = (self.context, &self.plan, self.jobs);
        let work = async || {
            let store = context.store()?;
            let wheels = build::make(context, plan, &store, jobs, |wheel| context.wheelhouse(&wheel.folder)).await?;
            // So that what one wheel's extension passes, every wheel's does.
            let mut extensions = BTreeSet::new();
            for wheel in &wheels {
                extensions.insert(manifest::members(wheel)?.remove("faiss/_faiss.abi3.so"));
            }
            if extensions.len() > 1 || extensions.contains(&None) {
                let what = "The wheels do not all hold the same extension.";
                return Err(Failure::check(what, "It must not depend on a CUDA major."));
            }
            Ok(Ended::Passed(wheels.len()))
        };
        self.tally.part("build and verify the wheels", work).await?;
        Ok(())
    }

    fn wheel(&self, name: &str) -> Option<PathBuf> {
        let wheel = self.plan.wheels.iter().find(|wheel| wheel.name == name)?;
        let path = self.context.wheelhouse(&wheel.folder).join(&wheel.file_name);
        path.is_file().then_some(path)
    }

    /// NVIDIA's own program that lists the images of a fatbin.
    fn cuobjdump(&self) -> Result<PathBuf> {
        let member = |_: &str| "nvidia/cu13/bin/cuobjdump".to_owned();
        environment::program(self.context, self.versions, "nvidia-cuda-cuobjdump", member)
    }

    async fn audit(&self) -> Result<()> {
        let names: Vec<String> = self.plan.wheels.iter().map(|wheel| wheel.name.clone()).collect();
        for name in names {
            let (context, versions, path, cuobjdump) =
                (self.context, self.versions, self.wheel(&name), self.cuobjdump()?);
            // Other wheels have the same libraries, and the same package around them.
            let whole = self.complete || name == "cpu" || name == format!("cuda{MAJOR}");
            let tools = if whole { "auditwheel, abi3audit, check-wheel-contents, twine, " } else { "" };
            let title = format!("{tools}cuobjdump on {name}");
            let work = async || {
                let Some(path) = path else { return Ok(Ended::Skipped("the wheel was not built".into())) };
                let mut report = verify::own(context, versions, &path)?;
                if whole {
                    verify::add_gates(context, versions, &path, &mut report)?;
                }
                if name != "cpu" {
                    let opinion = gates::second_opinion(&cuobjdump, &path).map_err(|error| {
                        Failure::check(format!("{error}."), "Read the wheel with `cargo ci verify-wheels`.")
                    })?;
                    report.add(opinion.name, opinion.findings);
                }
                if report.passed() {
                    return Ok(Ended::Passed(report.checks.len()));
                }
                Err(Failure::check(format!("{name} did not pass."), "Each finding names the member.")
                    .with_log(report.to_string()))
            };
            self.tally.part(&title, work).await?;
        }
        Ok(())
    }

    /// The whole suite under the usual Python with one wheel, smoke under the other Pythons, and the import of the other wheels.
    async fn installed(&self) -> Result<()> {
        let pythons = installed::chosen(self.versions, &[])?;
        let main = format!("cuda{MAJOR}");
        let mut runs: Vec<(String, usize, Suite)> = vec![(main.clone(), 0, Suite::Whole)];
        runs.extend((1..pythons.len()).map(|index| (main.clone(), index, Suite::Smoke)));
        let others = self.plan.wheels.iter().filter(|wheel| wheel.name != main);
        runs.extend(others.map(|wheel| (wheel.name.clone(), 0, Suite::Import)));
        for (name, index, suite) in runs {
            let (context, versions, interpreter, path) =
                (self.context, self.versions, &pythons[index], self.wheel(&name));
            let title = format!("the {name} wheel under CPython {}{}", interpreter.full, suite.note());
            let work = async || {
                let Some(path) = path else { return Ok(Ended::Skipped("the wheel was not built".into())) };
                let locked = &Dependencies::Locked;
                let tests = installed::test(context, versions, interpreter, &path, locked, suite, false).await?;
                Ok(Ended::Passed(tests.passed))
            };
            self.tally.part(&title, work).await?;
        }
        if super::doctor::gpus().is_none() {
            self.tally.part("GPU tests", async || Ok(Ended::Skipped("no NVIDIA driver".into()))).await?;
        }
        Ok(())
    }

    /// The documentation site, built with every warning an error: a link or an anchor that leads nowhere is one.
    async fn docs(&self) -> Result<()> {
        self.tool("the documentation site", "mkdocs", &["build", "--strict", "--quiet"]).await?;
        Ok(())
    }

    /// Programs of others with the CPU wheel, each in an environment of its own.
    async fn clients(&self) -> Result<()> {
        let (context, wheel, log) = (self.context, self.wheel("cpu"), self.log("clients"));
        let interpreter = python::for_pip(self.versions.python_floor())?;
        let work = async || {
            let todo = "Run `cargo ci build-cpu-wheels` first, or name the part `wheels` as well.";
            let wheel = wheel.ok_or_else(|| Failure::check("There is no wheel in wheelhouse/cpu.", todo))?;
            let mut command = Command::new(&interpreter.path);
            command.arg(context.root.join("faiss-rs/python/tests/clients/run.py")).arg("--wheel").arg(wheel);
            command.arg("--environments").arg(context.store()?.root().join("environments"));
            let words = quiet(command, &log, "a client program", &context.stop).await?;
            Ok(Ended::Passed(installed::passed(&words)))
        };
        self.tally.part("programs of others that use faiss", work).await?;
        Ok(())
    }
}

/// The sum over cargo's lines `test result: ok. 15 passed; ...`.
fn counted(words: &str) -> usize {
    let lines = words.lines().filter_map(|line| line.trim().strip_prefix("test result: ok. "));
    lines.filter_map(|line| line.split(' ').next()?.parse::<usize>().ok()).sum()
}
