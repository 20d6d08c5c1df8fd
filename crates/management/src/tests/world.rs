//! A broker with users behind the interface, and a client that speaks just enough HTTP.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leveret_broker::auth::{Cost, PasswordHash, Scopes};
use leveret_broker::broker::{Broker, Credential};
use leveret_broker::definitions::User;
use leveret_broker::histogram::Snapshot;
use leveret_broker::ids::{ConnectionId, Name, Timestamp};
use leveret_broker::log::NoLog;
use leveret_broker::message::{FieldTable, FieldValue};
use serde_json::Value;

use crate::doorway::{Arrival, Doorway, Open, Passing, Peer, Port};
use crate::node::{
    Certificate, Channel, Churn, Connection, Consumer, Facts, Granted, Listener, LogLine, Login,
    MessageCounts, Node, Summed, Traffic,
};

/// A server with one connection that does nothing.
pub(crate) struct Stage {
    pub(crate) broker: Broker,
}

fn connection(broker: &Broker) -> Connection {
    let queue = broker.topology().vhosts["/"].queues.values().next().cloned();
    let consumer = Consumer {
        id: leveret_broker::ids::ConsumerId(1),
        tag: "tag".into(),
        queue,
        no_ack: false,
        exclusive: false,
        prefetch: 10,
        arguments: FieldTable::default(),
    };
    let counts = MessageCounts { publish: 3, deliver: 2, ..MessageCounts::default() };
    let channel = Channel {
        number: 1,
        counts,
        unacked: 2,
        unconfirmed: 0,
        prefetch: 10,
        global_prefetch: 0,
        confirms: true,
        transactional: false,
        consumers: vec![consumer],
    };
    let name = ("connection_name".to_owned(), FieldValue::LongStr(b"mine".to_vec()));
    Connection {
        id: ConnectionId(7),
        user: "admin".into(),
        vhost: "/".into(),
        protocol: "AMQP 0-9-1",
        mechanism: "PLAIN",
        peer: SocketAddr::from(([127, 0, 0, 1], 40_000)),
        tls: None,
        local: SocketAddr::from(([127, 0, 0, 1], 5_672)),
        connected_at: Timestamp(5),
        client_properties: FieldTable(vec![name]),
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat_secs: 60,
        received: (100, 2),
        sent: (200, 3),
        blocked: false,
        channels: vec![channel],
    }
}

