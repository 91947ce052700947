//! The dress rehearsal: a release of this checkout to a package index on this machine, from the version's bump to an
//! installed wheel that searches and a build that gives the same bytes; and each thing that can go wrong on the way, once.
//!
//! The wheels are built from a copy of the checkout under the next version. Where there is no GPU their proofs are written
//! here: what is rehearsed is the way, and nothing of it leaves the machine.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::process::Command as Async;

use super::candidates;
use super::proof::{OnGpu, Proof};
use crate::api::tally::quiet;
use crate::api::{Context, environment, reproduce};
use crate::pins::versions::Versions;
use ci_step::failure::{Failure, Result};
use ci_step::python;

const NAME: &str = "rehearsal";
const TOKEN: &str = "pypi-a-token-of-the-rehearsal";

/// How many faults were met and refused, or gone through, besides the release itself.
pub async fn run(context: &Context) -> Result<usize> {
    let stage = Stage::set(context).await?;
    let mut passed = 0;
    for (name, scene) in SCENES {
        if context.stop.is_cancelled() {
            return Err(Failure::interrupted());
        }
        context.say(&format!("rehearsal: {name}"));
        scene(&stage).map_err(|failure| Failure { what: format!("{name}: {}", failure.what), ..failure })?;
        passed += 1;
    }
    Ok(passed)
}

type Scene = (&'static str, fn(&Stage) -> Result<()>);

/// In this order: the faults that let nothing through come first, so that the index stays empty until the release.
const SCENES: &[Scene] = &[
    ("a wheel that was changed", |stage| stage.refused(&stage.wheel("cuda12"), |bytes| bytes.push(0), "sha256 is")),
    ("a manifest that was changed", |stage| {
        let manifest = stage.wheel("cuda12").with_file_name("manifest.json");
        stage.refused(&manifest, |bytes| replace(bytes, "\"key\": \"", "\"key\": \"0"), "names other steps")?;
        stage.refused(
            &manifest,
            |bytes| replace(bytes, "\"complete\": true", "\"complete\": false"),
            "not complete",
        )?;
        stage.refused(
            &manifest,
            |bytes| replace(bytes, "\"clean\": true", "\"clean\": false"),
            "changes that are not in it",
        )
    }),
    ("a proof that was changed, and none", |stage| {
        let proof = Proof::beside(&stage.wheel("cuda12"));
        stage.refused(&proof, |bytes| replace(bytes, "\"launched\": 1", "\"launched\": 2"), "was changed after")?;
        stage.refused(&proof, |bytes| *bytes = b"{}".to_vec(), "can't be read")
    }),
    ("a major that is missing", |stage| {
        let (wheel, away) = (stage.wheel("cuda12"), stage.folder.path().join("away.whl"));
        fs::rename(&wheel, &away).map_err(Failure::io("cannot move", &wheel))?;
        let said = stage.publish(TOKEN, &[]);
        fs::rename(&away, &wheel).map_err(Failure::io("cannot move", &away))?;
        stage.expect_failure(&said, "are published together")
    }),
    ("an index that nobody named", |stage| {
        let mut command = stage.command(&["publish-wheels", "--repository", "elsewhere", "--dry-run"]);
        stage.expect_failure(&stage.said(command.env("UV_PUBLISH_TOKEN", TOKEN)), "uv knows no index of that name")
    }),
    ("a token that is wrong or has expired", |stage| {
        let said = stage.publish("pypi-expired", &[]);
        stage.expect_failure(&said, "does not take this token")?;
        stage.published(0)
    }),
    ("an index that can't keep what it is sent", |stage| stage.without_room()),
    ("a look without sending", |stage| {
        stage.expect(&stage.publish(TOKEN, &["--dry-run"]), "nothing was sent")?;
        stage.published(0)
    }),
    ("half of the majors, and a publisher who was killed", |stage| {
        // What a publisher leaves who was ended between two wheels, by a signal or by the network.
        let wheel = stage.wheel("cuda12");
        let name = wheel.file_name().unwrap_or_default();
        fs::copy(&wheel, stage.packages.join(name)).map_err(Failure::io("cannot copy", &wheel))?;
        stage.expect_failure(&stage.check(), "the index has no such version")
    }),
    ("the release, by two publishers at once", |stage| {
        let start = |stage: &Stage| stage.command(&stage.publish_words(&[])).env("UV_PUBLISH_TOKEN", TOKEN).spawn();
        let both: Vec<Child> = [start(stage), start(stage)].into_iter().flatten().collect();
        let ended: Vec<_> = both.into_iter().filter_map(|child| child.wait_with_output().ok()).collect();
        // One may be told that the other was faster; the same command once more has nothing left to do.
        if !ended.iter().any(|output| output.status.success()) {
            let words =
                ended.iter().map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).collect::<String>();
            return Err(Failure::check("Neither publisher ended well.", "Their words are above.").with_log(words));
        }
        stage.published(stage.wheels)
    }),
    ("the same once more", |stage| {
        stage.expect(&stage.publish(TOKEN, &[]), "has all")?;
        stage.published(stage.wheels)
    }),
    ("what the index has", |stage| stage.expect(&stage.check(), "the same bytes")),
    ("an index whose file was changed", |stage| {
        let name = stage.wheel("cpu");
        let there = stage.packages.join(name.file_name().unwrap_or_default());
        let bytes = fs::read(&there).map_err(Failure::io("cannot read", &there))?;
        let restore = || fs::write(&there, &bytes).map_err(Failure::io("cannot write", &there));
        let mut other = bytes.clone();
        let middle = other.len() / 2;
        other[middle] ^= 1;
        fs::write(&there, other).map_err(Failure::io("cannot write", &there))?;
        let (checked, sent) = (stage.check(), stage.publish(TOKEN, &[]));
        restore()?;
        stage.expect_failure(&checked, "other bytes")?;
        stage.expect_failure(&sent, "other bytes")
    }),
    ("a version that the index has", |stage| {
        // versions.toml as it was before the bump leads to the version that is there now.
        let path = stage.checkout.join("versions.toml");
        let text = fs::read_to_string(&path).map_err(Failure::io("cannot read", &path))?;
        let old = text.replace(&format!("\"{}\"", stage.version), &format!("\"{}\"", stage.before));
        fs::write(&path, old).map_err(Failure::io("cannot write", &path))?;
        let said = stage.said(&mut stage.command(&["next-version", "--repository", NAME]));
        fs::write(&path, text).map_err(Failure::io("cannot write", &path))?;
        stage.expect_failure(&said, "already")
    }),
    ("an installed wheel that searches", |stage| stage.install()),
    ("the same bytes once more", |stage| {
        for name in ["cpu", "cuda12"] {
            let manifest = stage.wheel(name).with_file_name("manifest.json").display().to_string();
            stage.expect(
                &stage.said(&mut stage.command(&["rebuild", "--manifest", &manifest])),
                "the same to the bit",
            )?;
        }
        Ok(())
    }),
    ("a network that is cut", |stage| {
        stage.end_server();
        stage.expect_failure(&stage.publish(TOKEN, &[]), "can't be reached")
    }),
];

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    *bytes = String::from_utf8_lossy(bytes).replacen(from, to, 1).into_bytes();
}

