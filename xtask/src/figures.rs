//! `cargo xtask figures`: the shape of our code in numbers, to be held beside that of others.
//!
//! Measured as other trees were: production code is what is made neither for tests nor as an
//! example, without the module of tests at a file's end; a function counts from its `fn` to its
//! closing brace.

use std::collections::BTreeSet;
use std::path::Path;

use crate::tidy::{Source, functions, sources};

/// A function longer than this is long.
const LONG_LINES: usize = 70;

/// What was found.
#[derive(Debug, Default)]
struct Figures {
    file_lines: Vec<usize>,
    function_lines: Vec<usize>,
    comment_lines: usize,
    unwraps: usize,
    tests: usize,
}

/// Counts and prints.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let sources = sources(root)?;
    let mut figures = Figures::default();
    let test_modules = test_modules(&sources);
    sources.iter().for_each(|source| figures.add(source, &test_modules));
    figures.print();
    Ok(())
}

/// The modules with a file of their own that are declared for tests only.
fn test_modules(sources: &[Source]) -> BTreeSet<&str> {
    let mut modules = BTreeSet::from(["tests", "examples"]);
    for source in sources {
        let lines: Vec<&str> = source.scanned.code.lines().map(str::trim).collect();
        let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
        let names = declared.filter_map(|pair| pair[1].strip_suffix(';')?.split_once("mod "));
        modules.extend(names.map(|(_, name)| name));
    }
    modules
}

/// Whether a file, or a folder that it is in, is made for tests or examples only.
fn is_test_file(path: &str, test_modules: &BTreeSet<&str>) -> bool {
    path.trim_end_matches(".rs").split('/').any(|part| test_modules.contains(part))
}

/// The lines of a file before its module of tests.
fn production_lines(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().collect();
    let starts_tests = |pair: &[&str]| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    };
    lines.windows(2).position(starts_tests).unwrap_or(lines.len())
}

impl Figures {
    fn add(&mut self, source: &Source, test_modules: &BTreeSet<&str>) {
        let code = &source.scanned.code;
        self.tests += code.lines().filter(|line| is_test(line)).count();
        if is_test_file(&source.path, test_modules) {
            return;
        }
        let end = production_lines(code);
        let head: Vec<&str> = code.lines().take(end).collect();
        self.file_lines.push(end);
        self.unwraps += head.iter().map(|line| line.matches(".unwrap()").count()).sum::<usize>();
        let comments = source.scanned.comments.lines().take(end);
        self.comment_lines += comments.filter(|line| !line.trim().is_empty()).count();
        // Two lines more than a body: the signature's and the brace's.
        let lengths = functions(&head.join("\n")).into_iter().map(|function| function.lines + 2);
        self.function_lines.extend(lengths);
    }

    fn print(&mut self) {
        self.file_lines.sort_unstable();
        self.function_lines.sort_unstable();
        let lines: usize = self.file_lines.iter().sum();
        let (files, functions) = (&self.file_lines, &self.function_lines);
        let at = |part| percentile(files, part);
        println!("production lines          {lines} in {} files", files.len());
        println!("file median / p90 / max   {} / {} / {}", at(50), at(90), at(100));
        let at = |part| percentile(functions, part);
        println!("functions                 {}", functions.len());
        println!("fn median / p90 / p99     {} / {} / {}", at(50), at(90), at(99));
        let long = functions.iter().filter(|lines| **lines > LONG_LINES).count();
        println!("fn > {LONG_LINES} lines             {:.1} %", share(long, functions.len()));
        println!("doc and comment           {:.0} %", share(self.comment_lines, lines));
        println!("unwrap per 1,000 lines    {:.1}", share(self.unwraps, lines) * 10.0);
        println!("tests                     {}", self.tests);
    }
}

fn is_test(line: &str) -> bool {
    matches!(line.trim(), "#[test]") || line.trim().starts_with("#[tokio::test")
}

/// The value below or at which `part` of a hundred are; 0 if there are none.
fn percentile(sorted: &[usize], part: usize) -> usize {
    let rank = (sorted.len() * part).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_apart() {
        let text = "//! A file.\nfn f() {\n    a.unwrap();\n}\n#[cfg(test)]\nmod tests {\n    \
                    #[test]\n    fn t() {\n        b.unwrap();\n    }\n}\n";
        let mut figures = Figures::default();
        let test = "//! Tests.\n#[test]\nfn t() {}\n";
        let sources = [
            Source::new("a/src/b.rs", text),
            Source::new("a/tests/b.rs", test),
            Source::new("a/src/storm.rs", test),
            Source::new("a/src/lib.rs", "#[cfg(test)]\nmod storm;\n"),
        ];
        let test_modules = test_modules(&sources);
        sources.iter().for_each(|source| figures.add(source, &test_modules));
        assert_eq!((figures.unwraps, figures.tests, figures.comment_lines), (1, 3, 1));
        assert_eq!((figures.file_lines, figures.function_lines), (vec![4, 2], vec![3]));
    }

    #[test]
    fn percentiles_are_values_that_are_there() {
        let values = [1, 2, 3, 4];
        assert_eq!([50, 90, 100].map(|part| percentile(&values, part)), [2, 4, 4]);
        assert_eq!(percentile(&[], 50), 0);
    }
}
