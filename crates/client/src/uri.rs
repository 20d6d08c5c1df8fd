//! AMQP URIs: `amqp://user:password@host:port/vhost`, percent-encoded, as RabbitMQ defines them;
//! `amqps://` over TLS.

use std::str::FromStr;

const PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;

/// Why a text is not an AMQP URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Neither `amqp://` nor `amqps://`.
    #[error("`{0}` does not start with amqp:// or amqps://")]
    Scheme(String),
    /// The port is no number below 65536.
    #[error("`{0}` is no port")]
    Port(String),
    /// A percent sign without two hex digits, or bytes that are not UTF-8.
    #[error("`{0}` is badly percent-encoded")]
    Encoding(String),
}

/// Where to connect to and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    /// Host name or address; of an IPv6 address without brackets.
    pub host: String,
    /// TCP port; 5672 if not given, 5671 over TLS.
    pub port: u16,
    /// Over TLS.
    pub tls: bool,
    /// User name; `guest` if not given.
    pub user: String,
    /// Password; `guest` if not given.
    pub password: String,
    /// Virtual host; `/` if there is no path or only a slash.
    pub vhost: String,
}

impl Default for Uri {
    fn default() -> Uri {
        Uri {
            host: "127.0.0.1".to_owned(),
            port: PORT,
            tls: false,
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            vhost: "/".to_owned(),
        }
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Uri, UriError> {
        let (rest, port, tls) = match (text.strip_prefix("amqp://"), text.strip_prefix("amqps://"))
        {
            (Some(rest), _) => (rest, PORT, false),
            (None, Some(rest)) => (rest, TLS_PORT, true),
            (None, None) => return Err(UriError::Scheme(text.to_owned())),
        };
        let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
        let mut uri = Uri { port, tls, ..Uri::default() };
        let authority = match rest.split_once('/') {
            Some((authority, "")) => authority,
            Some((authority, vhost)) => {
                uri.vhost = decode(vhost)?;
                authority
            }
            None => rest,
        };
        let address = match authority.rsplit_once('@') {
            Some((credentials, address)) => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                uri.user = decode(user)?;
                uri.password = decode(password)?;
                address
            }
            None => authority,
        };
        uri.set_address(address)?;
        Ok(uri)
    }
}

impl Uri {
    fn set_address(&mut self, address: &str) -> Result<(), UriError> {
        let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or_default()),
            None => address.split_once(':').unwrap_or((address, "")),
        };
        if !host.is_empty() {
            self.host = decode(host)?;
        }
        if !port.is_empty() {
            self.port = port.parse().map_err(|_| UriError::Port(port.to_owned()))?;
        }
        Ok(())
    }
}

fn decode(text: &str) -> Result<String, UriError> {
    let fault = || UriError::Encoding(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let (high, low) = digit().zip(digit()).ok_or_else(fault)?;
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_may_be_left_out() {
        assert_eq!("amqp://".parse::<Uri>().unwrap(), Uri::default());
        assert_eq!("amqp:///".parse::<Uri>().unwrap(), Uri::default());
        assert_eq!("amqp://h/?heartbeat=5".parse::<Uri>().unwrap().vhost, "/");
        let uri: Uri = "amqp://b.example:1234".parse().unwrap();
        assert_eq!((uri.host.as_str(), uri.port, uri.vhost.as_str()), ("b.example", 1234, "/"));
    }

    #[test]
    fn tls_has_a_port_of_its_own() {
        let uri: Uri = "amqps://h".parse().unwrap();
        assert_eq!((uri.tls, uri.port), (true, 5671));
        let uri: Uri = "amqps://h:5/v".parse().unwrap();
        assert_eq!((uri.tls, uri.port, uri.vhost.as_str()), (true, 5, "v"));
        assert!(!"amqp://amqps://".parse::<Uri>().is_ok_and(|uri| uri.tls));
    }

    #[test]
    fn everything_may_be_encoded() {
        let uri: Uri = "amqp://us%40er:p%3ass@[::1]:5673/%2fone%2Ftwo?heartbeat=5".parse().unwrap();
        let expected = ("us@er", "p:ss", "::1", 5673, "/one/two");
        let got = (&*uri.user, &*uri.password, &*uri.host, uri.port, &*uri.vhost);
        assert_eq!(got, expected);
        assert_eq!("amqp://h/%2F".parse::<Uri>().unwrap().vhost, "/");
    }

    #[test]
    fn faults_are_named() {
        assert!(matches!("http://h".parse::<Uri>(), Err(UriError::Scheme(_))));
        assert!(matches!("amqp://h:x".parse::<Uri>(), Err(UriError::Port(_))));
        assert!(matches!("amqp://h/%4".parse::<Uri>(), Err(UriError::Encoding(_))));
        assert!(matches!("amqp://h/%ff".parse::<Uri>(), Err(UriError::Encoding(_))));
    }
}
