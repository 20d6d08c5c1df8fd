//! A server as a whole: its start and its end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use leveret_wire::amqp091::PROTOCOL_HEADER;

use super::*;

fn options() -> Options {
    let amqp_listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    Options { amqp_listen, default_user: "somebody".to_owned(), ..Options::default() }
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
    assert!(broker.check_vhost("/").is_ok() && broker.check_vhost("other").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_log_is_closed_once_when_all_connections_are_gone() {
    const NEVER: usize = usize::MAX;
    let server = Server::start(options()).await.unwrap();
    let mut client = TcpStream::connect(server.amqp_addresses()[0]).unwrap();
    client.write_all(&PROTOCOL_HEADER).unwrap();
    let mut start = [0; 64];
    client.read_exact(&mut start).unwrap();
    let open = Arc::new(AtomicUsize::new(NEVER));
    let (shared, seen) = (Arc::clone(&server.shared), Arc::clone(&open));
    assert_eq!(shared.connection_count(), 1);
    *server.close_log.lock().unwrap() = Some(Box::new(move || {
        assert_eq!(seen.swap(shared.connection_count(), Ordering::SeqCst), NEVER, "closed once");
    }));
    server.shutdown().await;
    server.shutdown().await;
    assert_eq!(open.load(Ordering::SeqCst), 0);
    assert!(client.read_to_end(&mut Vec::new()).is_ok());
}
