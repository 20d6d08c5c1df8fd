//! Sending spans to a collector: batches of them, tried again when it is busy.
//!
//! Invariants: one request at a time, each with an end; what cannot be sent is counted, and the log
//! has a line when that begins and when it is over.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::encode::request;
use super::span::Span;
use super::{Telemetry, TelemetryOptions, attach};
use crate::shared::Shared;
use crate::web_client::Host;

/// The most spans of a request, and how long the first one waits for others.
const BATCH_MAX: usize = 512;
const GATHER: Duration = Duration::from_secs(1);
/// How long a request may take, and what may follow it at the end of the server.
const TIMEOUT: Duration = Duration::from_secs(10);
const LAST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait after each refusal that may be a matter of the moment.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// The task that sends.
pub(crate) struct Sending {
    end: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Starts to make spans and to send them, if the options say where.
pub(crate) fn start(shared: &Shared) -> Option<Sending> {
    let options = shared.options.load();
    let (telemetry, exporter) = Exporter::new(options.telemetry.as_ref()?);
    attach(shared, &telemetry);
    let end = Arc::new(Notify::new());
    let task = tokio::spawn(exporter.run(Arc::clone(&end)));
    Some(Sending { end, task: Mutex::new(Some(task)) })
}

impl Sending {
    /// Sends what waits, and ends.
    pub(crate) async fn end(&self) {
        self.end.notify_one();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        task.iter().for_each(JoinHandle::abort);
    }
}

/// What sends spans to the collector.
pub(super) struct Exporter {
    host: Host,
    service: String,
    telemetry: Arc<Telemetry>,
    spans: Receiver<Span>,
    batch: Vec<Span>,
    failing: bool,
}

/// What became of a request.
enum Outcome {
    Taken,
    /// It may be taken later.
    Busy(io::Error),
    Refused(io::Error),
}

impl Exporter {
    /// With what spans are handed to.
    pub(super) fn new(options: &TelemetryOptions) -> (Arc<Telemetry>, Self) {
        let (telemetry, spans) = Telemetry::new(options.sample_ratio);
        let exporter = Self {
            host: Host::new(options.endpoint.clone()),
            service: options.service_name.clone(),
            telemetry: Arc::clone(&telemetry),
            spans,
            batch: Vec::new(),
            failing: false,
        };
        (telemetry, exporter)
    }

    /// Sends until it is told to end; then what waits is sent, once.
    pub(super) async fn run(mut self, end: Arc<Notify>) {
        tokio::select! {
            () = self.work() => {}
            () = end.notified() => {}
        }
        self.spans.close();
        let last = async {
            while !self.batch.is_empty()
                || self.spans.recv_many(&mut self.batch, BATCH_MAX).await > 0
            {
                let outcome = self.try_once().await;
                self.note(outcome);
            }
        };
        // The server ends; what is not sent by now is lost.
        let _ = timeout(LAST_TIMEOUT, last).await;
    }

    /// Sends what comes, a batch at a time. A batch stays until it is done with.
    async fn work(&mut self) {
        while self.spans.recv_many(&mut self.batch, BATCH_MAX).await > 0 {
            let until = Instant::now() + GATHER;
            while let room @ 1.. = BATCH_MAX - self.batch.len()
                && let Ok(1..) =
                    timeout_at(until, self.spans.recv_many(&mut self.batch, room)).await
            {
            }
            let mut outcome = self.try_once().await;
            for wait in WAITS {
                if !matches!(outcome, Outcome::Busy(_)) {
                    break;
                }
                sleep(wait).await;
                outcome = self.try_once().await;
            }
            self.note(outcome);
        }
    }

    /// The batch is done with.
    fn note(&mut self, outcome: Outcome) {
        let count = self.batch.len();
        self.batch.clear();
        match outcome {
            Outcome::Taken => {
                self.telemetry.sent.fetch_add(count as u64, Ordering::Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the collector takes spans again");
                }
            }
            Outcome::Busy(error) | Outcome::Refused(error) => {
                self.telemetry.note_dropped(count);
                if !std::mem::replace(&mut self.failing, true) {
                    let collector = self.host.address();
                    tracing::warn!(%collector, %error, "the collector takes no spans: dropped");
                }
            }
        }
    }

    async fn try_once(&mut self) -> Outcome {
        let body = request(&self.service, &self.batch);
        let asked = timeout(TIMEOUT, self.host.post("/v1/traces", "application/x-protobuf", body));
        let status = match asked.await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Outcome::Busy(error),
            Err(_) => return Outcome::Busy(io::Error::new(io::ErrorKind::TimedOut, "no answer")),
        };
        let error = io::Error::other(format!("the answer is {status}"));
        match status {
            _ if status.is_success() => Outcome::Taken,
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Outcome::Busy(error),
            _ => Outcome::Refused(error),
        }
    }
}
