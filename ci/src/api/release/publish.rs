//! publish-wheels and check-published.

use std::path::PathBuf;

use super::candidates::{self, Candidate};
use super::index::{Index, REPOSITORY, TOKEN, UV_CONFIG};
use crate::api::Context;
use crate::api::installed::{self, Dependencies, Suite};
use crate::api::table::{Argument, Caching, Function, Group, Reads, Served, Type, Values, argument};
use crate::api::tally::{Ended, Tally};
use ci_step::failure::{Failure, Kind, Result};

const WHEELS: Argument =
    argument("wheels", Type::Path, "The folder with all wheels, each with its manifest [default: wheelhouse]");

pub static PUBLISH: Function = Function {
    name: "publish-wheels",
    group: Group::Release,
    about: "Send the wheels of all CUDA majors and the CPU to a package index, all of them or none",
    more: "\
Everything is looked at before the first byte is sent: that every wheel is there, that verify-wheels passes
it, that its manifest is of this checkout's commit, clean and complete, that its proof.json tells of tests on a GPU, and
that the index has no other bytes under its name. Called again it sends what is missing, and nothing when nothing is.

The index is a table [[index]] of uv.toml with name, url and publish-url. The token is UV_PUBLISH_TOKEN, the file of
--token, or a trusted publisher's.",
    arguments: &[
        REPOSITORY.required(),
        WHEELS,
        UV_CONFIG,
        TOKEN,
        argument("dry-run", Type::Flag, "Look at everything, ask the index, and send nothing"),
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::Text(Reads::Sources),
    run: |context, values| Box::pin(publish(context, values)),
};

pub static CHECK: Function = Function {
    name: "check-published",
    group: Group::Release,
    about: "Download what a package index has of this version and compare every hash",
    more: "\
uv installs each wheel from the index and from nowhere else, and takes no other bytes than those of the wheels here. With
--smoke the smoke tests are run on them as well.",
    arguments: &[
        REPOSITORY.required(),
        WHEELS,
        UV_CONFIG,
        argument("smoke", Type::Flag, "Install each into a clean environment and run the smoke tests"),
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::Text(Reads::Sources),
    run: |context, values| Box::pin(check(context, values)),
};

async fn publish(context: &Context, values: &Values) -> Result<()> {
    let plan = candidates::plan(context)?;
    let candidates = candidates::find(&plan, &candidates::wheels_folder(context, values))?;
    candidates::vouched(context, &plan, &candidates)?;
    let index = Index::open(context, values)?;
    let paths: Vec<PathBuf> = candidates.iter().map(|candidate| candidate.path.clone()).collect();
    index.check(&paths).await?;
    if values.flag("dry-run") {
        println!("All {} wheels can be published to {}; nothing was sent.", candidates.len(), index.name);
        return Ok(());
    }
    for (sent, candidate) in candidates.iter().enumerate() {
        context.say(&format!("sending {}", candidate.wheel.file_name));
        if let Err(failure) = index.send(&candidate.path).await {
            return Err(halfway(failure, &candidates[..sent], &candidates[sent..]));
        }
    }
    println!("{} has all {} wheels of {}.", index.name, candidates.len(), candidates[0].name.version);
    Ok(())
}

/// An index shows each file at once, so that a person must hear which majors are there without the others.
fn halfway(failure: Failure, sent: &[Candidate], left: &[Candidate]) -> Failure {
    let names =
        |some: &[Candidate]| some.iter().map(|one| one.name.distribution.clone()).collect::<Vec<_>>().join(", ");
    if sent.is_empty() {
        return failure;
    }
    let what = format!("{} The index has {}, and not yet {}.", failure.what, names(sent), names(left));
    Failure { what, todo: format!("{} The same command sends the rest.", failure.todo), ..failure }
}

async fn check(context: &Context, values: &Values) -> Result<()> {
    let plan = candidates::plan(context)?;
    let candidates = candidates::find(&plan, &candidates::wheels_folder(context, values))?;
    let index = Index::open(context, values)?;
    let mut failures = Vec::new();
    for Candidate { name, sha256, .. } in &candidates {
        match index.holds(&name.distribution, &name.version, sha256).await {
            Ok(()) => println!("{} {}: the same bytes, {sha256}", name.distribution, name.version),
            Err(failure) if failure.kind == Kind::Interrupted => return Err(failure),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.len() {
        0 if values.flag("smoke") => smoke(context, &candidates).await,
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        count => {
            let log = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            let what = format!("{count} of {} wheels are not on {} as they were built.", candidates.len(), index.name);
            Err(Failure::check(what, "Why is said above of each.").with_log(log))
        }
    }
}

/// The bytes of the index are those of the wheels here by now.
async fn smoke(context: &Context, candidates: &[Candidate]) -> Result<()> {
    let versions = context.versions()?;
    let interpreter = ci_step::python::for_pip(versions.python_floor())?;
    let tally = Tally::default();
    for Candidate { path, wheel, .. } in candidates {
        let name = format!("{} under CPython {}", wheel.name, interpreter.full);
        let work = async || {
            let real = Dependencies::Real { extra: None, find_links: None };
            let tests = installed::test(context, versions, &interpreter, path, &real, Suite::Smoke, true).await?;
            Ok(Ended::Passed(tests.passed))
        };
        tally.part(&name, work).await?;
    }
    tally.close()
}
