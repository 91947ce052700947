//! Writes the launchers of the kernels that kernels.toml lists.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kernels_dir = Path::new("../../kernels");
    println!("cargo::rerun-if-changed=../../kernels/kernels.toml");
    let catalogue = faiss_kernels::Catalogue::load(kernels_dir)?;
    let target = Path::new(&std::env::var("OUT_DIR")?).join("launchers.rs");
    std::fs::write(target, faiss_kernels::launchers(&catalogue))?;
    Ok(())
}
