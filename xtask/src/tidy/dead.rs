//! Rust files that no `mod` line reaches: they look like code and are never compiled.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{Finding, Source, relative};

/// The files with which the compiler starts: libraries, binaries, tests, examples, benches.
pub fn roots(metadata: &Value, root: &Path) -> Vec<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let paths = targets.filter_map(|target| target["src_path"].as_str());
    paths.map(|path| relative(root, Path::new(path))).collect()
}

/// Finds the sources that cannot be reached from the roots.
pub fn check(roots: &[String], sources: &[Source]) -> Vec<Finding> {
    let exists: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> = roots.to_vec();
    while let Some(path) = open.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let Some(source) = sources.iter().find(|source| source.path == path) else { continue };
        let folder = folder(&path, roots.contains(&path));
        for name in modules(&source.scanned.code) {
            let candidates = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
            open.extend(candidates.into_iter().filter(|path| exists.contains(path.as_str())));
        }
    }
    let dead = sources.iter().filter(|source| !reached.contains(&source.path));
    dead.map(|source| source.finding("dead-file", 1, "no `mod` line reaches this file")).collect()
}

/// The folder, with its slash, in which the modules of a file are.
fn folder(path: &str, is_root: bool) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name.trim_end_matches(".rs") {
        _ if is_root => format!("{folder}/"),
        "mod" => format!("{folder}/"),
        name => format!("{folder}/{name}/"),
    }
}

/// The names in lines such as `pub(crate) mod name;`.
fn modules(code: &str) -> Vec<&str> {
    let declared = code.lines().filter_map(|line| {
        let line = line.trim().strip_suffix(';')?;
        let (before, name) = line.split_once("mod ")?;
        let visible = before.trim();
        (visible.is_empty() || visible.starts_with("pub")).then_some(name.trim())
    });
    declared.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_mod_line_is_found() {
        let sources = [
            Source::new("a/src/lib.rs", "pub mod queue;\n// mod old;\n"),
            Source::new("a/src/queue.rs", "mod dispatch;\n"),
            Source::new("a/src/queue/dispatch.rs", ""),
            Source::new("a/src/old.rs", ""),
            Source::new("a/src/queue/other/mod.rs", ""),
        ];
        let dead = check(&["a/src/lib.rs".to_owned()], &sources);
        let paths: Vec<&str> = dead.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(paths, ["a/src/old.rs", "a/src/queue/other/mod.rs"]);
    }
}
