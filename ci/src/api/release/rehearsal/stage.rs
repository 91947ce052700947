//! A copy of the checkout under its next version, its wheels, and an index: what the scenes are played on, and what they
//! look at.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use tokio::process::Command as Async;

use super::server::{Gate, Room, Server};
use super::{NAME, TOKEN, killed};
use crate::api::release::candidates::{self, files_below};
use crate::api::release::proof::{OnGpu, Proof};
use crate::api::tally::quiet;
use crate::api::{Context, reproduce, write_whole};
use crate::pins::lock::Lock;
use crate::pins::versions::{Versions, edit};
use ci_step::digest;
use ci_step::failure::{Failure, Result};

/// A copy of the checkout with its wheels, and an index.
pub struct Stage<'a> {
    pub context: &'a Context,
    pub folder: tempfile::TempDir,
    pub checkout: PathBuf,
    /// Where the index has its files.
    pub packages: PathBuf,
    pub before: String,
    pub version: String,
    /// The wheels, in the order in which they are sent.
    pub wheels: Vec<PathBuf>,
    pub server: RefCell<Server>,
}

pub struct Said {
    pub success: bool,
    pub words: String,
}

impl Stage<'_> {
    pub async fn set(context: &Context, major: Option<u32>) -> Result<Stage<'_>> {
        let mut versions = context.versions()?.clone();
        let folder = tempfile::tempdir().map_err(Failure::io("cannot write into", &std::env::temp_dir()))?;
        let checkout = folder.path().join("checkout");
        reproduce::copy_checkout(&context.root, &checkout)?;
        let mut server = Server::new(context, folder.path(), TOKEN)?;
        server.start(Room::Plenty)?;
        let before = versions.wheel.version.clone();
        let packages = server.packages.clone();
        let mut stage = Stage {
            context,
            folder,
            checkout,
            packages,
            before,
            version: String::new(),
            wheels: Vec::new(),
            server: server.into(),
        };
        if let Some(major) = major {
            versions = stage.keep(major)?;
        }
        stage.configure("uv.toml", stage.port())?;
        for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "A copy"]] {
            stage.git(arguments)?;
        }
        stage.expect(&stage.said(&mut stage.command(&["next-version", "--write", "--repository", NAME])), "")?;
        stage.git(&["commit", "--quiet", "--all", "--message", "The next version"])?;
        stage.version = Versions::load(&stage.checkout)?.wheel.version;
        if stage.version == stage.before {
            return Err(Failure::check("next-version left the version as it was.", "It should have raised D."));
        }
        killed::while_it_builds(&stage)?;
        let majors: Vec<String> = versions.cuda.iter().map(|cuda| format!("--cuda-major={}", cuda.major)).collect();
        for (name, majors) in [("build-gpu-wheels", &majors[..]), ("build-cpu-wheels", &majors[..0])] {
            let mut words = vec![name];
            words.extend(majors.iter().map(String::as_str));
            let log = context.root.join("target/ci/logs").join(format!("rehearsal-{name}.log"));
            quiet(Async::from(stage.command(&words)), &log, name, &context.stop).await?;
        }
        let found = candidates::find(&candidates::plan(&stage.copy()?)?, &stage.checkout.join("wheelhouse"))?;
        stage.wheels = found.iter().map(|candidate| candidate.path.clone()).collect();
        for candidate in found.iter().filter(|candidate| candidate.wheel.cuda_major.is_some()) {
            let on_gpu = OnGpu { passed: 1, launched: 1, driver: NAME.into(), gpus: vec![format!("none: a {NAME}")] };
            Proof::new(&candidate.path, NAME, false, 1, on_gpu)?.write(&candidate.path)?;
        }
        Ok(stage)
    }

    /// The copy, as a function of this program sees it.
    pub fn copy(&self) -> Result<Context> {
        let store = self.context.store()?.root().to_owned();
        Ok(Context::new(self.checkout.clone(), Some(store), self.context.format, self.context.stop.clone()))
    }

    pub fn port(&self) -> u16 {
        self.server.borrow().port
    }

    /// Leaves the copy this CUDA major alone.
    fn keep(&self, major: u32) -> Result<Versions> {
        let path = self.checkout.join("versions.toml");
        let text = fs::read_to_string(&path).map_err(Failure::io("cannot read", &path))?;
        let text = edit::keep_cuda(&text, major)?;
        write_whole(&path, text.as_bytes())?;
        let versions = Versions::parse(&text)?;
        let lock = Lock::load(&self.checkout)?.narrowed(&versions);
        write_whole(&self.checkout.join("versions.lock"), lock.render().as_bytes())?;
        Ok(versions)
    }

    /// A configuration of uv's that finds the index at this port.
    fn configure(&self, name: &str, port: u16) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        let url = format!("http://127.0.0.1:{port}");
        let text = format!(
            "[[index]]\nname = \"{NAME}\"\nurl = \"{url}/simple/\"\npublish-url = \"{url}/\"\nexplicit = true\n"
        );
        fs::write(&path, text).map_err(Failure::io("cannot write", &path))?;
        Ok(path)
    }

    fn git(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("git");
        command.current_dir(&self.checkout).args(["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost"]);
        let said = self.said(command.args(["-c", "commit.gpgsign=false"]).args(arguments));
        self.expect(&said, "")
    }

    /// This program on the copy, with the usual cache: what is there need not be made again.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| "ci".into()));
        command.args(arguments).arg("--root").arg(&self.checkout).args(["--color", "never"]);
        if let Some(cache) = &self.context.cache {
            command.arg("--cache").arg(cache);
        }
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("UV_CONFIG_FILE", self.folder.path().join("uv.toml")).env("UV_HTTP_RETRIES", "0");
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        for name in
            ["UV_PUBLISH_TOKEN", "UV_PUBLISH_USERNAME", "UV_PUBLISH_PASSWORD", "UV_DEFAULT_INDEX", "CARGO_MANIFEST_DIR"]
        {
            command.env_remove(name);
        }
        command
    }

    pub fn said(&self, command: &mut Command) -> Said {
        match command.output() {
            Ok(output) => {
                let words = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
                Said { success: output.status.success(), words: words.into_owned() }
            }
            Err(error) => Said { success: false, words: error.to_string() },
        }
    }

    pub fn publish_words<'b>(&self, more: &[&'b str]) -> Vec<&'b str> {
        [&["publish-wheels", "--repository", NAME], more].concat()
    }

    pub fn publish(&self, token: &str, more: &[&str]) -> Said {
        self.said(self.command(&self.publish_words(more)).env("UV_PUBLISH_TOKEN", token))
    }

    /// A publisher who reaches the index by this gate alone.
    pub fn publisher_through(&self, gate: &Gate) -> Result<Command> {
        let config = self.configure("gate.toml", gate.port)?;
        let mut command = self.command(&self.publish_words(&[]));
        command.env("UV_PUBLISH_TOKEN", TOKEN).env("UV_CONFIG_FILE", config);
        Ok(command)
    }

    /// Publishes to an index whose disk takes no wheel, which must fail with those words. False where there can be none of that kind here.
    pub fn without(&self, room: Room, words: &str) -> Result<bool> {
        if !self.server.borrow_mut().start(room)? {
            return Ok(false);
        }
        let said = self.publish(TOKEN, &[]);
        // It is given room. What it could not write whole goes, as it would when a disk is put in order.
        self.server.borrow_mut().end();
        for path in files_below(&self.packages, 0)? {
            fs::remove_file(&path).map_err(Failure::io("cannot remove", &path))?;
        }
        self.server.borrow_mut().start(Room::Plenty)?;
        self.expect_failure(&said, words)?;
        Ok(true)
    }

    /// The wheel of this version, damaged where the store keeps it, is made again and is the same.
    pub fn with_a_damaged_store(&self) -> Result<()> {
        let wheel = self.wheel("cpu");
        let before = digest::of_file(&wheel).map_err(Failure::io("cannot read", &wheel))?;
        let plan = candidates::plan(&self.copy()?)?;
        let archive = plan.wheels.iter().find(|plan| wheel.ends_with(&plan.file_name)).map(|plan| &plan.archive);
        let key = &plan.step(archive.map_or("", String::as_str))?.key;
        let kept = self.context.store()?.output(key).join(wheel.file_name().unwrap_or_default());
        let mut bytes = fs::read(&kept).map_err(Failure::io("cannot read", &kept))?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&kept, bytes).map_err(Failure::io("cannot write", &kept))?;
        self.expect(&self.said(&mut self.command(&["build-cpu-wheels"])), "")?;
        if digest::of_file(&wheel).map_err(Failure::io("cannot read", &wheel))? == before {
            return Ok(());
        }
        Err(Failure::check("A damaged store changed the wheel.", "It should have been noticed."))
    }

    /// All files of the release look as if they were of that time, in seconds since 1970.
    pub fn dated(&self, seconds: u64) -> Result<()> {
        for path in files_below(&self.checkout.join("wheelhouse"), 3)? {
            let file = fs::File::options().write(true).open(&path).map_err(Failure::io("cannot open", &path))?;
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            file.set_modified(time).map_err(Failure::io("cannot change", &path))?;
        }
        Ok(())
    }

    pub fn check(&self) -> Said {
        self.said(&mut self.command(&["check-published", "--repository", NAME]))
    }

    pub fn expect(&self, said: &Said, words: &str) -> Result<()> {
        self.quiet_about_tokens(said)?;
        if said.success && said.words.contains(words) {
            return Ok(());
        }
        let what = format!("It should have ended well and said \"{words}\".");
        Err(Failure::check(what, "What it said is above.").with_log(said.words.clone()))
    }

    pub fn expect_failure(&self, said: &Said, words: &str) -> Result<()> {
        self.quiet_about_tokens(said)?;
        if !said.success && said.words.contains(words) {
            return Ok(());
        }
        let what = format!("It should have failed and said \"{words}\".");
        Err(Failure::check(what, "What it said is above.").with_log(said.words.clone()))
    }

    fn quiet_about_tokens(&self, said: &Said) -> Result<()> {
        if said.words.contains(TOKEN) || said.words.contains("pypi-expired") {
            return Err(Failure::check("It printed the token.", "Nothing may show one."));
        }
        Ok(())
    }

    /// How many wheels the index has.
    pub fn published(&self, wanted: usize) -> Result<()> {
        let found = fs::read_dir(&self.packages).map_err(Failure::io("cannot list", &self.packages))?.count();
        if found == wanted {
            return Ok(());
        }
        Err(Failure::check(format!("The index has {found} wheels, and should have {wanted}."), "Look into it."))
    }

    pub fn wheel(&self, name: &str) -> PathBuf {
        let folder =
            self.checkout.join("wheelhouse").join(if name == "cpu" { name.to_owned() } else { format!("gpu/{name}") });
        crate::api::verify::wheels_at(&folder).map_or(folder, |mut wheels| wheels.remove(0))
    }

    /// With the file changed, nothing is published, for that reason.
    pub fn refused(&self, path: &Path, change: impl Fn(&mut Vec<u8>), reason: &str) -> Result<()> {
        let bytes = fs::read(path).map_err(Failure::io("cannot read", path))?;
        let mut other = bytes.clone();
        change(&mut other);
        fs::write(path, &other).map_err(Failure::io("cannot write", path))?;
        let said = self.publish(TOKEN, &[]);
        fs::write(path, &bytes).map_err(Failure::io("cannot write", path))?;
        self.expect_failure(&said, reason)?;
        self.published(0)
    }
}
