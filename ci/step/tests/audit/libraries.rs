use crate::support::{Linked, RUNPATH, Sample, extension, shim};

const EXTENSION: &str = "faiss/_faiss.abi3.so";
const SHIM: &str = "faiss/libfaiss_cuda.so";

fn with_extension(change: impl FnOnce(&mut Linked)) -> Vec<String> {
    let mut linked = extension();
    change(&mut linked);
    Sample::good().with(EXTENSION, linked.link()).findings()
}

fn with_shim(change: impl FnOnce(&mut Linked)) -> Vec<String> {
    let mut linked = shim();
    change(&mut linked);
    Sample::good().with(SHIM, linked.link()).findings()
}

#[test]
fn a_symbol_newer_than_the_tag() {
    assert_eq!(
        with_extension(|linked| linked.libc.extend([("pthread_create", "GLIBC_2.34"), ("dlsym", "GLIBC_2.28")])),
        ["faiss/_faiss.abi3.so: pthread_create needs GLIBC_2.34 of libc.so.6, newer than GLIBC_2.28 [glibc.newer]"]
    );
}

#[test]
fn a_version_that_no_tag_promises() {
    assert_eq!(
        with_extension(|linked| linked.libc.push(("secret", "GLIBC_PRIVATE"))),
        ["faiss/_faiss.abi3.so: secret needs GLIBC_PRIVATE of libc.so.6, newer than GLIBC_2.28 [glibc.newer]"]
    );
}

#[test]
fn a_symbol_outside_the_stable_abi() {
    assert_eq!(
        with_extension(|linked| linked.imports.extend(["PyObject_GetBuffer", "_PyLong_New", "PyList_New"])),
        [
            "faiss/_faiss.abi3.so: PyObject_GetBuffer, _PyLong_New are not in the stable ABI of CPython 3.10 [abi3.symbol]"
        ]
    );
}

#[test]
fn libpython_needed() {
    assert_eq!(
        with_extension(|linked| linked.needed.push("libpython3.12.so.1.0")),
        [
            "faiss/_faiss.abi3.so: libpython3.12.so.1.0 is NEEDED, but may not be [elf.needed]",
            "faiss/_faiss.abi3.so: libpython is NEEDED, which ties it to one CPython [abi3.libpython]",
        ]
    );
}

#[test]
fn libcuda_needed() {
    assert_eq!(
        with_shim(|linked| linked.needed.push("libcuda.so.1")),
        [
            "faiss/libfaiss_cuda.so: libcuda.so.1 is NEEDED, so that it cannot be loaded without an NVIDIA driver [elf.libcuda]",
            "faiss/libfaiss_cuda.so: libcuda.so.1 is NEEDED, but may not be [elf.needed]",
        ]
    );
}

#[test]
fn a_needed_library_left_out() {
    assert_eq!(
        with_shim(|linked| linked.needed = vec!["libcudart.so.11.0", "libcublas.so.12"]),
        [
            "faiss/libfaiss_cuda.so: libcudart.so.12 is not NEEDED, but has to be [elf.needed]",
            "faiss/libfaiss_cuda.so: libcudart.so.11.0 is NEEDED, but may not be [elf.needed]",
        ]
    );
}

#[test]
fn a_foreign_runpath() {
    let expected = format!("RUNPATH is '$ORIGIN:/opt/cuda/lib64', expected is '{RUNPATH}'");
    assert_eq!(
        with_shim(|linked| linked.runpath = Some("$ORIGIN:/opt/cuda/lib64")),
        [
            "faiss/libfaiss_cuda.so: RUNPATH has '/opt/cuda/lib64', which is not below $ORIGIN [elf.runpath]"
                .to_owned(),
            format!("faiss/libfaiss_cuda.so: {expected} [elf.runpath]"),
        ]
    );
    assert_eq!(
        with_extension(|linked| linked.flags.push("-Wl,--disable-new-dtags")),
        [
            "faiss/_faiss.abi3.so: RPATH '$ORIGIN' overrides LD_LIBRARY_PATH; only RUNPATH may be set [elf.rpath]",
            "faiss/_faiss.abi3.so: RUNPATH is missing, expected is '$ORIGIN' [elf.runpath]",
        ]
    );
}

#[test]
fn openblas_under_another_soname() {
    let openblas = Linked { soname: Some("libopenblas.so.0"), exports: vec!["cblas_sgemm"], ..Linked::default() };
    assert_eq!(
        Sample::good().with("faiss/libfaiss_openblas.so", openblas.link()).findings(),
        [
            "faiss/libfaiss_openblas.so: SONAME is 'libopenblas.so.0', expected is 'libfaiss_openblas.so' [elf.soname]",
            "faiss/libfaiss_openblas.so: it does not export scipy_cblas_sgemm [elf.exports]",
        ]
    );
}

#[test]
fn a_library_missing_and_another_in_its_place() {
    let sample = Sample::good().without(SHIM).with("faiss.libs/libgomp.so.1", shim().link());
    assert_eq!(
        sample.findings(),
        [
            "faiss/libfaiss_cuda.so: the shared library is missing [elf.missing]",
            "faiss.libs/libgomp.so.1: no such shared library is expected in the wheel [elf.surplus]",
        ]
    );
}

#[test]
fn an_executable_stack() {
    assert_eq!(
        with_extension(|linked| linked.flags.push("-Wl,-z,execstack")),
        ["faiss/_faiss.abi3.so: it asks for an executable stack [elf.stack]"]
    );
}

#[test]
fn another_machine() {
    let mut other = extension().link();
    other[18..20].copy_from_slice(&243u16.to_le_bytes()); // RISC-V
    let tag = crate::support::name().platform;
    assert_eq!(
        Sample::good().with(EXTENSION, other).findings(),
        [format!("faiss/_faiss.abi3.so: it is for machine 243, but the wheel is tagged {tag} [elf.machine]")]
    );
}

#[test]
fn damaged_libraries() {
    let whole = extension().link();
    let cut = Sample::good().with(EXTENSION, &whole[..whole.len() / 2]).findings();
    assert_eq!(cut.len(), 1, "{cut:?}");
    assert!(cut[0].starts_with("faiss/_faiss.abi3.so: ") && cut[0].ends_with("[elf.unreadable]"), "{cut:?}");

    // No section headers: the loader would still take it, but nothing about it can be proven.
    let mut stripped = whole.clone();
    stripped[40..48].fill(0);
    stripped[60..64].fill(0);
    assert_eq!(
        Sample::good().with(EXTENSION, stripped).findings(),
        ["faiss/_faiss.abi3.so: it has no dynamic section that can be read [elf.unreadable]"]
    );
}
