//! Bytes and texts known from the specification and from a running RabbitMQ 3.10.8.

use leveret_wire::amqp091::constants::ReplyCode;
use leveret_wire::amqp091::frame::{
    ContentHeader, Decoder, Delivery, Event, FRAME_END, FrameError, Publish, erlang_binary,
    write_ack, write_body_frame_header, write_content_header, write_deliver, write_delivery,
    write_get_ok, write_heartbeat, write_nack, write_publish, write_return,
};
use leveret_wire::amqp091::method::{ALL_METHODS, DecodeError, Method, method_name};
use leveret_wire::amqp091::properties::{BasicProperties, Properties, ShortString, peek_flags};
use leveret_wire::amqp091::table::{DEPTH_MAX, FieldTable, FieldValue, Table, TableError, Value};

fn payload(method: &Method<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    method.encode(&mut out);
    out
}

#[test]
fn queue_declare_is_as_the_specification_draws_it() {
    let arguments: FieldTable = [("x-message-ttl", 60_000)].into_iter().collect();
    let content = arguments.to_content();
    let method = Method::QueueDeclare {
        queue: "q1",
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: true,
        no_wait: false,
        arguments: Table::parse(&content).expect("well formed"),
    };
    let mut frame = Vec::new();
    method.encode_frame(1, &mut frame);
    let expected = b"\x01\x00\x01\x00\x00\x00\x21\x00\x32\x00\x0a\x00\x00\x02q1\x0a\
        \x00\x00\x00\x13\x0dx-message-ttlI\x00\x00\xea\x60\xce";
    assert_eq!(frame, expected);
    assert_eq!(Method::decode(&frame[7..frame.len() - 1]), Ok(method));
}

#[test]
fn reserved_fields_are_skipped_and_written_empty() {
    let bytes = b"\x00\x0a\x00\x28\x01/\x03abc\x01";
    let method = Method::decode(bytes).expect("reserved fields may hold anything");
    assert_eq!(method, Method::ConnectionOpen { virtual_host: "/" });
    assert_eq!(payload(&method), b"\x00\x0a\x00\x28\x01/\x00\x00");
    assert_eq!(payload(&Method::ChannelOpenOk {}), b"\x00\x14\x00\x0b\x00\x00\x00\x00");
    assert_eq!(payload(&Method::BasicGetEmpty {}), b"\x00\x3c\x00\x48\x00");
}

/// A payload of zeros is a valid one for every method at exactly one length, since all its strings
/// and tables are then empty: this walks the whole table of methods.
#[test]
fn every_method_decodes_at_one_length_and_encodes_back() {
    assert_eq!(ALL_METHODS.len(), 66);
    for &(class_id, method_id, name) in ALL_METHODS {
        let mut bytes = [class_id.to_be_bytes(), method_id.to_be_bytes()].concat();
        let mut lengths = 0;
        for _ in 0..64 {
            match Method::decode(&bytes) {
                Ok(method) => {
                    lengths += 1;
                    assert_eq!((method.class_id(), method.method_id()), (class_id, method_id));
                    assert_eq!(method.name(), name);
                    assert_eq!(payload(&method), bytes, "{name}");
                }
                Err(error) => assert_eq!(error, DecodeError::Malformed { class_id, method_id }),
            }
            bytes.push(0);
        }
        assert_eq!(lengths, 1, "{name}");
        assert_eq!(method_name(class_id, method_id), Some(name));
    }
}

