//! Rates and histories: counts are sampled for what has been looked at lately, and for totals.
//!
//! Invariants: what nobody looks at costs nothing; at most [`WATCHED_MAX`] things are watched, of
//! which at most [`LONG_MAX`] have a history; what was not looked at for [`FORGET_MS`] is
//! forgotten.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use leveret_broker::definitions::Traffic;
use leveret_broker::ids::{ConnectionId, Name, QueueId, Timestamp};
use leveret_broker::queue::QueueHandle;
use serde_json::{Map, Value, json};

use crate::request::Query;

/// How often samples are taken, in milliseconds.
pub(crate) const INTERVAL_MS: u64 = 5_000;
/// Over how long a rate is measured, at least.
const RATE_MS: u64 = 4_000;
const WATCHED_MAX: usize = 4_096;
const LONG_MAX: usize = 256;
const FORGET_MS: u64 = 600_000;
/// Samples of what was seen in a list, of what was looked at by itself, and of totals.
const SHORT: usize = 3;
const FINE: usize = 121;
/// Samples of each minute: an hour, and a day for totals.
const COARSE: usize = 60;
const COARSE_TOTALS: usize = 1_440;
const COARSE_MS: u64 = 60_000;
/// The most points that a query gets.
const POINTS_MAX: u64 = 1_000;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Thing {
    Totals,
    Vhost(Name),
    Queue(QueueId),
    Exchange(Name, Name),
    Channel(ConnectionId, u16),
    Connection(ConnectionId),
}

/// Where the numbers of a thing are read again.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Queue(Weak<QueueHandle>),
    Exchange(Weak<Traffic>),
    /// By who takes the samples.
    Others,
}

/// How much is kept of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    Short,
    Long,
    Totals,
}

#[derive(Debug, Clone)]
struct Sample {
    at: u64,
    values: Box<[u64]>,
}

#[derive(Debug)]
struct Series {
    source: Source,
    depth: Depth,
    looked_at: u64,
    fine: VecDeque<Sample>,
    coarse: VecDeque<Sample>,
}

impl Series {
    fn push(&mut self, at: u64, values: Box<[u64]>) {
        let (fine, coarse) = match self.depth {
            Depth::Short => (SHORT, 0),
            Depth::Long => (FINE, COARSE),
            Depth::Totals => (FINE, COARSE_TOTALS),
        };
        let due = self.coarse.back().is_none_or(|last| at >= last.at + COARSE_MS);
        if coarse > 0 && due {
            self.coarse.push_back(Sample { at, values: values.clone() });
            let excess = self.coarse.len().saturating_sub(coarse);
            self.coarse.drain(..excess);
        }
        self.fine.push_back(Sample { at, values });
        let excess = self.fine.len().saturating_sub(fine);
        self.fine.drain(..excess);
    }

    /// By how much a number grows in a second.
    fn rate(&self, index: usize, value: u64, now: u64) -> f64 {
        let old_enough = |one: &&Sample| one.at + RATE_MS <= now;
        let reference = self.fine.iter().rev().find(old_enough).or(self.fine.front());
        let Some(reference) = reference.filter(|one| one.at + 500 <= now) else { return 0.0 };
        let before = reference.values.get(index).copied().unwrap_or(0);
        let per_second = 1000.0 / (now - reference.at) as f64;
        (value as f64 - before as f64) * per_second
    }

    /// What a number was at a time; the oldest that is known for what is before it.
    fn value_at(&self, index: usize, at: u64) -> Option<u64> {
        let find = |samples: &VecDeque<Sample>| {
            let behind = samples.partition_point(|one| one.at <= at);
            let sample = behind.checked_sub(1).and_then(|at| samples.get(at))?;
            sample.values.get(index).copied()
        };
        let oldest = || self.coarse.front().or(self.fine.front())?.values.get(index).copied();
        find(&self.fine).or_else(|| find(&self.coarse)).or_else(oldest)
    }
}

/// The ranges of history that a query asks for, in milliseconds: how far back, and in what steps.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ranges {
    messages: Option<(u64, u64)>,
    lengths: Option<(u64, u64)>,
    data: Option<(u64, u64)>,
}

impl Ranges {
    pub(crate) fn read(query: &Query) -> Self {
        let range = |what: &str| {
            let number = |name: String| query.get(&name).and_then(|text| text.parse::<u64>().ok());
            let step = number(format!("{what}_incr"))?.clamp(1, 86_400);
            let age = number(format!("{what}_age"))?.clamp(step, 86_400);
            let points = (age / step).min(POINTS_MAX);
            Some((points * step * 1000, step * 1000))
        };
        let (messages, lengths) = (range("msg_rates"), range("lengths"));
        Self { messages, lengths, data: range("data_rates") }
    }

