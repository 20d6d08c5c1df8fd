//! A client for the few requests that the server makes: one at a time, over TLS where the address
//! says so.
//!
//! Invariants: at most [`DOCUMENT_MAX`] bytes of an answer are held. Redirects are not followed, so
//! that nobody but the configured host is believed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::oauth::WebAddress;

/// The longest document that is read, in bytes.
pub(crate) const DOCUMENT_MAX: usize = 1 << 20;

/// Somebody who is asked.
#[derive(Debug)]
pub(crate) struct Host {
    address: WebAddress,
    /// Whose certificates are trusted; without it, the system's.
    authorities: Option<PathBuf>,
    /// Once they have been read.
    tls: Option<Arc<ClientConfig>>,
}

impl Host {
    pub(crate) fn new(address: WebAddress, authorities: Option<PathBuf>) -> Self {
        Self { address, authorities, tls: None }
    }

    pub(crate) fn address(&self) -> &WebAddress {
        &self.address
    }

    /// The document at the address.
    pub(crate) async fn get(&mut self) -> io::Result<Vec<u8>> {
        let path = self.address.0.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let request = Request::get(path).header(ACCEPT, "application/json");
        let request = request.body(Full::default()).map_err(io::Error::other)?;
        let (status, document) = self.send(request).await?;
        if status != StatusCode::OK {
            return Err(io::Error::other(format!("the answer is {status}")));
        }
        Ok(document)
    }

    /// Sends a document to a path below the address; the answer's status.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        content_type: &str,
        document: Vec<u8>,
    ) -> io::Result<StatusCode> {
        let path = format!("{}/{path}", self.address.0.path().trim_end_matches('/'));
        let request = Request::post(path).header(CONTENT_TYPE, content_type);
        let request = request.body(Full::from(document)).map_err(io::Error::other)?;
        Ok(self.send(request).await?.0)
    }

    async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> io::Result<(StatusCode, Vec<u8>)> {
        let uri = &self.address.0;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let secure = self.address.is_secure();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(authority).map_err(io::Error::other)?);
        let agent = HeaderValue::from_static(concat!("leveret/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        let stream = TcpStream::connect((&*host, port)).await?;
        if !secure {
            return ask(stream, request).await;
        }
        let config = self.tls().await?;
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        ask(TlsConnector::from(config).connect(name, stream).await?, request).await
    }

    async fn tls(&mut self) -> io::Result<Arc<ClientConfig>> {
        if let Some(tls) = &self.tls {
            return Ok(Arc::clone(tls));
        }
        // Reads files, some of them large.
        let authorities = self.authorities.clone();
        let read = tokio::task::spawn_blocking(move || tls(authorities.as_deref()));
        let read = Arc::new(read.await.map_err(io::Error::other)??);
        self.tls = Some(Arc::clone(&read));
        Ok(read)
    }
}

fn tls(authorities: Option<&Path>) -> io::Result<ClientConfig> {
    let roots = match authorities {
        Some(path) => crate::net::tls::roots(path)?,
        None => {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            // The system may have some that are none, or old.
            roots.add_parsable_certificates(found.certs);
            roots
        }
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn ask<S>(stream: S, request: Request<Full<Bytes>>) -> io::Result<(StatusCode, Vec<u8>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(io::Error::other)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), DOCUMENT_MAX).collect().await;
        Ok((status, body.map_err(io::Error::other)?.to_bytes().to_vec()))
    };
    // The connection is driven beside the question, and goes with it.
    tokio::pin!(answer);
    tokio::pin!(connection);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            // What came before the end may be all.
            Ok(()) => answer.await,
            Err(error) => Err(io::Error::other(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::oauth::tests::KeyFile;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// Answers everybody over TLS; the port.
    async fn serve(authority: &Authority, name: &str, answer: &'static str) -> u16 {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        port
    }

    #[tokio::test]
    async fn over_tls_only_a_server_of_that_name_and_authority_is_believed() {
        let (ours, other) = (authority(), authority());
        let trusted = KeyFile::new(ours.pem().as_bytes());
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        let fetch = async |port: u16, authorities: Option<&Path>| {
            let address: WebAddress = format!("https://localhost:{port}/keys").parse().unwrap();
            Host::new(address, authorities.map(Path::to_owned)).get().await
        };
        let good = serve(&ours, "localhost", ok).await;
        assert_eq!(fetch(good, Some(&trusted.0)).await.unwrap(), b"{}");
        assert!(fetch(good, None).await.is_err(), "the system does not know that authority");
        assert!(fetch(serve(&other, "localhost", ok).await, Some(&trusted.0)).await.is_err());
        assert!(fetch(serve(&ours, "elsewhere", ok).await, Some(&trusted.0)).await.is_err());
        let moved =
            "HTTP/1.1 302 Found\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n";
        let error = fetch(serve(&ours, "localhost", moved).await, Some(&trusted.0)).await;
        assert!(error.unwrap_err().to_string().contains("302"));
    }
}
