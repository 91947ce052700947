//! The crates that Cargo.lock names: unpacked from archives of the right hash for a build without a network, and what of
//! them is linked in, with licences and notices.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{Work, tool};
use super::sources::Locked;
use super::{PACKAGE, Place, Toolchain, bare};
use crate::digest;
use crate::failure::{Failure, Result};

/// The texts that crates want to be handed on with what is made of them.
pub const NOTICES: &str = "notices.txt";

/// A crate that is linked into the extension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Crate {
    pub name: String,
    pub version: String,
    /// The SPDX expression of its manifest.
    pub license: String,
    /// Of its archive.
    pub sha256: String,
}

/// Unpacks the crates of `locked`, and tells cargo to look nowhere else. What is not on this machine yet is downloaded by cargo
/// with the user's own settings, so that their mirror and proxy hold.
///
/// Cargo.lock names more than the members lead to: what other members' features of the same crates want. Cargo does not download
/// those, and does not miss them.
pub fn provide(work: &Work, toolchain: &Toolchain, place: &Place, locked: &[Locked]) -> Result<()> {
    let home = cargo_home()?;
    let mut found = archives(&home, locked)?;
    if found.len() < locked.len() {
        let mut fetch = Command::new(toolchain.program("cargo"));
        fetch.current_dir(work.root).args(["fetch", "--manifest-path"]).arg(place.root.join("Cargo.toml"));
        fetch.env("CARGO_TERM_COLOR", "never").env("CARGO_HOME", &home);
        fetch.env_remove("CARGO_TARGET_DIR").env_remove("RUSTC_WRAPPER").env_remove("RUSTC_WORKSPACE_WRAPPER");
        tool::run(&mut fetch, "cargo fetch").map_err(super::explain)?;
        found = archives(&home, locked)?;
    }
    for (one, archive) in found {
        let folder = place.crates.join(one.stem());
        unpack(&archive, &one.stem(), &place.crates)?;
        let checksum = serde_json::json!({ "files": {}, "package": one.sha256 }).to_string();
        let path = folder.join(".cargo-checksum.json");
        fs::write(&path, checksum).map_err(Failure::io("cannot write", &path))?;
    }
    let folder = serde_json::to_string(&place.crates.to_string_lossy()).expect("a text can be quoted");
    let settings = format!(
        "[source.crates-io]\nreplace-with = \"unpacked\"\n\n[source.unpacked]\ndirectory = {folder}\n\n[net]\noffline = true\n"
    );
    let path = place.cargo_home.join("config.toml");
    fs::write(&path, settings).map_err(Failure::io("cannot write", &path))
}

fn cargo_home() -> Result<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .ok_or_else(|| Failure::machine("Neither CARGO_HOME nor HOME is set.", "Set one of them."))
}

/// The archives that are here, hashed just now. Registries have a folder each; a mirror serves the same bytes.
fn archives<'a>(home: &Path, locked: &'a [Locked]) -> Result<Vec<(&'a Locked, Vec<u8>)>> {
    let folders = fs::read_dir(home.join("registry/cache")).into_iter().flatten().flatten();
    let folders: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
    let mut found = Vec::new();
    for one in locked {
        let name = format!("{}.crate", one.stem());
        let files: Vec<Vec<u8>> = folders.iter().filter_map(|folder| fs::read(folder.join(&name)).ok()).collect();
        let wrong = !files.is_empty();
        match files.into_iter().find(|bytes| digest::of_bytes(bytes) == one.sha256) {
            Some(bytes) => found.push((one, bytes)),
            None if wrong => {
                let place = home.join("registry/cache");
                let todo = format!("Remove {name} from {} and run the same command again.", place.display());
                let what = format!("The crate {} has another hash than Cargo.lock says.", one.stem());
                return Err(Failure::machine(what, todo));
            }
            None => {}
        }
    }
    Ok(found)
}

