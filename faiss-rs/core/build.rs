//! Finds BLAS and writes its declarations: the library and its symbols may carry any name.
//!
//! - `FAISS_BLAS_DIR`: the folder that holds the library; unset: the system's search path.
//! - `FAISS_BLAS_LIB`: the library's name, `openblas` by default.
//! - `FAISS_BLAS_PREFIX`, `FAISS_BLAS_SUFFIX`: what its symbols begin and end with, as in `scipy_sgemm_64_`; empty by default.
//!
//! The feature `blas64` is for a library whose integers have 64 bits.

use std::path::PathBuf;
use std::{env, fs};

/// Fortran routines, without their trailing underscore, and their arguments.
const ROUTINES: &[(&str, &str)] = &[
    (
        "sgemm",
        "transa: *const u8, transb: *const u8, m: *const Int, n: *const Int, k: *const Int, alpha: *const f32, \
         a: *const f32, lda: *const Int, b: *const f32, ldb: *const Int, beta: *const f32, c: *mut f32, ldc: *const Int",
    ),
    (
        "dsyev",
        "jobz: *const u8, uplo: *const u8, n: *const Int, a: *mut f64, lda: *const Int, w: *mut f64, work: *mut f64, \
         lwork: *const Int, info: *mut Int",
    ),
    (
        "dposv",
        "uplo: *const u8, n: *const Int, nrhs: *const Int, a: *mut f64, lda: *const Int, b: *mut f64, ldb: *const Int, \
         info: *mut Int",
    ),
    (
        "sgesvd",
        "jobu: *const u8, jobvt: *const u8, m: *const Int, n: *const Int, a: *mut f32, lda: *const Int, s: *mut f32, \
         u: *mut f32, ldu: *const Int, vt: *mut f32, ldvt: *const Int, work: *mut f32, lwork: *const Int, info: *mut Int",
    ),
    (
        "sgeqrf",
        "m: *const Int, n: *const Int, a: *mut f32, lda: *const Int, tau: *mut f32, work: *mut f32, lwork: *const Int, \
         info: *mut Int",
    ),
    (
        "sorgqr",
        "m: *const Int, n: *const Int, k: *const Int, a: *mut f32, lda: *const Int, tau: *const f32, work: *mut f32, \
         lwork: *const Int, info: *mut Int",
    ),
];

/// OpenBLAS's own routines.
const OPENBLAS: &[(&str, &str)] = &[("openblas_set_num_threads", "n: std::ffi::c_int")];

fn main() {
    let setting = |name: &str| {
        println!("cargo::rerun-if-env-changed={name}");
        env::var(name).ok().filter(|v| !v.is_empty())
    };
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(openblas)");
    let library = setting("FAISS_BLAS_LIB").unwrap_or_else(|| "openblas".into());
    let prefix = setting("FAISS_BLAS_PREFIX").unwrap_or_default();
    let suffix = setting("FAISS_BLAS_SUFFIX").unwrap_or_default();
    if let Some(dir) = setting("FAISS_BLAS_DIR") {
        println!("cargo::rustc-link-search=native={dir}");
    }
    println!("cargo::rustc-link-lib=dylib={library}");

    let mut text = String::from("unsafe extern \"C\" {\n");
    for (name, arguments) in ROUTINES {
        text += &format!("    #[link_name = \"{prefix}{name}_{suffix}\"]\n    pub fn {name}({arguments});\n");
    }
    if library.contains("openblas") {
        println!("cargo::rustc-cfg=openblas");
        for (name, arguments) in OPENBLAS {
            text += &format!("    #[link_name = \"{prefix}{name}{suffix}\"]\n    pub fn {name}({arguments});\n");
        }
    }
    text += "}\n";
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("blas_sys.rs"), text).expect("OUT_DIR is writable");
}
