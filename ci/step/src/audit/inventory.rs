//! What is inside a wheel: bytes by part, by architecture and by kernel family. For manifests, tables and `inspect`.

use std::collections::BTreeMap;
use std::fmt;

use faiss_kernels::fatbin::ImageInfo;
use serde::{Deserialize, Serialize};

use super::{Image, Wheel};

/// Sizes before and after compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    pub bytes: u64,
    pub compressed_bytes: u64,
}

impl Bytes {
    fn add(&mut self, bytes: u64, compressed_bytes: u64) {
        self.bytes += bytes;
        self.compressed_bytes += compressed_bytes;
    }
}

/// One image of a fatbin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FatbinImage {
    pub image: Image,
    #[serde(flatten)]
    pub size: Bytes,
    pub kernels: Vec<String>,
}

/// A kernel family's fatbin, or the device code of a library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fatbin {
    pub member: String,
    pub images: Vec<FatbinImage>,
}

/// What is inside a wheel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub wheel: String,
    pub sha256: String,
    pub bytes: u64,
    /// `extension`, `OpenBLAS`, `CUDA shim`, `kernels`, `Python`, `other libraries`, `other files`, `dist-info`.
    /// `compressed_bytes` are those in the archive.
    pub parts: BTreeMap<String, Bytes>,
    /// All fatbins together; `compressed_bytes` are those in the fatbin.
    pub by_image: BTreeMap<Image, Bytes>,
    /// By kernel family; `compressed_bytes` are those in the fatbin.
    pub by_family: BTreeMap<String, Bytes>,
    pub fatbins: Vec<Fatbin>,
    /// Fatbins that could not be read, and why.
    pub unreadable: BTreeMap<String, String>,
}

impl Inventory {
    pub fn of(wheel: &Wheel) -> Inventory {
        let mut inventory = Inventory {
            wheel: wheel.file_name.clone(),
            sha256: wheel.sha256.clone(),
            bytes: wheel.bytes,
            parts: BTreeMap::new(),
            by_image: BTreeMap::new(),
            by_family: BTreeMap::new(),
            fatbins: Vec::new(),
            unreadable: BTreeMap::new(),
        };
        for member in wheel.members.iter().filter(|member| !member.is_dir) {
            let part = inventory.parts.entry(part(&member.name).to_owned()).or_default();
            part.add(member.bytes, member.compressed_bytes);
        }
        for (member, images) in &wheel.fatbins {
            match images {
                Ok(images) => inventory.add(member, images),
                Err(error) => _ = inventory.unreadable.insert(member.clone(), error.to_string()),
            }
        }
        inventory
    }

    fn add(&mut self, member: &str, images: &[ImageInfo]) {
        let mut fatbin = Fatbin { member: member.to_owned(), images: Vec::new() };
        let file_name = member.rsplit('/').next().unwrap_or(member);
        let family = self.by_family.entry(file_name.trim_end_matches(".fatbin").to_owned()).or_default();
        for info in images {
            let image = Image::from(info);
            family.add(info.bytes, info.compressed_bytes);
            self.by_image.entry(image).or_default().add(info.bytes, info.compressed_bytes);
            let size = Bytes { bytes: info.bytes, compressed_bytes: info.compressed_bytes };
            fatbin.images.push(FatbinImage { image, size, kernels: info.kernels.clone() });
        }
        self.fatbins.push(fatbin);
    }
}

fn part(member: &str) -> &'static str {
    if member.split('/').next().is_some_and(|folder| folder.ends_with(".dist-info")) {
        return "dist-info";
    }
    let file_name = member.rsplit('/').next().unwrap_or(member);
    match file_name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("fatbin") => "kernels",
        Some("py" | "pyi" | "typed") => "Python",
        _ if file_name.contains("openblas") => "OpenBLAS",
        _ if file_name == "libfaiss_cuda.so" => "CUDA shim",
        Some("so") if !file_name.starts_with("lib") => "extension",
        _ if file_name.contains(".so") => "other libraries",
        _ => "other files",
    }
}

impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{} ({} bytes, sha256 {})", self.wheel, self.bytes, self.sha256)?;
        let mut table = |title: &str, rows: Vec<(String, Bytes)>| -> fmt::Result {
            if rows.is_empty() {
                return Ok(());
            }
            writeln!(f, "  {title:<28} {:>12} {:>12}", "bytes", "compressed")?;
            for (name, size) in rows {
                writeln!(f, "    {name:<26} {:>12} {:>12}", size.bytes, size.compressed_bytes)?;
            }
            Ok(())
        };
        table("by part", self.parts.iter().map(|(name, size)| (name.clone(), *size)).collect())?;
        table("by architecture", self.by_image.iter().map(|(image, size)| (image.describe(), *size)).collect())?;
        table("by kernel family", self.by_family.iter().map(|(name, size)| (name.clone(), *size)).collect())?;
        for (member, reason) in &self.unreadable {
            writeln!(f, "  {member}: {reason}")?;
        }
        Ok(())
    }
}
