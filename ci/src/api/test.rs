//! test: every test that this machine can run. What it can't run is named, with the reason.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::installed::{self, Dependencies, Suite};
use super::tally::{Ended, Tally, quiet};
use super::{Context, build, engines, environment, jobs, verify};
use crate::api::table::Values;
use crate::pins::matrix::Matrix;
use crate::pins::versions::Versions;
use crate::plan::Plan;
use crate::run::{Engine, local::Local};
use ci_step::audit::gates;
use ci_step::failure::{Failure, Result};
use ci_step::python;
use ci_step::task::OPENBLAS;

struct Run<'a> {
    context: &'a Context,
    versions: Versions,
    plan: Plan,
    jobs: usize,
    tally: Tally,
}

/// The parts that only read the code.
pub fn lint(context: &Context, values: &Values) -> Result<()> {
    let mut values = values.clone();
    values.set("only", vec!["rust".to_owned(), "python".to_owned()]);
    all(context, &values)
}

pub fn all(context: &Context, values: &Values) -> Result<()> {
    let versions = context.versions()?;
    let majors: Vec<u32> = versions.cuda.iter().map(|cuda| cuda.major).collect();
    let mut matrix = Matrix::gpu(&versions, &majors, &[], &versions.wheel.platforms[0])?;
    matrix.cpu = true;
    let plan = context.plan(&versions, &matrix)?;
    let mut run = Run { context, versions, plan, jobs: jobs(&values.numbers("jobs")), tally: Tally::default() };
    let only = values.list("only");
    let wanted = |part: &str| only.is_empty() || only.iter().any(|name| name == part);
    if wanted("rust") {
        run.rust()?;
    }
    if wanted("python") {
        run.python()?;
    }
    if wanted("wheels") {
        run.wheels()?;
    }
    if wanted("engines") {
        let dagger = values.text("engine") == Some("dagger");
        run.tally.part("the same wheels from the Dagger engine", || engines::compare(context, dagger, run.jobs))?;
    }
    if wanted("audit") {
        run.audit()?;
    }
    if wanted("installed") {
        run.installed()?;
    }
    if wanted("crates") {
        run.crates()?;
    }
    run.tally.close()
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

    /// A command that passes or fails as a whole.
    fn command(&mut self, name: &str, mut command: Command) -> Result<()> {
        let log = self.log(&name.replace(' ', "-"));
        self.tally.part(name, || quiet(&mut command, &log, name).map(|_| Ended::Passed(1)))
    }

    fn rust(&mut self) -> Result<()> {
        let (context, versions) = (self.context, &self.versions);
        self.tally.part("versions.lock", || context.lock()?.require_fresh(versions).map(|()| Ended::Passed(1)))?;
        self.command("cargo fmt", self.cargo(&["fmt", "--all", "--check"]))?;
        let mut clippy = self.cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
        clippy.envs(self.blas()?);
        self.command("cargo clippy", clippy)?;
        if python::which("cargo-deny").is_some() {
            // Advisories need a database from the network; the other checks need nothing.
            self.command("cargo deny", self.cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]))
        } else {
            self.tally.part("cargo deny", || {
                Ok(Ended::Skipped("cargo-deny is not on PATH (`cargo install cargo-deny`)".into()))
            })
        }
    }

    fn python(&mut self) -> Result<()> {
        let interpreter = python::for_pip(self.versions.python_floor())?;
        let lint = environment::locked(self.context, &self.versions, "lint", &interpreter)?;
        let root = self.context.root.clone();
        let tool = |name: &str, arguments: &[&str]| {
            let mut command = Command::new(lint.bin().join(name));
            command.current_dir(&root).args(arguments);
            command
        };
        self.command("ruff check", tool("ruff", &["check", "--no-cache", "."]))?;
        self.command("ruff format", tool("ruff", &["format", "--no-cache", "--check", "."]))?;
        self.command("mypy", tool("mypy", &["--cache-dir", "target/ci/mypy"]))?;
        if !lint.bin().join("zizmor").is_file() {
            let why = format!("there is none for CPython {}", interpreter.python);
            return self.tally.part("zizmor", || Ok(Ended::Skipped(why)));
        }
        // Without a network: what it finds does not depend on the day.
        self.command("zizmor", tool("zizmor", &["--offline", "--no-progress", ".github/workflows"]))
    }

    /// What BLAS the crates link when they are tested: the very library that the wheels hold.
    fn blas(&self) -> Result<Vec<(&'static str, OsString)>> {
        let store = self.context.store()?;
        let step = "openblas".to_owned();
        let mut reporter = self.context.reporter();
        Local { root: &self.context.root, store: &store, jobs: self.jobs }.run(
            &self.plan,
            std::slice::from_ref(&step),
            reporter.as_mut(),
        )?;
        let folder = store.output(&self.plan.step(&step)?.key);
        let name = OPENBLAS.trim_start_matches("lib").trim_end_matches(".so");
        Ok(vec![
            ("FAISS_BLAS_DIR", folder.clone().into()),
            ("FAISS_BLAS_LIB", name.into()),
            ("FAISS_BLAS_PREFIX", "scipy_".into()),
            ("LD_LIBRARY_PATH", folder.into()),
        ])
    }

    fn crates(&mut self) -> Result<()> {
        // What a passed test prints is shown, since a test that skips something says so there.
        let mut command = self.cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--", "--show-output"]);
        command.envs(self.blas()?);
        let interpreter = python::for_pip(self.versions.python_floor())?;
        let audit = environment::locked(self.context, &self.versions, "audit", &interpreter)?;
        command.env("FAISS_GATES_BIN", audit.bin()).env("FAISS_CUOBJDUMP", self.cuobjdump()?);
        let log = self.log("cargo-test");
        self.tally.part("cargo test", || {
            let words = quiet(&mut command, &log, "cargo test")?;
            for line in words.lines().filter(|line| line.trim_start().starts_with("skipped: ")) {
                eprintln!("{line}");
            }
            match counted(&words) {
                0 => Err(Failure::check("cargo test ran no test.", format!("Its log is {}.", log.display()))),
                count => Ok(Ended::Passed(count)),
            }
        })
    }

    fn wheels(&mut self) -> Result<()> {
        let (context, plan, jobs) = (self.context, &self.plan, self.jobs);
        self.tally.part("build and verify the wheels", || {
            let store = context.store()?;
            let wheels = build::make(context, plan, &store, jobs, |wheel| context.wheelhouse(&wheel.folder))?;
            Ok(Ended::Passed(wheels.len()))
        })
    }

    fn wheel(&self, name: &str) -> Option<PathBuf> {
        let wheel = self.plan.wheels.iter().find(|wheel| wheel.name == name)?;
        let path = self.context.wheelhouse(&wheel.folder).join(&wheel.file_name);
        path.is_file().then_some(path)
    }

    /// NVIDIA's own program that lists the images of a fatbin.
    fn cuobjdump(&self) -> Result<PathBuf> {
        let store = self.context.store()?;
        let lock = self.context.lock()?;
        let file = lock.tool("nvidia-cuda-cuobjdump")?;
        let folder = store.root().join("environments").join(format!("cuobjdump-{}", &file.sha256[..16]));
        let program = folder.join("nvidia/cu13/bin/cuobjdump");
        if !program.is_file() {
            let wheel = environment::fetch(&store, &self.versions, &[file], self.versions.python_floor())?.remove(0);
            // Moved there when it is whole: what an interruption leaves must not be taken for the program.
            let scratch = store.scratch("cuobjdump")?;
            ci_step::store::unpack::unpack(&wheel, &[], scratch.path())?;
            if let Some(parent) = folder.parent() {
                std::fs::create_dir_all(parent).map_err(Failure::io("cannot create", parent))?;
            }
            if let Err(error) = std::fs::rename(scratch.path(), &folder)
                && !program.is_file()
            {
                return Err(Failure::io("cannot create", &folder)(error));
            }
        }
        Ok(program)
    }

    fn audit(&mut self) -> Result<()> {
        let names: Vec<String> = self.plan.wheels.iter().map(|wheel| wheel.name.clone()).collect();
        for name in names {
            let (context, versions, path, cuobjdump) =
                (self.context, &self.versions, self.wheel(&name), self.cuobjdump()?);
            self.tally.part(
                &format!("auditwheel, abi3audit, check-wheel-contents, twine, cuobjdump on {name}"),
                || {
                    let Some(path) = path else { return Ok(Ended::Skipped("the wheel was not built".into())) };
                    let mut report = verify::own(context, versions, &path)?;
                    verify::add_gates(context, versions, &path, &mut report)?;
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
                },
            )?;
        }
        Ok(())
    }

    /// The whole suite under the usual Python with the newest wheel that is common to all drivers here, smoke under the others.
    fn installed(&mut self) -> Result<()> {
        let pythons = installed::chosen(&self.versions, &[])?;
        let mut runs: Vec<(String, usize, Suite)> = vec![("cuda12".into(), 0, Suite::Whole)];
        runs.extend((1..pythons.len()).map(|index| ("cuda12".to_owned(), index, Suite::Smoke)));
        runs.extend(["cuda11", "cuda13", "cpu"].map(|name| (name.to_owned(), 0, Suite::Smoke)));
        for (name, index, suite) in runs {
            let (context, versions, interpreter, path) =
                (self.context, &self.versions, &pythons[index], self.wheel(&name));
            let title = format!("the {name} wheel under CPython {}{}", interpreter.full, suite.note());
            self.tally.part(&title, || match &path {
                None => Ok(Ended::Skipped("the wheel was not built".into())),
                Some(path) => installed::test(
                    context,
                    versions,
                    interpreter,
                    Path::new(path),
                    &Dependencies::Locked,
                    suite,
                    false,
                )
                .map(|tests| Ended::Passed(tests.passed)),
            })?;
        }
        if super::doctor::gpus().is_none() {
            self.tally.part("GPU tests", || Ok(Ended::Skipped("no NVIDIA driver".into())))?;
        }
        Ok(())
    }
}

/// The sum over cargo's lines `test result: ok. 15 passed; ...`.
fn counted(words: &str) -> usize {
    let lines = words.lines().filter_map(|line| line.trim().strip_prefix("test result: ok. "));
    lines.filter_map(|line| line.split(' ').next()?.parse::<usize>().ok()).sum()
}
