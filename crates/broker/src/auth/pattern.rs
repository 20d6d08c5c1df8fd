//! Patterns of permissions, compiled: a pattern that is found anywhere in a name matches it, and
//! the empty one matches only the empty name (RabbitMQ: Access Control).
//!
//! Invariant: matching takes time linear in the name, and a compiled pattern at most 1 MiB.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::ids::Name;

/// How much memory a compiled pattern may take, in bytes.
const SIZE_MAX: usize = 1 << 20;
/// The longest pattern, in bytes.
const LENGTH_MAX: usize = 4096;
/// What stands for a client's id in a pattern.
const CLIENT_ID: &str = "{client_id}";

/// A pattern that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression '{pattern}': {reason}")]
pub struct InvalidPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

fn compile(pattern: &str) -> Result<Regex, InvalidPattern> {
    let invalid = |reason: String| InvalidPattern { pattern: pattern.to_owned(), reason };
    if pattern.len() > LENGTH_MAX {
        return Err(invalid(format!("longer than {LENGTH_MAX} bytes")));
    }
    let whole = if pattern.is_empty() { "^$" } else { pattern };
    RegexBuilder::new(whole).unicode(false).size_limit(SIZE_MAX).build().map_err(|error| {
        // The parser draws the place over several lines; the last one says what is wrong.
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        invalid(last.trim_start_matches("error: ").to_owned())
    })
}

/// A pattern for the names of resources.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Name", into = "Name")]
pub struct Pattern {
    text: Name,
    /// None if another version took what is no pattern for this one: matches nothing.
    regex: Option<Regex>,
    /// It matches everything: no need to look.
    any: bool,
}

impl Pattern {
    /// Checks and compiles a pattern.
    pub fn new(pattern: &str) -> Result<Self, InvalidPattern> {
        compile(pattern).map(|regex| Self::compiled(pattern.into(), Some(regex)))
    }

    fn compiled(text: Name, regex: Option<Regex>) -> Self {
        Self { any: &*text == ".*", text, regex }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is found in `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.any || self.regex.as_ref().is_some_and(|regex| regex.is_match(name.as_bytes()))
    }
}

impl From<Name> for Pattern {
    fn from(text: Name) -> Self {
        let regex = compile(&text).ok();
        Self::compiled(text, regex)
    }
}

impl From<Pattern> for Name {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// A pattern for routing keys in which `{username}`, `{vhost}` and `{client_id}` stand for their
/// texts, every character of which means itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicPattern(Name);

impl TopicPattern {
    /// Checks a pattern.
    pub fn new(pattern: &str) -> Result<Self, InvalidPattern> {
        let of = Self(pattern.into());
        compile(&of.expand("user", "vhost", Some("client")))
            .map(|_| of)
            .map_err(|error| InvalidPattern { pattern: pattern.to_owned(), ..error })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With the variables in their places; who has no client id has none that could match.
    fn expand(&self, user: &str, vhost: &str, client_id: Option<&str>) -> String {
        let values = [
            ("{username}", regex::escape(user)),
            ("{vhost}", regex::escape(vhost)),
            (CLIENT_ID, regex::escape(client_id.unwrap_or(CLIENT_ID))),
        ];
        let (mut expanded, mut rest) = (String::with_capacity(self.0.len()), &*self.0);
        // In one pass: what a value brings is not looked at again.
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            expanded.push_str(before);
            let known = values.iter().find(|(name, _)| from.starts_with(name));
            let (name, value) = known.map_or(("{", "{"), |(name, value)| (name, value));
            expanded.push_str(value);
            rest = &from[name.len()..];
        }
        expanded.push_str(rest);
        expanded
    }

    /// Whether it is found in `routing_key`, for that user, vhost and client.
    pub fn matches(
        &self,
        routing_key: &str,
        user: &str,
        vhost: &str,
        client_id: Option<&str>,
    ) -> bool {
        if &*self.0 == ".*" {
            return true;
        }
        let expanded = self.expand(user, vhost, client_id);
        compile(&expanded).is_ok_and(|regex| regex.is_match(routing_key.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_looked_for_anywhere_and_the_empty_one_is_nothing() {
        let matches = |pattern, name| Pattern::new(pattern).unwrap().matches(name);
        assert!(matches("rd", "orders") && !matches("^rd", "orders"));
        assert!(matches(".*", "") && matches("", "") && !matches("", "a"));
        assert!(matches("^a\\.b\\+$", "a.b+") && !matches("^a\\.b\\+$", "axb+"));
        assert!(matches("^ü.*$", "übung"), "names are bytes");
    }

    #[test]
    fn an_invalid_pattern_is_refused_with_the_reason() {
        let error = Pattern::new("a(").unwrap_err();
        assert_eq!(error.to_string(), "invalid regular expression 'a(': unclosed group");
        assert!(Pattern::new("(?=a)").is_err(), "no lookaround");
        assert!(Pattern::new("a{1000}{1000}{1000}").is_err(), "too large");
        assert!(Pattern::new(&"a".repeat(5000)).is_err(), "too long");
        assert!(TopicPattern::new("[").is_err() && TopicPattern::new("{client_id}").is_ok());
        assert!(!Pattern::from(Name::from("(")).matches("("), "of another version: nothing");
    }

    #[test]
    fn variables_stand_for_their_text_only() {
        let pattern = TopicPattern::new("^{vhost}\\.{username}\\.{client_id}$").unwrap();
        assert!(pattern.matches("/.shop.c1", "shop", "/", Some("c1")));
        assert!(!pattern.matches("/.shop.c1", "shop", "/", None));
        // CVE-2026-44838: a client id that is itself a pattern.
        for injected in [".*", "c.", "|.*|", ")|(.*", "{username}", "^", "\\E.*"] {
            let pattern = TopicPattern::new("^devices\\.{client_id}$").unwrap();
            assert!(!pattern.matches("devices.c1", "shop", "/", Some(injected)), "{injected}");
            let own = format!("devices.{injected}");
            assert!(pattern.matches(&own, "shop", "/", Some(injected)), "{injected}");
        }
        let pattern = TopicPattern::new("^{username}$").unwrap();
        assert!(
            !pattern.matches("axb", "a.b", "/", None) && pattern.matches("a.b", "a.b", "/", None)
        );
        let counted = TopicPattern::new("^a{2}$").unwrap();
        assert!(counted.matches("aa", "u", "/", None), "other braces keep their meaning");
    }
}
