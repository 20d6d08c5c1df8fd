//! Logs: events to standard error, as text or JSON, with a level that can change while running.

use std::fmt::Debug;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use leveret_server::{LogLine, LogRing};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{LogFilter, LogFormat};

/// The running log, whose level can be changed.
pub struct Log {
    ring: Arc<LogRing>,
    filter: reload::Handle<Targets, Registry>,
}

/// Starts logging for the rest of the process; panics are logged from here on.
pub fn start(filter: &LogFilter, format: LogFormat) -> anyhow::Result<Log> {
    let (filter, handle) = reload::Layer::new(filter.targets());
    let events = fmt::layer().with_writer(std::io::stderr);
    let events = match format {
        LogFormat::Text => events.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => events.json().flatten_event(true).boxed(),
    };
    let ring = Arc::<LogRing>::default();
    let tail = Tail(Arc::clone(&ring));
    tracing_subscriber::registry().with(filter).with(events).with(tail).try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, message, "a task panicked; this is a bug in leveret");
    }));
    Ok(Log { ring, filter: handle })
}

/// Keeps the last lines for the management interface.
struct Tail(Arc<LogRing>);

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

impl<S: Subscriber> Layer<S> for Tail {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.push(LogLine {
            id: 0,
            time_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            level,
            target: event.metadata().target().to_owned(),
            message: fields.message,
            fields: fields.others,
        });
    }
}

impl Log {
    /// The last lines.
    pub fn ring(&self) -> Arc<LogRing> {
        Arc::clone(&self.ring)
    }

    /// Applies another filter to all events from now on.
    pub fn set_filter(&self, filter: &LogFilter) -> anyhow::Result<()> {
        Ok(self.filter.reload(filter.targets())?)
    }
}
