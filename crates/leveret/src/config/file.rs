//! The configuration file: TOML, where `log.level = "info"` and `[log]` with `level` are the same.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::keys::{self, KEYS};
use super::setting::Raw;
use super::suggest;
use super::{Layer, Source};

/// Reads a file. What is wrong with it goes to `problems`, and the rest is returned.
pub fn read(path: &Path, problems: &mut Vec<Problem>) -> Layer {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text, problems),
        Err(error) => {
            let text = format!(
                "cannot read the configuration file: {error}; --config or LEVERET_CONFIG names it"
            );
            problems.push(Problem::new(path.display(), text));
            Layer::new()
        }
    }
}

/// Parses the text of a file.
pub fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Layer {
    let mut reader = Reader { path, text, layer: Layer::new(), problems };
    match DeTable::parse(text) {
        Ok(table) => reader.table("", table.get_ref()),
        Err(error) => {
            let message = error.message().replace('\n', ", ");
            reader.problem(error.span().unwrap_or(0..0), message);
        }
    }
    reader.layer
}

/// The walk through one file's tables.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    layer: Layer,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let full = match prefix {
                "" => name.get_ref().to_string(),
                prefix => format!("{prefix}.{}", name.get_ref()),
            };
            self.entry(&full, name.span(), value);
        }
    }

    fn entry(&mut self, name: &str, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        if let Some(key) = keys::find(name) {
            let raw = raw(value.get_ref());
            let (line, _) = position(self.text, span.start);
            let source = Source::File { path: self.path.to_owned(), line };
            // The exact column is known only here, so a bad value is reported here.
            match key.check(&raw, self.place(value.span())) {
                Ok(()) => drop(self.layer.insert(key.name, (raw, source))),
                Err(problem) => self.problems.push(problem),
            }
            return;
        }
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() || is_table(name) => self.table(name, inner),
            _ => {
                let hint = suggest::hint(name, KEYS.iter().map(|key| key.name));
                self.problem(span, format!("unknown key `{name}`{hint}"));
            }
        }
    }

    fn problem(&mut self, span: Range<usize>, text: String) {
        let problem = Problem::new(self.place(span), text);
        self.problems.push(problem);
    }

    fn place(&self, span: Range<usize>) -> String {
        let (line, column) = position(self.text, span.start);
        format!("{}:{line}:{column}", self.path.display())
    }
}

/// Whether some key's name begins with this table's.
fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The value without its TOML dress.
fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Raw::Integer(number),
            Err(_) => Raw::Other("a number of more than 64 bits"),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Raw::Float(number),
            Err(_) => Raw::Other("a number that cannot be read"),
        },
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(values) => Raw::List(values.iter().map(|v| raw(v.get_ref())).collect()),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

/// Line and column (in characters) of a byte position, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
