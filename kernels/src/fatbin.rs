//! Reads fatbins: which images a container really holds, for which architectures, how large, with which kernels.
//!
//! NVIDIA documents the container as opaque; what is read here was found by packing known images with nvFatbin 12.4 and
//! 13.5. One container is a header of 16 bytes and entries one after the other; each entry has its kind, its
//! architecture, and a payload that is stored as it is, as an LZ4 block (nvFatbin 12) or as a Zstandard frame (13).
//! A fatbin is untrusted input: everything that is wrong with it is an [`Error`].

use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, Sym};

use crate::Arch;

/// How a payload is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Stored,
    Lz4,
    Zstd,
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Machine code for one architecture.
    Cubin,
    /// Text that the driver translates for the architecture and every later one.
    Ptx,
}

/// One image of a fatbin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    pub kind: Kind,
    pub arch: Arch,
    /// Uncompressed, without padding.
    pub bytes: u64,
    /// As stored.
    pub compressed_bytes: u64,
    pub compression: Compression,
    /// Names of the entry points, sorted.
    pub kernels: Vec<String>,
}

/// Why bytes are not a fatbin. Offsets count from the first byte given.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    #[error("it is empty")]
    Empty,
    #[error("byte {offset}: no fatbin starts here: {found:08x} instead of ba55ed50")]
    Magic { offset: usize, found: u32 },
    #[error("byte {offset}: {what} is cut short: {needed} bytes wanted, {left} left")]
    Truncated { offset: usize, what: &'static str, needed: u64, left: u64 },
    #[error("byte {offset}: {what} {value} is not known")]
    Unknown { offset: usize, what: &'static str, value: u64 },
    #[error("byte {offset}: the image for {arch} cannot be decompressed: {reason}")]
    Decompress { offset: usize, arch: Arch, reason: String },
    #[error("byte {offset}: the image for {arch} {reason}")]
    Image { offset: usize, arch: Arch, reason: String },
}

const MAGIC: u32 = 0xba55_ed50;
const CONTAINER_HEADER: usize = 16;
const ENTRY_HEADER: usize = 64;

const KIND_PTX: u16 = 1;
const KIND_CUBIN: u16 = 2;

const FLAG_LZ4: u64 = 0x2000;
const FLAG_ZSTD: u64 = 0x8000;
const FLAG_SUFFIX_A: u64 = 0x10_0000;
const FLAG_SUFFIX_F: u64 = 0x20_0000;

/// The ELF machine of a cubin.
const EM_CUDA: u16 = 190;
/// In `st_other`: the function is an entry point, not one that kernels call.
const STO_CUDA_ENTRY: u8 = 0x10;

/// No image is larger; one that claims to be is not unpacked.
const LARGEST_IMAGE: u64 = 1 << 30;

/// Reads every container in `data`, one after the other: a `.fatbin` file has one, the section `.nv_fatbin` of a library
/// many. Zeros between containers are passed over.
pub fn read(data: &[u8]) -> Result<Vec<ImageInfo>, Error> {
    let mut images = Vec::new();
    let mut offset = 0;
    while offset < data.len() {
        if offset > 0 && data[offset] == 0 {
            offset += 1;
            continue;
        }
        offset = container(data, offset, &mut images)?;
    }
    if data.is_empty() { Err(Error::Empty) } else { Ok(images) }
}

/// Reads the container at `start` and returns where it ends.
fn container(data: &[u8], start: usize, images: &mut Vec<ImageInfo>) -> Result<usize, Error> {
    let header = Fields::at(data, start, CONTAINER_HEADER, "the header of a container")?;
    if header.u32(0) != MAGIC {
        return Err(Error::Magic { offset: start, found: header.u32(0) });
    }
    if header.u16(4) != 1 {
        return Err(Error::Unknown { offset: start, what: "container version", value: header.u16(4).into() });
    }
    let header_size = usize::from(header.u16(6));
    if header_size < CONTAINER_HEADER {
        return Err(Error::Unknown { offset: start, what: "container header size", value: header_size as u64 });
    }
    slice(data, start, header_size as u64, "the header of a container")?;
    let entries = start + header_size;
    let end = entries + slice(data, entries, header.u64(8), "a container")?.len();
    // Entries are read from a slice that ends with the container, so that none can reach into the next one.
    let data = &data[..end];
    let mut offset = entries;
    while offset < end {
        let (image, next) = entry(data, offset)?;
        images.push(image);
        offset = next;
    }
    Ok(end)
}

/// Reads the entry at `start` and returns it with the place of the next one.
fn entry(data: &[u8], start: usize) -> Result<(ImageInfo, usize), Error> {
    let header = Fields::at(data, start, ENTRY_HEADER, "the header of an image")?;
    let kind = match header.u16(0) {
        KIND_CUBIN => Kind::Cubin,
        KIND_PTX => Kind::Ptx,
        other => return Err(Error::Unknown { offset: start, what: "kind of image", value: other.into() }),
    };
    let header_size = header.u32(4) as usize;
    if header_size < ENTRY_HEADER {
        return Err(Error::Unknown { offset: start, what: "image header size", value: header_size as u64 });
    }
    slice(data, start, header_size as u64, "the header of an image")?;
    let place = start + header_size;
    let padded = slice(data, place, header.u64(8), "an image")?;
    let flags = header.u64(40);
    let arch = arch(start, header.u32(28), flags)?;

    let (stored, uncompressed_size) = (u64::from(header.u32(16)), header.u64(56));
    let compression = match flags & (FLAG_LZ4 | FLAG_ZSTD) {
        0 => Compression::Stored,
        FLAG_LZ4 => Compression::Lz4,
        FLAG_ZSTD => Compression::Zstd,
        both => return Err(Error::Unknown { offset: start, what: "compression", value: both }),
    };
    let payload = match compression {
        Compression::Stored => padded,
        _ => slice(&data[..place + padded.len()], place, stored, "a compressed image")?,
    };
    let content = decompress(compression, payload, uncompressed_size).map_err(|reason| Error::Decompress {
        offset: place,
        arch,
        reason,
    })?;
    let content = content.as_deref().unwrap_or(payload);
    let wrong = |reason| Error::Image { offset: place, arch, reason };
    let (bytes, kernels) = match kind {
        Kind::Cubin => (content.len(), cubin(content, arch).map_err(wrong)?),
        Kind::Ptx => ptx(content, arch).map_err(wrong)?,
    };
    let image =
        ImageInfo { kind, arch, bytes: bytes as u64, compressed_bytes: payload.len() as u64, compression, kernels };
    Ok((image, place + padded.len()))
}

fn arch(offset: usize, number: u32, flags: u64) -> Result<Arch, Error> {
    let unknown = || Error::Unknown { offset, what: "architecture", value: number.into() };
    let number = u8::try_from(number).map_err(|_| unknown())?;
    if number < 10 {
        return Err(unknown());
    }
    let suffix = match flags & (FLAG_SUFFIX_A | FLAG_SUFFIX_F) {
        0 => None,
        FLAG_SUFFIX_A => Some('a'),
        FLAG_SUFFIX_F => Some('f'),
        both => return Err(Error::Unknown { offset, what: "architecture suffix", value: both }),
    };
    Ok(Arch { major: number / 10, minor: number % 10, suffix })
}

/// The content of a compressed payload; none for a stored one.
fn decompress(compression: Compression, payload: &[u8], size: u64) -> Result<Option<Vec<u8>>, String> {
    if size > LARGEST_IMAGE {
        return Err(format!("it claims {size} bytes"));
    }
    let content = match compression {
        Compression::Stored => return Ok(None),
        Compression::Lz4 => {
            // A byte of an LZ4 block stands for at most 255: what claims more would only allocate.
            if size > (payload.len() as u64 + 1) * 255 {
                return Err(format!("{} bytes of LZ4 cannot hold the {size} that it claims", payload.len()));
            }
            lz4_flex::block::decompress(payload, size as usize).map_err(|error| error.to_string())?
        }
        Compression::Zstd => {
            use std::io::Read;
            let mut content = Vec::new();
            let decoder = ruzstd::decoding::StreamingDecoder::new(payload).map_err(|error| error.to_string())?;
            decoder.take(size + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
            content
        }
    };
    if content.len() as u64 == size {
        Ok(Some(content))
    } else {
        Err(format!("it holds other than the {size} bytes that it claims"))
    }
}

/// Names of the entry points of machine code, after its ELF header has been compared with the entry's architecture.
fn cubin(content: &[u8], arch: Arch) -> Result<Vec<String>, String> {
    let elf = |error: object::Error| format!("is no ELF file: {error}");
    let header = elf::FileHeader64::<LittleEndian>::parse(content).map_err(elf)?;
    let endian = header.endian().map_err(elf)?;
    if header.e_machine(endian) != elf::Machine(EM_CUDA) {
        return Err(format!("is ELF for machine {}, not for CUDA", header.e_machine(endian).0));
    }
    let flags = header.e_flags(endian).0;
    // ABI version 8 (CUDA 13) has the number in the second byte and no suffix; version 7 has it in the first.
    let (number, suffix) = match header.e_ident().abi_version {
        8 => ((flags >> 8) & 0xff, arch.suffix),
        _ => (flags & 0xff, (flags & 0x800 != 0).then_some('a')),
    };
    if number != u32::from(arch.major) * 10 + u32::from(arch.minor) || suffix != arch.suffix {
        let suffix = suffix.map(String::from).unwrap_or_default();
        return Err(format!("is machine code for {}.{}{suffix}", number / 10, number % 10));
    }

    let sections = header.sections(endian, content).map_err(elf)?;
    let symbols = sections.symbols(endian, content, elf::SHT_SYMTAB).map_err(elf)?;
    let mut kernels = Vec::new();
    for symbol in symbols.iter() {
        let entry_point = symbol.st_type() == elf::STT_FUNC && symbol.st_other().0 & STO_CUDA_ENTRY != 0;
        if entry_point && !symbol.is_undefined(endian) {
            let name = symbols.symbol_name(endian, symbol).map_err(elf)?;
            kernels.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    kernels.sort();
    Ok(kernels)
}

/// Length without padding and the names of the entry points of PTX, after its target has been compared.
fn ptx(content: &[u8], arch: Arch) -> Result<(usize, Vec<String>), String> {
    let length = content.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let text = std::str::from_utf8(&content[..length]).map_err(|error| format!("is no PTX: {error}"))?;
    let target = text.lines().find_map(|line| line.trim_start().strip_prefix(".target"));
    let target = target.ok_or("is no PTX: it has no .target")?.split(',').next().unwrap_or_default().trim();
    if target != arch.sm() {
        return Err(format!("is PTX for {target}"));
    }
    let mut kernels: Vec<String> = text
        .split(".entry")
        .skip(1)
        .map(|rest| rest.trim_start().split(|c: char| !c.is_ascii_alphanumeric() && !"_$".contains(c)).next())
        .map(|name| name.unwrap_or_default().to_owned())
        .collect();
    kernels.sort();
    Ok((length, kernels))
}

/// `length` bytes from `offset` on, or an error that names what is too short.
fn slice<'a>(data: &'a [u8], offset: usize, length: u64, what: &'static str) -> Result<&'a [u8], Error> {
    let rest = data.get(offset..).unwrap_or_default();
    let fits = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    fits.ok_or(Error::Truncated { offset, what, needed: length, left: rest.len() as u64 })
}

/// Little-endian fields of a header whose length has been checked.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn at(data: &'a [u8], offset: usize, length: usize, what: &'static str) -> Result<Fields<'a>, Error> {
        slice(data, offset, length as u64, what).map(Fields)
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
}

#[cfg(test)]
mod tests;
