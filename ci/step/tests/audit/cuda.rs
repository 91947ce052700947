use ci_step::audit::{Image, inspect};

use crate::support::{FATBIN, Sample, expected, findings, image, images};

const FLAT: &str = "faiss/kernels/flat.fatbin";

#[test]
fn an_architecture_missing() {
    let mut expected = expected();
    expected.fatbins.as_mut().unwrap().get_mut(FLAT).unwrap().extend(images(&["sm_80", "compute_120"]));
    assert_eq!(
        findings(&Sample::good().verify(&expected)),
        [
            "faiss/kernels/flat.fatbin: machine code for 8.0 is missing [cuda.missing]",
            "faiss/kernels/flat.fatbin: PTX for 12.0 is missing [cuda.missing]",
        ]
    );
}

#[test]
fn an_architecture_too_many() {
    let mut expected = expected();
    expected.fatbins.as_mut().unwrap().insert(FLAT.into(), images(&["sm_60", "sm_90a"]));
    assert_eq!(
        findings(&Sample::good().verify(&expected)),
        [
            "faiss/kernels/flat.fatbin: machine code for 9.0 is not expected [cuda.surplus]",
            "faiss/kernels/flat.fatbin: PTX for 9.0 is not expected [cuda.surplus]",
        ]
    );
}

#[test]
fn a_fatbin_missing_and_another_in_its_place() {
    let sample = Sample::good().without(FLAT).with("faiss/kernels/ivf.fatbin", FATBIN);
    assert_eq!(
        sample.findings(),
        [
            "faiss/kernels/ivf.fatbin: no such fatbin is expected in the wheel [cuda.surplus]",
            "faiss/kernels/flat.fatbin: the fatbin is missing [cuda.missing]",
        ]
    );
}

#[test]
fn a_truncated_fatbin() {
    assert_eq!(
        Sample::good().with(FLAT, &FATBIN[..3000]).findings(),
        [
            "faiss/kernels/flat.fatbin: it is no fatbin: byte 16: a container is cut short: 7056 bytes wanted, 2984 left [cuda.unreadable]"
        ]
    );
}

#[test]
fn an_image_twice() {
    let doubled = [FATBIN, FATBIN].concat();
    let twice = |image: &str| format!("faiss/kernels/flat.fatbin: it holds {image} twice [cuda.twice]");
    assert_eq!(
        Sample::good().with(FLAT, doubled).findings(),
        ["machine code for 6.0", "machine code for 9.0", "machine code for 9.0a", "PTX for 9.0"].map(twice)
    );
}

#[test]
fn over_budget() {
    let mut expected = expected();
    let inventory = inspect_good();
    let bytes = inventory.by_image[&image("sm_90a")].compressed_bytes;
    expected.budget.wheel_bytes = Some(inventory.bytes - 1);
    expected.budget.by_image = [(image("sm_90a"), bytes - 10), (image("sm_60"), 1 << 20)].into();
    let report = Sample::good().verify(&expected);
    assert_eq!(
        findings(&report),
        [
            format!(
                "the wheel has {} bytes, 1 over its budget of {} [budget.wheel]",
                inventory.bytes,
                inventory.bytes - 1
            ),
            format!(
                "machine code for 9.0a has {bytes} bytes in all fatbins, 10 over its budget of {} [budget.image]",
                bytes - 10
            ),
        ]
    );
}

fn inspect_good() -> ci_step::audit::Inventory {
    let folder = tempfile::tempdir().unwrap();
    inspect(&Sample::good().write(&folder, "faiss.whl")).unwrap()
}

#[test]
fn the_inventory_adds_up() {
    let inventory = inspect_good();
    let parts: Vec<&str> = inventory.parts.keys().map(String::as_str).collect();
    assert_eq!(parts, ["CUDA shim", "OpenBLAS", "Python", "dist-info", "extension", "kernels"]);
    assert_eq!(inventory.parts["kernels"].bytes, FATBIN.len() as u64);
    let packed: u64 = inventory.parts.values().map(|part| part.compressed_bytes).sum();
    assert!(packed < inventory.bytes);
    assert_eq!(inventory.by_image.keys().copied().collect::<Vec<Image>>().len(), 4);
    let stored: u64 = inventory.by_image.values().map(|size| size.compressed_bytes).sum();
    assert_eq!(inventory.by_family["flat"].compressed_bytes, stored);
    assert_eq!(inventory.fatbins[0].images[0].kernels, ["fill", "scale"]);
    let json = serde_json::to_string(&inventory).unwrap();
    assert_eq!(serde_json::from_str::<ci_step::audit::Inventory>(&json).unwrap(), inventory);
}