#[test]
fn errors_name_the_method_and_use_rabbitmqs_words() {
    assert_eq!(Method::decode(&[0, 60, 0]), Err(DecodeError::TooShort));
    assert_eq!(
        Method::decode(&[0, 99, 0, 1]),
        Err(DecodeError::UnknownMethod { class_id: 99, method_id: 1 })
    );
    let truncated = [0, 50, 0, 10];
    let error = Method::decode(&truncated).expect_err("fields are missing");
    assert_eq!(error, DecodeError::Malformed { class_id: 50, method_id: 10 });
    assert_eq!(error.reply_text(&truncated), "FRAME_ERROR - cannot decode <<>>");
    let longer = [0, 20, 0, 41, 7, 8];
    let error = Method::decode(&longer).expect_err("bytes behind the last field");
    assert_eq!(error.reply_text(&longer), "FRAME_ERROR - cannot decode <<7,8>>");
    let not_utf8 = b"\x00\x3c\x00\x15\x01\xff";
    let error = Method::decode(not_utf8).expect_err("not UTF-8");
    assert_eq!(error, DecodeError::InvalidUtf8 { class_id: 60, method_id: 21 });
    assert_eq!(error.reply_text(not_utf8), "FRAME_ERROR - Malformed UTF-8 in shortstr");
    let table = b"\x00\x28\x00\x1e\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00?";
    assert_eq!(
        Method::decode(table),
        Err(DecodeError::MalformedTable {
            class_id: 40,
            method_id: 30,
            source: TableError::UnknownType(b'?')
        })
    );
}

#[test]
fn a_delivery_in_one_go_is_its_three_frames() {
    for (properties, body) in [(&b"\0\0"[..], &b"x"[..]), (b"\x80\x00\x01t", &[7; 300])] {
        let mut frames = Vec::new();
        write_deliver(&mut frames, 258, "ctag", 77, true, "ex", "key");
        write_content_header(&mut frames, 258, body.len() as u64, properties);
        write_body_frame_header(&mut frames, 258, body.len() as u32);
        frames.extend_from_slice(body);
        frames.push(FRAME_END);
        let mut at_once = Vec::new();
        write_delivery(
            &mut at_once,
            &Delivery {
                channel: 258,
                consumer_tag: "ctag",
                exchange: b"ex",
                routing_key: b"key",
                delivery_tag: 77,
                redelivered: true,
                properties,
                body,
            },
        );
        assert_eq!(at_once, frames);
    }
}

/// A publish on channel 5 in its three frames.
fn publish_frames(class_id: u16, body_size: u64, body: &[u8]) -> [Vec<u8>; 3] {
    let [mut method, mut header, mut frame] = [const { Vec::new() }; 3];
    write_publish(&mut method, 5, "ex", "key", true);
    let properties = b"\x10\x00\x02";
    ContentHeader { class_id, body_size, properties }.encode_frame(5, &mut header);
    write_body_frame_header(&mut frame, 5, body.len() as u32);
    frame.extend_from_slice(body);
    frame.push(FRAME_END);
    [method, header, frame]
}

#[test]
fn a_publish_is_found_in_one_go_only_when_it_is_whole_and_right() {
    let decoder = Decoder::new(4096);
    let right = publish_frames(60, 4, b"body").concat();
    let input = [&right[..], b"more"].concat();
    let expected = Publish {
        channel: 5,
        exchange: b"ex",
        routing_key: b"key",
        mandatory: true,
        immediate: false,
        properties: b"\x10\x00\x02",
        body: b"body",
    };
    assert_eq!(decoder.whole_publish(&input), Some((expected, &b"more"[..])));
    for cut in 0..right.len() {
        assert_eq!(decoder.whole_publish(&right[..cut]), None, "cut at {cut}");
    }
    let [method, header, body] = publish_frames(60, 4, b"body");
    let mut elsewhere = header.clone();
    elsewhere[2] = 6;
    let mut weighty = header.clone();
    weighty[10] = 1;
    let mut bad_end = body.clone();
    bad_end[11] = 0;
    for frames in [
        publish_frames(61, 4, b"body"),
        publish_frames(60, 5, b"body"),
        publish_frames(60, 0, b""),
        publish_frames(60, 5000, &[0; 5000]),
        [method.clone(), elsewhere, body.clone()],
        [method.clone(), weighty, body.clone()],
        [method.clone(), header, bad_end],
        [method.clone(), method, body],
    ] {
        assert_eq!(decoder.whole_publish(&frames.concat()), None, "{frames:?}");
    }
}

