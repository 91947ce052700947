//! versions.toml as TOML has it: every value with its place in the file, nothing judged yet.

use std::collections::BTreeMap;

use serde::Deserialize;
pub use toml::Spanned;

pub type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub wheel: Wheel,
    pub rust: Rust,
    #[serde(default)]
    pub cuda: Vec<Cuda>,
    pub tools: BTreeMap<Text, Text>,
    pub environments: BTreeMap<String, Vec<Text>>,
    #[serde(default)]
    pub images: BTreeMap<String, Image>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wheel {
    pub version: Text,
    pub gpu_name: Text,
    pub cpu_name: Text,
    pub pythons: Spanned<Vec<Text>>,
    pub numpy: Text,
    pub glibc: Text,
    pub platforms: Spanned<Vec<Text>>,
    pub budget: Spanned<u64>,
    #[serde(default)]
    pub urls: BTreeMap<String, Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rust {
    pub release: Text,
    pub commit: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cuda {
    pub major: Spanned<u32>,
    pub toolkit: Text,
    pub architectures: Spanned<Vec<Text>>,
    pub ptx: Spanned<Vec<Text>>,
    pub driver: Driver,
    pub nvrtc: Package,
    pub nvfatbin: Package,
    pub headers: Vec<Package>,
    pub requires: Vec<Library>,
    pub library_paths: Vec<Text>,
    pub architecture_budget: Spanned<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Driver {
    pub branch: Text,
    pub version: Spanned<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub package: Text,
    pub version: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    pub package: Text,
    pub from: Text,
    pub fixed: Text,
    pub soname: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    pub name: Text,
    pub tag: Text,
    pub digest: Option<Text>,
}
