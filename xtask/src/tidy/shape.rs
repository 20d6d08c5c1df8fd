//! The shape of a source file: how long, how wide, and what must stand in it.

use super::{Finding, Source};

const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 60;
const LINE_WIDTH_MAX: usize = 100;

/// Words for work left undone, which must name an issue as in `(#12)`.
const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Checks one file.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        let text = format!("the file has {lines} lines, more than {FILE_LINES_MAX}");
        let finding = source.finding("file-lines", 1, text);
        findings.push(Finding { measure: Some(lines), ..finding });
    }
    findings.extend(missing_doc(source));
    findings.extend(wide_lines(source));
    findings.extend(loose_marks(source));
    findings.extend(long_functions(source));
    findings
}

/// The file must begin by saying what it is.
fn missing_doc(source: &Source) -> Option<Finding> {
    let first = source.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let text = "the file does not begin with `//!` and what it is for";
    (!first.starts_with("//!")).then(|| source.finding("module-doc", 1, text))
}

fn wide_lines(source: &Source) -> impl Iterator<Item = Finding> + '_ {
    source.text.lines().enumerate().filter_map(|(index, line)| {
        let width = line.chars().count();
        let text = format!("the line has {width} characters, more than {LINE_WIDTH_MAX}");
        (width > LINE_WIDTH_MAX).then(|| Finding {
            measure: Some(width),
            ..source.finding("line-width", index + 1, text)
        })
    })
}

fn loose_marks(source: &Source) -> impl Iterator<Item = Finding> + '_ {
    source.scanned.comments.lines().enumerate().filter_map(|(index, line)| {
        let (mark, at) = MARKS.iter().find_map(|mark| Some((mark, line.find(mark)?)))?;
        let issue = line[at + mark.len()..].strip_prefix("(#").unwrap_or_default();
        let numbered = issue.starts_with(|c: char| c.is_ascii_digit());
        let text = format!("{mark} without the number of an issue, as in {mark}(#12)");
        (!numbered).then(|| source.finding("loose-mark", index + 1, text))
    })
}

fn long_functions(source: &Source) -> Vec<Finding> {
    let functions = functions(&source.scanned.code);
    let long = functions.into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    let finding = |function: Function| {
        let Function { name, line, lines } = function;
        let text = format!("the body of {name} has {lines} lines, more than {FUNCTION_LINES_MAX}");
        let finding = source.finding("function-lines", line, text);
        Finding { item: name, measure: Some(lines), ..finding }
    };
    long.map(finding).collect()
}

/// A function with a body.
pub struct Function {
    name: String,
    /// The line of its name, from 1.
    line: usize,
    /// The lines between its braces.
    pub lines: usize,
}

/// All functions with a body in code that holds no comments or strings.
pub fn functions(code: &str) -> Vec<Function> {
    let starts = code
        .match_indices("fn ")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    starts.filter_map(|(at, _)| function(code, at)).collect()
}

/// The function whose `fn` is at this byte; none if it has no body.
fn function(code: &str, at: usize) -> Option<Function> {
    let rest = &code[at + 3..];
    let name_end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    let name = rest.get(..name_end).filter(|name| !name.is_empty())?;
    let open = body_start(rest)?;
    let close = open + body_end(&rest[open..])?;
    let newlines = |text: &str| text.matches('\n').count();
    let line = newlines(&code[..at]) + 1;
    let lines = newlines(&rest[open..close]).saturating_sub(1);
    Some(Function { name: name.to_owned(), line, lines })
}

/// The opening brace of a body, which follows a signature; none if a semicolon comes first.
fn body_start(signature: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in signature.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.checked_sub(1)?,
            ';' if depth == 0 => return None,
            '{' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// The closing brace that belongs to the brace with which the text begins.
fn body_end(body: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in body.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(text: &str) -> Vec<&'static str> {
        check(&Source::new("a.rs", text)).into_iter().map(|finding| finding.check).collect()
    }

    #[test]
    fn a_good_file_has_no_findings() {
        assert_eq!(checks("//! A file.\n\nfn f() {}\n"), [""; 0]);
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(checks(&format!("//! A file.\n{}", "\n".repeat(700))), ["file-lines"]);
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_found() {
        assert_eq!(checks("use std::fmt;\n"), ["module-doc"]);
        assert_eq!(checks(""), ["module-doc"]);
    }

    #[test]
    fn a_wide_line_is_found() {
        assert_eq!(checks(&format!("//! {}\n", "é".repeat(97))), ["line-width"]);
        assert_eq!(checks(&format!("//! {}\n", "é".repeat(96))), [""; 0]);
    }

    #[test]
    fn a_mark_needs_an_issue() {
        for mark in MARKS {
            assert_eq!(checks(&format!("//! A file.\n// {mark}: later\n")), ["loose-mark"]);
            assert_eq!(checks(&format!("//! A file.\n// {mark}(#12): later\n")), [""; 0]);
        }
    }

    #[test]
    fn a_long_function_is_found_and_named() {
        let body = "    call();\n".repeat(61);
        let head = "//! A file.\ntrait T {\n    fn t(&self, x: [u8; 4]);\n}\n";
        let text = format!("{head}pub fn long(f: fn(u8) -> u8) -> [u8; 2] {{\n{body}}}\n");
        let found = check(&Source::new("a.rs", text));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].item.as_str(), found[0].measure), ("long", Some(61)));
        assert_eq!(found[0].line, 5);
    }

    #[test]
    fn a_function_of_sixty_lines_passes() {
        let body = "    call();\n".repeat(60);
        assert_eq!(checks(&format!("//! A file.\nfn f() {{\n{body}}}\n")), [""; 0]);
    }
}