impl Node for Stage {
    fn broker(&self) -> &Broker {
        &self.broker
    }
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000)
    }
    fn facts(&self) -> Facts {
        Facts {
            message_max_bytes: 1 << 20,
            connection_max: 10,
            headers_max: (Some(4), 3),
            node_name: "leveret@localhost".to_owned(),
            cluster_name: self.broker.cluster_name().unwrap_or_default(),
            ..Facts::default()
        }
    }
    fn listeners(&self) -> Vec<Listener> {
        let address = SocketAddr::from(([127, 0, 0, 1], 5_672));
        vec![Listener { protocol: "amqp", address, tls: false }]
    }
    fn certificates(&self) -> Vec<Certificate> {
        // Valid for ten days and a second more.
        vec![Certificate { file: "server.pem".to_owned(), not_after_s: 1_000 + 864_001 }]
    }
    fn consumer_timeout_ms(&self) -> u64 {
        9_000
    }
    fn connections(&self) -> Vec<Connection> {
        vec![connection(&self.broker)]
    }
    fn connection_count(&self) -> usize {
        1
    }
    fn close_connection(&self, id: ConnectionId, _reason: &str) -> bool {
        id == ConnectionId(7)
    }
    fn counts(&self) -> Summed {
        (MessageCounts::default(), HashMap::new())
    }
    fn traffic(&self) -> Traffic {
        Traffic { connections: 1, channels: 1, ..Traffic::default() }
    }
    fn confirm_times(&self) -> Snapshot {
        Snapshot::default()
    }
    fn count(&self, _vhost: &Name, _counts: &MessageCounts) {}
    fn spans(&self) -> Option<(u64, u64)> {
        Some((5, 7))
    }
    fn churn(&self) -> Churn {
        Churn::default()
    }
    fn log_in(&self, user: &str, password: &[u8], _from: IpAddr) -> Option<Login> {
        Some(Login { user: self.broker.authenticate(user, password)?, token: None })
    }
    /// A token here is its scopes, with commas.
    fn log_in_by_token(&self, token: &[u8], _from: IpAddr) -> Option<Login> {
        let text = std::str::from_utf8(token).ok().filter(|text| text.contains(':'))?;
        let scopes = Arc::new(Scopes::parse(text.split(','), &|_| None));
        let (name, tags) = ("bearer".into(), scopes.tags().to_vec());
        let user = Arc::new(User { name, tags, password: PasswordHash::NONE });
        Some(Login { user, token: Some(Granted { scopes, expires_at: Timestamp(1_000_001) }) })
    }
    fn strict_transport(&self) -> Option<String> {
        Some("max-age=7".to_owned())
    }
    fn audit(&self, _who: &str, _from: IpAddr, _what: &'static str, _which: &str) {}
    fn config(&self) -> Value {
        Value::Null
    }
    fn log_lines(&self, _after: u64, _level: &str, _max: usize) -> (Vec<LogLine>, u64) {
        (Vec::new(), 0)
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// In lower case but for the values.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answered {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Sends a request, and reads until the end.
pub(crate) fn exchange(address: SocketAddr, request: &str) -> Answered {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // An answer may come before all of a large body is taken.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    Answered { status, head: head.to_owned(), body: body.to_owned() }
}

/// A handshake of one byte, which makes the rest secure.
struct Handshake;

impl Doorway for Handshake {
    fn pass(&self, stream: tokio::net::TcpStream, address: SocketAddr) -> Passing {
        Box::pin(async move {
            let mut first = [0];
            stream.readable().await.ok()?;
            // It may seem readable and not be so yet.
            while let Err(error) = stream.try_read(&mut first) {
                (error.kind() == std::io::ErrorKind::WouldBlock).then_some(())?;
                stream.readable().await.ok()?;
            }
            (first == *b"!").then_some(())?;
            let peer = Peer { address, is_secure: true };
            Some(Arrival { stream: Box::new(stream), peer })
        })
    }
}

/// The interface on ports of its own.
pub(super) struct World {
    address: SocketAddr,
    /// With a [`Handshake`].
    pub(super) secure: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    pub(super) fn new() -> Self {
        let broker = Broker::new(Arc::new(NoLog::default()), [7; 32]);
        broker.set_password_cost(Cost::LEAST);
        broker.add_vhost("/");
        broker.put_administrator("admin", "admin", "/").unwrap();
        broker.put_user("plain", Credential::Password("plain"), &[]).unwrap();
        broker.put_user("reader", Credential::Password("reader"), &["management"]).unwrap();
        broker.grant("reader", "/", ["^$", "^$", ".*"]).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let listen = || runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let (plain, secure) = (listen(), listen());
        let (address, of_secure) = (plain.local_addr().unwrap(), secure.local_addr().unwrap());
        let doors: [(_, Arc<dyn Doorway>); 2] =
            [(plain, Arc::new(Open)), (secure, Arc::new(Handshake))];
        let ports = doors.map(|(listener, doorway)| Port { listener, doorway });
        runtime.spawn(crate::serve(ports.into(), Arc::new(Stage { broker })));
        Self { address, secure: of_secure, _runtime: runtime }
    }

    pub(super) fn raw(&self, method: &str, path: &str, headers: &str, body: &str) -> Answered {
        let length = body.len();
        let request = format!(
            "{method} /api/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\
             Content-Length: {length}\r\n\r\n{body}"
        );
        exchange(self.address, &request)
    }

    pub(super) fn ask(&self, who: Option<&str>, method: &str, path: &str, body: &str) -> Answered {
        let header = |who| format!("Authorization: Basic {}\r\n", STANDARD.encode(who));
        self.raw(method, path, &who.map_or_else(String::new, header), body)
    }

    pub(super) fn get(&self, path: &str) -> Answered {
        self.ask(Some("admin:admin"), "GET", path, "")
    }

    pub(super) fn put(&self, path: &str, body: &Value) -> u16 {
        self.ask(Some("admin:admin"), "PUT", path, &body.to_string()).status
    }

    pub(super) fn delete(&self, path: &str) -> u16 {
        self.ask(Some("admin:admin"), "DELETE", path, "").status
    }
}
