//! The types of the keys for tokens.

use leveret_server::{SigningAlgorithm, WebAddress};

use super::keys::Key;
use super::listener_setting::texts;
use super::setting::{Raw, Setting, quoted};

/// The longest text, in bytes.
const TEXT_MAX: usize = 1024;

/// A text, or none.
impl Setting for Option<String> {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        let text = raw.text().filter(|text| (1..=TEXT_MAX).contains(&text.len()))?;
        Some((text != "none").then(|| text.to_owned()))
    }
    fn expected(_: &Key) -> String {
        format!("text of 1 to {TEXT_MAX} bytes, or none")
    }
    fn placeholder(_: &Key) -> &'static str {
        "TEXT"
    }
    fn to_toml(&self, _: &Key) -> String {
        quoted(self.as_deref().unwrap_or("none"))
    }
}

/// An address, or none.
impl Setting for Option<WebAddress> {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        match raw.text()?.trim() {
            "none" => Some(None),
            text => text.parse().ok().map(Some),
        }
    }
    fn expected(_: &Key) -> String {
        "an address such as \"https://host/path\", or none".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "URL"
    }
    fn to_toml(&self, _: &Key) -> String {
        quoted(&self.as_ref().map_or("none".into(), WebAddress::to_string))
    }
}

/// What scopes begin with: none is the default.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopePrefix(pub Option<String>);

impl Setting for ScopePrefix {
    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        let text = raw.text().filter(|text| text.len() <= TEXT_MAX)?;
        Some(Self((text != "default").then(|| text.to_owned())))
    }
    fn expected(_: &Key) -> String {
        format!("text of up to {TEXT_MAX} bytes, or default")
    }
    fn placeholder(_: &Key) -> &'static str {
        "TEXT"
    }
    fn to_toml(&self, _: &Key) -> String {
        quoted(self.0.as_deref().unwrap_or("default"))
    }
}

/// Names of claims.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimNames(pub Vec<String>);

impl Setting for ClaimNames {
    const LIST: bool = true;

    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        let names = texts(raw)?;
        let fits = names.iter().all(|name| (1..=TEXT_MAX).contains(&name.len()));
        fits.then(|| Self(names.into_iter().map(str::to_owned).collect()))
    }
    fn expected(_: &Key) -> String {
        "a claim's name, a list of these, or \"none\"".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "CLAIM"
    }
    fn to_toml(&self, _: &Key) -> String {
        let names: Vec<String> = self.0.iter().map(|name| quoted(name)).collect();
        format!("[{}]", names.join(", "))
    }
}

/// At least one algorithm.
impl Setting for Vec<SigningAlgorithm> {
    const LIST: bool = true;

    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        let algorithms: Option<Self> =
            texts(raw)?.into_iter().map(|text| text.parse().ok()).collect();
        algorithms.filter(|algorithms| !algorithms.is_empty())
    }
    fn expected(_: &Key) -> String {
        "an algorithm such as \"RS256\" or \"ES256\", or a list of these".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "ALGORITHM"
    }
    fn to_toml(&self, _: &Key) -> String {
        let names: Vec<String> = self.iter().map(|one| quoted(&format!("{one:?}"))).collect();
        format!("[{}]", names.join(", "))
    }
}
