//! Reads what a dynamic linker would read of a shared library: names, paths, symbols and their versions.

use std::ops::Range;

use object::LittleEndian;
use object::elf;
use object::read::SymbolIndex;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};

/// A symbol that another library has to provide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    pub name: String,
    /// Library and version, as the version needs state them: (`libc.so.6`, `GLIBC_2.28`).
    pub version: Option<(String, String)>,
}

/// A shared library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elf {
    pub machine: u16,
    pub soname: Option<String>,
    pub needed: Vec<String>,
    pub rpath: Option<String>,
    pub runpath: Option<String>,
    pub imports: Vec<Import>,
    /// Every version that is needed of another library, also where no symbol uses it (`GLIBC_ABI_DT_RELR`).
    pub version_needs: Vec<(String, String)>,
    pub exports: Vec<String>,
    /// The stack would have to be executable.
    pub executable_stack: bool,
    /// Where device code compiled into the library lies, if there is any.
    pub fatbin: Option<Range<usize>>,
}

impl Elf {
    pub fn read(data: &[u8]) -> Result<Elf, String> {
        let (elf, loadable) = parse(data).map_err(|error| error.to_string())?;
        if loadable { Ok(elf) } else { Err("it has no dynamic section that can be read".to_owned()) }
    }

    /// As platform tags name it.
    pub fn architecture(&self) -> String {
        match elf::Machine(self.machine) {
            elf::EM_X86_64 => "x86_64".to_owned(),
            elf::EM_AARCH64 => "aarch64".to_owned(),
            other => format!("machine {}", other.0),
        }
    }
}

/// The library, and whether it has what a dynamic linker needs.
fn parse(data: &[u8]) -> Result<(Elf, bool), object::Error> {
    let header = elf::FileHeader64::<LittleEndian>::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    let mut out = Elf { machine: header.e_machine(endian).0, ..Elf::default() };

    for segment in header.program_headers(endian, data)? {
        if segment.p_type(endian) == elf::PT_GNU_STACK {
            out.executable_stack = segment.p_flags(endian).0 & elf::PF_X.0 != 0;
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let dynamic = sections.dynamic_table(endian, data)?;
    for entry in &dynamic {
        match entry.tag {
            elf::DT_NEEDED => out.needed.push(text(dynamic.string(entry)?)),
            elf::DT_SONAME => out.soname = Some(text(dynamic.string(entry)?)),
            elf::DT_RPATH => out.rpath = Some(text(dynamic.string(entry)?)),
            elf::DT_RUNPATH => out.runpath = Some(text(dynamic.string(entry)?)),
            _ => {}
        }
    }

    let symbols = sections.symbols(endian, data, elf::SHT_DYNSYM)?;
    let versions = sections.versions(endian, data)?.unwrap_or_default();
    for (index, symbol) in symbols.iter().enumerate().skip(1) {
        let name = text(symbols.symbol_name(endian, symbol)?);
        if name.is_empty() || symbol.is_local() {
            continue;
        }
        if !symbol.is_undefined(endian) {
            out.exports.push(name);
            continue;
        }
        let version = versions.version(versions.version_index(endian, SymbolIndex(index)).index())?;
        let version = version.map(|version| (text(version.file().unwrap_or_default()), text(version.name())));
        out.imports.push(Import { name, version });
    }

    if let Some((mut needs, link)) = sections.gnu_verneed(endian, data)? {
        let strings = sections.strings(endian, data, link)?;
        while let Some((need, mut versions)) = needs.next()? {
            let file = text(need.file(endian, strings)?);
            while let Some(version) = versions.next()? {
                out.version_needs.push((file.clone(), text(version.name(endian, strings)?)));
            }
        }
    }

    if let Some((_, section)) = sections.section_by_name(endian, b".nv_fatbin") {
        let (start, size) = section.file_range(endian).unwrap_or_default();
        let (start, end) = (start as usize, start.saturating_add(size) as usize);
        out.fatbin = (start < end && end <= data.len()).then_some(start..end);
    }
    Ok((out, !dynamic.is_empty()))
}
