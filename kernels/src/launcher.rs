//! Rust source of the launchers: one function a kernel, with the parameters that `kernels.toml` lists.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::{Axis, Catalogue, Kernel, Value, unit};

/// Rust source with a table `KERNELS` of all instances and a function for each kernel, to be included in a module that
/// has in scope:
///
/// - `struct Entry { family: &'static str, symbol: &'static CStr, threads: u32, index: usize }`
/// - `trait Element` with `const NAME: &'static str`, implemented for the element types;
/// - `Ptr<T>` and `PtrMut<T>`, device addresses laid out like a pointer, and the types `f16` and `bf16`;
/// - `struct Launch` with `unsafe fn run(self, &Entry, &mut [*mut c_void]) -> Result<(), Error>` and
///   `fn missing(&str) -> Error` for a combination that the catalogue lacks.
///
/// A struct becomes a `#[repr(C)]` struct, a type axis a type parameter, a number a `u32`, an enumeration a Rust enum of the same name.
pub fn launchers(catalogue: &Catalogue) -> String {
    let mut out = String::from("// Generated from kernels/kernels.toml.\n\n");
    let _ = writeln!(out, "pub static FAMILIES: &[&str] = &[");
    for family in &catalogue.families {
        let _ = writeln!(out, "    {:?},", family.name);
    }
    let _ = writeln!(out, "];\n\npub static KERNELS: &[Entry] = &[");
    for (index, (family, instance)) in catalogue.instances().enumerate() {
        let (symbol, threads) = (instance.symbol(), instance.kernel.threads);
        let family = &family.name;
        let _ = writeln!(
            out,
            "    Entry {{ family: {family:?}, symbol: c{symbol:?}, threads: {threads}, index: {index} }},"
        );
    }
    out.push_str("];\n");
    enumerations(catalogue, &mut out);
    structs(catalogue, &mut out);
    available(catalogue, &mut out);
    let mut first = 0;
    for kernel in catalogue.families.iter().flat_map(|f| &f.kernels) {
        function(kernel, first, &mut out);
        first += kernel.instances().count();
    }
    out
}

fn enumerations(catalogue: &Catalogue, out: &mut String) {
    let axes = catalogue.families.iter().flat_map(|f| &f.kernels).flat_map(|k| &k.axes);
    let names: BTreeSet<&str> = axes.filter_map(|a| a.enumeration.as_deref()).collect();
    for name in names {
        let _ = writeln!(out, "\n#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\npub enum {name} {{");
        for value in unit::enumerators(&catalogue.families, name) {
            let _ = writeln!(out, "    {value},");
        }
        out.push_str("}\n");
    }
}

/// A parameter's type in Rust.
fn rust_type(ty: &str) -> String {
    match (ty.strip_prefix("*const "), ty.strip_prefix("*mut ")) {
        (Some(ty), _) => format!("Ptr<{ty}>"),
        (_, Some(ty)) => format!("PtrMut<{ty}>"),
        _ => ty.to_owned(),
    }
}

fn structs(catalogue: &Catalogue, out: &mut String) {
    for one in &catalogue.structs {
        out.push('\n');
        for line in one.doc.trim().lines() {
            let _ = writeln!(out, "/// {}", line.trim());
        }
        let _ = writeln!(out, "#[derive(Clone, Copy)]\n#[repr(C)]\npub struct {} {{", one.name);
        for field in &one.fields {
            let _ = writeln!(out, "    pub {}: {},", field.name, rust_type(&field.ty));
        }
        out.push_str("}\n");
    }
}

/// A function for each kernel that not every GPU has.
fn available(catalogue: &Catalogue, out: &mut String) {
    out.push_str("\n/// Whether a GPU of a compute capability has a kernel: one function for each that not all have.\npub mod available {\n");
    for kernel in catalogue.families.iter().flat_map(|f| &f.kernels) {
        let mut wants = Vec::new();
        if let Some(min) = kernel.min_arch {
            wants.push(format!("capability >= ({}, {})", min.major, min.minor));
        }
        if !kernel.only.is_empty() {
            let only: Vec<String> = kernel.only.iter().map(|a| format!("({}, {})", a.major, a.minor)).collect();
            wants.push(format!("[{}].contains(&capability)", only.join(", ")));
        }
        if !wants.is_empty() {
            let (name, wants) = (&kernel.name, wants.join(" && "));
            let _ = writeln!(out, "    pub fn {name}(capability: (i32, i32)) -> bool {{\n        {wants}\n    }}");
        }
    }
    out.push_str("}\n");
}

fn is_type(axis: &Axis) -> bool {
    matches!(axis.values[0], Value::Type(_))
}

fn function(kernel: &Kernel, first: usize, out: &mut String) {
    let name = &kernel.name;
    out.push('\n');
    for line in kernel.doc.trim().lines() {
        let _ = writeln!(out, "/// {}", line.trim());
    }
    let types: Vec<String> =
        kernel.axes.iter().filter(|a| is_type(a)).map(|a| format!("{}: Element", a.name)).collect();
    let types = if types.is_empty() { String::new() } else { format!("<{}>", types.join(", ")) };
    let _ = writeln!(out, "#[allow(clippy::too_many_arguments)]\npub fn {name}{types}(\n    launch: Launch<'_>,");
    for axis in kernel.axes.iter().filter(|a| !is_type(a)) {
        let ty = axis.enumeration.as_deref().unwrap_or("u32");
        let _ = writeln!(out, "    {}: {ty},", axis.name.to_lowercase());
    }
    for param in &kernel.params {
        let _ = writeln!(out, "    {}: {},", param.name, rust_type(&param.ty));
    }
    out.push_str(") -> Result<(), Error> {\n");
    if kernel.axes.is_empty() {
        let _ = writeln!(out, "    let entry = &KERNELS[{first}];");
    } else {
        entry_match(kernel, first, out);
    }
    let _ = writeln!(out, "    let mut arguments: [*mut c_void; {}] = [", kernel.params.len());
    for param in &kernel.params {
        let _ = writeln!(out, "        (&raw const {}).cast_mut().cast(),", param.name);
    }
    out.push_str("    ];\n");
    out.push_str("    // SAFETY: number and types of the arguments are the entry's; both come from kernels.toml.\n");
    out.push_str("    unsafe { launch.run(entry, &mut arguments) }\n}\n");
}

fn entry_match(kernel: &Kernel, first: usize, out: &mut String) {
    let subject: Vec<String> = kernel
        .axes
        .iter()
        .map(|a| if is_type(a) { format!("{}::NAME", a.name) } else { a.name.to_lowercase() })
        .collect();
    let _ = writeln!(out, "    let entry = match ({},) {{", subject.join(", "));
    for (offset, instance) in kernel.instances().enumerate() {
        let pattern: Vec<String> = kernel
            .axes
            .iter()
            .zip(&instance.values)
            .map(|(axis, value)| match value {
                Value::Type(ty) => format!("{ty:?}"),
                Value::Number(n) => n.to_string(),
                Value::Name(v) => format!("{}::{v}", axis.enumeration.as_deref().unwrap_or_default()),
            })
            .collect();
        let _ = writeln!(out, "        ({},) => &KERNELS[{}],", pattern.join(", "), first + offset);
    }
    out.push_str("        #[allow(unreachable_patterns)]\n");
    let _ = writeln!(out, "        _ => return Err(missing({:?})),\n    }};", kernel.name);
}
