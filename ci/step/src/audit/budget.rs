//! The wheel, and the images for each architecture in it, are within their budgets.

use std::collections::BTreeMap;

use super::{Expected, Finding, Image, Wheel};

pub(super) fn check(wheel: &Wheel, expected: &Expected) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(budget) = expected.budget.wheel_bytes.filter(|budget| wheel.bytes > *budget) {
        let message =
            format!("the wheel has {} bytes, {} over its budget of {budget}", wheel.bytes, wheel.bytes - budget);
        findings.push(Finding::wheel("budget.wheel", message));
    }
    let mut used: BTreeMap<Image, u64> = BTreeMap::new();
    for info in wheel.fatbins.values().flatten().flatten() {
        *used.entry(Image::from(info)).or_default() += info.compressed_bytes;
    }
    for (image, budget) in &expected.budget.by_image {
        let bytes = used.get(image).copied().unwrap_or_default();
        if bytes > *budget {
            let over = bytes - budget;
            let message =
                format!("{} has {bytes} bytes in all fatbins, {over} over its budget of {budget}", image.describe());
            findings.push(Finding::wheel("budget.image", message));
        }
    }
    findings
}
