//! The archive: names that unpack safely and once, and nothing that does not belong into a wheel.

use std::collections::BTreeSet;

use super::{Finding, Wheel};

/// Set in the upper half of a member's mode: it is a symbolic link.
const LINK: u32 = 0o120_000;
const FILE_TYPE: u32 = 0o170_000;

pub(super) fn check(wheel: &Wheel) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for member in &wheel.members {
        let mut add = |code, message: String| findings.push(Finding::member(code, &member.name, message));
        if let Some(error) = member.name_error() {
            let message = error.to_string();
            let reason = message.split_once("': ").map_or(message.as_str(), |(_, reason)| reason);
            add("archive.name", reason.to_owned());
        }
        if !seen.insert(member.name.to_lowercase()) {
            add("archive.twice", "another member has the same name where case does not count".to_owned());
        }
        if member.mode.is_some_and(|mode| mode & FILE_TYPE == LINK) {
            add("archive.link", "it is a symbolic link, which wheels do not hold".to_owned());
        }
        if member.name.ends_with(".pyc") || member.name.contains("__pycache__") {
            add("archive.bytecode", "compiled bytecode is left in the wheel".to_owned());
        }
    }
    findings
}
