//! A request as a resource sees it: names that are decoded, a query, a body.
//!
//! Invariant: nothing of it was trusted to be well-formed; what is not is a 400 with a reason.

use std::net::IpAddr;

use leveret_broker::broker::{Principal, table_from_json};
use leveret_broker::ids::Timestamp;
use leveret_broker::message::FieldTable;
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::app::App;
use crate::auth::Caller;
use crate::declare::Need;
use crate::router::Route;

/// Decodes `%XX`, and `+` where it stands for a space; none if that gives no UTF-8.
pub(crate) fn decode(text: &str, plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
                rest = behind;
            }
            (b'%', _) => return None,
            (b'+', _) if plus => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Encodes a name for a path.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The pairs behind the question mark.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// None if it cannot be decoded.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(key, true)?, decode(value, true)?))
        };
        pairs.map(pair).collect::<Option<_>>().map(Self)
    }

    /// The first value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// All values of a key.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.get(key) == Some("true")
    }

    /// A number, if the key is there.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, Answer> {
        let number = |text: &str| {
            text.parse().map_err(|_| Answer::bad(format!("{key} must be a whole number")))
        };
        self.get(key).filter(|text| !text.is_empty()).map(number).transpose()
    }
}

/// A request for a resource.
pub(crate) struct Call<'a> {
    pub(crate) app: &'a App,
    pub(crate) route: &'static Route,
    /// What stood in the places of the path's names.
    pub(crate) names: Vec<String>,
    pub(crate) query: Query,
    pub(crate) body: &'a [u8],
    pub(crate) content_type: &'a str,
    pub(crate) caller: Caller,
    /// The cookie of a session, if there is one.
    pub(crate) token: Option<String>,
}

impl Call<'_> {
    /// The name at that place of the path.
    pub(crate) fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }

    /// The name of an exchange at that place: the default one has another name in paths.
    pub(crate) fn exchange(&self, at: usize) -> &str {
        match self.name(at) {
            "amq.default" => "",
            name => name,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.app.node.now()
    }

    pub(crate) fn from(&self) -> IpAddr {
        self.caller.from
    }

    /// The caller as the broker knows who asks.
    pub(crate) fn principal(&self, vhost: &str) -> Principal {
        let who = Principal::new(self.app.connection).in_vhost(&self.caller.user.name, vhost);
        Principal { scopes: self.caller.scopes.clone(), ..who }
    }

    /// The body as a JSON object, with the keys that the route says it must have.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Answer> {
        object(self.body, self.route)
    }

    /// Notes in the audit trail what the caller did.
    pub(crate) fn audit(&self, what: &'static str, which: &str) {
        self.app.node.audit(&self.caller.user.name, self.from(), what, which);
    }
}

/// A body as a JSON object, none as an empty one, with the keys that a route says it must have.
pub(crate) fn object(body: &[u8], route: &Route) -> Result<Map<String, Value>, Answer> {
    let fields = match body {
        [] => Map::new(),
        body => match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err(Answer::bad("not_json: the body must be an object")),
            Err(error) => return Err(Answer::bad(format!("not_json: {error}"))),
        },
    };
    let required = route.fields().iter().filter(|field| field.need == Need::Required);
    let missing: Vec<String> = required
        .filter(|field| !fields.contains_key(field.name))
        .map(|field| format!("{{key_missing,{}}}", field.name))
        .collect();
    match missing.is_empty() {
        true => Ok(fields),
        false => Err(Answer::bad(format!("[{}]", missing.join(",")))),
    }
}

/// A text among the fields of a body; empty without it.
pub(crate) fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<&'a str, Answer> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Answer::bad(format!("{key} must be a string"))),
    }
}

/// A truth among the fields of a body, or what it is without.
pub(crate) fn truth(fields: &Map<String, Value>, key: &str, without: bool) -> Result<bool, Answer> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(without),
        Some(Value::Bool(on)) => Ok(*on),
        // As some clients say it.
        Some(Value::String(text)) if text == "true" || text == "false" => Ok(text == "true"),
        Some(_) => Err(Answer::bad(format!("{key} must be true or false"))),
    }
}

/// A whole number among the fields of a body.
pub(crate) fn number(fields: &Map<String, Value>, key: &str) -> Result<Option<i64>, Answer> {
    let bad = || Answer::bad(format!("{key} must be a whole number"));
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number.as_i64().map(Some).ok_or_else(bad),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| bad()),
        Some(_) => Err(bad()),
    }
}

/// A table among the fields of a body.
pub(crate) fn table(fields: &Map<String, Value>, key: &str) -> Result<FieldTable, Answer> {
    let value = fields.get(key).unwrap_or(&Value::Null);
    table_from_json(value).map_err(|error| Answer::bad(format!("{key}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_again() {
        for name in ["/", "a b", "\u{5d0}\u{1f407}", "%2F", "\"<>'&?#+", "", "\u{0}"] {
            assert_eq!(decode(&encode(name), false).as_deref(), Some(name));
        }
        assert_eq!(decode("%C3%28", false), None, "no UTF-8");
        assert_eq!(decode("%2", false), None);
        assert_eq!(decode("a+b", true).as_deref(), Some("a b"));
        let query = Query::parse("a=1&b=%26&a=2&flag").unwrap();
        assert_eq!((query.get("b"), query.get("flag")), (Some("&"), Some("")));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
    }
}
