//! The names in an X.509 certificate, in the form in which RabbitMQ takes them for users, and until
//! when it is valid.
//!
//! This is no check of a certificate: TLS has verified it before anybody asks for its names.
//! Invariant: any bytes give names or [`Malformed`].

mod der;

use core::net::{Ipv4Addr, Ipv6Addr};

use der::{BOOLEAN, OBJECT, OCTETS, Reader, SEQUENCE, SET};

/// The bytes are no certificate whose names can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed certificate")]
pub struct Malformed;

/// A kind of subject alternative name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A domain name.
    Dns,
    /// An IP address; given as text.
    Ip,
    /// An e-mail address.
    Email,
    /// A URI.
    Uri,
    /// A name of any other type; its value if that is a string.
    Other,
}

impl NameKind {
    /// The tag in GeneralName.
    const fn tag(self) -> u8 {
        match self {
            Self::Other => 0xA0,
            Self::Email => 0x81,
            Self::Dns => 0x82,
            Self::Uri => 0x86,
            Self::Ip => 0x87,
        }
    }
}

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1D, 0x11];

/// The short names that RabbitMQ has for attribute types.
const SHORT_NAMES: &[(&[u8], &str)] = &[
    (COMMON_NAME, "CN"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "SERIALNUMBER"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 12], "TITLE"),
    (&[0x55, 4, 42], "GIVENNAME"),
    (&[0x55, 4, 43], "INITIALS"),
    (&[0x55, 4, 44], "GENERATIONQUALIFIER"),
    (&[0x55, 4, 65], "PSEUDONYM"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 25], "DC"),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1], "EMAILADDRESS"),
];

/// Where a certificate's names lie.
#[derive(Debug, Clone, Copy)]
pub struct Certificate<'a> {
    validity: &'a [u8],
    subject: &'a [u8],
    alternatives: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Finds the names in a certificate in DER.
    pub fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut certificate = Reader(Reader(der).expect(SEQUENCE)?);
        let mut body = Reader(certificate.expect(SEQUENCE)?);
        body.optional(0xA0)?;
        // Serial number, algorithm, issuer.
        for tag in [0x02, SEQUENCE, SEQUENCE] {
            body.expect(tag)?;
        }
        let validity = body.expect(SEQUENCE)?;
        let subject = body.expect(SEQUENCE)?;
        body.expect(SEQUENCE)?;
        let mut alternatives = &[][..];
        while !body.is_empty() {
            if let (0xA3, extensions) = body.any()? {
                alternatives = find_alternatives(extensions)?;
            }
        }
        Ok(Self { validity, subject, alternatives })
    }

    /// The last moment of its validity, in seconds since 1970.
    pub fn not_after(&self) -> Result<u64, Malformed> {
        let mut times = Reader(self.validity);
        times.any()?;
        let (tag, content) = times.any()?;
        der::time(tag, content)
    }

    /// The subject as RFC 4514 writes it and RabbitMQ prints it: the last part first, all that is
    /// not printable ASCII escaped.
    pub fn distinguished_name(&self) -> Result<String, Malformed> {
        let mut parts = Vec::new();
        let mut names = Reader(self.subject);
        while !names.is_empty() {
            let mut together = Vec::new();
            for_each_attribute(names.expect(SET)?, |object, tag, content| {
                let value = match der::text(tag, content)? {
                    Some(text) => escape(&text),
                    None => content.iter().fold("#".to_owned(), |hex, b| format!("{hex}{b:02x}")),
                };
                let short = SHORT_NAMES.iter().find(|(known, _)| *known == object);
                let name = match short {
                    Some((_, name)) => (*name).to_owned(),
                    None => der::dotted(object)?,
                };
                together.push(format!("{name}={value}"));
                Ok(())
            })?;
            parts.push(together.join("+"));
        }
        parts.reverse();
        Ok(parts.join(","))
    }

    /// The common name; several are joined by commas, as RabbitMQ does. None if there is none.
    pub fn common_name(&self) -> Result<Option<String>, Malformed> {
        let mut found = Vec::new();
        let mut names = Reader(self.subject);
        while !names.is_empty() {
            for_each_attribute(names.expect(SET)?, |object, tag, content| {
                if object == COMMON_NAME {
                    found.push(der::text(tag, content)?.ok_or(Malformed)?);
                }
                Ok(())
            })?;
        }
        Ok((!found.is_empty()).then(|| found.join(",")))
    }

    /// The subject alternative names of one kind, in order.
    pub fn alternative_names(&self, kind: NameKind) -> Result<Vec<String>, Malformed> {
        let mut found = Vec::new();
        let mut names = Reader(self.alternatives);
        while !names.is_empty() {
            let (tag, content) = names.any()?;
            if tag == kind.tag() {
                found.push(alternative(kind, content)?);
            }
        }
        Ok(found)
    }
}

