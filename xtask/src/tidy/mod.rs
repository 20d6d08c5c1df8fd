//! The checks of the repository itself, which no compiler makes.
//!
//! Each check turns sources into [`Finding`]s; `exceptions.toml` takes back those that have a
//! reason to be. A check that measures is a ratchet: its exception may shrink and not grow.

mod dead;
mod exceptions;
mod scan;
mod shape;
mod walls;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use scan::Scanned;

pub use shape::functions;

/// Directories that hold no sources of the workspace.
const SKIPPED: [&str; 3] = ["target", "interop", "examples"];

/// A breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name of the check.
    check: &'static str,
    /// The file, relative to the root, with slashes.
    path: String,
    /// The line, from 1.
    line: usize,
    /// The function, crate or word it is about; empty if it is about the file.
    item: String,
    /// How much there is, if the check measures.
    measure: Option<usize>,
    /// What is wrong.
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} [{}]", self.path, self.line, self.text, self.check)
    }
}

/// A Rust source file.
pub struct Source {
    /// Relative to the root, with slashes.
    pub path: String,
    text: String,
    /// Its code and its comments apart.
    pub scanned: Scanned,
}

impl Source {
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Source { path: path.into(), scanned: scan::scan(&text), text }
    }

    /// A breach in this file.
    fn finding(&self, check: &'static str, line: usize, text: impl Into<String>) -> Finding {
        Finding {
            check,
            path: self.path.clone(),
            line,
            item: String::new(),
            measure: None,
            text: text.into(),
        }
    }
}

/// Runs all checks on the workspace.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let metadata = crate::metadata(root, &["--no-deps"])?;
    let sources = sources(root)?;
    let mut findings = walls::check(&metadata);
    findings.extend(dead::check(&dead::roots(&metadata, root), &sources));
    for source in &sources {
        findings.extend(words::check(source));
        findings.extend(shape::check(source));
    }
    for text in &texts(root, &["md", "toml", "rs", "py", "go", "java", "js", "css", "html"])? {
        findings.extend(merge_marks(text));
    }
    let exceptions = std::fs::read_to_string(root.join("xtask/exceptions.toml"))?;
    let exceptions = exceptions::parse(&exceptions).context("xtask/exceptions.toml")?;
    let count = exceptions.len();
    let problems = exceptions::apply(&exceptions, findings);
    if !problems.is_empty() {
        bail!("{} problems\n{}", problems.len(), problems.join("\n"));
    }
    println!("{} files, {count} exceptions", sources.len());
    Ok(())
}

/// All Rust sources of the workspace, sorted by path.
pub fn sources(root: &Path) -> anyhow::Result<Vec<Source>> {
    texts(root, &["rs"])
}

/// All files of the workspace whose names end so, sorted by path.
fn texts(root: &Path, endings: &[&str]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let skipped = directory == root && SKIPPED.contains(&name.as_str());
            if path.is_dir() && !skipped && !name.starts_with('.') {
                directories.push(path);
            } else if path.extension().is_some_and(|found| endings.iter().any(|e| found == *e)) {
                let text = std::fs::read_to_string(&path)?;
                sources.push(Source::new(relative(root, &path), text));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// What a merge leaves in a text when it was committed half done.
fn merge_marks(source: &Source) -> impl Iterator<Item = Finding> + '_ {
    let mut lines = source.text.lines().enumerate();
    std::iter::from_fn(move || {
        let is_mark = |line: &str| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ");
        let (index, _) = lines.find(|(_, line)| is_mark(line))?;
        Some(source.finding("merge-mark", index + 1, "a merge that is not done"))
    })
}

/// A path relative to the root, with slashes.
fn relative(root: &Path, path: &Path) -> String {
    let relative: PathBuf = path.strip_prefix(root).unwrap_or(path).to_owned();
    relative.to_string_lossy().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_half_done_is_found() {
        let found: Vec<_> = merge_marks(&Source::new("x.md", "a\n<<<<<<< HEAD\nb")).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
        assert_eq!(merge_marks(&Source::new("x.md", "a << b\n=======\n")).count(), 0);
    }
}
