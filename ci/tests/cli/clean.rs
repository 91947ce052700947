//! clean says what goes, removes that, and leaves the rest.

use std::fs;
use std::time::{Duration, SystemTime};

use ci_step::store::Store;

use crate::support::Place;

/// An entry of the step `name` that was last used so many days ago.
fn entry(place: &Place, key: &str, name: &str, days: u64) {
    let store = Store::open(&place.cache()).unwrap();
    let scratch = store.scratch(name).unwrap();
    fs::create_dir_all(scratch.path().join("out")).unwrap();
    fs::write(scratch.path().join("out/file"), vec![7; 1 << 20]).unwrap();
    store.commit(key, name, scratch, 1.0).unwrap();
    let file = store.output(key).parent().unwrap().join("entry.json");
    let used = SystemTime::now() - Duration::from_secs(days * 86_400);
    fs::File::options().append(true).open(file).unwrap().set_modified(used).unwrap();
}

#[test]
fn the_cache_is_pruned_by_age_and_number() {
    let place = Place::small();
    for (key, name, days) in
        [("aa01", "extension", 0), ("aa02", "extension", 9), ("aa03", "extension", 40), ("ab01", "shim", 50)]
    {
        entry(&place, key, name, days);
    }
    let dry = place.output(&["clean", "--older-than", "30", "--dry-run"]);
    assert!(dry.ends_with("2.1 MB would go; nothing was removed\n") && dry.contains("steps"), "{dry}");
    assert_eq!(place.finished(), ["aa01", "aa02", "aa03", "ab01"]);
    place.output(&["clean", "--older-than", "30", "--keep", "1"]);
    assert_eq!(place.finished(), ["aa01", "aa02", "ab01"]);
    let said = place.output(&["clean", "--keep", "1"]);
    assert!(said.ends_with("removed 1.0 MB\n"), "{said}");
    assert_eq!(place.finished(), ["aa01", "ab01"]);
    place.output(&["clean", "--all"]);
    assert!(place.finished().is_empty() && place.unfinished().is_empty());
}

#[test]
fn what_builds_left_in_the_checkout_goes_and_the_cache_stays() {
    let place = Place::small();
    entry(&place, "aa01", "extension", 0);
    place.write("wheelhouse/gpu/cuda12/some.whl", "0123456789");
    place.write("target/ci/logs/x.log", "");
    let said = place.output(&["clean"]);
    assert!(said.contains("wheelhouse: 0.0 MB"), "{said}");
    assert!(!place.root().join("wheelhouse").exists() && !place.root().join("target/ci").exists());
    assert_eq!(place.finished(), ["aa01"]);
    assert!(place.root().join("LICENSE").exists());
}
