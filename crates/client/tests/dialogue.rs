//! The client against a scripted server: what it says, and what it makes of the answers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use leveret_client::{Channel, Connection, Error, Incoming, Publish, QueueOptions};
use leveret_client::{ConsumeOptions, Options, delivery_tag};
use leveret_wire::amqp091::PROTOCOL_HEADER;
use leveret_wire::amqp091::frame::{
    Decoder, Event, FRAME_END, write_ack, write_body_frame_header, write_content_header,
    write_deliver, write_nack,
};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::{FieldTable, Table};

/// Accepts one connection and answers every method with what `answer` writes.
fn serve(answer: impl FnMut(u16, &Method<'_>, &mut Vec<u8>) + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        talk(stream, answer);
    });
    Server { uri: format!("amqp://user:pass@127.0.0.1:{port}/v"), thread }
}

struct Server {
    uri: String,
    thread: JoinHandle<()>,
}

impl Server {
    fn connect(&self) -> Connection {
        let options = Options { timeout: Duration::from_secs(5), ..Options::default() };
        Connection::connect_with(&self.uri.parse().expect("valid"), &options).expect("connected")
    }
}

fn talk(mut stream: TcpStream, mut answer: impl FnMut(u16, &Method<'_>, &mut Vec<u8>)) {
    let mut header = [0; 8];
    stream.read_exact(&mut header).expect("a header");
    assert_eq!(header, PROTOCOL_HEADER);
    let server: FieldTable = [("product", "script")].into_iter().collect();
    let content = server.to_content();
    let mut out = Vec::new();
    Method::ConnectionStart {
        version_major: 0,
        version_minor: 9,
        server_properties: Table::parse(&content).expect("well formed"),
        mechanisms: b"PLAIN",
        locales: b"en_US",
    }
    .encode_frame(0, &mut out);
    let (mut decoder, mut kept, mut piece) = (Decoder::new(0), Vec::new(), [0; 4096]);
    loop {
        stream.write_all(&out).expect("the client listens");
        out.clear();
        let Ok(got @ 1..) = stream.read(&mut piece) else { return };
        kept.extend_from_slice(&piece[..got]);
        let mut input = kept.as_slice();
        while let Some(event) = decoder.next(&mut input).expect("valid frames") {
            if let Event::Method { channel, payload } = event {
                let method = Method::decode(payload).expect("a method");
                common(channel, &method, &mut out);
                answer(channel, &method, &mut out);
            }
        }
        kept = input.to_vec();
    }
}

/// What every server answers alike.
fn common(channel: u16, method: &Method<'_>, out: &mut Vec<u8>) {
    let reply = match method {
        Method::ConnectionStartOk { response, client_properties, .. } => {
            assert_eq!(*response, b"\0user\0pass");
            assert!(client_properties.get("capabilities").is_some());
            Method::ConnectionTune { channel_max: 2, frame_max: 4096, heartbeat: 60 }
        }
        Method::ConnectionOpen { virtual_host: "v" } => Method::ConnectionOpenOk {},
        Method::ConnectionClose { .. } => Method::ConnectionCloseOk {},
        Method::ChannelOpen {} => Method::ChannelOpenOk {},
        Method::ConfirmSelect { .. } => Method::ConfirmSelectOk {},
        _ => return,
    };
    reply.encode_frame(channel, out);
}

#[test]
fn it_connects_opens_channels_and_closes() {
    let server = serve(|_, _, _| {});
    let mut connection = server.connect();
    assert_eq!(connection.frame_max(), 4096);
    let product = connection.server_properties().get("product");
    assert_eq!(product.and_then(|value| value.as_str()), Some("script"));
    assert_eq!(connection.open_channel().expect("opened"), Channel(1));
    assert_eq!(connection.open_channel().expect("opened"), Channel(2));
    assert!(matches!(connection.open_channel(), Err(Error::NoChannel)));
    connection.close().expect("closed in good order");
    server.thread.join().expect("the script ran to its end");
}

#[test]
fn deliveries_during_a_call_are_kept() {
    let server = serve(|channel, method, out| {
        if let Method::BasicConsume { queue: "q", no_ack: true, .. } = method {
            write_deliver(out, channel, "t", 7, true, "x", "k");
            write_content_header(out, channel, 5, &[0x10, 0, 2]);
            write_body_frame_header(out, channel, 5);
            out.extend_from_slice(b"hello");
            out.push(FRAME_END);
            Method::BasicConsumeOk { consumer_tag: "t" }.encode_frame(channel, out);
        }
    });
    let mut connection = server.connect();
    let channel = connection.open_channel().expect("opened");
    let options = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
    assert_eq!(connection.consume(channel, "q", &options).expect("consuming"), "t");
    let Ok(Some(Incoming::Delivery(delivery))) = connection.next(Duration::from_secs(5)) else {
        panic!("no delivery");
    };
    assert_eq!((delivery.delivery_tag, delivery.redelivered), (7, true));
    assert_eq!(
        (delivery.body.as_slice(), delivery.properties.delivery_mode),
        (&b"hello"[..], Some(2))
    );
    assert!(matches!(connection.next(Duration::from_millis(5)), Ok(None)));
}

#[test]
fn confirms_are_counted_and_refusals_told() {
    let mut seen = 0;
    let server = serve(move |channel, method, out| {
        if let Method::BasicPublish { .. } = method {
            seen += 1;
            match seen {
                2 => write_ack(out, channel, 2, true),
                3 => write_nack(out, channel, 3, false, false),
                _ => {}
            }
        }
    });
    let mut connection = server.connect();
    let channel = connection.open_channel().expect("opened");
    connection.confirm_select(channel).expect("confirm mode");
    let body = vec![0; 10_000];
    let message = Publish { routing_key: "q", body: &body, ..Publish::default() };
    assert_eq!(connection.publish(channel, &message).expect("published"), 1);
    assert_eq!(connection.publish(channel, &message).expect("published"), 2);
    connection.wait_for_confirms(channel).expect("both are confirmed");
    assert_eq!(connection.publish(channel, &message).expect("published"), 3);
    assert!(matches!(connection.wait_for_confirms(channel), Err(Error::NotConfirmed(1))));
}

#[test]
fn a_closed_channel_is_an_error_and_answered() {
    let server = serve(|channel, method, out| match method {
        Method::QueueDeclare { queue, .. } => {
            let (class_id, method_id) = (50, 10);
            let reply_text = format!("NOT_FOUND - no queue '{queue}' in vhost '/'");
            Method::ChannelClose { reply_code: 404, reply_text: &reply_text, class_id, method_id }
                .encode_frame(channel, out);
        }
        Method::ChannelCloseOk {} => Method::ConnectionUnblocked {}.encode_frame(0, out),
        _ => {}
    });
    let mut connection = server.connect();
    let channel = connection.open_channel().expect("opened");
    let options = QueueOptions { passive: true, ..QueueOptions::default() };
    let error = connection.declare_queue(channel, "nope", &options).expect_err("no such queue");
    let text = "channel 1 closed by the server: 404 NOT_FOUND - no queue 'nope' in vhost '/'";
    assert_eq!(error.to_string(), text);
    let next = connection.next(Duration::from_secs(5)).expect("the connection lives");
    assert_eq!(next, Some(Incoming::Unblocked), "close-ok was sent");
}

#[test]
fn another_protocol_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.write_all(b"AMQP\x03\x01\x00\x00").expect("the client listens");
    });
    let result = Connection::connect(&format!("amqp://127.0.0.1:{port}"));
    assert!(matches!(result, Err(Error::Protocol(header)) if &header == b"AMQP\x03\x01\0\0"));
    server.join().expect("the script ran to its end");
}

#[test]
fn delivery_tags_are_found_without_decoding() {
    let mut frame = Vec::new();
    write_deliver(&mut frame, 1, "consumer", 123_456, false, "x", "k");
    assert_eq!(delivery_tag(&frame[7..]), Some(123_456));
    assert_eq!(delivery_tag(&[0, 60, 0, 60, 9, 1]), None);
    assert_eq!(delivery_tag(&[0, 60, 0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 1]), None);
}