/// Unpacks plain files of the folder `stem`; nothing lands anywhere else.
fn unpack(archive: &[u8], stem: &str, to: &Path) -> Result<()> {
    let bad =
        |why: &str| Failure::machine(format!("The crate {stem} can't be unpacked: {why}."), "Do not use that file.");
    let mut tar = tar::Archive::new(GzDecoder::new(archive));
    for entry in tar.entries().map_err(|error| bad(&error.to_string()))? {
        let mut entry = entry.map_err(|error| bad(&error.to_string()))?;
        let path = entry.path().map_err(|error| bad(&error.to_string()))?.into_owned();
        let inside = path.components().all(|part| matches!(part, Component::Normal(_))) && path.starts_with(stem);
        if !inside {
            return Err(bad(&format!("{} lies outside of it", path.display())));
        }
        match entry.header().entry_type() {
            tar::EntryType::Regular => {}
            tar::EntryType::Directory | tar::EntryType::XGlobalHeader => continue,
            other => return Err(bad(&format!("{} is a {other:?}", path.display()))),
        }
        let file = to.join(&path);
        let folder = file.parent().unwrap_or(to);
        fs::create_dir_all(folder).map_err(Failure::io("cannot create", folder))?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| bad(&error.to_string()))?;
        fs::write(&file, content).map_err(Failure::io("cannot write", &file))?;
    }
    Ok(())
}

/// The crates from the registry that the extension is linked of, by what cargo says of its graph: what runs while it is
/// compiled (build scripts, macros) and what only tests need is none of it.
pub fn linked(toolchain: &Toolchain, place: &Place, triple: &str, locked: &[Locked]) -> Result<Vec<Crate>> {
    let mut command = bare(&toolchain.program("cargo"), toolchain, place);
    command.args(["metadata", "--format-version", "1", "--offline", "--filter-platform", triple]);
    command.arg("--manifest-path").arg(place.root.join("Cargo.toml"));
    let output = command.output().map_err(Failure::io("cannot run", Path::new("cargo")))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let wrong =
        || Failure::build("cargo does not say what the extension is linked of.", "cargo's own words are above.");
    if !output.status.success() {
        return Err(wrong().with_log(text));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|_| wrong())?;
    graph(&metadata, locked).ok_or_else(wrong)
}

fn graph(metadata: &Value, locked: &[Locked]) -> Option<Vec<Crate>> {
    let packages: BTreeMap<&str, &Value> = metadata["packages"]
        .as_array()?
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let nodes: BTreeMap<&str, &Value> =
        metadata["resolve"]["nodes"].as_array()?.iter().filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let is_macro = |package: &Value| {
        let targets = package["targets"].as_array().into_iter().flatten();
        targets.flat_map(|target| target["kind"].as_array().into_iter().flatten()).any(|kind| kind == "proc-macro")
    };
    let first = packages.iter().find(|(_, package)| package["name"] == PACKAGE).map(|(id, _)| *id)?;
    let mut left = vec![first];
    let mut seen = BTreeSet::new();
    let mut crates = BTreeSet::new();
    while let Some(id) = left.pop() {
        let package = *packages.get(id)?;
        if is_macro(package) || !seen.insert(id) {
            continue;
        }
        let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
        if let Some(known) = locked.iter().find(|one| one.name == name && one.version == version) {
            crates.insert(Crate {
                name: name.to_owned(),
                version: version.to_owned(),
                license: package["license"].as_str().unwrap_or("LicenseRef-unknown").replace('/', " OR "),
                sha256: known.sha256.clone(),
            });
        }
        for dependency in nodes.get(id)?["deps"].as_array()? {
            let kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
            if kinds.into_iter().any(|kind| kind["kind"].is_null()) {
                left.push(dependency["pkg"].as_str()?);
            }
        }
    }
    Some(crates.into_iter().collect())
}

