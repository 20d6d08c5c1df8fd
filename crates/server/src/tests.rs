//! A server as a whole: its start and its end.

use std::io::{Read, Write};
use std::net::TcpStream;

use leveret_broker::broker::Principal;
use leveret_broker::ids::ConnectionId;
use leveret_broker::log::NoLog;
use leveret_wire::amqp091::PROTOCOL_HEADER;

use super::*;

mod entry;
mod https;
mod metrics;

fn of(user: &str) -> Principal {
    Principal::new(ConnectionId(1)).in_vhost(user, "")
}

fn options() -> Options {
    let amqp_listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    Options { amqp_listen, default_user: "somebody".to_owned(), ..Options::default() }
}

/// A data directory that goes with its test.
struct DataDir(std::path::PathBuf);

impl DataDir {
    fn new(name: &str) -> Self {
        let name = format!("leveret-server-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn options(&self) -> Options {
        let mut options = options();
        options.store.data_dir = self.0.clone();
        options
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn only_a_broker_without_users_and_vhosts_gets_the_defaults() {
    let broker = Broker::new(Arc::new(NoLog::default()), [1; 32]);
    add_defaults(&broker, &options());
    assert!(broker.authenticate("somebody", b"guest").is_some());
    let other = Options {
        default_user: "other".to_owned(),
        default_vhost: "other".to_owned(),
        ..Options::default()
    };
    add_defaults(&broker, &other);
    assert!(broker.authenticate("other", b"guest").is_none());
    assert!(
        broker.check_vhost(&of("somebody"), "/").is_ok()
            && broker.check_vhost(&of("somebody"), "other").is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_shutdown_closes_connections_and_frees_the_data_directory() {
    let data = DataDir::new("shutdown");
    let server = Server::start(data.options()).await.unwrap();
    let mut client = TcpStream::connect(server.amqp_addresses()[0]).unwrap();
    client.write_all(&PROTOCOL_HEADER).unwrap();
    let mut start = [0; 64];
    client.read_exact(&mut start).unwrap();
    assert_eq!(server.shared.connection_count(), 1);
    let second = Server::start(data.options()).await.unwrap_err().to_string();
    assert!(second.contains("in use by process"), "{second}");
    server.shutdown().await;
    server.shutdown().await;
    assert_eq!(server.shared.connection_count(), 0);
    assert!(client.read_to_end(&mut Vec::new()).is_ok());
    drop(server);
    let mut options = data.options();
    options.default_user = "another".to_owned();
    // The last tasks let go of it as they end.
    let deadline = Instant::now() + Duration::from_secs(10);
    let again = loop {
        match Server::start(options.clone()).await {
            Ok(server) => break server,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(10)).await;
    };
    let broker = &again.shared.broker;
    assert!(broker.authenticate("somebody", b"guest").is_some(), "the first user is kept");
    assert!(broker.authenticate("another", b"guest").is_none(), "there was a user");
    again.shutdown().await;
}
