//! How a failure is told to a person: an eyre report whose sections are the log, what was running, what happened and what to
//! do, in this order, so that the last two lines are those that are read first.

use std::error::Error;
use std::fmt;

use ci_step::failure::{Failure, Kind};
use eyre::EyreHandler;

/// From now on reports are laid out so; `colour` marks the line that says what happened.
pub fn install(colour: bool) {
    // A second call, which tests make, changes nothing.
    let _ = eyre::set_hook(Box::new(move |_| Box::new(Sections { colour })));
}

struct Sections {
    colour: bool,
}

impl EyreHandler for Sections {
    fn debug(&self, error: &(dyn Error + 'static), f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.colour { "\u{1b}[1;31merror:\u{1b}[0m " } else { "error: " };
        let Some(failure) = error.downcast_ref::<Failure>() else {
            write!(f, "{mark}{error}")?;
            let mut cause = error.source();
            while let Some(error) = cause {
                write!(f, "\n  because: {error}")?;
                cause = error.source();
            }
            return Ok(());
        };
        if let Some(log) = &failure.log {
            writeln!(f, "{}", log.trim_end())?;
        }
        if let Some(during) = &failure.during {
            writeln!(f, "during {}: {}", during.step, during.command)?;
        }
        let mark = if failure.kind == Kind::Interrupted { "" } else { mark };
        write!(f, "{mark}{}\n{}", failure.what, failure.todo)
    }
}

/// The exit code that the help lists for it.
pub fn exit_code(report: &eyre::Report) -> u8 {
    report.downcast_ref::<Failure>().map_or(Kind::Build as u8, |failure| failure.kind as u8)
}
