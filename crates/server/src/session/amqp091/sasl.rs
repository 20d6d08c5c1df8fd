//! SASL: PLAIN (RFC 4616) and AMQPLAIN (RabbitMQ: a table of LOGIN and PASSWORD without its
//! length). EXTERNAL joins the list with TLS.

use leveret_wire::amqp091::table::Table;

/// The mechanisms that are offered, in the order of preference.
pub(super) const MECHANISMS: &[u8] = b"AMQPLAIN PLAIN";

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    AmqPlain,
}

/// A user and a password as the client gave them.
pub(super) struct Credentials<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a [u8],
}

impl Mechanism {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "PLAIN" => Some(Self::Plain),
            "AMQPLAIN" => Some(Self::AmqPlain),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::AmqPlain => "AMQPLAIN",
        }
    }

    /// Reads the client's response; none if it is malformed.
    pub(super) fn read(self, response: &[u8]) -> Option<Credentials<'_>> {
        match self {
            Self::Plain => {
                // As RabbitMQ: no authorisation identity, no further parts.
                let mut parts = response.strip_prefix(b"\0")?.split(|byte| *byte == 0);
                let user = std::str::from_utf8(parts.next()?).ok()?;
                let password = parts.next()?;
                parts.next().is_none().then_some(Credentials { user, password })
            }
            Self::AmqPlain => {
                let table = Table::parse(response).ok()?;
                let field = |name| table.get(name).and_then(|value| value.as_str_bytes());
                let user = std::str::from_utf8(field("LOGIN")?).ok()?;
                Some(Credentials { user, password: field("PASSWORD")? })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_reads_user_and_password() {
        let read = Mechanism::Plain.read(b"\0guest\0secret").unwrap();
        assert_eq!((read.user, read.password), ("guest", &b"secret"[..]));
        assert!(Mechanism::Plain.read(b"\0guest\0se\0cret").is_none());
        assert!(Mechanism::Plain.read(b"other\0guest\0secret").is_none());
        assert!(Mechanism::Plain.read(b"\0guest").is_none());
        assert!(Mechanism::Plain.read(b"").is_none());
    }

    #[test]
    fn amqplain_reads_a_table_without_length() {
        let response = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x02pw";
        let read = Mechanism::AmqPlain.read(response).unwrap();
        assert_eq!((read.user, read.password), ("guest", &b"pw"[..]));
        assert!(Mechanism::AmqPlain.read(b"\x05LOGIN").is_none());
    }
}
