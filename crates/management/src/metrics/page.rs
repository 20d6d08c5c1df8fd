//! A page in Prometheus' text format: families with their type and help, and their samples.
//!
//! Invariants: a page is at most [`BYTES_MAX`] long, or it has overflowed and is not sent; what a
//! client can name is escaped, so that it is one value of one label.

use std::fmt::{Display, Write};

use leveret_broker::histogram::{BOUNDS_MICROS, Snapshot};

/// The longest page.
const BYTES_MAX: usize = 128 << 20;

/// What kind of number a family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    Gauge,
    /// RabbitMQ says no more of it.
    Untyped,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Untyped => "untyped",
            Self::Histogram => "histogram",
        }
    }
}

/// A page that is being written.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    /// The name of the family that the samples belong to.
    name: String,
    overflowed: bool,
}

impl Page {
    /// Begins a family; its name is the prefix with the name.
    pub(super) fn family(&mut self, prefix: &str, name: &str, kind: Kind, help: &str) {
        self.name.clear();
        self.name.push_str(prefix);
        self.name.push_str(name);
        let (name, kind) = (&self.name, kind.name());
        // Writing to a text does not fail.
        let _ = writeln!(self.text, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    /// Adds a sample of the family.
    pub(super) fn sample(&mut self, labels: &Labels, value: impl Display) {
        self.write("", &labels.0, value);
    }

    fn write(&mut self, suffix: &str, labels: &str, value: impl Display) {
        if self.text.len() > BYTES_MAX {
            self.overflowed = true;
            return;
        }
        self.text.push_str(&self.name);
        self.text.push_str(suffix);
        if !labels.is_empty() {
            let _ = write!(self.text, "{{{labels}}}");
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// Adds a family with one sample without labels.
    pub(super) fn number(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family("", name, kind, help);
        self.sample(&Labels::NONE, value);
    }

    /// Adds a histogram in seconds.
    pub(super) fn histogram(&mut self, name: &str, help: &str, seen: &Snapshot) {
        self.family("", name, Kind::Histogram, help);
        let mut count = 0;
        for (bucket, bound) in seen.buckets.iter().zip(BOUNDS_MICROS) {
            count += bucket;
            self.write("_bucket", &format!("le=\"{}\"", seconds(bound)), count);
        }
        count += seen.buckets.last().copied().unwrap_or(0);
        self.write("_bucket", "le=\"+Inf\"", count);
        self.write("_sum", "", seconds(seen.sum_micros));
        self.write("_count", "", count);
    }

    /// The page; none if it would be too long.
    pub(super) fn finish(self) -> Option<String> {
        (!self.overflowed).then_some(self.text)
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

/// The labels of a sample, escaped.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels(String);

impl Labels {
    pub(super) const NONE: Self = Self(String::new());

    pub(super) fn new(labels: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, value) in labels {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
            text.push_str("=\"");
            for char in value.chars() {
                match char {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    other => text.push(other),
                }
            }
            text.push('"');
        }
        Self(text)
    }
}
