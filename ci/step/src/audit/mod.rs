//! Opens a finished wheel and proves what it holds. May use `wheel` and the fatbin reader; sees no plan and no engine.
//!
//! [`verify`] compares a wheel with what is [`Expected`] of it and returns a [`Report`]: data, and readable when printed.
//! [`inspect`] says what is inside, by part, by architecture and by kernel family. [`capability`] renders the table of
//! GPUs from the same data. [`gates`] runs the field's own tools. One file a check, named by what it checks.

mod abi3;
mod archive;
mod budget;
pub mod capability;
mod contents;
mod cuda;
mod elf;
mod expected;
pub mod gates;
mod glibc;
mod image;
mod inventory;
mod libraries;
mod metadata;
mod record;
mod report;
mod tags;

use std::path::Path;

pub use contents::Wheel;
pub use expected::{Budget, Expected, Library};
pub use image::Image;
pub use inventory::{Bytes, Fatbin, FatbinImage, Inventory};
pub use report::{Check, Finding, Report};

/// Runs every check on the wheel. A wheel that cannot be opened is a finding too, never an error.
pub fn verify(path: &Path, expected: &Expected) -> Report {
    verify_and_inspect(path, expected).0
}

/// The same, with what is inside; nothing of a wheel that cannot be opened.
pub fn verify_and_inspect(path: &Path, expected: &Expected) -> (Report, Option<Inventory>) {
    let mut report = Report::new(path);
    let wheel = match Wheel::open(path) {
        Ok(wheel) => wheel,
        Err(error) => {
            report.add("archive", vec![Finding::wheel("archive.unreadable", error.to_string())]);
            return (report, None);
        }
    };
    report.sha256 = wheel.sha256.clone();
    report.bytes = wheel.bytes;
    report.add("archive", archive::check(&wheel));
    report.add("tags", tags::check(&wheel, expected));
    report.add("RECORD", record::check(&wheel));
    report.add("METADATA", metadata::check(&wheel, expected));
    if expected.metadata.is_none() {
        report.not_compared("fields beside Name and Version");
    }
    report.add("libraries", libraries::check(&wheel, expected));
    if expected.libraries.is_none() {
        report.not_compared("which libraries, and how each is linked");
    }
    report.add("glibc", glibc::check(&wheel, expected));
    if expected.glibc.is_none() {
        report.not_compared("symbol versions, as the tag promises no glibc");
    }
    report.add("abi3", abi3::check(&wheel, expected));
    report.add("CUDA images", cuda::check(&wheel, expected));
    if expected.fatbins.is_none() {
        report.not_compared("which images");
    }
    report.add("budget", budget::check(&wheel, expected));
    if expected.budget == Budget::default() {
        report.not_compared("bytes");
    }
    (report, Some(Inventory::of(&wheel)))
}

/// Verifies a wheel of which nothing is known but what its file name says: the checks that a name is enough for.
pub fn verify_by_name(path: &Path) -> Report {
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match file_name.parse() {
        Ok(name) => verify(path, &Expected::from_name(name)),
        Err(error) => {
            let mut report = Report::new(path);
            report.add("tags", vec![Finding::wheel("tags.name", error.to_string())]);
            report
        }
    }
}

/// What is inside the wheel.
pub fn inspect(path: &Path) -> Result<Inventory, crate::wheel::Error> {
    Wheel::open(path).map(|wheel| Inventory::of(&wheel))
}
