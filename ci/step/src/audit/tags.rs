//! The file name, dist-info's name and WHEEL say the same, and what is expected.

use super::{Expected, Finding, Wheel};

pub(super) fn check(wheel: &Wheel, expected: &Expected) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = expected.name.to_string();
    if wheel.file_name != name {
        findings.push(Finding::wheel("tags.name", format!("the file is named {} instead of {name}", wheel.file_name)));
    }
    let dist_info = expected.name.dist_info();
    let member = format!("{dist_info}/WHEEL");
    let Some(content) = wheel.contents.get(&member) else {
        findings.push(Finding::member("tags.missing", &member, "it is missing from the wheel"));
        return findings;
    };
    for other in wheel.contents.keys().filter_map(|name| name.split_once(".dist-info/")).map(|(stem, _)| stem) {
        if format!("{other}.dist-info") != dist_info {
            let message = format!("a second dist-info folder lies beside {dist_info}");
            findings.push(Finding::member("tags.dist-info", &format!("{other}.dist-info"), message));
            break;
        }
    }

    let text = String::from_utf8_lossy(content);
    let values = |field: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(name, _)| *name == field).map(|(_, value)| value.trim().to_owned()).collect()
    };
    let mut field = |field: &str, wanted: Vec<String>| {
        let mut found = values(field);
        found.sort();
        if found != wanted {
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
            let message = format!("{field} is {found} instead of {}", wanted.join(", "));
            findings.push(Finding::member("tags.wheel", &member, message));
        }
    };
    field("Wheel-Version", vec!["1.0".to_owned()]);
    let machine_code = !wheel.elves.is_empty();
    field("Root-Is-Purelib", vec![(!machine_code).to_string()]);
    let mut tags: Vec<String> = expected.name.tags().collect();
    tags.sort();
    field("Tag", tags);
    findings
}