    fn of(&self, name: &str) -> Option<(u64, u64)> {
        match name {
            "recv_oct" | "send_oct" => self.data,
            name if name.starts_with("messages") => self.lengths,
            _ => self.messages,
        }
    }

    fn any(&self) -> bool {
        self.messages.is_some() || self.lengths.is_some() || self.data.is_some()
    }
}

/// Numbers of a thing with their names.
pub(crate) type Numbers<'a> = &'a [(&'static str, u64)];

fn points(series: &Series, index: usize, (age, step): (u64, u64), now: u64) -> Value {
    let newest = now - now % step;
    let samples = (0..=age / step).map(|back| newest.saturating_sub(back * step));
    samples
        .filter_map(|at| Some(json!({ "sample": series.value_at(index, at)?, "timestamp": at })))
        .collect()
}

/// All that is watched.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<Thing, Series>>);

impl Rates {
    fn all(&self) -> MutexGuard<'_, HashMap<Thing, Series>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a thing from now on, and gives its numbers, each with its rate; with a history where
    /// the query asks for one.
    pub(crate) fn numbers(
        &self,
        (thing, source, depth): (Thing, Source, Depth),
        numbers: Numbers<'_>,
        ranges: &Ranges,
        now: Timestamp,
    ) -> Map<String, Value> {
        let mut all = self.all();
        let now = now.0;
        let depth = if ranges.any() { depth.max(Depth::Long) } else { depth };
        let series = watched(&mut all, thing, source, depth, now);
        let mut fields = Map::new();
        for (index, (name, value)) in numbers.iter().enumerate() {
            fields.insert((*name).to_owned(), json!(value));
            let rate = series.as_ref().map_or(0.0, |series| series.rate(index, *value, now));
            let mut details = json!({ "rate": rate });
            if let (Some(series), Some(range)) = (series.as_ref(), ranges.of(name)) {
                add_history(&mut details, points(series, index, range, now));
            }
            fields.insert(format!("{name}_details"), details);
        }
        if let Some(series) = series
            && series.fine.is_empty()
        {
            series.push(now, numbers.iter().map(|(_, value)| *value).collect());
        }
        fields
    }

    /// Takes a sample of everything; `others` reads what has no source of its own.
    pub(crate) fn sample(
        &self,
        now: Timestamp,
        mut others: impl FnMut(&Thing) -> Option<Box<[u64]>>,
    ) {
        let things: Vec<(Thing, Source)> = {
            let mut all = self.all();
            all.retain(|_, series| {
                series.depth == Depth::Totals || series.looked_at + FORGET_MS > now.0
            });
            all.iter().map(|(thing, one)| (thing.clone(), one.source.clone())).collect()
        };
        for (thing, source) in things {
            let values = match source {
                Source::Queue(queue) => queue.upgrade().map(|queue| values(&queue_numbers(&queue))),
                Source::Exchange(traffic) => {
                    traffic.upgrade().map(|traffic| values(&exchange_numbers(&traffic)))
                }
                Source::Others => others(&thing),
            };
            let mut all = self.all();
            match values {
                Some(values) => {
                    if let Some(series) = all.get_mut(&thing) {
                        series.push(now.0, values);
                    }
                }
                None => drop(all.remove(&thing)),
            }
        }
    }

    /// Forgets everything that was sampled.
    pub(crate) fn forget(&self) {
        self.all().clear();
    }

    /// Whether connections or channels are watched, which are read together.
    pub(crate) fn wants_connections(&self) -> bool {
        let all = self.all();
        all.keys().any(|thing| matches!(thing, Thing::Channel(..) | Thing::Connection(_)))
    }
}

fn watched(
    all: &mut HashMap<Thing, Series>,
    thing: Thing,
    source: Source,
    depth: Depth,
    now: u64,
) -> Option<&mut Series> {
    let longs =
        |all: &HashMap<Thing, Series>| all.values().filter(|one| one.depth == Depth::Long).count();
    let known = all.get(&thing).map(|series| series.depth);
    let mut depth = depth;
    if depth == Depth::Long
        && known.is_none_or(|known| known == Depth::Short)
        && longs(all) >= LONG_MAX
    {
        depth = Depth::Short;
    }
    if known.is_none() && all.len() >= WATCHED_MAX && depth != Depth::Totals {
        return None;
    }
    let series = all.entry(thing).or_insert_with(|| Series {
        source,
        depth,
        looked_at: now,
        fine: VecDeque::new(),
        coarse: VecDeque::new(),
    });
    series.depth = series.depth.max(depth);
    series.looked_at = now;
    Some(series)
}

fn add_history(details: &mut Value, samples: Value) {
    let list = samples.as_array().map(Vec::as_slice).unwrap_or_default();
    let number =
        |at: Option<&Value>, key: &str| at.and_then(|one| one[key].as_f64()).unwrap_or_default();
    let sum: f64 = list.iter().map(|one| number(Some(one), "sample")).sum();
    let (newest, oldest) = (list.first(), list.last());
    let seconds = (number(newest, "timestamp") - number(oldest, "timestamp")) / 1000.0;
    let grown = number(newest, "sample") - number(oldest, "sample");
    details["avg"] = json!(if list.is_empty() { 0.0 } else { sum / list.len() as f64 });
    details["avg_rate"] = json!(if seconds > 0.0 { grown / seconds } else { 0.0 });
    details["samples"] = samples;
}

/// The values alone.
pub(crate) fn values(numbers: &[(&'static str, u64)]) -> Box<[u64]> {
    numbers.iter().map(|(_, value)| *value).collect()
}

/// How many of a queue's numbers are of `message_stats`; the others are its lengths.
pub(crate) const QUEUE_STATS: usize = 9;

/// The numbers of a queue.
pub(crate) fn queue_numbers(queue: &Arc<QueueHandle>) -> Vec<(&'static str, u64)> {
    let report = queue.report();
    let totals = report.totals;
    let (ready, unacked) = ((report.ready + report.resting) as u64, report.unacked as u64);
    let got = totals.deliver + totals.deliver_no_ack + totals.get + totals.get_no_ack;
    vec![
        ("publish", totals.publish),
        ("deliver_get", got),
        ("deliver", totals.deliver),
        ("deliver_no_ack", totals.deliver_no_ack),
        ("get", totals.get),
        ("get_no_ack", totals.get_no_ack),
        ("get_empty", totals.get_empty),
        ("ack", totals.ack),
        ("redeliver", totals.redeliver),
        ("messages", ready + unacked),
        ("messages_ready", ready),
        ("messages_unacknowledged", unacked),
    ]
}

/// The numbers of an exchange.
pub(crate) fn exchange_numbers(traffic: &Traffic) -> Vec<(&'static str, u64)> {
    let (published, routed) = traffic.totals();
    vec![("publish_in", published), ("publish_out", routed)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(rates: &Rates, value: u64, query: &str, now: u64) -> Map<String, Value> {
        let ranges = Ranges::read(&Query::parse(query).unwrap());
        let of = (Thing::Queue(QueueId(1)), Source::Others, Depth::Short);
        rates.numbers(of, &[("publish", value)], &ranges, Timestamp(now))
    }

    fn rate(fields: &Map<String, Value>) -> f64 {
        fields["publish_details"]["rate"].as_f64().unwrap()
    }

    #[test]
    fn a_rate_is_known_at_the_second_look_and_falls_when_nothing_comes() {
        let rates = Rates::default();
        assert_eq!(rate(&look(&rates, 100, "", 10_000)), 0.0);
        assert_eq!(rate(&look(&rates, 150, "", 15_000)), 10.0);
        for at in [20_000, 25_000, 30_000] {
            rates.sample(Timestamp(at), |_| Some([150].into()));
        }
        assert_eq!(rate(&look(&rates, 150, "", 31_000)), 0.0);
    }

    #[test]
    fn histories_and_what_is_watched_have_bounds() {
        let rates = Rates::default();
        let query = "msg_rates_age=60&msg_rates_incr=5";
        look(&rates, 0, query, 5_000);
        for step in 2..10_000 {
            rates.sample(Timestamp(step * 5_000), |_| Some([step].into()));
            if step % 100 == 0 {
                look(&rates, step, query, step * 5_000);
            }
        }
        let all = rates.all();
        let series = all.values().next().unwrap();
        assert_eq!((series.fine.len(), series.coarse.len()), (FINE, COARSE));
        drop(all);
        let fields = look(&rates, 9_999, query, 49_995_000);
        let samples = fields["publish_details"]["samples"].as_array().unwrap().clone();
        assert_eq!(samples.len(), 13);
        assert_eq!(samples[0], json!({"sample": 9_999, "timestamp": 49_995_000}));
        assert_eq!(fields["publish_details"]["avg_rate"], json!(0.2));
        for id in 0..WATCHED_MAX as u64 * 2 {
            let of = (Thing::Queue(QueueId(id)), Source::Others, Depth::Short);
            rates.numbers(of, &[("publish", 1)], &Ranges::default(), Timestamp(49_995_000));
        }
        assert_eq!(rates.all().len(), WATCHED_MAX);
        rates.sample(Timestamp(49_995_000 + FORGET_MS), |_| None);
        assert!(rates.all().is_empty());
        let huge = look(&rates, 1, "msg_rates_age=999999999&msg_rates_incr=1", 1_000_000_000);
        assert!(huge["publish_details"]["samples"].as_array().unwrap().len() <= 1_001);
    }
}
