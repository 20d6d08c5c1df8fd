//! The types a key may have: how each is read, checked, and written as TOML.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use leveret_server::{AutoPort, Durability};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::keys::Key;

/// A value before its type is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// Text from the environment or a flag, where everything is text.
    Untyped(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML float.
    Float(f64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array, or a flag that was repeated.
    List(Vec<Raw>),
    /// Something no key takes, named for the error message.
    Other(&'static str),
}

impl Raw {
    /// The text, wherever it came from.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Raw::Untyped(text) | Raw::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Untyped(text) | Raw::Text(text) => write!(f, "{text:?}"),
            Raw::Integer(number) => write!(f, "{number}"),
            Raw::Float(number) => write!(f, "{number:?}"),
            Raw::Boolean(value) => write!(f, "{value}"),
            Raw::List(values) => {
                let values: Vec<String> = values.iter().map(Raw::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
            Raw::Other(name) => f.write_str(name),
        }
    }
}

/// What the numbers of a key count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things; no unit may be written.
    Count,
    /// Bytes; `KiB`, `MiB` and `GiB` may be written, and `kB`, `MB`, `GB` for powers of ten.
    Bytes,
    /// Seconds; `s`, `m` and `h` may be written.
    Seconds,
    /// Milliseconds; `ms`, `s`, `m` and `h` may be written.
    Milliseconds,
}

impl Unit {
    /// The suffixes and how many of the unit each is.
    fn suffixes(self) -> &'static [(&'static str, u64)] {
        match self {
            Unit::Count => &[],
            Unit::Bytes => &[
                ("KiB", 1 << 10),
                ("MiB", 1 << 20),
                ("GiB", 1 << 30),
                ("kB", 1_000),
                ("MB", 1_000_000),
                ("GB", 1_000_000_000),
                ("B", 1),
            ],
            Unit::Seconds => &[("s", 1), ("m", 60), ("h", 3_600)],
            Unit::Milliseconds => &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)],
        }
    }

    /// How a number of this unit is described in an error.
    fn description(self) -> (&'static str, &'static str) {
        match self {
            Unit::Count => ("a number", ""),
            Unit::Bytes => ("bytes", "; units such as \"16MiB\" are understood"),
            Unit::Seconds => ("seconds", "; units such as \"10s\" are understood"),
            Unit::Milliseconds => ("milliseconds", "; units such as \"10s\" are understood"),
        }
    }

    fn placeholder(self) -> &'static str {
        match self {
            Unit::Count => "N",
            Unit::Bytes => "BYTES",
            Unit::Seconds => "SECONDS",
            Unit::Milliseconds => "MS",
        }
    }

    /// Reads a number with or without a suffix.
    fn parse(self, raw: &Raw) -> Option<u64> {
        let text = match raw {
            Raw::Integer(number) => return u64::try_from(*number).ok(),
            other => other.text()?.trim(),
        };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let suffix = &text[digits.len()..];
        let number: u64 = digits.trim_end().replace('_', "").parse().ok()?;
        if suffix.is_empty() {
            return Some(number);
        }
        let (_, factor) = self.suffixes().iter().find(|(name, _)| *name == suffix)?;
        number.checked_mul(*factor)
    }
}

/// The numbers a key takes.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// What they count.
    pub unit: Unit,
    /// The least.
    pub min: u64,
    /// The greatest.
    pub max: u64,
}

impl Range {
    /// For the keys that take no number.
    pub const NONE: Range = Range { unit: Unit::Count, min: 0, max: 0 };

    fn parse(self, raw: &Raw) -> Option<u64> {
        self.unit.parse(raw).filter(|number| (self.min..=self.max).contains(number))
    }

    fn expected(self) -> String {
        let (name, note) = self.unit.description();
        format!("{name} from {} to {}{note}", self.min, self.max)
    }
}

/// A type that a key can have.
pub trait Setting: Sized + Clone {
    /// Whether the key's flag may be repeated.
    const LIST: bool = false;

    /// The value, or nothing if `raw` does not fit.
    fn parse(key: &Key, raw: &Raw) -> Option<Self>;

    /// What is expected, as it stands in an error after "expected".
    fn expected(key: &Key) -> String;

    /// The word for the value in `--help`.
    fn placeholder(key: &Key) -> &'static str;

    /// The value as TOML, which reads back as the same value.
    fn to_toml(&self, key: &Key) -> String;
}

/// Text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

