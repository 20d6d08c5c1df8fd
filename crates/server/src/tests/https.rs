//! The HTTP listeners over TLS, logins there by token, and the end of AMQP over TLS.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use leveret_client::{Connection, Publish, QueueOptions, Uri};
use rustls::{ClientConfig, RootCertStore};

use super::entry::{Authority, World, connect_tls};
use super::*;
use crate::oauth::tests::{EC, claims, key_set};
use crate::options::AutoPort;
use crate::{HttpsOptions, OAuthOptions};

fn https_options(world: &World) -> Options {
    let mut options = world.options();
    let tls = options.tls.clone();
    let secure = |section| HttpsOptions {
        port: AutoPort::Number(0),
        tls: TlsOptions { section, ..tls.clone() },
        ..HttpsOptions::default()
    };
    options.amqps_listen.clear();
    options.management_port = AutoPort::Number(0);
    options.management_tls = secure("management.ssl");
    options.metrics_tls = secure("prometheus.ssl");
    options
}

/// What is answered; an error if there is no answer.
fn get(
    stream: &mut (impl Read + Write),
    path: &str,
    headers: &str,
) -> std::io::Result<(String, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.to_owned(), body.to_owned()))
}

fn basic() -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode("somebody:guest"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn management_and_metrics_are_served_with_and_without_tls() {
    let world = World::new("https");
    let mut options = https_options(&world);
    options.strict_transport = Some("max-age=5".to_owned());
    let server = Server::start(options.clone()).await.unwrap();
    let secure = server.management_tls_address().unwrap();
    let connect =
        |address, authority: &Authority| connect_tls(address, "localhost", authority, None);
    // Who says nothing, or no TLS, is in nobody's way.
    let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(secure).unwrap()).collect();
    let (head, _) = get(&mut TcpStream::connect(secure).unwrap(), "/", "").unwrap_or_default();
    assert_eq!(head, "", "no plaintext on the port of TLS");
    let (head, body) =
        get(&mut connect(secure, &world.authority), "/api/overview", &basic()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("strict-transport-security: max-age=5"), "{head}");
    let listeners: serde_json::Value = serde_json::from_str(&body).unwrap();
    let listeners = listeners["listeners"].as_array().unwrap();
    let names: Vec<&str> = listeners.iter().map(|one| one["protocol"].as_str().unwrap()).collect();
    assert_eq!(names, ["amqp", "http", "https", "https/prometheus"]);
    let mut plain = TcpStream::connect(server.management_address().unwrap()).unwrap();
    let (head, _) = get(&mut plain, "/api/overview", &basic()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains("strict-transport"), "{head}");
    let metrics = server.metrics_tls_address().unwrap();
    let (_, body) = get(&mut connect(metrics, &world.authority), "/metrics", "").unwrap();
    assert!(body.contains("rabbitmq_connections"), "{body}");
    assert_eq!(server.metrics_address(), None);
    drop(silent);

    // A reload takes new certificates, and asks for the clients' own.
    let other = Authority::new();
    world.put_certificate("server", &other, "localhost");
    options.management_tls.tls.verify_peer = true;
    options.management_tls.tls.require_peer = true;
    server.reload(options);
    assert!(get(&mut connect(secure, &other), "/", "").is_err(), "no certificate");
    let identity = Some(world.authority.sign("hare", &["hare"]));
    let mut hare = connect_tls(secure, "localhost", &other, identity);
    assert!(get(&mut hare, "/", "").unwrap().0.starts_with("HTTP/1.1 200"));
    assert!(get(&mut connect(metrics, &other), "/metrics", "").is_ok());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_tls_of_an_interface_names_its_keys_and_has_a_deadline() {
    let world = World::new("https-faults");
    let mut options = https_options(&world);
    options.management_tls.tls.certificates = None;
    let fault = world.fault(options).await;
    assert!(fault.contains("TLS for the management interface: TLS needs management.ssl.certfile"));
    let mut options = https_options(&world);
    options.tls.handshake_timeout = Duration::from_millis(200);
    options.management_proxy = true;
    options.proxies = vec!["127.0.0.1".parse().unwrap()];
    let server = Server::start(options).await.unwrap();
    let mut stalled = TcpStream::connect(server.metrics_tls_address().unwrap()).unwrap();
    stalled.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stalled.write_all(b"\x16\x03\x01").unwrap();
    let ended = stalled.read(&mut [0; 16]);
    assert!(!ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    // A header names the client, who is not here, and so no guest.
    let secure = server.management_tls_address().unwrap();
    let mut proxied = connect_tls(secure, "localhost", &world.authority, None);
    proxied.sock.write_all(b"PROXY TCP4 192.0.2.9 192.0.2.1 5 15671\r\n").unwrap();
    assert!(get(&mut proxied, "/api/whoami", &basic()).unwrap().0.starts_with("HTTP/1.1 200"));
    let mut bare = connect_tls(secure, "localhost", &world.authority, None);
    assert!(get(&mut bare, "/", "").is_err(), "no header");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_checked_as_for_amqp() {
    let world = World::new("bearer");
    let mut options = world.options();
    options.amqps_listen.clear();
    options.management_port = AutoPort::Number(0);
    let path = world.path("keys.json");
    std::fs::write(&path, key_set(&[&*EC])).unwrap();
    let oauth = OAuthOptions { jwks_file: Some(path), ..OAuthOptions::new("leveret") };
    options.oauth = Some(Arc::new(oauth));
    options.loopback_users = Vec::new();
    let server = Server::start(options.clone()).await.unwrap();
    let ask = |authorization: String, path: &str| {
        let mut stream = TcpStream::connect(server.management_address().unwrap()).unwrap();
        let header = format!("Authorization: {authorization}\r\n");
        let (head, body) = get(&mut stream, path, &header).unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body)
    };
    let far = json!({
        "exp": u64::from(u32::MAX), "aud": "leveret",
        "scope": "leveret.tag:administrator leveret.read:*/*",
    });
    let good = EC.token(&claims(far.clone()));
    let (status, body) = ask(format!("Bearer {good}"), "/api/whoami");
    assert_eq!(status, "200", "{body}");
    assert!(body.contains("administrator"), "{body}");
    let (status, _) = ask(format!("bearer   {good}"), "/api/users");
    assert_eq!(status, "200", "known by now");
    let by_password = STANDARD.encode(format!("whoever:{good}"));
    assert_eq!(ask(format!("Basic {by_password}"), "/api/users").0, "200");
    let mut untagged = far.clone();
    untagged["scope"] = json!("leveret.read:*/* other.tag:administrator");
    let untagged = EC.token(&claims(untagged));
    assert_eq!(ask(format!("Bearer {untagged}"), "/api/overview").0, "401");
    let mut expired = far;
    expired["exp"] = json!(1);
    for bad in [EC.token(&claims(expired)), "x.y.z".to_owned(), format!("{good}x")] {
        assert_eq!(ask(format!("Bearer {bad}"), "/api/whoami").0, "401");
    }
    options.oauth = None;
    server.reload(options);
    assert_eq!(ask(format!("Bearer {good}"), "/api/whoami").0, "401", "tokens are off");
    server.shutdown().await;
}

/// A client that trusts the world's authority.
fn tls_client(world: &World, port: u16) -> Connection {
    let mut roots = RootCertStore::empty();
    roots.add(world.authority_der()).unwrap();
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let options =
        leveret_client::Options { tls: Some(Arc::new(tls)), ..leveret_client::Options::default() };
    let uri: Uri = format!("amqps://somebody:guest@localhost:{port}").parse().unwrap();
    Connection::connect_with(&uri, &options).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_behind_publishes_overtakes_none_of_them_over_tls() {
    let world = World::new("close");
    let server = Server::start(world.options()).await.unwrap();
    let port = server.amqps_addresses()[0].port();
    let test = move || {
        let mut other = tls_client(&world, port);
        let channel = other.open_channel().unwrap();
        for round in 1..=3 {
            let mut client = tls_client(&world, port);
            let own = client.open_channel().unwrap();
            client.declare_queue(own, "q", &QueueOptions::default()).unwrap();
            for _ in 0..10_000 {
                let message = Publish { routing_key: "q", body: &[7; 100], ..Publish::default() };
                client.publish(own, &message).unwrap();
            }
            client.close().expect("a close-ok, and no reset before it");
            let found = other.declare_queue(channel, "q", &QueueOptions::default()).unwrap();
            assert_eq!(found.message_count, round * 10_000);
        }
    };
    tokio::task::spawn_blocking(test).await.unwrap();
    server.shutdown().await;
}
