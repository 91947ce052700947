//! A package index, by the name that uv's own configuration gives it: a table `[[index]]` of uv.toml with `name`, `url` and
//! `publish-url`. No address stands here, and uv alone sends and fetches.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::api::table::{Argument, Type, Values, argument};
use crate::api::{Context, environment};
use crate::run::children;
use ci_step::failure::{Failure, Kind, Result};

pub const REPOSITORY: Argument = argument("repository", Type::Text("NAME"), "The package index, as uv.toml names it");
pub const UV_CONFIG: Argument =
    argument("uv-config", Type::Secret, "uv.toml with that index [default: where uv looks for it]");
pub const TOKEN: Argument = argument(
    "token",
    Type::Secret,
    "A file with the token to upload with [default: UV_PUBLISH_TOKEN, or trusted publishing where there is some]",
);

pub struct Index<'a> {
    context: &'a Context,
    pub name: String,
    /// With all that the program keeps.
    folder: TempDir,
    program: PathBuf,
    config: Option<PathBuf>,
    token: Option<String>,
}

/// How a call of uv ended.
struct Said {
    success: bool,
    stdout: String,
    words: String,
}

impl<'a> Index<'a> {
    pub fn open(context: &'a Context, values: &Values) -> Result<Index<'a>> {
        let versions = context.versions()?;
        let name = values.text(REPOSITORY.name).unwrap_or_default().to_owned();
        if name.is_empty() || name.contains("://") {
            return Err(Failure::usage(
                format!("\"{name}\" is no name of a package index."),
                "Name one by a table [[index]] of uv.toml (name, url, publish-url), and say that name.",
            ));
        }
        let program = environment::uv(context, versions)?;
        let folder = tempfile::tempdir().map_err(Failure::io("cannot write into", &std::env::temp_dir()))?;
        let token = values.path(TOKEN.name).map(|path| {
            let text = std::fs::read_to_string(&path).map_err(Failure::named("cannot read", &path))?;
            Ok(text.trim().to_owned())
        });
        Ok(Index { context, name, folder, program, config: values.path(UV_CONFIG.name), token: token.transpose()? })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--no-progress", "--color=never", "--preview-features=index-by-name"]);
        command.arg("--cache-dir").arg(self.folder.path().join("cache"));
        if let Some(config) = &self.config {
            command.arg("--config-file").arg(config);
        }
        command
    }

    async fn run(&self, command: Command) -> Result<Said> {
        let (log, out) = (self.folder.path().join("log"), self.folder.path().join("out"));
        let status = children::answered(command, &out, &log, &self.context.stop).await?;
        let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        let words = self.without_secrets(&read(&log));
        Ok(Said { success: status.success(), stdout: read(&out), words })
    }

    /// What may be shown: no token, and no address with a password in it.
    fn without_secrets(&self, words: &str) -> String {
        let named = ["UV_PUBLISH_TOKEN", "UV_PUBLISH_PASSWORD"].map(|name| std::env::var(name).ok());
        let secrets = named.into_iter().flatten().chain(self.token.clone()).filter(|secret| !secret.is_empty());
        hide(secrets.fold(words.to_owned(), |words, secret| words.replace(&secret, "***")))
    }

    /// Asks whether each wheel can be sent: it is not there, or there are its very bytes. Nothing is sent.
    pub async fn check(&self, wheels: &[PathBuf]) -> Result<()> {
        let mut command = self.publish(&["--dry-run"]);
        command.args(wheels);
        let said = self.run(command).await?;
        if said.success { Ok(()) } else { Err(self.reason("Nothing was sent", &said.words)) }
    }

    /// Sends one wheel; where it is there already, nothing is.
    pub async fn send(&self, wheel: &Path) -> Result<()> {
        let mut command = self.publish(&[]);
        command.arg(wheel);
        let said = self.run(command).await?;
        let name = wheel.file_name().unwrap_or_default().to_string_lossy();
        if said.success { Ok(()) } else { Err(self.reason(&format!("{name} was not sent"), &said.words)) }
    }

    fn publish(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["publish", "--index", &self.name]);
        command.args(arguments);
        if let Some(token) = &self.token {
            command.env("UV_PUBLISH_TOKEN", token);
        }
        command
    }

    /// Whether the index has this version of the distribution.
    pub async fn has(&self, distribution: &str, version: &str) -> Result<bool> {
        let wanted = self.folder.path().join("wanted.in");
        let text = format!("{distribution}=={version}\n");
        std::fs::write(&wanted, text).map_err(Failure::io("cannot write", &wanted))?;
        let mut command = self.asking(&["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--refresh"])?;
        command.arg(&wanted);
        let said = self.run(command).await?;
        if said.success {
            return Ok(!said.stdout.trim().is_empty());
        }
        if ["there is no version of", "was not found in the package registry"].iter().any(|no| said.words.contains(no))
        {
            return Ok(false);
        }
        Err(self.reason(&format!("It is not known whether the index has {distribution} {version}"), &said.words))
    }

