//! What stands between a socket and a session, on a server as a whole: TLS and its certificates,
//! EXTERNAL and ANONYMOUS, the PROXY protocol, and clients that never get in.

use std::io::ErrorKind;
use std::sync::Arc;

use leveret_wire::amqp091::frame::{Decoder, Event};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::Table;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::{AnonymousLogin, CertLoginFrom, NameKind};

/// Somebody who signs certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for DNS names, and its key.
    pub(super) fn sign(&self, common_name: &str, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Hares");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }
}

/// A server with certificates.
pub(super) struct World {
    data: DataDir,
    pub(super) authority: Authority,
}

impl World {
    pub(super) fn new(name: &str) -> Self {
        let data = DataDir::new(name);
        std::fs::create_dir_all(&data.0).unwrap();
        let world = Self { data, authority: Authority::new() };
        world.write("ca.pem", &world.authority.0.pem());
        world.put_certificate("server", &world.authority, "localhost");
        world
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.data.0.join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn put_certificate(&self, file: &str, authority: &Authority, name: &str) {
        let (certificate, key) = authority.sign(name, &[name]);
        self.write(&format!("{file}.crt"), &certificate.pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    pub(super) fn authority_der(&self) -> rustls::pki_types::CertificateDer<'static> {
        self.authority.0.der().clone()
    }

    pub(super) fn options(&self) -> Options {
        let mut options = self.data.options();
        options.store.data_dir = self.path("data");
        options.amqps_listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        options.tls.certificates = Some(self.path("server.crt"));
        options.tls.key = Some(self.path("server.key"));
        options.tls.authorities = Some(self.path("ca.pem"));
        options
    }

    pub(super) async fn fault(&self, options: Options) -> String {
        Server::start(options).await.unwrap_err().to_string()
    }
}

pub(super) type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// Connects by TLS, asking for `name`; `identity` signs this client's own certificate.
pub(super) fn connect_tls(
    address: SocketAddr,
    name: &str,
    authority: &Authority,
    identity: Option<(rcgen::Certificate, KeyPair)>,
) -> TlsClient {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        }
    };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    StreamOwned::new(connection, socket)
}

/// The names of the methods that come next, up to and with one that `last` accepts; and what was
/// said besides.
fn read_method(stream: &mut impl Read) -> std::io::Result<(String, String)> {
    let mut frame = vec![0; 7];
    stream.read_exact(&mut frame)?;
    let len = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
    frame.resize(7 + len + 1, 0);
    stream.read_exact(&mut frame[7..])?;
    let mut rest = &frame[..];
    let Ok(Some(Event::Method { payload, .. })) = Decoder::new(131_072).next(&mut rest) else {
        return Err(ErrorKind::InvalidData.into());
    };
    let method = Method::decode(payload).unwrap();
    let said = match &method {
        Method::ConnectionStart { mechanisms, .. } => {
            String::from_utf8_lossy(mechanisms).into_owned()
        }
        Method::ConnectionClose { reply_text, .. } => (*reply_text).to_owned(),
        _ => String::new(),
    };
    Ok((method.name().to_owned(), said))
}

fn mechanisms(stream: &mut (impl Read + Write)) -> std::io::Result<String> {
    stream.write_all(&PROTOCOL_HEADER)?;
    read_method(stream).map(|(_, mechanisms)| mechanisms)
}

/// Logs in behind [`mechanisms`]; the answer's name and text.
fn log_in(stream: &mut (impl Read + Write), mechanism: &str, response: &[u8]) -> (String, String) {
    let mut capabilities = leveret_wire::amqp091::table::FieldTable::new();
    capabilities.insert("authentication_failure_close", true);
    let mut properties = leveret_wire::amqp091::table::FieldTable::new();
    properties.insert("capabilities", capabilities);
    let properties = properties.to_content();
    let client_properties = Table::parse(&properties).unwrap();
    let mut bytes = Vec::new();
    Method::ConnectionStartOk { client_properties, mechanism, response, locale: "en_US" }
        .encode_frame(0, &mut bytes);
    stream.write_all(&bytes).unwrap();
    read_method(stream).unwrap()
}

