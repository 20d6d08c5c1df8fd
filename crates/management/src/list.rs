//! Lists: filtered by name, sorted, cut into pages, with the columns that are asked for.
//!
//! Invariant: what is cheap comes first. A list is filtered and sorted by what its items are in
//! memory, and only those on the page become JSON.

use std::cmp::Ordering;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Outcome};
use crate::request::{Call, Query};

/// The longest pattern, in bytes, and how much memory a compiled one may take.
const PATTERN_MAX: usize = 1_000;
const PATTERN_SIZE_MAX: usize = 1 << 20;
/// The largest page.
pub(crate) const PAGE_MAX: u64 = 500;

/// By what items are sorted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Key {
    Number(f64),
    Text(String),
}

impl From<usize> for Key {
    fn from(number: usize) -> Self {
        Self::Number(number as f64)
    }
}

impl From<u64> for Key {
    fn from(number: u64) -> Self {
        Self::Number(number as f64)
    }
}

impl From<bool> for Key {
    fn from(on: bool) -> Self {
        Self::Number(f64::from(u8::from(on)))
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Key {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Text(String::new()),
            Value::Bool(on) => Self::from(*on),
            Value::Number(number) => Self::Number(number.as_f64().unwrap_or(0.0)),
            Value::String(text) => Self::Text(text.clone()),
            other => Self::Text(other.to_string()),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

/// What can be listed.
pub(crate) trait Item {
    /// By which a list is filtered.
    fn name(&self) -> String;

    /// A column that can be had without rendering the whole.
    fn key(&self, column: &str) -> Option<Key> {
        let _ = column;
        None
    }

    /// All of it.
    fn render(&self, call: &Call<'_>) -> Value;
}

/// Which items are meant by their names.
enum Names {
    All,
    /// In lower case.
    Part(String),
    Pattern(Box<Regex>),
}

impl Names {
    fn read(query: &Query) -> Result<Self, Answer> {
        let name = query.get("name").unwrap_or("");
        if name.is_empty() {
            return Ok(Self::All);
        }
        if !query.is_true("use_regex") {
            return Ok(Self::Part(name.to_lowercase()));
        }
        if name.len() > PATTERN_MAX {
            return Err(Answer::bad("the pattern is too long"));
        }
        let pattern = RegexBuilder::new(name)
            .unicode(false)
            .case_insensitive(true)
            .size_limit(PATTERN_SIZE_MAX)
            .build();
        match pattern {
            Ok(pattern) => Ok(Self::Pattern(Box::new(pattern))),
            Err(_) => Err(Answer::bad("the name is no regular expression")),
        }
    }

    fn take(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Part(part) => name.to_lowercase().contains(part),
            Self::Pattern(pattern) => pattern.is_match(name.as_bytes()),
        }
    }
}

struct Page {
    number: usize,
    size: usize,
}

impl Page {
    fn read(query: &Query) -> Result<Option<Self>, Answer> {
        let bad = || {
            Answer::bad("Invalid pagination parameters: page and page_size must be whole numbers")
        };
        let number = query.number("page").map_err(|_| bad())?;
        let size = query.number("page_size").map_err(|_| bad())?;
        let Some(number) = number else { return Ok(None) };
        let size = size.unwrap_or(100);
        if number == 0 || size == 0 || size > PAGE_MAX {
            let reason = format!("page must be at least 1, page_size from 1 to {PAGE_MAX}");
            return Err(Answer::bad(reason));
        }
        Ok(Some(Self { number: number as usize, size: size as usize }))
    }
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, part| value.get(part))
}

fn put(into: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            into.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = into.entry(first).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// The columns of a value that are asked for; all of it where none are.
pub(crate) fn columns(query: &Query, value: Value) -> Value {
    let Some(columns) = query.get("columns").filter(|columns| !columns.is_empty()) else {
        return value;
    };
    let mut chosen = Map::new();
    for path in columns.split(',') {
        if let Some(found) = at(&value, path) {
            put(&mut chosen, path, found.clone());
        }
    }
    Value::Object(chosen)
}

/// 200 with one object.
pub(crate) fn one(call: &Call<'_>, value: Value) -> Outcome {
    Ok(Answer::json(&columns(&call.query, value)))
}

/// Sorts as the query says.
fn sort<T: Item>(call: &Call<'_>, items: Vec<T>) -> Vec<T> {
    let Some(column) = call.query.get("sort").filter(|column| !column.is_empty()) else {
        let mut items = items;
        if call.query.is_true("sort_reverse") {
            items.reverse();
        }
        return items;
    };
    let key = |item: T| {
        let key = item.key(column);
        let whole = || Key::of(at(&item.render(call), column).unwrap_or(&Value::Null));
        (key.unwrap_or_else(whole), item)
    };
    let mut keyed: Vec<(Key, T)> = items.into_iter().map(key).collect();
    keyed.sort_by(|(one, _), (other, _)| one.order(other));
    if call.query.is_true("sort_reverse") {
        keyed.reverse();
    }
    keyed.into_iter().map(|(_, item)| item).collect()
}

/// Writes items as a JSON list, one by one.
fn write<T: Item>(call: &Call<'_>, items: &[T], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let value = columns(&call.query, item.render(call));
        // A value is always JSON, and memory takes what is written.
        let _ = serde_json::to_writer(&mut *out, &value);
    }
    out.push(b']');
}

/// A list; cut into pages if the query asks for one.
pub(crate) fn paged<T: Item>(call: &Call<'_>, items: Vec<T>) -> Outcome {
    let page = Page::read(&call.query)?;
    let Some(page) = page else { return whole(call, items) };
    let (names, total) = (Names::read(&call.query)?, items.len());
    let filtered: Vec<T> = items.into_iter().filter(|item| names.take(&item.name())).collect();
    let count = filtered.len();
    let pages = count.div_ceil(page.size).max(1);
    if page.number > pages {
        let reason = format!("page out of range, page: {} page size: {}", page.number, page.size);
        return Err(Answer::error(hyper::StatusCode::BAD_REQUEST, "page_out_of_range", reason));
    }
    let sorted = sort(call, filtered);
    let from = (page.number - 1) * page.size;
    let items = &sorted[from..(from + page.size).min(count)];
    let head = json!({
        "filtered_count": count, "item_count": items.len(), "page": page.number,
        "page_count": pages, "page_size": page.size, "total_count": total,
    });
    let mut out = head.to_string().into_bytes();
    out.pop();
    out.extend_from_slice(b",\"items\":");
    write(call, items, &mut out);
    out.push(b'}');
    Ok(Answer::bytes("application/json", out.into()))
}

/// The whole list.
pub(crate) fn whole<T: Item>(call: &Call<'_>, items: Vec<T>) -> Outcome {
    let items = sort(call, items);
    let mut out = Vec::new();
    write(call, &items, &mut out);
    Ok(Answer::bytes("application/json", out.into()))
}

/// A list of what is JSON already.
pub(crate) fn values(call: &Call<'_>, items: Vec<Value>) -> Outcome {
    paged(call, items)
}

impl Item for Value {
    fn name(&self) -> String {
        self.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn key(&self, column: &str) -> Option<Key> {
        Some(Key::of(at(self, column).unwrap_or(&Self::Null)))
    }

    fn render(&self, _call: &Call<'_>) -> Value {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_cut_out_with_their_paths() {
        let value = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": 4});
        let query = Query::parse("columns=a,b.c,x.y").unwrap();
        assert_eq!(columns(&query, value), json!({"a": 1, "b": {"c": 2}}));
    }

    #[test]
    fn names_are_found_by_part_or_pattern() {
        let take = |query: &str, name: &str| {
            Names::read(&Query::parse(query).unwrap()).unwrap().take(name)
        };
        assert!(take("name=Ord", "my.orders") && !take("name=ord", "other"));
        assert!(take("name=^o.*s$&use_regex=true", "orders"));
        assert!(!take("name=^o.*s$&use_regex=true", "my.orders"));
        let bad = Query::parse("name=(&use_regex=true").unwrap();
        assert!(Names::read(&bad).is_err());
    }
}
