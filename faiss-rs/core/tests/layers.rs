//! The layers of src/lib.rs hold: a file names only modules that stand before its own, or in the same layer.

use std::fs;
use std::path::{Path, PathBuf};

/// From the lowest on. A file or a name belongs to the longest entry that begins its path.
const LAYERS: &[&[&str]] = &[
    &["base"],
    &["random"],
    &["simd", "blas"],
    &["distance"],
    &["selector"],
    // With the arrays of lists and flat indexes, which may lie in what was read.
    &["stream", "storage/codes", "storage/ids"],
    &["storage"],
    // What codes are: the traits of quantizers, and the names of the scalar ones.
    &["quantize/codec", "quantize/mod", "quantize/Quantizer", "quantize/QuantizerBase", "quantize/scalar/kind"],
    // The trait of all indexes, and those that clustering searches. The way a description is written is told in terms of the trait.
    &[
        "index/mod",
        "index/Index",
        "index/IndexBase",
        "index/SearchParameters",
        "index/selector",
        "index/params_with_selector",
        "index/DistanceComputer",
        "index/RangeSearchResult",
        "index/header",
        "index/flat_codes",
        "index/flat",
        "index/flat_l2",
        "index/flat_ip",
        "index/flat_1d",
        "grammar",
    ],
    &["cluster"],
    &["quantize"],
    &["transform", "graph"],
    &["index"],
    &["binary"],
    &["factory"],
    &["io"],
];

/// The table of all types is no layer: whoever describes a type names it, and it names them all.
const TABLE: &str = "registry";

/// What is allowed otherwise, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    // An index that is not in the host's memory does the rounds of a clustering itself: the trait's method gets the clustering.
    ("index/mod", "cluster/Clustering"),
];

fn layer(path: &str) -> usize {
    let begins = |entry: &&str| path == *entry || path.starts_with(&format!("{entry}/"));
    let entries = LAYERS.iter().enumerate().flat_map(|(i, layer)| layer.iter().map(move |entry| (i, entry)));
    let found = entries.filter(|(_, entry)| begins(entry)).max_by_key(|(_, entry)| entry.len());
    found.unwrap_or_else(|| panic!("{path} is in no layer of tests/layers.rs")).0
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|e| e == "rs") => found.push(path),
            false => {}
        }
    }
}

/// The paths that a line names after `crate::`, with slashes: `use crate::a::{b, c::d}` names a/b and a/c/d.
fn named(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        let path = rest[..end].trim_end_matches(':').replace("::", "/");
        match rest[end..].strip_prefix('{').and_then(|list| list.split_once(';')) {
            Some((list, _)) if end == 0 || rest[..end].ends_with("::") => {
                let names = list.split([',', '{', '}']).map(str::trim).filter(|name| !name.is_empty());
                paths.extend(names.map(|name| match name.strip_prefix("self") {
                    Some(_) => path.clone(),
                    None => {
                        let name = name.split(" as ").next().unwrap_or(name).replace("::", "/");
                        if path.is_empty() { name } else { format!("{path}/{name}") }
                    }
                }));
            }
            _ if path.is_empty() => {}
            _ => paths.push(path),
        }
    }
    paths
}

#[test]
fn no_layer_names_a_higher_one() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 60, "the sources are not where they were");
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for file in files {
        let own = file.strip_prefix(&src).unwrap().with_extension("").to_string_lossy().into_owned();
        if own == "lib" || own == TABLE {
            continue;
        }
        let own = if own.starts_with("index/") { own } else { own.trim_end_matches("/mod").to_owned() };
        let text = fs::read_to_string(&file).unwrap();
        // Unit tests, at a file's end, may use what they like.
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for name in named(&code.join("\n")) {
            // Macros are named from the root.
            let macros = !name.contains('/') && !src.join(&name).exists() && !src.join(format!("{name}.rs")).exists();
            if macros || name == TABLE || name.starts_with(&format!("{TABLE}/")) || EXCEPTIONS.contains(&(&own, &name))
            {
                continue;
            }
            checked += 1;
            if layer(&name) > layer(&own) {
                wrong.push(format!("{own} names {name}"));
            }
        }
    }
    assert!(checked > 300, "only {checked} names were found");
    assert!(wrong.is_empty(), "lower layers name higher ones:\n{}", wrong.join("\n"));
}
