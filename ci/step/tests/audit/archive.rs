use std::fs;

use ci_step::audit::verify;

use crate::support::{DIST_INFO, Sample, expected, findings, name};

fn record() -> String {
    format!("{DIST_INFO}/RECORD")
}

#[test]
fn a_good_wheel_has_no_findings() {
    let report = Sample::good().verify(&expected());
    assert!(report.passed(), "{report}");
    assert_eq!(report.checks.len(), 9);
    assert_eq!(report.sha256.len(), 64);
}

#[test]
fn names_that_leave_the_folder() {
    for evil in ["../evil.py", "/etc/evil.py", "faiss/../../evil.py", "faiss//evil.py"] {
        assert_eq!(
            Sample::good().with(evil, "").findings(),
            [format!("{evil}: its path is absolute, or has an empty, '.' or '..' part [archive.name]")]
        );
    }
    assert_eq!(
        Sample::good().with("faiss\\evil.py", "").findings(),
        ["faiss\\evil.py: its name holds a backslash, a colon or a control character [archive.name]"]
    );
}

#[test]
fn a_name_twice() {
    assert_eq!(
        Sample::good().with("faiss/__INIT__.py", "").findings(),
        ["faiss/__init__.py: another member has the same name where case does not count [archive.twice]"]
    );
    // The very same name: which one is unpacked depends on the tool.
    let folder = tempfile::tempdir().unwrap();
    let path = Sample::good().with("faiss/__init__.pz", "x").write(&folder, &name().to_string());
    let mut bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() - 17 {
        if bytes[at..].starts_with(b"faiss/__init__.pz") {
            bytes[at + 16] = b'y';
        }
    }
    fs::write(&path, bytes).unwrap();
    let report = verify(&path, &expected());
    assert_eq!(
        findings(&report),
        [format!("{} is not a readable wheel: it holds two members of one name [archive.unreadable]", path.display())]
    );
}

#[test]
fn bytecode() {
    assert_eq!(
        Sample::good().with("faiss/__pycache__/__init__.cpython-312.pyc", "").findings(),
        ["faiss/__pycache__/__init__.cpython-312.pyc: compiled bytecode is left in the wheel [archive.bytecode]"]
    );
}

#[test]
fn no_wheel_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name().to_string());
    let report = verify(&path, &expected());
    assert_eq!(
        findings(&report),
        [format!("cannot read {}: No such file or directory (os error 2) [archive.unreadable]", path.display())]
    );
    fs::write(&path, "PK, but no archive").unwrap();
    let report = verify(&path, &expected());
    assert_eq!(report.findings().count(), 1);
    assert!(findings(&report)[0].ends_with("[archive.unreadable]"), "{report}");
}

#[test]
fn a_damaged_member() {
    let folder = tempfile::tempdir().unwrap();
    let path = Sample::good().write(&folder, &name().to_string());
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(11).position(|window| window == b"flat.fatbin").unwrap() + 200;
    bytes[at] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    let report = verify(&path, &expected());
    let message = &findings(&report)[0];
    assert!(message.starts_with("member 'faiss/kernels/flat.fatbin': it cannot be unpacked"), "{report}");
    assert!(message.ends_with("[archive.unreadable]"), "{report}");
}

#[test]
fn a_wrong_hash() {
    let right = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    let wrong = "sha256=37DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    assert_eq!(
        Sample::good().with("faiss/py.typed", "").edited(&record(), right, wrong).findings(),
        [format!("faiss/py.typed: RECORD states {wrong}, it is {right} [record.hash]")]
    );
}

#[test]
fn a_wrong_size() {
    let sample = Sample::good().with("faiss/py.typed", "");
    assert_eq!(
        sample.edited(&record(), "SuFU,0\n", "SuFU,1\n").findings(),
        ["faiss/py.typed: RECORD states 1 bytes, it has 0 [record.size]"]
    );
}

#[test]
fn a_line_missing_and_lines_too_many() {
    let mut sample = Sample::good();
    let content = sample.get(&record());
    let text = String::from_utf8(content.clone()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("faiss/__init__.py,")).collect();
    *content = format!("{}\nfaiss/gone.py,,\n{}\n", lines[0], lines.join("\n")).into_bytes();
    let first = lines[0].split(',').next().unwrap();
    assert_eq!(
        sample.findings(),
        [
            "faiss/gone.py: RECORD lists it, but the wheel does not hold it [record.surplus]".to_owned(),
            format!("{first}: RECORD lists it twice [record.twice]"),
            "faiss/__init__.py: RECORD does not list it [record.unlisted]".to_owned(),
        ]
    );
}

#[test]
fn record_missing_or_malformed() {
    let mut sample = Sample::good();
    sample.members.retain(|(name, _)| *name != record());
    assert_eq!(sample.findings(), ["no dist-info folder holds a RECORD [record.missing]"]);
    let mut sample = Sample::good();
    *sample.get(&record()) = b"faiss/__init__.py,sha256=x\n".to_vec();
    assert_eq!(
        sample.findings(),
        [format!("{}: RECORD line 1: it has 2 fields instead of path, hash and size [record.format]", record())]
    );
}
