//! The images that are really in the fatbins are those that were promised: a missing one fails on such a GPU with 'no
//! kernel image is available', a surplus one costs every user its bytes.

use std::collections::BTreeSet;

use super::{Expected, Finding, Image, Wheel};

pub(super) fn check(wheel: &Wheel, expected: &Expected) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (member, images) in &wheel.fatbins {
        let images = match images {
            Ok(images) => images,
            Err(error) => {
                findings.push(Finding::member("cuda.unreadable", member, format!("it is no fatbin: {error}")));
                continue;
            }
        };
        // Sections of libraries hold many containers with images for the same architecture, a file holds one.
        let mut found = BTreeSet::new();
        for info in images {
            let image = Image::from(info);
            if !found.insert(image) && member.ends_with(".fatbin") {
                let message = format!("it holds {} twice", image.describe());
                findings.push(Finding::member("cuda.twice", member, message));
            }
        }
        let Some(fatbins) = &expected.fatbins else { continue };
        let Some(wanted) = fatbins.get(member) else {
            findings.push(Finding::member("cuda.surplus", member, "no such fatbin is expected in the wheel"));
            continue;
        };
        for image in wanted.difference(&found) {
            findings.push(Finding::member("cuda.missing", member, format!("{} is missing", image.describe())));
        }
        for image in found.difference(wanted) {
            findings.push(Finding::member("cuda.surplus", member, format!("{} is not expected", image.describe())));
        }
        kernels(member, images, &mut findings);
    }
    for member in expected.fatbins.iter().flat_map(|fatbins| fatbins.keys()) {
        if !wheel.fatbins.contains_key(member) {
            findings.push(Finding::member("cuda.missing", member, "the fatbin is missing"));
        }
    }
    findings
}

/// An image without kernels is of no use to anyone.
fn kernels(member: &str, images: &[faiss_kernels::fatbin::ImageInfo], findings: &mut Vec<Finding>) {
    for info in images.iter().filter(|info| info.kernels.is_empty()) {
        let message = format!("{} holds no kernel", Image::from(info).describe());
        findings.push(Finding::member("cuda.empty", member, message));
    }
}
