//! The zip archive itself. Written here because its bytes are a promise: they may change neither with a system's zlib
//! nor with the features that another crate turns on in a shared one. miniz_oxide has no CPU-dependent path.

use std::io::{self, Write};

use miniz_oxide::deflate::compress_to_vec;

/// miniz_oxide's slowest ordinary level: the wheel's parts compress in a few seconds.
const LEVEL: u8 = 9;
/// 1980-01-01 00:00:00, the oldest time that a zip can state.
const DOS_DATE: u16 = (1 << 5) | 1;
const DEFLATED: u16 = 8;
const VERSION_NEEDED: u16 = 20;
const MADE_BY_UNIX: u16 = (3 << 8) | VERSION_NEEDED;
/// Names are UTF-8.
const FLAGS: u16 = 1 << 11;

/// A member, compressed.
pub(super) struct Deflated {
    pub name: String,
    pub mode: u32,
    pub size: u32,
    crc: u32,
    pub data: Vec<u8>,
}

impl Deflated {
    /// `content` must be below 4 GiB, which [`super::pack`] checks: the archive has no zip64 records.
    pub fn new(name: String, mode: u32, content: &[u8]) -> Deflated {
        let data = compress_to_vec(content, LEVEL);
        Deflated { name, mode, size: content.len() as u32, crc: crc32fast::hash(content), data }
    }

    /// What the local header and the central directory have in common.
    fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for field in [VERSION_NEEDED, FLAGS, DEFLATED, 0, DOS_DATE] {
            out.extend(field.to_le_bytes());
        }
        for field in [self.crc, self.data.len() as u32, self.size] {
            out.extend(field.to_le_bytes());
        }
        out.extend((self.name.len() as u16).to_le_bytes());
        out.extend(0u16.to_le_bytes()); // no extra field
        out
    }
}

/// Writes the members in the order given. The total must be below 4 GiB and 65535 members.
pub(super) fn write(mut out: impl Write, members: &[Deflated]) -> io::Result<()> {
    let mut directory = Vec::new();
    let mut offset = 0u32;
    for member in members {
        let header = member.header();
        directory.extend(b"PK\x01\x02");
        directory.extend(MADE_BY_UNIX.to_le_bytes());
        directory.extend(&header);
        directory.extend([0; 6]); // no comment, disk 0, no internal attributes
        directory.extend(((0o100_000 | member.mode) << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(member.name.as_bytes());

        out.write_all(b"PK\x03\x04")?;
        out.write_all(&header)?;
        out.write_all(member.name.as_bytes())?;
        out.write_all(&member.data)?;
        offset += (4 + header.len() + member.name.len() + member.data.len()) as u32;
    }
    out.write_all(&directory)?;
    out.write_all(b"PK\x05\x06\0\0\0\0")?;
    for _ in 0..2 {
        out.write_all(&(members.len() as u16).to_le_bytes())?;
    }
    out.write_all(&(directory.len() as u32).to_le_bytes())?;
    out.write_all(&offset.to_le_bytes())?;
    out.write_all(&[0; 2]) // no comment
}