macro_rules! number_setting {
    ($($type:ty)+) => {$(
        impl Setting for $type {
            fn parse(key: &Key, raw: &Raw) -> Option<Self> {
                Self::try_from(key.range.parse(raw)?).ok()
            }
            fn expected(key: &Key) -> String {
                key.range.expected()
            }
            fn placeholder(key: &Key) -> &'static str {
                key.range.unit.placeholder()
            }
            fn to_toml(&self, _: &Key) -> String {
                self.to_string()
            }
        }
    )+};
}
number_setting!(u16 u32 u64 usize);

impl Setting for Duration {
    fn parse(key: &Key, raw: &Raw) -> Option<Self> {
        key.range.parse(raw).map(Duration::from_millis)
    }
    fn expected(key: &Key) -> String {
        key.range.expected()
    }
    fn placeholder(key: &Key) -> &'static str {
        key.range.unit.placeholder()
    }
    fn to_toml(&self, _: &Key) -> String {
        self.as_millis().to_string()
    }
}

impl Setting for bool {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        match raw {
            Raw::Boolean(value) => Some(*value),
            Raw::Untyped(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
    fn expected(_: &Key) -> String {
        "true or false".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "BOOL"
    }
    fn to_toml(&self, _: &Key) -> String {
        self.to_string()
    }
}

impl Setting for String {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        raw.text().filter(|text| !text.is_empty() && text.len() <= 255).map(str::to_owned)
    }
    fn expected(_: &Key) -> String {
        "text of 1 to 255 bytes".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "TEXT"
    }
    fn to_toml(&self, _: &Key) -> String {
        quoted(self)
    }
}

impl Setting for PathBuf {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        raw.text().filter(|text| !text.is_empty()).map(PathBuf::from)
    }
    fn expected(_: &Key) -> String {
        "a directory".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "DIR"
    }
    fn to_toml(&self, _: &Key) -> String {
        quoted(&self.to_string_lossy())
    }
}

/// A file, or none.
impl Setting for Option<PathBuf> {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        let text = raw.text().filter(|text| !text.is_empty())?;
        Some((text != "none").then(|| PathBuf::from(text)))
    }
    fn expected(_: &Key) -> String {
        "a file, or none".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "FILE"
    }
    fn to_toml(&self, _: &Key) -> String {
        quoted(&self.as_ref().map_or("none".into(), |path| path.to_string_lossy()))
    }
}

impl Setting for IpAddr {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        raw.text()?.trim().parse().ok()
    }
    fn expected(_: &Key) -> String {
        "an address such as \"127.0.0.1\" or \"::\"".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "ADDR"
    }
    fn to_toml(&self, _: &Key) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for AutoPort {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        if let Raw::Integer(number) = raw {
            return u16::try_from(*number).ok().map(Self::Number);
        }
        match raw.text()?.trim() {
            "auto" => Some(Self::Auto),
            "none" => Some(Self::None),
            number => number.parse().ok().map(Self::Number),
        }
    }
    fn expected(_: &Key) -> String {
        "a port from 0 to 65535, \"auto\" or \"none\"".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "PORT"
    }
    fn to_toml(&self, _: &Key) -> String {
        match self {
            Self::Auto => quoted("auto"),
            Self::None => quoted("none"),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// Addresses to listen on; none turns the listener off.
impl Setting for Vec<SocketAddr> {
    const LIST: bool = true;

    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        let one = |raw: &Raw| match raw.text()?.trim() {
            "none" => Some(Vec::new()),
            text => text.split(',').map(|address| address.trim().parse().ok()).collect(),
        };
        match raw {
            Raw::List(values) => {
                let lists: Option<Vec<Vec<SocketAddr>>> = values.iter().map(one).collect();
                lists.map(|lists| lists.concat())
            }
            single => one(single),
        }
    }
    fn expected(_: &Key) -> String {
        "ADDR:PORT such as \"127.0.0.1:5672\" or \"[::]:5672\", a list of these, or \"none\""
            .to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "ADDR:PORT"
    }
    fn to_toml(&self, _: &Key) -> String {
        let addresses: Vec<String> = self.iter().map(|a| quoted(&a.to_string())).collect();
        format!("[{}]", addresses.join(", "))
    }
}

/// Names of users.
#[derive(Clone, Debug, PartialEq)]
pub struct UserNames(pub Vec<String>);

impl Setting for UserNames {
    const LIST: bool = true;

    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        let one = |raw: &Raw| match raw.text()?.trim() {
            "none" => Some(Vec::new()),
            text => {
                let names = text.split(',').map(|name| name.trim().to_owned());
                let names: Vec<String> = names.collect();
                names.iter().all(|name| (1..=255).contains(&name.len())).then_some(names)
            }
        };
        match raw {
            Raw::List(values) => {
                let lists: Option<Vec<Vec<String>>> = values.iter().map(one).collect();
                lists.map(|lists| Self(lists.concat()))
            }
            single => one(single).map(Self),
        }
    }
    fn expected(_: &Key) -> String {
        "a user's name, a list of these, or \"none\"".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "USER"
    }
    fn to_toml(&self, _: &Key) -> String {
        let names: Vec<String> = self.0.iter().map(|name| quoted(name)).collect();
        format!("[{}]", names.join(", "))
    }
}

