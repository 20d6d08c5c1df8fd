//! What is encoded decodes to itself, in any split, and no bytes whatever make the crate panic.

use leveret_wire::amqp091::frame::{
    ContentHeader, Decoder, Event, FRAME_END, write_body_frame_header, write_content_header,
    write_heartbeat,
};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::properties::{BasicProperties, Essentials, Properties, ShortString};
use leveret_wire::amqp091::table::{FieldTable, FieldValue, Table};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn field_value() -> impl Strategy<Value = FieldValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(FieldValue::Bool),
        any::<i8>().prop_map(FieldValue::I8),
        any::<u8>().prop_map(FieldValue::U8),
        any::<i16>().prop_map(FieldValue::I16),
        any::<u16>().prop_map(FieldValue::U16),
        any::<i32>().prop_map(FieldValue::I32),
        any::<u32>().prop_map(FieldValue::U32),
        any::<i64>().prop_map(FieldValue::I64),
        any::<f32>().prop_map(FieldValue::F32),
        any::<f64>().prop_map(FieldValue::F64),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| FieldValue::Decimal { scale, value }),
        vec(any::<u8>(), 0..40).prop_map(FieldValue::LongStr),
        any::<u64>().prop_map(FieldValue::Timestamp),
        Just(FieldValue::Void),
        vec(any::<u8>(), 0..40).prop_map(FieldValue::Bytes),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(FieldValue::Array),
            vec(("\\PC{0,12}", inner), 0..6).prop_map(|f| FieldValue::Table(FieldTable(f))),
        ]
    })
}

fn field_table() -> impl Strategy<Value = FieldTable> {
    vec(("\\PC{0,20}", field_value()), 0..6).prop_map(FieldTable)
}

fn basic_properties() -> impl Strategy<Value = BasicProperties> {
    let binary = vec(any::<u8>(), 0..256)
        .prop_map(|bytes| ShortString::from_bytes(&bytes).expect("not too long"));
    let short = prop_oneof!["\\PC{0,30}".prop_map(ShortString::from), binary].boxed();
    let text = || option::of(short.clone());
    let first = (text(), text(), option::of(field_table()), any::<Option<u8>>());
    let second = (any::<Option<u8>>(), text(), text(), text(), text());
    let third = (any::<Option<u64>>(), text(), text(), text(), text());
    (first, second, third).prop_map(|(first, second, third)| BasicProperties {
        content_type: first.0,
        content_encoding: first.1,
        headers: first.2,
        delivery_mode: first.3,
        priority: second.0,
        correlation_id: second.1,
        reply_to: second.2,
        expiration: second.3,
        message_id: second.4,
        timestamp: third.0,
        r#type: third.1,
        user_id: third.2,
        app_id: third.3,
        cluster_id: third.4,
    })
}

/// Events with body chunks joined to whole frames, so that they do not depend on the split.
#[derive(Debug, Clone, PartialEq)]
enum Whole {
    Method(u16, Vec<u8>),
    Header(u16, Vec<u8>),
    Body(u16, Vec<u8>),
    Heartbeat,
}

impl Whole {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Whole::Method(channel, payload) => {
                out.push(1);
                out.extend_from_slice(&channel.to_be_bytes());
                out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
                out.extend_from_slice(payload);
                out.push(FRAME_END);
            }
            Whole::Header(channel, properties) => {
                write_content_header(out, *channel, 42, properties);
            }
            Whole::Body(channel, payload) => {
                write_body_frame_header(out, *channel, payload.len() as u32);
                out.extend_from_slice(payload);
                out.push(FRAME_END);
            }
            Whole::Heartbeat => write_heartbeat(out),
        }
    }
}