#[test]
fn hot_path_writers_equal_the_general_encoder() {
    let mut fast = Vec::new();
    write_deliver(&mut fast, 3, "ctag", 77, true, "ex", "key");
    write_get_ok(&mut fast, 3, 78, false, "ex", "key", 9);
    write_return(&mut fast, 3, 312, "NO_ROUTE", "ex", "key");
    write_publish(&mut fast, 3, "ex", "key", true);
    write_ack(&mut fast, 3, 79, true);
    write_nack(&mut fast, 3, 80, false, true);
    let mut slow = Vec::new();
    let (exchange, routing_key) = ("ex", "key");
    for method in [
        Method::BasicDeliver {
            consumer_tag: "ctag",
            delivery_tag: 77,
            redelivered: true,
            exchange,
            routing_key,
        },
        Method::BasicGetOk {
            delivery_tag: 78,
            redelivered: false,
            exchange,
            routing_key,
            message_count: 9,
        },
        Method::BasicReturn { reply_code: 312, reply_text: "NO_ROUTE", exchange, routing_key },
        Method::BasicPublish { exchange, routing_key, mandatory: true, immediate: false },
        Method::BasicAck { delivery_tag: 79, multiple: true },
        Method::BasicNack { delivery_tag: 80, multiple: false, requeue: true },
    ] {
        method.encode_frame(3, &mut slow);
    }
    assert_eq!(fast, slow);
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    write_content_header(&mut fast, 3, 5, &[0x10, 0, 2]);
    let header = ContentHeader { class_id: 60, body_size: 5, properties: &[0x10, 0, 2] };
    header.encode_frame(3, &mut slow);
    assert_eq!(fast, slow);
    assert_eq!(ContentHeader::decode(&slow[7..slow.len() - 1]), Ok(header));
    assert_eq!(ContentHeader::decode(&[0; 11]), Err(DecodeError::TooShort));
    let mut other = Vec::new();
    write_body_frame_header(&mut other, 3, 5);
    write_heartbeat(&mut other);
    assert_eq!(other, b"\x03\x00\x03\x00\x00\x00\x05\x08\x00\x00\x00\x00\x00\x00\xce");
}

#[test]
fn strings_that_are_too_long_are_cut_at_a_character() {
    let long = "ä".repeat(200);
    let bytes = payload(&Method::ConnectionBlocked { reason: &long });
    let cut = "ä".repeat(127);
    assert_eq!(Method::decode(&bytes), Ok(Method::ConnectionBlocked { reason: &cut }));
    let mut frame = Vec::new();
    write_return(&mut frame, 1, 312, &long, "", "");
    let decoded = Method::decode(&frame[7..frame.len() - 1]).expect("well formed");
    assert!(matches!(decoded, Method::BasicReturn { reply_text, .. } if reply_text == cut));
}

fn first_error(frame_max: u32, mut input: &[u8]) -> FrameError {
    let mut decoder = Decoder::new(frame_max);
    loop {
        match decoder.next(&mut input) {
            Ok(event) => assert!(event.is_some(), "no error in what was given"),
            Err(error) => return error,
        }
    }
}

#[test]
fn frame_errors_have_rabbitmqs_texts() {
    let text = |input: &[u8]| first_error(131_072, input).reply_text();
    assert_eq!(
        text(b"\x00\x00\x01\x00\x00\x00\x0512345\xce"),
        "FRAME_ERROR - type 0, all octets = <<\"12345\">>: unknown_frame"
    );
    assert_eq!(
        text(b"\x01\x00\x01\x00\x02\x22\xe0"),
        "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,140000,131064}"
    );
    assert_eq!(
        text(b"\x01\x00\x00\x00\x00\x00\x04\x00\x5a\x00\x0a\x00"),
        "FRAME_ERROR - type 1, all octets = <<0,90,0,10>>: {invalid_frame_end_marker,0}"
    );
    assert_eq!(
        text(b"\x05\x00\x01\x00\x00\x00\x12abcdefghijklmnopqr\xce"),
        "FRAME_ERROR - type 5, first 16 octets = <<\"abcdefghijklmnop\">>: unknown_frame"
    );
    let mut decoder = Decoder::new(0);
    let mut half: &[u8] = b"\x03\x00\x01\x00\x00\x00\x05he";
    assert!(matches!(decoder.next(&mut half), Ok(Some(Event::Body { chunk: b"he", .. }))));
    let mut rest: &[u8] = b"llo\x01";
    let error = decoder.next(&mut rest).expect_err("the end octet is wrong");
    assert_eq!(
        error.reply_text(),
        "FRAME_ERROR - type 3, all octets = <<\"hello\">>: {invalid_frame_end_marker,1}"
    );
}

