//! Frames of the hot path, written straight into an out-buffer: one reservation a frame, no
//! allocation a field. Every function appends a whole frame unless it says otherwise. Short strings
//! of more than 255 bytes are cut at a character.

use super::super::codec::short_str;
use super::super::constants::{
    CLASS_BASIC, FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD, FRAME_OVERHEAD,
};

/// Reserves a whole frame and writes its seven octets and the ids of a `basic` method.
#[inline]
fn start_basic(out: &mut Vec<u8>, channel: u16, method_id: u16, fields_len: usize) {
    let size = 4 + fields_len;
    out.reserve(size + FRAME_OVERHEAD);
    let [c1, c0] = channel.to_be_bytes();
    let [s3, s2, s1, s0] = (size as u32).to_be_bytes();
    let [k1, k0] = CLASS_BASIC.to_be_bytes();
    let [m1, m0] = method_id.to_be_bytes();
    out.extend_from_slice(&[FRAME_METHOD, c1, c0, s3, s2, s1, s0, k1, k0, m1, m0]);
}

/// At most what a short string can hold.
#[inline]
fn short_bytes(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(usize::from(u8::MAX))]
}

#[inline]
fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

#[inline]
fn put_tag(out: &mut Vec<u8>, delivery_tag: u64, bits: u8) {
    let [t7, t6, t5, t4, t3, t2, t1, t0] = delivery_tag.to_be_bytes();
    out.extend_from_slice(&[t7, t6, t5, t4, t3, t2, t1, t0, bits]);
}

/// `basic.deliver`.
#[inline]
#[expect(clippy::too_many_arguments, reason = "the method's fields, on the hot path")]
pub fn write_deliver(
    out: &mut Vec<u8>,
    channel: u16,
    consumer_tag: &str,
    delivery_tag: u64,
    redelivered: bool,
    exchange: impl AsRef<[u8]>,
    routing_key: impl AsRef<[u8]>,
) {
    let tag = short_str(consumer_tag);
    let (exchange, key) = (short_bytes(exchange.as_ref()), short_bytes(routing_key.as_ref()));
    start_basic(out, channel, 60, 12 + tag.len() + exchange.len() + key.len());
    put_short(out, tag);
    put_tag(out, delivery_tag, u8::from(redelivered));
    put_short(out, exchange);
    put_short(out, key);
    out.push(FRAME_END);
}

/// A delivery whose body goes into one frame.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Channel number.
    pub channel: u16,
    /// A short string, as the next two.
    pub consumer_tag: &'a str,
    /// The exchange of the publish.
    pub exchange: &'a [u8],
    /// The routing key of the publish.
    pub routing_key: &'a [u8],
    /// Its number on the channel.
    pub delivery_tag: u64,
    /// It was out before.
    pub redelivered: bool,
    /// Flags and list as they came.
    pub properties: &'a [u8],
    /// Not empty: an empty body has no frame.
    pub body: &'a [u8],
}

/// `basic.deliver`, content header and body frame: what [`write_deliver`], [`write_content_header`]
/// and a body frame are, with one reservation for all.
#[inline]
pub fn write_delivery(out: &mut Vec<u8>, delivery: &Delivery<'_>) {
    let tag = short_str(delivery.consumer_tag);
    let (exchange, key) = (short_bytes(delivery.exchange), short_bytes(delivery.routing_key));
    let (properties, body) = (delivery.properties, delivery.body);
    let method_len = 16 + tag.len() + exchange.len() + key.len();
    let header_len = 12 + properties.len();
    out.reserve(method_len + header_len + body.len() + 3 * FRAME_OVERHEAD);
    let [c1, c0] = delivery.channel.to_be_bytes();
    let [k1, k0] = CLASS_BASIC.to_be_bytes();
    let [s3, s2, s1, s0] = (method_len as u32).to_be_bytes();
    let tag_len = tag.len() as u8;
    out.extend_from_slice(&[FRAME_METHOD, c1, c0, s3, s2, s1, s0, k1, k0, 0, 60, tag_len]);
    out.extend_from_slice(tag);
    let [t7, t6, t5, t4, t3, t2, t1, t0] = delivery.delivery_tag.to_be_bytes();
    let (redelivered, exchange_len) = (u8::from(delivery.redelivered), exchange.len() as u8);
    out.extend_from_slice(&[t7, t6, t5, t4, t3, t2, t1, t0, redelivered, exchange_len]);
    out.extend_from_slice(exchange);
    put_short(out, key);
    let [s3, s2, s1, s0] = (header_len as u32).to_be_bytes();
    let [b7, b6, b5, b4, b3, b2, b1, b0] = (body.len() as u64).to_be_bytes();
    out.extend_from_slice(&[
        FRAME_END,
        FRAME_HEADER,
        c1,
        c0,
        s3,
        s2,
        s1,
        s0,
        k1,
        k0,
        0,
        0,
        b7,
        b6,
        b5,
        b4,
        b3,
        b2,
        b1,
        b0,
    ]);
    out.extend_from_slice(properties);
    out.extend_from_slice(&[FRAME_END, FRAME_BODY, c1, c0, b3, b2, b1, b0]);
    out.extend_from_slice(body);
    out.push(FRAME_END);
}

