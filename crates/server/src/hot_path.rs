//! Sessions for the program that counts the instructions of the hot path
//! (`crates/leveret/examples/hot_path`): what a connection's task does with a session, without the
//! socket and the clock. No part of the interface, and nothing that a server uses.
//!
//! Invariant: the same calls do the same work, so that counts can be compared.

use std::sync::{Arc, Mutex, PoisonError};

use leveret_broker::broker::Broker;
use leveret_broker::definitions::{PolicyKind, PolicyRequest};
use leveret_broker::ids::Timestamp;
use leveret_broker::log::Recovered;
use leveret_broker::message::FieldTable;
use tokio::sync::mpsc::Receiver;

use crate::durable::StoreLog;
use crate::net::mailbox::Mailbox;
use crate::net::out_buffer::OutBuffer;
use crate::options::Options;
use crate::session::{self, amqp091::Session};
use crate::shared::Shared;
use crate::telemetry::{Span, Telemetry, attach};

/// The time, which stands still.
const NOW: Timestamp = Timestamp(1_000_000);

/// A server without sockets: its broker has the vhost and the user of the default options.
#[derive(Clone)]
pub struct World {
    shared: Arc<Shared>,
    spans: Option<Spans>,
}

/// Where spans come out while OpenTelemetry is on.
type Spans = Arc<Mutex<Receiver<Span>>>;

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// A broker on what a log has kept.
    pub fn new(log: Arc<StoreLog>, recovered: Recovered) -> Self {
        let broker = Broker::recover(log, [3; 32], recovered, NOW);
        let options = Options::default();
        broker.set_password_cost(leveret_broker::auth::Cost::LEAST);
        crate::add_defaults(&broker, &options);
        broker.set_memory_budget(options.memory_high_watermark_bytes);
        Self { shared: Arc::new(Shared::new(broker, options)), spans: None }
    }

    /// Turns OpenTelemetry on, for connections to come.
    pub fn trace(&mut self) {
        let (telemetry, spans) = Telemetry::new(0.0);
        attach(&self.shared, &telemetry);
        self.spans = Some(Arc::new(Mutex::new(spans)));
    }

    /// Puts a policy for the queues that match its name, which must be valid.
    pub fn put_policy(&self, name: &str, definition: &FieldTable) {
        let definition = definition.clone();
        let request = PolicyRequest { pattern: name, apply_to: "queues", definition, priority: 0 };
        let put = self.shared.broker.put_policy(PolicyKind::Policy, "/", name, &request, NOW);
        assert!(put.is_ok(), "{put:?}");
    }

    /// A connection that was just accepted.
    pub fn connect(&self) -> Peer {
        let from = session::Peer::new(([127, 0, 0, 1], 40_000).into());
        let session = Session::new(Arc::clone(&self.shared), from, NOW);
        let mailbox = Arc::clone(session.mailbox());
        self.shared.connect(Arc::clone(&mailbox), Arc::clone(session.stats()));
        Peer { session, mailbox, spans: self.spans.clone() }
    }
}

/// A connection.
pub struct Peer {
    session: Session,
    mailbox: Arc<Mailbox>,
    spans: Option<Spans>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}

impl Peer {
    /// Gives the session what a read would have brought; how much of it was used.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        self.session.receive(bytes, NOW)
    }

    /// Takes mail and writes, as a turn of the connection's task does; how many bytes were written.
    pub fn write(&mut self) -> usize {
        self.turn(|_| {})
    }

    /// As [`Self::write`]; what was written.
    pub fn answers(&mut self) -> Vec<u8> {
        let mut answers = Vec::new();
        self.turn(|bytes| answers.extend_from_slice(bytes));
        answers
    }

    fn turn(&mut self, mut take: impl FnMut(&[u8])) -> usize {
        if self.mailbox.take_signal() {
            self.session.take_mail(NOW);
        }
        let mut total = 0;
        while self.session.out().writable() > 0 {
            let written = {
                let mut slices = OutBuffer::no_slices();
                let count = self.session.out().slices(&mut slices);
                slices[..count].iter().for_each(|slice| take(slice));
                slices[..count].iter().map(|slice| slice.len()).sum()
            };
            self.session.out().advance(written);
            self.session.on_written(NOW);
            total += written;
        }
        self.session.release_room();
        if let Some(spans) = &self.spans {
            let mut spans = spans.lock().unwrap_or_else(PoisonError::into_inner);
            while spans.try_recv().is_ok() {}
        }
        total
    }
}
