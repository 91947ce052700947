//! Nothing but its inputs reaches a step. What a machine or a person may have is put in the way of real compilers, each thing
//! by its name, and what they make is the same, byte by byte.
//!
//! The sources are as small as the compilers allow: two kernels, and an extension of one function with a build script.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ci::plan::Plan;

use crate::support::{Place, script, small_kernels};
use crate::toolchain::lend;

/// Settings of cargo's that would change every byte.
const SETTINGS: &str = "[build]\nrustflags = [\"-C\", \"opt-level=0\"]\nrustc-wrapper = \"false\"\n\n\
    [profile.release]\nopt-level = 1\nlto = \"off\"\ndebug = true\n";

/// A checkout with an extension that takes seconds to build, and all that it needs. None where the usual cache lacks that.
fn extension(place: Place) -> Option<Place> {
    small_extension(&place);
    let needed =
        |name: &str| name == "openblas" || name.starts_with("fetch:ziglang") || name.starts_with("fetch:cargo-zig");
    lend(&place, "the extension is hermetic", needed).then_some(place)
}

/// Leaves two kernels and an extension of one function in a copy of this checkout.
pub fn small_extension(place: &Place) {
    fs::remove_dir_all(place.root().join("faiss-rs")).unwrap();
    small_kernels(place);
    let package = "[package]\nname = \"faiss-python\"\nversion = \"1.15.1\"\nedition = \"2024\"\n";
    place.write(
        "faiss-rs/python/Cargo.toml",
        &format!("{package}\n[lib]\nname = \"_faiss\"\ncrate-type = [\"cdylib\"]\n"),
    );
    place.write("faiss-rs/python/build.rs", "fn main() {\n    println!(\"cargo::rustc-cfg=built\");\n}\n");
    // A panic names its source, and the calls in between are what optimising changes.
    let library = "#[cfg(built)]\n#[unsafe(no_mangle)]\npub extern \"C\" fn nth(n: usize) -> u64 {\n    \
        let table: Vec<u64> = (0..100).map(|i| i * i).collect();\n    table[n]\n}\n";
    place.write("faiss-rs/python/src/lib.rs", library);
    let profile = "[profile.release]\ncodegen-units = 1\nlto = \"thin\"\nstrip = \"symbols\"\n";
    place.write("Cargo.toml", &format!("[workspace]\nresolver = \"3\"\nmembers = [\"faiss-rs/python\"]\n\n{profile}"));
    place.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"faiss-python\"\nversion = \"1.15.1\"\n");
}

pub fn plan(place: &Place) -> Plan {
    serde_json::from_str(&place.output(&["plan", "--cuda-major", "12", "--arch", "8.0", "--format", "json"])).unwrap()
}

/// What `cargo ci step extension` makes, after `change` had its way with the call.
fn built(place: &Place, change: impl FnOnce(&mut Command)) -> Vec<u8> {
    let plan = plan(place);
    let path = place.folder().join("plan.json");
    fs::write(&path, plan.to_json()).unwrap();
    let key = &plan.step("extension").unwrap().key;
    let entry = place.cache().join("steps").join(&key[..2]).join(key);
    if entry.exists() {
        fs::remove_dir_all(&entry).unwrap();
    }
    let mut command = place.command(&["step", "extension", "--plan", path.to_str().unwrap()]);
    change(&mut command);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(entry.join("out/_faiss.abi3.so")).unwrap()
}

