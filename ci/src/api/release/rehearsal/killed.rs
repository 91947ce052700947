//! Programs that are killed in the middle of their work, without a chance to put anything in order.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::server::{Gate, Then};
use super::stage::Stage;
use crate::api::release::candidates;
use ci_step::failure::{Failure, Result};

/// The build of a wheel, killed in each step that its new version makes anew. The build that follows must make the same.
pub fn while_it_builds(stage: &Stage) -> Result<()> {
    let steps = ["cpu:stage", "cpu:archive", "cpu:verify"];
    let plan = candidates::plan(&stage.copy()?)?;
    for step in steps {
        // An earlier rehearsal of the same sources made it.
        let made = stage.context.store()?.output(&plan.step(step)?.key);
        if let Some(entry) = made.parent().filter(|entry| entry.exists()) {
            std::fs::remove_dir_all(entry).map_err(Failure::io("cannot remove", entry))?;
        }
    }
    for step in steps {
        let mut command = stage.command(&["build-cpu-wheels", "--log-format", "json"]);
        let mut child = started(&mut command)?;
        let mut lines = child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).flatten();
        let met = lines.any(|line| {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            event["event"] == "start" && event["step"] == step
        });
        end(&mut child);
        if !met {
            return Err(Failure::check(
                format!("The build never came to {step}."),
                "It should have, to be killed there.",
            ));
        }
    }
    Ok(())
}

/// A publisher, killed while it sends a wheel.
pub fn while_it_sends(stage: &Stage) -> Result<()> {
    let gate = Gate::open(&stage.server.borrow(), 1 << 20, Then::Hold)?;
    let mut child = started(&mut stage.publisher_through(&gate)?)?;
    let reached = gate.reached();
    end(&mut child);
    reached
}

fn started(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(Failure::io("cannot run", Path::new(command.get_program())))
}

/// Kills the program, then what it started: each of those leads a group of its own.
pub fn end(child: &mut Child) {
    let below = children(child.id());
    // One that has ended meanwhile is what is wanted.
    let _ = child.kill();
    for id in below {
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
    let _ = child.wait();
}

fn children(parent: u32) -> Vec<i32> {
    let wanted = format!("PPid:\t{parent}\n");
    let listed = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &i32| {
        std::fs::read_to_string(format!("/proc/{id}/status")).is_ok_and(|text| text.contains(&wanted))
    })
    .collect()
}
