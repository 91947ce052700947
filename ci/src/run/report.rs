//! What an engine tells while it works: to a terminal as one line a running step, elsewhere as plain lines, or as JSON.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    Begin {
        steps: usize,
    },
    Corrupt {
        step: &'a str,
        file: &'a str,
    },
    Start {
        step: &'a str,
    },
    Done {
        step: &'a str,
        seconds: f64,
    },
    Failed {
        step: &'a str,
        seconds: f64,
    },
    /// Another step failed, or a person said stop.
    Stopped {
        step: &'a str,
    },
    /// Anything else that a person wants to know.
    Note {
        text: &'a str,
    },
}

pub trait Reporter {
    fn event(&mut self, event: &Event);
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines that move on a terminal, plain lines elsewhere.
    Text,
    /// Plain lines.
    Lines,
    Json,
}

/// The reporter for standard error.
pub fn to_stderr(format: Format) -> Box<dyn Reporter> {
    match format {
        Format::Json => Box::new(Json),
        Format::Text if std::io::stderr().is_terminal() => Box::new(Terminal::default()),
        Format::Text | Format::Lines => Box::new(Plain::default()),
    }
}

struct Json;

impl Reporter for Json {
    fn event(&mut self, event: &Event) {
        let line = serde_json::to_string(event).expect("plain data serializes");
        // Nobody is left to be told when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

#[derive(Default)]
struct Plain {
    total: usize,
    done: usize,
}

impl Plain {
    fn line(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Begin { steps } => {
                self.total = *steps;
                None
            }
            Event::Start { .. } | Event::Stopped { .. } => None,
            Event::Done { step, seconds } => {
                self.done += 1;
                Some(format!("[{}/{}] {step}  {seconds:.1} s", self.done, self.total))
            }
            Event::Failed { step, seconds } => Some(format!("[failed] {step}  {seconds:.1} s")),
            Event::Corrupt { step, file } => {
                Some(format!("[corrupt] {step}: {file} in the cache is not what was written; it is to be made again"))
            }
            Event::Note { text } => Some((*text).to_owned()),
        }
    }
}

impl Reporter for Plain {
    fn event(&mut self, event: &Event) {
        if let Some(line) = self.line(event) {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

#[derive(Default)]
struct Terminal {
    plain: Plain,
    bars: MultiProgress,
    running: BTreeMap<String, ProgressBar>,
}

impl Reporter for Terminal {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Start { step } => {
                let bar = self.bars.add(ProgressBar::new_spinner());
                let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}").expect("the template is right");
                bar.set_style(style);
                bar.set_message((*step).to_owned());
                bar.enable_steady_tick(Duration::from_millis(120));
                self.running.insert((*step).to_owned(), bar);
            }
            Event::Done { step, .. } | Event::Failed { step, .. } | Event::Stopped { step } => {
                if let Some(bar) = self.running.remove(*step) {
                    bar.finish_and_clear();
                    self.bars.remove(&bar);
                }
            }
            _ => {}
        }
        if let Some(line) = self.plain.line(event) {
            let _ = self.bars.println(line);
        }
    }
}