/// The same call below another umask.
fn with_umask(command: &mut Command, umask: &str) {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("umask {umask} && exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    *command = shell;
}

#[test]
fn nothing_of_the_machine_or_its_user_reaches_the_compiler_of_the_extension() {
    let Some(place) = extension(Place::real()) else { return };
    let usual = built(&place, |_| {});
    let same = |what: &str, found: Vec<u8>| assert!(found == usual, "{what} changes the extension");
    let variables = [
        ("RUSTC_WRAPPER", "false"),
        ("RUSTFLAGS", "-C opt-level=0"),
        ("CARGO_ENCODED_RUSTFLAGS", "-Copt-level=0"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ("LD_PRELOAD", "/nowhere/libclock.so"),
    ];
    // All at once, and each by itself where that makes a difference.
    if built(&place, |command| _ = command.envs(variables)) != usual {
        for (name, value) in variables {
            same(name, built(&place, |command| _ = command.env(name, value)));
        }
        panic!("the variables change the extension together, and none does alone");
    }
    let log = fs::read_to_string(place.root().join("target/ci/logs/extension.log")).unwrap();
    assert!(!log.contains("LD_PRELOAD"), "{log}");

    let folder = place.folder().join("bin");
    script(&folder, "cc", "#!/bin/sh\necho the linker of the machine was asked >&2\nexit 1\n");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    same("another linker", built(&place, |command| _ = command.env("PATH", &path)));
    same("umask 077", built(&place, |command| with_umask(command, "077")));

    for folder in [place.folder().to_owned(), place.root()] {
        fs::create_dir_all(folder.join(".cargo")).unwrap();
        fs::write(folder.join(".cargo/config.toml"), SETTINGS).unwrap();
    }
    same("a cargo config in the checkout or its parent folder", built(&place, |_| {}));

    for year in ["1980-01-02", "2100-01-01"] {
        let sources = place.root().join("faiss-rs");
        let touch = format!("find '{}' -exec touch -d {year} {{}} +", sources.display());
        assert!(Command::new("sh").args(["-c", &touch]).status().unwrap().success());
        same("the time of the sources", built(&place, |_| {}));
    }
    let other = extension(Place::real_in("größe und maß, ")).unwrap();
    same("a path with spaces and umlauts", built(&other, |_| {}));
}

/// A checkout with two kernels, and all that a wheel of them needs but for what is made of the kernels.
fn kernels(place: Place) -> Option<Place> {
    small_kernels(&place);
    let made_here = |name: &str| ["kernels", "stage", "archive", "verify"].iter().any(|part| name.contains(part));
    lend(&place, "the kernels are hermetic", |name| !made_here(name)).then_some(place)
}

/// A library that tells every program that it is another time; the compiler of this machine makes it.
fn clock(folder: &Path) -> PathBuf {
    let source = folder.join("clock.c");
    let text = "#define _GNU_SOURCE\n#include <stdlib.h>\n#include <sys/syscall.h>\n#include <sys/time.h>\n#include <time.h>\n#include <unistd.h>\n\
        static time_t now(void) { return atoll(getenv(\"NOW\")); }\n\
        time_t time(time_t *t) { return t ? *t = now() : now(); }\n\
        int gettimeofday(struct timeval *t, void *z) { t->tv_sec = now(); t->tv_usec = 0; return 0; }\n\
        int clock_gettime(clockid_t c, struct timespec *t) {\n\
          int ended = syscall(SYS_clock_gettime, c, t);\n\
          if (c == CLOCK_REALTIME || c == CLOCK_REALTIME_COARSE) t->tv_sec = now();\n\
          return ended;\n}\n";
    fs::write(&source, text).unwrap();
    let library = folder.join("clock.so");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(compiled.unwrap().success());
    library
}

/// The wheel, by the worker alone, since nothing of the caller's environment comes through to it otherwise.
fn wheel(place: &Place, environment: &[(&str, &str)], umask: &str) -> Vec<u8> {
    let plan = plan(place);
    for step in plan.steps.iter().filter(|step| !place.finished().contains(&step.key)) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ci"));
        command.arg(ci::run::local::WORKER).current_dir(place.folder()).envs(environment.iter().copied());
        with_umask(&mut command, umask);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let task = plan.task(&step.name, &place.root(), &place.cache()).unwrap();
        child.stdin.take().unwrap().write_all(&serde_json::to_vec(&task).unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {}", step.name, String::from_utf8_lossy(&output.stdout));
    }
    let step = plan.step(&plan.wheels[0].archive).unwrap();
    fs::read(
        place.cache().join("steps").join(&step.key[..2]).join(&step.key).join("out").join(&plan.wheels[0].file_name),
    )
    .unwrap()
}

#[test]
fn no_clock_umask_or_path_reaches_the_wheel() {
    let Some(place) = kernels(Place::real()) else { return };
    let usual = wheel(&place, &[], "022");
    let library = clock(place.folder());
    let library = library.to_str().unwrap();
    for (year, now) in [("1980", "315619200"), ("2100", "4102444800")] {
        // It does say another time.
        let date = Command::new("date").arg("+%Y").envs([("LD_PRELOAD", library), ("NOW", now)]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&date.stdout).trim(), year);
        let found = wheel(&kernels(Place::real()).unwrap(), &[("LD_PRELOAD", library), ("NOW", now)], "022");
        assert!(found == usual, "a clock in {year} changes the wheel");
    }
    assert!(wheel(&kernels(Place::real()).unwrap(), &[], "077") == usual, "umask 077 changes the wheel");
    let other = kernels(Place::real_in("größe und maß, ")).unwrap();
    assert!(wheel(&other, &[], "022") == usual, "a path with spaces and umlauts changes the wheel");
}

/// Entries of the cache by the step's name.
fn entries(place: &Place) -> BTreeMap<String, PathBuf> {
    let path = |key: &String| place.cache().join("steps").join(&key[..2]).join(key);
    let name = |path: &PathBuf| {
        let text = fs::read(path.join("entry.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()["step"].as_str().unwrap().to_owned()
    };
    place.finished().iter().map(path).map(|path| (name(&path), path)).collect()
}

/// Forgets what was made of the kernels, but for their images where `images` says so.
fn forget(place: &Place, images: bool) {
    for (name, path) in entries(place) {
        if name.starts_with("cuda12:") && name != "cuda12:shim" || (images && name.starts_with("image:")) {
            fs::remove_dir_all(path).unwrap();
        }
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let mut bytes = fs::read(path).unwrap();
    assert_eq!(from.len(), to.len());
    let place = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
    bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_edit_in_the_store_is_noticed_even_where_the_size_stays() {
    let Some(place) = kernels(Place::real()) else { return };
    const BUILD: &[&str] = &["build-gpu-wheels", "--cuda-major", "12", "--arch", "8.0", "--output", "out"];
    let build = || {
        let said = place.run(BUILD);
        assert_eq!(said.code, 0, "{said}");
        let out = place.folder().join("out");
        let wheels = ci::api::verify::wheels_at(&out).unwrap();
        (said.stderr, fs::read(&wheels[0]).unwrap())
    };
    let usual = build().1;

    // An image, which a kernel that was compiled otherwise would give.
    let image = entries(&place)["image:fill:sm_80"].join("out/image");
    edit(&image, "fill", "fi11");
    forget(&place, false);
    assert!(build().1 == usual, "an edited image is in the wheel");

    // A header of the toolkit, in a copy of what the usual cache has.
    let name = "fetch:nvidia-cuda-runtime-cu12-12.1.105";
    let lent = entries(&place)[name].clone();
    let origin = fs::canonicalize(&lent).unwrap();
    fs::remove_file(&lent).unwrap();
    assert!(Command::new("cp").arg("-r").arg(&origin).arg(&lent).status().unwrap().success());
    let header = lent.join("out/nvidia/cuda_runtime/include/cuda_fp16.hpp");
    edit(&header, "cvt.rn", "cvt.rz");
    forget(&place, true);
    let (words, found) = build();
    assert!(words.contains(&format!("[corrupt] {name}: nvidia/cuda_runtime/include/cuda_fp16.hpp")), "{words}");
    assert!(found == usual, "an edited header is in the wheel");
}
