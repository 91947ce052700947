//! What was made before, outside the checkout and shared between clones: downloaded files by their hash, and what each
//! step made by the step's key. Nothing appears under its final name before it is complete, and everything is checked
//! again when it is used.
//!
//! ```text
//! $XDG_CACHE_HOME/faiss-rs/files/SHA256/NAME       a downloaded file
//! $XDG_CACHE_HOME/faiss-rs/steps/KE/KEY/entry.json what a step made, with the hash of each file
//! $XDG_CACHE_HOME/faiss-rs/steps/KE/KEY/out/...    the files themselves
//! $XDG_CACHE_HOME/faiss-rs/tmp/                    what is being made now
//! ```

mod entry;
mod files;
mod prune;
pub mod unpack;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::failure::{Failure, Result};
pub use entry::{Entry, Output};
pub use prune::{Kept, Rule, size};

#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What a look into the store found.
#[derive(Debug)]
pub enum Found {
    Entry(Entry),
    Nothing,
    /// An entry is there, and a file of it is not what it should be.
    Corrupt {
        file: String,
    },
}

impl Store {
    /// Where the store lies unless a person says otherwise.
    pub fn default_root() -> Result<PathBuf> {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let cache = cache.or_else(home).ok_or_else(|| {
            Failure::machine(
                "There is no folder for the cache: neither XDG_CACHE_HOME nor HOME is set.",
                "Set one of them.",
            )
        })?;
        Ok(cache.join("faiss-rs"))
    }

    /// The store at `root` for who only looks: nothing is made there, and nothing swept.
    pub fn at(root: &Path) -> Store {
        Store { root: root.to_owned() }
    }

    pub fn open(root: &Path) -> Result<Store> {
        let store = Store::at(root);
        for folder in ["files", "steps", "tmp"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(Failure::io("cannot create", &path))?;
        }
        store.sweep();
        Ok(store)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder with what the step of this key made, once it is complete.
    pub fn output(&self, key: &str) -> PathBuf {
        self.place(key).join("out")
    }

    fn place(&self, key: &str) -> PathBuf {
        self.root.join("steps").join(&key[..2]).join(key)
    }

    /// Looks for an entry and checks its files. A corrupt entry is removed, so that its step runs again; a good one is marked
    /// as used, so that `clean --older-than` leaves it.
    pub fn look(&self, key: &str) -> Result<Found> {
        let place = self.place(key);
        match self.peek(key)? {
            Found::Corrupt { file } => self.discard(&place, &file),
            found => {
                if matches!(found, Found::Entry(_)) {
                    touch(&place.join("entry.json"));
                }
                Ok(found)
            }
        }
    }

    /// Looks for an entry and checks its files, and changes nothing.
    pub fn peek(&self, key: &str) -> Result<Found> {
        let place = self.place(key);
        let entry = match Entry::read(&place) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(Found::Nothing),
            Err(_) => return Ok(Found::Corrupt { file: "entry.json".to_owned() }),
        };
        Ok(match entry.first_wrong_file(&place.join("out")) {
            None => Found::Entry(entry),
            Some(file) => Found::Corrupt { file },
        })
    }

    /// How long the step of this key took when it ran, where that is known; what it made is not looked at.
    pub fn seconds(&self, key: &str) -> Option<f64> {
        Entry::read(&self.place(key)).ok().flatten().map(|entry| entry.seconds)
    }

    fn discard(&self, place: &Path, file: &str) -> Result<Found> {
        // Renamed first: a removal that is interrupted must not leave half an entry under its key.
        let scratch = self.scratch("corrupt")?;
        match fs::rename(place, scratch.path().join("entry")) {
            // Another run noticed it at the same time.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
            moved => moved.map_err(Failure::io("cannot move", place))?,
        }
        Ok(Found::Corrupt { file: file.to_owned() })
    }

    /// A folder to work in, on the same disk as the entries; it vanishes when it is dropped.
    pub fn scratch(&self, name: &str) -> Result<TempDir> {
        let tmp = self.root.join("tmp");
        let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        tempfile::Builder::new()
            .prefix(&format!("{clean}-{}-", std::process::id()))
            .tempdir_in(&tmp)
            .map_err(Failure::io("cannot write into", &tmp))
    }