const PLAIN: &[u8] = b"\0somebody\0guest";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_new_certificate_is_for_new_connections_and_a_broken_one_for_none() {
    let world = World::new("reload");
    let server = Server::start(world.options()).await.unwrap();
    let address = server.amqps_addresses()[0];
    let mut old = connect_tls(address, "localhost", &world.authority, None);
    assert_eq!(mechanisms(&mut old).unwrap(), "AMQPLAIN PLAIN");

    world.write("server.crt", "broken");
    sleep(Duration::from_millis(200)).await;
    let mut meanwhile = connect_tls(address, "localhost", &world.authority, None);
    assert!(mechanisms(&mut meanwhile).is_ok(), "the old one stays in force");

    let other = Authority::new();
    world.put_certificate("server", &other, "localhost");
    let deadline = Instant::now() + Duration::from_secs(10);
    while mechanisms(&mut connect_tls(address, "localhost", &other, None)).is_err() {
        assert!(Instant::now() < deadline, "the new certificate is not used");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(mechanisms(&mut connect_tls(address, "localhost", &world.authority, None)).is_err());
    assert_eq!(log_in(&mut old, "PLAIN", PLAIN).0, "connection.tune", "the old one goes on");
    server.shutdown().await;
    // The end is said: a close_notify, not a reset.
    assert_eq!(old.read_to_end(&mut Vec::new()).map_err(|error| error.kind()), Ok(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_certificate_is_chosen_by_name() {
    let world = World::new("sni");
    std::fs::create_dir(world.path("names")).unwrap();
    let other = Authority::new();
    world.put_certificate("names/one", &other, "*.example.com");
    let mut options = world.options();
    options.tls.by_name = Some(world.path("names"));
    let server = Server::start(options).await.unwrap();
    let address = server.amqps_addresses()[0];
    let greet = |name, authority| mechanisms(&mut connect_tls(address, name, authority, None));
    assert!(greet("A.example.com", &other).is_ok() && greet("localhost", &other).is_err());
    assert!(greet("localhost", &world.authority).is_ok());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn external_is_for_clients_with_a_certificate_that_names_a_user() {
    let world = World::new("external");
    let mut options = world.options();
    options.tls.verify_peer = true;
    options.default_user = "CN=hare,O=Hares".to_owned();
    let server = Server::start(options.clone()).await.unwrap();
    let address = server.amqps_addresses()[0];
    let connect = |identity| connect_tls(address, "localhost", &world.authority, identity);
    assert_eq!(mechanisms(&mut connect(None)).unwrap(), "AMQPLAIN PLAIN");

    let mut hare = connect(Some(world.authority.sign("hare", &["a.example", "b.example"])));
    assert_eq!(mechanisms(&mut hare).unwrap(), "AMQPLAIN PLAIN EXTERNAL");
    assert_eq!(log_in(&mut hare, "EXTERNAL", b"anything").0, "connection.tune");
    let mut fox = connect(Some(world.authority.sign("fox", &[])));
    mechanisms(&mut fox).unwrap();
    let (answer, text) = log_in(&mut fox, "EXTERNAL", b"CN=hare,O=Hares");
    assert_eq!(answer, "connection.close");
    assert!(text.starts_with("ACCESS_REFUSED - Login was refused using authentication mechanism"));
    let mut stranger = connect(Some(Authority::new().sign("hare", &[])));
    assert!(mechanisms(&mut stranger).is_err(), "signed by somebody else");

    options.tls.require_peer = true;
    options.tls.login_from = CertLoginFrom::AlternativeName(NameKind::Dns, 1);
    server.reload(options);
    assert!(mechanisms(&mut connect(None)).is_err(), "no certificate");
    let mut hare = connect(Some(world.authority.sign("hare", &["a.example", "b.example"])));
    mechanisms(&mut hare).unwrap();
    assert_eq!(log_in(&mut hare, "EXTERNAL", b"").0, "connection.close", "no user b.example");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn anonymous_is_off_unless_a_user_is_named() {
    let world = World::new("anonymous");
    let mut options = world.options();
    let login = |user: &str| AnonymousLogin { user: user.to_owned(), password: "guest".to_owned() };
    options.anonymous_login = Some(login("somebody"));
    let server = Server::start(options.clone()).await.unwrap();
    let connect = || TcpStream::connect(server.amqp_addresses()[0]).unwrap();
    let mut client = connect();
    assert_eq!(mechanisms(&mut client).unwrap(), "AMQPLAIN PLAIN ANONYMOUS");
    assert_eq!(log_in(&mut client, "ANONYMOUS", b"me").0, "connection.tune");
    options.anonymous_login = Some(login("nobody"));
    server.reload(options.clone());
    let mut client = connect();
    mechanisms(&mut client).unwrap();
    assert_eq!(log_in(&mut client, "ANONYMOUS", b"").0, "connection.close");
    options.anonymous_login = None;
    server.reload(options);
    assert_eq!(mechanisms(&mut connect()).unwrap(), "AMQPLAIN PLAIN");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_start_says_which_file_is_wrong() {
    let world = World::new("wrong");
    let mut options = world.options();
    options.tls.key = Some(world.path("nothing.key"));
    assert!(world.fault(options).await.contains("nothing.key: No such file"));
    let mut options = world.options();
    options.tls.key = options.tls.certificates.clone();
    let fault = world.fault(options.clone()).await;
    assert!(fault.contains("server.crt: there is no private key in this file"), "{fault}");
    options.tls.certificates = Some(world.path("server.key"));
    let fault = world.fault(options).await;
    assert!(fault.contains("server.key: there is no certificate in this file"), "{fault}");
    world.put_certificate("other", &world.authority, "localhost");
    let mut options = world.options();
    options.tls.key = Some(world.path("other.key"));
    let fault = world.fault(options).await;
    assert!(fault.contains("other.key: this key does not belong to the certificate"), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proxy_says_where_its_client_is_and_nobody_else_may() {
    let world = World::new("proxy");
    let mut options = world.options();
    options.proxies = vec!["127.0.0.1".parse().unwrap()];
    options.entry.per_address_max = 1;
    let server = Server::start(options.clone()).await.unwrap();
    let connect = || TcpStream::connect(server.amqp_addresses()[0]).unwrap();
    let from = |address: &str| {
        let mut client = connect();
        write!(client, "PROXY TCP4 {address} 192.0.2.1 5 5672\r\n").unwrap();
        (mechanisms(&mut client), client)
    };
    let one = from("192.0.2.7");
    assert!(one.0.is_ok());
    assert!(from("192.0.2.7").0.is_err(), "connection_max_per_address");
    assert!(from("192.0.2.8").0.is_ok(), "the proxy itself is not counted");
    assert!(mechanisms(&mut connect()).is_err(), "no header");
    let mut client = connect();
    for byte in b"PROXY UNKNOWN\r\n" {
        client.write_all(&[*byte]).unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    assert!(mechanisms(&mut client).is_ok(), "a header in pieces");
    // TLS behind a header.
    let mut tls = connect_tls(server.amqps_addresses()[0], "localhost", &world.authority, None);
    tls.sock.write_all(b"PROXY TCP4 192.0.2.9 192.0.2.1 5 5671\r\n").unwrap();
    assert!(mechanisms(&mut tls).is_ok());

    options.proxies.clear();
    options.entry.per_address_max = 0;
    server.reload(options);
    assert!(from("192.0.2.7").0.is_err(), "from somebody who is no proxy");
    assert!(mechanisms(&mut connect()).is_ok());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_is_too_slow_or_in_the_wrong_protocol_is_closed_in_time() {
    let world = World::new("slow");
    let mut options = world.options();
    options.handshake_timeout = Duration::from_millis(300);
    options.proxies = vec!["127.0.0.1".parse().unwrap()];
    let server = Server::start(options.clone()).await.unwrap();
    let (plain, tls) = (server.amqp_addresses()[0], server.amqps_addresses()[0]);
    assert!(is_closed_while_dripping(plain, b"PROXY TCP4 192.0.2.7").await);
    options.proxies.clear();
    server.reload(options);
    assert!(is_closed_while_dripping(plain, b"AMQP\0\0\x09\x01\x01\0\0\0\0\0\x20").await);
    assert!(is_closed_while_dripping(tls, b"\x16\x03\x01\x10\0\x01").await);
    assert!(is_closed_while_dripping(tls, b"").await);
    let mut client = TcpStream::connect(tls).unwrap();
    assert!(mechanisms(&mut client).is_err(), "no plaintext on the port of TLS");
    let started = Instant::now();
    while server.shared.door.open() > 0 {
        assert!(started.elapsed() < Duration::from_secs(5), "{}", server.shared.door.open());
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.shared.door.pending(), 0);
    server.shutdown().await;
}

/// Whether somebody who says `start` and then a byte every 20 ms is closed between 200 ms and 3 s.
async fn is_closed_while_dripping(address: SocketAddr, start: &[u8]) -> bool {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_nonblocking(true).unwrap();
    client.write_all(start).unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        sleep(Duration::from_millis(20)).await;
        let mut byte = [0; 1024];
        match client.read(&mut byte) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return started.elapsed() > Duration::from_millis(200),
            Ok(_) => continue,
        }
        if !start.is_empty() && client.write_all(b"1").is_err() {
            return started.elapsed() > Duration::from_millis(200);
        }
    }
    false
}
