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
