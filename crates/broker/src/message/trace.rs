//! Where a message stands in a distributed trace: the headers `traceparent` and `tracestate` (W3C
//! Trace Context).
//!
//! Invariant: nothing is rewritten unless [`Message::with_trace`] is called; what is no valid
//! context is none.

use leveret_wire::amqp091::properties::{BasicProperties, Properties};
use leveret_wire::amqp091::table::{FieldValue, Value};

use super::Message;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";
/// The longest state that is passed on.
const STATE_MAX: usize = 512;
/// The flag for a trace that is recorded.
const SAMPLED: u8 = 1;

/// A span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never all zero.
    pub trace: [u8; 16],
    /// The span; never all zero.
    pub span: [u8; 8],
    /// As they came, or 1 for a trace that is recorded.
    pub flags: u8,
}

impl TraceContext {
    /// Reads `00-TRACE-SPAN-FLAGS`; later versions may have more behind it.
    fn parse(text: &[u8]) -> Option<Self> {
        let (version, rest) = (hex::<1>(text.get(..2)?)?, text.get(2..)?);
        let [version] = version;
        let fits =
            if version == 0 { rest.len() == 53 } else { matches!(rest.get(53), None | Some(b'-')) };
        let dashes = [0, 33, 50].iter().all(|at| rest.get(*at) == Some(&b'-'));
        if version == 0xff || !fits || !dashes {
            return None;
        }
        let (trace, span) = (hex::<16>(&rest[1..33])?, hex::<8>(&rest[34..50])?);
        let [flags] = hex::<1>(rest.get(51..53)?)?;
        let named = trace != [0; 16] && span != [0; 8];
        named.then_some(Self { trace, span, flags })
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The value of the header.
    pub fn to_header(&self) -> String {
        let digits =
            |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("00-{}-{}-{:02x}", digits(&self.trace), digits(&self.span), self.flags)
    }
}

/// Bytes of lower-case digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if digits.len() != N * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn text<'a>(value: Option<&Value<'a>>) -> Option<&'a [u8]> {
    match value {
        Some(Value::LongStr(text)) => Some(text),
        _ => None,
    }
}

impl Message {
    /// The span that sent it, as its headers say; none without a valid one.
    pub fn trace(&self) -> Option<TraceContext> {
        let headers = self.headers()?;
        TraceContext::parse(text(headers.get(PARENT).as_ref())?)
    }

    /// What else tracing systems have to say of its trace, if it is printable.
    pub fn trace_state(&self) -> Option<String> {
        let headers = self.headers()?;
        let state = text(headers.get(STATE).as_ref())?;
        let printable = state.iter().all(|byte| (0x20..0x7f).contains(byte));
        let fits = printable && (1..=STATE_MAX).contains(&state.len());
        fits.then(|| String::from_utf8_lossy(state).into_owned())
    }

    /// The message as sent by a span. The body is copied; all else stays as it is.
    pub fn with_trace(&self, context: &TraceContext) -> Self {
        let mut properties = Properties::parse(self.properties())
            .map(|parsed| BasicProperties::from(&parsed))
            .unwrap_or_default();
        let mut headers = properties.headers.take().unwrap_or_default();
        headers.0.retain(|(key, _)| key != PARENT);
        let value = FieldValue::LongStr(context.to_header().into_bytes());
        headers.0.push((PARENT.to_owned(), value));
        properties.headers = Some(headers);
        let traced = self.rewritten(self.exchange(), self.routing_key(), &properties);
        Self { expiration_ms: self.expiration_ms, ..traced }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FieldTable, MessageBuilder};
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn message(headers: &[(&str, FieldValue)]) -> Message {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let headers = Some(FieldTable(headers.collect()));
        let mut raw = Vec::new();
        let expiration = Some("60".to_owned().into());
        BasicProperties { headers, expiration, ..BasicProperties::default() }.encode(&mut raw);
        let mut builder = MessageBuilder::new("x", "key", &raw, 4, Some("guest"), None).unwrap();
        builder.push(b"body").unwrap();
        builder.finish().0
    }

    fn long(text: &str) -> FieldValue {
        FieldValue::LongStr(text.as_bytes().to_vec())
    }

    #[test]
    fn only_a_valid_parent_is_one() {
        let parsed = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert!(parsed.is_sampled());
        assert_eq!(parsed.to_header(), GOOD);
        let later = format!("cc{}-what-comes", &GOOD[2..]);
        assert_eq!(TraceContext::parse(later.as_bytes()), Some(parsed));
        let zero = |range: std::ops::Range<usize>| {
            let mut text = GOOD.to_owned();
            text.replace_range(range.clone(), &"0".repeat(range.len()));
            text
        };
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-x"),
            &format!("{GOOD}x"),
            &GOOD.to_uppercase(),
            &GOOD.replace('-', "_"),
            &format!("ff{}", &GOOD[2..]),
            &zero(3..35),
            &zero(36..52),
            &GOOD.replace("4bf9", "\u{e9}f9"),
            "cc-4bf92f3577b34da6a3ce929d0e0e4736",
        ] {
            assert_eq!(TraceContext::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_message_says_who_sent_it_and_another_may_take_its_place() {
        assert_eq!(message(&[]).trace(), None);
        assert_eq!(message(&[(PARENT, FieldValue::I32(1))]).trace(), None);
        assert_eq!(message(&[(STATE, long("line\nend"))]).trace_state(), None);
        let sent = message(&[("a", long("1")), (PARENT, long(GOOD)), (STATE, long("v=1"))]);
        let context = sent.trace().unwrap();
        assert_eq!(sent.trace_state().as_deref(), Some("v=1"));
        let next = TraceContext { span: [9; 8], ..context };
        let passed = sent.with_trace(&next);
        assert_eq!((passed.trace(), passed.trace_state()), (Some(next), Some("v=1".to_owned())));
        assert_eq!(passed.headers().unwrap().get("a"), Some(Value::LongStr(b"1")));
        assert_eq!((passed.body(), passed.expiration_ms), (&b"body"[..], Some(60)));
        assert_eq!(message(&[]).with_trace(&next).trace(), Some(next));
    }
}