#[test]
fn erlang_prints_binaries_in_two_ways() {
    assert_eq!(erlang_binary(b""), "<<>>");
    assert_eq!(erlang_binary(b"a\"b\\c\n"), "<<\"a\\\"b\\\\c\\n\">>");
    assert_eq!(erlang_binary(&[1, 2, 255]), "<<1,2,255>>");
}

#[test]
fn body_frames_are_streamed_and_end_with_their_octet() {
    let mut decoder = Decoder::new(4096);
    let mut input: &[u8] = b"\x03\x00\x01\x00\x00\x00\x02hi";
    assert_eq!(decoder.wanted(input), 10);
    let piece = Event::Body { channel: 1, chunk: b"hi", end_of_frame: false };
    assert_eq!(decoder.next(&mut input), Ok(Some(piece)));
    assert_eq!((decoder.next(&mut input), input.len()), (Ok(None), 0));
    assert_eq!(decoder.wanted(input), 1);
    let mut input: &[u8] = b"\xce\x03\x00\x01\x00\x00\x00\x00\xce\x08";
    let end = Event::Body { channel: 1, chunk: b"", end_of_frame: true };
    assert_eq!(decoder.next(&mut input), Ok(Some(end)));
    assert_eq!(decoder.next(&mut input), Ok(Some(end)), "an empty frame is one event");
    assert_eq!((decoder.next(&mut input), input.len()), (Ok(None), 1));
    assert_eq!(decoder.wanted(input), 7);
}

#[test]
fn without_a_limit_only_frames_that_are_held_whole_are_limited() {
    let error = first_error(0, b"\x01\x00\x01\xff\xff\xff\xff");
    assert!(matches!(error, FrameError::TooLarge { max, .. } if max == 16 << 20));
    let mut decoder = Decoder::new(0);
    let mut input: &[u8] = b"\x03\x00\x01\xff\xff\xff\xffx";
    assert!(matches!(decoder.next(&mut input), Ok(Some(Event::Body { chunk: b"x", .. }))));
}

#[test]
fn reply_codes_have_names_and_weight() {
    assert_eq!(ReplyCode::ALL.len(), 19);
    for &code in ReplyCode::ALL {
        assert_eq!(ReplyCode::from_code(code.code()), Some(code));
    }
    assert_eq!(ReplyCode::PreconditionFailed.name(), "PRECONDITION_FAILED");
    assert_eq!(ReplyCode::PreconditionFailed.code(), 406);
    assert!(ReplyCode::NotAllowed.is_hard() && !ReplyCode::NotFound.is_hard());
}

#[test]
fn every_table_type_is_read_as_rabbitmq_reads_it() {
    let bytes = b"\x01tt\x05\x01bb\xff\x01BB\xff\x01ss\xff\xff\x01uu\xff\xff\x01II\xff\xff\xff\xff\
        \x01ii\xff\xff\xff\xff\x01ll\xff\xff\xff\xff\xff\xff\xff\xff\x01LL\xff\xff\xff\xff\xff\xff\
        \xff\xff\x01ff\x3f\x80\x00\x00\x01dd\x3f\xf0\x00\x00\x00\x00\x00\x00\x01DD\x02\x00\x00\x01\
        \x3a\x01SS\x00\x00\x00\x02hi\x01AA\x00\x00\x00\x02Vt\x01TT\x00\x00\x00\x00\x00\x00\x00\x01";
    assert_eq!(Table::parse(bytes), Err(TableError::Truncated), "the array's bool has no value");
    let mut bytes = bytes.to_vec();
    let at = bytes.windows(2).position(|pair| pair == b"Vt").expect("the array");
    bytes[at + 1] = b'V';
    bytes.extend_from_slice(b"\x01FF\x00\x00\x00\x00\x01VV\x01xx\x00\x00\x00\x01\x00");
    let table = Table::parse(&bytes).expect("well formed");
    let names: Vec<_> = table.iter().map(|(_, value)| value.type_name()).collect();
    let expected = "bool byte unsignedbyte short unsignedshort signedint unsignedint long long \
        float double decimal longstr array timestamp table void binary";
    assert_eq!(names.join(" "), expected);
    let integers: Vec<_> = table.iter().filter_map(|(_, value)| value.as_integer()).collect();
    assert_eq!(integers, [-1, 255, -1, 65_535, -1, 4_294_967_295, -1, -1]);
    assert_eq!(table.get("t"), Some(Value::Bool(true)));
    assert_eq!(table.get("S").and_then(|value| value.as_str_bytes()), Some(&b"hi"[..]));
    assert_eq!(table.get("none"), None);
    let owned = table.to_owned();
    assert_eq!(owned.get("D"), Some(&FieldValue::Decimal { scale: 2, value: 314 }));
    let owned_names: Vec<_> = owned.iter().map(|(_, value)| value.type_name()).collect();
    assert_eq!(owned_names.join(" "), expected);
}

