//! The settings of what stands between a socket and a session: TLS, the PROXY protocol, and how
//! many may come in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use leveret_wire::x509::NameKind;

use crate::options::AutoPort;

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// What part of a client's certificate is its user's name, for EXTERNAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertLoginFrom {
    /// The subject as a whole, as RFC 4514 writes it.
    DistinguishedName,
    /// The subject's common name.
    CommonName,
    /// A subject alternative name: of this kind, and which of them, from 0.
    AlternativeName(NameKind, usize),
}

/// The settings of TLS.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// What the configuration keys of these settings begin with, for errors.
    pub section: &'static str,
    /// The server's certificate and those between it and the root, in PEM.
    pub certificates: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    pub key: Option<PathBuf>,
    /// Who may sign clients' certificates, in PEM.
    pub authorities: Option<PathBuf>,
    /// A directory with certificates (`NAME.crt`) and keys (`NAME.key`) for other server names.
    pub by_name: Option<PathBuf>,
    /// Ask clients for a certificate, and refuse one that is not signed by `authorities`.
    pub verify_peer: bool,
    /// Refuse clients without a certificate.
    pub require_peer: bool,
    /// The versions that are spoken.
    pub versions: Vec<TlsVersion>,
    /// What names the user of a client's certificate.
    pub login_from: CertLoginFrom,
    /// How long TLS may take, within the time for the whole handshake.
    pub handshake_timeout: Duration,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            section: "ssl_options",
            certificates: None,
            key: None,
            authorities: None,
            by_name: None,
            verify_peer: false,
            require_peer: false,
            versions: vec![TlsVersion::V12, TlsVersion::V13],
            login_from: CertLoginFrom::DistinguishedName,
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

/// A listener for HTTP over TLS, beside the plain one.
#[derive(Debug, Clone)]
pub struct HttpsOptions {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: AutoPort,
    /// Its certificates, and what it asks of clients.
    pub tls: TlsOptions,
}

impl Default for HttpsOptions {
    fn default() -> Self {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self { ip, port: AutoPort::None, tls: TlsOptions::default() }
    }
}

/// How many may come in. Zero means no limit where it says so.
#[derive(Debug, Clone)]
pub struct EntryLimits {
    /// Most connections from one address at once; 0 is no limit.
    pub per_address_max: usize,
    /// Connections that are accepted a second; 0 is no limit.
    pub rate_max: u64,
    /// Most connections that have not logged in.
    pub pending_max: usize,
    /// Most bytes that a connection may send before it has logged in.
    pub pending_bytes_max: usize,
    /// What all connections that have not logged in may hold.
    pub pending_total_bytes_max: usize,
}

impl EntryLimits {
    /// Most connections that have not logged in, such that all their bytes stay in bounds.
    pub(crate) fn pending_places(&self) -> usize {
        let room = self.pending_total_bytes_max / self.pending_bytes_max.max(1);
        self.pending_max.min(room).max(1)
    }
}

impl Default for EntryLimits {
    fn default() -> Self {
        Self {
            per_address_max: 0,
            rate_max: 5_000,
            pending_max: 1_024,
            pending_bytes_max: 16 << 10,
            pending_total_bytes_max: 64 << 20,
        }
    }
}

/// Addresses with the same first bits, such as `192.0.2.0/24`; one address is a range, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    address: IpAddr,
    prefix: u8,
}

impl AddressRange {
    /// Whether `address` lies in the range. An IPv4 address in IPv6 clothes is the one that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, bits: u8| {
            let rest = u32::from(bits - self.prefix);
            one.checked_shr(rest) == other.checked_shr(rest)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(v4)) => {
                same(u128::from(u32::from(own)), u128::from(u32::from(v4)), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(v6)) => same(own.into(), v6.into(), 128),
            _ => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), |prefix| prefix.parse().map_err(|_| ()))?;
        if prefix <= bits { Ok(Self { address, prefix }) } else { Err(()) }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_what_begins_alike() {
        let contains = |range: &str, address: &str| {
            range.parse::<AddressRange>().unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("192.0.2.0/24", "192.0.2.255"));
        assert!(contains("192.0.2.0/24", "::ffff:192.0.2.255"));
        assert!(!contains("192.0.2.0/24", "192.0.3.0"));
        assert!(contains("0.0.0.0/0", "203.0.113.1") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::1"));
        assert!(contains("127.0.0.1", "127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        for bad in ["192.0.2.0/33", "192.0.2", "::/129", "x/8", "192.0.2.0/", "192.0.2.0/-1"] {
            assert!(bad.parse::<AddressRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_sum_of_all_bytes_bounds_the_places() {
        let mut limits = EntryLimits::default();
        assert_eq!(limits.pending_places(), 1_024);
        limits.pending_total_bytes_max = 1 << 20;
        assert_eq!(limits.pending_places(), 64);
    }
}
