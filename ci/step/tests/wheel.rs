//! Packs wheels and opens them again.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ci_step::wheel::{self, DistInfoFile, Metadata, Reader, WheelName, record};

fn name() -> WheelName {
    WheelName::abi3("faiss-gpu-cu12", "1.15.1.0", "manylinux_2_28_x86_64").unwrap()
}

fn metadata() -> Metadata {
    Metadata {
        name: "faiss-gpu-cu12".into(),
        version: "1.15.1.0".into(),
        summary: "Similarity search".into(),
        requires_python: ">=3.10".into(),
        license_expression: "MIT".into(),
        license_files: vec!["LICENSE".into()],
        ..Metadata::default()
    }
}

fn package(staged: &Path, order: &[&str]) {
    for file in order {
        let path = staged.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.repeat(100)).unwrap();
    }
    wheel::stage(staged, &name(), &metadata(), &[DistInfoFile::license("LICENSE", "MIT")]).unwrap();
}

#[test]
fn the_archive_depends_on_contents_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    package(&a, &["faiss/__init__.py", "faiss/_faiss.abi3.so", "faiss/kernels/flat.fatbin"]);
    package(&b, &["faiss/kernels/flat.fatbin", "faiss/_faiss.abi3.so", "faiss/__init__.py"]);
    fs::set_permissions(b.join("faiss/__init__.py"), fs::Permissions::from_mode(0o600)).unwrap();
    let first = wheel::pack(&a, &name(), &folder.path().join("out/a")).unwrap();
    let second = wheel::pack(&b, &name(), &folder.path().join("out/b")).unwrap();
    assert_eq!(first.sha256, second.sha256);
    assert_eq!(fs::read(&first.path).unwrap(), fs::read(&second.path).unwrap());
    // Changes with the format, the compressor and the version in WHEEL's Generator: every wheel's hash then changes too.
    insta::assert_snapshot!(first.sha256, @"66d70ce2d77d8dda4e2c244f0c779c532b717581230550db5de2ee7f3edd3ccc");
}

#[test]
fn members_are_in_order_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let staged = folder.path().join("staged");
    package(&staged, &["faiss/b.so", "faiss/a.py"]);
    let packed = wheel::pack(&staged, &name(), folder.path()).unwrap();
    assert_eq!(packed.path.file_name().unwrap().to_str().unwrap(), name().to_string());

    let mut reader = Reader::open(&packed.path).unwrap();
    let names: Vec<String> = reader.members().iter().map(|member| member.name.clone()).collect();
    assert_eq!(
        names,
        [
            "faiss/a.py",
            "faiss/b.so",
            "faiss_gpu_cu12-1.15.1.0.dist-info/METADATA",
            "faiss_gpu_cu12-1.15.1.0.dist-info/WHEEL",
            "faiss_gpu_cu12-1.15.1.0.dist-info/licenses/LICENSE",
            "faiss_gpu_cu12-1.15.1.0.dist-info/RECORD",
        ]
    );
    assert_eq!(reader.members()[0].mode, Some(0o100_644));
    assert_eq!(reader.members()[1].mode, Some(0o100_755));
    let record = record::parse(&reader.read(&names[5]).unwrap()).unwrap();
    for (entry, name) in record.iter().zip(&names[..5]) {
        assert_eq!(*entry, record::Entry::of(name, &reader.read(name).unwrap()));
    }
    assert_eq!(record.len(), 6);
    let wheel = String::from_utf8(reader.read("faiss_gpu_cu12-1.15.1.0.dist-info/WHEEL").unwrap()).unwrap();
    assert!(wheel.ends_with("Root-Is-Purelib: false\nTag: cp310-abi3-manylinux_2_28_x86_64\n"), "{wheel}");
}

#[test]
fn what_cannot_be_packed_is_refused_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (staged, out) = (folder.path().join("staged"), folder.path().join("out"));
    package(&staged, &["faiss/a.py"]);
    symlink("a.py", staged.join("faiss/link.py")).unwrap();
    assert_eq!(
        wheel::pack(&staged, &name(), &out).unwrap_err().to_string(),
        "member 'faiss/link.py': it is neither a plain file nor a folder; wheels hold no links"
    );
    fs::remove_file(staged.join("faiss/link.py")).unwrap();
    fs::remove_file(staged.join("faiss_gpu_cu12-1.15.1.0.dist-info/WHEEL")).unwrap();
    assert_eq!(
        wheel::pack(&staged, &name(), &out).unwrap_err().to_string(),
        "member 'faiss_gpu_cu12-1.15.1.0.dist-info/WHEEL': it is missing from the staged folder"
    );
    assert!(!out.exists());
}

#[test]
fn staging_compares_the_metadata_with_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let stage = |metadata: &Metadata| wheel::stage(folder.path(), &name(), metadata, &[]).unwrap_err().to_string();
    assert_eq!(
        stage(&Metadata { version: "1.15.1".into(), ..metadata() }),
        "metadata field Version: '1.15.1' is not the '1.15.1.0' of the wheel's file name"
    );
    assert_eq!(stage(&metadata()), "metadata field License-File: 'LICENSE' was not given");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
