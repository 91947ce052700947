//! next-version and changelog.

use std::fs;

use super::index::{Index, REPOSITORY, UV_CONFIG};
use crate::api::table::{Caching, Function, Group, Reads, Served, Type, Values, argument};
use crate::api::{Context, write_whole};
use crate::pins::versions::{Versions, edit};
use ci_step::failure::{Failure, Result};

pub static VERSION: Function = Function {
    name: "next-version",
    group: Group::Release,
    about: "Say which version comes next; with --write, make it that of versions.toml and begin it in CHANGELOG.md",
    more: "\
A.B.C is the version of the crates, that of the Faiss release that is matched, and D counts the wheels made of it: when the
crates have a new version it is that and D is 0, else D is one more. With --repository, a version that the index has of any
distribution is refused.",
    arguments: &[
        argument("write", Type::Flag, "Write versions.toml and CHANGELOG.md"),
        REPOSITORY,
        UV_CONFIG,
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::Changes { digests: false },
    run: |context, values| Box::pin(version(context, values)),
};

pub static CHANGELOG: Function = Function {
    name: "changelog",
    group: Group::Release,
    about: "Print what CHANGELOG.md says of the version of versions.toml, as the text of its release",
    more: "\
With --close, the section is no longer called unreleased, which the commit that is tagged has. With --tag, a tag that is not
the version's, or a section that is not closed, is refused.",
    arguments: &[
        argument("close", Type::Flag, "Take \"Unreleased\" out of the section's heading").host_only(),
        argument("tag", Type::Text("TAG"), "The tag that is to be released: vA.B.C.D"),
    ],
    caching: Caching::Never,
    checkout: true,
    served: Served::Text(Reads::Sources),
    run: |context, values| Box::pin(changelog(context, values)),
};

const FILE: &str = "CHANGELOG.md";

async fn version(context: &Context, values: &Values) -> Result<()> {
    // Of crates with a new version, versions.toml is not what it should be yet.
    let path = context.root.join("versions.toml");
    let old = fs::read_to_string(&path).map_err(Failure::io("cannot read", &path))?;
    let (next, text) = edit::raise(&old, env!("CARGO_PKG_VERSION"))?;
    let raised = Versions::parse(&text)?;
    if values.text(REPOSITORY.name).is_some() {
        let index = Index::open(context, values)?;
        let gpu = raised.cuda.iter().map(|cuda| cuda.distribution(&raised.wheel));
        for distribution in gpu.chain([raised.wheel.cpu_name.clone()]) {
            if index.has(&distribution, &next).await? {
                let what = format!("{} has {distribution} {next} already.", index.name);
                return Err(Failure::check(
                    what,
                    "Fetch the newest versions.toml; if it is this one, somebody published without it.",
                ));
            }
        }
    }
    if values.flag("write") {
        let path = context.root.join(FILE);
        let changes = fs::read_to_string(&path).map_err(Failure::io("cannot read", &path))?;
        write_whole(&path, begun(&changes, &next).as_bytes())?;
        write_whole(&context.root.join("versions.toml"), text.as_bytes())?;
    }
    println!("{next}");
    Ok(())
}

async fn changelog(context: &Context, values: &Values) -> Result<()> {
    let version = &context.versions()?.wheel.version;
    let path = context.root.join(FILE);
    let mut text = fs::read_to_string(&path).map_err(Failure::io("cannot read", &path))?;
    if values.flag("close") {
        text = text.replace(&unreleased(version), &released(version));
        write_whole(&path, text.as_bytes())?;
    }
    if let Some(tag) = values.text("tag") {
        if tag.strip_prefix('v') != Some(version) {
            let what = format!("The tag {tag} is not v{version}, the version of versions.toml.");
            return Err(Failure::check(what, "Tag the commit whose versions.toml has the version, by its own name."));
        }
        if text.lines().any(|line| line == unreleased(version)) {
            let what = format!("{FILE} calls {version} unreleased.");
            return Err(Failure::check(what, "Run `cargo ci changelog --close`, commit, and tag that commit."));
        }
    }
    print!("{}", section(&text, version)?);
    Ok(())
}

fn unreleased(version: &str) -> String {
    format!("## Unreleased ({version})")
}

fn released(version: &str) -> String {
    format!("## {version}")
}

/// The changelog with a section of this version at its top, where there is none.
fn begun(text: &str, version: &str) -> String {
    if text.lines().any(|line| line == unreleased(version) || line == released(version)) {
        return text.to_owned();
    }
    let heading = format!("{}\n\n", unreleased(version));
    match text.find("\n## ") {
        Some(at) => format!("{}{heading}{}", &text[..=at], &text[at + 1..]),
        None => format!("{}\n\n{heading}", text.trim_end()),
    }
}

/// What stands below the heading of this version.
fn section(text: &str, version: &str) -> Result<String> {
    let mut lines = text.lines().skip_while(|line| *line != unreleased(version) && *line != released(version));
    if lines.next().is_none() {
        let what = format!("{FILE} has no section \"{}\".", released(version));
        return Err(Failure::check(what, "Write what is new below such a heading."));
    }
    let body: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    let body = body.join("\n");
    if body.trim().is_empty() {
        let what = format!("{FILE} says nothing of {version}.");
        return Err(Failure::check(what, "Write what is new below its heading."));
    }
    Ok(body.trim().to_owned() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Changelog\n\nNewest first.\n\n## 1.2.3.0\n\n- One.\n\n## 1.2.2.4\n\n- Old.\n";

    #[test]
    fn a_section_begins_once_and_is_found() {
        let text = begun(TEXT, "1.2.3.1");
        assert!(text.starts_with("# Changelog\n\nNewest first.\n\n## Unreleased (1.2.3.1)\n\n## 1.2.3.0\n"), "{text}");
        assert_eq!(begun(&text, "1.2.3.1"), text);
        assert_eq!(begun(TEXT, "1.2.3.0"), TEXT);
        assert_eq!(section(TEXT, "1.2.3.0").unwrap(), "- One.\n");
        assert_eq!(section(TEXT, "1.2.2.4").unwrap(), "- Old.\n");
        assert!(section(&text, "1.2.3.1").unwrap_err().what.contains("says nothing of 1.2.3.1"));
        assert!(section(TEXT, "1.2.3").unwrap_err().what.contains("no section \"## 1.2.3\""));
    }
}
