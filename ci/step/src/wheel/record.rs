//! RECORD: the path, hash and size of every member.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::Error;

/// One line of RECORD. RECORD itself has neither hash nor size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    /// `sha256=` and the digest in URL-safe base64 without padding.
    pub hash: Option<String>,
    pub size: Option<u64>,
}

impl Entry {
    pub fn of(path: &str, content: &[u8]) -> Entry {
        Entry { path: path.to_owned(), hash: Some(hash(content)), size: Some(content.len() as u64) }
    }
}

/// The hash as RECORD writes it.
pub fn hash(content: &[u8]) -> String {
    format!("sha256={}", URL_SAFE_NO_PAD.encode(Sha256::digest(content)))
}

/// SHA-256 in lower-case hexadecimal, as manifests and lock files write it.
pub fn hex_sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of RECORD at `record_path`, whose own line comes last.
pub fn render(entries: &[Entry], record_path: &str) -> String {
    let mut writer =
        csv::WriterBuilder::new().has_headers(false).terminator(csv::Terminator::Any(b'\n')).from_writer(vec![]);
    let own = Entry { path: record_path.to_owned(), hash: None, size: None };
    for entry in entries.iter().chain([&own]) {
        let size = entry.size.map(|size| size.to_string()).unwrap_or_default();
        let line = [entry.path.as_str(), entry.hash.as_deref().unwrap_or(""), &size];
        writer.write_record(line).expect("writing to memory does not fail");
    }
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("every field is UTF-8")
}

/// Reads RECORD, in the order of its lines.
pub fn parse(text: &[u8]) -> Result<Vec<Entry>, Error> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut entries = Vec::new();
    for (index, row) in reader.records().enumerate() {
        let line = index + 1;
        let row = row.map_err(|error| Error::Record { line, reason: format!("it is not CSV: {error}") })?;
        if row.len() != 3 {
            return Err(Error::Record {
                line,
                reason: format!("it has {} fields instead of path, hash and size", row.len()),
            });
        }
        let size = match &row[2] {
            "" => None,
            text => Some(text.parse().map_err(|_| Error::Record { line, reason: format!("'{text}' is not a size") })?),
        };
        let hash = (!row[1].is_empty()).then(|| row[1].to_owned());
        entries.push(Entry { path: row[0].to_owned(), hash, size });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_parses_to_the_same() {
        let entries = [Entry::of("faiss/__init__.py", b""), Entry::of("faiss/a,b.py", b"x")];
        let text = render(&entries, "f.dist-info/RECORD");
        assert_eq!(
            text,
            "faiss/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n\
             \"faiss/a,b.py\",sha256=LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE,1\n\
             f.dist-info/RECORD,,\n"
        );
        let parsed = parse(text.as_bytes()).unwrap();
        assert_eq!(parsed[..2], entries);
        assert_eq!(parsed[2], Entry { path: "f.dist-info/RECORD".into(), hash: None, size: None });
    }

    #[test]
    fn malformed_lines_are_named() {
        assert_eq!(
            parse(b"a,b\n").unwrap_err().to_string(),
            "RECORD line 1: it has 2 fields instead of path, hash and size"
        );
        assert_eq!(parse(b"a,,\nb,,x\n").unwrap_err().to_string(), "RECORD line 2: 'x' is not a size");
    }
}
