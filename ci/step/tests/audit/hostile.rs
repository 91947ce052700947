//! Wheels that were damaged at random: the audit says so, or finds nothing, but it never panics.

use std::fs;

use ci_step::audit::{inspect, verify};
use proptest::prelude::*;

use crate::support::{Linked, Sample, expected, extension, name};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn damaged_archives(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), cut: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = Sample::good().write(&folder, &name().to_string());
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in &damage {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if cut {
            bytes.truncate(damage[0].0.index(bytes.len()));
        }
        fs::write(&path, bytes).unwrap();
        let _ = verify(&path, &expected()).to_string();
        let _ = inspect(&path);
    }

    /// RECORD is made anew, so that every damaged library reaches the reader of ELF.
    #[test]
    fn damaged_libraries(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        static GOOD: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut library = GOOD.get_or_init(|| Linked { flags: vec!["-s"], ..extension() }.link()).clone();
        for (at, byte) in &damage {
            let at = at.index(library.len());
            library[at] = *byte;
        }
        let _ = Sample::good().with("faiss/_faiss.abi3.so", library).findings();
    }
}
