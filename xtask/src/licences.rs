//! Licences and origins of all packages, against the list in `deny.toml`.
//!
//! A small stand-in for `cargo deny check licenses sources`, which takes four minutes of CPU time
//! to build; where cargo-deny is installed, `cargo xtask ci` runs it too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

/// What `deny.toml` allows.
struct Rules {
    /// Licences that any package may have.
    allow: BTreeSet<String>,
    /// Licences that single packages may have besides.
    exceptions: BTreeMap<String, Vec<String>>,
}

/// Fails on a package whose licence is not allowed or that does not come from a registry.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let rules = rules(&std::fs::read_to_string(root.join("deny.toml"))?)?;
    let metadata = crate::metadata(root, &["--locked"])?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut problems: Vec<String> =
        packages.iter().filter_map(|package| problem(package, &rules)).collect();
    let names: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let stale = rules.exceptions.keys().filter(|name| !names.contains(name.as_str()));
    problems.extend(stale.map(|name| format!("deny.toml: the exception for {name} is not needed")));
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!("{} packages, {} licences allowed", packages.len(), rules.allow.len());
    Ok(())
}

/// Reads `licenses.allow` and `licenses.exceptions`.
fn rules(deny: &str) -> anyhow::Result<Rules> {
    let deny: toml::Table = deny.parse().context("deny.toml")?;
    let licences = deny.get("licenses").context("deny.toml has no [licenses]")?;
    let allow = names(licences.get("allow")).into_iter().collect();
    let exceptions = licences.get("exceptions").and_then(toml::Value::as_array);
    let exceptions = exceptions.into_iter().flatten().filter_map(|exception| {
        let name = exception.get("crate")?.as_str()?;
        Some((name.to_owned(), names(exception.get("allow"))))
    });
    Ok(Rules { allow, exceptions: exceptions.collect() })
}

/// The strings of a TOML array.
fn names(list: Option<&toml::Value>) -> Vec<String> {
    let list = list.and_then(toml::Value::as_array).into_iter().flatten();
    list.filter_map(toml::Value::as_str).map(str::to_owned).collect()
}

/// What is wrong with one package.
fn problem(package: &Value, rules: &Rules) -> Option<String> {
    let name = package["name"].as_str().unwrap_or("?");
    // A package without a source is one of the workspace.
    if let Some(source) = package["source"].as_str()
        && !source.starts_with("registry+")
    {
        return Some(format!("{name}: comes from {source}, not from a registry"));
    }
    let Some(licence) = package["license"].as_str() else {
        return Some(format!("{name}: names no licence"));
    };
    let mut allowed = rules.allow.clone();
    allowed.extend(rules.exceptions.get(name).into_iter().flatten().cloned());
    let text = format!("{name}: licence {licence} is not in the list of deny.toml");
    (!permits(licence, &allowed)).then_some(text)
}

/// Whether a licence expression can be met with the allowed licences alone.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // `/` is the old way to write OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    either(&mut words, allowed)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut result = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        result |= both(words, allowed);
    }
    result
}

fn both(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut result = single(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        result &= single(words, allowed);
    }
    result
}

fn single(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    match words.next() {
        Some("(") => {
            let result = either(words, allowed);
            words.next();
            result
        }
        Some(name) if words.next_if_eq(&"WITH").is_some() => {
            let exception = words.next().unwrap_or_default();
            allowed.contains(&format!("{name} WITH {exception}"))
        }
        // `+` is "or any later version".
        Some(name) => allowed.contains(name.trim_end_matches('+')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Rules {
        let allow = "allow = ['MIT', 'ISC', 'Apache-2.0 WITH LLVM-exception']";
        let exceptions = "exceptions = [{ crate = 'maps', allow = ['MPL-2.0'] }]";
        rules(&format!("[licenses]\n{allow}\n{exceptions}")).unwrap()
    }

    #[test]
    fn expressions_are_weighed() {
        for good in ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "(MIT OR GPL-3.0) AND ISC"] {
            assert!(permits(good, &sample().allow), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "Apache-2.0", ""] {
            assert!(!permits(bad, &sample().allow), "{bad}");
        }
        assert!(permits("Apache-2.0 WITH LLVM-exception AND MIT", &sample().allow));
    }

    #[test]
    fn a_package_fails_by_its_licence_or_its_origin() {
        let package = |json: &str| serde_json::from_str(json).unwrap();
        let bad = package(r#"{"name": "a", "license": "GPL-3.0", "source": "registry+x"}"#);
        assert!(problem(&bad, &sample()).unwrap().contains("GPL-3.0"));
        let foreign = package(r#"{"name": "b", "license": "MIT", "source": "git+x"}"#);
        assert!(problem(&foreign, &sample()).unwrap().contains("git+x"));
        let silent = package(r#"{"name": "c", "license": null, "source": "registry+x"}"#);
        assert!(problem(&silent, &sample()).unwrap().contains("no licence"));
        let good = package(r#"{"name": "d", "license": "MIT", "source": "registry+x"}"#);
        assert_eq!(problem(&good, &sample()), None);
        let excepted =
            package(r#"{"name": "maps", "license": "MPL-2.0+", "source": "registry+x"}"#);
        assert_eq!(problem(&excepted, &sample()), None);
        let other = package(r#"{"name": "other", "license": "MPL-2.0+", "source": "registry+x"}"#);
        assert!(problem(&other, &sample()).is_some());
    }
}
