//! A strict reader of Prometheus' text format: what it takes, Prometheus takes.

use std::collections::{BTreeMap, HashSet};

/// Names and values, in order.
type Labels = Vec<(String, String)>;
/// The whole name, labels, value.
type Sample = (String, Labels, f64);

/// A family with its samples.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) samples: Vec<Sample>,
}

fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    text.bytes().all(good) && text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

/// The text up to the end quote, and what stands behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 2..])),
            '\\' => match chars.next()?.1 {
                '\\' => value.push('\\'),
                '"' => value.push('"'),
                'n' => value.push('\n'),
                _ => return None,
            },
            other => value.push(other),
        }
    }
    None
}

fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Vec::new();
    loop {
        let (name, behind) = rest.split_once('=')?;
        if !is_name(name) || name.contains(':') {
            return None;
        }
        let (value, behind) = quoted(behind)?;
        labels.push((name.to_owned(), value));
        match behind.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Some((labels, behind.strip_prefix('}')?)),
        }
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    is_name(name).then(|| (name.to_owned(), labels, value))
}

fn check_histogram(family: &Family) {
    let buckets = family.samples.iter().filter(|(name, ..)| name.ends_with("_bucket"));
    let counts: Vec<f64> = buckets.clone().map(|(_, _, count)| *count).collect();
    assert!(counts.is_sorted(), "{family:?}");
    let bounds: Vec<f64> =
        buckets.map(|(_, labels, _)| labels[0].1.replace('+', "").parse().unwrap()).collect();
    assert!(bounds.is_sorted() && bounds.last() == Some(&f64::INFINITY), "{family:?}");
    let count = family.samples.iter().find(|(name, ..)| name.ends_with("_count")).unwrap();
    assert_eq!(counts.last(), Some(&count.2));
}

/// Reads a page; panics at the first thing that is wrong.
pub(super) fn parse(page: &str) -> BTreeMap<String, Family> {
    assert!(page.ends_with('\n'), "the last line has an end");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let (mut current, mut seen) = (String::new(), HashSet::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let help = lines.next().unwrap();
            assert!(help.starts_with(&format!("# HELP {name} ")), "{help}");
            let known = ["counter", "gauge", "untyped", "histogram"];
            assert!(is_name(name) && known.contains(&kind), "{line}");
            assert!(kind != "counter" || name.ends_with("_total"), "{line}");
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} comes twice");
            current = name.to_owned();
            continue;
        }
        let sample = sample(line).unwrap_or_else(|| panic!("no sample: {line}"));
        let family = families.get_mut(&current).unwrap();
        let suffix = sample.0.strip_prefix(&current).unwrap();
        let suffixes: &[&str] = match family.kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix) && sample.2 >= 0.0, "{line}");
        assert!(seen.insert((sample.0.clone(), sample.1.clone())), "{line} comes twice");
        family.samples.push(sample);
    }
    families.values().filter(|family| family.kind == "histogram").for_each(check_histogram);
    families
}
