//! RECORD lists every member once, with its true hash and size, and nothing else.

use std::collections::BTreeSet;

use super::{Finding, Wheel};
use crate::wheel::record;

pub(super) fn check(wheel: &Wheel) -> Vec<Finding> {
    let Some((member, content)) = wheel.contents.iter().find(|(name, _)| is_record(name)) else {
        return vec![Finding::wheel("record.missing", "no dist-info folder holds a RECORD")];
    };
    let entries = match record::parse(content) {
        Ok(entries) => entries,
        Err(error) => return vec![Finding::member("record.format", member, error.to_string())],
    };
    let mut findings = Vec::new();
    let mut recorded = BTreeSet::new();
    for entry in &entries {
        let path = entry.path.as_str();
        let mut add = |code, message: String| findings.push(Finding::member(code, path, message));
        if !recorded.insert(path) {
            add("record.twice", "RECORD lists it twice".to_owned());
            continue;
        }
        let Some(content) = wheel.contents.get(path) else {
            add("record.surplus", "RECORD lists it, but the wheel does not hold it".to_owned());
            continue;
        };
        if path == member {
            if entry.hash.is_some() || entry.size.is_some() {
                add("record.self", "RECORD states a hash or size of itself".to_owned());
            }
            continue;
        }
        let (hash, size) = (record::hash(content), content.len() as u64);
        match &entry.hash {
            None => add("record.hash", "RECORD states no hash".to_owned()),
            Some(stated) if *stated != hash => add("record.hash", format!("RECORD states {stated}, it is {hash}")),
            Some(_) => {}
        }
        match entry.size {
            None => add("record.size", "RECORD states no size".to_owned()),
            Some(stated) if stated != size => {
                add("record.size", format!("RECORD states {stated} bytes, it has {size}"))
            }
            Some(_) => {}
        }
    }
    for name in wheel.contents.keys().filter(|name| !recorded.contains(name.as_str())) {
        // Signatures of RECORD can't be in it.
        if !name.ends_with(".dist-info/RECORD.jws") && !name.ends_with(".dist-info/RECORD.p7s") {
            findings.push(Finding::member("record.unlisted", name, "RECORD does not list it"));
        }
    }
    findings
}

fn is_record(name: &str) -> bool {
    name.strip_suffix(".dist-info/RECORD").is_some_and(|stem| !stem.contains('/'))
}
