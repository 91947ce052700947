//! report: one page about the wheels, from their manifests and proofs, that needs no other file.

use std::fmt::Write as _;
use std::path::Path;

use super::candidates::{files_below, wheels_folder};
use super::proof::{self, Proof};
use crate::api::manifest::Manifest;
use crate::api::reproduce::{self, Reproduced};
use crate::api::table::{Caching, Function, Group, Served, Type, Values, argument};
use crate::api::{Context, write_whole};
use ci_step::audit::Bytes;
use ci_step::failure::{Failure, Result};

pub static ROW: Function = Function {
    name: "report",
    group: Group::Release,
    about: "Write wheelhouse/report.html: sizes, seconds, tests and proofs of the wheels that are there",
    more: "One page without scripts or other files, from the manifest.json and proof.json of each wheel.",
    arguments: &[
        argument("wheels", Type::Path, "The folder with the wheels' manifests [default: wheelhouse]"),
        argument("previous", Type::Path, "The folder with the manifests of an earlier release, to compare with"),
        argument("page", Type::Path, "Where the page goes [default: report.html in the folder of the wheels]"),
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::No,
    run: |context, values| Box::pin(report(context, values)),
};

/// What is known of one wheel.
struct Entry {
    manifest: Manifest,
    proof: Option<Proof>,
    reproduced: Option<Reproduced>,
}

async fn report(context: &Context, values: &Values) -> Result<()> {
    let folder = wheels_folder(context, values);
    let entries = entries(&folder)?;
    if entries.is_empty() {
        return Err(Failure::usage(format!("{} holds no manifest of a wheel.", folder.display()), "Build one first."));
    }
    let previous = values.path("previous").map(|folder| self::entries(&folder)).transpose()?.unwrap_or_default();
    let path = values.path("page").unwrap_or_else(|| folder.join("report.html"));
    write_whole(&path, render(&entries, &previous).as_bytes())?;
    println!("{}", path.display());
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for path in files_below(folder, 3)?.iter().filter(|path| path.ends_with("manifest.json")) {
        let beside = |name: &str| std::fs::read(path.with_file_name(name)).ok();
        let manifest = Manifest::load(path)?;
        // What is of another wheel says nothing of this one.
        let proof = beside(proof::FILE).and_then(|text| serde_json::from_slice::<Proof>(&text).ok());
        let proof = proof.filter(|proof| proof.sha256 == manifest.sha256);
        let reproduced = beside(reproduce::FILE).and_then(|text| serde_json::from_slice::<Reproduced>(&text).ok());
        let reproduced = reproduced.filter(|verdict| verdict.sha256 == manifest.sha256);
        entries.push(Entry { manifest, proof, reproduced });
    }
    entries.sort_by(|a, b| a.manifest.wheel.cmp(&b.manifest.wheel));
    Ok(entries)
}

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2433;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem;border-top:1px solid #d8dde6;padding-top:1.5rem}h3{font-size:1rem;margin-bottom:.3rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}
td.n,th.n{text-align:right}code{font-size:.85em;overflow-wrap:anywhere}.no{color:#a32020}.yes{color:#1c6b3c}
svg{width:100%;height:auto;display:block}svg text{font:12px system-ui,sans-serif;fill:currentColor}
@media (prefers-color-scheme:dark){body{background:#14171f;color:#dfe4ee}h2{border-color:#343b49}.no{color:#ff8a80}.yes{color:#7ed9a0}}";

fn render(entries: &[Entry], previous: &[Entry]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>faiss wheels</title>\n<style>{STYLE}</style>\n<h1>faiss wheels</h1>\n"
    );
    page.push_str("<table><tr><th>wheel<th class=n>MB<th class=n>change<th>complete<th>reproduced<th>tests on a GPU\n");
    for entry in entries {
        let manifest = &entry.manifest;
        let reproduced = entry.reproduced.as_ref().map_or("not told here", |_| "the same bytes twice");
        let tests = match &entry.proof {
            Some(proof) => format!(
                "{} of {} tests, {} kernels: {}",
                proof.on_gpu.passed,
                proof.passed,
                proof.on_gpu.launched,
                escaped(&proof.on_gpu.gpus.join("; "))
            ),
            None if manifest.inventory.fatbins.is_empty() => "none needed".to_owned(),
            None => "<span class=no>no proof</span>".to_owned(),
        };
        let complete = if manifest.complete { "<span class=yes>yes</span>" } else { "<span class=no>no</span>" };
        let change = change(manifest, previous);
        let _ = writeln!(
            page,
            "<tr><td><a href=\"#{0}\"><code>{0}</code></a><td class=n>{1:.1}<td class=n>{change}<td>{complete}<td>{reproduced}<td>{tests}",
            escaped(&manifest.wheel),
            manifest.bytes as f64 / 1e6
        );
    }
    page.push_str("</table>\n");
    entries.iter().for_each(|entry| wheel(&mut page, &entry.manifest));
    page
}

/// Against the wheel of the same distribution among the earlier ones.
fn change(manifest: &Manifest, previous: &[Entry]) -> String {
    let distribution = |wheel: &str| wheel.split('-').next().map(str::to_owned);
    let earlier = previous.iter().find(|old| distribution(&old.manifest.wheel) == distribution(&manifest.wheel));
    earlier.map_or_else(
        || "-".to_owned(),
        |old| format!("{:+.1} %", 100.0 * (manifest.bytes as f64 / old.manifest.bytes.max(1) as f64 - 1.0)),
    )
}

fn wheel(page: &mut String, manifest: &Manifest) {
    let commit = manifest.commit.as_ref().map_or_else(
        || "none".to_owned(),
        |commit| format!("{}{}", commit.id, if commit.clean { "" } else { ", with changes" }),
    );
    let _ = writeln!(
        page,
        "<h2 id=\"{0}\">{0}</h2>\n<table><tr><th>sha256<td><code>{1}</code>\n<tr><th>commit<td><code>{2}</code>\n<tr><th>compiler<td><code>rustc {3}</code>\n<tr><th>checks<td>{4}</table>",
        escaped(&manifest.wheel),
        escaped(&manifest.sha256),
        escaped(&commit),
        escaped(&manifest.rustc),
        escaped(&manifest.checks.join(", "))
    );
    let compressed = |rows: Vec<(String, Bytes)>| {
        rows.into_iter().map(|(name, size)| (name, size.compressed_bytes as f64 / 1e6)).collect()
    };
    let inventory = &manifest.inventory;
    bars(
        page,
        "By part, MB in the archive",
        compressed(inventory.parts.iter().map(|(name, size)| (name.clone(), *size)).collect()),
    );
    bars(
        page,
        "By architecture, MB of its kernels",
        compressed(inventory.by_image.iter().map(|(image, size)| (image.describe(), *size)).collect()),
    );
    bars(
        page,
        "By kernel family, MB",
        compressed(inventory.by_family.iter().map(|(name, size)| (name.clone(), *size)).collect()),
    );
    let seconds = manifest.steps.iter().filter_map(|(name, step)| Some((name.clone(), step.seconds?)));
    bars(page, "Seconds a step, when it was made", seconds.filter(|(_, seconds)| *seconds >= 0.1).collect());
}

/// Horizontal bars, the longest first.
fn bars(page: &mut String, title: &str, mut rows: Vec<(String, f64)>) {
    if rows.is_empty() {
        return;
    }
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let most = rows[0].1.max(f64::MIN_POSITIVE);
    let height = rows.len() * 20;
    let _ = writeln!(page, "<h3>{title}</h3>\n<svg viewBox=\"0 0 900 {height}\" role=\"img\" aria-label=\"{title}\">");
    for (row, (name, value)) in rows.iter().enumerate() {
        let (y, width) = (row * 20, (value / most * 520.0).max(1.0));
        let _ = writeln!(
            page,
            "<text x=\"0\" y=\"{}\">{}</text><rect x=\"290\" y=\"{}\" width=\"{width:.1}\" height=\"14\" rx=\"2\" fill=\"#4472c4\"/><text x=\"{:.1}\" y=\"{}\">{value:.2}</text>",
            y + 14,
            escaped(name),
            y + 3,
            296.0 + width,
            y + 14
        );
    }
    page.push_str("</svg>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_every_wheel_and_nothing_from_outside() {
        let manifest = |wheel: &str, bytes: u64| -> Manifest {
            serde_json::from_value(serde_json::json!({
                "wheel": wheel, "sha256": "ab", "bytes": bytes, "complete": true, "commit": {"id": "c0", "clean": true},
                "rustc": "1.0 <x>", "locks": {}, "members": {}, "checks": ["RECORD"], "pins": [],
                "inventory": {"wheel": wheel, "sha256": "ab", "bytes": bytes, "parts": {"extension": {"bytes": 9, "compressed_bytes": 4}},
                    "by_image": {}, "by_family": {}, "fatbins": [], "unreadable": {}},
                "steps": {"archive": {"key": "k", "seconds": 2.5, "cached": false}, "fetch": {"key": "k", "seconds": 0.01, "cached": true}},
            })).unwrap()
        };
        let entry = |wheel: &str, bytes| Entry { manifest: manifest(wheel, bytes), proof: None, reproduced: None };
        let page = render(
            &[entry("a-2-py3-none-any.whl", 1100), entry("b-2-py3-none-any.whl", 5)],
            &[entry("a-1-py3-none-any.whl", 1000)],
        );
        for part in [
            "a-2-py3-none-any.whl",
            "b-2-py3-none-any.whl",
            "+10.0 %",
            "1.0 &lt;x&gt;",
            "extension",
            ">archive<",
            ">2.50<",
        ] {
            assert!(page.contains(part), "no {part} in\n{page}");
        }
        for part in [">fetch<", "http", "<script", "<img", "<link"] {
            assert!(!page.contains(part), "{part} in\n{page}");
        }
    }
}
