//! `kernels.toml`: every kernel that is built, its parameters and its instances.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::{Arch, Error, Spill, unit};

/// The name of the file, and how messages show it.
pub(crate) const FILE: &str = "kernels/kernels.toml";

/// All kernels, in the order of `kernels.toml`.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// Parameters of several kernels that go together.
    pub structs: Vec<Struct>,
    pub families: Vec<Family>,
}

/// A parameter with fields, by value: the same in C++ and in Rust.
#[derive(Clone, Debug)]
pub struct Struct {
    pub name: String,
    pub doc: String,
    pub fields: Vec<Param>,
}

/// Kernels that share a source and a fatbin.
#[derive(Clone, Debug)]
pub struct Family {
    pub name: String,
    pub doc: String,
    /// The `.cu` file, then every `.cuh` that it reads, relative to `kernels/`.
    pub sources: Vec<PathBuf>,
    /// The structs that its kernels take.
    pub structs: Vec<Struct>,
    pub kernels: Vec<Kernel>,
}

/// A `__global__` function: one template, or one plain function where it has no axes.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub name: String,
    pub doc: String,
    /// Threads of a block; the launch bound of every instance.
    pub threads: u32,
    /// The template's parameters, in order.
    pub axes: Vec<Axis>,
    pub params: Vec<Param>,
    /// The lowest architecture that the kernel is built for.
    pub min_arch: Option<Arch>,
    /// The only architectures that it is built for, where it uses what just these have.
    pub only: Vec<Arch>,
    /// Bytes that an instance may keep in local memory for want of registers, stored and loaded together; none otherwise.
    pub spills: u32,
    /// Where it stands in `kernels.toml`.
    pub line: usize,
}

/// One template parameter and the values that it is built for.
#[derive(Clone, Debug)]
pub struct Axis {
    pub name: String,
    pub values: Vec<Value>,
    /// The C++ `enum class` that the values belong to, where they are no types or numbers.
    pub enumeration: Option<String>,
}

/// A template argument.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// An element type: `f32`, `f16`, …
    Type(String),
    Number(u32),
    /// An enumerator of the axis's enumeration.
    Name(String),
}

/// A parameter, with its type as Rust writes it: `*const T`, `*mut i64`, `f32`.
#[derive(Clone, Debug)]
pub struct Param {
    pub name: String,
    pub ty: String,
}

/// A kernel with all of its template arguments.
#[derive(Clone, Debug)]
pub struct Instance<'a> {
    pub kernel: &'a Kernel,
    pub values: Vec<&'a Value>,
}