/// `basic.get-ok`.
#[expect(clippy::too_many_arguments, reason = "the method's fields, on the hot path")]
pub fn write_get_ok(
    out: &mut Vec<u8>,
    channel: u16,
    delivery_tag: u64,
    redelivered: bool,
    exchange: &str,
    routing_key: &str,
    message_count: u32,
) {
    let (exchange, key) = (short_str(exchange), short_str(routing_key));
    start_basic(out, channel, 71, 15 + exchange.len() + key.len());
    put_tag(out, delivery_tag, u8::from(redelivered));
    put_short(out, exchange);
    put_short(out, key);
    out.extend_from_slice(&message_count.to_be_bytes());
    out.push(FRAME_END);
}

/// `basic.return`.
pub fn write_return(
    out: &mut Vec<u8>,
    channel: u16,
    reply_code: u16,
    reply_text: &str,
    exchange: &str,
    routing_key: &str,
) {
    let (text, exchange, key) =
        (short_str(reply_text), short_str(exchange), short_str(routing_key));
    start_basic(out, channel, 50, 5 + text.len() + exchange.len() + key.len());
    out.extend_from_slice(&reply_code.to_be_bytes());
    put_short(out, text);
    put_short(out, exchange);
    put_short(out, key);
    out.push(FRAME_END);
}

/// `basic.publish`; for clients.
#[inline]
pub fn write_publish(
    out: &mut Vec<u8>,
    channel: u16,
    exchange: &str,
    routing_key: &str,
    mandatory: bool,
) {
    let (exchange, key) = (short_str(exchange), short_str(routing_key));
    start_basic(out, channel, 40, 5 + exchange.len() + key.len());
    out.extend_from_slice(&[0, 0]);
    put_short(out, exchange);
    put_short(out, key);
    out.extend_from_slice(&[u8::from(mandatory), FRAME_END]);
}

/// `basic.ack`.
#[inline]
pub fn write_ack(out: &mut Vec<u8>, channel: u16, delivery_tag: u64, multiple: bool) {
    start_basic(out, channel, 80, 9);
    put_tag(out, delivery_tag, u8::from(multiple));
    out.push(FRAME_END);
}

/// `basic.nack`.
#[inline]
pub fn write_nack(
    out: &mut Vec<u8>,
    channel: u16,
    delivery_tag: u64,
    multiple: bool,
    requeue: bool,
) {
    start_basic(out, channel, 120, 9);
    put_tag(out, delivery_tag, u8::from(multiple) | (u8::from(requeue) << 1));
    out.push(FRAME_END);
}

/// A content header of class `basic`; `properties` is flags and list as they came.
#[inline]
pub fn write_content_header(out: &mut Vec<u8>, channel: u16, body_size: u64, properties: &[u8]) {
    let size = 12 + properties.len();
    out.reserve(size + FRAME_OVERHEAD);
    let [c1, c0] = channel.to_be_bytes();
    let [s3, s2, s1, s0] = (size as u32).to_be_bytes();
    let [k1, k0] = CLASS_BASIC.to_be_bytes();
    out.extend_from_slice(&[FRAME_HEADER, c1, c0, s3, s2, s1, s0, k1, k0, 0, 0]);
    out.extend_from_slice(&body_size.to_be_bytes());
    out.extend_from_slice(properties);
    out.push(FRAME_END);
}

/// The seven octets before a body frame's payload of `len` bytes; the caller writes the payload
/// and [`FRAME_END`] after them.
#[inline]
pub fn write_body_frame_header(out: &mut Vec<u8>, channel: u16, len: u32) {
    let [c1, c0] = channel.to_be_bytes();
    let [s3, s2, s1, s0] = len.to_be_bytes();
    out.extend_from_slice(&[FRAME_BODY, c1, c0, s3, s2, s1, s0]);
}

/// A heartbeat.
pub fn write_heartbeat(out: &mut Vec<u8>) {
    out.extend_from_slice(&[FRAME_HEARTBEAT, 0, 0, 0, 0, 0, 0, FRAME_END]);
}
