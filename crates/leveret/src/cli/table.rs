//! Tables for people, from JSON and a table of columns; the only place where they are made.
//!
//! Names and payloads come from strangers, so control characters and what turns the direction of
//! writing are shown escaped.

use std::cmp::Ordering;
use std::fmt::Write;
use std::io::IsTerminal;

use anyhow::{anyhow, bail};
use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Row, Table};
use serde_json::{Map, Value, json};

use super::time;

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// A number of bytes.
    Bytes,
    /// A number for each second.
    Rate,
    /// A number of bytes for each second.
    ByteRate,
    /// Milliseconds since 1970.
    Time,
    /// Milliseconds.
    Duration,
}

/// A column: its name, where its value is in the JSON, and how it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    name: &'static str,
    path: &'static str,
    form: Form,
    shown: bool,
}

/// A column that is shown in lists unless others are asked for.
pub(super) const fn shown(name: &'static str) -> Column {
    Column { name, path: name, form: Form::Plain, shown: true }
}

/// A column that is shown in lists if asked for.
pub(super) const fn extra(name: &'static str) -> Column {
    Column { name, path: name, form: Form::Plain, shown: false }
}

impl Column {
    /// The same with its value at another path, with points between the keys.
    pub(super) const fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    /// The same in another form.
    pub(super) const fn form(self, form: Form) -> Self {
        Self { form, ..self }
    }
}

/// What of a list is shown, and in which order.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// The columns; a path such as message_stats.publish is one too, and `all` is all that are
    /// known
    #[arg(value_name = "COLUMN", value_delimiter = ',')]
    columns: Vec<String>,

    /// Show only rows with a cell that contains this text
    #[arg(long = "match", value_name = "TEXT")]
    matching: Option<String>,

    /// Sort by a column that is shown
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,

    /// The largest first
    #[arg(long, requires = "sort")]
    reverse: bool,

    /// No line with the names of the columns
    #[arg(long)]
    no_header: bool,
}

impl ListArgs {
    /// The columns that are wanted: known ones by name, all else by its path.
    fn wanted(&self, known: &'static [Column]) -> Vec<(String, String, Form)> {
        let take = |column: &Column| (column.name.into(), column.path.into(), column.form);
        if self.columns.is_empty() {
            return known.iter().filter(|column| column.shown).map(take).collect();
        }
        let mut wanted = Vec::new();
        for name in &self.columns {
            match known.iter().find(|column| column.name == *name) {
                Some(column) => wanted.push(take(column)),
                None if name == "all" => wanted.extend(known.iter().map(take)),
                None => wanted.push((name.clone(), name.clone(), Form::Plain)),
            }
        }
        wanted
    }

    /// What to ask the server for, so that it need not send all.
    pub(super) fn keys(&self, known: &'static [Column]) -> Option<String> {
        let paths: Vec<String> = self.wanted(known).into_iter().map(|(_, path, _)| path).collect();
        (!paths.is_empty()).then(|| paths.join(","))
    }
}

/// A list that is ready to be shown.
pub(super) struct Rows {
    columns: Vec<(String, String, Form)>,
    rows: Vec<Value>,
    /// Whether columns were asked for, so that JSON has just these.
    chosen: bool,
    header: bool,
}

