//! Which crate of the workspace may depend on which, and what the pure ones may not depend on.

use serde_json::Value;

use super::Finding;

/// What one crate may depend on within the workspace.
struct Wall {
    name: &'static str,
    /// Siblings it may use.
    siblings: &'static [&'static str],
    /// Siblings its tests may use besides.
    test_siblings: &'static [&'static str],
    /// Whether it must not reach sockets, runtimes, clocks or chance.
    pure: bool,
}

/// All crates of the workspace; arrows point only downward.
const WALLS: [Wall; 8] = [
    Wall {
        name: "leveret",
        siblings: &["leveret-server", "leveret-client"],
        test_siblings: &["leveret-store", "leveret-wire"],
        pure: false,
    },
    Wall {
        name: "leveret-server",
        siblings: &["leveret-broker", "leveret-management", "leveret-store", "leveret-wire"],
        test_siblings: &["leveret-client"],
        pure: false,
    },
    Wall {
        name: "leveret-management",
        siblings: &["leveret-broker"],
        test_siblings: &[],
        pure: false,
    },
    Wall { name: "leveret-broker", siblings: &["leveret-wire"], test_siblings: &[], pure: true },
    Wall { name: "leveret-store", siblings: &[], test_siblings: &[], pure: false },
    Wall { name: "leveret-client", siblings: &["leveret-wire"], test_siblings: &[], pure: false },
    Wall { name: "leveret-wire", siblings: &[], test_siblings: &[], pure: true },
    Wall { name: "xtask", siblings: &[], test_siblings: &[], pure: false },
];

/// Packages that give sockets, a runtime, a clock or chance.
const IMPURE: [&str; 10] = [
    "async-std",
    "chrono",
    "getrandom",
    "jiff",
    "mio",
    "rand",
    "rustix",
    "socket2",
    "time",
    "tokio",
];

/// Checks the dependencies that `cargo metadata --no-deps` lists.
pub fn check(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let manifest = manifest.trim_start_matches(root).trim_start_matches('/');
        let Some(wall) = WALLS.iter().find(|wall| wall.name == name) else {
            findings.push(finding(manifest, name, "this crate is not in the table of walls"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            findings.extend(
                breach(wall, dependency, &names)
                    .map(|(item, text)| finding(manifest, &item, &text)),
            );
        }
    }
    findings
}

fn finding(manifest: &str, item: &str, text: &str) -> Finding {
    Finding {
        check: "walls",
        path: manifest.to_owned(),
        line: 1,
        item: item.to_owned(),
        measure: None,
        text: text.to_owned(),
    }
}

/// What is wrong with one dependency, and its name.
fn breach(wall: &Wall, dependency: &Value, workspace: &[&str]) -> Option<(String, String)> {
    let name = dependency["name"].as_str()?;
    let for_tests = dependency["kind"].as_str() == Some("dev");
    if workspace.contains(&name) {
        let allowed = wall.siblings.contains(&name)
            || for_tests && (wall.test_siblings.contains(&name) || name == wall.name);
        let text = format!("{} must not depend on its sibling {name}", wall.name);
        return (!allowed).then(|| (name.to_owned(), text));
    }
    let impure = wall.pure && !for_tests && IMPURE.contains(&name);
    let text = format!("{} is pure and must not depend on {name}", wall.name);
    impure.then(|| (name.to_owned(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(package: &str, dependency: &str, kind: &str) -> Vec<String> {
        let metadata = serde_json::json!({
            "workspace_root": "/w",
            "packages": [
                {
                    "name": package,
                    "manifest_path": "/w/crates/x/Cargo.toml",
                    "dependencies": [{"name": dependency, "kind": kind}],
                },
                {"name": "leveret-server", "manifest_path": "", "dependencies": []},
                {"name": "leveret-wire", "manifest_path": "", "dependencies": []},
            ],
        });
        check(&metadata).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn an_arrow_upward_is_found() {
        let found = findings("leveret-broker", "leveret-server", "");
        assert_eq!(
            found,
            ["crates/x/Cargo.toml:1: leveret-broker must not depend on its sibling \
              leveret-server [walls]"]
        );
        assert_eq!(findings("leveret-broker", "leveret-wire", ""), [""; 0]);
    }

    #[test]
    fn a_pure_crate_gets_no_runtime_except_in_tests() {
        assert!(findings("leveret-broker", "tokio", "")[0].contains("is pure"));
        assert_eq!(findings("leveret-broker", "tokio", "dev"), [""; 0]);
        assert_eq!(findings("leveret", "tokio", ""), [""; 0]);
    }

    #[test]
    fn a_crate_without_a_wall_is_found() {
        assert!(findings("leveret-new", "serde", "")[0].contains("not in the table"));
    }
}
