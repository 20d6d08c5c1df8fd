//! Arguments of things as they are written on a command line: `KEY=VALUE`, or JSON.

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Map, Value};

/// A key with its value: JSON where it is JSON, else text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyValue(pub(super) String, pub(super) Value);

impl std::str::FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
        let parsed = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok(Self(key.to_owned(), parsed))
    }
}

/// A key with its value as text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyText(pub(super) String, pub(super) String);

impl std::str::FromStr for KeyText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
        Ok(Self(key.to_owned(), value.to_owned()))
    }
}

/// The arguments with which something is declared.
#[derive(Args, Clone, Debug)]
pub(super) struct Arguments {
    /// An argument such as x-max-length=1000; a value is JSON if it can be, else text; repeatable
    #[arg(short = 'a', long = "argument", value_name = "KEY=VALUE")]
    arguments: Vec<KeyValue>,

    /// All arguments as a JSON object
    #[arg(long = "arguments", value_name = "JSON", value_parser = object)]
    object: Option<Value>,
}

impl Arguments {
    /// All of them as one object.
    pub(super) fn to_json(&self) -> Value {
        let mut fields = match &self.object {
            Some(Value::Object(fields)) => fields.clone(),
            _ => Map::new(),
        };
        fields.extend(pairs(&self.arguments));
        Value::Object(fields)
    }
}

/// Keys and values as fields of an object.
pub(super) fn pairs(pairs: &[KeyValue]) -> Map<String, Value> {
    pairs.iter().map(|KeyValue(key, value)| (key.clone(), value.clone())).collect()
}

/// A JSON object.
pub(super) fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("expected a JSON object such as {\"key\": 1}".to_owned()),
        Err(error) => Err(format!("expected a JSON object such as {{\"key\": 1}}: {error}")),
    }
}

/// Any JSON.
pub(super) fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("expected JSON: {error}"))
}

/// The bytes of a file; `-` is standard input.
pub(super) fn read(path: &str) -> anyhow::Result<Vec<u8>> {
    if path != "-" {
        return std::fs::read(path).with_context(|| format!("reading {path}"));
    }
    let mut bytes = Vec::new();
    let read = std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes);
    read.context("reading standard input")?;
    Ok(bytes)
}

/// The JSON of a file; `-` is standard input.
pub(super) fn read_json(path: &str) -> anyhow::Result<Value> {
    let bytes = read(path)?;
    serde_json::from_slice(&bytes).map_err(|error| anyhow!("{path} is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_json_if_it_can_be() {
        let parse = |text: &str| text.parse::<KeyValue>().map(|KeyValue(key, value)| (key, value));
        assert_eq!(parse("a=1"), Ok(("a".into(), json!(1))));
        assert_eq!(parse("a=b=c"), Ok(("a".into(), json!("b=c"))));
        assert_eq!(parse("a=\"1\""), Ok(("a".into(), json!("1"))));
        assert_eq!(parse("a=[1,true]"), Ok(("a".into(), json!([1, true]))));
        assert!(parse("a").is_err());
    }
}
