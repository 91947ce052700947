//! An abi3 wheel uses the stable ABI of the CPython in its tag alone, so that one file serves every later CPython.

use std::collections::BTreeMap;

use super::{Expected, Finding, Wheel};

const NAMES: &str = include_str!("abi3/stable_abi.txt");

/// A CPython, as (3, 10).
type Python = (u32, u32);

pub(super) fn check(wheel: &Wheel, expected: &Expected) -> Vec<Finding> {
    let mut findings = Vec::new();
    if expected.name.abi != "abi3" {
        return findings;
    }
    let tag = &expected.name.python;
    let Some(minor) = tag.strip_prefix("cp3").and_then(|minor| minor.parse::<u32>().ok()) else {
        findings.push(Finding::wheel("abi3.tag", format!("the tag {tag} names no CPython whose stable ABI is meant")));
        return findings;
    };
    let stable = stable_abi();
    for (member, elf) in wheel.readable_elves() {
        let foreign: Vec<&str> = elf
            .imports
            .iter()
            .map(|import| import.name.as_str())
            .filter(|name| name.starts_with("Py") || name.starts_with("_Py"))
            .filter(|name| stable.get(name).is_none_or(|added| *added > (3, minor)))
            .collect();
        if !foreign.is_empty() {
            let verb = if foreign.len() == 1 { "is" } else { "are" };
            let message = format!("{} {verb} not in the stable ABI of CPython 3.{minor}", foreign.join(", "));
            findings.push(Finding::member("abi3.symbol", member, message));
        }
        if elf.needed.iter().any(|needed| needed.starts_with("libpython")) {
            findings.push(Finding::member(
                "abi3.libpython",
                member,
                "libpython is NEEDED, which ties it to one CPython",
            ));
        }
        let is_module = elf.exports.iter().any(|export| export.starts_with("PyInit_"));
        if is_module && !member.ends_with(".abi3.so") {
            findings.push(Finding::member("abi3.name", member, "it is an extension module, but is not named .abi3.so"));
        }
    }
    findings
}

/// Every name of the stable ABI with the CPython that added it.
fn stable_abi() -> BTreeMap<&'static str, Python> {
    let lines = NAMES.lines().filter(|line| !line.starts_with('#'));
    let entry = |line: &'static str| {
        let (name, version) = line.split_once(' ')?;
        let (major, minor) = version.split_once('.')?;
        Some((name, (major.parse().ok()?, minor.parse().ok()?)))
    };
    lines.filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole() {
        let stable = stable_abi();
        assert_eq!(stable.len(), NAMES.lines().filter(|line| !line.starts_with('#')).count());
        assert_eq!(stable.values().filter(|added| **added <= (3, 10)).count(), 825);
        assert_eq!(stable["PyModule_Create2"], (3, 2));
        assert_eq!(stable["PyModule_AddObjectRef"], (3, 10));
        assert_eq!(stable["PyObject_GetBuffer"], (3, 11));
        assert!(!stable.contains_key("_PyLong_New"));
    }
}
