//! Opens a wheel that anyone may have written. Nothing is unpacked onto the disk.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::Error;

/// No member of a wheel is as large; a wheel that says otherwise is not read.
const LARGEST_MEMBER: u64 = 2 << 30;

/// A member, as the central directory states it.
#[derive(Clone, Debug)]
pub struct Member {
    /// As written in the archive: not to be used as a path before it has been checked.
    pub name: String,
    pub bytes: u64,
    pub compressed_bytes: u64,
    pub is_dir: bool,
    /// Unix permissions and file type, where the archive states them.
    pub mode: Option<u32>,
    index: usize,
}

impl Member {
    /// Why the name may not be unpacked, if so.
    pub fn name_error(&self) -> Option<Error> {
        super::pack::check_name(self.name.trim_end_matches('/')).err()
    }
}

pub struct Reader {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
    members: Vec<Member>,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Reader, Error> {
        let mut file = File::open(path).map_err(Error::io("cannot open", path))?;
        let stated = stated_members(&mut file).map_err(Error::io("cannot read", path))?;
        let broken = |error: zip::result::ZipError| Error::Archive { path: path.to_owned(), reason: error.to_string() };
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
        // Of two members with one name, which one is unpacked depends on the tool; the crate keeps the last.
        if stated.is_some_and(|stated| stated != archive.len()) {
            return Err(Error::Archive {
                path: path.to_owned(),
                reason: "it holds two members of one name".to_owned(),
            });
        }
        let mut members = Vec::with_capacity(archive.len());
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(broken)?;
            members.push(Member {
                name: entry.name().map_err(broken)?.into_owned(),
                bytes: entry.size(),
                compressed_bytes: entry.compressed_size(),
                is_dir: entry.is_dir(),
                mode: entry.unix_mode(),
                index,
            });
        }
        Ok(Reader { path: path.to_owned(), archive, members })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// In the archive's order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The content of a member, after its CRC has been compared.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        let Some(member) = self.members.iter().find(|member| member.name == name) else {
            return Err(Error::member(name, "it is missing from the wheel"));
        };
        if member.bytes > LARGEST_MEMBER {
            return Err(Error::member(name, format!("it claims {} bytes", member.bytes)));
        }
        let mut entry = self.archive.by_index(member.index).map_err(|error| Error::member(name, error.to_string()))?;
        let mut content = Vec::new();
        // One byte more than stated, so that a member longer than its header says is noticed and a bomb is not unpacked.
        let read = entry.by_ref().take(member.bytes + 1).read_to_end(&mut content);
        read.map_err(|error| Error::member(name, format!("it cannot be unpacked: {error}")))?;
        if content.len() as u64 != member.bytes {
            let reason = format!("it holds other than the {} bytes that the archive states", member.bytes);
            return Err(Error::member(name, reason));
        }
        Ok(content)
    }
}

/// How many members the end of the central directory states; none where there is no such record, or a zip64 one.
fn stated_members(file: &mut File) -> io::Result<Option<usize>> {
    const RECORD: u64 = 22;
    let length = file.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(RECORD + u64::from(u16::MAX));
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    file.rewind()?;
    let record = tail.windows(RECORD as usize).rev().find(|window| window.starts_with(b"PK\x05\x06"));
    let count = record.map(|record| u16::from_le_bytes([record[10], record[11]]));
    Ok(count.filter(|count| *count != u16::MAX).map(usize::from))
}
