//! TLS: the configuration in force, its reload, and the handshake of one connection.
//!
//! Invariant: once a configuration has been loaded there is always a valid one; a new one replaces
//! it as a whole, for new connections only.

mod load;
mod metered;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use leveret_wire::x509::{Certificate, Malformed};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) use load::roots;
pub(crate) use metered::Metered;

use crate::listener_options::{CertLoginFrom, TlsOptions};
use crate::session::Tls;

/// How often the files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 2_000 });
/// The first byte of a TLS handshake.
pub(crate) const HANDSHAKE_RECORD: u8 = 0x16;

/// What a file looked like: when it was changed, and its length.
type Look = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

/// The TLS side of a server's listeners.
#[derive(Debug)]
pub(crate) struct TlsContext {
    options: Mutex<TlsOptions>,
    config: ArcSwap<ServerConfig>,
    /// Until when what is in force is valid.
    certificates: ArcSwap<Vec<leveret_management::node::Certificate>>,
}

impl TlsContext {
    /// Reads the files; the error names the one that is wrong.
    pub(crate) fn load(options: &TlsOptions) -> io::Result<Self> {
        let loaded = load::config(options)?;
        let certificates = ArcSwap::from_pointee(validity(&loaded));
        let options = Mutex::new(options.clone());
        Ok(Self { options, config: ArcSwap::from_pointee(loaded.config), certificates })
    }

    /// The same for `what`; the error says so, and names the keys.
    pub(crate) fn load_for(what: &str, options: &TlsOptions) -> io::Result<Self> {
        Self::load(options).map_err(|error| {
            let section = options.section;
            io::Error::other(format!(
                "cannot use TLS for {what}: {error}; see {section}.certfile, {section}.keyfile and \
                 {section}.cacertfile"
            ))
        })
    }

    fn options(&self) -> TlsOptions {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The certificates in force.
    pub(crate) fn certificates(&self) -> Vec<leveret_management::node::Certificate> {
        self.certificates.load().to_vec()
    }

    /// Takes new options and reads the files again; if they are wrong the old ones stay in force.
    pub(crate) fn reload(&self, options: TlsOptions) {
        match load::config(&options) {
            Ok(loaded) => {
                self.certificates.store(Arc::new(validity(&loaded)));
                self.config.store(Arc::new(loaded.config));
                *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
                tracing::info!("TLS certificates loaded");
            }
            Err(error) => {
                tracing::error!(%error, "TLS certificates not reloaded: the old ones stay");
            }
        }
    }

    /// Reads the files again when they have changed and then stayed as they are for a moment, so
    /// that a certificate is not read before its key is there.
    pub(crate) async fn watch(&self) {
        let mut loaded = look(&self.options());
        let mut before = loaded.clone();
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let options = self.options();
            let look = look(&options);
            if look != loaded && look == before {
                self.reload(options);
                loaded.clone_from(&look);
            }
            before = look;
        }
    }

    /// Shakes hands. What the peer may send before it is done is bounded.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        bytes_max: usize,
    ) -> io::Result<TlsStream<Metered>> {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        let mut stream = acceptor.accept(Metered::new(stream, bytes_max)).await?;
        stream.get_mut().0.lift();
        Ok(stream)
    }

    /// What a session is to know of a stream.
    pub(crate) fn facts(&self, stream: &TlsStream<Metered>) -> Tls {
        let (_, connection) = stream.get_ref();
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "tlsv1.3",
            _ => "tlsv1.2",
        };
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        let from = self.options().login_from;
        Tls { version, login: certificate.map(|der| login_name(der, from)) }
    }
}

/// The user's name in a verified certificate; none if there is no such name in it.
fn login_name(der: &[u8], from: CertLoginFrom) -> Option<String> {
    let read = || -> Result<Option<String>, Malformed> {
        let certificate = Certificate::parse(der)?;
        match from {
            CertLoginFrom::DistinguishedName => certificate.distinguished_name().map(Some),
            CertLoginFrom::CommonName => certificate.common_name(),
            CertLoginFrom::AlternativeName(kind, index) => {
                Ok(certificate.alternative_names(kind)?.into_iter().nth(index))
            }
        }
    };
    read().ok().flatten().filter(|name| !name.is_empty())
}

/// Until when the certificates are valid; one that does not say so in a form that is known counts
/// as one that has run out.
fn validity(loaded: &load::Loaded) -> Vec<leveret_management::node::Certificate> {
    let one = |(path, der): &(PathBuf, rustls::pki_types::CertificateDer<'_>)| {
        let not_after = Certificate::parse(der).and_then(|parsed| parsed.not_after());
        leveret_management::node::Certificate {
            file: path.display().to_string(),
            not_after_s: not_after.unwrap_or(0),
        }
    };
    loaded.certificates.iter().map(one).collect()
}

/// What the files look like.
fn look(options: &TlsOptions) -> Look {
    let mut paths: Vec<PathBuf> =
        [&options.certificates, &options.key, &options.authorities, &options.by_name]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
    if let Some(entries) = options.by_name.as_ref().and_then(|path| path.read_dir().ok()) {
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        found.sort();
        paths.append(&mut found);
    }
    let look = |path: PathBuf| {
        let seen = path.metadata().and_then(|found| Ok((found.modified()?, found.len()))).ok();
        (path, seen)
    };
    paths.into_iter().map(look).collect()
}
