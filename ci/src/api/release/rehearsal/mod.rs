//! The dress rehearsal: a release of this checkout to a package index on this machine, from the version's bump to an
//! installed wheel that searches and a build that gives the same bytes; and each thing that can go wrong on the way, once.
//!
//! The wheels are built from a copy of the checkout under the next version. Where there is no GPU their proofs are written
//! here: what is rehearsed is the way, and nothing of it leaves the machine.
//!
//! This file has the scenes; `stage` what they are played on, `server` the index and its faults, `killed` what is ended in
//! the middle of its work, `install` what pip and uv make of the release.

mod install;
pub mod killed;
mod server;
mod stage;

use std::fs;
use std::process::Child;

use super::proof::Proof;
use crate::api::Context;
use ci_step::failure::{Failure, Result};
use server::{Gate, Room, Then};
use stage::Stage;

const NAME: &str = "rehearsal";
const TOKEN: &str = "pypi-a-token-of-the-rehearsal";

/// How many faults were met and refused, or gone through, besides the release itself. Of `major`, the release is one of this
/// CUDA major and the CPU alone.
pub async fn run(context: &Context, major: Option<u32>) -> Result<usize> {
    let stage = Stage::set(context, major).await?;
    let mut passed = 0;
    for (name, scene) in SCENES {
        if context.stop.is_cancelled() {
            return Err(Failure::interrupted());
        }
        context.say(&format!("rehearsal: {name}"));
        scene(&stage).map_err(|failure| Failure { what: format!("{name}: {}", failure.what), ..failure })?;
        passed += 1;
    }
    Ok(passed)
}

