//! uv, from the wheel that versions.lock names: it resolves for a CPython and a glibc that need not be those of this machine,
//! and leaves what was chosen before where it still fits.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::{File, Wanted};
use crate::pins::versions::Versions;
use ci_step::failure::{Failure, Result};
use ci_step::pip;
use ci_step::python::Interpreter;
use ci_step::store::{Store, unpack};

#[derive(Debug)]
pub struct Uv {
    /// With the program, and with what it keeps of the index meanwhile.
    folder: TempDir,
    program: PathBuf,
    python: PathBuf,
    settings: Settings,
}

impl Uv {
    pub fn provide(versions: &Versions, python: &Interpreter, store: &Store, file: &File) -> Result<Uv> {
        let (glibc, machine) = (versions.wheel.glibc, &versions.wheel.platforms[0]);
        let wheel = store.fetch(&[file], versions.python_floor(), glibc, machine, || Ok(python.clone()))?.remove(0);
        let folder = tempfile::tempdir().map_err(Failure::io("cannot write into", &std::env::temp_dir()))?;
        unpack::unpack(&wheel, &["/scripts/uv".to_owned()], folder.path())?;
        let program = folder.path().join(format!("uv-{}.data/scripts/uv", file.version));
        Ok(Uv { folder, program, python: python.path.clone(), settings: Settings::of_pip(python)? })
    }

    /// The exact version of each package that `wanted` leads to. Those of `before` are taken where they fit.
    pub fn resolve(&self, versions: &Versions, wanted: &Wanted, before: &[&File]) -> Result<Vec<String>> {
        let place =
            tempfile::tempdir_in(self.folder.path()).map_err(Failure::io("cannot write into", self.folder.path()))?;
        let (asked, pins) = (place.path().join("asked.in"), place.path().join("pins.txt"));
        let lines: String = before.iter().map(|file| format!("{}=={}\n", file.package, file.version)).collect();
        std::fs::write(&asked, wanted.requirements.join("\n") + "\n").map_err(Failure::io("cannot write", &asked))?;
        std::fs::write(&pins, lines).map_err(Failure::io("cannot write", &pins))?;
        let (major, minor) = versions.wheel.glibc;
        let mut command = Command::new(&self.program);
        command.args([
            "pip",
            "compile",
            "--quiet",
            "--no-config",
            "--no-header",
            "--no-annotate",
            "--only-binary=:all:",
        ]);
        command.arg(format!("--python-version={}", wanted.python));
        command.arg(format!("--python-platform={}-manylinux_{major}_{minor}", versions.wheel.platforms[0]));
        command.arg("--python").arg(&self.python).arg("--cache-dir").arg(self.folder.path().join("index"));
        command.arg("--output-file").arg(&pins).arg(&asked);
        self.settings.give_to(&mut command);
        let output = command.output().map_err(Failure::io("cannot run", &self.program))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            let todo = "uv's own words are above. It asks the index that pip is set to (`pip config list`).";
            return Err(Failure::machine(format!("Cannot resolve the set {}.", wanted.name), todo).with_log(words));
        }
        let text = std::fs::read_to_string(&pins).map_err(Failure::io("cannot read", &pins))?;
        let exact = |line: &&str| !line.is_empty() && !line.starts_with('#');
        // A marker has been judged by then.
        Ok(text
            .lines()
            .map(str::trim)
            .filter(exact)
            .map(|l| l.split(';').next().unwrap_or(l).trim().to_owned())
            .collect())
    }
}

/// Where pip looks for files, for uv to look there as well.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settings {
    index: Option<String>,
    more: Vec<String>,
    links: Vec<String>,
    no_index: bool,
    trusted: Vec<String>,
    certificates: Option<String>,
    proxy: Option<String>,
}

impl Settings {
    fn of_pip(python: &Interpreter) -> Result<Settings> {
        let output = Command::new(&python.path).args(["-m", "pip", "config", "list"]).output();
        let output = output.map_err(Failure::io("cannot run", &python.path))?;
        if !output.status.success() {
            return Err(pip::reason("Cannot ask pip for its settings", &String::from_utf8_lossy(&output.stderr)));
        }
        Ok(Settings::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// From lines such as `global.index-url='https://...'`; a command's own settings hold before the global ones, and
    /// variables before both.
    fn parse(list: &str) -> Settings {
        let mut settings = Settings::default();
        for section in ["global.", "install.", ":env:."] {
            for line in list.lines().filter_map(|line| line.strip_prefix(section)) {
                let Some((key, value)) = line.split_once('=') else { continue };
                let value = value.trim().trim_matches(['\'', '"']).replace("\\n", " ");
                let words = || value.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                match key {
                    "index-url" => settings.index = Some(value.clone()),
                    "extra-index-url" => settings.more = words(),
                    "find-links" => settings.links = words(),
                    "no-index" => {
                        settings.no_index = matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "on")
                    }
                    "trusted-host" => settings.trusted = words(),
                    "cert" => settings.certificates = Some(value.clone()),
                    "proxy" => settings.proxy = Some(value.clone()),
                    _ => {}
                }
            }
        }
        settings
    }

    fn give_to(&self, command: &mut Command) {
        let with = |command: &mut Command, option: &str, values: &[String]| {
            for value in values {
                command.arg(option).arg(value);
            }
        };
        with(command, "--default-index", self.index.as_slice());
        with(command, "--index", &self.more);
        with(command, "--allow-insecure-host", &self.trusted);
        // uv takes a folder where pip also takes a page in it, and none that is not there.
        let folder = |link: &String| {
            let path = PathBuf::from(link);
            if path.is_file() { path.parent().map(|folder| folder.display().to_string()) } else { Some(link.clone()) }
        };
        let there = |link: &String| link.contains("://") || PathBuf::from(link).is_dir();
        let links: Vec<String> = self.links.iter().filter_map(folder).filter(there).collect();
        with(command, "--find-links", &links);
        if self.no_index {
            command.arg("--no-index");
        }
        if let Some(file) = &self.certificates {
            command.env("SSL_CERT_FILE", file);
        }
        if let Some(proxy) = &self.proxy {
            command.env("ALL_PROXY", proxy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_s_settings_are_read_and_the_nearest_holds() {
        let list = "global.index-url='https://a.example/simple'\nglobal.trusted-host='a b'\n:env:.find-links='/x\\n/y'\n\
                    install.index-url='https://b.example/simple'\n:env:.no-index='1'\nglobal.timeout='10'\n";
        let settings = Settings::parse(list);
        assert_eq!(settings.index.as_deref(), Some("https://b.example/simple"));
        assert_eq!(
            (settings.trusted, settings.links),
            (vec!["a".into(), "b".into()], vec!["/x".into(), "/y".to_owned()])
        );
        assert!(settings.no_index);
        assert_eq!(Settings::parse(""), Settings::default());
    }
}