impl Rows {
    /// Selects and sorts. A column that nothing has is a mistake of who asked for it.
    pub(super) fn new(
        mut rows: Vec<Value>,
        known: &'static [Column],
        arguments: &ListArgs,
    ) -> anyhow::Result<Self> {
        let columns = arguments.wanted(known);
        for (name, path, _) in &columns {
            let is_known = known.iter().any(|column| column.name == name);
            if !is_known && !rows.is_empty() && rows.iter().all(|row| find(row, path).is_null()) {
                bail!("there is no column `{name}`; there are {}", names(known));
            }
        }
        if let Some(text) = &arguments.matching {
            let cell = |row: &Value, (_, path, form): &(_, String, Form)| {
                cell(find(row, path), *form).contains(text.as_str())
            };
            rows.retain(|row| columns.iter().any(|column| cell(row, column)));
        }
        if let Some(name) = &arguments.sort {
            let column = columns.iter().find(|(column, ..)| column == name);
            let (_, path, _) = column.ok_or_else(|| anyhow!("no column `{name}` is shown"))?;
            rows.sort_by(|a, b| compare(find(a, path), find(b, path)));
            if arguments.reverse {
                rows.reverse();
            }
        }
        let chosen = !arguments.columns.is_empty();
        Ok(Self { columns, rows, chosen, header: !arguments.no_header })
    }

    /// All of each row, or the columns that were chosen.
    pub(super) fn to_json(&self) -> Value {
        if !self.chosen {
            return Value::Array(self.rows.clone());
        }
        let pick = |row: &Value| {
            let field =
                |(name, path, _): &(String, String, Form)| (name.clone(), find(row, path).clone());
            Value::Object(self.columns.iter().map(field).collect::<Map<_, _>>())
        };
        self.rows.iter().map(pick).collect()
    }

    /// The table.
    pub(super) fn to_text(&self) -> String {
        let cells = |row: &Value| {
            self.columns.iter().map(|(_, path, form)| cell(find(row, path), *form)).collect()
        };
        let rows: Vec<Vec<String>> = self.rows.iter().map(cells).collect();
        let head: Vec<&str> = self.columns.iter().map(|(name, ..)| name.as_str()).collect();
        let is_number = |(_, path, form): &(String, String, Form)| {
            matches!(form, Form::Bytes | Form::Rate | Form::ByteRate)
                || self.rows.iter().any(|row| find(row, path).is_number())
        };
        let numbers: Vec<bool> = self.columns.iter().map(is_number).collect();
        text(self.header.then_some(&head[..]), &rows, &numbers)
    }
}

/// One thing: a line for each column that has a value.
pub(super) fn one(value: &Value, columns: &[Column]) -> String {
    let row = |column: &Column| {
        let found = find(value, column.path);
        let empty = found.as_object().is_some_and(Map::is_empty) || *found == json!([]);
        (!found.is_null() && !empty).then(|| vec![column.name.to_owned(), cell(found, column.form)])
    };
    let rows: Vec<Vec<String>> = columns.iter().filter_map(row).collect();
    text(None, &rows, &[false, false])
}

/// A table without lines, columns two spaces apart; on a terminal cells are broken to fit. Columns
/// that are `numbers` stand right.
pub fn text(head: Option<&[&str]>, rows: &[Vec<String>], numbers: &[bool]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if let Some(width) = terminal_width() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    let align = |(column, text): (usize, String)| {
        let number = numbers.get(column) == Some(&true);
        let side = if number { CellAlignment::Right } else { CellAlignment::Left };
        Cell::new(text).set_alignment(side)
    };
    let line = |cells: Vec<String>| Row::from(cells.into_iter().enumerate().map(align));
    if let Some(head) = head {
        table.set_header(line(head.iter().map(|name| (*name).to_owned()).collect()));
    }
    table.add_rows(rows.iter().map(|cells| line(cells.clone())));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    let text: String = lines.collect();
    // A table without columns would still be an empty line.
    if rows.is_empty() && head.is_none() { String::new() } else { text }
}

/// The width of the terminal on standard output, if it is one.
fn terminal_width() -> Option<u16> {
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(stdout).ok())?;
    size.map(|size| size.ws_col).filter(|columns| *columns >= 20)
}

fn names(known: &[Column]) -> String {
    known.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// The value at a path with points; a key that has a point itself is found too.
fn find<'a>(value: &'a Value, path: &str) -> &'a Value {
    if let Some(found) = value.get(path) {
        return found;
    }
    match path.split_once('.') {
        Some((key, rest)) => value.get(key).map_or(&Value::Null, |inner| find(inner, rest)),
        None => &Value::Null,
    }
}