/// How much memory may be used before publishers are blocked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Watermark {
    /// A share of the machine's or container's memory, from 0 up to 1.
    Share(f64),
    /// Bytes.
    Bytes(u64),
}

impl Watermark {
    /// The watermark in bytes on a machine with this much memory.
    pub fn bytes(self, machine_memory_bytes: u64) -> u64 {
        match self {
            Watermark::Share(share) => (machine_memory_bytes as f64 * share) as u64,
            Watermark::Bytes(bytes) => bytes,
        }
    }

    fn share(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Watermark::Share(share))
    }
}

impl Setting for Watermark {
    fn parse(key: &Key, raw: &Raw) -> Option<Self> {
        let share = match raw {
            Raw::Float(share) => Some(*share),
            Raw::Integer(0) => Some(0.0),
            Raw::Integer(1) => Some(1.0),
            Raw::Untyped(text) => text.trim().parse().ok(),
            _ => None,
        };
        match share.and_then(Self::share) {
            Some(share) => Some(share),
            None => key.range.parse(raw).map(Watermark::Bytes),
        }
    }
    fn expected(key: &Key) -> String {
        format!("a share from 0 to 1.0, or {}", key.range.expected())
    }
    fn placeholder(_: &Key) -> &'static str {
        "SHARE|BYTES"
    }
    fn to_toml(&self, _: &Key) -> String {
        match self {
            Watermark::Share(share) => format!("{share:?}"),
            Watermark::Bytes(bytes) => bytes.to_string(),
        }
    }
}

/// A share of something, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl Setting for Share {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        let share = match raw {
            Raw::Float(share) => *share,
            Raw::Integer(0) => 0.0,
            Raw::Integer(1) => 1.0,
            Raw::Untyped(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }
    fn expected(_: &Key) -> String {
        "a share from 0 to 1.0".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "SHARE"
    }
    fn to_toml(&self, _: &Key) -> String {
        format!("{:?}", self.0)
    }
}

/// Which events are logged: a level, and levels for single targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter that tracing understands; `None` if the text is no filter.
    fn parse_text(text: &str) -> Option<Targets> {
        let mut targets = Targets::new();
        for part in text.split(',') {
            targets = match part.split_once('=') {
                Some((target, level)) => targets.with_target(target.trim(), level_of(level)?),
                None => targets.with_default(level_of(part)?),
            };
        }
        Some(targets)
    }

    /// The filter that tracing understands.
    pub fn targets(&self) -> Targets {
        Self::parse_text(&self.0).unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
    }
}

/// A level by its own name or by RabbitMQ's.
fn level_of(name: &str) -> Option<LevelFilter> {
    match name.trim() {
        "trace" => Some(LevelFilter::TRACE),
        "debug" => Some(LevelFilter::DEBUG),
        "info" => Some(LevelFilter::INFO),
        "warn" | "warning" => Some(LevelFilter::WARN),
        "error" | "critical" => Some(LevelFilter::ERROR),
        "off" | "none" => Some(LevelFilter::OFF),
        _ => None,
    }
}

impl Setting for LogFilter {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        let text = raw.text()?;
        Self::parse_text(text).map(|_| LogFilter(text.to_owned()))
    }
    fn expected(_: &Key) -> String {
        "off, error, warn, info, debug or trace, also for one target as in \
         \"info,leveret_server=debug\""
            .to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "LEVEL"
    }
    fn to_toml(&self, _: &Key) -> String {
        quoted(&self.0)
    }
}

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

impl Setting for LogFormat {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        match raw.text()?.trim() {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }
    fn expected(_: &Key) -> String {
        "\"text\" or \"json\"".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "text|json"
    }
    fn to_toml(&self, _: &Key) -> String {
        quoted(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

impl Setting for Durability {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        match raw.text()?.trim() {
            "sync" => Some(Durability::Sync),
            "os" => Some(Durability::Os),
            _ => None,
        }
    }
    fn expected(_: &Key) -> String {
        "\"sync\" or \"os\"".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "sync|os"
    }
    fn to_toml(&self, _: &Key) -> String {
        quoted(match self {
            Durability::Sync => "sync",
            Durability::Os => "os",
        })
    }
}