    /// Downloads the wheel that the index has and compares its hash; the failure says how it differs.
    pub async fn holds(&self, distribution: &str, version: &str, sha256: &str) -> Result<()> {
        let wanted = self.folder.path().join("wanted.txt");
        let text = format!("{distribution}=={version} --hash=sha256:{sha256}\n");
        std::fs::write(&wanted, text).map_err(Failure::io("cannot write", &wanted))?;
        let place =
            tempfile::tempdir_in(self.folder.path()).map_err(Failure::io("cannot write into", self.folder.path()))?;
        let mut command = self.asking(&["pip", "install", "--require-hashes", "--no-cache"])?;
        command.arg("--target").arg(place.path()).arg("--requirements").arg(&wanted);
        let said = self.run(command).await?;
        if said.success {
            return Ok(());
        }
        Err(self.reason(&format!("{distribution} {version} of {} is not as it was built", self.name), &said.words))
    }

    /// A question to this index alone, about the wheels of this project alone, whatever machine asks.
    fn asking(&self, arguments: &[&str]) -> Result<Command> {
        let versions = self.context.versions()?;
        let (major, minor) = versions.wheel.glibc;
        let mut command = self.command(arguments);
        command.args(["--no-deps", "--only-binary=:all:", "--no-python-downloads", "--default-index", &self.name]);
        command.arg(format!("--python-version={}", versions.python_floor()));
        command.arg(format!("--python-platform={}-manylinux_{major}_{minor}", versions.wheel.platforms[0]));
        command.arg("--python").arg(ci_step::python::for_pip(versions.python_floor())?.path);
        Ok(command)
    }

    /// Reads uv's words, so that a person learns what to do.
    fn reason(&self, what: &str, words: &str) -> Failure {
        let known = REASONS.iter().find(|reason| reason.words.iter().any(|part| words.contains(part)));
        let failure = match known {
            Some(reason) => Failure::new(reason.kind, format!("{what}: {}.", reason.because), reason.todo),
            None => Failure::machine(format!("{what}: uv failed."), "uv's own words are above."),
        };
        failure.with_log(words)
    }
}

/// What uv says, and what it means.
struct Reason {
    words: &'static [&'static str],
    kind: Kind,
    because: &'static str,
    todo: &'static str,
}

const REASONS: &[Reason] = &[
    Reason {
        words: &["Index not found", "Could not find an index named"],
        kind: Kind::Usage,
        because: "uv knows no index of that name",
        todo: "Write a table [[index]] with name, url and publish-url into uv.toml, or name its file with --uv-config.",
    },
    Reason {
        words: &["do not match for", "Hash mismatch", "Failed to extract archive"],
        kind: Kind::Check,
        because: "the index has a file of that name with other bytes",
        todo: "A version that was published stays as it is: yank it there, raise D with `cargo ci next-version --write`, and build again.",
    },
    Reason {
        words: &["403 Forbidden", "401 Unauthorized", "redentials"],
        kind: Kind::Machine,
        because: "the index does not take this token",
        todo: "Give a token that may upload these projects and has not expired, then run the same command again.",
    },
    Reason {
        words: &["No space left on device", "Disk quota exceeded", "507 Insufficient Storage"],
        kind: Kind::Machine,
        because: "a disk is full, this machine's or the index's",
        todo: "Free some space and run the same command again.",
    },
    Reason {
        words: &["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"],
        kind: Kind::Machine,
        because: "the index itself failed",
        todo: "Its disk may be full, or it rests; when it is well again, run the same command again.",
    },
    Reason {
        words: &["there is no version of", "was not found in the package registry"],
        kind: Kind::Check,
        because: "the index has no such version",
        todo: "Publish it, or wait until the index shows it.",
    },
    Reason {
        words: &["error sending request", "tcp connect error", "dns error", "timed out"],
        kind: Kind::Machine,
        because: "the index can't be reached",
        todo: "Check the network, and the index's url in uv.toml; then run the same command again.",
    },
];

/// Takes `user:password@` out of addresses.
fn hide(words: String) -> String {
    let mut out = String::new();
    let mut rest = words.as_str();
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/`'\"".contains(c)).unwrap_or(after.len());
        let (host, more) = after.split_at(end);
        match host.rsplit_once('@') {
            Some((_, host)) => out.push_str(&format!("***@{host}")),
            None => out.push_str(host),
        }
        rest = more;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    #[test]
    fn passwords_in_addresses_are_not_shown() {
        let hide = |text: &str| super::hide(text.to_owned());
        assert_eq!(
            hide("to `https://u:p@a.example/x` and http://b.example"),
            "to `https://***@a.example/x` and http://b.example"
        );
        assert_eq!(hide("nothing @ all"), "nothing @ all");
        assert_eq!(hide("https://t@h"), "https://***@h");
    }
}
