//! SASL: PLAIN (RFC 4616), AMQPLAIN (RabbitMQ: a table of LOGIN and PASSWORD without its length),
//! EXTERNAL for clients with a certificate, and ANONYMOUS where the options name a user for it.

use leveret_wire::amqp091::table::Table;

use crate::options::Options;
use crate::session::Peer;

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    AmqPlain,
    External,
    Anonymous,
}

/// A user and a password as the client gave them.
pub(super) struct Credentials<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a [u8],
}

impl Mechanism {
    /// All, in the order of preference.
    const ALL: [Self; 4] = [Self::AmqPlain, Self::Plain, Self::External, Self::Anonymous];

    /// Whether `peer` may use it.
    fn is_offered(self, peer: &Peer, options: &Options) -> bool {
        match self {
            Self::Plain | Self::AmqPlain => true,
            Self::External => peer.has_certificate(),
            Self::Anonymous => options.anonymous_login.is_some(),
        }
    }

    /// The mechanisms that `peer` is offered, as `connection.start` lists them.
    pub(super) fn offered(peer: &Peer, options: &Options) -> String {
        let offered = Self::ALL.into_iter().filter(|one| one.is_offered(peer, options));
        offered.map(Self::name).collect::<Vec<_>>().join(" ")
    }

    /// The mechanism of that name, if `peer` is offered it.
    pub(super) fn from_name(name: &str, peer: &Peer, options: &Options) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|mechanism| mechanism.name() == name);
        known.filter(|mechanism| mechanism.is_offered(peer, options))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::AmqPlain => "AMQPLAIN",
            Self::External => "EXTERNAL",
            Self::Anonymous => "ANONYMOUS",
        }
    }

    /// Reads the user and the password in the client's response; none if it is malformed.
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
            // What the client says of itself counts for nothing.
            Self::External | Self::Anonymous => None,
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
