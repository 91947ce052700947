//! What of a release needs no wheel and no index: versions, changelog, and what is refused before anything is looked at. The
//! rest is the dress rehearsal's (`cargo ci test --only release`).

use std::fs;

use crate::support::Place;

const CHANGES: &str = "# Changelog\n\n## Unreleased (1.15.1.0)\n\n- One.\n\n## 1.15.0.3\n\n- Old.\n";

fn place() -> Place {
    let place = Place::small();
    place.write("CHANGELOG.md", CHANGES);
    place
}

fn read(place: &Place, name: &str) -> String {
    fs::read_to_string(place.root().join(name)).unwrap()
}

#[test]
fn the_next_version_is_said_and_written_only_when_asked() {
    let place = place();
    let before = read(&place, "versions.toml");
    assert_eq!(place.output(&["next-version"]), "1.15.1.1\n");
    assert_eq!((read(&place, "versions.toml"), read(&place, "CHANGELOG.md")), (before.clone(), CHANGES.to_owned()));
    assert_eq!(place.output(&["next-version", "--write"]), "1.15.1.1\n");
    assert_eq!(read(&place, "versions.toml"), before.replace("\"1.15.1.0\"", "\"1.15.1.1\""));
    assert!(
        read(&place, "CHANGELOG.md")
            .starts_with("# Changelog\n\n## Unreleased (1.15.1.1)\n\n## Unreleased (1.15.1.0)\n")
    );
    // The lock says nothing of our own version.
    place.output(&["lock", "--check"]);
    // After a release of Faiss that the crates match, counting begins anew.
    place.edit("versions.toml", "\"1.15.1.1\"", "\"1.14.9.7\"");
    assert_eq!(place.output(&["next-version"]), "1.15.1.0\n");
}

#[test]
fn a_tag_that_is_not_the_version_releases_nothing() {
    let place = place();
    assert_eq!(place.output(&["changelog"]), "- One.\n");
    let open = place.run(&["changelog", "--tag", "v1.15.1.0"]);
    assert!(open.code == 1 && open.stderr.contains("calls 1.15.1.0 unreleased"), "{open}");
    assert_eq!(place.output(&["changelog", "--close"]), "- One.\n");
    assert_eq!(read(&place, "CHANGELOG.md"), CHANGES.replace("## Unreleased (1.15.1.0)", "## 1.15.1.0"));
    assert_eq!(place.output(&["changelog", "--tag", "v1.15.1.0"]), "- One.\n");
    for tag in ["v1.15.1.1", "1.15.1.0", "v1.15.1"] {
        let other = place.run(&["changelog", "--tag", tag]);
        assert!(other.code == 1 && other.stdout.is_empty(), "{other}");
        assert!(other.stderr.contains(&format!("The tag {tag} is not v1.15.1.0")), "{other}");
    }
}

#[test]
fn what_is_not_there_is_neither_published_nor_rebuilt() {
    let place = place();
    place.write("wheelhouse/cpu/note.txt", "");
    let alone = place.run(&["publish-wheels", "--repository", "ours"]);
    assert!(alone.code == 2 && alone.stderr.contains("All wheels of a version are published together"), "{alone}");
    let none = place.run(&["publish-wheels"]);
    assert!(none.code == 2 && none.stderr.contains("--repository <NAME>"), "{none}");
    let missing = place.run(&["rebuild", "--manifest", "nothing.json"]);
    assert!(missing.code == 2 && missing.stderr.contains("There is no file or folder nothing.json"), "{missing}");
    place.write("manifest.json", "{}");
    let path = place.root().join("manifest.json").display().to_string();
    let empty = place.run(&["rebuild", "--manifest", &path]);
    assert!(empty.code == 2 && empty.stderr.contains("is no manifest of a wheel: missing field"), "{empty}");
    let page = place.run(&["report"]);
    assert!(page.code == 2 && page.stderr.contains("holds no manifest of a wheel"), "{page}");
}
