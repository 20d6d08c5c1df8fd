//! The arguments of delayed retry: RabbitMQ's three, and ours for how the delay grows.

use super::arguments::Reader;
use super::{Backoff, DelayedRetry, RetryKind};
use crate::error::Refusal;

const TYPE: &str = "x-delayed-retry-type";
const MIN: &str = "x-delayed-retry-min";
const MAX: &str = "x-delayed-retry-max";
const BACKOFF: &str = "x-delayed-retry-backoff";
const JITTER: &str = "x-delayed-retry-jitter";

/// The words of `x-delayed-retry-type`.
pub(super) const TYPES: [&str; 4] = ["disabled", "all", "failed", "returned"];
/// The words of `x-delayed-retry-backoff`.
pub(super) const BACKOFFS: [&str; 3] = ["linear", "fixed", "exponential"];

fn delay(reader: &Reader<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    match reader.timer(name)? {
        Some(0) => Err(reader.invalid(name, "{value_zero,0}")),
        millis => Ok(millis),
    }
}

fn kind(reader: &Reader<'_>) -> Result<Option<RetryKind>, Refusal> {
    let wrong = |text: &str| format!("\"unsupported delayed retry type '{text}'\"");
    Ok(match reader.word(TYPE, &TYPES, wrong)?.as_deref() {
        Some("all") => Some(RetryKind::All),
        Some("failed") => Some(RetryKind::Failed),
        Some("returned") => Some(RetryKind::Returned),
        _ => None,
    })
}

fn backoff(reader: &Reader<'_>) -> Result<Backoff, Refusal> {
    let wrong = |text: &str| format!("\"unsupported delayed retry backoff '{text}'\"");
    Ok(match reader.word(BACKOFF, &BACKOFFS, wrong)?.as_deref() {
        Some("fixed") => Backoff::Fixed,
        Some("exponential") => Backoff::Exponential,
        _ => Backoff::Linear,
    })
}

fn jitter(reader: &Reader<'_>) -> Result<u8, Refusal> {
    let percent = reader.natural(JITTER)?.unwrap_or(0);
    let small = u8::try_from(percent).ok().filter(|percent| *percent <= 100);
    small.ok_or_else(|| reader.invalid(JITTER, format!("{{max_value_exceeded,{percent}}}")))
}

/// The delayed retry that a table asks for. As in RabbitMQ, there is none without a least delay;
/// without a longest one, the least is it.
pub(super) fn read(reader: &Reader<'_>) -> Result<Option<DelayedRetry>, Refusal> {
    let (kind, backoff, jitter_percent) = (kind(reader)?, backoff(reader)?, jitter(reader)?);
    let (min, max) = (delay(reader, MIN)?, delay(reader, MAX)?);
    let (Some(kind), Some(min_ms)) = (kind, min) else { return Ok(None) };
    let max_ms = max.unwrap_or(min_ms).max(min_ms);
    Ok(Some(DelayedRetry { kind, min_ms, max_ms, backoff, jitter_percent }))
}

/// Refuses delays that cannot be.
pub(super) fn check(reader: &Reader<'_>) -> Result<(), Refusal> {
    match (delay(reader, MIN)?, delay(reader, MAX)?) {
        (Some(min), Some(max)) if max < min => {
            Err(reader.invalid(MAX, format!("{{smaller_than_min,{max},{min}}}")))
        }
        _ => Ok(()),
    }
}