/// A copy of the checkout with its wheels, and an index.
struct Stage<'a> {
    context: &'a Context,
    folder: tempfile::TempDir,
    checkout: PathBuf,
    /// Where the index has its files.
    packages: PathBuf,
    before: String,
    version: String,
    wheels: usize,
    url: String,
    server: std::cell::RefCell<Option<Child>>,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.end_server();
    }
}

struct Said {
    success: bool,
    words: String,
}

impl Stage<'_> {
    async fn set(context: &Context) -> Result<Stage<'_>> {
        let versions = context.versions()?;
        let folder = tempfile::tempdir().map_err(Failure::io("cannot write into", &std::env::temp_dir()))?;
        let (checkout, packages) = (folder.path().join("checkout"), folder.path().join("packages"));
        fs::create_dir(&packages).map_err(Failure::io("cannot create", &packages))?;
        reproduce::copy_checkout(&context.root, &checkout)?;
        let (server, url) = serve(context, versions, folder.path(), &packages)?;
        let before = versions.wheel.version.clone();
        let mut stage = Stage {
            context,
            folder,
            checkout,
            packages,
            before,
            version: String::new(),
            wheels: 0,
            url,
            server: Some(server).into(),
        };
        let text = format!(
            "[[index]]\nname = \"{NAME}\"\nurl = \"{0}/simple/\"\npublish-url = \"{0}/\"\nexplicit = true\n",
            stage.url
        );
        stage.write("uv.toml", &text)?;
        for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "A copy"]] {
            stage.git(arguments)?;
        }
        stage.expect(&stage.said(&mut stage.command(&["next-version", "--write", "--repository", NAME])), "")?;
        stage.git(&["commit", "--quiet", "--all", "--message", "The next version"])?;
        stage.version = Versions::load(&stage.checkout)?.wheel.version;
        if stage.version == stage.before {
            return Err(Failure::check("next-version left the version as it was.", "It should have raised D."));
        }
        let majors: Vec<String> = versions.cuda.iter().map(|cuda| format!("--cuda-major={}", cuda.major)).collect();
        for (name, majors) in [("build-gpu-wheels", &majors[..]), ("build-cpu-wheels", &majors[..0])] {
            let mut words = vec![name];
            words.extend(majors.iter().map(String::as_str));
            let log = context.root.join("target/ci/logs").join(format!("rehearsal-{name}.log"));
            quiet(Async::from(stage.command(&words)), &log, name, &context.stop).await?;
        }
        let copy = Context::new(
            stage.checkout.clone(),
            Some(context.store()?.root().to_owned()),
            context.format,
            context.stop.clone(),
        );
        let found = candidates::find(&candidates::plan(&copy)?, &stage.checkout.join("wheelhouse"))?;
        stage.wheels = found.len();
        for candidate in found.iter().filter(|candidate| candidate.wheel.cuda_major.is_some()) {
            let on_gpu = OnGpu { passed: 1, launched: 1, driver: NAME.into(), gpus: vec![format!("none: a {NAME}")] };
            Proof::new(&candidate.path, NAME, false, 1, on_gpu)?.write(&candidate.path)?;
        }
        Ok(stage)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
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
    fn command(&self, arguments: &[&str]) -> Command {
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

    fn said(&self, command: &mut Command) -> Said {
        match command.output() {
            Ok(output) => {
                let words = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
                Said { success: output.status.success(), words: words.into_owned() }
            }
            Err(error) => Said { success: false, words: error.to_string() },
        }
    }

    fn publish_words<'b>(&self, more: &[&'b str]) -> Vec<&'b str> {
        [&["publish-wheels", "--repository", NAME], more].concat()
    }

    fn publish(&self, token: &str, more: &[&str]) -> Said {
        self.said(self.command(&self.publish_words(more)).env("UV_PUBLISH_TOKEN", token))
    }

    fn check(&self) -> Said {
        self.said(&mut self.command(&["check-published", "--repository", NAME]))
    }

    fn expect(&self, said: &Said, words: &str) -> Result<()> {
        self.quiet_about_tokens(said)?;
        if said.success && said.words.contains(words) {
            return Ok(());
        }
        let what = format!("It should have ended well and said \"{words}\".");
        Err(Failure::check(what, "What it said is above.").with_log(said.words.clone()))
    }

    fn expect_failure(&self, said: &Said, words: &str) -> Result<()> {
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
    fn published(&self, wanted: usize) -> Result<()> {
        let found = fs::read_dir(&self.packages).map_err(Failure::io("cannot list", &self.packages))?.count();
        if found == wanted {
            return Ok(());
        }
        Err(Failure::check(format!("The index has {found} wheels, and should have {wanted}."), "Look into it."))
    }

    fn wheel(&self, name: &str) -> PathBuf {
        let folder =
            self.checkout.join("wheelhouse").join(if name == "cpu" { name.to_owned() } else { format!("gpu/{name}") });
        crate::api::verify::wheels_at(&folder).map_or(folder, |mut wheels| wheels.remove(0))
    }

    /// With the file changed, nothing is published, for that reason.
    fn refused(&self, path: &Path, change: impl Fn(&mut Vec<u8>), reason: &str) -> Result<()> {
        let bytes = fs::read(path).map_err(Failure::io("cannot read", path))?;
        let mut other = bytes.clone();
        change(&mut other);
        fs::write(path, &other).map_err(Failure::io("cannot write", path))?;
        let said = self.publish(TOKEN, &[]);
        fs::write(path, &bytes).map_err(Failure::io("cannot write", path))?;
        self.expect_failure(&said, reason)?;
        self.published(0)
    }

    /// An index whose folder is none any more, as one with a full disk is to a publisher.
    fn without_room(&self) -> Result<()> {
        let away = self.folder.path().join("packages-away");
        let moved = |from: &Path, to: &Path| fs::rename(from, to).map_err(Failure::io("cannot move", from));
        moved(&self.packages, &away)?;
        fs::write(&self.packages, "").map_err(Failure::io("cannot write", &self.packages))?;
        let said = self.publish(TOKEN, &[]);
        fs::remove_file(&self.packages).map_err(Failure::io("cannot remove", &self.packages))?;
        moved(&away, &self.packages)?;
        self.expect_failure(&said, "sent: uv failed")?;
        self.published(0)
    }

    /// pip installs the wheel from the index into a clean environment, and it finds what is nearest.
    fn install(&self) -> Result<()> {
        let versions = self.context.versions()?;
        let interpreter = python::for_pip(versions.python_floor())?;
        let folder = self.folder.path().join("environment");
        environment::create(&interpreter, &folder)?;
        let lock = self.context.lock()?;
        let files = lock.set(&crate::pins::lock::environment_set("test", interpreter.python))?;
        let pinned = environment::fetch(&self.context.store()?, versions, &files, interpreter.python)?;
        environment::install(&folder, &pinned)?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--no-deps", "--index-url"]).arg(format!("{}/simple/", self.url));
        pip.arg(format!("{}=={}", versions.wheel.cpu_name, self.version))
            .env("NO_PROXY", "127.0.0.1")
            .env_remove("PIP_FIND_LINKS");
        environment::pip_of(&folder, &mut pip)?;
        let program = "import faiss, numpy as np\nx = np.random.rand(100, 8).astype('float32')\n\
            index = faiss.IndexFlatL2(8)\nindex.add(x)\nassert (index.search(x, 1)[1][:, 0] == np.arange(100)).all()\nprint('found')\n";
        let mut python = Command::new(folder.join("bin/python"));
        python
            .current_dir(self.folder.path())
            .args(["-c", program])
            .env_remove("PYTHONPATH")
            .env_remove("LD_LIBRARY_PATH");
        self.expect(&self.said(&mut python), "found")
    }

    fn end_server(&self) {
        if let Some(mut server) = self.server.borrow_mut().take() {
            // One that ended by itself is gone all the same.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// pypiserver on a free port of this machine, for those who have the token.
fn serve(context: &Context, versions: &Versions, folder: &Path, packages: &Path) -> Result<(Child, String)> {
    let interpreter = python::for_pip(versions.python_floor())?;
    let environment = environment::locked(context, versions, "index", &interpreter)?;
    let passwords = folder.join("passwords");
    let program = "import sys\nfrom passlib.apache import HtpasswdFile\n\
        file = HtpasswdFile(sys.argv[1], new=True)\nfile.set_password('__token__', sys.argv[2])\nfile.save()\n";
    let written = Command::new(environment.python()).args(["-c", program]).arg(&passwords).arg(TOKEN).status();
    if !written.is_ok_and(|status| status.success()) {
        return Err(Failure::machine(
            "The index of the rehearsal can't be set up.",
            "Run `cargo ci clean --all`, and again.",
        ));
    }
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.map_err(Failure::io("cannot listen on", Path::new("127.0.0.1")))?.port();
    let log = folder.join("server.log");
    let file = fs::File::create(&log).map_err(Failure::io("cannot write", &log))?;
    let copy = file.try_clone().map_err(Failure::io("cannot write", &log))?;
    let mut command = Command::new(environment.bin().join("pypi-server"));
    command.args([
        "run",
        "--interface",
        "127.0.0.1",
        "--disable-fallback",
        "--hash-algo",
        "sha256",
        "--authenticate",
        "update",
    ]);
    command.arg("--port").arg(port.to_string()).arg("--passwords").arg(&passwords).arg(packages);
    let child = command.stdin(Stdio::null()).stdout(file).stderr(copy).spawn();
    let mut child = child.map_err(Failure::io("cannot run", &environment.bin().join("pypi-server")))?;
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begun.elapsed() > Duration::from_secs(30) || child.try_wait().is_ok_and(|ended| ended.is_some()) {
            let _ = child.kill();
            let words = fs::read_to_string(&log).unwrap_or_default();
            return Err(
                Failure::machine("The index of the rehearsal does not answer.", "Its words are above.").with_log(words)
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok((child, format!("http://127.0.0.1:{port}")))
}
