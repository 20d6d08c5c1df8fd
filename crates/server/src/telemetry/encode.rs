//! Spans as the protocol buffers of OTLP: `ExportTraceServiceRequest` of `opentelemetry-proto` 1.
//!
//! Owns the numbers of its fields. Invariant: what a client can name is text of valid UTF-8.

use super::span::{Attribute, Span};

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// Writes fields of a message.
#[derive(Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn number(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.tag(field, BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// A `KeyValue`.
    fn attribute(&mut self, field: u32, name: &str, value: &Attribute) {
        self.message(field, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.message(2, |any| match value {
                Attribute::Text(text) => any.bytes(1, text.as_bytes()),
                Attribute::Flag(on) => any.number(2, u64::from(*on)),
                Attribute::Number(number) => any.number(3, *number as u64),
            });
        });
    }

    fn span(&mut self, span: &Span) {
        self.bytes(1, &span.context.trace);
        self.bytes(2, &span.context.span);
        if let Some(state) = &span.state {
            self.bytes(3, state.as_bytes());
        }
        if let Some(parent) = &span.parent {
            self.bytes(4, parent);
        }
        self.bytes(5, span.name.as_bytes());
        self.number(6, span.kind as u64);
        self.fixed64(7, span.start_ns);
        self.fixed64(8, span.end_ns);
        for (name, value) in &span.attributes {
            self.attribute(9, name, value);
        }
        if let Some(error) = &span.error {
            self.message(15, |status| {
                status.bytes(2, error.as_bytes());
                status.number(3, 2);
            });
        }
        self.fixed32(16, u32::from(span.context.flags));
    }
}

/// A request with spans of the service of this name.
pub(super) fn request(service: &str, spans: &[Span]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let mut request = Writer::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |resource| {
            resource.attribute(1, "service.name", &Attribute::from(service));
            resource.attribute(1, "service.version", &Attribute::from(version));
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, b"leveret");
                scope.bytes(2, version.as_bytes());
            });
            for span in spans {
                scope_spans.message(2, |one| one.span(span));
            }
        });
    });
    request.0
}

#[cfg(test)]
mod tests {
    use leveret_broker::message::TraceContext;

    use super::super::span::Kind;
    use super::*;

    #[test]
    fn a_request_has_the_bytes_of_the_protocol() {
        let span = Span {
            name: "ack q".to_owned(),
            kind: Kind::Server,
            context: TraceContext { trace: [1; 16], span: [2; 8], flags: 1 },
            parent: Some([3; 8]),
            state: None,
            start_ns: 5,
            end_ns: 6,
            attributes: vec![("n", Attribute::Number(300)), ("on", Attribute::Flag(true))],
            error: Some("no"),
        };
        let mut body = Vec::new();
        body.extend([0x0a, 16]);
        body.extend([1; 16]);
        body.extend([0x12, 8]);
        body.extend([2; 8]);
        body.extend([0x22, 8]);
        body.extend([3; 8]);
        body.extend(b"\x2a\x05ack q\x30\x02");
        body.extend(b"\x39\x05\0\0\0\0\0\0\0\x41\x06\0\0\0\0\0\0\0");
        body.extend(b"\x4a\x08\x0a\x01n\x12\x03\x18\xac\x02");
        body.extend(b"\x4a\x08\x0a\x02on\x12\x02\x10\x01");
        body.extend(b"\x7a\x06\x12\x02no\x18\x02\x85\x01\x01\0\0\0");
        let encoded = request("s", &[span]);
        let (head, tail) = encoded.split_at(encoded.len() - body.len());
        assert_eq!(tail, body);
        assert!(head.ends_with(&[0x12, body.len() as u8]), "{head:?}");
        let name = b"\x0a\x0cservice.name\x12\x03\x0a\x01s";
        assert!(head.windows(name.len()).any(|window| window == name));
    }
}
