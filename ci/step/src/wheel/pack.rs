//! From a staged folder to the wheel: checks names, writes RECORD, and puts the finished archive in place in one step.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::archive::{self, Deflated};
use super::record::{self, Entry};
use super::{Error, WheelName};

/// What was written.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Packed {
    pub path: PathBuf,
    /// In lower-case hexadecimal.
    pub sha256: String,
    pub bytes: u64,
    /// In the archive's order.
    pub members: Vec<PackedMember>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct PackedMember {
    pub name: String,
    pub bytes: u64,
    pub compressed_bytes: u64,
}

/// Packs every file below `staged` into `out_dir/NAME` and returns what was written.
///
/// `staged` holds the package and what [`super::stage`] wrote; RECORD is made here. Symbolic links and anything else
/// that is no plain file are refused. `out_dir` is created when missing; a wheel of the same name is replaced at the end,
/// in one step, so that a half-written one is never seen under that name.
pub fn pack(staged: &Path, name: &WheelName, out_dir: &Path) -> Result<Packed, Error> {
    let dist_info = name.dist_info();
    let record_name = format!("{dist_info}/RECORD");
    let mut names = Vec::new();
    list(staged, "", &mut names)?;
    names.retain(|name| *name != record_name);
    for required in ["METADATA", "WHEEL"] {
        let member = format!("{dist_info}/{required}");
        if !names.contains(&member) {
            return Err(Error::member(&member, "it is missing from the staged folder"));
        }
    }
    // The package first and dist-info last, so that tools which append to or read the end of a wheel do little work.
    let prefix = format!("{dist_info}/");
    names.sort_by_key(|name| (name.starts_with(&prefix), name.clone()));

    let mut members = Vec::with_capacity(names.len() + 1);
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        let path = staged.join(&name);
        let content = fs::read(&path).map_err(Error::io("cannot read", &path))?;
        if u32::try_from(content.len()).is_err() {
            return Err(Error::member(&name, "it is over 4 GiB"));
        }
        entries.push(Entry::of(&name, &content));
        let mode = if name.ends_with(".so") { 0o755 } else { 0o644 };
        members.push(Deflated::new(name, mode, &content));
    }
    let record = record::render(&entries, &record_name);
    members.push(Deflated::new(record_name, 0o644, record.as_bytes()));
    let total: u64 = members.iter().map(|member| (member.data.len() + 2 * member.name.len() + 128) as u64).sum();
    if u32::try_from(total).is_err() || u16::try_from(members.len()).is_err() {
        let reason = format!("{total} bytes in {} members do not fit a wheel without zip64", members.len());
        return Err(Error::Archive { path: out_dir.join(name.to_string()), reason });
    }

    let mut bytes = Vec::new();
    archive::write(&mut bytes, &members).expect("writing to memory does not fail");
    let path = out_dir.join(name.to_string());
    write_atomically(&path, &bytes)?;
    Ok(Packed {
        path,
        sha256: record::hex_sha256(&bytes),
        bytes: bytes.len() as u64,
        members: members
            .into_iter()
            .map(|m| PackedMember { name: m.name, bytes: m.size.into(), compressed_bytes: m.data.len() as u64 })
            .collect(),
    })
}

/// Collects the names of the plain files below `folder`, relative to the first one and with forward slashes.
fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::io("cannot list", folder))? {
        let entry = entry.map_err(Error::io("cannot list", folder))?;
        let Ok(file_name) = entry.file_name().into_string() else {
            return Err(Error::member(&entry.path().to_string_lossy(), "its name is not UTF-8"));
        };
        let name = format!("{prefix}{file_name}");
        let kind = entry.file_type().map_err(Error::io("cannot inspect", entry.path()))?;
        if kind.is_dir() {
            list(&entry.path(), &format!("{name}/"), names)?;
        } else if kind.is_file() {
            check_name(&name)?;
            names.push(name);
        } else {
            return Err(Error::member(&name, "it is neither a plain file nor a folder; wheels hold no links"));
        }
    }
    Ok(())
}

/// Refuses a member's name that would leave the folder it is unpacked into, or that unpacks differently elsewhere.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Error::member(name, "its path is absolute, or has an empty, '.' or '..' part"));
    }
    if name.chars().any(|c| c.is_control() || "\\:".contains(c)) {
        return Err(Error::member(name, "its name holds a backslash, a colon or a control character"));
    }
    if name.len() > usize::from(u16::MAX) {
        return Err(Error::member(&name.chars().take(64).collect::<String>(), "its name is over 65535 bytes"));
    }
    Ok(())
}

fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
    let mut file = tempfile::Builder::new()
        .prefix(".wheel-")
        .suffix(".partial")
        .permissions(permissions())
        .tempfile_in(folder)
        .map_err(Error::io("cannot write into", folder))?;
    let mut writer = BufWriter::new(file.as_file_mut());
    writer.write_all(bytes).and_then(|()| writer.flush()).map_err(Error::io("cannot write", path))?;
    drop(writer);
    file.as_file().sync_all().map_err(Error::io("cannot write", path))?;
    file.persist(path).map_err(|error| Error::io("cannot write", path)(error.error))?;
    Ok(())
}

/// Readable by all, less the umask, as any other file that a program writes.
fn permissions() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o644)
}
