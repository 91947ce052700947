//! Builds with the real compilers, on a copy of this checkout. What takes long or comes from the network, the downloads
//! and the extension, is lent by the usual cache; `cargo ci test` runs this when they are there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ci::plan::{Action, Plan, Step};
use ci_step::store::{Found, Store};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Place, Said, only_families, said};

/// One architecture, so that little is compiled.
const BUILD: &[&str] = &["build-gpu-wheels", "--cuda-major", "12", "--arch", "8.0", "--jobs", "2"];

/// The steps of the plan that `BUILD` makes: key by name.
fn keys(place: &Place) -> BTreeMap<String, String> {
    plan(place).steps.into_iter().map(|step| (step.name, step.key)).collect()
}

fn plan(place: &Place) -> Plan {
    let text = place.output(&["plan", "--cuda-major", "12", "--arch", "8.0", "--format", "json"]);
    serde_json::from_str(&text).unwrap()
}

/// A copy of this checkout with a few of its kernels, and with a cache that has all but those and the wheel. None where the
/// usual one lacks something.
fn lent(test: &str) -> Option<Place> {
    let place = few();
    let made_here = |name: &str| ["kernels", "stage", "archive", "verify"].iter().any(|part| name.contains(part));
    lend(&place, test, |name| !made_here(name)).then_some(place)
}

fn few() -> Place {
    let place = Place::real();
    only_families(&place, &["rows", "group", "select"]);
    place
}

/// Lends the place what the usual cache has of those steps of `BUILD` that `wanted` names, and the downloads behind them.
/// False where something is missing, which is said.
pub fn lend(place: &Place, test: &str, wanted: impl Fn(&str) -> bool) -> bool {
    let Ok(usual) = Store::default_root().and_then(|root| Store::open(&root)) else { return false };
    let link = |from: &Path, to: &Path| {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(from, to).unwrap();
    };
    let plan = plan(place);
    for step in plan.steps.iter().filter(|step| wanted(&step.name)) {
        let Step { name, key, .. } = step;
        let found = matches!(usual.look(key), Ok(Found::Entry(_))).then(|| key.clone());
        // Any earlier extension does: what is in it is not asked here.
        let found = found.or_else(|| earlier(&usual).filter(|_| name == "extension"));
        let Some(found) = found else {
            println!("skipped: {test}: {name} is not in the usual cache; build a wheel first");
            return false;
        };
        link(usual.output(&found).parent().unwrap(), &place.cache().join("steps").join(&key[..2]).join(key));
        if let Action::Fetch { file, .. } = &step.action
            && usual.file(file).is_file()
        {
            link(&usual.file(file), &Store::at(&place.cache()).file(file));
        }
    }
    true
}

/// versions.toml is judged without a compiler, by a table; the compilers that are here say the same.
#[test]
fn the_compilers_know_the_architectures_that_the_table_says() {
    let versions = ci::pins::versions::Versions::load(crate::support::repository()).unwrap();
    let usual = Store::default_root().and_then(|root| Store::open(&root)).unwrap();
    let text = Place::real().output(&["plan", "--format", "json"]);
    let plan: Plan = serde_json::from_str(&text).unwrap();
    for cuda in &versions.cuda {
        let step = plan.step(&format!("fetch:{}-{}", cuda.nvrtc.package, cuda.nvrtc.version)).unwrap();
        let found = matches!(usual.look(&step.key), Ok(Found::Entry(_))).then(|| usual.output(&step.key));
        let is_library = |path: &PathBuf| path.to_string_lossy().contains("/libnvrtc.so");
        let Some(library) = found.and_then(|folder| files(&folder).into_iter().find(is_library)) else {
            println!("skipped: the architectures of CUDA {}: its compiler is not in the usual cache", cuda.toolkit);
            continue;
        };
        let known = faiss_kernels::supported_archs(&library).unwrap();
        let (major, minor) = cuda.toolkit.split_once('.').unwrap();
        let toolkit = (major.parse::<u64>().unwrap(), minor.parse::<u64>().unwrap());
        for (name, first, last) in ci::pins::versions::ARCHITECTURES {
            let arch: faiss_kernels::Arch = name.parse().unwrap();
            // Letters are not listed by a compiler.
            if arch.suffix.is_none() {
                let expected = first <= toolkit && toolkit.0 <= last;
                assert_eq!(known.contains(&arch), expected, "{name} and NVRTC of CUDA {}", cuda.toolkit);
            }
        }
    }
}

/// The key of some extension that was built before.
fn earlier(usual: &Store) -> Option<String> {
    let folders = fs::read_dir(usual.root().join("steps")).ok()?.flatten();
    let entries = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
    let says = |entry: &fs::DirEntry| {
        let text = fs::read_to_string(entry.path().join("entry.json")).unwrap_or_default();
        text.contains("\"step\":\"extension\"")
    };
    let mut keys = entries.filter(says).filter_map(|entry| entry.file_name().into_string().ok());
    keys.find(|key| matches!(usual.look(key), Ok(Found::Entry(_))))
}

