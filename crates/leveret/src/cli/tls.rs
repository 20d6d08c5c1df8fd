//! What the verbs trust and show over TLS, for the management API and for AMQP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The options for TLS, by the names that rabbitmqadmin has for them.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct TlsArgs {
    /// Ask over TLS: without an address, at https://127.0.0.1:15671
    #[arg(long, global = true)]
    pub(super) ssl: bool,

    /// Trust the certificates of this file, for https and amqps [default: those of the system]
    #[arg(
        long,
        env = "LEVERET_CA_FILE",
        global = true,
        value_name = "FILE",
        alias = "ssl-ca-cert-file"
    )]
    ca_file: Option<PathBuf>,

    /// Show this certificate, in PEM
    #[arg(
        long,
        env = "LEVERET_SSL_CERT_FILE",
        global = true,
        value_name = "FILE",
        requires = "ssl_key_file"
    )]
    ssl_cert_file: Option<PathBuf>,

    /// The key of that certificate, in PEM
    #[arg(
        long,
        env = "LEVERET_SSL_KEY_FILE",
        global = true,
        value_name = "FILE",
        requires = "ssl_cert_file"
    )]
    ssl_key_file: Option<PathBuf>,
}

const NO_KEY: &str = "there is no private key in the file of --ssl-key-file";

type Chain = Vec<CertificateDer<'static>>;

fn certificates(path: &Path) -> anyhow::Result<Chain> {
    let shown = || format!("reading the certificates of {}", path.display());
    let found: Result<Chain, _> =
        CertificateDer::pem_file_iter(path).with_context(shown)?.collect();
    let found = found.with_context(shown)?;
    if found.is_empty() {
        bail!("there is no certificate in {}", path.display());
    }
    Ok(found)
}

impl TlsArgs {
    fn authorities(&self) -> anyhow::Result<Chain> {
        match &self.ca_file {
            Some(path) => certificates(path),
            None => Ok(rustls_native_certs::load_native_certs().certs),
        }
    }

    /// The certificate to show, and the file with its key.
    fn identity(&self) -> anyhow::Result<Option<(Chain, Vec<u8>)>> {
        let (Some(certificate), Some(key)) = (&self.ssl_cert_file, &self.ssl_key_file) else {
            return Ok(None);
        };
        let pem = std::fs::read(key).with_context(|| format!("reading {}", key.display()))?;
        Ok(Some((certificates(certificate)?, pem)))
    }

    /// What a connection needs to know, whatever is spoken over it.
    pub(super) fn config(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.authorities()?);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        Ok(Arc::new(match self.identity()? {
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(&key).context(NO_KEY)?;
                builder.with_client_auth_cert(chain, key)?
            }
            None => builder.with_no_client_auth(),
        }))
    }
}
