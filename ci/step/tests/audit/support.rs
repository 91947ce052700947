//! A small wheel with everything that a real one has, made in the test, and means to damage it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ci_step::audit::{Budget, Expected, Image, Library, Report, verify};
use ci_step::wheel::{self, DistInfoFile, Metadata, Reader, WheelName, record};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

/// Machine code for 6.0, 9.0 and 9.0a, and PTX for 9.0.
pub const FATBIN: &[u8] = include_bytes!("../../../../kernels/src/fatbin/lz4.fatbin");
pub const DIST_INFO: &str = "faiss_gpu_cu12-1.15.1.0.dist-info";
pub const RUNPATH: &str = "$ORIGIN:$ORIGIN/../nvidia/cuda_runtime/lib:$ORIGIN/../nvidia/cublas/lib";

pub fn name() -> WheelName {
    WheelName::abi3("faiss-gpu-cu12", "1.15.1.0", &format!("manylinux_2_28_{}", std::env::consts::ARCH)).unwrap()
}

pub fn metadata() -> Metadata {
    Metadata {
        name: "faiss-gpu-cu12".into(),
        version: "1.15.1.0".into(),
        summary: "Similarity search".into(),
        requires_python: ">=3.10".into(),
        requires_dist: vec!["numpy>=1.22".into()],
        license_expression: "MIT".into(),
        license_files: vec!["LICENSE".into()],
        description: "# faiss".into(),
        ..Metadata::default()
    }
}

/// What the sample is, exactly.
pub fn expected() -> Expected {
    let library = |member: &str, soname: Option<&str>, needed: &[&str], runpath: Option<&str>, export: &str| Library {
        member: member.into(),
        soname: soname.map(str::to_owned),
        needed: needed.iter().map(|name| name.to_string()).collect(),
        runpath: runpath.map(str::to_owned),
        exports: vec![export.into()],
    };
    Expected {
        name: name(),
        glibc: Some((2, 28)),
        metadata: Some(metadata()),
        libraries: Some(vec![
            library("faiss/_faiss.abi3.so", None, &["libfaiss_openblas.so"], Some("$ORIGIN"), "PyInit__faiss"),
            library("faiss/libfaiss_openblas.so", Some("libfaiss_openblas.so"), &[], None, "scipy_cblas_sgemm"),
            library(
                "faiss/libfaiss_cuda.so",
                Some("libfaiss_cuda.so"),
                &["libcudart.so.12", "libcublas.so.12"],
                Some(RUNPATH),
                "faiss_cuda_version",
            ),
        ]),
        fatbins: Some(
            [("faiss/kernels/flat.fatbin".to_owned(), images(&["sm_60", "sm_90", "sm_90a", "compute_90"]))].into(),
        ),
        budget: Budget { wheel_bytes: Some(1 << 20), by_image: [(image("sm_90a"), 1 << 16)].into() },
    }
}

pub fn image(name: &str) -> Image {
    Image::try_from(name.to_owned()).unwrap()
}

pub fn images(names: &[&str]) -> BTreeSet<Image> {
    names.iter().map(|name| image(name)).collect()
}

/// A shared library to be linked with the system's compiler driver, which Rust needs as well.
#[derive(Default)]
pub struct Linked {
    pub soname: Option<&'static str>,
    pub runpath: Option<&'static str>,
    /// Libraries to be NEEDED, by SONAME.
    pub needed: Vec<&'static str>,
    pub exports: Vec<&'static str>,
    /// Symbols left undefined.
    pub imports: Vec<&'static str>,
    /// Symbols that libc.so.6 provides at a version. The libc they are linked with is made here, so that the host's does
    /// not matter.
    pub libc: Vec<(&'static str, &'static str)>,
    pub flags: Vec<&'static str>,
}

impl Linked {
    pub fn link(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let mut stubs = Vec::new();
        for soname in &self.needed {
            stubs.push(cc(folder.path(), soname, "const int provided = 1;", &[&format!("-Wl,-soname,{soname}")]));
        }
        let mut source = String::new();
        if !self.libc.is_empty() {
            let provided: String = self.libc.iter().map(|(symbol, _)| format!("void {symbol}(void) {{}}\n")).collect();
            let script: String =
                self.libc.iter().map(|(symbol, version)| format!("{version} {{ {symbol}; }};\n")).collect();
            let map = folder.path().join("libc.map");
            fs::write(&map, script).unwrap();
            let flags = ["-Wl,-soname,libc.so.6", "-fno-builtin", &format!("-Wl,--version-script={}", map.display())];
            stubs.push(cc(folder.path(), "libc.so.6", &provided, &flags));
        }
        for (index, import) in self.imports.iter().chain(self.libc.iter().map(|(symbol, _)| symbol)).enumerate() {
            source += &format!("extern char {import}[]; __attribute__((used)) static void *use{index} = {import};\n");
        }
        for export in &self.exports {
            source += &format!("const int {export} = 1;\n");
        }
        let mut flags: Vec<String> = self.flags.iter().map(|flag| flag.to_string()).collect();
        flags.extend(self.soname.map(|soname| format!("-Wl,-soname,{soname}")));
        flags.extend(self.runpath.map(|runpath| format!("-Wl,-rpath,{runpath}")));
        flags.extend(stubs.iter().map(|stub| stub.display().to_string()));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        fs::read(cc(folder.path(), "linked.so", &source, &flags)).unwrap()
    }
}

