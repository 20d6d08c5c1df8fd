//! The PROXY protocol, versions 1 and 2: what a proxy says before a connection's own bytes.
//!
//! Invariants: nothing is read beyond the header's end, and no header is longer than
//! [`LENGTH_MAX`].

// The addresses as values: `core` has no sockets.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest header that is taken, with all that version 2 may append to the addresses.
pub const LENGTH_MAX: usize = 4096;
/// The longest header of version 1, with its line end.
const LINE_MAX: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const WORD: &[u8; 6] = b"PROXY ";

/// Whom the proxy speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The client at this address and port.
    Client(IpAddr, u16),
    /// The proxy itself, as for a check of the server's health.
    Proxy,
    /// A client whose address it does not know, or of a family other than TCP over IP.
    Unknown,
}

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it takes.
    pub length: usize,
    /// Whom the proxy speaks for.
    pub source: Source,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Neither version begins like this.
    #[error("no PROXY protocol header")]
    Absent,
    /// Longer than a header may be.
    #[error("PROXY protocol header too long")]
    TooLong,
    /// It begins as a header and goes on as none.
    #[error("malformed PROXY protocol header")]
    Malformed,
}

/// Reads the header that `bytes` begin with; none if all of them belong to a header whose end is
/// not there yet.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    if begins(bytes, SIGNATURE) {
        return parse_binary(bytes);
    }
    if begins(bytes, WORD) { parse_line(bytes) } else { Err(HeaderError::Absent) }
}

/// Whether `bytes` are a header's beginning, or may become one.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let len = bytes.len().min(start.len());
    bytes[..len] == start[..len]
}

fn parse_line(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some(end) = bytes.iter().take(LINE_MAX).position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE_MAX { Ok(None) } else { Err(HeaderError::TooLong) };
    };
    let line = bytes[..end].strip_suffix(b"\r").ok_or(HeaderError::Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| HeaderError::Malformed)?;
    let source = line_source(line).ok_or(HeaderError::Malformed)?;
    Ok(Some(Header { length: end + 1, source }))
}

fn line_source(line: &str) -> Option<Source> {
    let rest = line.strip_prefix("PROXY ")?;
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(Source::Unknown);
    }
    let mut parts = rest.split(' ');
    let family = parts.next()?;
    let mut address = || {
        let text = parts.next()?;
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            _ => None,
        }
    };
    let (from, _) = (address()?, address()?);
    let (port, _) = (line_port(parts.next()?)?, line_port(parts.next()?)?);
    parts.next().is_none().then_some(Source::Client(from, port))
}

/// A number without sign and leading zeros.
fn line_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| plain)?;
    (text == "0" || !text.starts_with('0')).then_some(port)
}

fn parse_binary(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<16>() else { return Ok(None) };
    let [.., version_command, family, high, low] = *fixed;
    let rest_len = usize::from(u16::from_be_bytes([high, low]));
    let length = fixed.len() + rest_len;
    if length > LENGTH_MAX {
        return Err(HeaderError::TooLong);
    }
    if !matches!(version_command, 0x20 | 0x21) || family >> 4 > 3 || family & 15 > 2 {
        return Err(HeaderError::Malformed);
    }
    let Some(rest) = rest.get(..rest_len) else { return Ok(None) };
    let source = match (version_command, family) {
        (0x20, _) => Source::Proxy,
        (_, 0x11) => binary_client::<4>(rest).ok_or(HeaderError::Malformed)?,
        (_, 0x21) => binary_client::<16>(rest).ok_or(HeaderError::Malformed)?,
        _ => Source::Unknown,
    };
    Ok(Some(Header { length, source }))
}

/// Two addresses of `N` bytes and two ports, of which the first are the client's.
fn binary_client<const N: usize>(bytes: &[u8]) -> Option<Source>
where
    IpAddr: From<[u8; N]>,
{
    let (ip, rest) = bytes.split_first_chunk::<N>()?;
    let (_, ports) = rest.split_first_chunk::<N>()?;
    let (port, rest) = ports.split_first_chunk::<2>()?;
    (rest.len() >= 2).then(|| Source::Client(IpAddr::from(*ip), u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = (rest.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &len, rest].concat()
    }

    fn client(text: &str) -> Source {
        let (ip, port) = text.rsplit_once(' ').unwrap();
        Source::Client(ip.parse().unwrap(), port.parse().unwrap())
    }

    /// Every prefix is incomplete, and what follows is left alone.
    fn check(header: &[u8], source: Source) {
        for len in 0..header.len() {
            assert_eq!(parse(&header[..len]), Ok(None), "{len} bytes of {header:?}");
        }
        let expected = Header { length: header.len(), source };
        assert_eq!(parse(&[header, b"AMQP\0\0\x09\x01"].concat()), Ok(Some(expected)));
    }

    #[test]
    fn both_versions_name_the_client() {
        check(b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n", client("192.0.2.7 56324"));
        check(b"PROXY TCP6 2001:db8::7 ::1 5 6\r\n", client("2001:db8::7 5"));
        let v4 = [&[192, 0, 2, 7, 192, 0, 2, 1][..], &[0xDC, 4, 1, 187]].concat();
        check(&binary(0x21, 0x11, &v4), client("192.0.2.7 56324"));
        let with_more = [&v4[..], &[4, 0, 1, 0]].concat();
        check(&binary(0x21, 0x11, &with_more), client("192.0.2.7 56324"));
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 1]);
        v6[33] = 9;
        check(&binary(0x21, 0x21, &v6), client("2001:: 9"));
    }

    #[test]
    fn a_proxy_may_speak_for_itself_or_not_know() {
        check(b"PROXY UNKNOWN\r\n", Source::Unknown);
        check(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", Source::Unknown);
        check(&binary(0x20, 0, b""), Source::Proxy);
        check(&binary(0x21, 0x31, &[0; 216]), Source::Unknown);
        check(&binary(0x21, 0, b""), Source::Unknown);
    }

    #[test]
    fn what_is_no_header_is_refused_as_early_as_it_can_be() {
        for absent in [&b"AMQP"[..], b"\x16\x03\x01", b"PROXX", b"\r\n\r\n\0\r\nQUIT\r"] {
            assert_eq!(parse(absent), Err(HeaderError::Absent), "{absent:?}");
        }
        for bad in [
            "PROXY TCP4 192.0.2.7 192.0.2.1 56324\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443 1\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 01 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 65536 2\r\n",
            "PROXY TCP4  192.0.2.7 192.0.2.1 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(HeaderError::Malformed), "{bad:?}");
        }
        assert_eq!(parse(&binary(0x11, 0x11, &[0; 12])), Err(HeaderError::Malformed));
        assert_eq!(parse(&binary(0x21, 0x11, &[0; 11])), Err(HeaderError::Malformed));
        assert_eq!(parse(&binary(0x21, 0x41, &[0; 12])), Err(HeaderError::Malformed));
    }

    #[test]
    fn headers_are_bounded() {
        let line = [&WORD[..], &[b'x'; 200]].concat();
        assert_eq!(parse(&line[..LINE_MAX - 1]), Ok(None));
        assert_eq!(parse(&line[..LINE_MAX]), Err(HeaderError::TooLong));
        let long = binary(0x21, 0x11, &vec![0; LENGTH_MAX]);
        assert_eq!(parse(&long[..16]), Err(HeaderError::TooLong));
    }
}
