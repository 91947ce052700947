//! doctor: what this machine has and lacks.

use std::process::Command;

use super::Context;
use crate::api::table::{Caching, Function, Group, Served, Values};
use ci_step::failure::{Failure, Result};
use ci_step::python::{self, which};

pub static ROW: Function = Function {
    name: "doctor",
    group: Group::House,
    about: "Say what this machine has and lacks: Pythons, driver, GPUs, toolkits, disk",
    more: "",
    arguments: &[],
    caching: Caching::Never,
    checkout: true,
    served: Served::No,
    run: |context, values| Box::pin(doctor(context, values)),
};

async fn doctor(context: &Context, _: &Values) -> Result<()> {
    let versions = context.versions()?;
    let line = |name: &str, text: &str| println!("{name:<14} {text}");
    let mut missing = Vec::new();
    for program in ["cargo", "rustc", "cc"] {
        let version = first_line(program, &["--version"]);
        if version.is_none() {
            missing.push(program.to_owned());
        }
        line(program, &version.unwrap_or_else(|| "missing: a build needs it".into()));
    }
    let floor = versions.python_floor();
    let pythons = python::find_all();
    for interpreter in pythons.values() {
        let pip = interpreter.pip.as_deref().map_or("without pip".to_owned(), |version| format!("pip {version}"));
        let fit = if interpreter.python < floor { ", too old" } else { "" };
        line(
            &format!("Python {}", interpreter.python),
            &format!("{} {}, {pip}{fit}", interpreter.full, interpreter.path.display()),
        );
    }
    if !pythons.values().any(|interpreter| interpreter.python >= floor && interpreter.pip.is_some()) {
        line("Python", &format!("missing: {floor} or newer with pip is needed"));
        missing.push(format!("Python {floor} or newer with pip"));
    }
    match gpus() {
        Some(rows) => {
            for row in rows {
                line("GPU", &row);
            }
            for cuda in &versions.cuda {
                let toolkit = format!("CUDA {} wants driver {} or newer", cuda.toolkit, cuda.driver_branch);
                line("", &toolkit);
            }
        }
        None => line("GPU", "no NVIDIA driver: builds need none, GPU tests are skipped"),
    }
    line(
        "nvcc",
        &first_line("nvcc", &["--version"])
            .unwrap_or_else(|| "none: not needed, compilers come from pinned wheels".into()),
    );
    let store = context.store_to_read()?;
    line("cache", &format!("{}{}", store.root().display(), free(store.root())));
    line("checkout", &format!("{}{}", context.root.display(), free(&context.root)));
    if missing.is_empty() {
        return Ok(());
    }
    let todo = "Debian: apt-get install gcc python3 python3-pip python3-venv; Rust comes from rustup.";
    Err(Failure::machine(format!("A build lacks {} here.", missing.join(", ")), todo))
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(which(program)?).args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// Name, compute capability, memory and driver of each GPU.
pub fn gpus() -> Option<Vec<String>> {
    let query = ["--query-gpu=name,compute_cap,memory.total,driver_version", "--format=csv,noheader"];
    let output =
        Command::new(which("nvidia-smi")?).args(query).output().ok().filter(|output| output.status.success())?;
    let rows: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    (!rows.is_empty()).then_some(rows)
}

/// Room on the disk of a folder, as `df` has it.
fn free(folder: &std::path::Path) -> String {
    nix::sys::statvfs::statvfs(folder).map_or_else(
        |_| String::new(),
        |disk| format!(" ({:.1} GB free)", disk.blocks_available() as f64 * disk.fragment_size() as f64 / 1e9),
    )
}