fn wheel(folder: &Path) -> PathBuf {
    let name = "faiss_gpu_cu12-1.15.1.0+sm80-cp310-abi3-manylinux_2_28_x86_64.whl";
    folder.join("wheelhouse/gpu/partial/cuda12-sm80").join(name)
}

fn build(place: &Place) -> Said {
    place.run(BUILD)
}

#[test]
fn a_kernel_that_does_not_compile_shows_the_compilers_words() {
    let Some(place) = lent("a kernel that does not compile shows the compiler's words") else { return };
    let before = place.finished();
    place.write("wheelhouse/gpu/cuda12/manifest.json", "an earlier one");
    let path = place.root().join("kernels/rows.cu");
    let text = fs::read_to_string(&path).unwrap();
    let line = text.lines().count() + 1;
    fs::write(&path, text + "__global__ void wrong() { return 1 +; }\n").unwrap();
    let failed = keys(&place);
    let built = build(&place);
    assert_eq!(built.code, 3, "{built}");
    assert!(built.stderr.contains(&format!("kernels/rows.cu({line}): error: expected an expression")), "{built}");
    let last: Vec<&str> = built.stderr.lines().rev().take(2).collect();
    assert!(last[1].ends_with("Kernel family rows does not compile for sm_80."), "{built}");
    assert!(last[0].starts_with("NVRTC's log above names file and line"), "{built}");
    // Nothing of it is kept, and what was there is as it was.
    let finished = place.finished();
    assert!(before.iter().all(|key| finished.contains(key)));
    assert!(!finished.contains(&failed["cuda12:kernels:rows"]));
    assert_eq!(place.unfinished(), Vec::<PathBuf>::new());
    assert_eq!(fs::read_to_string(place.root().join("wheelhouse/gpu/cuda12/manifest.json")).unwrap(), "an earlier one");
    assert!(!wheel(&place.root()).exists());
}

/// One story, since each part needs what the one before it made.
#[test]
fn interrupted_finished_damaged_and_shared() {
    let Some(place) = lent("interrupted, finished, damaged and shared") else { return };
    interrupt(&place);
    let built = build(&place);
    assert_eq!(built.code, 0, "{built}");
    assert_eq!(place.unfinished(), Vec::<PathBuf>::new());
    let bytes = fs::read(wheel(&place.root())).unwrap();
    let finished = place.finished();

    // Nothing has changed: nothing runs, and that is quick.
    let started = Instant::now();
    let built = build(&place);
    assert!(built.code == 0 && built.stderr.contains("0 of "), "{built}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());

    // Every file that this cache made is damaged, from the wheel back to the kernels.
    let mut damaged = 0;
    for key in &finished {
        let entry = place.cache().join("steps").join(&key[..2]).join(key);
        if entry.is_symlink() {
            continue;
        }
        for file in files(&entry.join("out")) {
            let mut content = fs::read(&file).unwrap();
            if let Some(byte) = content.first_mut() {
                *byte ^= 0x55;
                fs::write(&file, content).unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged > 10);
    fs::remove_file(wheel(&place.root())).unwrap();
    let built = build(&place);
    assert_eq!(built.code, 0, "{built}");
    for name in keys(&place).keys().filter(|name| name.starts_with("cuda12:") && *name != "cuda12:shim") {
        assert!(built.stderr.contains(&format!("[corrupt] {name}: ")), "{name}: {built}");
    }
    assert!(fs::read(wheel(&place.root())).unwrap() == bytes, "the wheel differs");
    assert_eq!(place.finished(), finished);

    // Another clone finds everything, and leaves the first one's folders alone.
    let clone = few();
    let logs = || files(&place.root().join("target/ci/logs")).len();
    let before = logs();
    let built = said(&mut clone.command_with(BUILD, &place.cache()), clone.folder());
    assert!(built.code == 0 && built.stderr.contains("0 of "), "{built}");
    assert!(fs::read(wheel(&clone.root())).unwrap() == bytes);
    assert_eq!(logs(), before);
    assert!(!clone.cache().exists());
}

/// Starts a build and sends it Ctrl-C's signal while kernels are compiled.
fn interrupt(place: &Place) {
    let before = place.finished();
    let mut command = place.command(&[BUILD, &["--log-format", "json"]].concat());
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut events = Vec::new();
    for line in &mut lines {
        let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let compiling = event["event"] == "start" && event["step"].as_str().unwrap().contains(":kernels:");
        events.push(event);
        if compiling {
            break;
        }
    }
    std::thread::sleep(Duration::from_millis(150));
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let started = Instant::now();
    events.extend(lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()));
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{events:?}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["failure"]["kind"]), (&"failure".into(), &"interrupted".into()), "{events:?}");
    assert_eq!(place.unfinished(), Vec::<PathBuf>::new());
    assert!(!wheel(&place.root()).exists());
    assert_eq!(children(place), Vec::<String>::new());
    // What had ended well by then is whole.
    let store = Store::open(&place.cache()).unwrap();
    for key in place.finished().iter().filter(|key| !before.contains(key)) {
        assert!(matches!(store.look(key), Ok(Found::Entry(_))));
    }
}

/// Programs that still work on this place.
fn children(place: &Place) -> Vec<String> {
    let folder = place.folder().display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains(&folder) {
            found.push(words);
        }
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