type Scene = (&'static str, fn(&Stage) -> Result<()>);

/// In this order: the faults that let nothing through come first, so that the index stays empty until the release.
const SCENES: &[Scene] = &[
    ("a wheel that was changed", |stage| stage.refused(&stage.wheel("cuda12"), |bytes| bytes.push(0), "sha256 is")),
    ("a manifest that was changed", |stage| {
        let manifest = stage.wheel("cuda12").with_file_name("manifest.json");
        stage.refused(&manifest, |bytes| replace(bytes, "\"key\": \"", "\"key\": \"0"), "names other steps")?;
        stage.refused(
            &manifest,
            |bytes| replace(bytes, "\"complete\": true", "\"complete\": false"),
            "not complete",
        )?;
        stage.refused(
            &manifest,
            |bytes| replace(bytes, "\"clean\": true", "\"clean\": false"),
            "changes that are not in it",
        )
    }),
    ("a proof that was changed, and none", |stage| {
        let proof = Proof::beside(&stage.wheel("cuda12"));
        stage.refused(&proof, |bytes| replace(bytes, "\"launched\": 1", "\"launched\": 2"), "was changed after")?;
        stage.refused(&proof, |bytes| *bytes = b"{}".to_vec(), "can't be read")
    }),
    ("a major that is missing", |stage| {
        let (wheel, away) = (stage.wheel("cuda12"), stage.folder.path().join("away.whl"));
        fs::rename(&wheel, &away).map_err(Failure::io("cannot move", &wheel))?;
        let said = stage.publish(TOKEN, &[]);
        fs::rename(&away, &wheel).map_err(Failure::io("cannot move", &away))?;
        stage.expect_failure(&said, "are published together")
    }),
    ("an index that nobody named", |stage| {
        let mut command = stage.command(&["publish-wheels", "--repository", "elsewhere", "--dry-run"]);
        stage.expect_failure(&stage.said(command.env("UV_PUBLISH_TOKEN", TOKEN)), "uv knows no index of that name")
    }),
    ("a token that is wrong or has expired", |stage| {
        let said = stage.publish("pypi-expired", &[]);
        stage.expect_failure(&said, "does not take this token")?;
        stage.published(0)
    }),
    ("an index that may write no large file", |stage| {
        // It answers that it failed, or hangs up before it has read the wheel.
        stage.without(Room::SmallFiles, "was not sent").map(|_| ())
    }),
    ("an index whose disk is full", |stage| {
        if !stage.without(Room::FullDisk, "was not sent")? {
            stage.context.say("skipped: a full disk: none can be mounted here, and the index that may write no large file stands for it");
        }
        stage.published(0)
    }),
    ("a look without sending, by clocks of 1980 and 2100", |stage| {
        for seconds in [315_619_200, 4_102_444_800] {
            stage.dated(seconds)?;
            stage.expect(&stage.publish(TOKEN, &["--dry-run"]), "nothing was sent")?;
        }
        stage.published(0)
    }),
    ("a store that was changed", |stage| stage.with_a_damaged_store()),
    ("a network that is cut in the middle of the second wheel", |stage| {
        let first = fs::metadata(&stage.wheels[0]).map_err(Failure::io("cannot read", &stage.wheels[0]))?.len();
        let gate = Gate::open(&stage.server.borrow(), first + (1 << 20), Then::Cut)?;
        let said = stage.said(&mut stage.publisher_through(&gate)?);
        stage.expect_failure(&said, "and not yet")?;
        stage.published(1)?;
        stage.expect_failure(&stage.check(), "the index has no such version")
    }),
    ("a publisher who is killed in the middle of a wheel", |stage| {
        killed::while_it_sends(stage)?;
        stage.published(1)
    }),
    ("the release, by two publishers at once", |stage| {
        let start = |stage: &Stage| stage.command(&stage.publish_words(&[])).env("UV_PUBLISH_TOKEN", TOKEN).spawn();
        let both: Vec<Child> = [start(stage), start(stage)].into_iter().flatten().collect();
        let ended: Vec<_> = both.into_iter().filter_map(|child| child.wait_with_output().ok()).collect();
        // One may be told that the other was faster; the same command once more has nothing left to do.
        if !ended.iter().any(|output| output.status.success()) {
            let words =
                ended.iter().map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).collect::<String>();
            return Err(Failure::check("Neither publisher ended well.", "Their words are above.").with_log(words));
        }
        stage.published(stage.wheels.len())
    }),
    ("the same once more", |stage| {
        stage.expect(&stage.publish(TOKEN, &[]), "has all")?;
        stage.published(stage.wheels.len())
    }),
    ("what the index has", |stage| stage.expect(&stage.check(), "the same bytes")),
    ("an index whose file was changed", |stage| {
        let name = stage.wheel("cpu");
        let there = stage.packages.join(name.file_name().unwrap_or_default());
        let bytes = fs::read(&there).map_err(Failure::io("cannot read", &there))?;
        let restore = || fs::write(&there, &bytes).map_err(Failure::io("cannot write", &there));
        let mut other = bytes.clone();
        let middle = other.len() / 2;
        other[middle] ^= 1;
        fs::write(&there, other).map_err(Failure::io("cannot write", &there))?;
        let (checked, sent) = (stage.check(), stage.publish(TOKEN, &[]));
        restore()?;
        stage.expect_failure(&checked, "other bytes")?;
        stage.expect_failure(&sent, "other bytes")
    }),
    ("a version that the index has", |stage| {
        // versions.toml as it was before the bump leads to the version that is there now.
        let path = stage.checkout.join("versions.toml");
        let text = fs::read_to_string(&path).map_err(Failure::io("cannot read", &path))?;
        let old = text.replace(&format!("\"{}\"", stage.version), &format!("\"{}\"", stage.before));
        fs::write(&path, old).map_err(Failure::io("cannot write", &path))?;
        let said = stage.said(&mut stage.command(&["next-version", "--repository", NAME]));
        fs::write(&path, text).map_err(Failure::io("cannot write", &path))?;
        stage.expect_failure(&said, "already")
    }),
    ("installed by pip and uv, with fix-cuda and without, and it searches", install::run),
    ("the same bytes once more", |stage| {
        for name in ["cpu", "cuda12"] {
            let manifest = stage.wheel(name).with_file_name("manifest.json").display().to_string();
            stage.expect(
                &stage.said(&mut stage.command(&["rebuild", "--manifest", &manifest])),
                "the same to the bit",
            )?;
        }
        Ok(())
    }),
    ("a network that is cut", |stage| {
        stage.server.borrow_mut().end();
        stage.expect_failure(&stage.publish(TOKEN, &[]), "can't be reached")
    }),
];

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    *bytes = String::from_utf8_lossy(bytes).replacen(from, to, 1).into_bytes();
}
