//! What a user reads where no GPU can be used: each state of a machine, played by small libraries in place of CUDA's.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A runtime whose driver and devices are as told.
fn runtime(driver: u32, devices: u32, status: u32) -> String {
    versioned_runtime(12010, driver, devices, status)
}

fn versioned_runtime(version: u32, driver: u32, devices: u32, status: u32) -> String {
    let names = [
        "cudaGetDevice",
        "cudaSetDevice",
        "cudaDeviceGetAttribute",
        "cudaGetLastError",
        "cudaMemGetInfo",
        "cudaMalloc",
        "cudaMallocManaged",
        "cudaFree",
        "cudaHostAlloc",
        "cudaFreeHost",
        "cudaMemcpyAsync",
        "cudaMemsetAsync",
        "cudaPointerGetAttributes",
        "cudaStreamCreateWithFlags",
        "cudaStreamDestroy",
        "cudaStreamSynchronize",
        "cudaStreamWaitEvent",
        "cudaStreamBeginCapture",
        "cudaStreamEndCapture",
        "cudaGraphInstantiateWithFlags",
        "cudaGraphLaunch",
        "cudaGraphExecDestroy",
        "cudaGraphDestroy",
        "cudaEventCreateWithFlags",
        "cudaEventDestroy",
        "cudaEventRecord",
        "cudaEventSynchronize",
    ];
    let rest: String = names.iter().map(|n| format!("int {n}(void) {{ return 999; }}\n")).collect();
    format!(
        "int cudaRuntimeGetVersion(int *v) {{ *v = {version}; return 0; }}\n\
         int cudaDriverGetVersion(int *v) {{ *v = {driver}; return 0; }}\n\
         int cudaGetDeviceCount(int *n) {{ *n = {devices}; return {status}; }}\n\
         const char *cudaGetErrorName(int s) {{ return \"cudaErrorPlayed\"; }}\n\
         const char *cudaGetErrorString(int s) {{ return \"a played error\"; }}\n{rest}"
    )
}

/// Compiles C to a library; false without a C compiler.
fn library(dir: &Path, name: &str, source: &str, needs: &[&str]) -> bool {
    let (file, target) = (dir.join(format!("{name}.c")), dir.join(name));
    std::fs::write(&file, source).unwrap();
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-w", "-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN"]);
    command.arg(format!("-Wl,-soname,{name}")).arg("-o").arg(target).arg(file).arg("-L").arg(dir);
    command.args(needs.iter().map(|n| format!("-l:{n}")));
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "cc failed");
            true
        }
        Err(_) => false,
    }
}

const SHIM: &str = "const int faiss_cuda_version = 12010;\nconst int faiss_cuda_minimum_driver = 12000;\n";

#[test]
fn every_state_of_a_machine_has_its_own_message() {
    let root = std::env::temp_dir().join(format!("faiss-gpu-messages-{}", std::process::id()));
    let states = [
        (runtime(0, 0, 0), "no NVIDIA driver was found on this machine. Install one (version 12.0 of CUDA or newer)"),
        (
            runtime(11080, 1, 0),
            "it supports CUDA 11.8, the wheel was built with CUDA 12.1 and needs a driver for CUDA 12.0",
        ),
        (runtime(12040, 0, 100), "no GPU is visible: the driver for CUDA 12.4 works, but lists no device"),
        (runtime(12040, 0, 0), "no GPU is visible: the driver for CUDA 12.4 works, but lists no device"),
        (
            versioned_runtime(11080, 12040, 1, 0),
            "libcudart.so.12, but this wheel needs 12.0 or newer: what LD_LIBRARY_PATH names is found before",
        ),
        (runtime(12040, 1, 46), "cudaGetDeviceCount failed: a played error (cudaErrorPlayed)"),
    ];
    for (i, (source, message)) in states.iter().enumerate() {
        let dir: PathBuf = root.join(i.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        let built = library(&dir, "libcudart.so.12", source, &[])
            && library(&dir, "libcublas.so.12", "int played;", &[])
            && library(&dir, "libfaiss_cuda.so", SHIM, &["libcudart.so.12", "libcublas.so.12"]);
        if !built {
            let _ = writeln!(std::io::stderr(), "skipped: no C compiler (cc)");
            return;
        }
        faiss_gpu::set_library_dir(&dir);
        let error = faiss_gpu::check_gpus().unwrap_err().to_string();
        assert!(error.contains(message), "state {i}: {error}");
        assert_eq!(faiss_gpu::get_num_gpus(), 0);
    }
    // The wheels of CUDA are missing.
    let dir = root.join("0");
    for (file, package) in [("libcublas.so.12", "nvidia-cublas-cu12"), ("libcudart.so.12", "nvidia-cuda-runtime-cu12")]
    {
        std::fs::remove_file(dir.join(file)).unwrap();
        faiss_gpu::set_library_dir(&dir);
        let error = faiss_gpu::check_gpus().unwrap_err().to_string();
        assert_eq!(error, format!("{file} is not installed. Run: pip install {package}"));
    }
    // A wheel without a GPU part.
    faiss_gpu::set_library_dir(&root);
    let error = faiss_gpu::check_gpus().unwrap_err().to_string();
    assert!(error.starts_with("this installation has no GPU part"), "{error}");
    std::fs::remove_dir_all(&root).unwrap();
}