/// The content of the extension with alternative names, or nothing.
fn find_alternatives(extensions: &[u8]) -> Result<&[u8], Malformed> {
    let mut list = Reader(Reader(extensions).expect(SEQUENCE)?);
    while !list.is_empty() {
        let mut extension = Reader(list.expect(SEQUENCE)?);
        let object = extension.expect(OBJECT)?;
        extension.optional(BOOLEAN)?;
        let value = extension.expect(OCTETS)?;
        if object == ALTERNATIVE_NAMES {
            return Reader(value).expect(SEQUENCE);
        }
    }
    Ok(&[])
}

/// Calls `take` with type, and the tag and content of the value, of each attribute of a set.
fn for_each_attribute<'a>(
    set: &'a [u8],
    mut take: impl FnMut(&'a [u8], u8, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut attributes = Reader(set);
    while !attributes.is_empty() {
        let mut attribute = Reader(attributes.expect(SEQUENCE)?);
        let object = attribute.expect(OBJECT)?;
        let (tag, content) = attribute.any()?;
        take(object, tag, content)?;
    }
    Ok(())
}

fn alternative(kind: NameKind, content: &[u8]) -> Result<String, Malformed> {
    match kind {
        NameKind::Dns | NameKind::Email | NameKind::Uri => {
            String::from_utf8(content.to_vec()).map_err(|_| Malformed)
        }
        NameKind::Ip => {
            let v4 = <[u8; 4]>::try_from(content).map(|four| Ipv4Addr::from(four).to_string());
            let v6 = <[u8; 16]>::try_from(content).map(|all| Ipv6Addr::from(all).to_string());
            v4.or(v6).map_err(|_| Malformed)
        }
        NameKind::Other => {
            let mut other = Reader(content);
            other.expect(OBJECT)?;
            let (tag, value) = Reader(other.expect(0xA0)?).any()?;
            der::text(tag, value)?.ok_or(Malformed)
        }
    }
}

