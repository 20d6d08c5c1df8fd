//! Certificates and keys from files: what is wrong with them is said with the file's name.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leveret_wire::x509::{Certificate, NameKind};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use crate::listener_options::{TlsOptions, TlsVersion};

/// A configuration, and the certificates that are in it with the files that they are from.
pub(super) struct Loaded {
    pub(super) config: ServerConfig,
    pub(super) certificates: Vec<(PathBuf, CertificateDer<'static>)>,
}

fn fault(path: &Path, text: impl Display) -> io::Error {
    io::Error::other(format!("{}: {text}", path.display()))
}

/// The configuration that the options and their files give.
pub(super) fn config(options: &TlsOptions) -> io::Result<Loaded> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions: Vec<_> = options
        .versions
        .iter()
        .map(|version| match version {
            TlsVersion::V12 => &rustls::version::TLS12,
            TlsVersion::V13 => &rustls::version::TLS13,
        })
        .collect();
    let resolver = resolver(options, &provider)?;
    let mut loaded = resolver.certificates();
    let resolver = Arc::new(resolver);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(io::Error::other)?;
    if !options.verify_peer {
        let config = builder.with_no_client_auth().with_cert_resolver(resolver);
        return Ok(Loaded { config, certificates: loaded });
    }
    let path = options.authorities.as_deref().ok_or_else(|| {
        let section = options.section;
        io::Error::other(format!("{section}.cacertfile is needed to verify clients' certificates"))
    })?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider);
    let verifier =
        if options.require_peer { verifier } else { verifier.allow_unauthenticated() }.build();
    let verifier = verifier.map_err(|error| fault(path, error))?;
    let trusted = certificates(path)?.into_iter().map(|one| (path.to_owned(), one));
    loaded.extend(trusted);
    let config = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
    Ok(Loaded { config, certificates: loaded })
}

/// The certificates of a file, as those to trust.
pub(crate) fn roots(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| fault(path, error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let file = std::fs::read(path).map_err(|error| fault(path, error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file).collect();
    let found = found.map_err(|error| fault(path, error))?;
    if found.is_empty() {
        return Err(fault(path, "there is no certificate in this file (PEM is expected)"));
    }
    Ok(found)
}

fn certified_key(
    certificate_path: &Path,
    key_path: &Path,
    provider: &CryptoProvider,
) -> io::Result<CertifiedKey> {
    let chain = certificates(certificate_path)?;
    let file = std::fs::read(key_path).map_err(|error| fault(key_path, error))?;
    let key = PrivateKeyDer::from_pem_slice(&file).map_err(|_| {
        let encrypted = file.windows(9).any(|bytes| bytes == b"ENCRYPTED");
        let text = if encrypted {
            "the key in this file is encrypted, which is not supported"
        } else {
            "there is no private key in this file (PEM is expected)"
        };
        fault(key_path, text)
    })?;
    let key =
        provider.key_provider.load_private_key(key).map_err(|error| fault(key_path, error))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            let certificate = certificate_path.display();
            Err(fault(
                key_path,
                format!("this key does not belong to the certificate {certificate}"),
            ))
        }
        Err(error) => Err(fault(certificate_path, error)),
    }
}

fn resolver(options: &TlsOptions, provider: &CryptoProvider) -> io::Result<Resolver> {
    let needed = |path: &Option<_>, key: &str| -> io::Result<_> {
        let section = options.section;
        path.clone().ok_or_else(|| io::Error::other(format!("TLS needs {section}.{key}")))
    };
    let certificates = needed(&options.certificates, "certfile")?;
    let key = needed(&options.key, "keyfile")?;
    let default = Arc::new(certified_key(&certificates, &key, provider)?);
    let files = vec![(certificates, Arc::clone(&default))];
    let mut resolver = Resolver { default, by_name: HashMap::new(), files };
    let Some(directory) = &options.by_name else { return Ok(resolver) };
    for entry in std::fs::read_dir(directory).map_err(|error| fault(directory, error))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "crt") {
            continue;
        }
        let certified = Arc::new(certified_key(&path, &path.with_extension("key"), provider)?);
        resolver.files.push((path.clone(), Arc::clone(&certified)));
        let names = certified
            .end_entity_cert()
            .ok()
            .and_then(|der| Certificate::parse(der).ok()?.alternative_names(NameKind::Dns).ok());
        let names = names.filter(|names| !names.is_empty());
        for name in names.ok_or_else(|| fault(&path, "the certificate is for no DNS name"))? {
            resolver.by_name.insert(name.to_ascii_lowercase(), Arc::clone(&certified));
        }
    }
    Ok(resolver)
}

/// Chooses the certificate by the name that the client asks for.
#[derive(Debug)]
struct Resolver {
    default: Arc<CertifiedKey>,
    /// By DNS name in small letters; `*.` at the front stands for one label.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// All of them, by their files.
    files: Vec<(PathBuf, Arc<CertifiedKey>)>,
}

impl Resolver {
    fn certificates(&self) -> Vec<(PathBuf, CertificateDer<'static>)> {
        let chain = |(path, key): &(PathBuf, Arc<CertifiedKey>)| {
            let path = path.clone();
            key.cert.clone().into_iter().map(move |one| (path.clone(), one)).collect::<Vec<_>>()
        };
        self.files.iter().flat_map(chain).collect()
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let exact = self.by_name.get(&name);
        exact.or_else(|| self.by_name.get(&format!("*.{}", name.split_once('.')?.1)))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.find(name));
        Some(Arc::clone(named.unwrap_or(&self.default)))
    }
}
