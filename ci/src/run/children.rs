//! Child processes that end when this program ends. Each leads a process group, so that what it started ends with it.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use ci_step::failure::{Failure, Result};
use ci_step::task::{Answer, Task};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C and the signal to end are noted, and whoever runs children stops them.
pub fn listen() {
    // A second call is refused, and changes nothing.
    let _ = ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst));
}

pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// A child whose words go to a log.
#[derive(Debug)]
pub struct Running {
    child: Child,
    started: Instant,
}

impl Running {
    pub fn start(command: &mut Command, log: &Path) -> Result<Running> {
        let file = File::create(log).map_err(Failure::io("cannot write", log))?;
        let copy = file.try_clone().map_err(Failure::io("cannot write", log))?;
        command.stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0);
        let program = command.get_program().to_owned();
        let child = command.spawn().map_err(Failure::io("cannot run", Path::new(&program)))?;
        Ok(Running { child, started: Instant::now() })
    }

    /// Starts the worker: the task goes to its standard input, the answer comes from its standard output.
    pub fn worker(command: &mut Command, log: &Path, task: &Task) -> Result<Running> {
        let file = File::create(log).map_err(Failure::io("cannot write", log))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file).process_group(0);
        let program = command.get_program().to_owned();
        let mut child = command.spawn().map_err(Failure::io("cannot run", Path::new(&program)))?;
        if let Some(mut input) = child.stdin.take() {
            // One that ended already is noticed when it is waited for.
            let _ = serde_json::to_writer(&mut input, task);
        }
        Ok(Running { child, started: Instant::now() })
    }

    /// What the worker answered; it must have ended.
    pub fn answer(&mut self) -> Option<Answer> {
        let mut text = String::new();
        self.child.stdout.take()?.read_to_string(&mut text).ok()?;
        Answer::parse(&text)
    }

    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// None while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until the child ends, or stops it on Ctrl-C.
    pub fn wait(mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if interrupted() {
                stop(vec![self], PATIENCE * 3);
                return Err(Failure::interrupted());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            // The group may be gone already.
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }
}

/// How long a program gets to end by itself.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Asks all to end, and ends those that do not within `patience`. A child that has children of its own needs more than
/// [`PATIENCE`], since that is what it gives them.
pub fn stop(mut running: Vec<Running>, patience: Duration) {
    running.iter().for_each(|child| child.signal(Signal::SIGTERM));
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        running.retain_mut(|child| child.ended().is_none());
        if running.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for mut child in running {
        child.signal(Signal::SIGKILL);
        let _ = child.child.wait();
    }
}
