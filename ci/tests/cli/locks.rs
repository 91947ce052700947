//! versions.lock agrees with versions.toml, or nothing is built.

use crate::support::Place;

#[test]
fn a_lock_that_agrees_passes() {
    let place = Place::small();
    assert_eq!(place.output(&["lock", "--check"]), "versions.lock agrees with versions.toml.\n");
    assert_eq!(Place::real().output(&["lock", "--check"]), "versions.lock agrees with versions.toml.\n");
}

#[test]
fn a_lock_that_disagrees_is_refused_by_every_command_that_reads_it() {
    let place = Place::small();
    place.edit("versions.toml", r#"patchelf = "0.2.0""#, r#"patchelf = "0.3.0""#);
    place.edit("versions.toml", "[environments]", "[environments]\nlint = [\"ruff==0.1\"]");
    let said = place.run(&["lock", "--check"]);
    insta::assert_snapshot!(said);
    for command in ["plan", "explain", "build-cpu-wheels"] {
        let arguments: &[&str] = if command == "explain" { &["explain", "extension"] } else { &[command] };
        let other = place.run(arguments);
        assert_eq!((other.code, other.stderr), (said.code, said.stderr.clone()), "{command}");
    }
    assert!(!place.cache().exists() && !place.root().join("wheelhouse").exists());
}

#[test]
fn a_damaged_lock_is_named_with_its_line() {
    for (from, to) in
        [("sha256 = ", "sha255 = "), ("[[file]]", "[[file"), ("files = [\"", "files = [\"missing.whl\", \"")]
    {
        let place = Place::small();
        place.edit("versions.lock", from, to);
        let said = place.run(&["plan"]);
        assert_eq!(said.code, 2, "{said}");
        assert!(said.stderr.contains("versions.lock"), "{said}");
        assert!(said.stderr.contains("cargo ci lock"), "{said}");
    }
    let place = Place::small();
    std::fs::remove_file(place.root().join("versions.lock")).unwrap();
    insta::assert_snapshot!(place.run(&["plan"]), @r"
    exit code 2
    error: versions.lock is missing.
    Run `cargo ci lock`.
    ");
}