/// A value as it stands in a distinguished name.
fn escape(value: &str) -> String {
    let last = value.len().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (index, byte) in value.bytes().enumerate() {
        match byte {
            b' ' | b'#' if index == 0 => escaped.push('\\'),
            b' ' if index == last => escaped.push('\\'),
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => escaped.push('\\'),
            0..32 | 126.. => {
                escaped.push_str(&format!("\\{byte:02X}"));
                continue;
            }
            _ => {}
        }
        escaped.push(char::from(byte));
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let len = content.len();
        match u8::try_from(len) {
            Ok(short) if short < 0x80 => [&[tag, short][..], content].concat(),
            _ => [&[tag, 0x82, (len >> 8) as u8, len as u8][..], content].concat(),
        }
    }

    fn part(object: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        element(SEQUENCE, &[element(OBJECT, object), element(tag, value)].concat())
    }

    fn certificate(sets: &[Vec<u8>], alternatives: &[Vec<u8>]) -> Vec<u8> {
        let subject: Vec<u8> = sets.iter().flat_map(|set| element(SET, set)).collect();
        let names = element(OCTETS, &element(SEQUENCE, &alternatives.concat()));
        let critical = element(BOOLEAN, &[0xFF]);
        let extension = [element(OBJECT, ALTERNATIVE_NAMES), critical, names].concat();
        let extensions = element(SEQUENCE, &element(SEQUENCE, &extension));
        let empty = || element(SEQUENCE, b"");
        let body = [
            element(0xA0, &element(2, &[2])),
            element(2, &[7]),
            empty(),
            empty(),
            empty(),
            element(SEQUENCE, &subject),
            empty(),
            element(0xA3, &extensions),
        ];
        element(SEQUENCE, &element(SEQUENCE, &body.concat()))
    }

    const UID: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 1];

    #[test]
    fn a_distinguished_name_reads_as_rabbitmq_prints_it() {
        let der = certificate(
            &[
                part(&[0x55, 4, 6], 0x13, b"DE"),
                part(&[0x55, 4, 10], 0x0C, "B\u{fc}ro, \"x\" ".as_bytes()),
                [part(COMMON_NAME, 0x0C, b"# a+b"), part(UID, 0x0C, b"7")].concat(),
                part(&[0x2A, 3, 0x84, 1], 0x16, b"<y>~"),
                part(&[0x55, 4, 17], 0x02, &[5]),
            ],
            &[],
        );
        let found = Certificate::parse(&der).unwrap();
        assert_eq!(
            found.distinguished_name().unwrap(),
            r#"2.5.4.17=#05,1.2.3.513=\<y\>\7E,CN=\# a\+b+UID=7,O=B\C3\BCro\, \"x\"\ ,C=DE"#
        );
        assert_eq!(found.common_name().unwrap().unwrap(), "# a+b");
    }

    #[test]
    fn the_string_types_are_read() {
        let names = [(0x14, &b"\xFC"[..]), (0x1E, b"\x03\xBB"), (0x1C, b"\0\x01\xF4\x07")];
        for ((tag, bytes), expected) in names.into_iter().zip(["\u{fc}", "\u{3bb}", "\u{1f407}"]) {
            let der = certificate(&[part(COMMON_NAME, tag, bytes)], &[]);
            let name = Certificate::parse(&der).unwrap().common_name().unwrap();
            assert_eq!(name.as_deref(), Some(expected));
        }
        let der = certificate(&[part(COMMON_NAME, 0x1E, b"\xD8\0")], &[]);
        assert_eq!(Certificate::parse(&der).unwrap().common_name(), Err(Malformed));
    }

    #[test]
    fn alternative_names_are_told_apart() {
        let other = [element(OBJECT, &[0x2A, 3]), element(0xA0, &element(0x0C, b"me"))].concat();
        let names = [
            element(0x82, b"a.example"),
            element(0x81, b"x@example"),
            element(0x82, b"b.example"),
            element(0x86, b"urn:x"),
            element(0x87, &[127, 0, 0, 1]),
            element(0xA0, &other),
        ];
        let der = certificate(&[], &names);
        let found = Certificate::parse(&der).unwrap();
        let of = |kind| found.alternative_names(kind).unwrap();
        assert_eq!(of(NameKind::Dns), ["a.example", "b.example"]);
        assert_eq!(of(NameKind::Email), ["x@example"]);
        assert_eq!(of(NameKind::Uri), ["urn:x"]);
        assert_eq!(of(NameKind::Ip), ["127.0.0.1"]);
        assert_eq!(of(NameKind::Other), ["me"]);
        assert_eq!(found.distinguished_name().unwrap(), "");
        assert_eq!(found.common_name(), Ok(None));
    }

    #[test]
    fn the_end_of_the_validity_is_read_in_both_forms() {
        let end = |tag: u8, text: &[u8]| {
            let validity = [element(0x17, b"200101000000Z"), element(tag, text)].concat();
            let parts = Certificate { validity: &validity, subject: &[], alternatives: &[] };
            parts.not_after()
        };
        assert_eq!(end(0x17, b"700101000001Z"), Ok(1));
        assert_eq!(end(0x17, b"491231235959Z"), Ok(2_524_607_999));
        assert_eq!(end(0x18, b"20500101000000Z"), Ok(2_524_608_000));
        assert_eq!(end(0x18, b"20240229120000Z"), Ok(1_709_208_000));
        assert_eq!(end(0x18, b"20240301000000Z"), Ok(1_709_251_200));
        assert_eq!(end(0x18, b"99991231235959Z"), Ok(253_402_300_799));
        for bad in [&b"2024030100000Z"[..], b"20241301000000Z", b"20240300000000Z", b"", b"xZ"] {
            assert_eq!(end(0x18, bad), Err(Malformed), "{bad:?}");
        }
        assert_eq!(end(0x0C, b"20240301000000Z"), Err(Malformed));
    }

    #[test]
    fn a_certificate_that_is_cut_is_malformed() {
        let der = certificate(&[part(COMMON_NAME, 0x0C, b"x")], &[element(0x82, b"y")]);
        for len in 0..der.len() {
            assert!(Certificate::parse(&der[..len]).is_err(), "{len}");
        }
    }
}
