//! A log that writes down each group that the broker appends, and hands it on to the store.

use std::sync::{Arc, Mutex};

use leveret_broker::ids::{QueueId, Seq, Timestamp};
use leveret_broker::log::{Entry, Fetched, Log, Position, SeqRange, Wake};
use leveret_broker::message::Message;
use leveret_server::durable::StoreLog;

pub struct Recorder {
    log: Arc<StoreLog>,
    groups: Mutex<Vec<(u64, Vec<Entry>)>>,
}

impl Recorder {
    pub fn new(log: &Arc<StoreLog>) -> Arc<Self> {
        Arc::new(Self { log: Arc::clone(log), groups: Mutex::default() })
    }

    /// How many groups were appended since the last [`Self::take`].
    pub fn len(&self) -> usize {
        self.groups.lock().unwrap().len()
    }

    /// What was appended since the last call, each group with its batch.
    pub fn take(&self) -> Vec<(u64, Vec<Entry>)> {
        std::mem::take(&mut self.groups.lock().unwrap())
    }
}

impl Log for Recorder {
    fn append(&self, entries: &[Entry]) -> Position {
        let position = self.log.append(entries);
        self.groups.lock().unwrap().push((position.0, entries.to_vec()));
        position
    }

    fn durable(&self) -> Position {
        self.log.durable()
    }

    fn notify(&self, position: Position, waker: Arc<dyn Wake>) {
        self.log.notify(position, waker);
    }

    fn keeps_messages(&self) -> bool {
        true
    }

    fn fetch(&self, queue: QueueId, wanted: &[SeqRange], max_bytes: usize) -> Vec<Fetched> {
        self.log.fetch(queue, wanted, max_bytes)
    }

    fn spill(&self, queue: QueueId, seq: Seq, message: &Message, expires_at: Timestamp) -> bool {
        self.log.spill(queue, seq, message, expires_at)
    }

    fn unspill(&self, queue: QueueId, seqs: &[SeqRange]) {
        self.log.unspill(queue, seqs);
    }

    fn pending_bytes(&self) -> usize {
        self.log.pending_bytes()
    }
}
