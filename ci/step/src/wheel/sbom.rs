//! A CycloneDX list of what a wheel is made of, for `dist-info/sboms/` (PEP 770). Holds no time, path or serial number,
//! so that it is the same from every build.

use serde_json::json;

/// Something that is inside the wheel, or that its code was compiled from.
#[derive(Clone, Debug)]
pub struct Component {
    pub name: String,
    pub version: String,
    /// A package URL: `pkg:pypi/scipy-openblas32@0.3.34.481.3`, `pkg:cargo/half@2.4.1`.
    pub purl: String,
    /// An SPDX expression.
    pub license: String,
    /// Of the file that it came from, in hexadecimal, where there is one file.
    pub sha256: Option<String>,
    /// It made something that is in the wheel, and is not in it itself.
    pub tool: bool,
}

/// The text of a CycloneDX 1.5 document about the distribution `name` at `version`; components are sorted by package URL.
pub fn cyclonedx(name: &str, version: &str, components: &[Component]) -> String {
    let mut components: Vec<&Component> = components.iter().collect();
    components.sort_by(|a, b| a.purl.cmp(&b.purl));
    components.dedup_by(|a, b| a.purl == b.purl);
    let component = |component: &&Component| {
        let mut value = json!({
            "type": "library", "bom-ref": component.purl, "name": component.name,
            "version": component.version, "purl": component.purl,
            "scope": if component.tool { "excluded" } else { "required" },
            "licenses": [{ "expression": component.license }],
        });
        if let Some(sha256) = &component.sha256 {
            value["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
        }
        value
    };
    let purl = format!("pkg:pypi/{name}@{version}");
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": { "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl } },
        "components": components.iter().map(component).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&document).expect("plain data serializes") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_components_does_not_matter() {
        let component = |name: &str| Component {
            name: name.into(),
            version: "1.0".into(),
            purl: format!("pkg:cargo/{name}@1.0"),
            license: "MIT OR Apache-2.0".into(),
            sha256: None,
            tool: name == "b",
        };
        let text = cyclonedx("faiss-gpu-cu12", "1.15.1.0", &[component("b"), component("a"), component("b")]);
        assert_eq!(text, cyclonedx("faiss-gpu-cu12", "1.15.1.0", &[component("a"), component("b")]));
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["metadata"]["component"]["purl"], "pkg:pypi/faiss-gpu-cu12@1.15.1.0");
        assert_eq!(document["components"][0]["purl"], "pkg:cargo/a@1.0");
        assert_eq!(document["components"][1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(
            (&document["components"][0]["scope"], &document["components"][1]["scope"]),
            (&json!("required"), &json!("excluded"))
        );
        assert!(document["components"][0].get("hashes").is_none());
    }
}
