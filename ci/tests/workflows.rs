//! What the workflows of .github/workflows call exists: every command is taken from the file itself and held against the
//! command line's own parser, or the module's own table. What they all promise is asked of each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ci::api::table::{FUNCTIONS, Served};

fn workflows() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".github/workflows");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// What follows `marker` on a line, up to what the shell does with it.
fn calls<'a>(text: &'a str, marker: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(move |line| {
        let (_, rest) = line.split_once(marker)?;
        Some(rest.split([';', '|', '>']).next().unwrap_or(rest).trim())
    })
}

/// The words of a command, with a value for every variable of the shell and of GitHub.
fn words(call: &str) -> Vec<String> {
    let mut text = call.replace('"', "");
    while let Some((before, rest)) = text.split_once("${{") {
        let after = rest.split_once("}}").map_or("", |(_, after)| after);
        text = format!("{before}12{after}");
    }
    let value = |word: &str| match word.split_once('$') {
        Some((before, _)) => format!("{before}12"),
        None => word.to_owned(),
    };
    text.split_whitespace().map(value).collect()
}

#[test]
fn every_command_is_one_that_the_command_line_takes() {
    let mut seen = 0;
    for (name, text) in workflows() {
        for call in calls(&text, "cargo ci ") {
            let words = std::iter::once("ci".to_owned()).chain(words(call));
            if let Err(error) = ci::front::command().try_get_matches_from(words) {
                panic!("{name}: cargo ci {call}\n{error}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} commands were found");
}

#[test]
fn every_call_of_the_module_is_a_function_of_it_with_such_arguments() {
    let mut seen = 0;
    for (name, text) in workflows() {
        for call in calls(&text, "dagger call ").chain(calls(&text, " call: ")) {
            let words = words(call);
            let function = FUNCTIONS.iter().find(|function| function.name == words[0]);
            // Checks and objects are the module's own.
            let Some(function) = function else {
                assert!(words[0].starts_with("check-"), "{name}: the module has no function {}", words[0]);
                continue;
            };
            assert!(!matches!(function.served, Served::No), "{name}: {} is not served by an engine", words[0]);
            for flag in words.iter().filter_map(|word| word.strip_prefix("--")) {
                // Where dagger itself writes what a function gives.
                let known = function.arguments.iter().any(|argument| argument.served == Some(flag)) || flag == "output";
                assert!(known, "{name}: {} has no argument --{flag}", words[0]);
            }
            seen += 1;
        }
    }
    assert!(seen >= 4, "only {seen} calls were found");
}

#[test]
fn no_workflow_has_more_rights_than_it_says_or_takes_what_could_move() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (name, text) in workflows() {
        assert!(text.contains("\npermissions: {}\n"), "{name} has rights by default");
        assert!(!text.contains("secrets."), "{name} reads a secret");
        assert!(!text.contains("pull_request_target"), "{name} runs code of forks with rights of its own");
        for line in text.lines().map(str::trim) {
            let Some(action) = line.strip_prefix("- uses: ").or(line.strip_prefix("uses: ")) else { continue };
            if let Some(file) = action.strip_prefix("./") {
                let file = file.split(' ').next().unwrap_or_default();
                let text = fs::read_to_string(root.join(file)).unwrap_or_default();
                assert!(text.contains("\n  workflow_call:\n"), "{name}: {file} is no workflow that can be called");
            } else {
                let commit = action.split_once('@').and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default();
                let pinned = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
                assert!(
                    pinned && action.contains(" # v"),
                    "{name}: {action} is not pinned by commit with its release beside it"
                );
            }
        }
        let (checkouts, bare) =
            (text.matches("actions/checkout@").count(), text.matches("persist-credentials: false").count());
        assert_eq!(checkouts, bare, "{name} leaves credentials in a checkout");
    }
    let release = workflows().into_iter().find(|(name, _)| name == "release.yml").unwrap().1;
    assert!(!release.contains("actions/cache"), "a release is made from nothing that an earlier run left");
    // Every CUDA major of versions.toml is built, proven and published.
    for cuda in ci::pins::versions::Versions::load(root).unwrap().cuda {
        let major = cuda.major;
        for part in [
            format!("--cuda-major {major}"),
            format!("name: proof-{major}"),
            format!("path: wheelhouse/gpu/cuda{major}"),
        ] {
            assert!(release.contains(&part), "release.yml lacks {part}");
        }
    }
}

/// The script of a step, by the step's name.
fn script(workflow: &str, step: &str) -> String {
    let text = workflows().into_iter().find(|(name, _)| name == workflow).unwrap().1;
    let (_, rest) = text.split_once(&format!("- name: {step}\n")).unwrap();
    let (_, rest) = rest.split_once("run: |\n").unwrap();
    let indent = rest.len() - rest.trim_start().len();
    let lines = rest.lines().take_while(|line| line.is_empty() || line.len() - line.trim_start().len() >= indent);
    lines.map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect()
}

/// Runs it as a runner does, with these programs in the place of those that reach out.
fn run(folder: &Path, script: &str, programs: &[(&str, &str)]) -> Output {
    use std::os::unix::fs::PermissionsExt;
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    for (name, text) in programs {
        fs::write(bin.join(name), format!("#!/bin/bash\n{text}\n")).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc", "-e", "-c", script]).current_dir(folder);
    command.env("PATH", path).env("RUNNER_TEMP", folder).env("GITHUB_REF_NAME", "v1.2.3.0").output().unwrap()
}

fn put(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path: PathBuf = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn a_release_ends_where_the_engines_disagree() {
    let compare = script("release.yml", "compare");
    let place = tempfile::tempdir().unwrap();
    put(place.path(), &[("host/gpu/cuda12/a.whl", "1"), ("host/cpu/b.whl", "2"), ("dagger/gpu/cuda12/a.whl", "1")]);
    assert!(!run(place.path(), &compare, &[]).status.success(), "a wheel is missing");
    put(place.path(), &[("dagger/cpu/b.whl", "2")]);
    assert!(run(place.path(), &compare, &[]).status.success());
    put(place.path(), &[("dagger/cpu/b.whl", "3")]);
    assert!(!run(place.path(), &compare, &[]).status.success(), "a wheel is another");
    let empty = tempfile::tempdir().unwrap();
    fs::create_dir(empty.path().join("host")).unwrap();
    fs::create_dir(empty.path().join("dagger")).unwrap();
    assert!(!run(empty.path(), &compare, &[]).status.success(), "there is none at all");
}

#[test]
fn a_release_of_github_has_every_file() {
    let place = tempfile::tempdir().unwrap();
    for folder in ["gpu/cuda11", "gpu/cuda12", "gpu/cuda13", "cpu"] {
        let name = folder.replace('/', "_");
        put(place.path(), &[(&format!("all/wheels/{folder}/manifest.json"), "{}")]);
        put(place.path(), &[(&format!("all/wheels/{folder}/{name}.whl"), "")]);
    }
    for major in [11, 12, 13] {
        put(place.path(), &[(&format!("all/proof-{major}/proof.json"), "{}")]);
    }
    let programs = [("cargo", "touch \"${@: -1}\""), ("unzip", "echo sbom")];
    let output = run(place.path(), &script("release.yml", "gather"), &programs);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sums = fs::read_to_string(place.path().join("files/SHA256SUMS")).unwrap();
    let mut names: Vec<&str> = sums.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    names.sort_unstable();
    let wanted = [
        "cpu.whl",
        "gpu_cuda11.whl",
        "gpu_cuda12.whl",
        "gpu_cuda13.whl",
        "manifest-cpu.json",
        "manifest-cuda11.json",
        "manifest-cuda12.json",
        "manifest-cuda13.json",
        "proof-cuda11.json",
        "proof-cuda12.json",
        "proof-cuda13.json",
        "report.html",
        "sbom-cpu.json",
        "sbom-cuda11.json",
        "sbom-cuda12.json",
        "sbom-cuda13.json",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn pins_are_raised_one_by_one_and_a_refusal_is_said() {
    let place = tempfile::tempdir().unwrap();
    let cargo = "if [ \"$2\" = lock ]; then printf 'ruff: 1 -> 2\\nnvrtc: 3 -> 4\\n2 of 9 pins have a newer release.\\n'; exit; fi\n\
                 echo \"$@\" >> calls; [ \"$3\" != nvrtc==4 ]";
    let output = run(
        place.path(),
        &script("deps.yml", "raise what can be raised"),
        &[("cargo", cargo), ("git", "echo changed")],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(place.path().join("calls")).unwrap(), "ci bump ruff==2\nci bump nvrtc==4\n");
    assert!(String::from_utf8_lossy(&output.stdout).contains("left as it is: nvrtc"));
    assert_eq!(fs::read_to_string(place.path().join("change.patch")).unwrap(), "changed\n");
}