fn whole() -> impl Strategy<Value = Whole> {
    let bytes = || vec(any::<u8>(), 0..80);
    prop_oneof![
        (any::<u16>(), bytes()).prop_map(|(channel, p)| Whole::Method(channel, p)),
        (any::<u16>(), bytes()).prop_map(|(channel, p)| Whole::Header(channel, p)),
        (any::<u16>(), bytes()).prop_map(|(channel, p)| Whole::Body(channel, p)),
        Just(Whole::Heartbeat),
    ]
}

/// Feeds `stream` in pieces of the given sizes, as a socket would, and joins body chunks.
fn decode_in_pieces(stream: &[u8], sizes: &[usize]) -> Vec<Whole> {
    let mut decoder = Decoder::new(4096);
    let (mut buffer, mut body, mut found) = (Vec::new(), Vec::new(), Vec::new());
    let mut sizes = sizes.iter().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let size = sizes.next().copied().unwrap_or(1).clamp(1, rest.len());
        let (piece, tail) = rest.split_at(size);
        rest = tail;
        buffer.extend_from_slice(piece);
        let mut input = buffer.as_slice();
        while let Some(event) = decoder.next(&mut input).expect("the stream is valid") {
            match event {
                Event::Method { channel, payload } => {
                    found.push(Whole::Method(channel, payload.to_vec()));
                }
                Event::Header { channel, payload } => {
                    let header = ContentHeader::decode(payload).expect("the header is whole");
                    found.push(Whole::Header(channel, header.properties.to_vec()));
                }
                Event::Body { channel, chunk, end_of_frame } => {
                    body.extend_from_slice(chunk);
                    if end_of_frame {
                        found.push(Whole::Body(channel, std::mem::take(&mut body)));
                    }
                }
                Event::Heartbeat { .. } => found.push(Whole::Heartbeat),
            }
        }
        buffer = input.to_vec();
    }
    assert!(buffer.is_empty(), "all is consumed");
    found
}

