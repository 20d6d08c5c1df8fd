//! Arguments that RabbitMQ 3.10 does not know: what they come to, and what is refused.

use super::*;
use crate::definitions::{Backoff, DelayedRetry, RetryKind};

fn table(fields: &[(&str, FieldValue)]) -> FieldTable {
    FieldTable(fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

fn read(fields: &[(&str, FieldValue)]) -> Result<QueueSettings, String> {
    let (arguments, queue) = (table(fields), Resource::Queue("q", "/"));
    let flags = Flags { durable: true, exclusive: false, auto_delete: false };
    QueueSettings::check(&arguments, queue, flags).map_err(|refusal| refusal.text)?;
    Ok(QueueSettings::read(&arguments, queue))
}

#[test]
fn classic_and_quorum_queues_take_what_is_new() {
    for kind in ["classic", "quorum"] {
        let settings = read(&[
            ("x-queue-type", kind.into()),
            ("x-delayed-retry-type", "failed".into()),
            ("x-delayed-retry-min", FieldValue::I32(100)),
            ("x-delayed-retry-max", FieldValue::I64(2000)),
            ("x-delayed-retry-backoff", "exponential".into()),
            ("x-delayed-retry-jitter", FieldValue::U8(100)),
            ("x-consumer-timeout", FieldValue::I32(5)),
            ("x-message-group-header", "customer".into()),
            ("x-message-deduplication", true.into()),
            ("x-cache-ttl", FieldValue::I32(9)),
            ("x-cache-persistence", "disk".into()),
        ])
        .unwrap();
        let retry = DelayedRetry {
            kind: RetryKind::Failed,
            min_ms: 100,
            max_ms: 2000,
            backoff: Backoff::Exponential,
            jitter_percent: 100,
        };
        assert_eq!(settings.delayed_retry, Some(retry));
        assert_eq!(settings.consumer_timeout_ms, Some(5));
        assert_eq!(settings.message_group_header.as_deref(), Some("customer"));
        let cache = Deduplication { cache_size: CACHE_SIZE, cache_ttl_ms: Some(9) };
        assert_eq!(settings.deduplication, Some(cache));
    }
}

#[test]
fn a_consumer_timeout_of_0_is_one_of_its_own() {
    let settings = read(&[("x-consumer-timeout", FieldValue::I32(0))]).unwrap();
    assert_eq!(settings.consumer_timeout_ms, Some(0), "and not the default");
}

#[test]
fn what_is_not_asked_for_is_off() {
    let settings = read(&[
        ("x-delayed-retry-type", "disabled".into()),
        ("x-delayed-retry-min", FieldValue::I32(100)),
        ("x-message-deduplication", false.into()),
        ("x-cache-size", FieldValue::I32(7)),
    ]);
    assert_eq!(settings.unwrap(), QueueSettings::default());
    let fixed = read(&[
        ("x-delayed-retry-type", "all".into()),
        ("x-delayed-retry-min", FieldValue::I32(100)),
    ]);
    assert_eq!(fixed.unwrap().delayed_retry.unwrap().max_ms, 100);
}

#[test]
fn a_strategy_is_for_quorum_queues() {
    let strategy = ("x-dead-letter-strategy", FieldValue::from("at-least-once"));
    let quorum = ("x-queue-type", FieldValue::from("quorum"));
    let settings = read(&[strategy.clone(), quorum]).unwrap();
    assert_eq!(settings.dead_letter_strategy, DeadLetterStrategy::AtLeastOnce);
    let refused = read(&[strategy]).unwrap_err();
    assert!(refused.ends_with("of queue type rabbit_classic_queue"), "{refused}");
}

#[test]
fn wrong_values_are_refused() {
    let cases: [(&str, FieldValue, &str); 15] = [
        ("x-delayed-retry-type", "often".into(), "\"unsupported delayed retry type 'often'\""),
        ("x-delayed-retry-type", true.into(), "{unacceptable_type,bool}"),
        ("x-delayed-retry-min", FieldValue::I32(0), "{value_zero,0}"),
        ("x-delayed-retry-min", FieldValue::I32(-1), "{value_negative,-1}"),
        ("x-delayed-retry-max", "1".into(), "\"expected integer, got longstr\""),
        ("x-delayed-retry-backoff", "x".into(), "\"unsupported delayed retry backoff 'x'\""),
        ("x-delayed-retry-jitter", FieldValue::I32(101), "{max_value_exceeded,101}"),
        ("x-consumer-timeout", FieldValue::I32(-1), "{value_negative,-1}"),
        ("x-message-group-header", "".into(), "empty_header_name"),
        ("x-message-group-header", FieldValue::I32(1), "{unacceptable_type,signedint}"),
        ("x-message-deduplication", "true".into(), "{unacceptable_type,longstr}"),
        ("x-cache-size", FieldValue::I32(0), "{value_zero,0}"),
        ("x-cache-size", FieldValue::I64(1 << 40), "{max_value_exceeded,1099511627776}"),
        ("x-cache-ttl", FieldValue::I32(-5), "{value_negative,-5}"),
        ("x-cache-persistence", "ssd".into(), "invalid_cache_persistence"),
    ];
    for (name, value, reason) in cases {
        let expected = format!("invalid arg '{name}' for queue 'q' in vhost '/': {reason}");
        assert_eq!(read(&[(name, value)]), Err(expected));
    }
    let crossed =
        [("x-delayed-retry-min", FieldValue::I32(5)), ("x-delayed-retry-max", FieldValue::I32(4))];
    let refused = read(&crossed).unwrap_err();
    assert!(
        refused.ends_with(
            "'x-delayed-retry-max' for queue 'q' in vhost '/': \
        {smaller_than_min,4,5}"
        ),
        "{refused}"
    );
}
