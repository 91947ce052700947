//! What an audit found: data for the manifest, and text for a person.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// One thing that is wrong with a wheel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable: `record.hash`, `glibc.newer`. Scripts may match it, messages may be reworded.
    pub code: Cow<'static, str>,
    /// The member it is about; none when it is about the wheel.
    pub member: Option<String>,
    /// What is wrong, without the member's name.
    pub message: String,
}

impl Finding {
    pub(super) fn wheel(code: &'static str, message: impl Into<String>) -> Finding {
        Finding { code: code.into(), member: None, message: message.into() }
    }

    pub(super) fn member(code: &'static str, member: &str, message: impl Into<String>) -> Finding {
        Finding { code: code.into(), member: Some(member.to_owned()), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.member {
            Some(member) => write!(f, "{member}: {} [{}]", self.message, self.code),
            None => write!(f, "{} [{}]", self.message, self.code),
        }
    }
}

/// A check that ran, and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: Cow<'static, str>,
    pub findings: Vec<Finding>,
    /// What it had nothing to compare with, where nothing is known of the wheel but its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<Cow<'static, str>>,
}

/// Every check that ran on a wheel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The wheel's file name.
    pub wheel: String,
    /// Empty when the wheel could not be read.
    pub sha256: String,
    pub bytes: u64,
    pub checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(path: &Path) -> Report {
        let wheel = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Report { wheel, sha256: String::new(), bytes: 0, checks: Vec::new() }
    }

    /// Adds a check, also one that ran elsewhere (see [`super::gates`]).
    pub fn add(&mut self, name: impl Into<Cow<'static, str>>, findings: Vec<Finding>) {
        self.checks.push(Check { name: name.into(), findings, not_compared: None });
    }

    /// Says of the last check that it left something out.
    pub(super) fn not_compared(&mut self, what: &'static str) {
        if let Some(check) = self.checks.last_mut() {
            check.not_compared = Some(what.into());
        }
    }

    pub fn passed(&self) -> bool {
        self.findings().next().is_none()
    }

    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.checks.iter().flat_map(|check| &check.findings)
    }
}

impl fmt::Display for Report {
    /// The wheel, one line a check, and the findings below the check that made them.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{} ({} bytes, sha256 {})", self.wheel, self.bytes, self.sha256)?;
        for check in &self.checks {
            let state = if check.findings.is_empty() { "ok    " } else { "FAILED" };
            match &check.not_compared {
                None => writeln!(f, "  {state}  {}", check.name)?,
                Some(what) => writeln!(f, "  {state}  {} (not compared: {what})", check.name)?,
            }
            for finding in &check.findings {
                writeln!(f, "          {finding}")?;
            }
        }
        match self.findings().count() {
            0 => match self.checks.iter().filter(|check| check.not_compared.is_some()).count() {
                0 => write!(f, "{} checks passed", self.checks.len()),
                partly => write!(f, "{} checks passed, {partly} of them in part", self.checks.len()),
            },
            1 => write!(f, "1 finding"),
            count => write!(f, "{count} findings"),
        }
    }
}