    /// Makes `scratch/out` the entry of `key`, with the hash of every file.
    pub fn commit(&self, key: &str, step: &str, scratch: TempDir, seconds: f64) -> Result<Entry> {
        let entry = Entry::describe(step, &scratch.path().join("out"), seconds)?;
        entry.write(scratch.path())?;
        let place = self.place(key);
        let parent = place.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).map_err(Failure::io("cannot create", parent))?;
        let path = scratch.keep();
        if let Err(error) = fs::rename(&path, &place) {
            let taken = matches!(self.look(key)?, Found::Entry(_));
            // Another run made the same entry meanwhile: keys say that it holds the same.
            let outcome = if taken { Ok(()) } else { fs::rename(&path, &place) };
            if path.exists() {
                fs::remove_dir_all(&path).map_err(Failure::io("cannot remove", &path))?;
            }
            outcome.map_err(|_| Failure::io("cannot create", &place)(error))?;
        }
        Ok(entry)
    }

    /// Takes over an entry of another store, which `look` has found good there.
    pub fn copy(&self, from: &Store, key: &str, entry: &Entry) -> Result<Entry> {
        let scratch = self.scratch(&entry.step)?;
        let out = scratch.path().join("out");
        fs::create_dir(&out).map_err(Failure::io("cannot create", &out))?;
        for output in &entry.outputs {
            let (source, to) = (from.output(key).join(&output.path), out.join(&output.path));
            let folder = to.parent().unwrap_or(&out);
            fs::create_dir_all(folder).map_err(Failure::io("cannot create", folder))?;
            fs::copy(&source, &to).map_err(Failure::io("cannot copy", &source))?;
        }
        self.commit(key, &entry.step, scratch, entry.seconds)
    }

    /// Removes what the process `id` was making when it was stopped. It must have ended.
    pub fn forget(&self, id: u32) {
        let Ok(entries) = self.root.join("tmp").read_dir() else { return };
        let id = id.to_string();
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().rsplit('-').nth(1) == Some(&id) {
                // Only room is lost when this fails, until it is swept.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Removes what runs that were killed left behind: anything being made for more than a day.
    fn sweep(&self) {
        let day_ago = SystemTime::now() - Duration::from_secs(86_400);
        let Ok(entries) = self.root.join("tmp").read_dir() else { return };
        for entry in entries.flatten() {
            let old = entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|time| time < day_ago);
            if old {
                // Only room is lost when this fails.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Notes that a file was used now. Where that can't be noted, it only seems older than it is.
pub fn touch(file: &Path) {
    let _ = fs::File::options().append(true).open(file).and_then(|file| file.set_modified(SystemTime::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00aa";

    fn made(store: &Store) -> PathBuf {
        let scratch = store.scratch("step:one").unwrap();
        fs::create_dir_all(scratch.path().join("out/folder")).unwrap();
        fs::write(scratch.path().join("out/folder/file"), "content").unwrap();
        store.commit(KEY, "step:one", scratch, 0.5).unwrap();
        store.output(KEY).join("folder/file")
    }

    #[test]
    fn what_is_committed_is_found_and_what_is_not_is_not() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        assert!(matches!(store.look(KEY).unwrap(), Found::Nothing));
        drop(store.scratch("given-up").unwrap());
        let file = made(&store);
        assert_eq!(fs::read_to_string(file).unwrap(), "content");
        assert!(matches!(store.look(KEY).unwrap(), Found::Entry(entry) if entry.step == "step:one"));
        assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn another_store_takes_an_entry_over() {
        let roots = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [store, other] = roots.each_ref().map(|root| Store::open(root.path()).unwrap());
        made(&store);
        let Found::Entry(entry) = store.look(KEY).unwrap() else { panic!("nothing is there") };
        for _ in 0..2 {
            let copied = other.copy(&store, KEY, &entry).unwrap();
            assert_eq!(serde_json::to_string(&copied).unwrap(), serde_json::to_string(&entry).unwrap());
            assert!(matches!(other.look(KEY).unwrap(), Found::Entry(_)));
        }
        fs::write(other.output(KEY).join("folder/file"), "kontent").unwrap();
        assert!(matches!(other.look(KEY).unwrap(), Found::Corrupt { .. }));
    }

    #[test]
    fn committing_twice_keeps_one() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        made(&store);
        made(&store);
        assert!(matches!(store.look(KEY).unwrap(), Found::Entry(_)));
        assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn corrupt_entries_are_noticed_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let changes: [fn(&Path); 4] = [
            |file| fs::write(file, "kontent").unwrap(),
            |file| fs::write(file, "").unwrap(),
            |file| fs::remove_file(file).unwrap(),
            |file| fs::write(file.ancestors().nth(3).unwrap().join("entry.json"), "{").unwrap(),
        ];
        for change in changes {
            change(&made(&store));
            for _ in 0..2 {
                assert!(
                    matches!(store.peek(KEY).unwrap(), Found::Corrupt { .. }),
                    "a look without a change changed it"
                );
            }
            assert!(matches!(store.look(KEY).unwrap(), Found::Corrupt { .. }));
            assert!(matches!(store.look(KEY).unwrap(), Found::Nothing));
        }
    }
}
