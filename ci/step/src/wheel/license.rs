//! Whether the licence that a wheel names is that of what is in it.

use std::collections::BTreeSet;

use spdx::{Expression, Licensee};

use super::sbom::Component;

/// What is taken where a part offers a choice, in this order. `deny.toml` accepts the same, and of OpenBLAS's parts the last.
const TAKEN: &[&str] = &[
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "Unicode-3.0",
    "GPL-3.0-or-later WITH GCC-exception-3.1",
];

/// Compares an expression with the licences of the components that are in the wheel. Else what is wrong, and what to do.
pub fn covered(expression: &str, components: &[Component]) -> Result<(), (String, String)> {
    let named = terms(expression).map_err(|what| (what, "Correct the expression.".to_owned()))?;
    let mut needed: BTreeSet<String> = BTreeSet::from(["MIT".to_owned()]);
    for component in components.iter().filter(|component| !component.tool) {
        let of = |what: String| (format!("{} {}: {what}", component.name, component.version), TODO.to_owned());
        needed.extend(terms(&component.license).map_err(of)?);
    }
    if named == needed {
        return Ok(());
    }
    let expected: Vec<&str> = TAKEN.iter().copied().filter(|one| needed.contains(*one)).collect();
    Err((format!("it says {expression}"), format!("Write {} there.", expected.join(" AND "))))
}

const TODO: &str = "Accept that licence, or do without what has it.";

/// The licences that an expression comes to, by what is taken of a choice.
fn terms(expression: &str) -> Result<BTreeSet<String>, String> {
    let parsed = Expression::parse(expression)
        .map_err(|error| format!("{expression} is no SPDX expression ({})", error.reason))?;
    let taken: Vec<Licensee> = TAKEN.iter().map(|one| Licensee::parse(one).expect("each is a licence")).collect();
    let chosen =
        parsed.minimized_requirements(taken.iter()).map_err(|_| format!("{expression} offers none that is taken"))?;
    Ok(chosen.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(license: &str, tool: bool) -> Component {
        let name = "part".to_owned();
        Component { purl: String::new(), version: "1".into(), sha256: None, license: license.into(), name, tool }
    }

    #[test]
    fn the_expression_is_that_of_the_parts() {
        let parts = [
            part("MIT OR Apache-2.0", false),
            part("Zlib OR Apache-2.0 OR MIT", false),
            part("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", false),
            part("LicenseRef-NVIDIA", true),
            part("ISC", false),
        ];
        let right = "MIT AND BSD-3-Clause AND ISC AND GPL-3.0-or-later WITH GCC-exception-3.1";
        covered(right, &parts).unwrap();
        for wrong in ["MIT", &format!("{right} AND Zlib")] {
            let (what, todo) = covered(wrong, &parts).unwrap_err();
            assert_eq!((what, todo), (format!("it says {wrong}"), format!("Write {right} there.")));
        }
        let (what, _) = covered(right, &[part("AGPL-3.0-only", false)]).unwrap_err();
        assert_eq!(what, "part 1: AGPL-3.0-only offers none that is taken");
    }
}