/// Numbers by size, all else by its text; what is not there first.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ if a.is_null() || b.is_null() => b.is_null().cmp(&a.is_null()),
        _ => cell(a, Form::Plain).cmp(&cell(b, Form::Plain)),
    }
}

/// A value in its form.
pub(super) fn cell(value: &Value, form: Form) -> String {
    let number = value.as_f64();
    match (form, number) {
        (Form::Bytes, Some(bytes)) => size(bytes),
        (Form::ByteRate, Some(rate)) => format!("{}/s", size(rate)),
        (Form::Rate, Some(rate)) => format!("{rate:.1}/s"),
        (Form::Time, Some(ms)) => time::show(ms as i64),
        (Form::Duration, Some(ms)) => time::span(ms as u64),
        _ => plain(value),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => harmless(text),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| match value {
                Value::Array(_) | Value::Object(_) => format!("{}={value}", harmless(key)),
                _ => format!("{}={}", harmless(key), plain(value)),
            };
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Bytes with a unit.
fn size(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut number, mut unit) = (bytes, 0);
    while number >= 1024.0 && unit + 1 < units.len() {
        (number, unit) = (number / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{number:.0} B") } else { format!("{number:.1} {}", units[unit]) }
}

/// A number of things, in words.
pub(super) fn counted(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

/// A text that cannot move the cursor, colour anything, or turn the direction of writing.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            // Writing to a string does not fail.
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        shown("name"),
        shown("messages"),
        extra("rate").at("stats.publish_details.rate").form(Form::Rate),
    ];

    fn rows(arguments: &ListArgs) -> anyhow::Result<Rows> {
        let rows = json!([
            {"name": "b\u{1b}[2J", "messages": 9, "stats": {"publish_details": {"rate": 1.25}}},
            {"name": "a", "messages": 10},
        ]);
        Rows::new(rows.as_array().unwrap().clone(), COLUMNS, arguments)
    }

    fn columns(columns: &[&str]) -> ListArgs {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        ListArgs { columns, ..ListArgs::default() }
    }

    #[test]
    fn numbers_stand_right_and_control_characters_are_escaped() {
        let text = rows(&ListArgs::default()).unwrap().to_text();
        assert_eq!(text, "name        messages\nb\\u{1b}[2J         9\na                 10\n");
    }

    #[test]
    fn columns_are_chosen_by_name_or_path() {
        let shown = rows(&columns(&["rate", "stats.publish_details"])).unwrap();
        assert_eq!(shown.to_text(), " rate  stats.publish_details\n1.2/s  rate=1.25\n    -  -\n");
        assert_eq!(shown.to_json()[0]["rate"], json!(1.25));
        let error = rows(&columns(&["mesages"])).err().unwrap().to_string();
        assert_eq!(error, "there is no column `mesages`; there are name, messages, rate");
        assert_eq!(
            columns(&["rate", "x.y"]).keys(COLUMNS).unwrap(),
            "stats.publish_details.rate,x.y"
        );
    }

    #[test]
    fn rows_are_sorted_by_number_and_matched_by_what_is_shown() {
        let sort = Some("messages".to_owned());
        let text = rows(&ListArgs { sort, reverse: true, ..ListArgs::default() }).unwrap();
        assert!(text.to_text().lines().nth(1).unwrap().starts_with('a'));
        let matching = Some("10".to_owned());
        let text = rows(&ListArgs { matching, no_header: true, ..ListArgs::default() }).unwrap();
        assert_eq!(text.to_text(), "a  10\n");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!((size(1023.0), size(1536.0)), ("1023 B".into(), "1.5 KiB".into()));
        assert_eq!(cell(&json!({"a": 1, "b": "x"}), Form::Plain), "a=1, b=x");
    }
}
