use ci_step::audit::{verify, verify_by_name};
use ci_step::wheel::WheelName;

use crate::support::{DIST_INFO, Sample, expected, findings, name};

fn metadata(from: &str, to: &str) -> Vec<String> {
    Sample::good().edited(&format!("{DIST_INFO}/METADATA"), from, to).findings()
}

#[test]
fn fields_that_differ() {
    assert_eq!(
        metadata("Requires-Python: >=3.10", "Requires-Python: >=3.9"),
        [format!("{DIST_INFO}/METADATA: Requires-Python is '>=3.9' instead of '>=3.10' [metadata.field]")]
    );
    assert_eq!(
        metadata("Requires-Dist: numpy>=1.22", "Requires-Dist: numpy"),
        [
            format!("{DIST_INFO}/METADATA: Requires-Dist 'numpy>=1.22' is missing [metadata.field]"),
            format!("{DIST_INFO}/METADATA: Requires-Dist 'numpy' is not expected [metadata.field]"),
        ]
    );
    assert_eq!(
        metadata("Version: 1.15.1.0", "Version: 1.15.1"),
        [format!("{DIST_INFO}/METADATA: Version is '1.15.1' instead of '1.15.1.0' [metadata.version]")]
    );
    assert_eq!(
        metadata("# faiss", "# other"),
        [format!("{DIST_INFO}/METADATA: the long description is not the expected one [metadata.description]")]
    );
}

#[test]
fn a_license_that_is_not_there() {
    assert_eq!(
        Sample::good().without(&format!("{DIST_INFO}/licenses/LICENSE")).findings(),
        [format!("{DIST_INFO}/licenses/LICENSE: METADATA names it, but the wheel does not hold it [metadata.license]")]
    );
}

#[test]
fn a_wrong_tag() {
    let tag = name().tag();
    let other = tag.replace("abi3", "cp310");
    assert_eq!(
        Sample::good().edited(&format!("{DIST_INFO}/WHEEL"), &tag, &other).findings(),
        [format!("{DIST_INFO}/WHEEL: Tag is {other} instead of {tag} [tags.wheel]")]
    );
    assert_eq!(
        Sample::good()
            .edited(&format!("{DIST_INFO}/WHEEL"), "Root-Is-Purelib: false", "Root-Is-Purelib: true")
            .findings(),
        [format!("{DIST_INFO}/WHEEL: Root-Is-Purelib is true instead of false [tags.wheel]")]
    );
}

#[test]
fn another_file_name() {
    let folder = tempfile::tempdir().unwrap();
    let other = name().to_string().replace("1.15.1.0", "1.15.1.1");
    let report = verify(&Sample::good().write(&folder, &other), &expected());
    assert_eq!(findings(&report), [format!("the file is named {other} instead of {} [tags.name]", name())]);
}

#[test]
fn a_wheel_held_against_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let report = verify_by_name(&Sample::good().write(&folder, &name().to_string()));
    assert!(report.passed(), "{report}");
    let text = report.to_string();
    assert!(text.contains("ok      METADATA (not compared: fields beside Name and Version)"), "{text}");
    assert!(text.ends_with("9 checks passed, 4 of them in part"), "{text}");

    let older = WheelName { platform: name().platform.replace("2_28", "2_5"), ..name() };
    let report = verify_by_name(&Sample::good().write(&folder, &older.to_string()));
    let messages = findings(&report);
    assert_eq!(
        messages,
        [
            format!("{DIST_INFO}/WHEEL: Tag is {} instead of {} [tags.wheel]", name().tag(), older.tag()),
            "faiss/_faiss.abi3.so: memcpy needs GLIBC_2.14 of libc.so.6, newer than GLIBC_2.5 [glibc.newer]".to_owned(),
            "faiss/libfaiss_openblas.so: memcpy needs GLIBC_2.14 of libc.so.6, newer than GLIBC_2.5 [glibc.newer]"
                .to_owned(),
        ]
    );

    let report = verify_by_name(&Sample::good().write(&folder, "faiss.whl"));
    assert_eq!(
        findings(&report),
        ["'faiss.whl' is not a wheel's file name: it is not DISTRIBUTION-VERSION-PYTHON-ABI-PLATFORM.whl [tags.name]"]
    );
}