/// The licence files of each crate, one after the other.
pub fn notices(place: &Place, crates: &[Crate]) -> Result<String> {
    let mut text =
        String::from("The extension is linked of these crates. Their licences and notices follow, crate by crate.\n");
    for one in crates {
        let folder = place.crates.join(format!("{}-{}", one.name, one.version));
        text += &format!("\n{}\n{} {}: {}\n", "=".repeat(80), one.name, one.version, one.license);
        let mut names: Vec<String> = fs::read_dir(&folder)
            .map_err(Failure::io("cannot list", &folder))?
            .flatten()
            .filter(|entry| entry.path().is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.retain(|name| {
            let upper = name.to_uppercase();
            ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
                .iter()
                .any(|word| upper.starts_with(word))
        });
        names.sort();
        if names.is_empty() {
            text += "(The crate brings no text of its licence.)\n";
        }
        for name in names {
            let path = folder.join(&name);
            let bytes = fs::read(&path).map_err(Failure::io("cannot read", &path))?;
            let words = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
            text += &format!("\n----- {name}\n\n{}\n", words.trim_end());
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn macros_and_what_only_builds_or_tests_need_are_not_linked() {
        let package = |name: &str, kind: &str, license: &str| json!({ "id": name, "name": name, "version": "1.0.0", "license": license, "targets": [{ "kind": [kind] }] });
        let dep = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [
                package(PACKAGE, "cdylib", "MIT"), package("core", "lib", "MIT"), package("a", "lib", "MIT/Apache-2.0"),
                package("b", "lib", "ISC"), package("macros", "proc-macro", "MIT"), package("script", "lib", "MIT"),
                package("of-macros", "lib", "MIT"), package("tests", "lib", "MIT"),
            ],
            "resolve": { "nodes": [
                { "id": PACKAGE, "deps": [dep("core", Value::Null), dep("script", json!("build")), dep("tests", json!("dev"))] },
                { "id": "core", "deps": [dep("a", Value::Null), dep("macros", Value::Null)] },
                { "id": "a", "deps": [dep("b", Value::Null)] }, { "id": "b", "deps": [] },
                { "id": "macros", "deps": [dep("of-macros", Value::Null)] },
            ] },
        });
        let locked: Vec<Locked> = ["a", "b", "macros", "script", "of-macros", "tests"]
            .map(|name| Locked { name: name.into(), version: "1.0.0".into(), sha256: format!("of {name}") })
            .into();
        let crates = graph(&metadata, &locked).unwrap();
        let shown: Vec<String> =
            crates.iter().map(|one| format!("{} {} {}", one.name, one.license, one.sha256)).collect();
        assert_eq!(shown, ["a MIT OR Apache-2.0 of a", "b ISC of b"]);
    }

    /// A crate's archive with one file of this name.
    fn archive(name: &str) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(5);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        tar.append(&header, &b"hello"[..]).unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn an_archive_is_taken_for_its_hash_and_unpacked_into_its_own_folder() {
        let home = tempfile::tempdir().unwrap();
        let cache = home.path().join("registry/cache/some-registry");
        fs::create_dir_all(&cache).unwrap();
        let bytes = archive("a-1.0.0/LICENSE");
        let one = Locked { name: "a".into(), version: "1.0.0".into(), sha256: digest::of_bytes(&bytes) };
        let look = |locked: &Locked| -> Result<Vec<Vec<u8>>> {
            let found = archives(home.path(), std::slice::from_ref(locked))?;
            Ok(found.into_iter().map(|(_, bytes)| bytes).collect())
        };
        assert!(look(&one).unwrap().is_empty());
        fs::write(cache.join("a-1.0.0.crate"), "edited").unwrap();
        assert_eq!(look(&one).unwrap_err().what, "The crate a-1.0.0 has another hash than Cargo.lock says.");
        fs::write(cache.join("a-1.0.0.crate"), &bytes).unwrap();
        let to = home.path().join("unpacked");
        unpack(&look(&one).unwrap()[0], "a-1.0.0", &to).unwrap();
        assert_eq!(fs::read(to.join("a-1.0.0/LICENSE")).unwrap(), b"hello");
        for bad in ["../evil", "b-1.0.0/file", "/etc/passwd"] {
            assert!(unpack(&archive(bad), "a-1.0.0", &to).is_err(), "{bad}");
        }
    }
}