proptest! {
    #[test]
    fn tables_round_trip(table in field_table()) {
        let content = table.to_content();
        let view = Table::parse(&content).expect("what we write is well formed");
        prop_assert_eq!(view.to_owned(), table);
        let mut prefixed = Vec::new();
        view.to_owned().encode(&mut prefixed);
        prop_assert_eq!(&prefixed[4..], &content[..]);
    }

    #[test]
    fn properties_round_trip(properties in basic_properties()) {
        let mut raw = Vec::new();
        properties.encode(&mut raw);
        let view = Properties::parse(&raw).expect("what we write is well formed");
        prop_assert_eq!(BasicProperties::from(&view), properties);
        prop_assert_eq!(Essentials::parse(&raw), Ok(Essentials::from(&view)));
        let cut = &raw[..raw.len() - 1];
        prop_assert_eq!(Essentials::parse(cut).is_ok(), Properties::parse(cut).is_ok());
        let mut again = Vec::new();
        view.encode(&mut again);
        prop_assert_eq!(again, raw);
    }

    #[test]
    fn methods_round_trip(
        (a, b, c) in ("\\PC{0,40}", "\\PC{0,40}", "\\PC{0,40}"),
        (table, bytes) in (field_table(), vec(any::<u8>(), 0..60)),
        (p, q, r, s, t) in any::<(bool, bool, bool, bool, bool)>(),
        (tag, long, short) in any::<(u64, u32, u16)>(),
    ) {
        let content = table.to_content();
        let arguments = Table::parse(&content).expect("well formed");
        let (exchange, routing_key) = (b.as_str(), c.as_str());
        for method in [
            Method::ConnectionStart { version_major: 0, version_minor: 9,
                server_properties: arguments, mechanisms: &bytes, locales: b"en_US" },
            Method::ConnectionStartOk { client_properties: arguments, mechanism: &a,
                response: &bytes, locale: &b },
            Method::ConnectionTuneOk { channel_max: short, frame_max: long, heartbeat: short },
            Method::ConnectionUpdateSecret { new_secret: &bytes, reason: &a },
            Method::ChannelClose { reply_code: short, reply_text: &a, class_id: 1, method_id: 2 },
            Method::AccessRequest { realm: &a, exclusive: p, passive: q, active: r, write: s,
                read: t },
            Method::ExchangeDeclare { exchange, r#type: &a, passive: p, durable: q,
                auto_delete: r, internal: s, no_wait: t, arguments },
            Method::QueueDeclare { queue: &a, passive: p, durable: q, exclusive: r,
                auto_delete: s, no_wait: t, arguments },
            Method::QueueUnbind { queue: &a, exchange, routing_key, arguments },
            Method::QueueDeclareOk { queue: &a, message_count: long, consumer_count: 3 },
            Method::BasicConsume { queue: &a, consumer_tag: &b, no_local: p, no_ack: q,
                exclusive: r, no_wait: s, arguments },
            Method::BasicPublish { exchange, routing_key, mandatory: p, immediate: q },
            Method::BasicGetOk { delivery_tag: tag, redelivered: p, exchange, routing_key,
                message_count: long },
            Method::BasicQos { prefetch_size: long, prefetch_count: short, global: p },
            Method::BasicNack { delivery_tag: tag, multiple: p, requeue: q },
        ] {
            let mut payload = Vec::new();
            method.encode(&mut payload);
            prop_assert_eq!(Method::decode(&payload), Ok(method));
            payload.push(0);
            prop_assert!(Method::decode(&payload).is_err());
        }
    }

    #[test]
    fn frames_come_out_the_same_in_any_split(
        frames in vec(whole(), 0..12),
        sizes in vec(1usize..200, 1..20),
    ) {
        let mut stream = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut stream));
        prop_assert_eq!(decode_in_pieces(&stream, &sizes), frames);
    }

    #[test]
    fn any_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), frame_max in any::<u32>()) {
        let mut decoder = Decoder::new(frame_max);
        let mut input = bytes.as_slice();
        let mut left = input.len();
        while let Ok(Some(_)) = decoder.next(&mut input) {
            prop_assert!(input.len() < left, "an event consumes bytes");
            left = input.len();
        }
        let _ = decoder.wanted(input);
        if let Ok(method) = Method::decode(&bytes) {
            let mut again = Vec::new();
            method.encode(&mut again);
            prop_assert!(Method::decode(&again).is_ok());
        }
        if let Ok(table) = Table::parse(&bytes) {
            let _ = table.to_owned();
        }
        let _ = Properties::parse(&bytes);
        let _ = ContentHeader::decode(&bytes);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_proxy_header_or_none(
        start in prop_oneof![
            Just(&b""[..]),
            Just(&b"PROXY TCP4 "[..]),
            Just(&b"PROXY TCP6 ::1 "[..]),
            Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"[..]),
        ],
        rest in vec(any::<u8>(), 0..200),
    ) {
        use leveret_wire::proxy_protocol::{LENGTH_MAX, parse};
        let bytes = [start, &rest].concat();
        if let Ok(Some(header)) = parse(&bytes) {
            prop_assert!(header.length <= bytes.len().min(LENGTH_MAX));
            prop_assert_eq!(parse(&bytes[..header.length]), Ok(Some(header)));
        }
    }

    #[test]
    fn any_bytes_are_names_or_none(bytes in vec(any::<u8>(), 0..300)) {
        use leveret_wire::x509::{Certificate, NameKind};
        // Behind a beginning that lets the subject be reached.
        let start = [0x30, 0x82, 1, 0x40, 0x30, 0x82, 1, 0x3C, 2, 0, 0x30, 0, 0x30, 0, 0x30, 0];
        for der in [bytes.clone(), [&start[..], &bytes].concat()] {
            if let Ok(certificate) = Certificate::parse(&der) {
                let _ = (certificate.distinguished_name(), certificate.common_name());
                for kind in [NameKind::Dns, NameKind::Ip, NameKind::Email, NameKind::Other] {
                    let _ = certificate.alternative_names(kind);
                }
            }
        }
    }
}