fn cc(folder: &Path, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let (code, library) = (folder.join(format!("{name}.c")), folder.join(name));
    fs::write(&code, source).unwrap();
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-nostdlib", "-Wl,--no-as-needed,--enable-new-dtags,-z,noexecstack", "-o"]);
    let output = command.arg(&library).arg(&code).args(flags).output().expect("cc links Rust programs too");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

pub fn extension() -> Linked {
    Linked {
        runpath: Some("$ORIGIN"),
        needed: vec!["libfaiss_openblas.so"],
        exports: vec!["PyInit__faiss"],
        imports: vec!["PyModule_Create2", "scipy_cblas_sgemm"],
        libc: vec![("memcpy", "GLIBC_2.14")],
        ..Linked::default()
    }
}

pub fn shim() -> Linked {
    Linked {
        soname: Some("libfaiss_cuda.so"),
        runpath: Some(RUNPATH),
        needed: vec!["libcudart.so.12", "libcublas.so.12"],
        exports: vec!["faiss_cuda_version"],
        ..Linked::default()
    }
}

/// A wheel's members, in order. Whatever changes a member keeps RECORD true, unless it is about RECORD.
pub struct Sample {
    pub members: Vec<(String, Vec<u8>)>,
}

impl Sample {
    /// The wheel that [`expected`] describes, packed and read back.
    pub fn good() -> Sample {
        static GOOD: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
        let members = GOOD.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let staged = folder.path().join("staged");
            let openblas = Linked {
                soname: Some("libfaiss_openblas.so"),
                exports: vec!["scipy_cblas_sgemm"],
                libc: vec![("memcpy", "GLIBC_2.14")],
                ..Linked::default()
            };
            for (member, content) in [
                ("faiss/__init__.py", b"\"\"\"A module.\"\"\"\n".to_vec()),
                ("faiss/_faiss.abi3.so", extension().link()),
                ("faiss/libfaiss_openblas.so", openblas.link()),
                ("faiss/libfaiss_cuda.so", shim().link()),
                ("faiss/kernels/flat.fatbin", FATBIN.to_vec()),
            ] {
                let path = staged.join(member);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            wheel::stage(&staged, &name(), &metadata(), &[DistInfoFile::license("LICENSE", "MIT License\n")]).unwrap();
            let packed = wheel::pack(&staged, &name(), folder.path()).unwrap();
            let mut reader = Reader::open(&packed.path).unwrap();
            let names: Vec<String> = reader.members().iter().map(|member| member.name.clone()).collect();
            names.into_iter().map(|name| (name.clone(), reader.read(&name).unwrap())).collect()
        });
        Sample { members: members.clone() }
    }

    pub fn get(&mut self, member: &str) -> &mut Vec<u8> {
        &mut self.members.iter_mut().find(|(name, _)| name == member).unwrap().1
    }

    /// Replaces or adds a member.
    pub fn with(mut self, member: &str, content: impl Into<Vec<u8>>) -> Sample {
        self.members.retain(|(name, _)| name != member);
        self.members.insert(0, (member.to_owned(), content.into()));
        self.recorded()
    }

    pub fn without(mut self, member: &str) -> Sample {
        self.members.retain(|(name, _)| name != member);
        self.recorded()
    }

    /// Replaces text in a member. RECORD stays as it is when the member is RECORD.
    pub fn edited(mut self, member: &str, from: &str, to: &str) -> Sample {
        let content = self.get(member);
        let text = String::from_utf8(content.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        *content = text.replace(from, to).into_bytes();
        if member.ends_with("/RECORD") { self } else { self.recorded() }
    }

    /// Writes RECORD anew.
    fn recorded(mut self) -> Sample {
        let own = format!("{DIST_INFO}/RECORD");
        let listed = self.members.iter().filter(|(name, _)| *name != own);
        let entries: Vec<record::Entry> = listed.map(|(name, content)| record::Entry::of(name, content)).collect();
        *self.get(&own) = record::render(&entries, &own).into_bytes();
        self
    }

    pub fn write(&self, folder: &TempDir, file_name: &str) -> PathBuf {
        let path = folder.path().join(file_name);
        let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, content) in &self.members {
            archive.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap();
        path
    }

    pub fn verify(&self, expected: &Expected) -> Report {
        let folder = tempfile::tempdir().unwrap();
        verify(&self.write(&folder, &name().to_string()), expected)
    }

    /// What [`verify`] finds, with [`expected`] as it is.
    pub fn findings(&self) -> Vec<String> {
        findings(&self.verify(&expected()))
    }
}

pub fn findings(report: &Report) -> Vec<String> {
    report.findings().map(ToString::to_string).collect()
}

pub fn in_dist_info(file: &str) -> String {
    format!("{DIST_INFO}/{file}")
}
