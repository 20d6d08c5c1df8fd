//! The client for HTTP of everybody here: of the server for the few requests that it makes, and of
//! the command line. One request at a time, over TLS where the address says so, and on the same
//! connection while that lasts.
//!
//! Invariants: of an answer no more bytes are held than the [`Host`] allows. Redirects are not
//! followed, so that nobody but the configured host is believed. A request is sent a second time
//! only if its connection had been idle before, and ended without a byte of an answer; a `POST`,
//! which would count twice, never.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

pub use hyper::StatusCode;

use crate::oauth::WebAddress;

/// The longest document that is read unless a host is allowed more, in bytes.
pub(crate) const DOCUMENT_MAX: usize = 1 << 20;
/// How long connecting may take, and how long the handshake of TLS after it.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a connection may be idle and still be used again.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The name of the host leads nowhere.
    #[error("there is no host of that name: {0}")]
    NoSuchHost(io::Error),
    /// No connection came about.
    #[error(transparent)]
    Unreachable(io::Error),
    /// Connecting took too long.
    #[error("no connection within {} s", CONNECT_MAX.as_secs())]
    TimedOut,
    /// The answer has more than these bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// TLS or HTTP went wrong, or the connection ended.
    #[error(transparent)]
    Failed(io::Error),
}

impl Unanswered {
    fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(io::Error::other(error))
    }
}

impl From<hyper::Error> for Unanswered {
    fn from(error: hyper::Error) -> Self {
        // What hyper says itself is where it was, not what.
        let mut cause: &dyn Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::failed(cause.to_string())
    }
}

