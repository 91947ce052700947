//! The package index of the rehearsal, which may be given a full disk, and a way to it that ends in the middle of an upload.

use std::fs;
use std::io::{Read, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use crate::api::{Context, environment};
use ci_step::failure::{Failure, Result};
use ci_step::python;

const ADDRESS: &str = "127.0.0.1";
const MOMENT: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);

/// What the disk of an index takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Plenty,
    /// A disk of 4 MB, less than any wheel.
    FullDisk,
    /// No file above 2 MB, as where a quota is used up; no right to mount is needed for it.
    SmallFiles,
}

/// pypiserver on a free port of this machine, for those who have the token.
pub struct Server {
    program: PathBuf,
    log: PathBuf,
    /// Where it has its files.
    pub packages: PathBuf,
    passwords: PathBuf,
    pub port: u16,
    child: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

impl Server {
    /// An index in `folder`, not started yet.
    pub fn new(context: &Context, folder: &Path, token: &str) -> Result<Server> {
        let versions = context.versions()?;
        let interpreter = python::for_pip(versions.python_floor())?;
        let environment = environment::locked(context, versions, "index", &interpreter)?;
        let (packages, passwords) = (folder.join("packages"), folder.join("passwords"));
        fs::create_dir(&packages).map_err(Failure::io("cannot create", &packages))?;
        let program = "import sys\nfrom passlib.apache import HtpasswdFile\n\
            file = HtpasswdFile(sys.argv[1], new=True)\nfile.set_password('__token__', sys.argv[2])\nfile.save()\n";
        let written = Command::new(environment.python()).args(["-c", program]).arg(&passwords).arg(token).status();
        if !written.is_ok_and(|status| status.success()) {
            return Err(Failure::machine(
                "The index of the rehearsal can't be set up.",
                "Run `cargo ci clean --all`, and again.",
            ));
        }
        let port = TcpListener::bind((ADDRESS, 0)).and_then(|listener| listener.local_addr());
        let port = port.map_err(Failure::io("cannot listen on", Path::new(ADDRESS)))?.port();
        let program = environment.bin().join("pypi-server");
        Ok(Server { program, log: folder.join("server.log"), packages, passwords, port, child: None })
    }

    /// Starts it, always on the same port. False where this machine lets nobody make such a disk.
    pub fn start(&mut self, room: Room) -> Result<bool> {
        self.end();
        let mut command = match room {
            Room::Plenty => Command::new(&self.program),
            Room::FullDisk => match self.on_a_small_disk() {
                Some(command) => command,
                None => return Ok(false),
            },
            Room::SmallFiles => {
                let mut command = Command::new("sh");
                // Without the trap, the first large file would end the server rather than fail.
                command.args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "sh"]).arg(&self.program);
                command
            }
        };
        command.args(["run", "--interface", ADDRESS, "--disable-fallback", "--hash-algo", "sha256"]);
        command.args(["--authenticate", "update", "--passwords"]).arg(&self.passwords);
        command.arg("--port").arg(self.port.to_string()).arg(&self.packages);
        let file = fs::File::create(&self.log).map_err(Failure::io("cannot write", &self.log))?;
        let other = file.try_clone().map_err(Failure::io("cannot write", &self.log))?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(other).spawn();
        let child = self.child.insert(child.map_err(Failure::io("cannot run", &self.program))?);
        let begun = Instant::now();
        while TcpStream::connect((ADDRESS, self.port)).is_err() {
            if begun.elapsed() > PATIENCE || child.try_wait().is_ok_and(|ended| ended.is_some()) {
                let words = fs::read_to_string(&self.log).unwrap_or_default();
                let what = "The index of the rehearsal does not answer.";
                return Err(Failure::machine(what, "Its words are above.").with_log(words));
            }
            sleep(5 * MOMENT);
        }
        Ok(true)
    }

    /// The server with a disk of its own where its files go, gone with it.
    fn on_a_small_disk(&self) -> Option<Command> {
        let mount = "mount -t tmpfs -o size=4m none \"$0\"";
        let unshare = |rights: &str, script: &str| {
            let mut command = Command::new("unshare");
            command.args([rights, "sh", "-c", script]).arg(&self.packages);
            command
        };
        // As root, or as root of a namespace of one's own.
        let allowed = |rights: &&str| unshare(rights, mount).output().is_ok_and(|output| output.status.success());
        let rights = ["-m", "-rm"].into_iter().find(allowed)?;
        let mut command = unshare(rights, &format!("{mount} && exec \"$@\""));
        command.arg(&self.program);
        Some(command)
    }

    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that ended by itself is gone all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a gate does once its bytes are used up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Cut,
    /// Lets nothing more through and keeps its connections open, so that who sends stays in the middle of it.
    Hold,
}

/// A port that leads to the server for so many bytes, and no further.
pub struct Gate {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    server: u16,
    then: Then,
    /// How many bytes may still be sent.
    left: AtomicI64,
    reached: AtomicBool,
    closed: AtomicBool,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect((ADDRESS, self.port)));
    }
}

impl Gate {
    pub fn open(server: &Server, bytes: u64, then: Then) -> Result<Gate> {
        let no_port = |error| Failure::io("cannot listen on", Path::new(ADDRESS))(error);
        let listener = TcpListener::bind((ADDRESS, 0)).map_err(no_port)?;
        let port = listener.local_addr().map_err(no_port)?.port();
        let state = Arc::new(State {
            server: server.port,
            then,
            left: AtomicI64::new(bytes.cast_signed()),
            reached: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.closed.load(Ordering::SeqCst) {
                    break;
                }
                let state = Arc::clone(&shared);
                spawn(move || state.carry(client));
            }
        });
        Ok(Gate { port, state })
    }

    /// Waits until somebody has sent as many bytes as it lets through.
    pub fn reached(&self) -> Result<()> {
        let begun = Instant::now();
        while !self.state.reached.load(Ordering::SeqCst) {
            if begun.elapsed() > PATIENCE {
                return Err(Failure::check("Nobody sent a wheel.", "The publisher should have."));
            }
            sleep(MOMENT);
        }
        Ok(())
    }
}

impl State {
    /// Carries one connection both ways, until an end closes it or the gate does.
    fn carry(&self, mut client: TcpStream) {
        let Ok(mut server) = TcpStream::connect((ADDRESS, self.server)) else { return };
        let (Ok(mut from), Ok(mut to)) = (server.try_clone(), client.try_clone()) else { return };
        let back = spawn(move || {
            // Ends when either end does.
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            let count_signed = i64::try_from(count).unwrap_or(i64::MAX);
            if self.left.fetch_sub(count_signed, Ordering::SeqCst) < count_signed {
                self.reached.store(true, Ordering::SeqCst);
                while self.then == Then::Hold && !self.closed.load(Ordering::SeqCst) {
                    sleep(MOMENT);
                }
                self.closed.store(true, Ordering::SeqCst);
            }
            if self.closed.load(Ordering::SeqCst) || server.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        for end in [&client, &server] {
            // It may be closed already.
            let _ = end.shutdown(Shutdown::Both);
        }
        let _ = back.join();
    }
}
