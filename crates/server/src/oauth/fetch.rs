//! One HTTP request: GET of a small document, over TLS where the address says so.
//!
//! Invariants: it ends within [`TIMEOUT`] and holds at most [`DOCUMENT_MAX`] bytes of the answer.
//! Redirects are not followed, so that nobody but the configured host is believed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::options::WebAddress;
use super::sources::DOCUMENT_MAX;

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The document at `address`. TLS trusts `authorities`, or the system's.
pub(super) async fn get(address: &WebAddress, authorities: Option<&Path>) -> io::Result<Vec<u8>> {
    let fetched = timeout(TIMEOUT, connect_and_ask(address, authorities)).await;
    fetched.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", TIMEOUT.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

async fn connect_and_ask(address: &WebAddress, authorities: Option<&Path>) -> io::Result<Vec<u8>> {
    let host = address.0.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let secure = address.is_secure();
    let port = address.0.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((&*host, port)).await?;
    if !secure {
        return ask(stream, address).await;
    }
    // Reads files, some of them large.
    let authorities = authorities.map(Path::to_owned);
    let read = tokio::task::spawn_blocking(move || tls(authorities.as_deref()));
    let config = Arc::new(read.await.map_err(io::Error::other)??);
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    ask(TlsConnector::from(config).connect(name, stream).await?, address).await
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

async fn ask<S>(stream: S, address: &WebAddress) -> io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(io::Error::other)?;
    let authority = address.0.authority().map_or("", |authority| authority.as_str());
    let path = address.0.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("leveret/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        if answer.status() != StatusCode::OK {
            return Err(io::Error::other(format!("the answer is {}", answer.status())));
        }
        let body = Limited::new(answer.into_body(), DOCUMENT_MAX).collect().await;
        Ok(body.map_err(io::Error::other)?.to_bytes().to_vec())
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
            get(&address, authorities).await
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
