//! Compiles every family with one toolkit and prints the bytes of each image:
//!
//!     cargo run -p faiss-kernels --example compile -- LIBNVRTC LIBNVFATBIN ARCH[,ARCH...] OUT_DIR INCLUDE_DIR...
//!
//! The last architecture is also built as PTX. OUT_DIR gets FAMILY.fatbin. Kernels with too few registers are named.

use std::path::{Path, PathBuf};

use faiss_kernels::{Arch, Catalogue, Target, compile, pack};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [nvrtc, nvfatbin, archs, out, includes @ ..] = arguments.as_slice() else {
        return Err("usage: compile LIBNVRTC LIBNVFATBIN ARCHS OUT_DIR INCLUDE_DIR...".into());
    };
    let kernels_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let includes: Vec<PathBuf> = includes.iter().map(PathBuf::from).collect();
    let archs = archs.split(',').map(str::parse).collect::<Result<Vec<Arch>, _>>()?;
    let ptx = archs.iter().max().map(|a| Target::Ptx(a.base()));
    let targets: Vec<Target> = archs.iter().map(|a| Target::Cubin(*a)).chain(ptx).collect();
    std::fs::create_dir_all(out)?;
    let mut total = 0;
    for family in &Catalogue::load(kernels_dir)?.families {
        let mut images = Vec::new();
        for &target in targets.iter().filter(|t| family.wants(t.arch())) {
            let unit = family.translation_unit(kernels_dir, target.arch())?;
            let compiled = compile(nvrtc.as_ref(), &includes, &family.name, &unit, target)?;
            println!("{:12} {target:12} {:9}", family.name, compiled.bytes.len());
            for spill in &compiled.spills {
                println!("    {} spills: {} bytes stored, {} loaded", spill.symbol, spill.stores, spill.loads);
            }
            images.push((target, compiled.bytes));
        }
        let fatbin = pack(nvfatbin.as_ref(), &images)?;
        println!("{:12} fatbin       {:9}", family.name, fatbin.len());
        total += fatbin.len();
        std::fs::write(Path::new(out).join(format!("{}.fatbin", family.name)), fatbin)?;
    }
    println!("{total} bytes in all fatbins");
    Ok(())
}
