//! What the store holds, how much room it takes and when it was used, and its removal.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Entry, Store};
use crate::failure::{Failure, Result};

/// A finished step, a download or a virtual environment.
#[derive(Clone, Debug)]
pub struct Kept {
    /// `steps`, `files` or `environments`: the folder that it lies in.
    pub folder: &'static str,
    /// What it is one of several of: the step's name, the package, the environment's name.
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    pub used: SystemTime,
}

/// What of it goes: what is not used since `before`, but of each name the newest `keep`. Without either, all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rule {
    pub before: Option<SystemTime>,
    pub keep: Option<usize>,
}

impl Rule {
    /// Those of `kept` that go, in the same order.
    pub fn choose(&self, kept: &[Kept]) -> Vec<Kept> {
        let mut newest: Vec<&Kept> = kept.iter().collect();
        newest.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.path.cmp(&b.path)));
        let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut stays: Vec<&Path> = Vec::new();
        for one in newest {
            let count = seen.entry((one.folder, &one.name)).or_default();
            *count += 1;
            let kept = self.keep.is_some_and(|keep| *count <= keep);
            let recent = self.before.is_some_and(|before| one.used >= before);
            if kept || recent {
                stays.push(&one.path);
            }
        }
        kept.iter().filter(|one| !stays.contains(&one.path.as_path())).cloned().collect()
    }
}

impl Store {
    /// Everything that the store holds, sorted by folder, name and path.
    pub fn contents(&self) -> Vec<Kept> {
        let mut all = Vec::new();
        for folder in list(&self.root().join("steps")) {
            for place in list(&folder) {
                let name = Entry::read(&place).ok().flatten().map_or_else(|| "damaged".to_owned(), |entry| entry.step);
                let used = modified(&place.join("entry.json"));
                all.push(Kept { folder: "steps", name, bytes: size(&place), used, path: place });
            }
        }
        for place in list(&self.root().join("files")) {
            let file = list(&place).into_iter().next().unwrap_or_else(|| place.clone());
            let name = last(&file).split('-').next().unwrap_or_default().to_owned();
            all.push(Kept { folder: "files", name, bytes: size(&place), used: modified(&file), path: place });
        }
        for place in list(&self.root().join("environments")) {
            let name = last(&place).rsplit_once('-').map(|(name, _)| name.to_owned()).unwrap_or_default();
            let used = modified(&place.join("complete")).max(modified(&place));
            all.push(Kept { folder: "environments", name, bytes: size(&place), used, path: place });
        }
        all.sort_by(|a, b| (a.folder, &a.name, &a.path).cmp(&(b.folder, &b.name, &b.path)));
        all
    }

    /// Removes one of them.
    pub fn remove(&self, kept: &Kept) -> Result<()> {
        // Renamed first: a removal that is interrupted must not leave half of it under its name.
        let scratch = self.scratch("removed")?;
        let away = scratch.path().join("kept");
        match fs::rename(&kept.path, &away) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(Failure::io("cannot move", &kept.path))?,
        }
        let gone = if away.is_dir() { fs::remove_dir_all(&away) } else { fs::remove_file(&away) };
        gone.map_err(Failure::io("cannot remove", &away))
    }
}

/// Bytes of all files below a folder, links not followed.
pub fn size(path: &Path) -> u64 {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => list(path).iter().map(|child| size(child)).sum(),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn last(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn modified(path: &Path) -> SystemTime {
    path.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_old_goes_but_the_newest_of_each() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let kept = |name: &str, path: &str, age: u64| Kept {
            folder: "steps",
            name: name.into(),
            path: path.into(),
            bytes: 1,
            used: now - Duration::from_secs(age),
        };
        let all = [kept("a", "1", 0), kept("a", "2", 10), kept("a", "3", 20), kept("b", "4", 30)];
        let gone = |rule: Rule| rule.choose(&all).iter().map(|one| one.path.display().to_string()).collect::<String>();
        let before = Some(now - Duration::from_secs(15));
        assert_eq!(gone(Rule::default()), "1234");
        assert_eq!(gone(Rule { before, keep: None }), "34");
        assert_eq!(gone(Rule { before: None, keep: Some(1) }), "23");
        assert_eq!(gone(Rule { before, keep: Some(1) }), "3");
    }
}
