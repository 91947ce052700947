//! METADATA states what it has to, field by field; licences that it names are in the wheel.

use super::{Expected, Finding, Wheel};
use crate::wheel::{Metadata, normalize};

pub(super) fn check(wheel: &Wheel, expected: &Expected) -> Vec<Finding> {
    let dist_info = expected.name.dist_info();
    let member = format!("{dist_info}/METADATA");
    let Some(content) = wheel.contents.get(&member) else {
        return vec![Finding::member("metadata.missing", &member, "it is missing from the wheel")];
    };
    let found = match std::str::from_utf8(content).map_err(|error| error.to_string()) {
        Ok(text) => Metadata::parse(text).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => return vec![Finding::member("metadata.format", &member, error)],
    };

    let mut findings = Vec::new();
    let mut add = |code, message: String| findings.push(Finding::member(code, &member, message));
    if normalize(&found.name) != normalize(&expected.name.distribution) {
        add("metadata.name", format!("Name is '{}' instead of '{}'", found.name, expected.name.distribution));
    }
    if found.version != expected.name.version {
        add("metadata.version", format!("Version is '{}' instead of '{}'", found.version, expected.name.version));
    }
    if let Some(wanted) = &expected.metadata {
        let mut one = |field: &str, found: &str, wanted: &str| {
            if found != wanted {
                add("metadata.field", format!("{field} is '{found}' instead of '{wanted}'"));
            }
        };
        one("Summary", &found.summary, &wanted.summary);
        one("Requires-Python", &found.requires_python, &wanted.requires_python);
        one("Author", &found.author, &wanted.author);
        one("License-Expression", &found.license_expression, &wanted.license_expression);
        let urls = |metadata: &Metadata| -> Vec<String> {
            metadata.project_urls.iter().map(|(label, url)| format!("{label}, {url}")).collect()
        };
        for (field, found, wanted) in [
            ("Keywords", &found.keywords, &wanted.keywords),
            ("Requires-Dist", &found.requires_dist, &wanted.requires_dist),
            ("Provides-Extra", &found.provides_extra, &wanted.provides_extra),
            ("License-File", &found.license_files, &wanted.license_files),
            ("Classifier", &found.classifiers, &wanted.classifiers),
            ("Project-URL", &urls(&found), &urls(wanted)),
        ] {
            for missing in wanted.iter().filter(|value| !found.contains(value)) {
                add("metadata.field", format!("{field} '{missing}' is missing"));
            }
            for surplus in found.iter().filter(|value| !wanted.contains(value)) {
                add("metadata.field", format!("{field} '{surplus}' is not expected"));
            }
        }
        if found.description.trim() != wanted.description.trim() {
            add("metadata.description", "the long description is not the expected one".to_owned());
        }
    }
    for license in &found.license_files {
        let file = format!("{dist_info}/licenses/{license}");
        if !wheel.contents.contains_key(&file) {
            findings.push(Finding::member(
                "metadata.license",
                &file,
                "METADATA names it, but the wheel does not hold it",
            ));
        }
    }
    findings
}
