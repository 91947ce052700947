//! Steps that are killed in the middle, without a chance to put anything in order. Those that a new version makes anew (stage,
//! archive, verify) are killed in the rehearsal of a release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ci::api::release::rehearsal::killed::end;
use ci_step::store::{Found, Store};

use crate::hermetic::{plan, small_extension};
use crate::support::Place;
use crate::toolchain::lend;

/// What a step made: path, size and hash of each file.
fn made(place: &Place, key: &str) -> Vec<(String, u64, String)> {
    match Store::at(&place.cache()).peek(key).unwrap() {
        Found::Entry(entry) => {
            entry.outputs.into_iter().map(|output| (output.path, output.bytes, output.sha256)).collect()
        }
        found => panic!("{key}: {found:?}"),
    }
}

/// Starts the step and kills it, with the compilers that it started, once `begun` says of its folder that it is at work.
fn kill_at_work(place: &Place, arguments: &[&str], entry: &Path, begun: impl Fn(&Path) -> bool) {
    let before = place.unfinished();
    // A step of a tenth of a second may be quicker than who watches it.
    for _ in 0..20 {
        let mut command = place.command(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let at_work = || place.unfinished().iter().any(|folder| !before.contains(folder) && begun(folder));
        while !at_work() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        end(&mut child);
        if !entry.exists() && at_work() {
            return;
        }
        if entry.exists() {
            fs::remove_dir_all(entry).unwrap();
        }
    }
    panic!("{arguments:?} was never met at work");
}

#[test]
fn a_step_that_is_killed_is_made_whole_by_the_next_run() {
    let place = Place::real();
    small_extension(&place);
    if !lend(&place, "a step that is killed", |name| name.starts_with("fetch:")) {
        return;
    }
    let plan = plan(&place);
    let path = place.folder().join("plan.json");
    fs::write(&path, plan.to_json()).unwrap();
    let mut killed = Vec::new();
    for step in &plan.steps {
        let kind = step.name.split(':').find(|part| ["openblas", "extension", "shim", "kernels"].contains(part));
        let Some(kind) = kind.or(step.name.starts_with("fetch:scipy-openblas").then_some("fetch")) else { continue };
        let entry = place.cache().join("steps").join(&step.key[..2]).join(&step.key);
        if kind == "fetch" {
            // The download stays, and is unpacked once more.
            fs::remove_file(&entry).unwrap();
        }
        let arguments = ["step", &step.name, "--plan", path.to_str().unwrap()];
        kill_at_work(&place, &arguments, &entry, |folder| match kind {
            "extension" => folder.join("scratch/target").exists(),
            _ => true,
        });

        let said = place.run(&arguments);
        assert_eq!(said.code, 0, "{said}");
        let after = made(&place, &step.key);
        assert!(!after.is_empty());
        // In peace it makes the same; `hermetic` shows that of the extension.
        if kind != "extension" {
            fs::remove_dir_all(&entry).unwrap();
            assert_eq!(place.run(&arguments).code, 0);
            assert_eq!(made(&place, &step.key), after, "{}", step.name);
        }
        if !killed.contains(&kind) {
            killed.push(kind);
        }
    }
    killed.sort_unstable();
    assert_eq!(killed, ["extension", "fetch", "kernels", "openblas", "shim"]);

    // What they left behind is room alone, and is given back after a day.
    let left = place.unfinished();
    assert!(left.len() >= killed.len(), "{left:?}");
    for folder in left {
        assert!(Command::new("touch").args(["-d", "2 days ago"]).arg(folder).status().unwrap().success());
    }
    let first = plan.steps.iter().find(|step| step.name == "openblas").unwrap();
    assert_eq!(place.run(&["step", &first.name, "--plan", path.to_str().unwrap()]).code, 0);
    assert_eq!(place.unfinished(), Vec::<PathBuf>::new());
}
