//! Counts what passed, failed and was skipped, and shows each as it ends.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::run::children;
use ci_step::failure::{Failure, Result};

/// Parts may run side by side: each adds what it found when it ends.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

/// How one part ended.
#[derive(Debug)]
pub enum Ended {
    /// With the number of tests in it.
    Passed(usize),
    Skipped(String),
}

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one part, and says whether it passed. A failure is shown and counted, and the others run all the same; only Ctrl-C
    /// ends everything.
    pub async fn part(&self, name: &str, work: impl AsyncFnOnce() -> Result<Ended>) -> Result<bool> {
        eprintln!("----- {name}");
        let started = Instant::now();
        let ended = work().await;
        let mut counts = self.counts();
        match ended {
            Ok(Ended::Passed(count)) => {
                counts.passed += count;
                let tests = if count == 1 { String::new() } else { format!(", {count} tests") };
                eprintln!("passed   {name}{tests}  {:.1} s", started.elapsed().as_secs_f64());
                return Ok(true);
            }
            Ok(Ended::Skipped(why)) => {
                eprintln!("skipped  {name}: {why}");
                counts.skipped.push(format!("{name}: {why}"));
            }
            Err(failure) if failure.kind == ci_step::failure::Kind::Interrupted => return Err(failure),
            Err(failure) => {
                eprintln!("{failure}\nFAILED   {name}  {:.1} s", started.elapsed().as_secs_f64());
                counts.failed.push(name.to_owned());
            }
        }
        Ok(false)
    }

    /// Prints the sum as the last line. A run in which no test ran is a failure.
    pub fn close(self) -> Result<()> {
        let Counts { passed, failed, skipped } = std::mem::take(&mut *self.counts());
        for line in &skipped {
            println!("skipped: {line}");
        }
        for line in &failed {
            println!("FAILED: {line}");
        }
        println!("{passed} passed, {} failed, {} skipped", failed.len(), skipped.len());
        if !failed.is_empty() {
            return Err(Failure::check(format!("Failed: {}.", failed.join(", ")), "Their words are above."));
        }
        if passed == 0 {
            return Err(Failure::check("No test ran.", "Read above why each part was skipped."));
        }
        Ok(())
    }
}

/// Runs a command whose words are shown only when it fails; gives them back when it succeeds.
pub async fn quiet(command: Command, log: &Path, what: &str, stop: &CancellationToken) -> Result<String> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder).map_err(Failure::io("cannot create", folder))?;
    }
    let status = children::logged(command, log, stop).await?;
    let words = String::from_utf8_lossy(&std::fs::read(log).map_err(Failure::io("cannot read", log))?).into_owned();
    if status.success() {
        return Ok(words);
    }
    let lines: Vec<&str> = words.lines().collect();
    let last = lines[lines.len().saturating_sub(120)..].join("\n");
    Err(Failure::check(format!("{what} failed ({status})."), format!("The whole log is {}.", log.display()))
        .with_log(last))
}