impl From<Unanswered> for io::Error {
    fn from(error: Unanswered) -> Self {
        match error {
            Unanswered::Unreachable(error) | Unanswered::Failed(error) => error,
            other => Self::other(other),
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub struct Question<'a> {
    /// The method, such as `GET`.
    pub method: &'a str,
    /// The path below the host's address with the query, percent-encoded; it begins with `/`.
    pub path: &'a str,
    /// The headers, besides those that say to whom, by whom and how long.
    pub headers: &'a [(&'a str, &'a str)],
    /// The document that is sent.
    pub body: Option<Vec<u8>>,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The document.
    pub body: Vec<u8>,
}

/// Somebody who is asked.
pub struct Host {
    address: WebAddress,
    /// Whose certificates are trusted; without it, the system's.
    authorities: Option<PathBuf>,
    /// Once they have been read.
    tls: Option<Arc<ClientConfig>>,
    answer_max: usize,
    /// The connection of the last answer.
    idle: Option<Link>,
}

impl Host {
    /// Who is at the address; nobody is asked yet. Over TLS, the system's authorities are trusted.
    pub fn new(address: WebAddress) -> Self {
        Self { address, authorities: None, tls: None, answer_max: DOCUMENT_MAX, idle: None }
    }

    /// The same with the authorities of this file, if any, instead of the system's.
    pub(crate) fn trusting(self, authorities: Option<PathBuf>) -> Self {
        Self { authorities, ..self }
    }

    /// The same with these settings for TLS, which say whom to trust and what to show.
    pub fn with_tls(self, tls: Arc<ClientConfig>) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// The same with answers of up to so many bytes, instead of 1 MiB.
    pub fn with_answer_max(self, answer_max: usize) -> Self {
        Self { answer_max, ..self }
    }

    pub(crate) fn address(&self) -> &WebAddress {
        &self.address
    }

    /// Asks, within a runtime that has I/O and time. Connecting ends after 10 s, and so does the
    /// handshake of TLS; how long the answer may take is up to the caller, who may drop the future.
    ///
    /// # Errors
    ///
    /// If there is no answer. An answer with a status that is no success is none.
    pub async fn ask(&mut self, question: Question<'_>) -> Result<Answer, Unanswered> {
        let prefix = self.address.0.path().trim_end_matches('/');
        let mut request =
            Request::builder().method(question.method).uri(format!("{prefix}{}", question.path));
        for (name, value) in question.headers {
            request = request.header(*name, *value);
        }
        let body = question.body.map(Full::from).unwrap_or_default();
        self.send(request.body(body).map_err(Unanswered::failed)?).await
    }

    /// The document at the address.
    pub(crate) async fn get(&mut self) -> io::Result<Vec<u8>> {
        let path = self.address.0.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let request = Request::get(path).header(ACCEPT, "application/json");
        let request = request.body(Full::default()).map_err(io::Error::other)?;
        let answer = self.send(request).await?;
        if answer.status != StatusCode::OK {
            return Err(io::Error::other(format!("the answer is {}", answer.status)));
        }
        Ok(answer.body)
    }

    /// Sends a document to a path below the address; the answer's status.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        content_type: &str,
        document: Vec<u8>,
    ) -> io::Result<StatusCode> {
        let headers = [(CONTENT_TYPE.as_str(), content_type)];
        let question = Question { method: "POST", path, headers: &headers, body: Some(document) };
        Ok(self.ask(question).await?.status)
    }

    async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, Unanswered> {
        let authority = self.address.0.authority().map_or("", |authority| authority.as_str());
        let authority = HeaderValue::from_str(authority).map_err(Unanswered::failed)?;
        let agent = HeaderValue::from_static(concat!("leveret/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(HOST, authority);
        request.headers_mut().insert(USER_AGENT, agent);
        if let Some(mut link) = self.idle.take()
            && request.method() != Method::POST
            && link.is_open().await
        {
            let answer = link.ask(request.clone(), self.answer_max).await;
            if answer.is_ok() || link.has_heard() {
                return self.keep(link, answer);
            }
            // It was closed while it was idle, which nobody had noticed.
        }
        let mut link = self.connect().await?;
        let answer = link.ask(request, self.answer_max).await;
        self.keep(link, answer)
    }

    fn keep(
        &mut self,
        mut link: Link,
        answer: Result<Answer, Unanswered>,
    ) -> Result<Answer, Unanswered> {
        if answer.is_ok() && link.connection.is_some() {
            link.idle_since = Instant::now();
            self.idle = Some(link);
        }
        answer
    }

    async fn connect(&mut self) -> Result<Link, Unanswered> {
        let uri = &self.address.0;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let secure = self.address.is_secure();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = connect((&host, port)).await?;
        if !secure {
            return Link::new(Box::new(stream)).await;
        }
        let config = self.tls().await.map_err(Unanswered::Failed)?;
        let name = ServerName::try_from(host).map_err(Unanswered::failed)?;
        let shaken = timeout(CONNECT_MAX, TlsConnector::from(config).connect(name, stream)).await;
        let stream = shaken.map_err(|_| Unanswered::TimedOut)?.map_err(Unanswered::Failed)?;
        Link::new(Box::new(stream)).await
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

/// Tries the addresses of the host one after the other.
async fn connect(place: (&str, u16)) -> Result<TcpStream, Unanswered> {
    let found = lookup_host(place).await.map_err(Unanswered::NoSuchHost)?;
    let addresses: Vec<SocketAddr> = found.collect();
    let until = Instant::now() + CONNECT_MAX;
    let mut error = Unanswered::NoSuchHost(io::Error::other("the name has no address"));
    for (index, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        // One that is silent leaves time to those after it.
        let share = if index + 1 < addresses.len() { left / 2 } else { left };
        error = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(Unanswered::Unreachable)?;
                return Ok(stream);
            }
            Ok(Err(error)) => Unanswered::Unreachable(error),
            Err(_) => Unanswered::TimedOut,
        };
    }
    Err(error)
}

/// One connection. Nothing drives it but who asks on it.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// Until it has ended.
    connection: Option<Connection<TokioIo<Listening>, Full<Bytes>>>,
    /// Whether a byte has come since the last question.
    heard: Arc<AtomicBool>,
    idle_since: Instant,
}

impl Link {
    async fn new(stream: Box<dyn Stream>) -> Result<Self, Unanswered> {
        let heard = Arc::new(AtomicBool::new(false));
        let stream = Listening { stream, heard: Arc::clone(&heard) };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection: Some(connection), heard, idle_since: Instant::now() })
    }

    /// Whether it can be used again, as far as is known here.
    async fn is_open(&mut self) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        if self.idle_since.elapsed() > IDLE_MAX {
            return false;
        }
        // Has the runtime look at the socket, which nobody did meanwhile.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            _ = connection => false,
            ready = self.sender.ready() => ready.is_ok(),
        }
    }

    fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
        answer_max: usize,
    ) -> Result<Answer, Unanswered> {
        let closed = || Unanswered::failed("the connection is closed");
        let connection = self.connection.as_mut().ok_or_else(closed)?;
        self.heard.store(false, Ordering::Relaxed);
        let sender = &mut self.sender;
        let mut answer = pin!(async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            Ok(Answer { status, body: read(answer.into_body(), answer_max).await? })
        });
        let ended = tokio::select! {
            answer = &mut answer => return answer,
            ended = connection => ended,
        };
        // What still waits for it learns so that there is no more.
        self.connection = None;
        // What came before the end may be all.
        match (answer.await, ended) {
            (Err(Unanswered::Failed(_)), Err(error)) => Err(error.into()),
            (answer, _) => answer,
        }
    }
}

