//! Child processes that end when this program ends. Each leads a process group, so that what it started ends with it.

use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ci_step::failure::{Failure, Result};
use ci_step::task::{Answer, Task};
use futures_util::future::join;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// How long a program gets to end by itself. One that has children of its own gives them as much, and so needs more.
const PATIENCE: Duration = Duration::from_secs(6);

/// A token that Ctrl-C and the signal to end cancel. A second signal ends this program at once.
pub fn stop_on_signals() -> CancellationToken {
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        for first in [true, false] {
            let either = std::pin::pin!(interrupt.recv());
            futures_util::future::select(either, std::pin::pin!(terminate.recv())).await;
            if !first {
                std::process::exit(130);
            }
            cancelled.cancel();
        }
    });
    stop
}

/// What a child that ran to its end leaves.
#[derive(Debug)]
pub struct Ended {
    pub id: u32,
    pub status: ExitStatus,
    /// Of a worker that answered.
    pub answer: Option<Answer>,
}

/// Runs `command` with its words in `log`; once `stop` is cancelled it is ended, and that is a failure.
pub async fn logged(mut command: Command, log: &Path, stop: &CancellationToken) -> Result<ExitStatus> {
    let file = File::create(log).map_err(Failure::io("cannot write", log))?;
    let copy = file.try_clone().map_err(Failure::io("cannot write", log))?;
    command.stdin(Stdio::null()).stdout(file).stderr(copy);
    Group::start(command)?.wait(stop).await
}

/// The same with its answer, what it writes on standard output, in a file of its own.
pub async fn answered(mut command: Command, answer: &Path, log: &Path, stop: &CancellationToken) -> Result<ExitStatus> {
    let file = |path: &Path| File::create(path).map_err(Failure::io("cannot write", path));
    command.stdin(Stdio::null()).stdout(file(answer)?).stderr(file(log)?);
    Group::start(command)?.wait(stop).await
}

/// Runs the worker: the task goes to its standard input, the answer comes from its standard output, and the words of the
/// programs that it runs go to `log`. `ended` hears of its process id when it is gone, however it ended.
pub async fn worker(
    mut command: Command,
    log: &Path,
    task: &Task,
    stop: &CancellationToken,
    ended: impl FnOnce(u32),
) -> Result<Ended> {
    let file = File::create(log).map_err(Failure::io("cannot write", log))?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
    let mut group = Group::start(command)?;
    let id = group.id;
    let (input, output) = (group.child.stdin.take(), group.child.stdout.take());
    let text = serde_json::to_vec(task).expect("plain data serializes");
    let talk = async move {
        if let Some(mut input) = input {
            // One that ended already is noticed when it is waited for.
            let _ = input.write_all(&text).await;
        }
        let mut answer = String::new();
        if let Some(mut output) = output {
            let _ = output.read_to_string(&mut answer).await;
        }
        answer
    };
    let (status, answer) = join(group.wait(stop), talk).await;
    ended(id);
    Ok(Ended { id, status: status?, answer: Answer::parse(&answer) })
}

/// A child that leads a process group. When it is dropped before it ended, the group is killed.
struct Group {
    child: Child,
    id: u32,
    running: bool,
}

impl Group {
    fn start(mut command: Command) -> Result<Group> {
        let program = command.as_std().get_program().to_owned();
        let child = command.process_group(0).spawn().map_err(Failure::io("cannot run", Path::new(&program)))?;
        let id = child.id().unwrap_or_default();
        Ok(Group { child, id, running: true })
    }

    async fn wait(&mut self, stop: &CancellationToken) -> Result<ExitStatus> {
        if let Some(status) = stop.run_until_cancelled(self.child.wait()).await {
            self.running = false;
            return status.map_err(Failure::io("cannot wait for", Path::new("a program")));
        }
        self.signal(Signal::SIGTERM);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        // Whatever is left: the child, or one that it started and that outlived it.
        self.signal(Signal::SIGKILL);
        if ended.is_err() {
            let _ = self.child.wait().await;
        }
        self.running = false;
        Err(Failure::interrupted())
    }

    fn signal(&self, signal: Signal) {
        if let Ok(id @ 1..) = i32::try_from(self.id) {
            // The group may be gone already.
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.running {
            self.signal(Signal::SIGKILL);
        }
    }
}
