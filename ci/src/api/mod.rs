//! What a person asks for, one file a function. Each reads the checkout, makes a plan or an environment, and lets an
//! engine or a tool do the work. Sees everything but the command line. `table` lists them.

pub mod build;
pub mod clean;
pub mod doctor;
pub mod engines;
pub mod environment;
pub mod installed;
pub mod lock;
pub mod manifest;
pub mod plan;
pub mod release;
pub mod reproduce;
pub mod table;
pub mod tally;
pub mod test;
pub mod verify;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::pins::lock::Lock;
use crate::pins::matrix::Matrix;
use crate::pins::versions::Versions;
use crate::plan::{self as plans, Plan, Sources};
use tokio_util::sync::CancellationToken;

use crate::run::report::{self, Format};
use crate::run::{Event, Reporter};
use ci_step::failure::{Failure, Result};
use ci_step::store::Store;

/// What every function gets to know of the call.
#[derive(Clone, Debug)]
pub struct Context {
    pub root: PathBuf,
    /// Where the store lies when it is not in its usual place.
    pub cache: Option<PathBuf>,
    pub format: Format,
    /// Cancelled by Ctrl-C and the signal to end.
    pub stop: CancellationToken,
    /// versions.toml, read when it is first wanted.
    versions: OnceLock<Versions>,
}

impl Context {
    pub fn new(root: PathBuf, cache: Option<PathBuf>, format: Format, stop: CancellationToken) -> Context {
        Context { root, cache, format, stop, versions: OnceLock::new() }
    }

    pub fn store(&self) -> Result<Store> {
        Store::open(&self.store_root()?)
    }

    /// For a look that changes nothing: the store need not be there.
    pub fn store_to_read(&self) -> Result<Store> {
        Ok(Store::at(&self.store_root()?))
    }

    fn store_root(&self) -> Result<PathBuf> {
        match &self.cache {
            Some(path) => std::path::absolute(path).map_err(Failure::io("cannot find", path)),
            None => Store::default_root(),
        }
    }

    pub fn versions(&self) -> Result<&Versions> {
        if let Some(versions) = self.versions.get() {
            return Ok(versions);
        }
        let versions = Versions::load(&self.root)?;
        Ok(self.versions.get_or_init(|| versions))
    }

    pub fn lock(&self) -> Result<Lock> {
        Lock::load(&self.root)
    }

    pub fn plan(&self, versions: &Versions, matrix: &Matrix) -> Result<Plan> {
        plans::build(versions, &self.lock()?, &Sources::read(&self.root, versions)?, matrix)
    }

    pub fn reporter(&self) -> Box<dyn Reporter> {
        report::to_stderr(self.format)
    }

    /// The same call, told in lines that nothing moves: several parts may tell at once.
    pub fn in_lines(&self) -> Context {
        let format = if self.format == Format::Text { Format::Lines } else { self.format };
        Context { format, ..self.clone() }
    }

    /// One line for the person who waits.
    pub fn say(&self, text: &str) {
        self.reporter().event(&Event::Note { text });
    }

    /// Where the wheel of a folder such as `gpu/cuda12` goes unless a person says otherwise.
    pub fn wheelhouse(&self, folder: &str) -> PathBuf {
        self.root.join("wheelhouse").join(folder)
    }
}

/// Steps side by side: what was asked for, else one a processor.
pub fn jobs(asked: &[u32]) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    asked.first().map_or(processors, |jobs| *jobs as usize).max(1)
}

/// Puts `bytes` at `path` in one move, so that nobody ever sees a part of them.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(Failure::io("cannot create", folder))?;
    let file = tempfile::NamedTempFile::new_in(folder).map_err(Failure::io("cannot write into", folder))?;
    std::fs::write(file.path(), bytes).map_err(Failure::io("cannot write", path))?;
    readable(file.path())?;
    file.persist(path).map_err(|error| Failure::io("cannot write", path)(error.error))?;
    Ok(())
}

/// Temporary files are their owner's alone; what is handed over is for everyone.
fn readable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).map_err(Failure::io("cannot change", path))
}