async fn read(mut body: Incoming, bytes_max: usize) -> Result<Vec<u8>, Unanswered> {
    let mut document = Vec::new();
    while let Some(frame) = body.frame().await {
        // What is no data are trailers.
        let Ok(data) = frame?.into_data() else { continue };
        if data.len() > bytes_max - document.len() {
            return Err(Unanswered::TooLong(bytes_max));
        }
        document.extend_from_slice(&data);
    }
    Ok(document)
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A stream that notes whether anything has come.
struct Listening {
    stream: Box<dyn Stream>,
    heard: Arc<AtomicBool>,
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

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
            Host::new(address).trusting(authorities.map(Path::to_owned)).get().await
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

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    /// Takes one connection for each row, gives its requests these answers and closes it; a client
    /// that is allowed 4 bytes, and how many requests have come.
    async fn script(rows: &'static [&[&str]]) -> (Host, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        tokio::spawn(async move {
            for row in rows {
                let mut stream = listener.accept().await.unwrap().0;
                for answer in *row {
                    if stream.read(&mut [0; 4096]).await.unwrap() > 0 {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        (Host::new(url.parse().unwrap()).with_answer_max(4), requests)
    }

    async fn ask(host: &mut Host) -> Result<Vec<u8>, Unanswered> {
        ask_by(host, "GET").await
    }

    async fn ask_by(host: &mut Host, method: &str) -> Result<Vec<u8>, Unanswered> {
        let question = Question { method, path: "/x", headers: &[], body: None };
        Ok(host.ask(question).await?.body)
    }

    #[tokio::test]
    async fn a_connection_is_used_again_and_replaced_once_it_is_closed() {
        let (mut host, requests) = script(&[&[OK, OK], &[OK, ""], &[OK]]).await;
        for _ in 0..3 {
            assert_eq!(ask(&mut host).await.unwrap(), b"{}");
        }
        assert_eq!(requests.load(Ordering::Relaxed), 3);
        // This connection ends when it is used, and nobody could know.
        assert_eq!(ask(&mut host).await.unwrap(), b"{}");
        assert_eq!(requests.load(Ordering::Relaxed), 5);
    }

    #[tokio::test]
    async fn nothing_is_asked_twice_that_may_have_been_answered() {
        let (mut host, requests) = script(&[&[""], &[OK, "HTTP/1.1 2"], &[OK]]).await;
        assert!(ask(&mut host).await.is_err(), "a connection that was new");
        assert!(ask(&mut host).await.is_ok());
        assert!(ask(&mut host).await.is_err(), "an answer that had begun");
        assert_eq!(requests.load(Ordering::Relaxed), 3);
        assert!(ask(&mut host).await.is_ok());
    }

    #[tokio::test]
    async fn what_would_count_twice_is_sent_once() {
        let (mut host, requests) = script(&[&[OK, ""], &[OK]]).await;
        assert!(ask(&mut host).await.is_ok());
        assert_eq!(ask_by(&mut host, "POST").await.unwrap(), b"{}");
        assert_eq!(requests.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_answer_has_an_end_in_bytes() {
        let (mut host, _) = script(&[
            &["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12345"],
            &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n123\r\n2\r\n45\r\n"],
            &["HTTP/1.1 503 Busy\r\n\r\n1234"],
        ])
        .await;
        assert!(matches!(ask(&mut host).await, Err(Unanswered::TooLong(4))));
        assert!(matches!(ask(&mut host).await, Err(Unanswered::TooLong(4))));
        assert_eq!(ask(&mut host).await.unwrap(), b"1234", "the end is that of the connection");
        assert!(matches!(ask(&mut host).await, Err(Unanswered::Unreachable(_))));
    }

    #[tokio::test]
    async fn what_is_asked_arrives_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut host = Host::new(format!("http://{address}/a/").parse().unwrap());
        let headers = [("x-reason", "so")];
        let body = Some(vec![b'x'; 200_000]);
        let question = Question { method: "PUT", path: "/%2F?b=1", headers: &headers, body };
        let server = async {
            let mut stream = listener.accept().await.unwrap().0;
            let mut received = Vec::new();
            while !received.ends_with(&[b'x'; 200_000]) {
                assert!(stream.read_buf(&mut received).await.unwrap() > 0);
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            String::from_utf8(received).unwrap()
        };
        let (answer, received) = tokio::join!(host.ask(question), server);
        assert_eq!(answer.unwrap().status, StatusCode::NO_CONTENT);
        assert!(received.starts_with("PUT /a/%2F?b=1 HTTP/1.1\r\n"), "{}", &received[..80]);
        for header in [&format!("host: {address}"), "content-length: 200000", "x-reason: so"] {
            assert!(received.contains(&format!("{header}\r\n")), "{header}");
        }
    }
}
