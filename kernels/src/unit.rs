//! Translation units: a family's sources in one string, and the entries that `kernels.toml` asks for.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use crate::catalogue::{FILE, TYPES};
use crate::{Arch, Error, Family, Instance, Struct, Value};

pub(crate) fn read(kernels_dir: &Path, file: &Path) -> Result<String, Error> {
    let path = kernels_dir.join(file);
    std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.display().to_string(), source })
}

/// A source and everything that it includes by quotes, each once, in the order of first use.
pub(crate) fn sources(kernels_dir: &Path, root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = vec![root.to_path_buf()];
    inline(kernels_dir, root, &mut files, &mut String::new())?;
    Ok(files)
}

pub(crate) fn translation_unit(family: &Family, kernels_dir: &Path, arch: Arch) -> Result<String, Error> {
    let mut unit = String::new();
    if !family.structs.is_empty() {
        let _ = writeln!(unit, "#line 1 \"{FILE}\"\nnamespace faiss {{");
        family.structs.iter().for_each(|one| structure(one, &mut unit));
        unit.push_str("}\n");
    }
    let root = &family.sources[0];
    inline(kernels_dir, root, &mut vec![root.clone()], &mut unit)?;
    for kernel in family.kernels.iter().filter(|k| k.wants(arch)) {
        if kernel.spills > 0 {
            // What may be spilled takes part in every key that this text does.
            let _ = writeln!(unit, "// {} may spill {} bytes", kernel.name, kernel.spills);
        }
        for instance in kernel.instances() {
            // By its name, not by its line: a kernel that is added above changes nothing here.
            let _ = writeln!(unit, "#line 1 \"{FILE}: {}\"\n{}", kernel.name, entry(&instance));
        }
    }
    Ok(unit)
}

/// Copies a file, with each `#include "…"` replaced by that file's text the first time and by nothing after that.
fn inline(kernels_dir: &Path, file: &Path, seen: &mut Vec<PathBuf>, unit: &mut String) -> Result<(), Error> {
    let text = read(kernels_dir, file)?;
    let shown = format!("kernels/{}", file.display());
    let _ = writeln!(unit, "#line 1 \"{shown}\"");
    for (number, line) in text.lines().enumerate() {
        let Some(name) = line.trim_start().strip_prefix("#include \"") else {
            if line.trim() != "#pragma once" {
                unit.push_str(line);
            }
            unit.push('\n');
            continue;
        };
        let bad = |message: String| Error::Catalogue { path: shown.clone(), line: number + 1, message };
        let name = name.strip_suffix('"').ok_or_else(|| bad("an #include without its closing quote".into()))?;
        let included = PathBuf::from(name);
        if !included.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(bad(format!("'{name}' is not a path below kernels/")));
        }
        if !kernels_dir.join(&included).is_file() {
            return Err(bad(format!("no file kernels/{name}")));
        }
        if !seen.contains(&included) {
            seen.push(included.clone());
            inline(kernels_dir, &included, seen, unit)?;
        }
        let _ = writeln!(unit, "#line {} \"{shown}\"", number + 2);
    }
    Ok(())
}

fn cuda_type(ty: &str) -> &str {
    TYPES.iter().find(|(rust, _)| *rust == ty).map_or(ty, |(_, cuda)| *cuda)
}

/// `struct Name { fields }`, as Rust lays out a `#[repr(C)]` one with the same fields.
fn structure(one: &Struct, unit: &mut String) {
    let _ = writeln!(unit, "struct {} {{", one.name);
    for field in &one.fields {
        let name = &field.name;
        let _ = match (field.ty.strip_prefix("*const "), field.ty.strip_prefix("*mut ")) {
            (Some(ty), _) => writeln!(unit, "    const {}* {name};", cuda_type(ty)),
            (_, Some(ty)) => writeln!(unit, "    {}* {name};", cuda_type(ty)),
            _ => writeln!(unit, "    {} {name};", cuda_type(&field.ty)),
        };
    }
    unit.push_str("};\n");
}

/// `extern "C"` keeps the symbol readable and lets the catalogue, not the source, decide what is instantiated.
fn entry(instance: &Instance<'_>) -> String {
    let kernel = instance.kernel;
    let cuda = |ty: &str| cuda_type(instance.resolve(ty)).to_owned();
    let is_struct = |ty: &str| ty.starts_with(|c: char| c.is_ascii_uppercase()) && instance.resolve(ty) == ty;
    let params: Vec<String> = kernel
        .params
        .iter()
        .map(|p| match (p.ty.strip_prefix("*const "), p.ty.strip_prefix("*mut ")) {
            (Some(ty), _) => format!("const {}* __restrict__ {}", cuda(ty), p.name),
            (_, Some(ty)) => format!("{}* {}", cuda(ty), p.name),
            _ if is_struct(&p.ty) => format!("faiss::{} {}", p.ty, p.name),
            _ => format!("{} {}", cuda(&p.ty), p.name),
        })
        .collect();
    let arguments: Vec<&str> = kernel.params.iter().map(|p| p.name.as_str()).collect();
    let template: Vec<String> = kernel
        .axes
        .iter()
        .zip(&instance.values)
        .map(|(axis, value)| match value {
            Value::Type(ty) => cuda(ty),
            Value::Number(n) => n.to_string(),
            Value::Name(name) => format!("faiss::{}::{name}", axis.enumeration.as_deref().unwrap_or_default()),
        })
        .collect();
    let template = if template.is_empty() { template.concat() } else { format!("<{}>", template.join(", ")) };
    format!(
        "extern \"C\" __global__ void __launch_bounds__({}) {}({}) {{ faiss::{}{template}({}); }}",
        kernel.threads,
        instance.symbol(),
        params.join(", "),
        kernel.name,
        arguments.join(", "),
    )
}

/// The values of an enumeration over all kernels, in order of first use.
pub(crate) fn enumerators<'a>(families: &'a [Family], enumeration: &str) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let axes = families.iter().flat_map(|f| &f.kernels).flat_map(|k| &k.axes);
    axes.filter(|a| a.enumeration.as_deref() == Some(enumeration))
        .flat_map(|a| &a.values)
        .filter_map(|v| if let Value::Name(name) = v { Some(name.as_str()) } else { None })
        .filter(|name| seen.insert(*name))
        .collect()
}
