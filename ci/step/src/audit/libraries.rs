//! Every shared library is linked as designed: names, NEEDED, RUNPATH and exports. libcuda is never NEEDED, because it
//! comes with the driver: an import would fail wherever there is none.

use super::elf::Elf;
use super::{Expected, Finding, Library, Wheel};

/// What any manylinux system has of glibc, and libgcc_s, which every Rust program may need to unwind.
const SYSTEM: [&str; 8] = [
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libgcc_s.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
];

pub(super) fn check(wheel: &Wheel, expected: &Expected) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (member, elf) in &wheel.elves {
        match elf {
            Ok(elf) => any_library(member, elf, expected, &mut findings),
            Err(reason) => findings.push(Finding::member("elf.unreadable", member, reason.clone())),
        }
    }
    let Some(libraries) = &expected.libraries else { return findings };
    for library in libraries {
        match wheel.elves.get(&library.member) {
            Some(Ok(elf)) => compare(library, elf, &mut findings),
            Some(Err(_)) => {}
            None => findings.push(Finding::member("elf.missing", &library.member, "the shared library is missing")),
        }
    }
    for member in wheel.elves.keys().filter(|member| !libraries.iter().any(|library| library.member == **member)) {
        findings.push(Finding::member("elf.surplus", member, "no such shared library is expected in the wheel"));
    }
    findings
}

/// What holds for a library in any wheel.
fn any_library(member: &str, elf: &Elf, expected: &Expected, findings: &mut Vec<Finding>) {
    let mut add = |code, message: String| findings.push(Finding::member(code, member, message));
    let architecture = elf.architecture();
    if !expected.name.platform.ends_with(&architecture) {
        add("elf.machine", format!("it is for {architecture}, but the wheel is tagged {}", expected.name.platform));
    }
    for needed in &elf.needed {
        if needed == "libcuda.so" || needed.starts_with("libcuda.so.") {
            add("elf.libcuda", format!("{needed} is NEEDED, so that it cannot be loaded without an NVIDIA driver"));
        }
        if needed.contains('/') {
            add("elf.needed", format!("{needed} is NEEDED by its path"));
        }
    }
    for (field, path) in [("RPATH", &elf.rpath), ("RUNPATH", &elf.runpath)] {
        for part in path.iter().flat_map(|path| path.split(':')) {
            if part != "$ORIGIN" && !part.starts_with("$ORIGIN/") {
                add("elf.runpath", format!("{field} has '{part}', which is not below $ORIGIN"));
            }
        }
    }
    if elf.executable_stack {
        add("elf.stack", "it asks for an executable stack".to_owned());
    }
}

/// What holds for this library.
fn compare(library: &Library, elf: &Elf, findings: &mut Vec<Finding>) {
    let mut add = |code, message: String| findings.push(Finding::member(code, &library.member, message));
    let quoted = |value: &Option<String>| value.as_ref().map_or("missing".to_owned(), |value| format!("'{value}'"));
    if elf.soname != library.soname {
        let (found, wanted) = (quoted(&elf.soname), quoted(&library.soname));
        add("elf.soname", format!("SONAME is {found}, expected is {wanted}"));
    }
    if let Some(rpath) = &elf.rpath {
        add("elf.rpath", format!("RPATH '{rpath}' overrides LD_LIBRARY_PATH; only RUNPATH may be set"));
    }
    if elf.runpath != library.runpath {
        let (found, wanted) = (quoted(&elf.runpath), quoted(&library.runpath));
        add("elf.runpath", format!("RUNPATH is {found}, expected is {wanted}"));
    }
    for needed in library.needed.iter().filter(|needed| !elf.needed.contains(needed)) {
        add("elf.needed", format!("{needed} is not NEEDED, but has to be"));
    }
    for needed in &elf.needed {
        if !library.needed.contains(needed) && !SYSTEM.contains(&needed.as_str()) {
            add("elf.needed", format!("{needed} is NEEDED, but may not be"));
        }
    }
    for symbol in library.exports.iter().filter(|symbol| !elf.exports.contains(symbol)) {
        add("elf.exports", format!("it does not export {symbol}"));
    }
}
