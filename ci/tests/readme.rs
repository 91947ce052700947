//! README.md and the wheels say the same of the GPUs that they run on.

use std::path::Path;

use ci::pins::versions::Versions;
use ci::plan::describe::{SUPPORT, capability_table, metadata, support_table};
use ci_step::audit::capability;
use ci_step::wheel::WheelName;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn the_table_of_gpus_is_the_one_that_versions_toml_gives() {
    let versions = Versions::load(root()).unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let table = capability_table(&versions.cuda);
    let found = capability::extract(&readme).map(str::trim).unwrap_or_default();
    assert_eq!(
        found,
        table.trim(),
        "put this between {} and {} of README.md:\n\n{table}",
        capability::BEGIN,
        capability::END
    );
}

#[test]
fn the_support_table_is_the_one_that_versions_toml_gives() {
    let table = support_table(&Versions::load(root()).unwrap());
    for file in ["README.md", "docs/compatibility.md"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let found = text.split_once(SUPPORT.0).and_then(|(_, rest)| rest.split_once(SUPPORT.1));
        let found = found.map(|(table, _)| table.trim()).unwrap_or_default();
        assert_eq!(found, table.trim(), "put this between {} and {} of {file}:\n\n{table}", SUPPORT.0, SUPPORT.1);
    }
}

#[test]
fn long_descriptions_hold_the_column_of_their_wheel() {
    let versions = Versions::load(root()).unwrap();
    for cuda in &versions.cuda {
        let name = WheelName::abi3(&cuda.distribution(&versions.wheel), "1.15.1.0", "manylinux_2_28_x86_64").unwrap();
        let table = capability_table(std::slice::from_ref(cuda));
        assert!(metadata(&versions, Some(cuda), &name).description.contains(&table), "CUDA {}", cuda.major);
    }
}

/// What is said twice because another program reads it there.
#[test]
fn other_files_name_the_same_versions() {
    let versions = Versions::load(root()).unwrap();
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    assert!(read("rust-toolchain.toml").contains(&format!("channel = \"{}\"", versions.rust.release)));
    let workflow = read(".github/workflows/ci.yml");
    let listed = workflow.split("python-version: |").nth(1).unwrap().lines().skip(1);
    let listed: Vec<&str> = listed.map(str::trim).take_while(|line| line.starts_with("3.")).collect();
    let pythons: Vec<String> = versions.wheel.pythons.iter().rev().map(ToString::to_string).collect();
    assert_eq!(listed, pythons, "the Pythons of .github/workflows/ci.yml");
}

#[test]
fn every_function_of_the_readme_exists() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut called = 0;
    for rest in readme.split("cargo ci ").skip(1) {
        let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        if name.is_empty() || name.starts_with('-') {
            continue;
        }
        called += 1;
        assert!(
            ci::front::functions().any(|function| function.name == name),
            "README.md speaks of `cargo ci {name}`, which does not exist"
        );
    }
    assert!(called > 5);
}
