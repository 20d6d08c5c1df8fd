//! The result of a run, as a table for people or JSON for scripts.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::tally::Totals;
use super::watch::Moment;

/// The percentiles that are told, with their names.
const PERCENTILES: [(&str, f64); 5] =
    [("median", 50.0), ("p75", 75.0), ("p95", 95.0), ("p99", 99.0), ("p999", 99.9)];

/// Everything measured.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) from: Moment,
    pub(super) to: Moment,
    /// Messages that did not come in time.
    pub(super) missing: u64,
    /// How late a message was sent at worst, if there was a rate.
    pub(super) lag_us: Option<u64>,
    pub(super) latency: Option<Histogram<u64>>,
    pub(super) confirm_latency: Option<Histogram<u64>>,
}

impl Report {
    fn seconds(&self) -> f64 {
        self.to.seconds_since(&self.from).max(1e-9)
    }

    fn count(&self, of: fn(&Totals) -> u64) -> u64 {
        of(&self.to.totals).saturating_sub(of(&self.from.totals))
    }

    /// CPU seconds of the generator itself.
    fn cpu_seconds(&self) -> Option<f64> {
        Some(self.to.cpu_s? - self.from.cpu_s.unwrap_or_default())
    }

    fn cpu_us_per_message(&self) -> Option<f64> {
        let messages = self.count(|totals| totals.sent).max(self.count(|totals| totals.received));
        self.cpu_seconds().filter(|_| messages > 0).map(|cpu| cpu * 1e6 / messages as f64)
    }

    pub(super) fn to_json(&self) -> anyhow::Result<String> {
        let rate = |count: u64| count as f64 / self.seconds();
        let [sent, received, confirmed] = self.counts();
        let all = &self.to.totals;
        let value = json!({
            "seconds": self.seconds(),
            "sent": sent,
            "received": received,
            "confirmed": confirmed,
            "sent_per_second": rate(sent),
            "received_per_second": rate(received),
            "confirmed_per_second": rate(confirmed),
            "sent_in_all": all.sent,
            "received_in_all": all.received,
            "refused": all.refused,
            "returned": all.returned,
            "missing": self.missing,
            "lag_us_max": self.lag_us,
            "generator_cpu_seconds": self.cpu_seconds(),
            "generator_cpu_us_per_message": self.cpu_us_per_message(),
            "latency_us": self.latency.as_ref().map(latency_json),
            "confirm_latency_us": self.confirm_latency.as_ref().map(latency_json),
        });
        Ok(serde_json::to_string_pretty(&value)?)
    }

    fn counts(&self) -> [u64; 3] {
        [
            self.count(|totals| totals.sent),
            self.count(|totals| totals.received),
            self.count(|totals| totals.confirmed),
        ]
    }

    pub(super) fn to_table(&self) -> String {
        let mut text = format!("measured    {:>12.2} s\n", self.seconds());
        for (name, count) in ["sent", "received", "confirmed"].into_iter().zip(self.counts()) {
            if count > 0 {
                let rate = count as f64 / self.seconds();
                line(&mut text, name, format_args!("{count:>12}   {rate:>12.0} /s"));
            }
        }
        let (refused, returned) = (self.to.totals.refused, self.to.totals.returned);
        for (name, count) in
            [("refused", refused), ("returned", returned), ("missing", self.missing)]
        {
            if count > 0 {
                line(&mut text, name, format_args!("{count:>12}"));
            }
        }
        if let Some(cpu) = self.cpu_seconds() {
            let each = self.cpu_us_per_message().unwrap_or_default();
            line(&mut text, "own CPU", format_args!("{cpu:>12.2} s {each:>12.3} us/message"));
        }
        if let Some(lag) = self.lag_us {
            line(&mut text, "sent late", format_args!("{lag:>12} us at most"));
        }
        self.latencies(&mut text);
        text.truncate(text.trim_end().len());
        text
    }

    fn latencies(&self, text: &mut String) {
        let columns = [("latency", &self.latency), ("confirm", &self.confirm_latency)];
        if columns.iter().all(|(_, histogram)| histogram.as_ref().is_none_or(|h| h.is_empty())) {
            return;
        }
        text.push_str("\nus         ");
        for name in ["min", "median", "p75", "p95", "p99", "p99.9", "max"] {
            // Writing to a String cannot fail.
            let _ = write!(text, " {name:>9}");
        }
        text.push('\n');
        for (name, histogram) in columns {
            let Some(histogram) = histogram.as_ref().filter(|h| !h.is_empty()) else { continue };
            let _ = write!(text, "{name:<11} {:>9}", histogram.min());
            for (_, percentile) in PERCENTILES {
                let _ = write!(text, " {:>9}", histogram.value_at_percentile(percentile));
            }
            let _ = writeln!(text, " {:>9}", histogram.max());
        }
    }
}

fn line(text: &mut String, name: &str, rest: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{name:<11} {rest}");
}

fn latency_json(histogram: &Histogram<u64>) -> Value {
    let mut object = serde_json::Map::new();
    object.insert("count".to_owned(), json!(histogram.len()));
    object.insert("min".to_owned(), json!(histogram.min()));
    for (name, percentile) in PERCENTILES {
        object.insert(name.to_owned(), json!(histogram.value_at_percentile(percentile)));
    }
    object.insert("max".to_owned(), json!(histogram.max()));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut latency = Histogram::new_with_bounds(1, 1_000_000, 3).unwrap();
        (1..=1000).for_each(|us| latency.record(us).unwrap());
        let from = Totals { sent: 100, received: 50, ..Totals::default() };
        let to = Totals { sent: 1100, received: 850, returned: 2, ..Totals::default() };
        Report {
            from: Moment { at_ns: 1_000_000_000, totals: from, cpu_s: Some(1.0) },
            to: Moment { at_ns: 3_000_000_000, totals: to, cpu_s: Some(1.5) },
            missing: 0,
            lag_us: None,
            latency: Some(latency),
            confirm_latency: None,
        }
    }

    #[test]
    fn rates_are_those_of_the_interval() {
        let value: Value = serde_json::from_str(&report().to_json().unwrap()).unwrap();
        assert_eq!(value["sent_per_second"], 500.0);
        assert_eq!(value["received_per_second"], 400.0);
        assert_eq!(value["generator_cpu_us_per_message"], 500.0);
        assert_eq!(value["latency_us"]["median"], 500);
        assert_eq!(value["latency_us"]["max"], 1000);
        assert_eq!(value["confirm_latency_us"], Value::Null);
    }

    #[test]
    fn the_table_leaves_out_what_did_not_happen() {
        let text = report().to_table();
        assert!(text.contains("received             800            400 /s"), "{text}");
        assert!(text.contains("returned               2"), "{text}");
        assert!(!text.contains("confirmed") && !text.contains("missing"), "{text}");
    }
}
