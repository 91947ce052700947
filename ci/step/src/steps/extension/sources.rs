//! The copy of the checkout that the extension is built in: the files that the step names, and a workspace of just the
//! members that are among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::super::Work;
use crate::failure::{Failure, Result};
use crate::task::Input;

/// A crate of Cargo.lock that comes from its registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locked {
    pub name: String,
    pub version: String,
    pub sha256: String,
}

impl Locked {
    /// As its archive is called, without `.crate`.
    pub fn stem(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

/// Copies the step's sources to `root`; gives the crates that they lead to.
pub fn lay_out(work: &Work, root: &Path) -> Result<Vec<Locked>> {
    for input in &work.task.step.inputs {
        let Input::Source { path, .. } = input else { continue };
        // The pipeline's own files say how this is done.
        if !path.starts_with("ci/") {
            super::super::stage::copy(&work.root.join(path), &root.join(path))?;
        }
    }
    let members = reduce(&root.join("Cargo.toml"), root)?;
    // The launchers come from the catalogue, which finds its sources and takes nothing from them.
    let catalogue = root.join("kernels/kernels.toml");
    if catalogue.is_file() {
        let families = read(&catalogue)?;
        for family in families.get("family").and_then(Value::as_array).into_iter().flatten() {
            let source = family.get("source").and_then(Value::as_str).unwrap_or_default();
            stand_in(&root.join("kernels").join(source), "")?;
        }
    }
    prune(&root.join("Cargo.lock"), &members)
}

/// Puts a file where a name is expected to have one, and nobody reads it.
fn stand_in(path: &Path, text: &str) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(Failure::io("cannot create", folder))?;
    fs::write(path, text).map_err(Failure::io("cannot write", path))
}

/// Cargo wants a file for every target that a manifest names, also for those that are not built.
fn other_targets(folder: &Path, manifest: &Table) -> Result<()> {
    for (kind, place) in [("bench", "benches"), ("example", "examples"), ("test", "tests")] {
        for target in manifest.get(kind).and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| target.get(key).and_then(Value::as_str);
            let named = || Some(format!("{place}/{}.rs", text("name")?));
            if let Some(path) = text("path").map(str::to_owned).or_else(named) {
                stand_in(&folder.join(path), "fn main() {}\n")?;
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Table> {
    let text = fs::read_to_string(path).map_err(Failure::io("cannot read", path))?;
    text.parse().map_err(|error: toml::de::Error| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Failure::usage(format!("{name} can't be read: {}.", error.message()), "Correct it.")
    })
}

fn write(path: &Path, table: &Table) -> Result<()> {
    let text = toml::to_string(table).expect("what was TOML can be written as TOML");
    fs::write(path, text).map_err(Failure::io("cannot write", path))
}

/// Takes out of the workspace the members that are not there; gives the names of the packages that are.
fn reduce(manifest: &Path, root: &Path) -> Result<Vec<String>> {
    let mut table = read(manifest)?;
    let mut names = Vec::new();
    if let Some(workspace) = table.get_mut("workspace").and_then(Value::as_table_mut) {
        workspace.remove("default-members");
        if let Some(members) = workspace.get_mut("members").and_then(Value::as_array_mut) {
            members.retain(|member| member.as_str().is_some_and(|path| root.join(path).join("Cargo.toml").is_file()));
            for member in members.iter().filter_map(Value::as_str) {
                let package = read(&root.join(member).join("Cargo.toml"))?;
                other_targets(&root.join(member), &package)?;
                let name = package.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
                names.extend(name.map(str::to_owned));
            }
        }
    }
    write(manifest, &table)?;
    Ok(names)
}

/// Takes out of Cargo.lock what none of `members` leads to; gives the crates that stay.
fn prune(lock: &Path, members: &[String]) -> Result<Vec<Locked>> {
    let mut table = read(lock)?;
    let packages: Vec<Table> = table
        .get("package")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|p| p.as_table().cloned())
        .collect();
    let text = |package: &Table, key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, package) in packages.iter().enumerate() {
        by_name.entry(text(package, "name")).or_default().push(index);
    }
    let mut left: Vec<usize> =
        members.iter().flat_map(|name| by_name.get(name).into_iter().flatten().copied()).collect();
    let mut kept = BTreeSet::new();
    while let Some(index) = left.pop() {
        if !kept.insert(index) {
            continue;
        }
        let dependencies = packages[index].get("dependencies").and_then(Value::as_array);
        for words in dependencies.into_iter().flatten().filter_map(Value::as_str) {
            // `name`, or `name version` where there are several.
            let mut words = words.split(' ');
            let (name, version) = (words.next().unwrap_or_default(), words.next());
            let same = |index: &&usize| version.is_none_or(|version| text(&packages[**index], "version") == version);
            left.extend(by_name.get(name).into_iter().flatten().filter(same));
        }
    }
    let crates = kept.iter().filter_map(|&index| {
        let package = &packages[index];
        let sha256 = package.get("checksum").and_then(Value::as_str)?.to_owned();
        Some(Locked { name: text(package, "name"), version: text(package, "version"), sha256 })
    });
    let crates: Vec<Locked> = crates.collect();
    let rest = kept.iter().map(|&index| Value::Table(packages[index].clone())).collect();
    table.insert("package".to_owned(), Value::Array(rest));
    write(lock, &table)?;
    Ok(crates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_members_lead_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("one")).unwrap();
        fs::write(root.join("one/Cargo.toml"), "[package]\nname = \"first\"\n").unwrap();
        fs::write(root.join("Cargo.toml"), "[workspace]\nmembers = [\"one\", \"two\"]\ndefault-members = [\"two\"]\n[profile.release]\nlto = \"thin\"\n").unwrap();
        let lock = "version = 4\n\
            [[package]]\nname = \"first\"\nversion = \"1.0.0\"\ndependencies = [\"a\", \"b 2.0.0\"]\n\
            [[package]]\nname = \"second\"\nversion = \"1.0.0\"\ndependencies = [\"b 1.0.0\", \"c\"]\n\
            [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"r\"\nchecksum = \"aa\"\n\
            [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"r\"\nchecksum = \"b1\"\n\
            [[package]]\nname = \"b\"\nversion = \"2.0.0\"\nsource = \"r\"\nchecksum = \"b2\"\n\
            [[package]]\nname = \"c\"\nversion = \"1.0.0\"\nsource = \"r\"\nchecksum = \"cc\"\n";
        fs::write(root.join("Cargo.lock"), lock).unwrap();
        let members = reduce(&root.join("Cargo.toml"), root).unwrap();
        assert_eq!(members, ["first"]);
        let crates = prune(&root.join("Cargo.lock"), &members).unwrap();
        assert_eq!(crates.iter().map(Locked::stem).collect::<Vec<_>>(), ["a-1.0.0", "b-2.0.0"]);
        let manifest = read(&root.join("Cargo.toml")).unwrap();
        assert_eq!(manifest["workspace"]["members"].as_array().unwrap().len(), 1);
        assert_eq!(manifest["profile"]["release"]["lto"].as_str(), Some("thin"));
        assert_eq!(read(&root.join("Cargo.lock")).unwrap()["package"].as_array().unwrap().len(), 3);
    }
}
