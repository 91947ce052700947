//! clean.

use std::fs;
use std::io;
use std::path::Path;

use super::Context;
use crate::api::table::Values;
use ci_step::failure::{Failure, Result};

pub fn clean(context: &Context, values: &Values) -> Result<()> {
    if values.flag("cache") {
        let store = context.store()?;
        // Only what the store made: the folder may have been named by hand.
        for folder in ["files", "steps", "environments", "tmp"] {
            remove(&store.root().join(folder))?;
        }
        println!("removed what was in {}", store.root().display());
        return Ok(());
    }
    for folder in ["wheelhouse", "target/ci", "target/extension"] {
        let path = context.root.join(folder);
        if path.exists() {
            remove(&path)?;
            println!("removed {}", path.display());
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::io("cannot remove", path)(error)),
        _ => Ok(()),
    }
}
