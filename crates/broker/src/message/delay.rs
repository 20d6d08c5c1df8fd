//! When a message is to be routed, as its headers ask a delayed-message exchange: `x-delay`, in
//! milliseconds from now, and `x-deliver-at`, a time.

use leveret_wire::amqp091::properties::{BasicProperties, Properties};
use leveret_wire::amqp091::table::{FieldValue, Value};

use super::death::{Buried, cc_keys};
use super::{HeaderTable, Message};
use crate::definitions::TIMER_MAX_MS;
use crate::ids::Timestamp;

const DELAY: &str = "x-delay";
const DELIVER_AT: &str = "x-deliver-at";

/// As in RabbitMQ's plugin any whole number, its digits as text, or a fraction, which is cut off.
fn whole(value: Value<'_>) -> Option<i64> {
    match value {
        Value::LongStr(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        Value::F32(number) => number.is_finite().then_some(number as i64),
        Value::F64(number) => number.is_finite().then_some(number as i64),
        Value::Timestamp(_) => None,
        other => other.to_owned().as_integer(),
    }
}

fn delay(headers: &HeaderTable<'_>) -> Option<u64> {
    let millis = headers.get(DELAY).and_then(whole)?;
    // What is too much is none, as in the plugin, which has another bound.
    (1..=TIMER_MAX_MS).contains(&millis).then_some(millis as u64)
}

/// A number is milliseconds since 1970, a timestamp field seconds.
fn deliver_at(headers: &HeaderTable<'_>) -> Option<Timestamp> {
    match headers.get(DELIVER_AT)? {
        Value::Timestamp(seconds) => Some(Timestamp(seconds.saturating_mul(1000))),
        value => u64::try_from(whole(value)?).ok().map(Timestamp),
    }
}

impl Message {
    /// When it is to be routed, if that is later than `now`, but within ten years. A time goes
    /// before a delay.
    pub fn due_at(&self, now: Timestamp) -> Option<Timestamp> {
        let headers = self.headers()?;
        let at = match deliver_at(&headers) {
            Some(at) => at,
            None => now.after(delay(&headers)?),
        };
        (at > now && at <= now.after(TIMER_MAX_MS as u64)).then_some(at)
    }

    /// The message as it is routed once its time has come: with the delay negated, as RabbitMQ's
    /// plugin has it, so that no further exchange delays it again.
    pub fn undelayed(&self) -> Buried {
        let mut properties = Properties::parse(self.properties())
            .map(|parsed| BasicProperties::from(&parsed))
            .unwrap_or_default();
        let Some(headers) = &mut properties.headers else {
            return Buried { message: self.clone(), extra_keys: Vec::new() };
        };
        let extra_keys = cc_keys(headers);
        let Some(millis) = self.headers().and_then(|headers| delay(&headers)) else {
            return Buried { message: self.clone(), extra_keys };
        };
        let millis = -(millis as i64);
        let negated = i32::try_from(millis).map_or(FieldValue::I64(millis), FieldValue::I32);
        if let Some((_, value)) = headers.0.iter_mut().find(|(key, _)| key == DELAY) {
            *value = negated;
        }
        let message = self.rewritten(self.exchange(), self.routing_key(), &properties);
        Buried { message: Self { expiration_ms: self.expiration_ms, ..message }, extra_keys }
    }
}

#[cfg(test)]
mod tests {
    use leveret_wire::amqp091::table::FieldTable;

    use super::*;
    use crate::ids::Name;
    use crate::message::MessageBuilder;

    const NOW: Timestamp = Timestamp(1_700_000_000_123);

    fn with(headers: &[(&str, FieldValue)]) -> Message {
        let headers = headers.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let headers = Some(FieldTable(headers.collect()));
        let expiration = Some("60".into());
        let properties = BasicProperties { headers, expiration, ..BasicProperties::default() };
        let mut raw = Vec::new();
        properties.encode(&mut raw);
        MessageBuilder::new("x", "key", &raw, 0, Some("guest"), None).unwrap().finish().0
    }

    fn wait(headers: &[(&str, FieldValue)]) -> Option<u64> {
        with(headers).due_at(NOW).map(|at| at.0 - NOW.0)
    }

    fn text(text: &str) -> FieldValue {
        FieldValue::LongStr(text.as_bytes().to_vec())
    }

    #[test]
    fn a_delay_may_be_of_any_number_type() {
        for value in [
            FieldValue::I8(5),
            FieldValue::U8(5),
            FieldValue::I16(5),
            FieldValue::U16(5),
            FieldValue::I32(5),
            FieldValue::U32(5),
            FieldValue::I64(5),
            FieldValue::F32(5.9),
            FieldValue::F64(5.9),
            text("5"),
        ] {
            assert_eq!(wait(&[(DELAY, value.clone())]), Some(5), "{value:?}");
        }
        let most = FieldValue::I64(TIMER_MAX_MS);
        assert_eq!(wait(&[(DELAY, most)]), Some(TIMER_MAX_MS as u64));
    }

    #[test]
    fn what_is_no_delay_is_none() {
        for value in [
            FieldValue::I32(0),
            FieldValue::I32(-5),
            FieldValue::I64(TIMER_MAX_MS + 1),
            FieldValue::F64(f64::NAN),
            FieldValue::Timestamp(5),
            FieldValue::Bool(true),
            FieldValue::Void,
            text("5s"),
            text(""),
        ] {
            assert_eq!(wait(&[(DELAY, value.clone())]), None, "{value:?}");
        }
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn a_time_goes_before_a_delay() {
        let now = NOW.0 as i64;
        let delay = (DELAY, FieldValue::I32(7));
        assert_eq!(wait(&[(DELIVER_AT, FieldValue::I64(now + 9)), delay.clone()]), Some(9));
        assert_eq!(wait(&[(DELIVER_AT, FieldValue::Timestamp(1_700_000_001))]), Some(877));
        assert_eq!(wait(&[(DELIVER_AT, FieldValue::I64(now)), delay.clone()]), None, "it is past");
        assert_eq!(wait(&[(DELIVER_AT, FieldValue::Timestamp(u64::MAX))]), None, "never");
        assert_eq!(wait(&[(DELIVER_AT, FieldValue::Void), delay]), Some(7));
    }

    #[test]
    fn a_delay_is_negated_and_all_else_stays() {
        let keys = FieldValue::Array(vec![text("copy")]);
        let message = with(&[("a", text("b")), (DELAY, text("5000")), ("CC", keys.clone())]);
        let routed = message.undelayed();
        assert_eq!(routed.extra_keys, [Name::from("copy")]);
        let expected = with(&[("a", text("b")), (DELAY, FieldValue::I32(-5000)), ("CC", keys)]);
        assert_eq!(routed.message, expected);
        assert_eq!(routed.message.due_at(NOW), None);
        let long = with(&[(DELAY, FieldValue::I64(5_000_000_000))]).undelayed().message;
        assert_eq!(long, with(&[(DELAY, FieldValue::I64(-5_000_000_000))]));
        let at = with(&[(DELIVER_AT, FieldValue::I64(5))]);
        assert_eq!(at.undelayed().message, at);
    }
}
