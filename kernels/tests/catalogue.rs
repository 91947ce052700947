//! The real `kernels.toml`: what it says must hold before any compiler sees it.

use std::path::Path;

use faiss_kernels::{Arch, Catalogue, launchers};

fn kernels_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn catalogue() -> Catalogue {
    Catalogue::load(kernels_dir()).unwrap()
}

#[test]
fn every_source_is_in_the_catalogue() {
    let listed: Vec<_> = catalogue().families.iter().flat_map(|f| f.sources.clone()).collect();
    for entry in std::fs::read_dir(kernels_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "cu" || e == "cuh") {
            let name = Path::new(path.file_name().unwrap());
            assert!(listed.iter().any(|l| l == name), "{} is in no family", name.display());
        }
    }
}

#[test]
fn symbols_are_unique() {
    let catalogue = catalogue();
    let mut symbols: Vec<String> = catalogue.instances().map(|(_, i)| i.symbol()).collect();
    let count = symbols.len();
    symbols.sort();
    symbols.dedup();
    assert!(count > 0);
    assert_eq!(symbols.len(), count);
}

#[test]
fn units_hold_every_entry_and_no_path_of_this_machine() {
    let arch = Arch::new(9, 0);
    for family in catalogue().families {
        let unit = family.translation_unit(kernels_dir(), arch).unwrap();
        assert_eq!(unit, family.translation_unit(kernels_dir(), arch).unwrap());
        assert!(!unit.contains(env!("CARGO_MANIFEST_DIR")));
        assert!(!unit.contains("#include \""), "{}: a source was not put in", family.name);
        for kernel in family.kernels.iter().filter(|k| k.wants(arch)) {
            for instance in kernel.instances() {
                assert_eq!(unit.matches(&format!(") {}(", instance.symbol())).count(), 1, "{}", instance.symbol());
            }
        }
    }
}

#[test]
fn a_unit_does_not_depend_on_where_it_stands() {
    let copy = std::env::temp_dir().join(format!("faiss-kernels-{}", std::process::id()));
    std::fs::create_dir_all(&copy).unwrap();
    for entry in std::fs::read_dir(kernels_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
    }
    let there = Catalogue::load(&copy).unwrap();
    for (a, b) in catalogue().families.iter().zip(&there.families) {
        let arch = Arch::new(8, 0);
        assert_eq!(a.translation_unit(kernels_dir(), arch).unwrap(), b.translation_unit(&copy, arch).unwrap());
    }
    std::fs::remove_dir_all(&copy).unwrap();
}

#[test]
fn launchers_have_the_parameters_of_the_kernels() {
    let text = launchers(&catalogue());
    assert_eq!(text, launchers(&catalogue()));
    assert!(text.contains(
        "pub fn row_norms<T: Element>(\n    launch: Launch<'_>,\n    rows: Ptr<T>,\n    norms: PtrMut<f32>,"
    ));
    assert!(text.contains("pub fn ivf_filter(capability: (i32, i32)) -> bool {\n        capability >= (8, 0)\n"));
    assert!(text.contains("pub struct Probes {\n    pub lists: Ptr<i32>,\n"));
    assert!(text.contains("family: \"rows\", symbol: c\"convert_f32_f16\", threads: 256, index: 1 }"));
}