#[test]
fn nesting_has_an_end() {
    let mut bytes = Vec::new();
    for _ in 1..DEPTH_MAX {
        let mut outer = b"\x00F".to_vec();
        outer.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        outer.extend_from_slice(&bytes);
        bytes = outer;
    }
    assert!(Table::parse(&bytes).is_ok());
    let mut outer = b"\x00F".to_vec();
    outer.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    outer.extend_from_slice(&bytes);
    assert_eq!(Table::parse(&outer), Err(TableError::TooDeep));
    let mut deep = FieldTable::new();
    for _ in 0..100 {
        deep = [("t", FieldValue::Table(deep))].into_iter().collect();
    }
    assert!(Table::parse(&deep.to_content()).is_ok(), "what is too deep is written as void");
}

#[test]
fn properties_are_read_and_written() {
    let raw = b"\x90\x00\x0atext/plain\x02";
    let properties = Properties::parse(raw).expect("well formed");
    assert_eq!(properties.content_type, Some("text/plain".into()));
    assert_eq!(properties.delivery_mode, Some(2));
    let mut out = Vec::new();
    properties.encode(&mut out);
    assert_eq!(out, raw);
    let owned = BasicProperties::from(&properties);
    out.clear();
    owned.encode(&mut out);
    assert_eq!(out, raw);
    assert_eq!(peek_flags(raw), Some(0x9000));
    assert_eq!(peek_flags(&[0]), None);
    let malformed = Err(DecodeError::Malformed { class_id: 60, method_id: 0 });
    assert_eq!(Properties::parse(b"\x00\x00x"), malformed, "bytes behind the last property");
    assert_eq!(Properties::parse(b""), malformed);
    assert_eq!(Properties::parse(b"\x00\x02"), Ok(Properties::default()), "bit 1 means nothing");
    assert_eq!(Properties::parse(b"\x00\x01\x00\x00"), Ok(Properties::default()));
    assert_eq!(Properties::parse(b"\x00\x01\x00\x01"), malformed, "a third word is announced");
}

#[test]
fn short_strings_of_properties_may_be_binary() {
    let raw = b"\x04\x00\x04\xff\x00\xc3\x28";
    let properties = Properties::parse(raw).expect("any bytes will do");
    let id = properties.correlation_id.expect("its flag is set");
    assert_eq!((id.as_bytes(), id.as_str()), (&b"\xff\x00\xc3\x28"[..], None));
    assert_eq!(format!("{id:?}"), "\"\u{fffd}\\0\u{fffd}(\"");
    let mut out = Vec::new();
    properties.encode(&mut out);
    assert_eq!(out, raw);
    let owned = BasicProperties::from(&properties);
    assert_eq!(owned.correlation_id, ShortString::from_bytes(id.as_bytes()));
    out.clear();
    owned.encode(&mut out);
    assert_eq!(out, raw);
}

#[test]
fn short_strings_of_properties_have_a_limit() {
    let long = "é".repeat(128);
    let cut = ShortString::from(long.as_str());
    assert_eq!(cut.as_str(), long.get(..254));
    assert_eq!(ShortString::from(long), cut);
    assert!(ShortString::from_bytes(&[0xff; 255]).is_some_and(|s| s.as_bytes() == [0xff; 255]));
    assert_eq!(ShortString::from_bytes(&[0xff; 256]), None);
}
