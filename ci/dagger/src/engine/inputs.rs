//! The source, and the part of it that each step gets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ci::plan::{Action, Input, Step};
use ci_step::failure::{Failure, Result};
use dagger_sdk::{Container, CurrentModuleWorkdirOptsBuilder, Directory, Id, Query};
use faiss_kernels::Catalogue;

use super::ROOT;
use super::failure::{from_dagger, from_sdk};

/// The latest that the engine takes (in 2038), so that cargo never takes a source for older than what is in a volume.
const ALWAYS_NEW: isize = i32::MAX as isize;

/// Where the source is copied to, below the folder that this program runs in.
const FOLDER: &str = "source";

pub struct Tree {
    dagger: Query,
    /// The id of the directory that the caller gave.
    pub directory: String,
    /// The same files, in this program's own container.
    pub root: PathBuf,
    families: Vec<(String, Vec<String>)>,
    /// Folders of the workspace's members.
    members: Vec<String>,
    /// Sources of the benches, examples and tests that their manifests name: they must be there, whatever is in them.
    targets: Vec<String>,
}

impl Tree {
    /// Copies the directory into this program's own container, where plans are made.
    pub async fn load(dagger: &Query, directory: &str) -> Result<Tree> {
        let root = std::path::absolute(FOLDER).map_err(Failure::io("cannot find", Path::new(FOLDER)))?;
        let given: Directory = dagger.r#ref(Id(directory.to_owned()));
        given.export(FOLDER).await.map_err(from_sdk)?;
        if !root.join("versions.toml").is_file() {
            return Err(Failure::usage(
                "The source directory is no checkout of this project: it has no versions.toml.",
                "Pass the checkout's root as --host-directory, or leave the argument out.",
            ));
        }
        let wrong = |error: faiss_kernels::Error| {
            Failure::usage(format!("{error}."), "Correct the kernel catalogue or its sources.")
        };
        let catalogue = Catalogue::load(&root.join("kernels")).map_err(wrong)?;
        let name = |path: &PathBuf| format!("kernels/{}", path.display());
        let families = catalogue.families.iter();
        let families = families.map(|f| (f.name.clone(), f.sources.iter().map(name).collect())).collect();
        let members = members(&root)?;
        let targets = targets(&root, &members)?;
        Ok(Tree { dagger: dagger.clone(), directory: directory.to_owned(), root, families, members, targets })
    }

    /// The container with all of the source.
    pub async fn mount_all(&self, container: Container) -> Result<Container> {
        self.mount_some(container, &[], &[]).await
    }

    /// The container with some files and folders of the source, but for others in them.
    pub async fn mount_some(&self, container: Container, include: &[&str], exclude: &[&str]) -> Result<Container> {
        mount(container, &self.part(include.to_vec(), exclude.to_vec())?).await
    }

    /// The container with all of the source, for cargo with a volume of what it compiled before.
    pub async fn mount_new(&self, container: Container) -> Result<Container> {
        mount(container, &self.part(Vec::new(), Vec::new())?.with_timestamps(ALWAYS_NEW)).await
    }

    /// The container with what `step` reads of the source.
    pub async fn mount(&self, container: Container, step: &Step) -> Result<Container> {
        let mut paths = BTreeSet::new();
        for input in &step.inputs {
            if let Input::Source { path, .. } = input {
                paths.insert(path.clone());
            }
        }
        let mut empty = BTreeSet::new();
        if let Action::Kernels(kernels) = &step.action {
            paths.insert("kernels/kernels.toml".to_owned());
            for (name, sources) in &self.families {
                match *name == kernels.family {
                    true => paths.extend(sources.iter().cloned()),
                    // The catalogue names every family, and no other family's source matters to this one.
                    false => empty.extend(sources.first().cloned()),
                }
            }
        }
        let extension = matches!(step.action, Action::Extension { .. });
        if extension {
            // The launchers come from the catalogue, which finds its sources and takes nothing from them.
            empty.extend(self.families.iter().filter_map(|(_, sources)| sources.first().cloned()));
            // Cargo reads the manifest of every member before it builds one of them.
            for member in &self.members {
                paths.insert(format!("{member}/Cargo.toml"));
                let target = |name: &str| paths.contains(&format!("{member}/src/{name}.rs"));
                if !target("lib") && !target("main") {
                    empty.insert(format!("{member}/src/lib.rs"));
                }
                empty.extend(self.targets.iter().filter(|path| path.starts_with(&format!("{member}/"))).cloned());
            }
        }
        if paths.is_empty() {
            return Ok(container);
        }
        let mut part = self.part(paths.iter().map(String::as_str).collect(), Vec::new())?;
        for path in empty.difference(&paths) {
            part = part.with_new_file(path, "");
        }
        if extension {
            part = part.with_timestamps(ALWAYS_NEW);
        }
        mount(container, &part).await
    }

    /// Some files of the source. They are read back from this program's folder, since the engine knows such a directory by
    /// what is in it: one that was cut out of the caller's would be another whenever any file of the source changes.
    fn part(&self, include: Vec<&str>, exclude: Vec<&str>) -> Result<Directory> {
        let mut opts = CurrentModuleWorkdirOptsBuilder::default();
        if !include.is_empty() {
            opts.include(include);
        }
        if !exclude.is_empty() {
            opts.exclude(exclude);
        }
        let opts = opts.build().map_err(|error| from_dagger(&error.into()))?;
        Ok(self.dagger.current_module().workdir_opts(FOLDER, opts))
    }
}

async fn mount(container: Container, directory: &Directory) -> Result<Container> {
    Ok(container.with_mounted_directory(ROOT, directory.id().await.map_err(from_sdk)?))
}

/// The members that Cargo.toml lists; the workspace uses no patterns for them.
fn members(root: &Path) -> Result<Vec<String>> {
    let manifest = manifest(&root.join("Cargo.toml"))?;
    let members = manifest.get("workspace").and_then(|table| table.get("members")).and_then(toml::Value::as_array);
    Ok(members.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect())
}

fn targets(root: &Path, members: &[String]) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for member in members {
        let manifest = manifest(&root.join(member).join("Cargo.toml"))?;
        for (kind, folder) in [("bench", "benches"), ("example", "examples"), ("test", "tests")] {
            let named = manifest.get(kind).and_then(toml::Value::as_array).into_iter().flatten();
            for name in named.filter_map(|target| target.get("name")?.as_str()) {
                paths.push(format!("{member}/{folder}/{name}.rs"));
            }
        }
    }
    Ok(paths)
}

fn manifest(path: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).map_err(Failure::io("cannot read", path))?;
    let wrong = |error: toml::de::Error| format!("{} cannot be read: {}.", path.display(), error.message());
    text.parse().map_err(|error| Failure::usage(wrong(error), "Correct it."))
}
