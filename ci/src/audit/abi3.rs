//! An abi3 wheel uses the stable ABI of CPython 3.10 alone, so that one file serves every later CPython.

use super::{Expected, Finding, Wheel};

const NAMES: &str = include_str!("abi3/cp310.txt");

pub(super) fn check(wheel: &Wheel, expected: &Expected) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = &expected.name;
    if name.abi != "abi3" {
        return findings;
    }
    if name.python.strip_prefix("cp3").and_then(|minor| minor.parse::<u32>().ok()).is_none_or(|minor| minor < 10) {
        let message =
            format!("the tag {} promises a CPython older than 3.10, whose stable ABI is not known here", name.python);
        findings.push(Finding::wheel("abi3.tag", message));
    }
    let stable: Vec<&str> = NAMES.lines().filter(|line| !line.starts_with('#')).collect();
    for (member, elf) in wheel.readable_elves() {
        let foreign: Vec<&str> = elf
            .imports
            .iter()
            .map(|import| import.name.as_str())
            .filter(|name| (name.starts_with("Py") || name.starts_with("_Py")) && !stable.contains(name))
            .collect();
        if !foreign.is_empty() {
            let message = format!("{} is not in the stable ABI of CPython 3.10", foreign.join(", "));
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

#[cfg(test)]
mod tests {
    use super::NAMES;

    #[test]
    fn the_list_is_sorted_and_whole() {
        let names: Vec<&str> = NAMES.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert_eq!(names.len(), 820);
        for name in ["PyModule_Create2", "PyType_FromSpec", "_Py_NoneStruct", "PyModule_AddObjectRef"] {
            assert!(names.contains(&name), "{name}");
        }
        // Stable from 3.11 on, and never.
        for name in ["PyObject_GetBuffer", "_PyLong_New"] {
            assert!(!names.contains(&name), "{name}");
        }
    }
}
