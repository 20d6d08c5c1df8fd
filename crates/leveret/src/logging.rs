//! Logs: events to standard error, as text or JSON, with a level that can change while running.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{LogFilter, LogFormat};

/// The running log, whose level can be changed.
pub struct Log {
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
    tracing_subscriber::registry().with(filter).with(events).try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, message, "a task panicked; this is a bug in leveret");
    }));
    Ok(Log { filter: handle })
}

impl Log {
    /// Applies another filter to all events from now on.
    pub fn set_filter(&self, filter: &LogFilter) -> anyhow::Result<()> {
        Ok(self.filter.reload(filter.targets())?)
    }
}
