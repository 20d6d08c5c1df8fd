//! The types of the keys for TLS and the PROXY protocol.

use leveret_server::{AddressRange, NameKind, TlsVersion};

use super::keys::Key;
use super::setting::{Raw, Setting, quoted};

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerVerify {
    /// They are, and it is verified.
    Peer,
    /// They are not.
    None,
}

/// What of a certificate names its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFrom {
    /// The subject as a whole.
    Subject,
    /// Its common name.
    Common,
    /// A subject alternative name.
    Alternative,
}

/// Makes a setting of words, each for one value.
macro_rules! word_setting {
    ($type:ty, $placeholder:literal, $($word:literal => $value:expr),+) => {
        impl Setting for $type {
            fn parse(_: &Key, raw: &Raw) -> Option<Self> {
                match raw.text()?.trim() {
                    $($word => Some($value),)+
                    _ => None,
                }
            }
            fn expected(_: &Key) -> String {
                let words: &[&str] = &[$($word),+];
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
            }
            fn placeholder(_: &Key) -> &'static str {
                $placeholder
            }
            fn to_toml(&self, _: &Key) -> String {
                let all = [$(($word, $value)),+];
                quoted(all.iter().find(|(_, value)| value == self).map_or("", |(word, _)| word))
            }
        }
    };
}

word_setting!(PeerVerify, "verify_peer|verify_none",
    "verify_peer" => PeerVerify::Peer, "verify_none" => PeerVerify::None);
word_setting!(LoginFrom, "PART",
    "distinguished_name" => LoginFrom::Subject,
    "common_name" => LoginFrom::Common,
    "subject_alternative_name" => LoginFrom::Alternative);
word_setting!(NameKind, "KIND",
    "dns" => NameKind::Dns, "ip" => NameKind::Ip, "email" => NameKind::Email,
    "uri" => NameKind::Uri, "other_name" => NameKind::Other);

/// The texts of a list: an array, or one text with commas. `none` is the empty one.
pub(super) fn texts(raw: &Raw) -> Option<Vec<&str>> {
    let values = match raw {
        Raw::List(values) => &values[..],
        single => std::slice::from_ref(single),
    };
    let mut texts = Vec::new();
    for value in values {
        texts.extend(value.text()?.split(',').map(str::trim));
    }
    if texts == ["none"] {
        texts.clear();
    }
    Some(texts)
}

/// Addresses and networks, or none.
impl Setting for Vec<AddressRange> {
    const LIST: bool = true;

    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        texts(raw)?.into_iter().map(|text| text.parse().ok()).collect()
    }
    fn expected(_: &Key) -> String {
        "addresses or networks such as \"192.0.2.0/24\", a list of these, or \"none\"".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "ADDR[/BITS]"
    }
    fn to_toml(&self, _: &Key) -> String {
        let ranges: Vec<String> = self.iter().map(|range| quoted(&range.to_string())).collect();
        format!("[{}]", ranges.join(", "))
    }
}

/// At least one version.
impl Setting for Vec<TlsVersion> {
    const LIST: bool = true;

    fn parse(_: &Key, raw: &Raw) -> Option<Self> {
        let version = |text: &str| match text {
            "tlsv1.2" => Some(TlsVersion::V12),
            "tlsv1.3" => Some(TlsVersion::V13),
            _ => None,
        };
        let versions: Option<Self> = texts(raw)?.into_iter().map(version).collect();
        versions.filter(|versions| !versions.is_empty())
    }
    fn expected(_: &Key) -> String {
        "\"tlsv1.2\", \"tlsv1.3\", or a list of these".to_owned()
    }
    fn placeholder(_: &Key) -> &'static str {
        "VERSION"
    }
    fn to_toml(&self, _: &Key) -> String {
        let name = |version: &TlsVersion| match version {
            TlsVersion::V12 => quoted("tlsv1.2"),
            TlsVersion::V13 => quoted("tlsv1.3"),
        };
        format!("[{}]", self.iter().map(name).collect::<Vec<_>>().join(", "))
    }
}
