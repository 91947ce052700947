//! clean.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Context;
use crate::api::table::{Caching, Function, Group, Served, Type, Values, argument};
use ci_step::failure::{Failure, Result};
use ci_step::store::{Kept, Rule, size};

pub static ROW: Function = Function {
    name: "clean",
    group: Group::House,
    about: "Remove what builds leave in the checkout, or the cache",
    more: "\
Without an option, the wheelhouse and the build folders in target/ go; downloads and finished steps stay. The others are
for the cache, which every clone shares; with both --older-than and --keep, what is old goes but for the newest of each.
What goes, and how much room it takes, is said first.",
    arguments: &[
        argument("all", Type::Flag, "Remove all downloads, finished steps and environments"),
        argument("older-than", Type::Number, "Of the cache, remove what was not used for this many days"),
        argument("keep", Type::Number, "Of the cache, keep this many of each step, package and environment"),
        argument("dry-run", Type::Flag, "Only say what would go"),
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::No,
    run: |context, values| Box::pin(clean(context, values)),
};

async fn clean(context: &Context, values: &Values) -> Result<()> {
    let days = values.numbers("older-than").first().copied();
    let keep = values.numbers("keep").first().copied();
    let dry = values.flag("dry-run");
    if values.flag("all") || days.is_some() || keep.is_some() {
        let before = days.and_then(|days| SystemTime::now().checked_sub(Duration::from_secs(u64::from(days) * 86_400)));
        let rule = Rule { before, keep: keep.map(|keep| keep as usize) };
        return cache(context, rule, dry);
    }
    for folder in ["wheelhouse", "target/ci"] {
        let path = context.root.join(folder);
        if path.exists() {
            let verb = if dry { "would remove" } else { "removing" };
            println!("{verb} {}: {}", path.display(), megabytes(size(&path)));
            if !dry {
                remove(&path)?;
            }
        }
    }
    Ok(())
}

/// Removes what the rule does not keep of the cache; what that is comes first.
fn cache(context: &Context, rule: Rule, dry: bool) -> Result<()> {
    let store = context.store_to_read()?;
    let kept = store.contents();
    let going = rule.choose(&kept);
    let mut folders: BTreeMap<&str, (Vec<&Kept>, usize, u64)> = BTreeMap::new();
    for one in &kept {
        let (_, count, bytes) = folders.entry(one.folder).or_default();
        *count += 1;
        *bytes += one.bytes;
    }
    for one in &going {
        folders.entry(one.folder).or_default().0.push(one);
    }
    println!("{}", store.root().display());
    for (folder, (going, count, bytes)) in &folders {
        let gone: u64 = going.iter().map(|one| one.bytes).sum();
        println!("  {folder:<13} {count:>5} of {}, {:>5} go with {}", megabytes(*bytes), going.len(), megabytes(gone));
    }
    let bytes: u64 = going.iter().map(|one| one.bytes).sum();
    if dry {
        println!("{} would go; nothing was removed", megabytes(bytes));
        return Ok(());
    }
    // What is being made right now is left alone, and what was left behind goes by itself.
    for one in &going {
        store.remove(one)?;
    }
    println!("removed {}", megabytes(bytes));
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::io("cannot remove", path)(error)),
        _ => Ok(()),
    }
}