/// Rust's and CUDA's names of the types that a kernel may take.
pub(crate) const TYPES: [(&str, &str); 9] = [
    ("f32", "float"),
    ("f16", "__half"),
    ("bf16", "__nv_bfloat16"),
    ("u8", "unsigned char"),
    ("u16", "unsigned short"),
    ("i32", "int"),
    ("u32", "unsigned"),
    ("i64", "long long"),
    ("u64", "unsigned long long"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalogue {
    /// What every kernel may spill.
    #[serde(default)]
    spills: u32,
    #[serde(default, rename = "struct")]
    structs: Vec<Spanned<RawStruct>>,
    family: Vec<Spanned<RawFamily>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStruct {
    name: String,
    doc: String,
    fields: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFamily {
    name: String,
    doc: String,
    source: PathBuf,
    kernel: Vec<Spanned<RawKernel>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKernel {
    name: String,
    doc: String,
    threads: u32,
    #[serde(default)]
    axes: Vec<RawAxis>,
    params: Vec<(String, String)>,
    #[serde(default)]
    min_arch: Option<String>,
    #[serde(default)]
    only: Vec<String>,
    #[serde(default)]
    spills: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAxis {
    name: String,
    #[serde(default, rename = "enum")]
    enumeration: Option<String>,
    values: Vec<RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawValue {
    Number(u32),
    Text(String),
}

impl Catalogue {
    /// Reads `kernels.toml` of `kernels_dir` and checks it against itself and the sources that it names.
    pub fn load(kernels_dir: &Path) -> Result<Catalogue, Error> {
        let text = unit::read(kernels_dir, Path::new("kernels.toml"))?;
        let (structs, families) = parse(&text)?;
        let mut catalogue = Catalogue { structs, families: Vec::new() };
        for (mut family, line) in families {
            if catalogue.families.iter().any(|f| f.name == family.name) {
                return Err(at(line, format!("family '{}' is listed twice", family.name)));
            }
            family.sources = unit::sources(kernels_dir, &family.sources[0])?;
            catalogue.families.push(family);
        }
        let mut names = BTreeSet::new();
        for kernel in catalogue.families.iter().flat_map(|f| &f.kernels) {
            if !names.insert(&kernel.name) {
                return Err(at(kernel.line, format!("kernel '{}' is listed twice", kernel.name)));
            }
        }
        Ok(catalogue)
    }

    /// Every instance of every family, in order: the number of an instance is its place here.
    pub fn instances(&self) -> impl Iterator<Item = (&Family, Instance<'_>)> {
        self.families.iter().flat_map(|f| f.kernels.iter().flat_map(move |k| k.instances().map(move |i| (f, i))))
    }
}

impl Family {
    /// Whether any of its kernels is built for an architecture.
    pub fn wants(&self, arch: Arch) -> bool {
        self.kernels.iter().any(|k| k.wants(arch))
    }

    /// Those of `spills` that `kernels.toml` does not allow. What the compiler brings itself, such as the slow path of a division,
    /// saves the registers that it uses, and is not judged.
    pub fn too_many<'a>(&self, spills: &'a [Spill]) -> Vec<&'a Spill> {
        let allowed = |symbol: &str| {
            let kernel = self.kernels.iter().find(|kernel| kernel.instances().any(|one| one.symbol() == symbol));
            kernel.map_or(u32::MAX, |kernel| kernel.spills)
        };
        spills.iter().filter(|spill| spill.stores + spill.loads > allowed(&spill.symbol)).collect()
    }

    /// What NVRTC gets: every source in one string with `#line` in place of paths, then an `extern "C"` entry for each
    /// instance that `arch` wants. A function of the files' contents alone.
    pub fn translation_unit(&self, kernels_dir: &Path, arch: Arch) -> Result<String, Error> {
        unit::translation_unit(self, kernels_dir, arch)
    }
}

impl Kernel {
    pub fn wants(&self, arch: Arch) -> bool {
        self.min_arch.is_none_or(|min| min <= arch) && (self.only.is_empty() || self.only.contains(&arch))
    }

    /// The product of its axes; the last one varies fastest.
    pub fn instances(&self) -> impl Iterator<Item = Instance<'_>> {
        let count = self.axes.iter().map(|a| a.values.len()).product();
        (0..count).map(|mut index| {
            let mut values = Vec::with_capacity(self.axes.len());
            for axis in self.axes.iter().rev() {
                values.push(&axis.values[index % axis.values.len()]);
                index /= axis.values.len();
            }
            values.reverse();
            Instance { kernel: self, values }
        })
    }
}

impl Instance<'_> {
    /// The symbol in the image: the kernel's name and its arguments, as in `pairwise_f32_l2`.
    pub fn symbol(&self) -> String {
        let mut symbol = self.kernel.name.clone();
        for value in &self.values {
            symbol.push('_');
            match value {
                Value::Type(t) => symbol.push_str(t),
                Value::Number(n) => symbol.push_str(&n.to_string()),
                Value::Name(n) => symbol.push_str(&n.to_lowercase()),
            }
        }
        symbol
    }

    /// A parameter's type with the axes' values put in.
    pub(crate) fn resolve<'b>(&'b self, ty: &'b str) -> &'b str {
        let axis = self.kernel.axes.iter().position(|a| a.name == ty);
        match axis.map(|i| self.values[i]) {
            Some(Value::Type(t)) => t,
            _ => ty,
        }
    }
}

fn at(line: usize, message: String) -> Error {
    Error::Catalogue { path: FILE.to_owned(), line, message }
}

#[allow(clippy::type_complexity)]
fn parse(text: &str) -> Result<(Vec<Struct>, Vec<(Family, usize)>), Error> {
    let line_of = |offset: usize| 1 + text[..offset].matches('\n').count();
    let raw: RawCatalogue = toml::from_str(text)
        .map_err(|e| at(e.span().map_or(1, |s| line_of(s.start)), e.message().trim_end().to_owned()))?;
    let mut structs: Vec<Struct> = Vec::new();
    for one in raw.structs {
        let line = line_of(one.span().start);
        let one = parse_struct(one.into_inner()).map_err(|m| at(line, m))?;
        if structs.iter().any(|s| s.name == one.name) {
            return Err(at(line, format!("struct '{}' is listed twice", one.name)));
        }
        structs.push(one);
    }
    let mut families = Vec::new();
    for family in raw.family {
        let line = line_of(family.span().start);
        let family = family.into_inner();
        identifier(&family.name).map_err(|m| at(line, m))?;
        let mut kernels = Vec::new();
        for kernel in family.kernel {
            let line = line_of(kernel.span().start);
            let mut kernel = parse_kernel(kernel.into_inner(), line, &structs).map_err(|m| at(line, m))?;
            kernel.spills = kernel.spills.max(raw.spills);
            kernels.push(kernel);
        }
        let taken = |s: &&Struct| kernels.iter().flat_map(|k: &Kernel| &k.params).any(|p| p.ty == s.name);
        let structs = structs.iter().filter(taken).cloned().collect();
        let sources = vec![family.source];
        families.push((Family { name: family.name, doc: family.doc, sources, structs, kernels }, line));
    }
    Ok((structs, families))
}

fn parse_struct(raw: RawStruct) -> Result<Struct, String> {
    let name = raw.name;
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(format!("'{name}' is no name of a struct: letters and digits, the first an upper-case one"));
    }
    let mut fields = Vec::new();
    for (field, ty) in raw.fields {
        identifier(&field)?;
        // Half-precision types would want their header before the sources.
        let known = |(rust, cuda): &&(&str, &str)| *rust == pointee(&ty) && !cuda.starts_with("__");
        if !TYPES.iter().any(|pair| known(&pair)) {
            return Err(format!("struct '{name}': field '{field}' has the unknown type '{ty}'"));
        }
        fields.push(Param { name: field, ty });
    }
    Ok(Struct { name, doc: raw.doc, fields })
}

/// What a pointer leads to, or the type itself.
fn pointee(ty: &str) -> &str {
    ty.strip_prefix("*const ").or(ty.strip_prefix("*mut ")).unwrap_or(ty)
}

fn parse_kernel(raw: RawKernel, line: usize, structs: &[Struct]) -> Result<Kernel, String> {
    identifier(&raw.name)?;
    if raw.threads == 0 || raw.threads > 1024 || !raw.threads.is_multiple_of(32) {
        return Err(format!("kernel '{}': threads must be a multiple of 32 up to 1024, not {}", raw.name, raw.threads));
    }
    let arch = |s: &String| s.parse::<Arch>().map_err(|e| e.to_string());
    let min_arch = raw.min_arch.as_ref().map(arch).transpose()?;
    let only = raw.only.iter().map(arch).collect::<Result<_, _>>()?;
    let axes = raw.axes.into_iter().map(parse_axis).collect::<Result<Vec<_>, _>>()?;
    let mut params = Vec::new();
    for (name, ty) in raw.params {
        identifier(&name)?;
        let inner = pointee(&ty);
        let is_type_axis = axes.iter().any(|a| a.name == inner && matches!(a.values[0], Value::Type(_)));
        let is_struct = structs.iter().any(|s| s.name == ty);
        if !is_struct && !is_type_axis && !TYPES.iter().any(|(rust, _)| *rust == inner) {
            return Err(format!("kernel '{}': parameter '{name}' has the unknown type '{ty}'", raw.name));
        }
        params.push(Param { name, ty });
    }
    Ok(Kernel {
        name: raw.name,
        doc: raw.doc,
        threads: raw.threads,
        axes,
        params,
        min_arch,
        only,
        spills: raw.spills,
        line,
    })
}

fn parse_axis(raw: RawAxis) -> Result<Axis, String> {
    let mut values = Vec::new();
    for value in raw.values {
        values.push(match (value, &raw.enumeration) {
            (RawValue::Number(n), None) => Value::Number(n),
            (RawValue::Text(name), Some(_)) => Value::Name(name),
            (RawValue::Text(ty), None) if TYPES.iter().any(|(rust, _)| *rust == ty) => Value::Type(ty),
            (RawValue::Text(ty), None) => return Err(format!("axis '{}': unknown type '{ty}'", raw.name)),
            (RawValue::Number(n), Some(e)) => return Err(format!("axis '{}': {n} is no enumerator of {e}", raw.name)),
        });
    }
    let kind = |v: &Value| std::mem::discriminant(v);
    match values.first() {
        None => Err(format!("axis '{}' has no values", raw.name)),
        Some(first) if values.iter().any(|v| kind(v) != kind(first)) => {
            Err(format!("axis '{}' mixes types and numbers", raw.name))
        }
        Some(_) if values.iter().collect::<BTreeSet<_>>().len() != values.len() => {
            Err(format!("axis '{}' lists a value twice", raw.name))
        }
        Some(_) => Ok(Axis { name: raw.name, values, enumeration: raw.enumeration }),
    }
}

fn identifier(name: &str) -> Result<(), String> {
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if good { Ok(()) } else { Err(format!("'{name}' is no name: lower-case letters, digits and '_'")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[family]]
name = "a"
doc = "d"
source = "a.cu"
[[family.kernel]]
name = "f"
doc = "d"
threads = 64
axes = [{ name = "T", values = ["f32", "f16"] }, { name = "N", values = [1, 8] }, { name = "M", enum = "Metric", values = ["L2"] }]
params = [["x", "*const T"], ["n", "i64"]]
min_arch = "8.0"
"#;

    #[test]
    fn instances_are_the_product_of_the_axes() {
        let (_, families) = parse(GOOD).unwrap();
        let kernel = &families[0].0.kernels[0];
        let symbols: Vec<String> = kernel.instances().map(|i| i.symbol()).collect();
        assert_eq!(symbols, ["f_f32_1_l2", "f_f32_8_l2", "f_f16_1_l2", "f_f16_8_l2"]);
        assert!(!kernel.wants(Arch::new(7, 5)) && kernel.wants(Arch::new(8, 0)));
    }

    #[test]
    fn spills_are_allowed_by_kernel() {
        let spill = |symbol: &str, stores, loads| Spill { symbol: symbol.into(), stores, loads };
        let all = [spill("f_f32_1_l2", 4, 4), spill("f_f16_8_l2", 8, 4), spill("__cuda_sm3x_div_slowpath", 20, 20)];
        let family = |text: &str| parse(text).unwrap().1.remove(0).0;
        assert_eq!(family(GOOD).too_many(&all), [&all[0], &all[1]]);
        assert_eq!(family(&GOOD.replace("min_arch", "spills = 8\nmin_arch")).too_many(&all), [&all[1]]);
        assert!(family(&format!("spills = 12\n{GOOD}")).too_many(&all).is_empty());
    }

    #[test]
    fn mistakes_name_their_line() {
        for (from, to, message) in [
            ("threads = 64", "threads = 65", "kernels/kernels.toml:6: kernel 'f': threads must be a multiple of 32"),
            (
                "*const T",
                "*const U",
                "kernels/kernels.toml:6: kernel 'f': parameter 'x' has the unknown type '*const U'",
            ),
            ("[1, 8]", "[8, 8]", "kernels/kernels.toml:6: axis 'N' lists a value twice"),
            ("name = \"f\"", "name = \"F\"", "kernels/kernels.toml:6: 'F' is no name"),
            (
                "[[family]]",
                "[[struct]]\nname = \"S\"\ndoc = \"d\"\nfields = [[\"x\", \"*const f16\"]]\n[[family]]",
                "kernels/kernels.toml:2: struct 'S': field 'x' has the unknown type '*const f16'",
            ),
            ("min_arch", "minimum_arch", "kernels/kernels.toml:12: unknown field `minimum_arch`"),
        ] {
            let error = parse(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
